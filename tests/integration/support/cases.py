# SPDX-License-Identifier: Apache-2.0
"""What every connector must pass, whatever it speaks. A file test_conn_X.py mixes the cases that apply into one class and
says there, as attributes, what differs: how its server is started, a small request, what is refused and how.

pytest runs the cases of the last base class first.
"""

import contextlib
import os
import re
import subprocess
import time
from typing import Any, Callable, ClassVar, ContextManager, Dict, Iterator, List, Optional, Tuple, Union

import pytest
from peers.certs import Certs
from peers.flood import Flood
from peers.peer import Peer
from peers.proxy import Proxy

from .client import Client
from .connectors import INJECTION, add, not_addable, on, peer, refused, run
from .matrix import shows
from .readme import script_of
from .server import BUILD, ROOT, wait_for

Config = Dict[str, Any]
Kinds = Union[str, Tuple[str, ...]]

BAD_LINES = ('black_hole', 'half_open', 'garbage', 'huge', 'slow', 'reset', 'cut')
LATE, GONE = 'ConnTimeout', 'ConnUnavailable'
BREAKS = [('black_hole', LATE), ('half_open', LATE), ('reset', GONE), ('cut', GONE), ('slow', LATE)]

# What nearly every connector refuses in the same words: change of the configuration, class, part of the text.
NO_SERVER = ({'port': 1}, GONE, 'TCP: cannot connect to 127.0.0.1 port 1')
NO_NAME = ({'host': 'no.such.host.invalid'}, GONE, 'DNS: the name `no.such.host.invalid` cannot be resolved')
NO_TLS_MODE = ({'tls': 'yes'}, 'ConfigError', 'tls')
NO_CA = ({'tls': 'on', 'tls_ca': '/nonexistent/ca'}, 'ConfigError', '/nonexistent/ca')
NO_FIELD = ({'hots': 'x'}, 'ConfigError', 'did you mean `host`?')


def _one_of(kinds: Kinds) -> Tuple[str, ...]:
    return (kinds,) if isinstance(kinds, str) else kinds


def calls(api: Client, cid: str, expression: str, **more: Any) -> Callable[..., Any]:
    """A function that is published once: each call gives the value of an expression with `c`, or [class, text] of what it raised."""
    names = ['cid', *more]
    api_id = api.function('''
@DFF.API('f', timeout=20)
def f(%s):
    c = DFF.CONN(cid)
    try:
        return %s
    except Exception as e:
        return [type(e).__name__, str(e)]
''' % (', '.join(names), expression), 'f', {name: 'INPUT_BY_CALLER' for name in names})
    return lambda **kwargs: api.result(api_id, cid=cid, **{**more, **kwargs})


