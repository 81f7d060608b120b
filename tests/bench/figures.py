# SPDX-License-Identifier: Apache-2.0
"""The figures besides throughput: start, memory, replacement of a killed worker, idle cost, a wake-up."""

import os
import signal
import socket
import statistics
import subprocess
import time
from typing import Dict, List, Tuple

from servers import Tenon

from support import procs


class Calls:
    """Calls over one kept-alive connection, as cheap as Python can make them."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(('127.0.0.1', port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = ('GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n' % (path, port)).encode()

    def one(self) -> int:
        """One call → its status; the answer has a Content-Length."""
        self.socket.sendall(self.request)
        data = b''
        while b'\r\n\r\n' not in data:
            more = self.socket.recv(65536)
            if not more:
                raise SystemExit('the server closed the connection')
            data += more
        head, _, body = data.partition(b'\r\n\r\n')
        length = next(int(line.split(b':')[1]) for line in head.lower().split(b'\r\n')
                      if line.startswith(b'content-length'))
        while len(body) < length:
            body += self.socket.recv(65536)
        return int(head.split(b' ', 2)[1])

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()


def private_bytes(pid: int) -> int:
    """Memory that only this process has, from smaps_rollup."""
    with open('/proc/%d/smaps_rollup' % pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith('Private_')) * 1024


def pss_bytes(pid: int) -> int:
    """Memory with shared pages divided among their users."""
    with open('/proc/%d/smaps_rollup' % pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith('Pss:')) * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def family(tenon: Tenon) -> List[procs.Proc]:
    """All processes of the platform."""
    return procs.family(tenon.processes[-1].pid, 'no such mark')


def workers(tenon: Tenon, group: str = 'default') -> Dict[int, int]:
    """pid → calls so far of the workers of a group that can take calls."""
    status = tenon.client.get('/monitor/platform/do/get')
    return {w['pid']: w['calls'] for w in status['broker']['workers']
            if w['group'] == group and w['state'] in ('idle', 'busy')}


def worker_memory(tenon: Tenon, calls: int = 1000) -> Tuple[int, int]:
    """Private bytes of the only worker when fresh and after `calls` calls. Needs workers_max 1."""
    pid = next(iter(workers(tenon)))
    fresh = private_bytes(pid)
    c = Calls(tenon.port, tenon.path)
    for _ in range(calls):
        c.one()
    c.close()
    assert workers(tenon)[pid] >= calls, 'another worker took part'
    return fresh, private_bytes(pid)


def replacement(tenon: Tenon, times: int) -> List[float]:
    """ms from SIGKILL of the only worker to the answer of a call sent right behind it, less the time of an
    ordinary call: nobody but the replacement can have answered. Needs workers_max 1."""
    c = Calls(tenon.port, tenon.path)
    ordinary = []
    for _ in range(200):
        start = time.perf_counter()
        c.one()
        ordinary.append(time.perf_counter() - start)
    found: List[float] = []
    while len(found) < times:
        pids = list(workers(tenon))
        if len(pids) != 1:
            time.sleep(0.02)
            continue
        start = time.perf_counter()
        os.kill(pids[0], signal.SIGKILL)
        if c.one() == 200:  # a call that the dying worker had claimed fails with it: not what is asked here
            found.append((time.perf_counter() - start - statistics.median(ordinary)) * 1e3)
        time.sleep(0.02)
    c.close()
    return found


def start_times(tenon: Tenon, scripts: int, times: int) -> List[float]:
    """Seconds from the start of the process to READY, with that many published scripts."""
    code = tenon.code()
    client = tenon.sign_in()
    client.add_script_set('many')
    for i in range(scripts):
        client.add_script('many__s%d' % i, code)
        client.publish('many__s%d' % i)
    client.close()
    found = []
    for _ in range(times):
        tenon.stop_process()
        start = time.perf_counter()
        tenon.serve()
        tenon.wait_ready()
        found.append(time.perf_counter() - start)
    return found


def idle(tenon: Tenon, seconds: float) -> Dict[str, float]:
    """Proportional memory of everything and its CPU share while nothing happens."""
    time.sleep(2)
    pids = [p.pid for p in family(tenon)]
    before = sum(cpu_seconds(pid) for pid in pids)
    time.sleep(seconds)
    after = sum(cpu_seconds(pid) for pid in pids)
    return {'pss_mb': sum(pss_bytes(pid) for pid in pids) / 1e6, 'processes': len(pids),
            'cpu_percent': (after - before) / seconds * 100}


def in_process(build: str) -> List[str]:
    """What the programs print that measure one part alone: the worker's share of a call, the hub's share of
    the call path. Those that were not built (`scons tests`) are named."""
    lines = []
    for program, args in (('tests/unit/pyshim/test_cases', ['--bench']), ('tests/unit/api_dff_calls/bench_call', [])):
        path = os.path.join(build, program)
        if not os.path.exists(path):
            lines.append('%s is not built' % program)
            continue
        text = subprocess.run([path] + args, stdout=subprocess.PIPE, check=True).stdout.decode()
        lines += [os.path.basename(program) + ':'] + ['  ' + line for line in text.splitlines()]
    return lines


def wake_up_us(times: int = 2000) -> float:
    """Half a round trip between two sleeping processes on different cores: what one wake-up costs here."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    cores = sorted(os.sched_getaffinity(0))
    pid = os.fork()
    if pid == 0:
        a.close()
        os.sched_setaffinity(0, {cores[-1]})
        while b.send(b.recv(16) or os._exit(0)):
            pass
    b.close()
    found = []
    os.sched_setaffinity(0, {cores[0]})
    for _ in range(times):
        start = time.perf_counter()
        a.send(b'x')
        a.recv(16)
        found.append(time.perf_counter() - start)
    os.sched_setaffinity(0, set(cores))
    a.close()
    os.waitpid(pid, 0)
    return statistics.median(found) / 2 * 1e6
