# SPDX-License-Identifier: Apache-2.0
"""What the Redis helper promises (spec 4.5), as lines of a script with `c` = the helper: the connector and DFF.SYS_CACHE_DB,
embedded and on a server, run the same. `on(body, k=…)` gives their result; `k` is a prefix of keys nobody has."""

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def strings(on, k):
    got = on('''
out = [c.get(k), c.set(k, 'v'), c.get(k), c.set(k, 'w', not_exists=True), c.set(k, 'x', exists=True, get_old_value=True)]
out += [c.set(k + 'none', 1, exists=True), c.getset(k, 5), c.incr(k), c.incrby(k, 10), c.incrby(k, -1)]
out += [c.mset({k + 'a': 1, k + 'b': 'zwei'}), c.mget([k + 'a', k + 'b', k + 'no']), c.mget(k + 'a'), c.mget([])]
out += [c.exists(k), c.exists(k + 'no'), c.type(k), c.type(k + 'no'), c.ttl(k), c.ttl(k + 'no')]
out += [c.expire(k, 100), c.ttl(k) in (99, 100), c.expire(k, 0), 0 <= c.pttl(k) <= 1000, c.expireat(k + 'a', int(time.time()) + 50)]
out += [c.set(k, 1, expires=20), c.ttl(k), c.set(k, 1, expires=1.5), 1000 < c.pttl(k) <= 1500]
out += [c.delete(k), c.delete([k + 'a', k + 'b', k + 'no']), c.delete([]), c.dbsize() >= 0, c.check()]
return out
''', k=k)
    assert got == [None, True, 'v', None, 'v',
                   None, 'x', 6, 16, 15,
                   True, {k + 'a': '1', k + 'b': 'zwei', k + 'no': None}, {k + 'a': '1'}, {},
                   True, False, 'string', None, -1, -2,
                   True, True, True, True, True,
                   True, 20, True, True,
                   1, 2, 0, True, None]


@case
def hashes(on, k):
    got = on('''
out = [c.hset(k, 'f', 'v'), c.hset(k, 'f', 'w'), c.hset(k, field_values={'g': 1, 'h': 2.5}), c.hmset(k, {'i': b'bytes'})]
out += [c.hsetnx(k, 'f', 'x'), c.hsetnx(k, 'n', 'x'), c.hget(k, 'f'), c.hget(k, 'no'), c.hmget(k, ['f', 'no']), c.hgetall(k)]
out += [c.hgetall(k + 'no'), sorted(c.hkeys(k)), c.hkeys(k, '[fg]'), c.hkeys(k, 'g', with_values=True), c.hget_pattern(k, '[hi]')]
out += [c.hincr(k, 'g'), c.hincrby(k, 'g', 5), c.hdel(k, 'f'), c.hdel(k, ['g', 'h', 'no']), c.hdel(k, [])]
now = time.time()
c.hmset(k, {'young': '{"ts": %d, "v": 1}' % now, 'old': '{"timestamp": %d}' % (now - 100), 'text': 'x'})
out += [c.hget_expires(k, 'young', 60) is not None, c.hget_expires(k, 'old', 60), c.hget_expires(k, 'old', 200) is not None,
        c.hget_expires(k, 'text', 60), list(c.hget_pattern_expires(k, '*', 60))]
return out
''', k=k)
    assert got == [1, 0, 2, True,
                   False, True, 'w', None, {'f': 'w', 'no': None}, {'f': 'w', 'g': '1', 'h': '2.5', 'i': 'bytes', 'n': 'x'},
                   {}, ['f', 'g', 'h', 'i', 'n'], ['f', 'g'], {'g': '1'}, {'h': '2.5', 'i': 'bytes'},
                   2, 7, 1, 2, 0,
                   True, None, True, None, ['young']]


