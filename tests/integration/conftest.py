# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests; README.md in this folder explains them."""

import os
import sys
from typing import Callable, Iterator, List

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, os.path.dirname(sys.path[0]))  # peers
sys.path.insert(2, os.path.join(sys.path[1], 'check'))  # sanitizers

from peers.certs import Certs  # noqa: E402
from support.client import Client  # noqa: E402
from support.matrix import MATRIX, Matrix  # noqa: E402
from support.raw import Raw  # noqa: E402
from support.server import BUILD, SANITIZED, VARIANT, Server  # noqa: E402
from support.subscriptions import handled, script, sub  # noqa: E402,F401 (fixtures of test_sub_*)


def pytest_report_header() -> str:
    """Which build is tested."""
    return 'tenon: variant %s in %s' % (VARIANT, BUILD)


def pytest_configure(config: pytest.Config) -> None:
    """What tests of connectors prove is collected for their table."""
    config.stash[MATRIX] = Matrix()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Tells the table of connectors how a test ended, and a person why it failed."""
    del call
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    item.config.stash[MATRIX].take(item, report)
    terminal = item.config.pluginmanager.get_plugin('terminalreporter')
    if report.failed and terminal is not None:  # at once: a run that is ended from outside prints no summary
        terminal.write_line('\n%s, %s:\n%s' % (report.nodeid, report.when, report.longreprtext[-6000:]))


class Watch:
    """The servers of one module, so that every test can be charged with what it leaves."""

    def __init__(self) -> None:
        self.servers: List[Server] = []


@pytest.fixture(scope='module')
def watch() -> Iterator[Watch]:
    """All servers that are alive in this module."""
    yield Watch()


@pytest.fixture(scope='module')
def server(request: pytest.FixtureRequest, watch: Watch) -> Iterator[Server]:
    """A running server, shared by the tests of a module. Must stop cleanly at the end. SERVER of the module: its options."""
    s = Server(**getattr(request.module, 'SERVER', {}))
    try:
        s.start()
        watch.servers.append(s)
        yield s
        code = s.stop()
        problems = s.problems()
        assert code == 0, 'exit code %d after SIGTERM:\n%s' % (code, s.log()[-3000:])
        assert not problems, '\n'.join(problems)
    finally:
        if s in watch.servers:
            watch.servers.remove(s)
        s.close()


@pytest.fixture
def new_server(watch: Watch) -> Iterator[Callable[..., Server]]:
    """Factory of servers for one test: new_server(args=(…), env={…}, dev=False, data=…) → a Server that is
    not started yet."""
    made: List[Server] = []

    def make(**options: object) -> Server:
        s = Server(**options)  # type: ignore[arg-type]
        made.append(s)
        watch.servers.append(s)
        return s
    yield make
    try:
        for s in made:
            if s.process is not None and s.process.poll() is None:
                code = s.stop()
                assert code == 0, 'exit code %d after SIGTERM:\n%s' % (code, s.log()[-3000:])
            problems = s.problems() if os.path.exists(s.log_path) else []
            assert not problems, '\n'.join(problems)
    finally:
        for s in made:
            watch.servers.remove(s)
            s.close()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, watch: Watch) -> Iterator[None]:
    """After every test: no leaked process or descriptor, no alert, no sanitizer report."""
    if 'server' in request.fixturenames:
        request.getfixturevalue('server').settle()
    yield
    problems = [p for s in watch.servers for p in s.problems()]
    assert not problems, '\n'.join(problems)


@pytest.fixture(scope='session')
def certs() -> Iterator[Certs]:
    """Certificates of this run."""
    made = Certs()
    yield made
    made.close()


@pytest.fixture
def api(server: Server) -> Client:
    """Signed in as admin on the shared server."""
    return server.client()


@pytest.fixture
def anonymous(server: Server) -> Client:
    """Not signed in."""
    return server.client(username=None)


@pytest.fixture
def raw(server: Server) -> Iterator[Raw]:
    """A TCP connection to the shared server."""
    with server.raw() as connection:
        yield connection


@pytest.fixture(scope='session')
def sanitized() -> bool:
    """True in asan and tsan builds: leave out what measures time or memory."""
    return SANITIZED
