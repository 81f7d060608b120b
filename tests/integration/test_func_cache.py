# SPDX-License-Identifier: Apache-2.0
"""DFF.CACHE and SYS_CACHE_DB (spec 3.5): the embedded cache does what Redis does, command by command, and the
same cases run on both."""

import random
import threading
import time

import pytest

from support.redis_server import RedisError, RedisServer
from support.server import Server, wait_for

SCRIPT = '''
from tenon_shim import redis_like

def answer(words):
    try:
        return redis_like.ask(*words)
    except Exception as e:
        return {'error': str(e), 'type': type(e).__name__}

@DFF.API('commands')
def commands(list):
    return [answer(words) for words in list]

@DFF.API('methods')
def methods(calls):
    out = []
    for name, args, kwargs in calls:
        try:
            out.append(getattr(DFF.CACHE, name)(*args, **kwargs))
        except Exception as e:
            out.append('%s: %s' % (type(e).__name__, e))
    return out

@DFF.API('pop', timeout=30)
def pop(key, timeout, side='b'):
    t = __import__('time').monotonic()
    got = getattr(DFF.CACHE, side + 'lpop')(key, timeout)
    return [got, __import__('time').monotonic() - t]

@DFF.API('cost')
def cost(n):
    import time
    DFF.CACHE.set('cost', 'x' * 20)
    t = time.perf_counter()
    for _ in range(n):
        DFF.CACHE.get('cost')
    g = time.perf_counter() - t
    t = time.perf_counter()
    for _ in range(n):
        DFF.CACHE.set('cost', 'value')
    return {'get_us': g / n * 1e6, 'set_us': (time.perf_counter() - t) / n * 1e6}

@DFF.API('calls')
def calls():
    DFF.cache.set('default', 'method')
    return [DFF.CACHE('default'), DFF.SYS_CACHE_DB.get('DataFluxFunc-worker#funcCache@%s:key:default:'
            % _DFF_SCRIPT_ID), DFF.SYS_CACHE_DB.set('plain', 1), DFF.SYS_CACHE_DB.run('incr', 'plain'),
            DFF.SYS_CACHE_DB.query('GET plain').decode()]
'''


@pytest.fixture(scope='module')
def redis():
    """A real server."""
    r = RedisServer().start()
    yield r
    r.stop()


class Cache:
    """The functions of the script on one platform."""

    def __init__(self, client):
        self.client = client
        self.script = client.script(SCRIPT)
        self.apis = {n: client.add_sync_api(self.script + '.' + n)
                     for n in ('commands', 'methods', 'pop', 'cost', 'calls')}

    def run(self, name, **kwargs):
        return self.client.result(self.apis[name], **kwargs)


@pytest.fixture(scope='module')
def embedded(server):
    """The cache in the hub."""
    return Cache(server.client())


@pytest.fixture(scope='module')
def remote(watch, redis):
    """The cache on the server."""
    s = Server(env={'DFF_REDIS_HOST': '127.0.0.1', 'DFF_REDIS_PORT': str(redis.port), 'DFF_REDIS_DATABASE': '3'})
    try:
        s.start()
        watch.servers.append(s)
        yield Cache(s.client())
        assert s.stop() == 0, s.log()[-3000:]
        assert not s.problems(), '\n'.join(s.problems())
    finally:
        if s in watch.servers:
            watch.servers.remove(s)
        s.close()


@pytest.fixture(params=['embedded', 'remote'])
def cache(request):
    """Both, one after the other."""
    return request.getfixturevalue(request.param)


# ---- command by command ------------------------------------------------------------------------------------------

def reference(redis, words):
    try:
        return redis.command(*words)
    except RedisError as e:
        text = str(e)
        return {'error': text[4:] if text.startswith('ERR ') else text, 'type': 'ResponseError'}


UNORDERED = {'hgetall', 'hkeys', 'hvals', 'smembers', 'keys', 'scan'}


def normal(words, reply):
    """Replies without an order, in order."""
    name = str(words[0]).lower() if words else ''
    if name == 'scan' and isinstance(reply, list):
        return ['0', sorted(reply[1])]
    if name == 'hgetall' and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2]))
    if name in UNORDERED and isinstance(reply, list):
        return sorted(reply)
    if name in ('pttl', 'ttl') and isinstance(reply, int) and reply > 0:
        return 'some time'
    if isinstance(reply, dict) and 'unknown command' in reply['error']:
        return 'unknown command'
    return reply


