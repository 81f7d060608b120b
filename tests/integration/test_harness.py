# SPDX-License-Identifier: Apache-2.0
"""The checks that run after every test find what is planted for them."""

import os
import socket
import subprocess
import sys
import threading
from typing import Iterator

import pytest
from support import procs
from support.client import Client
from support.procs import Proc
from support.raw import Raw
from support.server import Server, wait_for

SUPERVISOR = Proc(10, 1, 'S', 'tenond', 'tenond serve')
HUB = Proc(11, 10, 'S', 'tenon-hub', 'tenon-hub')
ZYGOTE = Proc(12, 10, 'S', 'tenon-worker', 'tenon-worker --zygote')
WORKER = Proc(13, 12, 'S', 'tenon-worker', 'tenon-worker --zygote')
GOOD = [SUPERVISOR, HUB, ZYGOTE, WORKER]


@pytest.fixture
def idle() -> Iterator[Server]:
    """A server that was never started: its log and its scratch folder can be written by the test."""
    s = Server()
    with open(s.log_path, 'wb'):
        pass
    yield s
    s.close()


@pytest.mark.parametrize('odd', [
    Proc(20, 13, 'S', 'tenon-worker', 'tenon-worker --zygote'),  # os.fork() in a script
    Proc(20, 13, 'S', 'sleep', 'sleep 1000'),                    # subprocess of a script
    Proc(20, 1, 'S', 'tenon-worker', 'tenon-worker --zygote'),   # a daemon that left
    Proc(20, 10, 'S', 'sleep', 'sleep 1000'),                    # the same, adopted by the supervisor
    Proc(20, 12, 'Z', 'tenon-worker', 'tenon-worker'),           # nobody waited for it
], ids=['forked', 'child', 'daemon', 'adopted', 'zombie'])
def test_a_process_that_does_not_belong_is_found(odd: Proc) -> None:
    assert procs.strangers(GOOD) == []
    assert procs.strangers(GOOD + [odd]) == [odd]


def test_a_daemon_is_found_by_its_mark() -> None:
    mark = 'TENON_TEST_MARK=%d.%d' % (os.getpid(), id(GOOD))
    # the first child leaves at once, so that the second has no relation to us
    code = 'import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nos._exit(0)\n'
    subprocess.run([sys.executable, '-c', code], env=dict([mark.split('=')]), check=True)
    found = wait_for(lambda: [p for p in procs.family(0, mark) if p.state != 'Z'])
    assert len(found) == 1
    os.kill(found[0].pid, 9)


@pytest.mark.parametrize('line', [
    '2026-01-01T00:00:00.000Z ALERT hub[7] a slot was lost',
    '==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x1',
    'kernel/base/buf.c:7:3: runtime error: signed integer overflow'], ids=['alert', 'asan', 'ubsan'])
def test_a_complaint_in_the_log_is_a_problem(idle: Server, line: str) -> None:
    with open(idle.log_path, 'a', encoding='utf-8') as f:
        f.write('2026-01-01T00:00:00.000Z INFO hub[7] the word ALERT alone is none\n' + line + '\n')
    assert idle.problems() == [line]
    assert idle.problems() == []  # told once


def test_an_expected_alert_is_none(idle: Server) -> None:
    with idle.alerts_allowed('a slot was lost'):
        with open(idle.log_path, 'a', encoding='utf-8') as f:
            f.write('2026-01-01T00:00:00.000Z ALERT hub[7] a slot was lost\n')
    assert idle.problems() == []


def test_a_sanitizer_file_is_a_problem(idle: Server) -> None:
    with open(os.path.join(idle.reports, 'sanitizer.17'), 'w', encoding='utf-8') as f:
        f.write('LeakSanitizer: detected memory leaks')
    assert 'LeakSanitizer' in idle.problems()[0]


def test_a_leaked_descriptor_is_found(server: Server, api: Client) -> None:
    assert api.get('/do/ping') == 'pong'
    server.settle()
    normal = dict(server.baseline)
    try:
        # as if there had been 100 less at the start
        server.baseline = {name: count - 100 for name, count in normal.items()}
        assert [p for p in server.problems() if 'descriptors' in p] != []
    finally:
        server.baseline = normal


def test_raw_reads_an_answer_whatever_its_framing() -> None:
    answers = [b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
               b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n',
               b'HTTP/1.1 200 OK\r\n\r\nok']
    with socket.create_server(('127.0.0.1', 0)) as listener:
        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b''.join(answers))
        thread = threading.Thread(target=serve)
        thread.start()
        with Raw(listener.getsockname()) as raw:
            for _ in answers:
                answer = raw.answer()
                assert answer is not None and (answer.status, answer.body) == (200, b'ok')
            assert raw.closed()
        thread.join()
