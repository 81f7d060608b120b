# SPDX-License-Identifier: Apache-2.0
"""connectors/memcached in scripts, against real servers, compared with pylibmc where it matters."""

import itertools
import socket
import time
import zlib

import pytest
from peers.memcached import PASSWORD, Memcached
from peers.memcached_script import MemcachedScript
from support.cases import (BREAKS, GONE, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, FewConnections, Panel, PasswordChanges,
                           Readme, Refusals, TlsIsMissed, TlsNotOffered, calls)
from support.connectors import add, fresh, not_addable, on, peer, refused
from support.matrix import check_row
from support.server import wait_for


@pytest.fixture(scope='module')
def mc():
    with peer(Memcached) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, mc):
    return add(server.client(), 'memcached', mc.config())


@pytest.fixture
def k():
    """A prefix of keys nobody has."""
    return fresh('k')


@pytest.fixture(scope='module')
def three():
    """Three servers, for what is spread over them."""
    with peer(Memcached) as a, peer(Memcached) as b, peer(Memcached) as c:
        yield [a, b, c]


def raw(port, request):
    """What the server answers, by a socket of our own."""
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR)
        got = b''
        while True:
            more = s.recv(65536)
            if not more:
                return got
            got += more


# ---- the helper ---------------------------------------------------------------------------------------------


def test_one_key(api, cid, k):
    got = on(api, cid, '''
out = [c.get(k), c.get(k, 'none'), c.set(k, 'v'), c.get(k, 'none'), c.add(k, 'w'), c.add(k + '2', 'w'), c.replace(k, 'r'), c.replace(k + 'no', 'r'), c.get(k)]
out += [c.append(k, 'end'), c.prepend(k, 'begin'), c.get(k), c.append(k + 'no', 'x')]
out += [c.set(k + 'n', 5), c.incr(k + 'n'), c.incr(k + 'n', 10), c.decr(k + 'n', 9), c.get(k + 'n'), c.decr(k + 'n', 100), c.incr(k + 'no'), c.incr(k + 'n', -1)]
value, token = c.gets(k)
out += [value, c.cas(k, 'mine', token), c.cas(k, 'late', token), c.get(k), c.cas(k + 'no', 1, token), c.gets(k + 'no')]
out += [c.touch(k, 100), c.touch(k + 'no', 100), c.gat(k, 50), c.gat(k + 'no', 50), c.meta('mg', k, ['t'])['flags'][0] in ('t49', 't50')]
out += [c.delete(k), c.delete(k), c.get(k), c.check()]
return out
''', k=k)
    assert got == [None, 'none', True, 'v', False, True, True, False, 'r',
                   True, True, 'beginrend', False,
                   True, 6, 16, 7, 7, 0, None, 0,
                   'beginrend', True, False, 'mine', None, [None, None],
                   True, False, 'mine', None, True,
                   True, False, None, None]


def test_values_keep_their_type(api, cid, k):
    got = on(api, cid, '''
values = ['', 'text', '\u6570\U0001f600', 'a\\r\\nEND\\r\\n', 0, -5, 2**63 - 1, 1.5, 2.0, None, [1, 'a', None, {'x': [1.5]}], {'a': {'b': [True, False]}}, 'x' * 900000]
for i, v in enumerate(values):
    c.set(k + str(i), v)
    assert c.get(k + str(i)) == v and type(c.get(k + str(i))) is type(v), v
c.set(k, b'\\x00\\xff\\r\\n')
out = [c.get(k) == b'\\x00\\xff\\r\\n', c.set(k, True), c.get(k) is True]
c.set(k, 'long text ' * 1000, min_compress_len=100)
out += [c.get(k) == 'long text ' * 1000, len(c.meta('mg', k, ['v'])['value']) < 200]
c.set(k, 5, 0, 1)
out += [c.get(k)]
out += [tell(lambda: c.set(k, v))[0] for v in (datetime.datetime.now(), float('nan'), [b'x'])]
return out
''', k=k)
    assert got == [True, True, True, True, True, 5] + ['InvalidArgument'] * 3