def agree(cache, redis, commands):
    """Runs all on both; every reply must be the same."""
    redis.command('FLUSHDB')
    got = cache.run('commands', list=[['FLUSHDB']] + commands)[1:]
    for i, (words, reply) in enumerate(zip(commands, got)):
        want = normal(words, reference(redis, words))
        assert normal(words, reply) == want, (words, commands[max(0, i - 8):i])


CASES = [line.split('|') for line in '''
set a 1|get a|get none|type a|type none|exists a a none|strlen a|strlen none|append a 23|get a|append new x
set a v nx|set a v xx|set none v xx|set b v nx|set b w get|get b|set none v get|set b v ex 100|ttl b|pttl b
set b v ex 0|set b v ex -1|set b v px abc|set b v ex|set b v ex 5 px 5|set b v nx xx|set b v foo|set b|get
set b v ex 100|set b w keepttl|ttl b|set b w|ttl b|persist b|set b v px 100000|persist b|persist b|ttl none
setnx c 1|setnx c 2|setex c 100 v|setex c 0 v|setex c x v|psetex c 100000 v|pttl c|getset c w|getset none w|getdel c
mset a 1 b 2 c|mset a 1 b 2|mget a b none|msetnx x 1 a 2|get x|msetnx x 1 y 2|mget x y
incr n|incrby n 5|decr n|decrby n 10|get n|incrby n abc|set n 9223372036854775807|incr n|decrby n -9223372036854775808
set n 01|incr n|set n +1|incr n|set n abc|incr n|set n -0|incr n|incrby n 1.5|set n 5|incrbyfloat n 0.1|get n
incrbyfloat f 1.5|incrbyfloat f -3|incrbyfloat f abc|set f abc|incrbyfloat f 1|incrbyfloat g 3.0e3|incrbyfloat g inf
getrange a 0 -1|set s hello|getrange s 1 3|getrange s -3 -1|getrange s 5 10|getrange s 3 1|getrange s -100 2
del a b none|unlink a|expire a 10|set a 1|expire a 10|expire a 10 nx|expire a 100 gt|expire a 50 gt|expire a 20 lt
set a 1|expire a 100 xx|expire a 100 nx gt|expire a 1 foo|expire a 99999999999999999|expire a 0|exists a|pexpire a 5
set a 1|expireat a 1|exists a|set a 1|expireat a 99999999999|ttl a|pexpireat a 99999999999999|set a 1|expire a -1
hset h f v|hset h f w g x|hset h f|hget h f|hget h none|hget none f|hgetall h|hgetall none|hkeys h|hvals h|hlen h
hexists h f|hset h f 1|hexists h f|hexists h none|hmset h a 1 b 2|hmget h a b c|hmget none a|hsetnx h a 9|hsetnx h z 9
hdel h a b none|hlen h|hdel none f|hincrby h n 5|hincrby h n -2|hset h t abc|hincrby h t 1|hincrby h n x|hincrbyfloat h n 0.5
hincrbyfloat h t 1|hset h big 9223372036854775807|hincrby h big 1|hdel h n t big|exists h
hset h a 1|hdel h a|exists h|type h|lpush l a b c|lrange l 0 -1|rpush l d e|lrange l 0 -1|lrange l 1 2|lrange l -2 -1
rpush l a b c d e|lrange l 5 9|lrange l 3 1|lrange none 0 -1|lrange l x 1|llen l|llen none|lpop l|rpop l|lpop none
rpush l a b c d e|lpop l 2|rpop l 2|lpop l 0|lpop l -1|lpop l x|lpop none 2|lpop l 99|exists l|lpop l 2 3
rpush l a b c d e|ltrim l 1 3|lrange l 0 -1|ltrim l 5 9|exists l|ltrim none 0 1|rpush l a|ltrim l -5 0|lrange l 0 -1
rpush l a b c|rpoplpush l m|lrange m 0 -1|rpoplpush l l|lrange l 0 -1|rpoplpush none m|set s v|rpoplpush l s|rpoplpush s l
lpushx none a|rpushx none a|rpush l a|lpushx l b|rpushx l c|lrange l 0 -1|lindex l 0|lindex l -1|lindex l 9|lset l 0 x
lset l 9 x|lset none 0 x|rpush l a b a c a|lset l 1 y|lset l x y|lrem l 1 a|lrem l -1 a|lrem l 0 a|lrange l 0 -1|lrem none 0 a
rpush l a b a c a d|lrem l -2 a|lrange l 0 -1|blpop l 1|brpop l 1|blpop none l 1|blpop l abc|blpop l -1|blpop none 0.01
sadd s a b a|sadd s c|smembers s|smembers none|scard s|scard none|sismember s a|sismember s x|srem s a x|srem s b c|exists s
zadd z 1 a 2 b 3 c|zadd z 1 a|zadd z 5 a|zadd z x a|zadd z 1|zadd z 1 a 2|zrange z 0 -1|zrange z 0 -1 withscores
zadd z 1 a 2 b 3 c|zrange z 1 2|zrange z -2 -1|zrange z 5 9|zrange z 2 1|zrange none 0 -1|zrevrange z 0 -1|zrevrange z 0 0 withscores
zadd z 1 a 2 b 3 c|zrange z 0 -1 rev|zrange z 0 1 rev withscores|zrange z 1 2 byscore|zrange z (1 3 byscore|zrange z (3 1 byscore rev
zadd z 1 a 2 b 3 c|zrange z -inf +inf byscore limit 1 1|zrange z 0 -1 limit 1 1|zrange z 0 -1 foo|zrange z x 1|zrange z x 1 byscore
zadd z nx 1 a|zadd z xx 2 a|zadd z xx 2 none|zadd z nx xx 1 a|zadd z gt 1 a|zadd z lt 1 a|zadd z gt lt 1 a|zadd z ch 9 a 1 b|zadd z incr 2 a
zadd z incr 1 q|zadd z incr 1 a 2 b|zadd z nx incr 1 q|zadd z 0.1 d|zscore z d|zscore z none|zscore none a|zincrby z 1.5 d|zincrby z x d
zadd z inf a|zincrby z -inf a|zadd z -inf b|zrange z 0 -1 withscores|zcard z|zcard none|zrem z a none|zrem z b|exists z|zrem none a
zadd z 1 a 1 b 1 c 1 B|zrange z 0 -1|zrank z a|zrank z c|zrevrank z a|zrank z none|zrank none a|zcount z 1 1|zcount z (1 2|zcount z x 1
zadd z 1 a 2 b 3 c 4 d|zrangebyscore z 2 3|zrangebyscore z (2 +inf withscores|zrevrangebyscore z 3 1|zrangebyscore z 1 4 limit 1 2
zadd z 1 a 2 b 3 c 4 d|zremrangebyscore z 2 3|zrange z 0 -1|zremrangebyrank z 0 0|zrange z 0 -1|zremrangebyrank z 0 -1|exists z
set s v|lpush s a|hset s f v|sadd s a|zadd s 1 a|hget s f|llen s|smembers s|zrange s 0 -1|incr s|lpush l a|get l|incr l|append l x
lpush l a|mget l|getset l v|set l v|get l|lpush m a|setnx m v|set m v get|hincrby m f 1|zincrby m 1 a|strlen m|rpop m|brpop s 1
set k1 1|set k2 2|set other 3|keys k*|keys *|keys k?|keys k[12]|keys k[^1]|keys k[1-9]|keys \\k1|scan 0|scan 0 match k* count 100
scan x|scan 0 foo|scan 0 count 0|scan 0 match|dbsize|rename k1 r|get r|get k1|rename none x|rename r r|renamenx r k2|renamenx r new
hset h f v|rename h h2|hget h2 f|zadd z 1 a|rename z z2|zrange z2 0 -1|set e v ex 100|rename e e2|ttl e2|ping|ping hello|ping a b
zadd z 0 a 0 b 0 c 0 d|zrangebylex z [b +|zrangebylex z - (c|zrangebylex z (a [c|zrevrangebylex z + (b|zrangebylex z x y|zrangebylex z [b [a
zadd z 0 a 0 b 0 c 0 d|zrange z [b + bylex|zrange z + [b bylex rev|zrange z - + bylex limit 1 2|zrange z - + bylex withscores|zrange z + - bylex
zadd z 0 a 0 b|zrangebylex z - + limit 1 1|zrangebylex z - + withscores|zrangebylex none - +|set s v|zrangebylex s - +|zrangebylex z - ++
hset h aa 1 ab 2 b 3|hscan h 0 match a[b]|hscan h 0 count 10 match b|hscan none 0|hscan h x|hscan h 0 foo 1|hscan h 0 match|hscan none 0 foo
zadd z 1 a|hscan z 0|lpush l a|zrangebylex l - +
publish topic message|publish topic|nonsense|nonsense a b|get a b|del|mget|hset h|lpush l|zadd z 1|expire a|dbsize x|flushdb|dbsize
'''.strip().splitlines()]


