# SPDX-License-Identifier: Apache-2.0
"""DFF.SYS_CACHE_DB (spec 3.5, 4.5): the cases of the Redis connector, on the cache in the hub and on a Redis server."""

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