class Connector:
    """What a file says about its connector."""

    type: ClassVar[str]
    fixture: ClassVar[str]   # of the module: its server; config(**changes) of it is a connector's configuration
    make: ClassVar[Any]      # a class of tests/peers: a server of one test
    ask: ClassVar[str]       # an expression with `c`: a small request …
    gives: ClassVar[Any]     # … and its value

    @pytest.fixture
    def it(self, request: pytest.FixtureRequest) -> Any:
        """The server of the module."""
        return request.getfixturevalue(self.fixture)

    def through(self, it: Any) -> Proxy:
        """A line to the server that may misbehave."""
        return Proxy(it.port)

    def at(self, it: Any, port: int, **changes: Any) -> Config:
        """A configuration with another port of the same host: a proxy."""
        return it.config(port=port, **changes)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Cases whose rows are attributes."""
        name = metafunc.function.__name__
        for names, attribute in getattr(metafunc.function, 'rows', {}).items():
            rows = getattr(self, attribute)
            assert rows, '%s: no %s' % (name, attribute)
            metafunc.parametrize(names, rows.items() if isinstance(rows, dict) else rows)


def rows(names: str, attribute: str) -> Callable[[Any], Any]:
    """Parametrizes a case with an attribute of the class: a list of rows, or a dict of two columns."""
    def mark(function: Any) -> Any:
        function.rows = {**getattr(function, 'rows', {}), names: attribute}
        return function
    return mark


class Refusals(Connector):
    """A configuration that cannot work is refused when it is saved."""

    refusals: ClassVar[List[Tuple[Config, Kinds, str]]]

    def changed(self, it: Any, change: Config) -> Config:
        """The configuration with a change that is to be refused."""
        return it.config(**change)

    @shows('faults', 'refused')
    @rows('change, kind, says', 'refusals')
    def test_refused_with_the_step_that_failed(self, api, it, change, kind, says):
        """add says which of the steps failed and what to do, and no secret."""
        e = not_addable(api, self.type, self.changed(it, change))
        assert e['exceptionType'] in _one_of(kind) and says in e['exception'], e
        assert str(it.config().get('password') or 'no secret') not in str(e)


class BadLines(Connector):
    """Connecting through a line that does not what it should."""

    bad_lines: ClassVar[Tuple[str, ...]] = BAD_LINES
    cut_after = 20           # bytes of the first answer that come through with `reset` and `cut`
    connect = '700ms'
    bad_line_kinds: ClassVar[Tuple[str, ...]] = ('ConnTimeout', 'ConnUnavailable')

    @shows('faults', param='mode')
    @rows('mode', 'bad_lines')
    def test_connecting_through_a_bad_line(self, api, it, mode):
        """Bounded by pool.connect, a clear class, and the platform goes on."""
        with self.through(it) as proxy:
            cid = add(api, self.type, self.at(it, proxy.port, pool={'connect': self.connect}), skipTest=True)
            proxy.mode, proxy.after = mode, self.cut_after
            told, seconds = on(api, cid, '''
t = time.monotonic()
told = tell(lambda: %s)
return [told, time.monotonic() - t]
''' % self.ask)
            assert told is not None and told[0] in self.bad_line_kinds and seconds < 6, (told, seconds)
            proxy.mode = 'ok'
            proxy.drop()
            assert calls(api, cid, self.ask)() == self.gives


class Breaks(Connector):
    """A line that breaks in the middle of an answer."""

    breaks: ClassVar[List[Tuple[str, Kinds]]] = BREAKS
    fetch: ClassVar[str]                 # an expression with `n` whose value is n; the answer has many bytes when n is `large`
    small, large = 10, 3000
    break_after = 4000                   # bytes of the answer
    broken: ClassVar[Config] = {'pool': {'query': '800ms'}}  # changes of the configuration
    before_break = ''                    # lines that make what is fetched
    cancel_busy: ClassVar[List[str]] = ['']  # what a task that is canceled does again and again; '': `ask`
    flood: ClassVar[bytes] = b''         # how an answer begins that announces more than there may be, for `huge`

    @shows('faults', param='mode')
    @rows('mode, kinds', 'breaks')
    def test_a_line_that_breaks_in_an_answer(self, api, it, mode, kinds):
        """Bounded, a clear class, and the next operation has a new connection."""
        self.breaks_in_an_answer(api, it, mode, kinds, self.fetch)

    def breaks_in_an_answer(self, api: Client, it: Any, mode: str, kinds: Kinds, fetch: str, **changes: Any) -> None:
        """The case itself, for files that run it with another form of request, too."""
        with self.through(it) as proxy:
            cid = add(api, self.type, self.at(it, proxy.port, **{**self.broken, **changes}))
            if self.before_break:
                on(api, cid, self.before_break)
            get = calls(api, cid, fetch, n=self.small)
            assert get() == self.small
            proxy.mode, proxy.after, proxy.flood = mode, self.break_after, self.flood
            started = time.monotonic()
            told = get(n=self.large)  # a half-open line shows itself in the reset of the last call at the latest
            assert isinstance(told, list) and told[0] in _one_of(kinds) and time.monotonic() - started < 8, told
            proxy.mode = 'ok'
            proxy.drop()
            assert get() == self.small


    @shows('faults', 'task canceled')
    @rows('busy', 'cancel_busy')
    def test_cancel_while_an_answer_is_missing(self, api, it, busy):
        """A task that waits for the server hears of its cancel at once, whoever waits in it; the next request has a new connection."""
        with self.through(it) as proxy:
            cid = add(api, self.type, self.at(it, proxy.port, **{**self.broken, 'pool': {'query': '30s'}}))
            func = api.add_async_api(api.script('''
@DFF.API('f', timeout=60)
def f(cid):
    c = DFF.CONN(cid)
    try:
        print('begins with', %s)
        DFF.TASK.set_progress(1)
        while True:
            %s
    except Exception as e:
        print('swallowed', type(e).__name__)
    finally:
        print('tidied up')
''' % (self.ask, busy or self.ask)) + '.f')
            task = api.task_id(func, {'cid': cid})
            assert wait_for(lambda: api.get('/tasks/%s/do/get' % task)['progress'] == 1, 20)
            proxy.mode = 'half_open'
            time.sleep(0.5)
            api.post('/tasks/%s/do/cancel' % task, {'graceSeconds': 15})
            started = time.monotonic()
            row = api.ended(task)
            assert row['state'] == 'canceled' and time.monotonic() - started < 8, row
            assert 'begins with %s' % (self.gives,) in row['logs'] and 'tidied up' in row['logs'] and 'swallowed' not in row['logs'], row['logs']
            proxy.mode = 'ok'
            proxy.drop()
            assert calls(api, cid, self.ask)() == self.gives


class HugeAnswers(Connector):
    """A server over HTTP that begins to answer without an end, in the middle of a conversation."""

    flood_small: ClassVar[bytes]             # the body of a small answer …
    flood_asks: ClassVar[List[str]]          # … and expressions that ask for one, with different ways of reading
    flood_config: ClassVar[Config] = {}
    flood_ways: ClassVar[Tuple[str, ...]] = Flood.ways
    flood_grows = 48 << 20                   # bytes that a worker may need more for the limit of 1 MB

    @shows('faults', 'huge')
    @rows('how', 'flood_ways')
    def test_an_answer_without_an_end(self, api, server, sanitized, how):
        """Ended at the limit and told as such, in bounded memory; the next request goes on."""
        with Flood(self.flood_small) as flood:
            cid = add(api, self.type, {'host': '127.0.0.1', 'port': flood.port, 'max_result': '1M', 'pool': {'query': '5s'}, **self.flood_config})
            for ask in self.flood_asks:
                get = calls(api, cid, ask)
                well = get()
                before = {p.pid: _peak(p.pid) for p in server.family()}
                flood.how = how
                started = time.monotonic()
                told = get()
                seconds = time.monotonic() - started
                flood.how = ''
                assert isinstance(told, list) and told[0] == 'LimitExceeded' and seconds < 8, (ask, told, seconds)
                assert well != told, well
                assert sanitized or all(_peak(pid) - was < self.flood_grows for pid, was in before.items()), ask
                assert get() == well, ask


def _peak(pid: int) -> int:
    """The most memory that a process ever had; 0: it is gone."""
    try:
        with open('/proc/%d/status' % pid, encoding='ascii') as f:
            return max([int(line.split()[1]) << 10 for line in f if line.startswith('VmHWM')] or [0])
    except OSError:
        return 0


class Restarts(Connector):
    """A server that goes and comes."""

    restarted: ClassVar[Config] = {}     # changes of the configuration
    gone_at_once = True                  # the first request of all tells that the server is not there
    ready_at_once = True                 # the peer's start() returns when requests are answered as before

    def to_restart(self, request: pytest.FixtureRequest) -> ContextManager[Peer]:
        """A server that may be stopped."""
        del request
        return peer(self.make)

    @pytest.fixture(scope='class')
    def restartable(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        """The server of to_restart(), for all cases."""
        with self.to_restart(request) as own:
            yield own

    @shows('faults', 'server restarted')
    def test_restarted_server_is_not_noticed(self, api, restartable):
        """Idle connections died: the next call gets new ones without an error; while it is down, a clear one."""
        ask = calls(api, add(api, self.type, restartable.config(**self.restarted)), self.ask)
        assert ask() == self.gives
        restartable.stop()
        told = ask()
        assert told != self.gives and (told[0] == GONE or not self.gone_at_once and wait_for(lambda: ask()[0] == GONE)), told
        restartable.start()
        assert self.ready_at_once or wait_for(lambda: ask() == self.gives)
        for _ in range(4):
            assert ask() == self.gives


class PasswordChanges(Restarts):
    """A server whose account gets another password."""

    password_changed: ClassVar[Config] = {}  # changes of the configuration

    def change_password(self, own: Any) -> None:
        """Changes the password and ends the account's connections; own.config() has the new one from then on."""
        own.password('another')

    @pytest.fixture(scope='class')
    def guarded(self, request: pytest.FixtureRequest) -> Any:
        """The server with accounts; the one that is restarted, when that has some."""
        return request.getfixturevalue('restartable')

    @shows('faults', 'password changed')
    def test_changed_password(self, api, guarded):
        """Told as what it is until the configuration is changed, too."""
        changes = {**self.restarted, **self.password_changed}
        cid = add(api, self.type, guarded.config(**changes))
        ask = calls(api, cid, self.ask)
        assert ask() == self.gives
        self.change_password(guarded)
        assert wait_for(lambda: ask() != self.gives and ask()[0] == 'Denied')
        api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': guarded.config(**changes)}})
        assert ask() == self.gives


