# SPDX-License-Identifier: Apache-2.0
"""From measurements to the Markdown that goes into README.md."""

import dataclasses
import statistics
from typing import Dict, List, Optional, Tuple

from costs import HEAD, Cost, row
from load import Rotation, Run

# what is asked for: concurrency, against whom ('' = the anchor), minimum, aim
GOALS = [
    (64, '', 0.45, 0.60), (256, '', 0.45, 0.60),
    (64, 'nginx+uWSGI', 2.2, 3.0), (64, 'FastAPI async', 2.0, 3.0), (64, 'uvicorn ASGI', 1.0, 1.4),
    (256, 'nginx+uWSGI', 2.2, 3.0), (256, 'FastAPI async', 2.0, 3.0), (256, 'uvicorn ASGI', 1.0, 1.4),
]


@dataclasses.dataclass
class Result:
    """Everything one run found."""

    quick: bool
    load: float
    cpus: int
    kernel: str
    started: str
    seconds: float
    steal: float = 0
    versions: Dict[str, str] = dataclasses.field(default_factory=dict)
    rotations: Dict[int, Rotation] = dataclasses.field(default_factory=dict)
    h2load: Dict[str, str] = dataclasses.field(default_factory=dict)
    many: Optional[Run] = None
    wake_up: float = 0
    memory: Optional[Tuple[int, int]] = None
    replacement: List[float] = dataclasses.field(default_factory=list)
    idle: Dict[str, float] = dataclasses.field(default_factory=dict)
    scripts: int = 0
    parts: List[str] = dataclasses.field(default_factory=list)
    starts: List[float] = dataclasses.field(default_factory=list)
    costs: Dict[Tuple[str, int], List[Cost]] = dataclasses.field(default_factory=dict)


def _verdict(value: float, minimum: float, aim: float) -> str:
    return 'aim met' if value >= aim else 'minimum met' if value >= minimum else '**below the minimum**'


def _at_most(value: float, limit: float) -> str:
    return 'met' if value <= limit else '**missed**'


def _goals(r: Result) -> List[str]:
    rows = ['| sync API x+y against | c | ratio, median (min–max) | minimum / aim | |', '|---|---|---|---|---|']
    for c, other, minimum, aim in GOALS:
        rotation = r.rotations.get(c)
        names = [s.name for s in rotation.servers] if rotation else []
        if rotation is None or not rotation.rounds or 'tenon' not in names or (other and other not in names):
            continue
        value = rotation.ratio('tenon', other) if other else rotation.to_anchor('tenon')
        rows.append('| %s | %d | %s | %g / %g | %s |' % (
            other or 'bare libmicrohttpd', c, value, minimum, aim, _verdict(value.median, minimum, aim)))
    return rows if len(rows) > 2 else []


def _rates(r: Result) -> List[str]:
    rows = ['| server | c | 2xx/s, median (min–max) | all answers/s | 2xx of bare | p50 / p99 µs | not 2xx |', '|---|---|---|---|---|---|---|']
    for c, rotation in sorted(r.rotations.items()):
        if not rotation.rounds:
            rows.append('| – | %d | no steady round in %d | | | | |' % (c, rotation.discarded))
            continue
        anchors = [x.anchor for x in rotation.rounds]
        rows.append('| bare libmicrohttpd | %d | %.0f (%.0f–%.0f) | %.0f | 1 | %.0f / %.0f | |' % (
            c, statistics.median(anchors), min(anchors), max(anchors), statistics.median(anchors),
            rotation.latency(None, 'p50').median, rotation.latency(None, 'p99').median))
        for s in rotation.servers:
            rows.append('| %s | %d | %.0f (%.0f–%.0f) | %.0f | %s | %.0f / %.0f | %d |' % (
                (s.name, c) + rotation.good(s.name) + (
                    rotation.rates(s.name).median, rotation.to_anchor(s.name), rotation.latency(s.name, 'p50').median,
                    rotation.latency(s.name, 'p99').median, rotation.bad[s.name])))
    return rows if r.rotations else []