def test_many_keys(api, cid, k, three):
    """The same over one server and over three."""
    over = add(api, 'memcached', {'servers': ['127.0.0.1:%d' % p.port for p in three]})
    for c in (cid, over):
        got = on(api, c, '''
pairs = {str(i): i for i in range(700)}
out = [c.set_multi(pairs, key_prefix=k), c.get_multi(list(pairs), key_prefix=k) == pairs, c.get(k + '699')]
out += [c.get_multi([k + '1', k + 'no', k + '2']) == {k + '1': 1, k + '2': 2}, c.get_multi([]), c.set_multi({})]
out += [c.set_multi({k + 'a': 'x' * 2000000, k + 'b': 'ok'}) == [k + 'a'], c.get(k + 'b')]
out += [c.delete_multi(list(pairs) + ['no'], k), c.get_multi(list(pairs), k)]
return out
''', k=k)
        assert got == [[], True, 699, True, {}, [], True, 'ok', 700, {}]
    stats = on(api, over, "return [sorted(c.stats()), sorted(c.version()), c.get_stats('settings') != {}]")
    assert len(stats[0]) == 3 and stats[0] == stats[1] and stats[2]
    assert all(int(on(api, over, 'return c.stats()')['127.0.0.1:%d' % p.port]['cmd_set']) > 100 for p in three)


def test_run_and_meta(api, cid, k):
    got = on(api, cid, '''
out = [c.run('set', k, 'v', 60), c.query('get', k), c.query('GET ' + k), c.run('set', k, 'w', time=60), c.run('incr', k + 'no'), c.run('get_multi', [k])]
out += [c.query('set %s 5 60' % k), c.query('get', k), c.meta('ms', k, ['T60', 'F16'], 'meta'), c.get(k), c.meta('mg', k, ['v', 'f', 't'])]
out += [c.meta('md', k), c.meta('mg', k, ['v'])['code'], c.meta('ma', k + 'n', ['N0', 'J7', 'v'])]
out += [tell(lambda: c.run('quit'))[0], tell(lambda: c.run('set', k))[0], tell(lambda: c.meta('mg', k, ['q']))[0], tell(lambda: c.meta('mn', k))[0]]
out += [c.get(k), c.check()]
return [repr(o) for o in out]
''', k=k)
    assert got[:6] == ['True', "'v'", "'v'", 'True', 'None', "{%r: 'w'}" % k]
    assert got[6:8] == ['True', "'5'"] and "'HD'" in got[8] and got[9] == "'meta'"
    assert "'value': b'meta'" in got[10] and "'f16'" in got[10] and "'HD'" in got[11] and got[12] == "'EN'" and "b'7'" in got[13]
    assert got[14:] == ["'NotSupported'", "'InvalidArgument'", "'NotSupported'", "'InvalidArgument'", 'None', 'None']


@pytest.mark.parametrize('behaviors, config', [
    ({'ketama': True, 'ketama_weighted': True, 'hash': 'md5'}, {'distribution': 'ketama'}),
])
def test_as_pylibmc(api, three, k, behaviors, config):
    """What one wrote on three servers the other reads, so the ring is the same; flags of both."""
    pylibmc = pytest.importorskip('pylibmc')
    theirs = pylibmc.Client(['127.0.0.1:%d' % p.port for p in three], behaviors=behaviors)
    ours = add(api, 'memcached', {'servers': ','.join('127.0.0.1:%d' % p.port for p in three), **config})
    names = [k + str(i) for i in range(200)]
    on(api, ours, 'c.set_multi({n: n for n in names})', names=names)
    assert {n: v.encode() if isinstance(v, str) else v for n, v in theirs.get_multi(names).items()} == {n: n.encode() for n in names} or \
        all(theirs.get(n) is not None for n in names)
    theirs.set_multi({n: 'their ' + n for n in names})
    assert on(api, ours, 'return c.get_multi(names)', names=names) == {n: 'their ' + n for n in names}
    theirs.set(k, 12345678901234)
    theirs.set(k + 'z', 'packed ' * 5000, min_compress_len=10)
    theirs.set(k + 'p', {'a': object})
    got = on(api, ours, "return [c.get(k), c.get(k + 'z') == 'packed ' * 5000, tell(lambda: c.get(k + 'p')), c.get(k)]", k=k)
    assert got[0] == 12345678901234 and got[1] is True and got[2][0] == 'NotSupported' and 'pickle' in got[2][1] and got[3] == got[0]