class PasswordAtStart(PasswordChanges):
    """A server that reads its accounts when it starts; `other` is the fixture of the one that is changed."""

    def to_restart(self, request: pytest.FixtureRequest) -> ContextManager[Peer]:
        return contextlib.nullcontext(request.getfixturevalue('other'))

    def change_password(self, own: Any) -> None:
        own.stop()
        own.secret = 'another'
        own.start()


class Deadlines(Connector):
    """Statements that take longer than they may."""

    endless: ClassVar[List[str]]         # statements that would run for long
    deadline_configs: ClassVar[List[Config]] = [{}]

    def still_running(self, api: Client, it: Any) -> bool:
        """Whether the server still works on one of them."""
        raise NotImplementedError

    @rows('changes', 'deadline_configs')
    def test_deadlines_stop_the_server_too(self, api, it, changes):
        """The operation ends in time and the statement does not go on at the server; the pool recovers."""
        cid = add(api, self.type, it.config(**changes, pool={'query': '400ms'}))
        told, seconds, after = on(api, cid, '''
t = time.monotonic()
told = [tell(lambda: c.query(*statement)) for statement in endless]
return [told, time.monotonic() - t, %s]
''' % self.ask, endless=[statement if isinstance(statement, list) else [statement] for statement in self.endless])
        assert [t[0] for t in told] == ['ConnTimeout'] * len(self.endless) and seconds < 8 and after == self.gives, told
        assert wait_for(lambda: not self.still_running(api, it))

    @shows('faults', 'task canceled')
    def test_cancel_stops_the_server_too(self, api, it):
        """A task that is canceled while it waits for the server: it hears of it at once, may tidy up, and nothing goes on there."""
        cid = add(api, self.type, it.config(**self.deadline_configs[0]))
        script = api.script('''
@DFF.API('f', timeout=60)
def f(cid, statement):
    c = DFF.CONN(cid)
    DFF.TASK.set_progress('begins')
    try:
        c.query(*statement)
    except Exception as e:
        print('swallowed', type(e).__name__)
    finally:
        print('tidied up with', %s)
''' % self.ask)
        for statement in self.endless:
            func = api.add_async_api(script + '.f')
            task = api.task_id(func, {'cid': cid, 'statement': statement if isinstance(statement, list) else [statement]})
            assert wait_for(lambda: self.still_running(api, it), 20)
            api.post('/tasks/%s/do/cancel' % task, {'graceSeconds': 15})
            started = time.monotonic()
            row = api.ended(task)
            assert row['state'] == 'canceled' and time.monotonic() - started < 8, row
            assert 'swallowed' not in row['logs'] and 'tidied up with ' + str(self.gives) in row['logs'], row['logs']
            assert wait_for(lambda: not self.still_running(api, it))