@case
def lists_and_sets(on, k):
    got = on('''
out = [c.lpush(k, 'a'), c.rpush(k, ['b', 'c', 'd']), c.push(k, 'z'), c.lrange(k), c.lrange(k, 1, 2), c.llen(k)]
out += [c.lpop(k), c.rpop(k), c.pop(k), c.lpop(k, 2), c.lpop(k), c.lpop(k, 3), c.rpoplpush(k)]
c.rpush(k, [1, 2, 3])
out += [c.rpoplpush(k), c.rpoplpush(k, k + '2'), c.ltrim(k, 0, 0), c.lrange(k), c.blpop(k, 1), c.brpop(k + '2', timeout=1), c.bpop(k, 0.05)]
out += [c.sadd(k + 's', ['x', 'y']), c.sadd(k + 's', 'x'), c.scard(k + 's'), sorted(c.smembers(k + 's')), c.sismember(k + 's', 'x'),
        c.sismember(k + 's', 'no'), c.srem(k + 's', ['x', 'no'])]
z = k + 'z'
out += [c.zadd(z, {'one': 1, 'two': 2, 'half': 0.5}), c.zcard(z), c.zrange(z), c.zrange(z, 0, 0, with_scores=True), c.zrange(z, reverse=True)]
out += [c.zrange(z, '-inf', 1, by_score=True), c.zrange(z, 2, '(0.5', by_score=True, reverse=True, with_scores=True), c.zrange(z, '-', '+', by_lex=True)]
out += [c.zrem(z, ['one', 'no']), c.publish('nobody', 'x'), c.pub('nobody', 'x')]
return out
''', k=k)
    assert got == [1, 4, 5, ['z', 'a', 'b', 'c', 'd'], ['a', 'b'], 5,
                   'z', 'd', 'c', ['a', 'b'], None, None, None,
                   '3', '2', True, ['3'], [k, '3'], [k + '2', '2'], None,
                   2, 0, 2, ['x', 'y'], True, False, 1,
                   3, 3, ['half', 'one', 'two'], [['half', 0.5]], ['two', 'one', 'half'],
                   ['half', 'one'], [['two', 2.0], ['one', 1.0]], ['half', 'one', 'two'],
                   1, 0, 0]


@case
def locks(on, k):
    got = on('''
out = [c.lock(k, 'me', 10), c.lock(k, 'you', 10), c.unlock(k, 'you'), c.extend_lock_time(k, 'me', 50), c.ttl(k)]
out += [tell(lambda: c.extend_lock_time(k, 'you', 50))[1], c.unlock(k, 'me'), c.unlock(k, 'me'), c.lock(k, 'you', 10)]
return out
''', k=k)
    assert got[:5] == [True, None, 0, True, 50] and 'Not Lock owner' in got[5] and got[6:] == [1, 0, True]


@case
def series(on, k):
    """ts_add and ts_get: alignment, modes, groups, what is too old."""
    got = on('''
now = int(time.time())
t = now - now % 3600 - 3600
for i in range(10):
    c.ts_add(k, i, t + 60 * i + 7)
c.ts_add(k, 100, t + 30)
c.ts_add(k, 5, t + 30, mode='addUp')
c.ts_add(k, 0.25, t, mode='addUp')
c.ts_add(k, 1, now - 300000)
c.ts_add(k, 7, t + 1200)
rel = lambda rows: [[r[0] - t, r[1]] for r in rows]
out = [rel(c.ts_get(k, limit=3)), rel(c.ts_get(k, group_time=300, agg='sum')), rel(c.ts_get(k, group_time=300, agg='avg', ndigits=3))]
out += [rel(c.ts_get(k, group_time=600, agg=a)) for a in ('min', 'max', 'count')]
out += [rel(c.ts_get(k, t, t + 60, scale=10)), c.ts_get(k, t + 60, t + 60, dict_output=True, time_unit='ms')[0] == {'t': (t + 60) * 1000, 'v': 1.0}]
out += [rel(c.ts_get(k, t + 540, fill_zero=True, group_time=240, agg='sum')), c.ttl(k) > 86000, c.ts_get(k + 'no')]
out += [tell(lambda: c.ts_add(k, 'x', mode='addUp'))[0], tell(lambda: c.ts_get(k, agg='median'))[0]]
return out
''', k=k)
    assert got[0] == [[480, 8.0], [540, 9.0], [1200, 7.0]]
    assert got[1] == [[0, 115.25], [300, 35], [1200, 7]]
    assert got[2] == [[0, 23.05], [300, 7.0], [1200, 7.0]]
    assert got[3:6] == [[[0, 1], [1200, 7]], [[0, 105.25], [1200, 7]], [[0, 10], [1200, 1]]]
    assert got[6] == [[0, 1052.5], [60, 10.0]] and got[7] is True
    assert got[8] == [[480, 9], [720, 0], [960, 0], [1200, 7]]
    assert got[9:] == [True, [], 'InvalidArgument', 'InvalidArgument']