def test_where_python_memcached_puts_it(api, three, k):
    """The rule of python-memcached, computed here: another program of the same installation finds its keys."""
    ports = [p.port for p in three]
    cid = add(api, 'memcached', {'servers': '127.0.0.1:%d,127.0.0.1:%d:2,127.0.0.1:%d' % tuple(ports)})
    buckets = [ports[0], ports[1], ports[1], ports[2]]
    names = [k + str(i) for i in range(40)]
    on(api, cid, 'c.set_multi({n: 1 for n in names})', names=names)
    for n in names:
        h = ((zlib.crc32(n.encode()) & 0xffffffff) >> 16) & 0x7fff or 1
        assert raw(buckets[h % 4], b'get %s\r\n' % n.encode()).startswith(b'VALUE '), n


def test_as_python_memcached(api, three, k):
    """The client of the original: the same servers have the same keys, and each reads what the other wrote; its pickles stay closed."""
    memcache = pytest.importorskip('memcache')
    a, b, c = ('127.0.0.1:%d' % p.port for p in three)
    theirs = memcache.Client([a, (b, 2), c])
    ours = add(api, 'memcached', {'servers': '%s,%s:2,%s' % (a, b, c)})
    values = {'text': 'a\u6570\r\nEND\r\n', 'empty': '', 'int': -5, 'big': 2 ** 70, 'zlib': 'packed ' * 500, **{'n%d' % i: i for i in range(60)}}
    assert theirs.set_multi({k + n: v for n, v in values.items()}, min_compress_len=1000) == []
    assert theirs.set(k + 'bytes', b'\x00\xff') and all(theirs.set(k + n, v) for n, v in (('dict', {'a': 1}), ('none', None), ('true', True)))
    got = on(api, ours, '''
got = c.get_multi(list(values), k)
wrong = [n for n, v in values.items() if got[n] != v or type(got[n]) is not type(v)]
told = [tell(lambda: c.get(k + n)) for n in ('dict', 'none', 'true')]
mine = {'mine' + n: v for n, v in values.items()}
return [wrong, c.get(k + 'bytes') == b'\\x00\\xff', told, c.set_multi(mine, 0, k, 1000), c.set(k + 'mineb', b'\\xff')]
''', k=k, values=values)
    assert got[:2] == [[], True] and got[3:] == [[], True]
    assert [t[0] for t in got[2]] == ['NotSupported'] * 3 and 'pickle' in got[2][0][1]
    for n, v in {**values, 'b': b'\xff'}.items():
        back = theirs.get(k + 'mine' + n)
        assert back == v and type(back) is type(v), n


def test_hostile_values(api, mc, cid, k):
    """What others may have put there: bombs, wrong flags, pickles. The connection lives on."""
    small = add(api, 'memcached', mc.config(max_result='1M'))
    bomb = zlib.compress(b'x' * 50_000_000)
    for name, flags, data in (('bomb', 8 + 16, bomb), ('zlib', 8, b'no zlib'), ('int', 2, b'12x'), ('json', 64, b'{"a":'),
                              ('pickle', 1, b"cos\nsystem\n(S'id'\ntR."), ('both', 9, bomb[:100]), ('odd', 4096, b'raw'), ('text', 16, b'\xff\xfe'),
                              ('big', 4, b'9' * 30)):
        assert raw(mc.port, b'set %s %d 0 %d\r\n%s\r\n' % ((k + name).encode(), flags, len(data), data)) == b'STORED\r\n'
    got = on(api, small, '''
out = [tell(lambda: c.get(k + n))[0] for n in ('bomb', 'zlib', 'int', 'json', 'pickle', 'both')]
out += [c.get(k + 'odd') == b'raw', c.get(k + 'text') == b'\\xff\\xfe', c.get(k + 'big') == int('9' * 30)]
out += [tell(lambda: c.get_multi([k + 'pickle', k + 'odd']))[1]]
c.set(k, 1)
return out + [c.get_multi([k]) == {k: 1}]
''', k=k)
    assert got[:6] == ['LimitExceeded', 'QueryError', 'QueryError', 'QueryError', 'NotSupported', 'QueryError']
    assert got[6:9] == [True] * 3 and k + 'pickle' in got[9] and got[10] is True