def _percentile(values: List[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _figures(r: Result) -> List[str]:
    rows = ['| figure | value | asked for | |', '|---|---|---|---|']
    one = r.rotations.get(1)
    if one and one.rounds and 'tenon' in one.bad:
        bare, tenon = one.latency(None, 'p50').median, one.latency('tenon', 'p50').median
        limit = 1.5 * bare + 2 * r.wake_up
        rows.append('| p50 at c=1 | %.0f µs | ≤ %.0f µs: 1.5 × %.0f µs of bare + two wake-ups of %.0f µs | %s |' % (
            tenon, limit, bare, r.wake_up, _at_most(tenon, limit)))
    if r.many:
        rows.append('| c=1000 | %.0f req/s, p50 %.1f ms, p99 %.1f ms, %d not 2xx | 0 not 2xx | %s |' % (
            r.many.rate, r.many.p50 / 1e3, r.many.p99 / 1e3, r.many.bad, _at_most(r.many.bad, 0)))
    if r.memory:
        rows.append('| private memory of a worker, fresh / after 1,000 calls | %.2f / %.2f MB | ≤ 2 MB | %s |' % (
            r.memory[0] / 1e6, r.memory[1] / 1e6, _at_most(r.memory[1], 2e6)))
    inside = [float(line.rsplit(None, 1)[1]) for line in r.parts if 'ten decorators' in line]
    if inside:
        rows.append('| full call in the worker, ten decorators / bare exec and call without any | %.2f | ≤ 1.5, aim 1.2 '
                    '| %s |' % (inside[0], _verdict(-inside[0], -1.5, -1.2)))
    if r.replacement:
        p99 = _percentile(r.replacement, 0.99)
        rows.append('| SIGKILL of a worker → replacement has answered (n=%d) | median %.1f, p99 %.1f, worst %.1f ms '
                    '| p99 < 10 ms | %s |' % (len(r.replacement), statistics.median(r.replacement), p99,
                                              max(r.replacement), _at_most(p99, 10)))
    if r.starts:
        rows.append('| start to READY with %d published scripts | median %.2f, worst %.2f s | ≤ 1 s | %s |' % (
            r.scripts, statistics.median(r.starts), max(r.starts), _at_most(max(r.starts), 1)))
    if r.idle:
        rows.append('| idle, all %d processes | %.1f MB (PSS), %.2f %% CPU | ≤ 60 MB, ≤ 0.5 %% | %s |' % (
            r.idle['processes'], r.idle['pss_mb'], r.idle['cpu_percent'],
            'met' if r.idle['pss_mb'] <= 60 and r.idle['cpu_percent'] <= 0.5 else '**missed**'))
    return rows if len(rows) > 2 else []


def markdown(r: Result) -> str:
    """The report."""
    rounds = {c: '%d (%d discarded%s)' % (len(x.rounds) - x.unsteady, x.discarded,
                                          ', %d unsteady ones used' % x.unsteady if x.unsteady else '')
              for c, x in sorted(r.rotations.items())}
    parts = ['%s; %d CPUs, Linux %s, load before the start %.2f, %.1f s stolen; runs of %g s; steady rounds: %s.%s' % (
        r.started, r.cpus, r.kernel, r.load, r.steal, r.seconds,
        ', '.join('c=%d %s' % x for x in rounds.items()) or 'none',
        ' **Quick run: these figures mean nothing.**' if r.quick else '')]
    parts += ['\n'.join(rows) for rows in (_goals(r), _rates(r), _figures(r)) if rows]
    if r.costs:
        parts.append('CPU time a request in µs (medians of three runs; the anchor has one process):\n\n' + HEAD + '\n' +
                     '\n'.join(row(name, c, runs) for (name, c), runs in r.costs.items()))
    if r.parts:
        parts.append('Parts alone, CPU time in one process:\n\n```\n%s\n```' % '\n'.join(r.parts))
    if r.h2load:
        parts.append('Cross-check with `h2load --h1 -t1 -c64`: ' + '; '.join(
            '%s %s' % x for x in r.h2load.items()) + '.')
    parts.append('Versions: ' + '; '.join('%s: %s' % x for x in r.versions.items() if x[1]) + '.')
    return '\n\n'.join(parts) + '\n'