@case
def from_sorted_set_to_list(on, k):
    got = on('''
d = k + 'd'
c.zadd(k, {'m%d' % i: i for i in range(6)})
out = [c.zpop_below_lpush(k, d, 3), c.zpop_below_lpush(k, d, 0.5), c.zpop_above_lpush(k, d, 4), c.zpop_below_lpush_all(k, d, 100)]
return out + [c.zcard(k), c.lrange(d), tell(lambda: c.put_tasks([]))[0]]
''', k=k)
    assert got == ['m0', None, 'm4', 4, 0, ['m5', 'm3', 'm2', 'm1', 'm4', 'm0'], 'NotSupported']


@case
def refused_in_one_step(on, k):
    """A step that fails leaves everything as it was; floats are added up as floats; a lock can be lost to time."""
    got = on('''
c.zadd(k, {'a': 1, 'b': 2})
c.set(k + 's', 'text')
out = [tell(lambda: c.zpop_below_lpush(k, k + 's', 5)) is not None, tell(lambda: c.zpop_below_lpush_all(k, k + 's', 5)) is not None, c.zrange(k), c.get(k + 's')]
out += [tell(lambda: f())[0] for f in (lambda: c.unlock(k, 'a'), lambda: c.extend_lock_time(k, 'a', 5), lambda: c.ts_add(k + 's', 1), lambda: c.zpop_below_lpush(k + 's', k, 1))]
out += [c.zpop_below_lpush_all(k + 'none', k + 'l', 5), c.exists(k + 'l'), c.zpop_below_lpush(k, k + 'l', '(2'), c.lrange(k + 'l')]
c.lock(k + 'lock', 'me', 1)
c.expire(k + 'lock', 0)
end = time.monotonic() + 5
while c.exists(k + 'lock') and time.monotonic() < end:
    time.sleep(0.02)
out += [tell(lambda: c.extend_lock_time(k + 'lock', 'me', 5))[0], c.unlock(k + 'lock', 'me'), c.lock(k + 'lock', 'you', 5), c.unlock(k + 'lock', 'me'), c.get(k + 'lock')]
out += [tell(lambda: c.lock(k + 'x', 'me', 0)) is not None, tell(lambda: c.lock(k + 'x', 'me', 'long')) is not None, c.exists(k + 'x')]
for v in (0.1, 0.2, -0.3, 1):
    c.ts_add(k + 't', v, 60 * (time.time() // 60), mode='addUp')
c.ts_add(k + 'u', 'text')
c.ts_add(k + 'u', None)
c.ts_add(k + 'u', 1e300, time.time() - 7200)
out += [c.ts_get(k + 't', ndigits=6)[0][1], len(c.zrange(k + 't')), len(c.zrange(k + 'u')), c.ts_get(k + 'u', agg='max')[0][1] == 1e300, len(c.ts_get(k + 'u'))]
return out
''', k=k)
    assert got[:4] == [True, True, ['a', 'b'], 'text']
    assert len(set(got[4:8])) == 1 and got[4] in ('QueryError', 'ResponseError')
    assert got[8:10] == [0, False]
    assert got[10:12] == ['a', ['a']]
    assert got[12:17] == ['ConflictError', 0, True, 0, 'you']
    assert got[17:20] == [True, True, False]
    assert got[20:] == [1.0, 1, 2, True, 1]


@case
def words(on, k):
    """query and run take any command, options by keyword, and give bytes."""
    got = on(r'''
out = [c.query('SET', k, b'\xff\x00'), c.query('GET', k) == b'\xff\x00', c.get(k) == b'\xff\x00', c.run('set', k, 'v', ex=100, nx=True)]
out += [c.run('set', k, 'v', ex=100, xx=True, get=None), c.query('GET ' + k) == b'v', c.run('ttl', k), c.query('EXPIRE', k, 5)]
out += [c.run('hset', k + 'h', 'a', 1), c.run('hgetall', k + 'h') == {'a': b'1'}, c.run('incrbyfloat', k + 'f', 1.5)]
info = c.info()
out += [info['redis_version'].split('.')[0].isdigit(), isinstance(info['used_memory'], int), all(name.startswith('db') for name in c.info('keyspace'))]
return out + ['used_memory' in c.info('keyspace'), len(c.keys(k + '*', limit=1)), c.delete_pattern(k + '*'), c.get_pattern(k + '*')]
''', k=k)
    assert got == [True, True, True, None, True, True, 100, True, 1, True, 1.5, True, True, True, False, 1, 3, None], got