@pytest.mark.parametrize('case', CASES, ids=lambda c: c[0].replace(' ', '_')[:30])
def test_commands_agree(embedded, redis, case):
    """Types, errors and replies of every command."""
    agree(embedded, redis, [line.split(' ') for line in case])


KEYS = ['k%d' % i for i in range(6)]
WORDS = ['a', 'b', 'c', '1', '2', '-3', '10', '0.5', 'x y', '', 'ä', '\r\n', '*']


def random_command(r):
    key, word = (lambda: r.choice(KEYS)), (lambda: r.choice(WORDS))
    number = lambda: str(r.choice([0, 1, 2, 3, -1, -2, -3, 100, -100]))  # noqa: E731
    shapes = [
        ['get', key], ['set', key, word], ['set', key, word, 'ex', '1000'], ['set', key, word, 'nx'],
        ['set', key, word, 'xx', 'get'], ['getset', key, word], ['append', key, word], ['strlen', key],
        ['incr', key], ['decrby', key, number], ['incrbyfloat', key, word], ['mset', key, word, key, word],
        ['mget', key, key, key], ['getrange', key, number, number], ['del', key], ['exists', key, key],
        ['type', key], ['expire', key, '1000'], ['persist', key], ['ttl', key], ['rename', key, key],
        ['hset', key, word, word], ['hsetnx', key, word, word], ['hget', key, word], ['hgetall', key],
        ['hdel', key, word, word], ['hincrby', key, word, number], ['hmget', key, word, word], ['hlen', key],
        ['lpush', key, word, word], ['rpush', key, word], ['lpop', key], ['rpop', key, '2'], ['llen', key],
        ['lrange', key, number, number], ['ltrim', key, number, number], ['rpoplpush', key, key],
        ['lrem', key, number, word], ['lset', key, number, word], ['lindex', key, number],
        ['sadd', key, word, word], ['srem', key, word], ['smembers', key], ['scard', key], ['sismember', key, word],
        ['zadd', key, number, word, number, word], ['zadd', key, 'ch', number, word], ['zincrby', key, number, word],
        ['zrem', key, word], ['zrange', key, number, number, 'withscores'], ['zrevrange', key, number, number],
        ['zrangebyscore', key, number, number], ['zrank', key, word], ['zcount', key, number, number],
        ['zremrangebyrank', key, number, number], ['zcard', key], ['keys', '*'], ['dbsize'],
    ]
    return [x() if callable(x) else x for x in r.choice(shapes)]


