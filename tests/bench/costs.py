#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a request costs: CPU time of hub, workers and generator, and how often they slept, for each concurrency.

Rates move with whatever else the machine does; CPU time a request hardly does, so this compares two builds:

    tests/bench/costs.py --build /path/to/other/build/release --build build/release --connections 1,64,256

With --first (root, kernels with autogroups) servers and wrk go before everything else on the machine, and with --bare the anchor runs
before and behind every round: then the ratio to it is about what the quiet machine shows. Short rounds, please: others wait meanwhile."""

import argparse
import os
import resource
import statistics
import sys
from typing import Dict, List, NamedTuple

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from load import spread, wrk  # noqa: E402
from servers import ROOT, BareMhd, Server, Tenon  # noqa: E402

from support import procs  # noqa: E402

ROLES = {'tenon-hub': 'hub', 'tenon-call': 'worker', 'tenon-zygote': 'worker',  # by the name of the process
         'bare_mhd': 'hub'}  # the anchor has one


class Usage(NamedTuple):
    """Seconds in user and kernel mode, and how often a process slept."""

    user: float
    system: float
    sleeps: int

    def minus(self, other: 'Usage') -> 'Usage':
        """What was used since."""
        return Usage(*(a - b for a, b in zip(self, other)))


class Cost(NamedTuple):
    """One run: µs a request by role, sleeps a request by role, requests/s, p50 in µs."""

    user: Dict[str, float]
    system: Dict[str, float]
    sleeps: Dict[str, float]
    rate: float
    p50: float

    @property
    def total(self) -> float:
        """Hub and workers together."""
        return sum(self.user[r] + self.system[r] for r in ('hub', 'worker'))


def _usage(pid: int) -> Usage:
    """Of all threads of a process, and of the children that it has waited for: workers are replaced while we measure."""
    sleeps = 0
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rpartition(')')[2].split()
    tick = os.sysconf('SC_CLK_TCK')
    user, system = (int(fields[11]) + int(fields[13])) / tick, (int(fields[12]) + int(fields[14])) / tick
    for task in os.listdir('/proc/%d/task' % pid):
        try:
            with open('/proc/%d/task/%s/status' % (pid, task)) as f:
                sleeps += sum(int(line.split()[1]) for line in f if line.startswith('voluntary_ctxt'))
        except OSError:
            pass
    return Usage(user, system, sleeps)


def family_usage(server: Server) -> Dict[str, Usage]:
    """By role; what is neither hub nor worker is left out."""
    found = {r: Usage(0, 0, 0) for r in ROLES.values()}
    for p in procs.family(server.processes[-1].pid, 'no such mark'):
        try:
            with open('/proc/%d/comm' % p.pid) as f:
                role = ROLES.get(f.read().strip())
            if role:
                found[role] = Usage(*(a + b for a, b in zip(found[role], _usage(p.pid))))
        except OSError:
            pass
    return found


def cost(server: Server, connections: int, seconds: float) -> Cost:
    """One run of wrk and what it took."""
    before = family_usage(server)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = wrk(server.url, connections, seconds)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = {role: u.minus(before[role]) for role, u in family_usage(server).items()}
    used['wrk'] = Usage(after.ru_utime - children.ru_utime, after.ru_stime - children.ru_stime,
                        after.ru_nvcsw - children.ru_nvcsw)
    n = run.rate * seconds
    return Cost({r: u.user / n * 1e6 for r, u in used.items()}, {r: u.system / n * 1e6 for r, u in used.items()},
                {r: u.sleeps / n for r, u in used.items()}, run.rate, run.p50)


class Build(Tenon):
    """The platform of any build tree."""

    def __init__(self, port: int, text: str) -> None:
        super().__init__(port, 'release')
        path, *self.options = text.split()
        self.tree = os.path.abspath(path)
        self.name = text

    def build(self, *parts: str) -> str:
        return os.path.join(self.tree, *parts)


HEAD = ('| server | c | hub user+system | worker user+system | both | wrk | sleeps a request: hub, worker | req/s | p50 µs |\n'
        '|---|---|---|---|---|---|---|---|---|')


def row(name: str, connections: int, runs: List[Cost]) -> str:
    """Medians over rounds as a table row, µs a request."""
    def middle(pick) -> float:  # type: ignore[no-untyped-def]
        return statistics.median(pick(r) for r in runs)
    return '| %s | %d | %.2f + %.2f | %.2f + %.2f | **%.2f** | %.2f | %.2f, %.2f | %.0f | %.0f |' % (
        name, connections, middle(lambda r: r.user['hub']), middle(lambda r: r.system['hub']),
        middle(lambda r: r.user['worker']), middle(lambda r: r.system['worker']), middle(lambda r: r.total),
        middle(lambda r: r.user['wrk'] + r.system['wrk']), middle(lambda r: r.sleeps['hub']),
        middle(lambda r: r.sleeps['worker']), middle(lambda r: r.rate), middle(lambda r: r.p50))


def go_first(pid: int) -> None:
    """The session of a process before all others."""
    with open('/proc/%d/autogroup' % pid, 'w') as f:
        f.write('-20')


def own_session() -> None:
    """What follows runs in a session of its own, which alone goes first."""
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.setsid()
    go_first(os.getpid())


def main() -> int:
    """Rotates over the builds in every round."""
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('--build', action='append', help='build tree and options for the server, in one word; may be given several times')
    p.add_argument('--connections', default='1,64,256')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--seconds', type=int, default=1)
    p.add_argument('--port', type=int, default=8470)
    p.add_argument('--first', action='store_true', help='go before everything else on this machine')
    p.add_argument('--bare', action='store_true', help='also the rate against the anchor')
    args = p.parse_args()
    if args.first:
        own_session()
    anchors = [BareMhd(args.port - 1, 'release')] if args.bare else []
    servers: List[Server] = [Build(args.port + i, b) for i, b in enumerate(args.build or [os.path.join(ROOT, 'build', 'release')])]
    try:
        for s in anchors + servers:
            s.start()
            if args.first:
                for process in s.processes:
                    go_first(process.pid)
        print(HEAD, flush=True)
        for c in map(int, args.connections.split(',')):
            runs: Dict[str, List[Cost]] = {s.name: [] for s in servers}
            bare: List[float] = []
            for i in range(args.rounds + 1):
                around = [wrk(a.url, c, args.seconds).rate for a in anchors]
                for s in servers[i % len(servers):] + servers[:i % len(servers)]:
                    measured = cost(s, c, args.seconds)
                    if i > 0:  # the first is the warm-up
                        runs[s.name].append(measured)
                around += [wrk(a.url, c, args.seconds).rate for a in anchors]
                if around and i > 0:
                    bare.append(sum(around) / 2)
            for s in servers:
                ratio = ' of bare: ' + str(spread([r.rate / b for r, b in zip(runs[s.name], bare)])) if bare else ''
                print(row(s.name, c, runs[s.name]) + ratio, flush=True)
    finally:
        for s in anchors + servers:
            s.stop()
    return 0


if __name__ == '__main__':
    sys.exit(main())
