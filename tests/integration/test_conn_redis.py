# SPDX-License-Identifier: Apache-2.0
"""connectors/redis in scripts, against a real server, compared with redis-py where it matters."""

import re

import pytest
from peers.redis import PASSWORD, Redis
from support.cases import (BREAKS, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, FewConnections, Panel,
                           Refusals, Restarts, TlsIsMissed, calls)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row


@pytest.fixture(scope='module')
def rs():
    with peer(Redis) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, rs):
    return add(server.client(), 'redis', rs.config())


@pytest.fixture
def k():
    """A prefix of keys nobody has."""
    return fresh('k')


@pytest.fixture(scope='module')
def peer_client(rs):
    redis = pytest.importorskip('redis')
    c = redis.Redis(port=rs.port)
    yield c
    c.close()


# ---- the helper ---------------------------------------------------------------------------------------------


def test_strings(api, cid, k):
    got = on(api, cid, '''
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


def test_hashes(api, cid, k):
    got = on(api, cid, '''
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


def test_lists_and_sets(api, cid, k):
    got = on(api, cid, '''
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


def test_patterns(api, cid, k, peer_client):
    """SCAN over many keys: complete, each once, also keys with characters of patterns."""
    p = peer_client.pipeline()
    for i in range(5000):
        p.set('%s:%d' % (k, i), i)
    p.rpush(k + ':list', 1)
    p.execute()
    got = on(api, cid, '''
some = c.keys(k + ':*')
out = [len(some), len(set(some)), some == sorted(some), len(c.keys(k + ':*', limit=10)), c.keys(k + ':12?') == [k + ':12%d' % i for i in range(10)]]
values = c.get_pattern(k + ':*')
out += [len(values), values[k + ':4321'], values[k + ':list'], c.get_pattern(k + 'no*')]
out += [c.delete_pattern(k + ':1*'), c.delete_pattern(k + ':1*'), c.delete_pattern(k + '*'), c.keys(k + '*')]
return out
''', k=k)
    assert got == [5001, 5001, True, 10, True, 5001, '4321', None, None, 1111, None, 3890, []]


def test_locks(api, cid, k):
    got = on(api, cid, '''
out = [c.lock(k, 'me', 10), c.lock(k, 'you', 10), c.unlock(k, 'you'), c.extend_lock_time(k, 'me', 50), c.ttl(k)]
out += [tell(lambda: c.extend_lock_time(k, 'you', 50))[1], c.unlock(k, 'me'), c.unlock(k, 'me'), c.lock(k, 'you', 10)]
return out
''', k=k)
    assert got[:5] == [True, None, 0, True, 50] and 'Not Lock owner' in got[5] and got[6:] == [1, 0, True]


def test_series(api, cid, k):
    """ts_add and ts_get: alignment, modes, groups, what is too old."""
    got = on(api, cid, '''
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


def test_from_sorted_set_to_list(api, cid, k):
    got = on(api, cid, '''
d = k + 'd'
c.zadd(k, {'m%d' % i: i for i in range(6)})
out = [c.zpop_below_lpush(k, d, 3), c.zpop_below_lpush(k, d, 0.5), c.zpop_above_lpush(k, d, 4), c.zpop_below_lpush_all(k, d, 100)]
return out + [c.zcard(k), c.lrange(d), tell(lambda: c.put_tasks([]))[0]]
''', k=k)
    assert got == ['m0', None, 'm4', 4, 0, ['m5', 'm3', 'm2', 'm1', 'm4', 'm0'], 'NotSupported']


def test_any_command(api, cid, k):
    """query and run: raw values, options by keyword; pipelines and transactions."""
    got = on(api, cid, r'''
out = [c.query('SET', k, b'\xff\x00'), c.query('GET', k) == b'\xff\x00', c.get(k) == b'\xff\x00', c.run('set', k, 'v', ex=100, nx=True)]
out += [c.run('set', k, 'v', ex=100, xx=True, get=None), c.query('GET ' + k) == b'v', c.run('ttl', k), c.query('EXPIRE', k, 5), c.run('object', 'encoding', k) == b'embstr']
out += [c.run('hset', k + 'h', 'a', 1), c.run('hgetall', k + 'h') == {'a': b'1'}, c.run('incrbyfloat', k + 'f', 1.5)]
out.append(c.pipeline([['SET', k + '1', 1], ['INCR', k + '1'], ['GET', k + '1'], ['HGETALL', k + 'h']]))
out.append(c.pipeline([['SET', k + '1', 5], ['INCRBY', k + '1', 2]], transaction=True))
out.append(c.pipeline([]))
out.append(tell(lambda: c.pipeline([['GET', k + '1'], ['HGET', k + '1', 'x'], ['INCR', k + '1']])))
out.append(tell(lambda: c.pipeline([['INCR', k + '1'], ['NOSUCH']], transaction=True)))
out.append(c.get(k + '1'))
info = c.info()
out += [isinstance(info['connected_clients'], int), info['redis_version'].split('.')[0].isdigit(), 'db0' in c.info('keyspace')]
return out
''', k=k)
    assert got[:4] == [True, True, True, None] and got[4:9] == [True, True, 100, True, True]
    assert got[9:12] == [1, True, 1.5] and got[12] == [True, 2, '2', {'a': '1'}] and got[13] == [True, 7] and got[14] == []
    assert got[15][0] == 'QueryError' and 'command 1' in got[15][1] and got[15][3] == 'WRONGTY'
    assert 'nothing of the transaction' in got[16][1] and got[17] == '8' and all(got[18:])


def test_as_redis_py(api, cid, k, peer_client):
    """What one wrote the other reads, for values of every kind."""
    values = ['', 'text', '\u6570\U0001f600', 'a\r\nb', '$5\r\nhello', 'x' * 100000, '-1', '1.5']
    on(api, cid, '''
c.mset({k + str(i): v for i, v in enumerate(values)})
c.zadd(k + 'z', {v: i / 3 for i, v in enumerate(values)})
''', k=k, values=values)
    assert [peer_client.get(k + str(i)).decode() for i in range(len(values))] == values
    theirs = [[m.decode(), s] for m, s in peer_client.zrange(k + 'z', 0, -1, withscores=True)]
    assert on(api, cid, "return c.zrange(k + 'z', with_scores=True)", k=k) == theirs
    peer_client.hset(k + 'h', mapping={'f%d' % i: v for i, v in enumerate(values)})
    assert on(api, cid, "return c.hgetall(k + 'h')", k=k) == {'f%d' % i: v for i, v in enumerate(values)}


def test_errors(api, cid, k):
    got = on(api, cid, '''
c.set(k, 'text')
return [tell(lambda: c.incr(k)), tell(lambda: c.lpush(k, 1)), tell(lambda: c.query('NOSUCH', 1)), tell(lambda: c.set(k, None)), tell(lambda: c.set(k, {'a': 1})),
        tell(lambda: c.query('SUBSCRIBE', 'x')), tell(lambda: c.query('MONITOR')), tell(lambda: c.query('HELLO', 3)), tell(lambda: c.expire(k, 'x')), c.get(k)]
''', k=k)
    assert [g[0] for g in got[:9]] == ['QueryError', 'QueryError', 'QueryError', 'InvalidArgument', 'InvalidArgument',
                                       'NotSupported', 'NotSupported', 'NotSupported', 'TypeError']
    assert 'not an integer' in got[0][1] and got[1][3] == 'WRONGTY' and 'None' in got[3][1] and got[9] == 'text'


def test_nothing_leaks_to_the_next_call(api, cid, k):
    """Database, transaction, watches, name: a call that changes its session gets it for itself."""
    for _ in range(4):
        assert on(api, cid, '''
c.query('SELECT', 3)
c.query('CLIENT', 'SETNAME', 'leaked')
c.set(k, 1)
c.query('MULTI')
c.query('SET', k, 2)
return c.query('CLIENT', 'ID') == b'QUEUED'
''', k=k) is True
        assert on(api, cid, '''
return [c.get(k), b'leaked' in c.query('CLIENT', 'GETNAME'), c.dbsize() == int(c.query('DBSIZE'))]
''', k=k) == [None, False, True]


def test_database(api, rs, k):
    two = add(api, 'redis', rs.config(database=2))
    assert on(api, two, "return [c.set(k, 'two'), c.get(k)]", k=k) == [True, 'two']
    assert on(api, two, "return [DFF.CONN(cid, database=3).get(k), c.get(k)]", k=k) == [None, 'two']
    e = not_addable(api, 'redis', rs.config(database=99))
    assert e['exceptionType'] == 'ConfigError' and 'database 99' in e['exception']


def test_limits(api, rs, k):
    """A reply beyond max_result is refused with bounded memory; the next operation works."""
    cid = add(api, 'redis', rs.config(max_result='1M'))
    got = on(api, cid, '''
c.set(k, 'x' * 3000000)
told = tell(lambda: c.get(k))
c.delete(k)
return [told, c.get(k)]
''', k=k)
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1] and got[1] is None


def test_deadlines(api, rs, k):
    """pool.query bounds an operation; a blocking pop ends with it; the connection is not reused with a reply on its way."""
    cid = add(api, 'redis', rs.config(pool={'query': '400ms'}))
    got = on(api, cid, '''
t = time.monotonic()
out = [tell(lambda: c.blpop(k, 0))[0], tell(lambda: c.query('DEBUG', 'SLEEP', 1.2))[0], time.monotonic() - t]
time.sleep(1.2)
return out + [c.set(k, 1), c.get(k)]
''', k=k)
    assert got[0] == 'ConnTimeout' and got[1] in ('ConnTimeout', 'QueryError') and got[2] < 5 and got[3:] == [True, '1']


# ---- TLS and sign-in ------------------------------------------------------------------------------------------


def test_sign_in(api):
    with peer(Redis, password=True) as own:
        assert on(api, add(api, 'redis', own.config()), 'return c.check()') is None
        limited = add(api, 'redis', own.config(user='limited'))
        assert on(api, limited, "return [c.set('open:a', 1), tell(lambda: c.get('closed'))[0]]") == [True, 'Denied']
        e = not_addable(api, 'redis', own.config(password='wrong'))
        assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and PASSWORD not in str(e)
        e = not_addable(api, 'redis', {'host': '127.0.0.1', 'port': own.port})
        assert e['exceptionType'] == 'Denied' and 'none is configured' in e['exception']
        e = not_addable(api, 'redis', own.config(user='nobody', authType='aliyun'))
        assert e['exceptionType'] == 'Denied'
        assert PASSWORD not in str(api.get('/connectors/do/list', id=limited))


def test_the_server_sees_the_function(api, rs, peer_client):
    """CLIENT LIST names the application and the function; connections are few there, too."""
    cid = add(api, 'redis', rs.config(application='count_me'))
    get = calls(api, cid, "c.incr('n')")
    for _ in range(20):
        get()
    names = [c['name'] for c in peer_client.client_list() if c['name'].startswith('count_me')]
    assert 1 <= len(names) <= 2 * len(api.get('/monitor/platform/do/get')['broker']['workers'])
    assert all(re.fullmatch(r'count_me:\w+__\w+\.f', name) for name in names), names


class TestRedis(Contract, Panel, FewConnections, Restarts, Breaks, BadLines, Refusals, TlsIsMissed, ClientCertificate):
    """What redis shares with the other connectors."""

    type, fixture, make = 'redis', 'rs', Redis
    ask, gives = "c.set('k', 1)", True
    tls_ask, tls_gives = "[c.set('k', 'x' * 300000), len(c.get('k'))]", [True, 300000]
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_FIELD, ({'password': 'x'}, 'ConfigError', 'the server has no password')]
    cut_after = 2
    before_break, fetch, small, large = "c.set('big', 'x' * 50000)", "len(c.get('big')) or n", 50000, 50000
    breaks = {**BREAKS, 'garbage': 'ConnUnavailable'}
    panel = [("SET k 'two words'", lambda got: got is True), ('GET k', lambda got: got == 'two words')]
    panel_refused = 'NOSUCH'
    contract = ['get=["k"]']

    def tls_configs(self, own, ca):
        """With the original's name for it, too."""
        yield from super().tls_configs(own, ca)
        yield own.config(useSSL=True, tls_ca=ca)


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'redis', 'hiredis (parser), OpenSSL', 'Redis 7.0')