def test_errors_and_keys(api, cid, k):
    got = on(api, cid, '''
bad = ['', 'a b', 'a\\r\\nset x 0 0 1\\r\\n1', '\\x00', 'k' * 251, '\\x7f', None, 5, b'\\xff']
out = [tell(lambda: c.get(b))[0] for b in bad] + [tell(lambda: c.get_multi(['ok', b]))[0] for b in bad]
out += [tell(lambda: c.set_multi({'a b': 1}))[0], tell(lambda: c.get_multi(['k' * 100], 'p' * 151))[0]]
c.set(k, 'text')
more = [tell(lambda: c.incr(k)), tell(lambda: c.set(k, 'x' * 3000000)), tell(lambda: c.set(k, 1, 'soon')), tell(lambda: c.cas(k, 1, None)),
        tell(lambda: c.set(k, 1, 0.5)), tell(lambda: c.incr(k, '9999999999999999999')), tell(lambda: c.set(k, 1, '5\\x006'))]
return [out, more, c.set('\u6570' * 80, 1), c.get('\u6570' * 80), c.get('k' * 250), c.set(k, 1, -1), c.get(k)]
''', k=k)
    assert got[0] == ['InvalidArgument'] * 20
    assert [m[0] for m in got[1]] == ['QueryError', 'LimitExceeded'] + ['InvalidArgument'] * 5
    assert got[2:] == [True, 1, None, True, None]


def test_expiry(api, cid, k):
    assert on(api, cid, 'c.set(k, 1, 1)\nc.set(k + "u", 1, int(time.time()) + 1)\nreturn [c.get(k), c.get(k + "u")]', k=k) == [1, 1]
    assert wait_for(lambda: on(api, cid, 'return [c.get(k), c.get(k + "u")]', k=k) == [None, None])


def test_several_servers(api, k):
    """One is out of order: its keys are errors, or with failover elsewhere; the others are served at once."""
    with peer(Memcached) as a, peer(Memcached) as b:
        both = '127.0.0.1:%d,127.0.0.1:%d' % (a.port, b.port)
        body = '''
t = time.monotonic()
told = [tell(lambda: c.set(k + str(i), i)) for i in range(20)]
return [sum(x is None for x in told), sorted({x[0] for x in told if x}), time.monotonic() - t]
'''
        strict = add(api, 'memcached', {'servers': both})
        moving = add(api, 'memcached', {'servers': both, 'failover': True, 'distribution': 'ketama'})
        assert on(api, strict, body, k=k)[0] == 20 and on(api, moving, body, k=k)[0] == 20
        b.stop()
        served, kinds, _ = on(api, strict, body, k=k)
        assert 0 < served < 20 and kinds == ['ConnUnavailable']
        assert wait_for(lambda: on(api, moving, body, k=k)[:2] == [20, []])
        assert refused(api, 'GET', '/connectors/%s/do/test' % strict)['reason'] == 'EClientBadRequest.ConnectingToConnectorFailed'
        a.stop()
        assert on(api, strict, body, k=k)[0] == 0
    e = not_addable(api, 'memcached', {'servers': 'a:b:c'})
    assert e['exceptionType'] == 'ConfigError' and '`a:b:c`' in e['exception']


# ---- TLS and sign-in ------------------------------------------------------------------------------------------