@pytest.mark.parametrize('seed', range(4))
def test_random_commands_agree(embedded, redis, seed):
    """Long random sequences on a few keys of all types."""
    r = random.Random(seed)
    agree(embedded, redis, [random_command(r) for _ in range(3000)])


# ---- the methods of scripts, on both ------------------------------------------------------------------------------

METHODS = [
    ('set', ['k', 'v'], {}, True),
    ('get', ['k'], {}, 'v'),
    ('get', ['none'], {}, None),
    ('get', ['k'], {'scope': 'elsewhere'}, None),
    ('set', ['k', 'v2'], {'not_exists': True}, None),
    ('set', ['none', 'v2'], {'exists': True}, None),
    ('set', ['k', 5], {'expires': 100}, True),
    ('ttl', ['k'], {}, 100),
    ('set', ['k', 1.5], {'expire': 50}, True),
    ('get', ['k'], {}, '1.5'),
    ('set', ['k', {'a': 1}], {}, "DataError: Invalid input of type: 'dict'. Convert to a bytes, string, int or "
                                 "float first."),
    ('set', ['k', [1]], {}, "DataError: Invalid input of type: 'list'. Convert to a bytes, string, int or float first."),
    ('set', ['k', True], {}, "DataError: Invalid input of type: 'bool'. Convert to a bytes, string, int or float "
                             "first."),
    ('type', ['k'], {}, 'string'),
    ('type', ['none'], {}, None),
    ('exists', ['k'], {}, True),
    ('exists', ['none'], {}, False),
    ('expire', ['k', 0], {}, True),
    ('ttl', ['none'], {}, -2),
    ('expireat', ['k', 99999999999], {}, True),
    ('mset', [{'a': 1, 'b': 'zwei'}], {}, True),
    ('mget', [['a', 'b', 'none']], {}, {'a': '1', 'b': 'zwei', 'none': None}),
    ('getset', ['a', 2], {}, '1'),
    ('incr', ['a'], {}, 3),
    ('incr', ['a', 5], {}, 8),
    ('incrby', ['a', -3], {}, 5),
    ('incr', ['b'], {}, 'ResponseError: value is not an integer or out of range'),
    ('hget', ['a', 'f'], {}, 'ResponseError: WRONGTYPE Operation against a key holding the wrong kind of value'),
    ('hset', ['h', 'f', 'v'], {}, 1),
    ('hset', ['h', 'f', 'w'], {'not_exists': True}, False),
    ('hsetnx', ['h', 'g', 1], {}, True),
    ('hmset', ['h', {'x': 1, 'y': 2}], {}, True),
    ('hget', ['h', 'f'], {}, 'v'),
    ('hmget', ['h', ['x', 'none']], {}, {'x': '1', 'none': None}),
    ('hgetall', ['h'], {}, {'f': 'v', 'g': '1', 'x': '1', 'y': '2'}),
    ('hkeys', ['h', 'x*'], {}, ['x']),
    ('hkeys', ['h', '[fx]'], {}, []),
    ('hkeys', ['h', '?'], {'with_values': True}, {'f': 'v', 'g': '1', 'x': '1', 'y': '2'}),
    ('hincr', ['h', 'x'], {}, 2),
    ('hincrby', ['h', 'x', 10], {}, 12),
    ('hdel', ['h', ['x', 'y', 'none']], {}, 2),
    ('hdel', ['h', 'f'], {}, 1),
    ('lpush', ['l', ['a', 'b']], {}, 2),
    ('rpush', ['l', 'c'], {}, 3),
    ('push', ['l', 'd'], {}, 4),
    ('lrange', ['l'], {}, ['d', 'b', 'a', 'c']),
    ('lrange', ['l', 1, 2], {}, ['b', 'a']),
    ('llen', ['l'], {}, 4),
    ('ltrim', ['l', 0, 2], {}, True),
    ('lpop', ['l'], {}, 'd'),
    ('pop', ['l'], {}, 'a'),
    ('rpoplpush', ['l', 'm'], {'dest_scope': 'other'}, 'b'),
    ('lrange', ['m'], {'scope': 'other'}, ['b']),
    ('blpop', ['m', 1], {'scope': 'other'}, ['m', 'b']),
    ('bpop', ['m', 0.05], {'scope': 'other'}, None),
    ('sadd', ['s', ['a', 'b', 'a']], {}, 2),
    ('scard', ['s'], {}, 2),
    ('sismember', ['s', 'a'], {}, True),
    ('srem', ['s', ['a', 'none']], {}, 1),
    ('smembers', ['s'], {}, ['b']),
    ('zadd', ['z', {'a': 1, 'b': 2.5}], {}, 2),
    ('zrange', ['z'], {}, ['a', 'b']),
    ('zrange', ['z', 0, -1], {'reverse': True, 'with_scores': True}, [['b', 2.5], ['a', 1.0]]),
    ('zcard', ['z'], {}, 2),
    ('zrem', ['z', 'a'], {}, 1),
    ('publish', ['topic', 'message'], {}, 0),
    ('run', ['append', 'k', 'x'], {}, 4),
    ('run', ['set', 'k', 'v'], {'ex': 10, 'nx': True}, None),
    ('run', ['subscribe', 'k'], {}, None),
    ('delete', [['a', 'b', 'none']], {}, 2),
    ('delete', ['h'], {}, 1),
    ('delete_pattern', ['none*'], {}, None),
    ('get_pattern', ['none*'], {}, None),
]