class Injection(Connector):
    """Texts that would become SQL if anybody pasted them into a statement (reliability X-01)."""

    victim: ClassVar[str]                # the columns v and b: text and bytes
    victim_is = 'v = ?'
    no_name: ClassVar[Tuple[Any, ...]]   # codes or SQLSTATEs of what is told when a column does not exist

    def test_injection(self, api, it):
        """They come back as they went in: as values of every shape, as keys, as names."""
        same, each, twice, wrong, left = on(api, add(api, self.type, it.config()), '''
c.non_query('DROP TABLE IF EXISTS victim')
c.non_query('CREATE TABLE victim (n int, %s)' % columns)
c.non_query('INSERT INTO victim VALUES ?', [[[i, t, t.encode()] for i, t in enumerate(texts)]])
same = [(r['v'], r['b'].decode()) for r in c.query('SELECT v, b FROM victim ORDER BY n')] == [(t, t) for t in texts]
sql = 'SELECT ? AS v, count(*) AS n FROM victim WHERE ' + is_ + ' AND ' + is_.replace('= ?', 'IN (?)')
each = [c.query(sql, [t, t, [t, t]])[0] for t in texts]
each += [dict(c.query('SELECT 1 AS n FROM victim WHERE ?', [{'v': t}])[0], v=t) for t in texts]
for i, t in enumerate(texts):
    c.non_query('UPDATE victim SET ? WHERE n = ?', [{'v': t + t}, i])
twice = [r['v'] for r in c.query('SELECT v FROM victim ORDER BY n')] == [t + t for t in texts]
names = [tell(lambda: c.query('SELECT ?? FROM victim', [t])) for t in texts]
keys = [tell(lambda: c.non_query('UPDATE victim SET ?', [{t: 1}])) for t in texts]
left = c.query('SELECT count(*) AS n FROM victim')[0]['n']
return [same, [r['v'] for r in each] == texts * 2 and {r['n'] for r in each} == {1}, twice, names + keys, left]
''', texts=INJECTION, columns=self.victim, is_=self.victim_is)
        assert same and each and twice and left == len(INJECTION), (same, each, twice, left)
        for text, told in zip(INJECTION * 2, wrong):
            assert told is not None and told[0] in ('QueryError', 'InvalidArgument'), (text, told)
            assert told[0] == 'InvalidArgument' or told[2] in self.no_name or told[3] in self.no_name, (text, told)


