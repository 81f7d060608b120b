# SPDX-License-Identifier: Apache-2.0
"""DFF.SYS_CACHE_DB (spec 3.5, 4.5): the cases of the Redis connector, on the cache in the hub and on a Redis server."""

import random
import threading

import pytest

from support import redis_cases
from support.connectors import fresh, run
from support.redis_server import RedisServer
from support.server import Server

SCRIPT = '''
import time
def tell(call):
    try:
        call()
    except Exception as e:
        return [type(e).__name__, str(e)]
@DFF.API('f', timeout=30)
def f(%s):
    c = DFF.SYS_CACHE_DB
%s
'''


def on(client, body, **kwargs):
    """The result of these lines with c = DFF.SYS_CACHE_DB."""
    lines = '\n'.join('    ' + line for line in body.strip('\n').split('\n'))
    return run(client, SCRIPT % (', '.join(kwargs), lines), **kwargs)


@pytest.fixture(scope='module')
def hub_cache(server):
    """The cache in the hub."""
    return server.client()


@pytest.fixture(scope='module')
def redis_cache(watch):
    """The cache on a real server."""
    redis = RedisServer().start()
    s = Server(env={'DFF_REDIS_HOST': '127.0.0.1', 'DFF_REDIS_PORT': str(redis.port)})
    try:
        s.start()
        watch.servers.append(s)
        yield s.client()
        assert s.stop() == 0, s.log()[-3000:]
        assert not s.problems(), '\n'.join(s.problems())
    finally:
        if s in watch.servers:
            watch.servers.remove(s)
        s.close()
        redis.stop()


@pytest.fixture(params=['hub_cache', 'redis_cache'])
def client(request):
    """Both, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize('case', sorted(redis_cases.CASES))
def test_helper(client, case):
    """The methods, as the connector has them."""
    redis_cases.CASES[case](lambda body, **kwargs: on(client, body, **kwargs), fresh('k'))


def test_every_method_of_the_contract(hub_cache):
    """Spec 4.5 by name."""
    names = '''dbsize info type keys exists expire expireat ttl pttl delete set mset get mget getset incr incrby hkeys hset
        hmset hsetnx hget hmget hgetall hincr hincrby hdel lpush rpush lpop rpop blpop brpop rpoplpush llen lrange ltrim push
        pop bpop sadd srem scard smembers sismember zadd zrem zcard zrange publish pub get_pattern delete_pattern hget_pattern
        hget_expires hget_pattern_expires lock extend_lock_time unlock ts_add ts_get zpop_below_lpush zpop_above_lpush
        zpop_below_lpush_all put_tasks query run check'''.split()
    assert on(hub_cache, 'return [n for n in names if not callable(getattr(c, n, None))]', names=names) == []


def test_positions(client):
    """Arguments stand where the helper has them: no scope in between."""
    k = fresh('k')
    assert on(client, '''
out = [c.set(k, 'v', 50), c.ttl(k), c.rpush(k + 'l', [1, 2, 3]), c.lpop(k + 'l', 2), c.pop(k + 'l', 5)]
c.zadd(k + 'z', {'a': 1, 'b': 2, 'c': 3})
return out + [c.zrange(k + 'z', 2, 3, True), c.zrange(k + 'z', '[b', '+', False, True), c.zrange(k + 'z', 0, 0, False, False, True, True),
              c.hset(k + 'h', 'f', 'v', {'g': 'w'}), c.hkeys(k + 'h', 'f', True), c.set(k, 'w', None, False, True, True)]
''', k=k) == [True, 50, 3, ['1', '2'], ['3'], ['b', 'c'], ['b', 'c'], [['c', 3.0]], 2, {'f': 'v'}, 'v']


def test_lock_excludes(client):
    """Scripts at the same time: who holds the lock is alone, and nobody's lock is given back by another one."""
    k, results = fresh('k'), []
    api_id = client.function('''
import time
@DFF.API('count', timeout=30)
def count(k, me):
    c, done = DFF.SYS_CACHE_DB, 0
    while done < 20:
        if not c.lock(k, me, 10):
            time.sleep(0.001)
            continue
        n = int(c.get(k + 'n') or 0)
        c.set(k + 'n', n + 1)
        c.extend_lock_time(k, me, 10)
        done += c.unlock(k, me)
    return done
''', 'count', {'k': 'INPUT_BY_CALLER', 'me': 'INPUT_BY_CALLER'})
    threads = [threading.Thread(target=lambda i=i: results.append(client.result(api_id, k=k, me=str(i)))) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [20] * 4
    assert on(client, "return [c.get(k + 'n'), c.exists(k)]", k=k) == ['80', False]


STEPS = '''
from tenon_shim import redis_like
@DFF.API('steps', timeout=60)
def steps(commands):
    redis_like.ask('FLUSHDB')
    out = []
    for words in commands:
        try:
            out.append(redis_like.ask(*words))
        except redis_like.ResponseError as e:
            out.append('error ' + ('type' if 'WRONGTYPE' in str(e) else 'other'))
    return out
'''


def a_step(r):
    """A step or what prepares one, on a few keys of all types."""
    key, word = (lambda: r.choice(['a', 'b', 'c', 'd'])), (lambda: r.choice(['me', 'you', '', '7', '0.5', '1,2', '60,3', 'ä']))
    number = lambda: str(r.choice([0, 1, 60, 61, 120, -1, 1.5, '(60', '-inf', '+inf']))  # noqa: E731
    return [x() if callable(x) else x for x in r.choice([
        ['SET', key, word], ['SET', key, word, 'EX', '100'], ['LPUSH', key, word], ['ZADD', key, r.choice([0, 60, 120]), word], ['DEL', key],
        ['HSET', key, word, word], ['GET', key], ['LRANGE', key, 0, -1], ['ZRANGE', key, 0, -1, 'WITHSCORES'], ['EXISTS', key],
        ['TENON.UNLOCK', key, word], ['TENON.EXTEND', key, word, r.choice(['100', '1000'])], ['tenon.unlock', key, word],
        ['TENON.ZMOVE', key, key, number, number, r.choice(['one', 'all'])], ['TENON.ZMOVE', key, key, '-inf', '+inf', 'one'],
        ['TENON.TSADD', key, r.choice([0, 60, 120]), r.choice(['1', '2.5', '-0.1', '"x"', 'null']), 'update', r.choice([-100, 0, 60, 61]), 100],
        ['TENON.TSADD', key, r.choice([0, 60, 120]), r.choice(['1', '2.5', '-0.1', '1e300', '9007199254740991']), 'addUp', r.choice([-100, 60]), 100],
    ])]


@pytest.mark.parametrize('seed', range(3))
def test_steps_agree(hub_cache, redis_cache, seed):
    """What one step does, in the hub and as a script at the server: the same replies, whatever the keys hold."""
    r = random.Random(seed)
    commands = [a_step(r) for _ in range(2000)]
    got = [c.result(c.function(STEPS, 'steps', {'commands': 'INPUT_BY_CALLER'}), commands=commands) for c in (hub_cache, redis_cache)]
    for i, (words, mine, theirs) in enumerate(zip(commands, *got)):
        assert mine == theirs, (words, commands[max(0, i - 12):i])