def test_sign_in(api, mc):
    with peer(Memcached, password=True) as own:
        cid = add(api, 'memcached', own.config())
        assert on(api, cid, "return [c.set('k', 1), c.get('k'), c.get('auth')]") == [True, 1, None]
        e = not_addable(api, 'memcached', own.config(password='wrong'))
        assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and 'wrong' not in e['exception']
        e = not_addable(api, 'memcached', {'servers': own.config()['servers']})
        assert e['exceptionType'] == 'Denied' and 'none is configured' in e['exception']
        assert PASSWORD not in str(api.get('/connectors/do/list', id=cid))
    e = not_addable(api, 'memcached', mc.config(user='app', password=PASSWORD))
    assert e['exceptionType'] == 'ConfigError' and 'wants no password' in e['exception']
    assert raw(mc.port, b'get auth\r\n') == b'END\r\n'  # a password was not left there as a value


# ---- faults ---------------------------------------------------------------------------------------------------


def test_a_server_without_the_text_protocol(api):
    with peer(Memcached, binary=True) as own:
        e = not_addable(api, 'memcached', own.config(connect_timeout='700ms'))
        assert e['exceptionType'] in ('ConnUnavailable', 'ConnTimeout')


@pytest.fixture(scope='module')
def scripted():
    with MemcachedScript() as s:
        yield s


@pytest.fixture
def script(scripted):
    """A server that says what a test wants."""
    scripted.answers.clear()
    return scripted


@pytest.fixture(scope='module')
def told(server, scripted):
    """told(expression with `c`): [class, …] of what it raises, None otherwise."""
    api = server.client()
    cid = add(api, 'memcached', scripted.config(max_result='1M', pool={'query': '4s'}))
    ask = calls(api, cid, "[eval(ask, {'c': c}), None][1]", ask='')
    return lambda expression: ask(ask=expression)


def endless(piece):
    """A server that never stops."""
    return lambda: itertools.repeat(piece)


@pytest.mark.parametrize('ask, word, answer, kind', [
    ("c.get('k')", 'get', b'VALUE k 0 5000000\r\n', 'LimitExceeded'),  # more than max_result; the rest never comes
    ("c.get('k')", 'get', b'VALUE k 0 18446744073709551617\r\n', GONE),
    ("c.get('k')", 'get', b'VALUE k 4294967296 1\r\n1\r\nEND\r\n', GONE),
    ("c.get('k')", 'get', b'VALUE k 0 3\r\nabcdef\r\nEND\r\n', GONE),
    ("c.get('k')", 'get', b'VALUE other 0 1\r\n1\r\nEND\r\n', GONE),
    ("c.get('k')", 'get', endless(b'VALUE' + b' ' * 65536), GONE),
    ("c.get('k')", 'get', endless(b'VALUE k 0 1\r\n1\r\n'), GONE),
    ("c.get_multi(['k', 'l'])", 'get', endless(b'VALUE k 0 1\r\n1\r\n'), GONE),
    ("c.get_multi(['k', 'l'])", 'get', b'VALUE k 0 1\r\n1\r\nSERVER_ERROR out of memory writing get response\r\n', 'LimitExceeded'),
    ("c.stats()", 'stats', endless(b'STAT pid 1\r\n' * 4000), 'LimitExceeded'),
    ("c.stats()", 'stats', endless(b'STAT ' + b'x' * 65536), GONE),
    ("c.stats()", 'stats', b'STAT pid\r\nEND\r\n', GONE),
    ("c.meta('mg', 'k', ['v'])", 'mg', b'VA 5000000\r\n', 'LimitExceeded'),
    ("c.meta('mg', 'k', ['v'])", 'mg', b'VA 99999999999999999999999\r\n', 'LimitExceeded'),
    ("c.meta('mg', 'k', ['v'])", 'mg', b'VA -5\r\n', GONE),
    ("c.meta('mg', 'k', ['v'])", 'mg', b'HD' + b' x' * 2000 + b'\r\n', GONE),
    ("c.incr('k')", 'incr', b'9' * 25 + b'\r\n', GONE),
    ("c.version()", 'version', endless(b'x' * 65536), GONE),
])
def test_hostile_replies(script, told, ask, word, answer, kind):
    """Bounded in time and memory; what is left of the reply is nobody's, and the next operation works."""
    script.answers[word] = answer
    got = told(ask)
    assert got is not None and got[0] == kind, got
    del script.answers[word]
    assert told('c.check()') is None