def test_methods(cache):
    """Every method of CACHE with what it gives back."""
    got = cache.run('methods', calls=[[n, a, k] for n, a, k, _ in METHODS])
    for (name, args, kwargs, want), value in zip(METHODS, got):
        if name == 'run' and args[0] == 'subscribe':
            assert 'unknown command' in value
        else:
            assert value == want, (name, args, kwargs)


def test_keys_and_patterns(cache):
    """Names are the script's own, whatever they look like; other scopes stay apart."""
    odd = ['a', 'ab', 'a*b', 'a[1]', 'x:key:y:', 'ä ö', '']
    got = cache.run('methods', calls=[['mset', [{k: 'v' for k in odd}], {'scope': 's[1]*'}],
                                      ['keys', [], {'scope': 's[1]*'}], ['keys', ['a?'], {'scope': 's[1]*'}],
                                      ['keys', ['*'], {'scope': 's1'}],
                                      ['get_pattern', ['ab'], {'scope': 's[1]*'}],
                                      ['delete_pattern', ['a*'], {'scope': 's[1]*'}],
                                      ['keys', [], {'scope': 's[1]*'}]])
    assert sorted(got[1]) == sorted(odd)
    assert got[2:4] == [['ab'], []]
    assert got[4] == {'DataFluxFunc-worker#funcCache@s[1]*:key:ab:': 'v'}
    assert got[5] == 4
    assert sorted(got[6]) == ['', 'x:key:y:', 'ä ö']