class FewConnections(Connector):
    """Connections are kept and shared."""

    def test_connections_of_many_calls(self, api, it):
        """Many calls one after the other open no more connections than workers times pool.max."""
        with self.through(it) as proxy:
            ask = calls(api, add(api, self.type, self.at(it, proxy.port), skipTest=True), self.ask)
            for _ in range(60):
                assert ask() == self.gives
            workers = len(api.get('/monitor/platform/do/get')['broker']['workers'])
            assert 1 <= proxy.accepted <= 2 * workers


class Threads(Connector):
    """Threads of one call."""

    in_thread: ClassVar[str]             # a statement that takes half a second and gives the connection's number as p

    def test_threads(self, api, it):
        """They work at the same time on connections of their own."""
        got = run(api, '''
@DFF.API('f')
def f(cid, sql):
    c = DFF.CONN(cid)
    for _ in range(4):
        DFF.THREAD.submit(c.query, sql)
    return sorted({r.value[0]['p'] if r.value else str(r.error) for r in DFF.THREAD.get_all_results()})
''', cid=add(api, self.type, it.config(pool={'max': 4})), sql=self.in_thread)
        assert len(got) == 4 and all(isinstance(p, int) for p in got), got


class FunctionIsSeen(Connector):
    """Whoever looks at a busy server learns which function keeps it busy."""

    own_statement: ClassVar[str]         # an expression: the text of the statement that is running, which starts with SELECT

    def test_the_server_sees_the_function(self, api, it):
        """As a comment before the statement."""
        seen = on(api, add(api, self.type, it.config()), 'return ' + self.own_statement)
        assert re.match(r'/\* \w+__\w+\.f \*/ SELECT ', seen), seen