def test_nobody_reads_what_was_left(api, script):
    """A server that says too much: the surplus is no reply to what is asked next."""
    cid = add(api, 'memcached', script.config())
    script.answers.update({'set': b'STORED\r\nNOT_STORED\r\n', 'get': b'VALUE b 16 1\r\n2\r\nVALUE a 16 1\r\n1\r\nEND\r\n'})
    assert on(api, cid, "return [c.set('k', 1), c.set('k', 2), c.set('k', 3)]") == [True] * 3
    assert on(api, cid, "return c.get_multi(['a', 'x', 'b'])") == {'a': '1', 'b': '2'}  # in another order, as from a proxy
    late = iter([b'CLIENT_ERROR cannot increment\r\n', b'STORED\r\n'])
    script.answers.update({'set': lambda: (time.sleep(0.1 * (script.asked.count('set') - sets)), next(late))[1:], '1': b'', '2': b'', 'delete': b'DELETED\r\n'})
    sets = script.asked.count('set') + 1
    assert on(api, cid, "return [tell(lambda: c.set_multi({'k': 1, 'l': 2}))[0], c.delete('k')]") == ['QueryError', True]


@pytest.mark.heavy  # a sanitizer keeps freed memory for a while
def test_memory_of_a_large_value_is_given_back(api, script):
    """A pool of connections that once had large values is not as large as all of them."""
    script.answers['get'] = lambda: [b'VALUE k 0 50000000\r\n'] + [b'x' * 1000000] * 50 + [b'\r\nEND\r\n']
    cid = add(api, 'memcached', script.config())
    size = calls(api, cid, "[c.version(), int(open('/proc/self/statm').read().split()[1]) >> 8][1]")
    before = max(size() for _ in range(4))
    assert calls(api, cid, "len(c.get('k'))")() == 50000000
    assert max(size() for _ in range(4)) < before + 30


class TestMemcached(Contract, Readme, Panel, FewConnections, PasswordChanges, Breaks, BadLines, Refusals, TlsIsMissed, TlsNotOffered, ClientCertificate):
    """What memcached shares with the other connectors."""

    type, fixture, make = 'memcached', 'mc', Memcached
    ask, gives = "c.set('k', 1)", True
    tls_ask, tls_gives = "[c.set('k', 'x' * 300000), len(c.get('k'))]", [True, 300000]
    refusals = [({'servers': '127.0.0.1:1'}, *NO_SERVER[1:]), NO_TLS_MODE, ({'server': 'x'}, 'ConfigError', 'did you mean `servers`?'),
                ({'servers': 'no.such.host.invalid'}, 'ConnUnavailable', 'DNS: the name no.such.host.invalid cannot be resolved')]
    cut_after = 2
    before_break, fetch, small, large = "c.set('big', 'x' * 50000)", "len(c.get('big')) or n", 50000, 50000
    breaks = [*BREAKS, ('garbage', GONE), ('huge', GONE)]
    not_offered = {'connect_timeout': '500ms'}
    panel = [("set k 'two words' 60", lambda got: got is True), ('get k', lambda got: got == 'two words')]
    panel_refused = 'nosuch'
    contract = ['get=["k"]']
    readme_id = 'cache'

    def to_restart(self, request):
        return peer(Memcached, password=True)

    def at(self, it, port, **changes):
        return it.config(servers='127.0.0.1:%d' % port, **changes)

    def tls_configs(self, own, ca):
        yield own.config(tls='on', tls_ca=ca)
        yield own.config(tls='on', tls_ca=ca, servers='localhost:%d' % own.port)
        yield own.config(tls='unverified')


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'memcached', 'own (text and meta protocol), OpenSSL, zlib', 'memcached 1.6')