def test_default_method_and_sys_cache(cache):
    """DFF.CACHE('k'), lower case, and the same store with keys as they are."""
    assert cache.run('calls') == ['method', 'method', True, 2, '2']


def test_expiry(cache):
    """Keys go when their time has come, without anybody asking for them."""
    cache.run('methods', calls=[['set', ['soon%d' % i, 'v'], {'expires': 0.2, 'scope': 'exp'}] for i in range(50)])
    assert wait_for(lambda: cache.run('methods', calls=[['keys', [], {'scope': 'exp'}]]) == [[]], 5)


def test_blocking_pop(cache):
    """Waits in its worker only: others run meanwhile, the first that came is served first."""
    key = 'queue-%d' % time.time_ns()
    results = []

    def wait(n):
        results.append((n, cache.client.result(cache.apis['pop'], key=key, timeout=15)[0]))
    first = threading.Thread(target=wait, args=(1,))
    first.start()
    time.sleep(0.3)
    assert cache.run('methods', calls=[['set', ['other', 'v'], {}]]) == [True]
    assert cache.run('methods', calls=[['rpush', [key, ['one', 'two']], {}]]) == [2]
    first.join(10)
    assert results == [(1, [key, 'one'])]
    assert cache.run('pop', key=key, timeout=5)[0] == [key, 'two']
    got, seconds = cache.run('pop', key=key, timeout=0.3)
    assert got is None and seconds >= 0.3


# ---- bounds and failures --------------------------------------------------------------------------------------------

def test_memory_bound(new_server):
    """A full cache refuses writes and says what to do; deleting makes room."""
    s = new_server(args=('--cache-memory', '1M'))
    s.start()
    cache = Cache(s.client())
    big = 'x' * 100_000
    got = cache.run('methods', calls=[['set', ['k%d' % i, big], {}] for i in range(20)])
    refused = [x for x in got if x is not True]
    assert 8 <= got.count(True) <= 11
    assert all('ResponseError: OOM the cache is full (1 MiB)' in x and 'cache_memory' in x for x in refused)
    assert cache.run('methods', calls=[['get', ['k0'], {}]]) == [big]
    names = ['k%d' % i for i in range(20)]
    assert cache.run('methods', calls=[['delete', [names], {}]]) == [got.count(True)]
    assert cache.run('methods', calls=[['set', ['k', big], {}]]) == [True]
    for kind in ('rpush', 'sadd'):
        got = cache.run('methods', calls=[[kind, [kind, [str(i) * 100 for i in range(j, j + 50)]], {}]
                                          for j in range(0, 20000, 50)])
        assert any('OOM' in str(x) for x in got), kind
        cache.run('methods', calls=[['delete', [kind], {}]])