class Panel(Connector):
    """The statements of the console's simple panel."""

    panel: ClassVar[List[Tuple[Any, ...]]]   # a statement, what its result must satisfy, and maybe more fields of the request
    panel_refused: ClassVar[str]
    before_panel = ''

    def test_debug_panel(self, api, it):
        """Results as JSON; an error is one of the query, and soon there."""
        cid = add(api, self.type, it.config())
        if self.before_panel:
            on(api, cid, self.before_panel)
        for statement, holds, *more in self.panel:
            got = api.post('/connectors/%s/do/query' % cid, {'queryStatement': statement, **(more[0] if more else {})})
            assert holds(got), (statement, got)
        started = time.monotonic()
        e = refused(api, 'POST', '/connectors/%s/do/query' % cid, {'queryStatement': self.panel_refused})
        assert e['reason'] == 'EClientBadRequest.QueryFailed' and time.monotonic() - started < 10, e


class Tls(Connector):
    """The server is who it says it is, or there is no connection."""

    tls_on: ClassVar[Config] = {'tls': 'on'}     # changes that ask for a verified connection
    tls_ask: ClassVar[str]                       # an expression with an answer of many records …
    tls_gives: ClassVar[Any]                     # … and its value
    says_why = 'certificate verify failed'

    def with_tls(self, request: pytest.FixtureRequest, certs: Certs) -> ContextManager[Peer]:
        """A server with a certificate for localhost and 127.0.0.1."""
        del request
        return peer(self.make, certs=certs)

    def with_wrong_name(self, request: pytest.FixtureRequest, certs: Certs) -> ContextManager[Peer]:
        """A server with a certificate for another name."""
        del request
        return peer(self.make, certs=certs, cert='wrong')

    def tls_configs(self, own: Any, ca: str) -> Iterator[Config]:
        """Configurations that work."""
        yield own.config(**self.tls_on, tls_ca=ca)
        yield own.config(**self.tls_on, tls_ca=ca, host='localhost')
        yield own.config(tls='unverified')

    @pytest.fixture(scope='class')
    def secure(self, request: pytest.FixtureRequest, certs: Certs) -> Iterator[Any]:
        """The server of with_tls(), for all cases."""
        with self.with_tls(request, certs) as own:
            yield own

    @shows('TLS', 'verified', 'unknown authority refused')
    def test_tls(self, api, secure, certs):
        """Verified by name and authority; what is wrong is said as TLS."""
        for config in self.tls_configs(secure, certs.text('ca.pem')):
            assert on(api, add(api, self.type, config), 'return ' + self.tls_ask) == self.tls_gives, config
        e = not_addable(api, self.type, secure.config(**self.tls_on))
        assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and self.says_why in e['exception'], e

    @shows('TLS', 'wrong name refused')
    def test_tls_for_another_name(self, api, request, certs):
        """A known authority is not enough."""
        with self.with_wrong_name(request, certs) as own:
            e = not_addable(api, self.type, own.config(**self.tls_on, tls_ca=certs.text('ca.pem')))
            assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'], e
            assert on(api, add(api, self.type, own.config(tls='unverified')), 'return c.check()') is None


class ClientCertificate(Tls):
    """The connector has a certificate of its own."""

    @shows('TLS', 'client certificate')
    def test_client_certificate(self, api, secure, certs):
        """It is shown to the server, and its key to nobody."""
        pem, key = certs.pair('client')
        cid = add(api, self.type, secure.config(**self.tls_on, tls_ca=certs.text('ca.pem'), tls_cert=pem, tls_key=key))
        assert on(api, cid, 'return ' + self.tls_ask) == self.tls_gives
        stored = api.get('/connectors/do/list', id=cid)[0]['configJSON']
        assert 'PRIVATE KEY' not in str(stored) and 'tls_key' not in stored and stored['tls_cert'].startswith('-----BEGIN')


