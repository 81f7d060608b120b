# SPDX-License-Identifier: Apache-2.0
"""Bodies, answers, limits, leaving clients and drain of each frontend, in its stub host."""

import gzip
import json
import os
import signal
import socket
import threading
import time
from typing import Callable, List

import pytest

from conftest import Raw, Stub

GET = b'GET %s HTTP/1.1\r\nHost: x\r\n\r\n'


def post(path: str, body: bytes, extra: str = '') -> bytes:
    """A POST with Content-Length."""
    return ('POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n' % (path, len(body), extra)).encode() + body


# ---- bodies ------------------------------------------------------------------------------------------------

def checksum(data: bytes) -> int:
    """As the stub host computes it."""
    n = 0
    for b in data:
        n = (n * 31 + b) & 0xffffffff
    return n


@pytest.mark.parametrize('size', [0, 1, 1023, 1024, 65535, 65536, 65537, 1 << 20, (1 << 20) + 1, 3000000])
@pytest.mark.parametrize('chunked', [False, True])
def test_body_arrives_whole(shared: Stub, size: int, chunked: bool) -> None:
    """In memory, at the border, and spooled."""
    data = os.urandom(997) * (size // 997 + 1)
    data = data[:size]
    r = shared.raw()
    if chunked:
        r.send(b'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
        for i in range(0, size, 70001):
            piece = data[i:i + 70001]
            r.send(b'%x\r\n' % len(piece) + piece + b'\r\n')
        r.send(b'0\r\n\r\n')
    else:
        r.send(post('/a', data))
    status, _, body = r.answer()
    assert status == 200
    seen = json.loads(body)
    assert seen['length'] == size
    if size <= 65537:
        assert seen['sum'] == checksum(data)
    r.close()


@pytest.mark.parametrize('limit', [100, 65536, 1 << 20])
def test_limit_is_exact(shared: Stub, limit: int) -> None:
    """The limit itself passes, one byte more does not, announced or chunked; the connection lives on."""
    for extra, status in ((0, 200), (1, 413)):
        data = b'x' * (limit + extra)
        r = shared.raw()
        r.send(post('/a?max=%d' % limit, data))
        assert r.answer()[0] == status
        r.send(b'POST /a?max=%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n' % (limit, len(data)) +
               data + b'\r\n0\r\n\r\n')
        assert r.answer()[0] == status
        r.send(GET % b'/fast')
        assert r.answer()[0] == 200
        r.close()


def test_far_too_large(stubs: Callable[..., Stub]) -> None:
    """Beyond what is drained the answer comes at once (announced), or the connection is cut (chunked)."""
    s = stubs('drain_body=100k')
    r = s.raw()
    r.send(b'POST /a?max=10 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n')
    status, fields, _ = r.answer()
    assert (status, fields['connection'].lower()) == (413, 'close')
    assert r.closed()
    r.close()
    r = s.raw()
    r.send(b'POST /a?max=10 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    for _ in range(1000):
        if not r.send(b'1000\r\n' + b'x' * 4096 + b'\r\n'):
            break
        time.sleep(0.001)
    else:
        pytest.fail('4 MB were read')
    r.close()
    assert s.settled()['open'] == 1


@pytest.mark.heavy
def test_upload_of_100_mb_keeps_memory_flat(stub: Stub) -> None:
    """A file of 100 MB goes to the upload directory and not to memory."""
    head = (b'--B\r\nContent-Disposition: form-data; name="f"; filename="big.bin"\r\n'
            b'Content-Type: application/octet-stream\r\n\r\n')
    tail = b'\r\n--B--\r\n'
    size = 100 << 20
    block = os.urandom(1 << 20)
    before = stub.stats()['maxrss_kb']
    r = stub.raw(60)
    r.send(('POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n'
            'Content-Length: %d\r\n\r\n' % (len(head) + size + len(tail))).encode() + head)
    for _ in range(100):
        r.send(block)
    r.send(tail)
    status, _, body = r.answer(timeout=60)
    part = json.loads(body)['parts'][0]
    assert (status, part['size'], part['filename']) == (200, size, 'big.bin')
    name = os.path.basename(part['path'])
    assert name.startswith('20260101120000_') and name.endswith('_big.bin') and len(name) == 14 + 1 + 16 + 1 + 7
    assert os.path.getsize(part['path']) == size
    with open(part['path'], 'rb') as f:
        assert f.read(1 << 20) == block
    assert stub.stats()['maxrss_kb'] - before < 4096
    os.unlink(part['path'])
    r.close()


def test_spooled_body_keeps_memory_flat(stub: Stub) -> None:
    """A raw body of 60 MB is in a file that has no name."""
    r = stub.raw(60)
    r.send(b'POST /never HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % (60 << 20))
    for _ in range(60):
        r.send(bytes(1 << 20))
    while stub.stats()['submitted'] < 2:
        time.sleep(0.05)
    s = stub.stats()
    assert s['rss_kb'] < 40000 or 'asan' in os.environ.get('TENON_VARIANT', 'asan')
    assert [f for f in os.listdir(stub.dir) if 'body' in f] == []
    r.close()
    assert stub.settled()['open'] == 1


@pytest.mark.parametrize('body', [
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhello\r\n--B\r\nbroken',
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhello',
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhello\r\n--B\r\n\r\n\r\n--B--',
])
def test_files_of_a_failed_upload_vanish(stub: Stub, body: bytes) -> None:
    """Nothing stays in the upload directory when the request is refused."""
    status, _, _ = stub.get('/upload', 'Content-Type: multipart/form-data; boundary=B\r\n', 'POST', body)
    assert status == 400
    assert os.listdir(stub.dir) == ['log']


def test_files_of_an_aborted_upload_vanish(stub: Stub) -> None:
    """... or when the client leaves in the middle."""
    r = stub.raw()
    r.send(b'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n'
           b'Content-Length: 100000\r\n\r\n--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhello')
    for _ in range(100):
        if len(os.listdir(stub.dir)) > 1:
            break
        time.sleep(0.02)
    assert len(os.listdir(stub.dir)) == 2
    r.close()
    assert stub.settled()['open'] == 1
    assert os.listdir(stub.dir) == ['log']


def test_more_than_128_files(stub: Stub) -> None:
    """The 129th file refuses the request, and no file stays."""
    one = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n1\r\n'
    kind = 'Content-Type: multipart/form-data; boundary=B\r\n'
    assert stub.get('/upload', kind, 'POST', one * 128 + b'--B--')[0] == 200
    assert len(os.listdir(stub.dir)) == 129
    assert stub.get('/upload', kind, 'POST', one * 129 + b'--B--')[0] == 413
    assert len(os.listdir(stub.dir)) == 129


# ---- answers -----------------------------------------------------------------------------------------------

def test_gzip(shared: Stub) -> None:
    """Large text is compressed when the client accepts that, and only then."""
    for accept, packed in (('gzip', True), ('deflate, gzip;q=0.5', True), ('*', True), ('GZIP', True),
                           ('gzip;q=0', False), ('identity', False), ('*;q=0', False), ('gzip;q=x', False),
                           ('*, gzip;q=0', False), ('br', False), ('gzipx', False)):
        status, fields, body = shared.get('/big?n=5000', 'Accept-Encoding: %s\r\n' % accept)
        assert (status, fields.get('content-encoding')) == (200, 'gzip' if packed else None), accept
        assert fields['vary'] == 'Accept-Encoding'
        assert (gzip.decompress(body) if packed else body) == b'b' * 5000
    for path in ('/big?n=1023', '/big?n=5000&type=image/png', '/big?n=5000&flags=4', '/big?n=5000&type=application/jsonx'):
        _, fields, body = shared.get(path, 'Accept-Encoding: gzip\r\n')
        assert 'content-encoding' not in fields and 'vary' not in fields
        assert set(body) == {ord('b')}
    for kind in ('application/json', 'text/html;%20charset=utf-8', 'image/svg%2Bxml', 'TEXT/CSV'):
        assert shared.get('/big?n=1024&type=' + kind, 'Accept-Encoding: gzip\r\n')[1]['content-encoding'] == 'gzip'


def test_etag(shared: Stub) -> None:
    """Weak tags, weak comparison, lists; a 304 has no body and keeps the connection."""
    _, fields, _ = shared.get('/big?n=100&flags=2')
    tag = fields['etag']
    assert tag.startswith('W/"')
    assert shared.get('/big?n=101&flags=2')[1]['etag'] != tag
    r = shared.raw()
    for value, status in ((tag, 304), (tag[2:], 304), ('"x", ' + tag, 304), ('*', 304), ('"x"', 200), ('', 200)):
        r.send(('GET /big?n=100&flags=2 HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n' % value).encode())
        a = r.answer()
        assert a[0] == status, value
        assert a[1]['etag'] == tag
        assert len(a[2]) == (0 if status == 304 else 100)
    r.close()
    assert 'etag' not in shared.get('/big?n=100')[1]
    assert 'etag' not in shared.get('/big?n=100&flags=2&c=404')[1]


def test_head(shared: Stub) -> None:
    """The same headers as GET, no body, from memory and from a file."""
    for path in ('/big?n=5000', '/file?n=5000'):
        status, fields, _ = shared.get(path, method='HEAD')
        assert (status, fields['content-length']) == (200, '5000')


def test_headers_of_every_answer(shared: Stub) -> None:
    """Date, Content-Length, nosniff; nobody says what serves."""
    for path in ('/fast', '/file?n=3', '/nowhere'):
        _, fields, _ = shared.get(path)
        assert fields['x-content-type-options'] == 'nosniff'
        assert fields['date'].endswith('GMT')
        assert 'server' not in fields and 'x-powered-by' not in fields
    status, fields, _ = shared.get('/empty')
    assert status == 204 and 'content-length' not in fields
    status, fields, _ = shared.get('/empty?c=200')
    assert status == 200 and fields['content-length'] == '0'


@pytest.mark.parametrize('query,name,value', [
    ('name=X-A&value=b', 'x-a', 'b'),
    ('name=X-A&value=%20b%20', 'x-a', 'b'),
    ('name=X-A&value=%e9', 'x-a', '\xe9'),
    ('name=X-A&value=', 'x-a', None),
    ('name=Content-Length&value=999', 'content-length', '3'),
    ('name=Transfer-Encoding&value=gzip', 'transfer-encoding', None),
    ('name=X-Content-Type-Options&value=other', 'x-content-type-options', 'other'),
])
def test_header_passes(shared: Stub, query: str, name: str, value: str) -> None:
    """Headers of an api arrive; those of the connection are ours."""
    status, fields, body = shared.get('/header?' + query)
    assert (status, fields.get(name), body) == (200, value, b'ok\n')


@pytest.mark.parametrize('query', [
    'name=X-A&value=a%0d%0aX-B:%20c', 'name=X-A&value=a%0ab', 'name=X-A&value=a%0db', 'name=X-A&value=a%00b',
    'name=X-A&value=%7f', 'name=X%20A&value=b', 'name=X%0aA&value=b', 'name=&value=b', 'name=X:&value=b',
    'name=X%c3%a9&value=b', 'name=X-A&value=b&c=99', 'name=X-A&value=b&c=1000', 'name=X-A&value=b&c=101',
    'name=X-A&value=' + 'b' * 7500 + '&name2=X-B&value2=%0a',
])
def test_header_refused(shared: Stub, query: str) -> None:
    """A header that would split the answer makes reply() fail, and nothing was sent before."""
    status, fields, body = shared.get('/header?' + query)
    assert (status, body) == (500, b'refused\n')
    assert 'x-a' not in fields and 'x-b' not in fields


def test_huge_headers_of_an_answer(engine: str, stubs: Callable[..., Stub]) -> None:
    """More headers than the engine has memory for are refused, not cut."""
    if engine == 'http':
        s, fits, large = stubs('connection_memory=8k'), 'value=' + 'b' * 2000, 'value=' + 'b' * 4000
    else:
        both = 'value=%s&name2=X-B&value2=c&times=' % ('b' * 7000)
        s, fits, large = stubs(), both + '9', both + '11'
    assert s.get('/header?name=X-A&' + fits)[0] == 200
    status, _, body = s.get('/header?name=X-A&' + large)
    assert (status, body) == (500, b'refused\n')


@pytest.mark.parametrize('n,off', [(0, 0), (1, 0), (100000, 0), (100000, 99999), (5000000, 12345)])
def test_file(shared: Stub, n: int, off: int) -> None:
    """By descriptor, from an offset; the file is gone afterwards."""
    status, fields, body = shared.get('/file?n=%d&off=%d' % (n, off))
    assert (status, len(body), set(body) <= {ord('f')}) == (200, n - off, True)
    assert not [f for f in os.listdir(shared.dir) if f.startswith('answer')]


def test_answer_of_20_mb_to_a_slow_reader(shared: Stub) -> None:
    """Partial writes are continued."""
    for path in (b'/big?n=20000000&flags=4', b'/file?n=20000000'):
        r = shared.raw()
        r.send(GET % path)
        time.sleep(0.3)
        assert len(r.answer(timeout=20)[2]) == 20000000
        r.send(GET % b'/fast')
        assert r.answer()[0] == 200
        r.close()


def test_early_answer_without_the_body(shared: Stub) -> None:
    """An api that answers later but wants no body: the body is drained first."""
    r = shared.raw()
    r.send(post('/early', b'x' * 300000))
    assert r.answer()[0] == 200
    r.send(GET % b'/early')
    assert r.answer()[0] == 200
    r.close()


@pytest.mark.parametrize('path', [b'/fast', b'/slow?us=500', b'/slow?us=300000', b'/big?n=3000000&flags=4'])
def test_half_closed_client_is_answered(shared: Stub, path: bytes) -> None:
    """A client may shut down its sending side and still read."""
    for _ in range(3):
        r = shared.raw()
        r.send(GET % path)
        r.sock.shutdown(socket.SHUT_WR)
        assert r.answer()[0] == 200
        assert r.closed()
        r.close()


# ---- limits ------------------------------------------------------------------------------------------------

def closes_after(r: Raw, low: float, high: float) -> None:
    """The peer closes without an answer, in that time from now."""
    start = time.monotonic()
    assert r.closed(high)
    took = time.monotonic() - start
    assert low <= took <= high, took
    assert r.buf == b''
    r.close()


def test_time_limits(stubs: Callable[..., Stub]) -> None:
    """Nothing at all, a head that never ends though bytes come, an idle connection, a slow body."""
    s = stubs('header_timeout=600ms', 'idle_timeout=900ms', 'body_grace=500ms', 'body_rate=1k')
    closes_after(s.raw(), 0.5, 3)
    r = s.raw()
    start = time.monotonic()
    r.send(b'GET / HTTP/1.1\r\nHost: x\r\n')
    while r.send(b'X: y\r\n') and time.monotonic() - start < 4:
        time.sleep(0.1)
    assert time.monotonic() - start < 3
    r.close()
    r = s.raw()
    r.send(GET % b'/fast')
    assert r.answer()[0] == 200
    closes_after(r, 0.8, 3)
    r = s.raw()
    start = time.monotonic()
    r.send(b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n')
    while r.send(b'xxxxxxxxxx') and time.monotonic() - start < 6:
        time.sleep(0.1)
    assert 0.5 < time.monotonic() - start < 5
    r.close()
    # a body that is fast enough may take as long as it likes
    r = s.raw()
    r.send(b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n')
    for _ in range(20):
        assert r.send(b'x' * 1000)
        time.sleep(0.1)
    assert r.answer()[0] == 200
    r.close()
    assert s.settled()['open'] == 1


def test_slow_answer_is_no_idle_time(stubs: Callable[..., Stub]) -> None:
    """Limits of the connection do not count while the kernel works."""
    s = stubs('header_timeout=300ms', 'idle_timeout=300ms')
    assert s.get('/slow?us=2000000')[0] == 200


def test_reader_that_stops(stubs: Callable[..., Stub]) -> None:
    """An answer nobody reads is given up; one that is read slowly is not."""
    s = stubs('send_timeout=2s')
    stuck, slow = s.raw(), s.raw()
    for r in (stuck, slow):
        r.send(GET % b'/big?n=30000000&flags=4')
    got = 0
    start = time.monotonic()
    while time.monotonic() - start < 6:
        got += len(slow.sock.recv(100000))
        time.sleep(0.02)
    assert s.settled(0.1)['active'] == 2
    while got < 30000000:
        n = len(slow.sock.recv(1 << 20))
        assert n > 0
        got += n
    stuck.close()
    slow.close()


def test_reader_that_takes_a_little(stubs: Callable[..., Stub]) -> None:
    """A byte now and then holds no connection: send_rate over send_timeout. What is slow but faster than that goes on; so does any
    reader where the rate is 0. An answer that is short enough ends in time."""
    def reads(r: Raw, each: int, seconds: float) -> None:
        """each bytes in 50 ms; whoever was cut finds out when what had arrived is used up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and r.sock.recv(each):
            time.sleep(0.05)

    def asks(s: Stub, room: int) -> Raw:
        r = s.raw()
        r.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        r.send(GET % b'/big?n=30000000&flags=4')
        return r
    s, any_rate = stubs('send_timeout=1s', 'send_rate=1000000'), stubs('send_timeout=1s', 'send_rate=0')
    for server, each, stays in ((s, 10000, False), (s, 200000, True), (any_rate, 10000, True)):
        r = asks(server, 8 * each)
        reads(r, each, 3)
        assert server.stats()['active'] == 1 + stays, (each, stays)
        r.close()
    r = s.raw()
    r.send(GET % b'/big?n=100000&flags=4')
    time.sleep(2)  # the socket holds all of it
    assert len(r.answer()[2]) == 100000
    r.close()


def test_connection_cap(stubs: Callable[..., Stub]) -> None:
    """At the cap new ones wait in the backlog and are served when another leaves."""
    s = stubs('max_connections=4')
    full: List[Raw] = [s.raw() for _ in range(4)]
    for r in full:
        r.send(GET % b'/fast')
        assert r.answer()[0] == 200
    late = s.raw()
    late.send(GET % b'/fast')
    with pytest.raises(TimeoutError):
        late.answer(timeout=0.3)
    full.pop().close()
    assert late.answer()[0] == 200
    for r in full + [late]:
        r.close()


def test_never_ending_chunk_extension_does_not_spin(stubs: Callable[..., Stub]) -> None:
    """libmicrohttpd counts it as work for ever; the loop must not."""
    s = stubs('body_grace=3s')
    r = s.raw()
    r.send(b'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;' + b'a' * 200000)
    time.sleep(0.2)
    before = s.stats()['cpu_ms']
    time.sleep(1)
    assert s.stats()['cpu_ms'] - before < 300
    r.close()
    assert s.settled(8)['open'] == 1


def latencies(s: Stub, seconds: float) -> List[float]:
    """Times of sequential requests on one connection."""
    r, took, end = s.raw(), [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        r.send(GET % b'/fast')
        assert r.answer()[0] == 200
        took.append(time.monotonic() - start)
    r.close()
    return sorted(took)


@pytest.mark.heavy
def test_slow_clients_hurt_nobody(stubs: Callable[..., Stub]) -> None:
    """200 slow heads, 200 slow bodies, 100 stuck readers: others are served as before."""
    s = stubs()
    # the share of requests that take more than twice the undisturbed p99 (not less than 1 ms)
    calm = latencies(s, 1.5)
    bound = max(2 * calm[int(len(calm) * 0.99)], 0.001)
    slow = [s.raw(30) for _ in range(500)]
    for i, r in enumerate(slow):
        r.send(b'GET / HT' if i < 200 else
               b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx' if i < 400 else GET % b'/big?n=8000000&flags=4')
    r = s.raw(30)  # making the answers for the readers takes the stub host a while
    r.send(GET % b'/fast')
    assert r.answer(timeout=30)[0] == 200
    r.close()
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.2):
            for r in slow[:400]:
                r.send(b'x')
    t = threading.Thread(target=drip)
    t.start()
    busy = latencies(s, 3)
    stop.set()
    t.join()
    late = sum(1 for x in busy if x > bound) / len(busy)
    assert late <= 0.03, 'p99 %.3f ms, before %.3f ms' % (busy[int(len(busy) * 0.99)] * 1000, calm[int(len(calm) * 0.99)] * 1000)
    for r in slow:
        r.close()
    assert s.settled()['open'] == 1


# ---- proxies -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('trusted,fields,peer,scheme,flags', [
    ('', 'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n', '127.0.0.1', 'http', 0),
    ('127.0.0.1', 'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n', '1.2.3.4', 'https', 1),
    ('127.0.0.0/8', 'X-Forwarded-For: 6.6.6.6, 1.2.3.4, 127.0.0.2\r\n', '1.2.3.4', 'http', 1),
    ('127.0.0.0/8', 'X-Forwarded-For: 6.6.6.6, nonsense\r\n', '127.0.0.1', 'http', 0),
    ('127.0.0.0/8', 'X-Forwarded-For: 2001:db8::1\r\n', '2001:db8::1', 'http', 1),
    ('10.0.0.0/8, ::1', 'X-Forwarded-For: 1.2.3.4\r\n', '127.0.0.1', 'http', 0),
    ('127.0.0.1', '', '127.0.0.1', 'http', 0),
])
def test_forwarded(stubs: Callable[..., Stub], trusted: str, fields: str, peer: str, scheme: str, flags: int) -> None:
    """Only a trusted proxy speaks for others, and only what it added itself counts."""
    seen = json.loads(stubs('trusted_proxies=' + trusted).get('/a', fields)[2])
    assert (seen['peer'], seen['scheme'], seen['flags']) == (peer, scheme, flags)


# ---- leaving and stopping ----------------------------------------------------------------------------------

@pytest.mark.parametrize('reset', [False, True])
@pytest.mark.parametrize('data', [
    b'', b'GET', b'GET /fast HTTP/1.1\r\nHo', b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc',
    b'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n--B\r\n',
    b'POST /a?spool=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc',
    GET % b'/slow?us=300000', GET % b'/never', GET % b'/never' + GET % b'/fast',
    GET % b'/big?n=10000000&flags=4', GET % b'/file?n=10000000', GET % b'/fast',
    b'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc',
    b'POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc',
], ids=range(14))
def test_client_leaves(shared: Stub, data: bytes, reset: bool) -> None:
    """At every stage: the request is released, no descriptor and no file stays."""
    fds = shared.settled()['fds']
    for pause in (0, 0.05):
        rs = [shared.raw() for _ in range(5)]
        for r in rs:
            r.send(data)
        time.sleep(pause)
        for r in rs:
            r.close(reset)
    s = shared.settled(8)
    assert (s['open'], s['active'], s['fds']) == (1, 1, fds)
    assert not [f for f in os.listdir(shared.dir) if f != 'log']


@pytest.mark.parametrize('path', [b'/never', b'/slow?us=500000', b'/slow?us=1000'])
def test_256_clients_leave_in_the_call(stub: Stub, path: bytes) -> None:
    """What the transport found in its prototype: nothing may be lost on the way out."""
    fds = stub.settled()['fds']
    for _ in range(4):
        rs = [stub.raw() for _ in range(256)]
        for r in rs:
            r.send(GET % path)
        time.sleep(0.02)
        for i, r in enumerate(rs):
            r.close(i % 2 == 0)
    s = stub.settled(10)
    assert (s['open'], s['active'], s['fds']) == (1, 1, fds)
    assert s['begun'] == s['released'] + 1


def test_drain(stubs: Callable[..., Stub]) -> None:
    """Idle connections close at once, what is in flight is answered with Connection: close, and the
    listening socket stays open (the stub host checks that)."""
    s = stubs()
    idle, busy, body = s.raw(), s.raw(), s.raw()
    idle.send(GET % b'/fast')
    assert idle.answer()[0] == 200
    busy.send(GET % b'/slow?us=700000')
    body.send(b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab')
    time.sleep(0.2)
    s.proc.send_signal(signal.SIGTERM)
    closes_after(idle, 0, 1)
    body.send(b'cd')
    for r in (busy, body):
        status, fields, _ = r.answer()
        assert (status, fields['connection'].lower()) == (200, 'close')
        assert r.closed()
        r.close()
    s.proc.wait(5)


def test_stop_with_calls_that_never_end(stubs: Callable[..., Stub]) -> None:
    """libmicrohttpd aborts the process when it is stopped with suspended connections; we must not."""
    s = stubs()
    rs = [s.raw() for _ in range(50)]
    for i, r in enumerate(rs):
        r.send(GET % b'/never' if i % 2 else b'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na')
    time.sleep(1.5)
    s.proc.send_signal(signal.SIGTERM)
    s.proc.wait(15)
    for r in rs:
        assert r.closed()
        r.close()


def test_mixed_load_leaks_nothing(stub: Stub) -> None:
    """Pipelined, kept, closed and broken connections at once; then the counters are even."""
    def client(k: int) -> None:
        for i in range(40):
            r = stub.raw()
            paths = [b'/fast', b'/slow?us=%d' % (i * 100), b'/big?n=3000', b'/file?n=3000', b'/nowhere']
            for p in paths[: (i + k) % 5 + 1]:
                r.send(GET % p)
            if i % 3:
                for _ in paths[: (i + k) % 5 + 1]:
                    assert r.answer()[0] in (200, 404)
            r.close(i % 2 == 0)
    threads = [threading.Thread(target=client, args=(k,)) for k in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    s = stub.settled()
    assert (s['open'], s['active']) == (1, 1)