def test_server_lost(new_server):
    """Without its server the cache says so; when it is back, everything goes on."""
    r = RedisServer().start()
    try:
        s = new_server(args=('--cache-redis', '127.0.0.1:%d' % r.port))
        s.start()
        cache = Cache(s.client())
        assert cache.run('methods', calls=[['set', ['k', 'v'], {}]]) == [True]
        r.process.terminate()
        r.process.wait(10)
        got = cache.run('methods', calls=[['get', ['k'], {}], ['set', ['k', 'v'], {}]])
        assert all(x.startswith('ConnectionError: the Redis server of the cache at 127.0.0.1') for x in got), got
        r.start()
        assert wait_for(lambda: cache.run('methods', calls=[['set', ['k', 'v'], {}]]) == [True], 10)
    finally:
        r.stop()


def test_password(new_server):
    """AUTH with the password of the settings; a wrong one is a clear error."""
    r = RedisServer('--requirepass', 'open sesame').start()
    try:
        for password, good in (('open sesame', True), ('wrong', False)):
            s = new_server(env={'DFF_REDIS_HOST': '127.0.0.1', 'DFF_REDIS_PORT': str(r.port),
                                'DFF_REDIS_PASSWORD': password})
            s.start()
            got = Cache(s.client()).run('methods', calls=[['set', ['k', 'v'], {}]])[0]
            assert got is True if good else 'WRONGPASS' in got
            s.stop()
    finally:
        r.stop()


def test_garbage_harms_nobody(cache):
    """What a script sends past the shim is refused as a whole."""
    script = cache.client.script('''
import _tenon
@DFF.API('raw')
def raw(text):
    return _tenon.ask('cache.run', text).decode()
''')
    api_id = cache.client.add_sync_api(script + '.raw')
    for text in ('', 'GET k\r\n', '*1\r\n$3\r\nGET', '*-1\r\n', '*99999999\r\n', '*1\r\n$99999999999\r\nx\r\n',
                 '*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n', '*1\r\n$4\r\nQUIT\r\n',
                 '*1\r\n$-1\r\n', '*1\r\n$18446744073709551615\r\nx\r\n', '*1\r\n$2\r\nab'):
        assert cache.client.result(api_id, text=text).startswith('-ERR '), text
    assert cache.run('methods', calls=[['set', ['k', 'v'], {}]]) == [True]


def test_routes(cache):
    """func-caches: what scripts have cached, by scope and key."""
    client = cache.client
    cache.run('methods', calls=[['mset', [{'r:1': 'text', 'r:2': '{"a": [1]}', 'r:ä': 'x'}], {'scope': 'routes'}],
                                ['lpush', ['list', 'a'], {'scope': 'routes'}]])
    rows = client.get('/func-caches/do/list', scope='routes')
    assert [(r['scope'], r['key']) for r in rows] == [('routes', k) for k in ('list', 'r:1', 'r:2', 'r:ä')]
    assert [r['key'] for r in client.get('/func-caches/do/list', scope='routes', key='r:2')] == ['r:2']
    assert [r['key'] for r in client.get('/func-caches/do/list', _fuzzySearch='r:ä')] == ['r:ä']
    assert client.get('/func-caches/routes/r:2/do/get') == '{"a": [1]}'
    assert client.get('/func-caches/routes/r:2/do/get', preferJSON='true') == {'a': [1]}
    assert client.get('/func-caches/routes/r:1/do/get', preferJSON='true') == 'text'
    assert client.get('/func-caches/routes/none/do/get') is None
    envelope = client.envelope('GET', '/func-caches/routes/list/do/get')
    assert envelope['reason'] == 'ESysCache' and 'WRONGTYPE' in envelope['message']
    client.get('/func-caches/routes/r:ä/do/delete')
    assert cache.run('methods', calls=[['keys', ['r*'], {'scope': 'routes'}]]) in (
        [['r:1', 'r:2']], [['r:2', 'r:1']])