class CertificateWanted(ClientCertificate):
    """A server that talks only to certificates of its authority."""

    def with_wanted(self, request: pytest.FixtureRequest, certs: Certs) -> ContextManager[Peer]:
        """That server."""
        del request
        return peer(self.make, certs=certs, client=True)

    def test_a_server_that_wants_a_certificate(self, api, request, certs):
        """The certificate is really shown: without it nothing is answered."""
        with self.with_wanted(request, certs) as own:
            config = own.config(**self.tls_on, tls_ca=certs.text('ca.pem'))
            pem, key = certs.pair('client')
            shown = add(api, self.type, {**config, 'tls_cert': pem, 'tls_key': key})
            assert on(api, shown, 'return ' + self.tls_ask) == self.tls_gives
            told = calls(api, add(api, self.type, config, skipTest=True), self.tls_ask)()
            assert told != self.tls_gives and told is not None, told


class TlsIsMissed(Tls):
    """The server talks only TLS, the connector does not."""

    tls_off: ClassVar[Config] = {}

    def test_a_server_that_wants_tls(self, api, secure):
        """Refused in bounded time."""
        e = not_addable(api, self.type, secure.config(**{**self.tls_off, 'pool': {'connect': '2s'}}))
        assert e['exceptionType'] in ('ConnUnavailable', 'ConnTimeout'), e


class TlsNotOffered(Tls):
    """The connector wants TLS, the server has none."""

    not_offered: ClassVar[Config] = {}           # changes of the configuration

    def without_tls(self, request: pytest.FixtureRequest) -> ContextManager[Peer]:
        """A server without a certificate."""
        del request
        return peer(self.make)

    @shows('TLS', 'required but not offered refused')
    def test_a_server_without_tls(self, api, request, certs):
        """Never without because it is easier."""
        with self.without_tls(request) as own:
            for mode in ('on', 'unverified'):
                e = not_addable(api, self.type, own.config(tls=mode, tls_ca=certs.text('ca.pem'), **self.not_offered))
                assert 'TLS: ' in e['exception'], e


class TwoServers(PasswordChanges, TlsNotOffered):
    """All cases on two servers, because starting one takes long: that of the module has TLS, `other` is stopped and changed."""

    @pytest.fixture(scope='class')
    def other(self, certs: Certs) -> Iterator[Any]:
        """First it has a certificate for another name, then none."""
        with peer(self.make, certs, cert='wrong') as own:
            yield own

    def with_tls(self, request: pytest.FixtureRequest, certs: Certs) -> ContextManager[Peer]:
        return contextlib.nullcontext(request.getfixturevalue(self.fixture))

    def with_wrong_name(self, request: pytest.FixtureRequest, certs: Certs) -> ContextManager[Peer]:
        return contextlib.nullcontext(request.getfixturevalue('other'))

    @contextlib.contextmanager
    def without_tls(self, request: pytest.FixtureRequest) -> Iterator[Peer]:
        own = request.getfixturevalue('other')
        own.stop()
        own.certs = None
        yield own.start()

    def to_restart(self, request: pytest.FixtureRequest) -> ContextManager[Peer]:
        return contextlib.nullcontext(request.getfixturevalue('other'))


class Contract(Connector):
    """tenon-plugin-check against the live plugin and server."""

    contract: ClassVar[List[str]]        # operations: 'method=[arguments as JSON]'

    def contract_config(self, it: Any) -> Config:
        """The configuration, of plain fields."""
        return it.config()

    def test_contract(self, it):
        """Every rule a plugin must keep."""
        command = [os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_%s.so' % self.type)]
        for field, value in self.contract_config(it).items():
            command += ['--config', '%s=%s' % (field, value)]
        for call in [*self.contract, 'check']:
            command += ['--call', call]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert done.returncode == 0, '\n'.join(line for line in done.stdout.splitlines() if 'pass' not in line)


class Readme(Connector):
    """The script of the connector's README runs as it stands."""

    readme_id: ClassVar[str]             # of the connector in the script
    readme_gives: ClassVar[Optional[Any]] = None

    def before_readme(self, api: Client, it: Any) -> None:
        """Makes what the script takes for granted."""

    def test_readme(self, api, it):
        """Unchanged, with the result it promises."""
        self.before_readme(api, it)
        add(api, self.type, it.config(), id=self.readme_id)
        script = script_of(os.path.join(ROOT, 'connectors', self.type, 'README.md'))
        assert api.result(api.function(script, 'f', {})) == self.readme_gives
