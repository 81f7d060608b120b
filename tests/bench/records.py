#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What task records cost: the same function behind two sync APIs, taskRecordLimit 100 and none, in pairs.

    tests/bench/records.py [--pairs 7] [--seconds 4] [--connections 64]

Each pair runs both, in turning order; the ratio within a pair counts. Beside the rate the processor time of
hub and workers per call is compared, which other programs on the machine hardly disturb."""

import argparse
import os
import statistics
import sys
from typing import List, Tuple

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'integration')]

from load import wrk  # noqa: E402
from support.server import Server  # noqa: E402

CODE = '@DFF.API()\ndef add(x, y):\n    return {"sum": int(x) + int(y)}\n'


def cpu_seconds(server: Server) -> float:
    """Processor time of all processes of the server, with that of those that are no more: a worker's goes over to the zygote, which
    waits for it. So the sum never falls when a worker is replaced."""
    total = 0
    for p in server.family():
        with open('/proc/%d/stat' % p.pid) as f:
            fields = f.read().rsplit(')', 1)[1].split()
        total += sum(int(f) for f in fields[11:15])  # utime, stime, cutime, cstime
    return total / os.sysconf('SC_CLK_TCK')


def measure(server: Server, api: str, connections: int, seconds: float) -> Tuple[float, float]:
    """Calls per second, and processor seconds per call."""
    url = '%s/api/v1/sync/%s/simplified?x=1&y=2' % (server.base, api)
    wrk(url, connections, 1)
    before = cpu_seconds(server)
    run = wrk(url, connections, seconds)
    if run.bad:
        raise SystemExit('%d answers were not 2xx' % run.bad)
    return run.rate, (cpu_seconds(server) - before) / (run.rate * seconds)


def main() -> None:
    """Prints the table and the two medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pairs', type=int, default=7)
    parser.add_argument('--seconds', type=float, default=4)
    parser.add_argument('--connections', type=int, default=64)
    a = parser.parse_args()
    server = Server()
    rates: List[float] = []
    costs: List[float] = []
    try:
        server.start()
        api = server.client()
        script = api.script(CODE)
        ids = {limit: api.add_sync_api(script + '.add', {'x': 'INPUT_BY_CALLER', 'y': 'INPUT_BY_CALLER'},
                                       taskRecordLimit=limit) for limit in (0, 100)}
        for limit in ids:
            measure(server, ids[limit], a.connections, 1)
        for i in range(a.pairs):
            order = (0, 100) if i % 2 == 0 else (100, 0)
            got = {limit: measure(server, ids[limit], a.connections, a.seconds) for limit in order}
            rates.append(got[100][0] / got[0][0])
            costs.append(got[0][1] / got[100][1])
            print('pair %d: %7.0f/s and %5.1f us of processor time without, %7.0f/s and %5.1f us with records; ratios %.3f, %.3f' % (
                i + 1, got[0][0], got[0][1] * 1e6, got[100][0], got[100][1] * 1e6, rates[-1], costs[-1]), flush=True)
        kept = api.get('/task-records/func/do/get-count', groupField='originId', groupIds=ids[100])
        assert kept[ids[100]]['count'] == 100, kept
        server.stop()
    finally:
        server.close()
    print('records on / off at c=%d: rate %.3f (%.3f to %.3f), processor time %.3f (%.3f to %.3f)' % (
        a.connections, statistics.median(rates), min(rates), max(rates),
        statistics.median(costs), min(costs), max(costs)))


if __name__ == '__main__':
    main()
