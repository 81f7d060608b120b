# SPDX-License-Identifier: Apache-2.0
"""connectors/redis in scripts, against a real server, compared with redis-py where it matters."""

import re
import socket
import subprocess

import pytest
from peers.redis import PASSWORD, Redis
from support import redis_cases
from support.cases import (BREAKS, GONE, LATE, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, FewConnections, Panel,
                           PasswordChanges, Refusals, TlsIsMissed, TlsNotOffered, calls)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row
from support.server import free_port, wait_for


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


@pytest.mark.parametrize('case', sorted(redis_cases.CASES))
def test_helper(api, cid, k, case):
    """What DFF.SYS_CACHE_DB promises, too (test_sys_cache)."""
    redis_cases.CASES[case](lambda body, **kwargs: on(api, cid, body, **kwargs), k)


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


def test_commands_as_bytes(api, cid, k):
    """The name of a command as bytes is the same command: nothing of it reaches the next call either."""
    got = on(api, cid, '''
return [tell(lambda: c.query(b'SUBSCRIBE', 'x')), tell(lambda: c.pipeline([[b'monitor']])), tell(lambda: c.query('CLIENT', b'reply', 'OFF')),
        tell(lambda: c.pipeline([['client', 'Reply', 'skip']])), c.pipeline([['SET', k, 1], [b'select', b'3'], ['SET', k, 3]]), c.get(k)]
''', k=k)
    assert [g[0] for g in got[:4]] == ['NotSupported'] * 4 and got[4:] == [[True, True, True], '3'], got
    assert on(api, cid, "return [c.get(k), c.query(b'SELECT', 3), c.get(k)]", k=k) == ['1', True, '3']
    assert on(api, cid, "return c.get(k)", k=k) == '1'


def test_sentinel(api, tmp_path):
    """It answers PING, so a connection test must look closer."""
    port = free_port()
    (tmp_path / 's.conf').write_text('port %d\nbind 127.0.0.1\nsentinel monitor m 127.0.0.1 1 1\n' % port)
    with subprocess.Popen(['redis-server', str(tmp_path / 's.conf'), '--sentinel'], stdout=subprocess.DEVNULL) as sentinel:
        try:
            assert wait_for(lambda: socket.socket().connect_ex(('127.0.0.1', port)) == 0)
            e = not_addable(api, 'redis', {'host': '127.0.0.1', 'port': port})
            assert e['exceptionType'] == 'ConfigError' and 'this is a Sentinel' in e['exception'], e
        finally:
            sentinel.terminate()


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


class TestRedis(Contract, Panel, FewConnections, PasswordChanges, Breaks, BadLines, Refusals, TlsIsMissed, TlsNotOffered, ClientCertificate):
    """What redis shares with the other connectors."""

    type, fixture, make = 'redis', 'rs', Redis
    ask, gives = "c.set('k', 1)", True
    tls_ask, tls_gives = "[c.set('k', 'x' * 300000), len(c.get('k'))]", [True, 300000]
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_FIELD, ({'password': 'x'}, 'ConfigError', 'the server has no password')]
    cut_after = 2
    before_break, fetch, small, large = "c.set('big', 'x' * 50000)", "len(c.get('big')) or n", 50000, 50000
    breaks = [*BREAKS, ('garbage', GONE), ('huge', ('LimitExceeded', LATE))]
    flood = b'$500000000\r\n'
    panel = [("SET k 'two words'", lambda got: got is True), ('GET k', lambda got: got == 'two words')]
    panel_refused = 'NOSUCH'
    contract = ['get=["k"]']
    not_offered = {'pool': {'connect': '1s'}}  # to Redis it is half a command: it waits for the rest

    def to_restart(self, request):
        return peer(Redis, password=True)

    def tls_configs(self, own, ca):
        """With the original's name for it, too."""
        yield from super().tls_configs(own, ca)
        yield own.config(useSSL=True, tls_ca=ca)


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'redis', 'hiredis (parser), OpenSSL', 'Redis 7.0')
