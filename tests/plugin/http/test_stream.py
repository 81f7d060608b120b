# SPDX-License-Identifier: Apache-2.0
"""Answers in pieces: chunks, waiting, clients that read slowly, leave or never read."""

import time
from typing import Callable

import pytest

from conftest import Raw, Stub

GET = b'GET %s HTTP/1.1\r\nHost: x\r\n\r\n'


def head(r: Raw) -> bytes:
    """The head of the next answer."""
    while b'\r\n\r\n' not in r.buf:
        assert r.more(5)
    top, r.buf = r.buf.split(b'\r\n\r\n', 1)
    return top


def chunk(r: Raw, timeout: float = 5) -> bytes:
    """The next chunk; b'' for the last one."""
    while b'\r\n' not in r.buf:
        assert r.more(timeout)
    size, rest = r.buf.split(b'\r\n', 1)
    n = int(size, 16)
    while len(rest) < n + 2:
        r.buf = b''
        assert r.more(timeout)
        rest += r.buf
    assert rest[n:n + 2] == b'\r\n'
    r.buf = rest[n + 2:]
    return rest[:n]


def whole(r: Raw) -> bytes:
    """All chunks up to the last."""
    got = b''
    while True:
        piece = chunk(r)
        if piece == b'':
            return got
        got += piece


@pytest.mark.parametrize('query, size', [
    (b'n=3&size=10', 30), (b'n=1&size=1', 1), (b'n=3&size=5&us=30000', 15), (b'n=5000&size=1000', 5000000)])
def test_pieces_arrive_whole_and_the_connection_lives_on(shared: Stub, query: bytes, size: int) -> None:
    r = shared.raw()
    for _ in range(2):
        r.send(GET % (b'/stream?' + query))
        top = head(r).lower()
        assert b'transfer-encoding: chunked' in top and b'text/event-stream' in top and b'nosniff' in top
        assert b'content-length' not in top
        assert whole(r) == b's' * size
    r.send(GET % b'/fast')
    assert r.answer()[0] == 200
    r.close()


def test_pieces_come_when_they_are_sent(shared: Stub) -> None:
    """Each by itself, not together at the end."""
    r = shared.raw()
    r.send(GET % b'/stream?n=4&size=6&us=200000')
    head(r)
    times = []
    while chunk(r):
        times.append(time.monotonic())
    assert len(times) == 4
    assert all(b - a > 0.1 for a, b in zip(times, times[1:]))
    r.close()


def test_http10_client_gets_the_bare_bytes(shared: Stub) -> None:
    r = shared.raw()
    r.send(b'GET /stream?n=3&size=10&us=10000 HTTP/1.0\r\n\r\n')
    top = head(r).lower()
    assert b'chunked' not in top
    while r.more(5):
        pass
    assert r.buf == b's' * 30
    r.close()


def test_head_of_a_stream(shared: Stub) -> None:
    """HEAD has no body; the sender is told that nobody reads."""
    r = shared.raw()
    r.send(b'HEAD /stream?n=0&us=5000 HTTP/1.1\r\nHost: x\r\n\r\n')
    assert b' 200 ' in head(r)
    r.send(GET % b'/fast')
    assert r.answer()[0] == 200
    r.close()
    assert shared.settled()['open'] == 1


@pytest.mark.parametrize('query', [b'name=X-A&value=a%0d%0ab', b'c=204', b'c=99'])
def test_head_that_is_not_allowed(shared: Stub, query: bytes) -> None:
    r = shared.raw()
    r.send(GET % (b'/stream?' + query))
    status, _, body = r.answer()
    assert (status, body) == (500, b'refused\n')
    r.close()


def test_reader_that_stops_is_bounded(stubs: Callable[..., Stub]) -> None:
    """What waits for it stays below 1 MiB, and it is cut after send_timeout."""
    s = stubs('send_timeout=1s')
    before = s.stats()['rss_kb']
    r = s.raw()
    r.send(GET % b'/stream?n=0&size=1000')
    end = time.monotonic() + 10
    while s.stats()['limited'] == 0 and time.monotonic() < end:
        time.sleep(0.05)
    seen = s.stats()
    assert seen['limited'] > 0
    assert seen['rss_kb'] - before < 8000
    assert s.settled(10)['open'] == 1
    r.close()


@pytest.mark.parametrize('us', [b'0', b'2000', b'60000000'])
@pytest.mark.parametrize('reset', [False, True])
def test_client_leaves(shared: Stub, us: bytes, reset: bool) -> None:
    """While pieces flow, and while nothing is sent for a minute."""
    before = shared.stats()['aborted']
    r = shared.raw()
    r.send(GET % (b'/stream?n=0&size=10&us=' + us))
    head(r)
    chunk(r)
    r.close(reset)
    assert shared.settled()['open'] == 1
    assert shared.stats()['aborted'] == before + 1


def test_idle_streams_cost_nothing(stub: Stub) -> None:
    """A hundred streams that wait use no processor."""
    rs = [stub.raw() for _ in range(100)]
    for r in rs:
        r.send(GET % b'/stream?n=0&size=10&us=60000000')
        head(r)
        chunk(r)
    before = stub.stats()['cpu_ms']
    time.sleep(2)
    assert stub.stats()['cpu_ms'] - before < 200
    for r in rs:
        r.close()
    assert stub.settled()['open'] == 1


def test_drain_ends_streams_cleanly(stubs: Callable[..., Stub]) -> None:
    """The last chunk comes, the exit is in time."""
    s = stubs()
    r = s.raw()
    r.send(GET % b'/stream?n=0&size=10&us=50000')
    head(r)
    chunk(r)
    start = time.monotonic()
    s.stop()
    assert time.monotonic() - start < 3
    assert set(whole(r)) <= {ord('s')}
    r.close()
