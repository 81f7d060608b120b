# SPDX-License-Identifier: Apache-2.0
"""wrk and h2load, the rotation, and what comes of it: per-round ratios, medians, ranges."""

import math
import re
import statistics
import subprocess
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from servers import Server

UNITS = {'us': 1.0, 'ms': 1e3, 's': 1e6, 'm': 6e7}


class Run(NamedTuple):
    """One run of wrk: answers/s, latencies in µs, answers that were not 2xx and socket errors, and answers/s without those:
    what compares, because an error page costs a server less than an answer."""

    rate: float
    p50: float
    p99: float
    bad: int
    good: float


def _micros(text: str) -> float:
    m = re.match(r'([\d.]+)(us|ms|s|m)$', text)
    return float(m.group(1)) * UNITS[m.group(2)] if m else float('nan')


def wrk(url: str, connections: int, seconds: float, script: str = '') -> Run:
    """One wrk thread (two would steal a core), `seconds` long; a Lua script may say what is sent."""
    more = ['-s', script] if script else []
    text = subprocess.run(['wrk', '-t1', '-c%d' % connections, '-d%gs' % seconds, '--latency', '--timeout', '10s', *more, url],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout.decode()
    rate = re.search(r'Requests/sec:\s+([\d.]+)', text)
    latency = {p: _micros(v) for p, v in re.findall(r'^\s+(50|99)%\s+(\S+)', text, re.M)}
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', text)
    errors = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)', text)
    answers = re.search(r'^\s*(\d+) requests in ', text, re.M)
    if not rate or not answers:
        raise SystemExit('wrk printed no rate:\n' + text)
    pages = int(bad.group(1)) if bad else 0
    return Run(float(rate.group(1)), latency.get('50', float('nan')), latency.get('99', float('nan')),
               pages + (sum(map(int, errors.groups())) if errors else 0),
               float(rate.group(1)) * (1 - pages / max(1, int(answers.group(1)))))


def measure(server: Server, connections: int, seconds: float, warm: float) -> Run:
    """Warm-up, discarded, then the run that counts."""
    wrk(server.url, connections, warm)
    return wrk(server.url, connections, seconds)


def h2load(server: Server, requests: int) -> str:
    """The cross-check with another generator: rate and statuses in one line."""
    text = subprocess.run(['h2load', '--h1', '-t1', '-c64', '-n', str(requests), server.url],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout.decode()
    rate = re.search(r'finished in .*?, ([\d.]+) req/s', text)
    codes = re.search(r'status codes: (.*)', text)
    return '%s req/s, %s' % (rate.group(1) if rate else '?', codes.group(1) if codes else '?')


class Round(NamedTuple):
    """All servers once at one concurrency, the anchor before and after."""

    before: Run
    after: Run
    runs: Dict[str, Run]

    @property
    def anchor(self) -> float:
        """The anchor's rate: mean of both."""
        return (self.before.rate + self.after.rate) / 2

    @property
    def steady(self) -> bool:
        """The machine did not change under the round: the anchors differ by at most 15 %."""
        low, high = sorted((self.before.rate, self.after.rate))
        return high <= low * 1.15


class Spread(NamedTuple):
    """A figure over rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return '%.2f (%.2f–%.2f)' % self


def spread(values: Sequence[float]) -> Spread:
    """Median, minimum and maximum."""
    return Spread(statistics.median(values), min(values), max(values)) if values else Spread(*[float('nan')] * 3)


class Rotation:
    """Rounds at one concurrency."""

    def __init__(self, anchor: Server, servers: List[Server], connections: int) -> None:
        self.anchor, self.servers, self.connections = anchor, servers, connections
        self.rounds: List[Round] = []
        self.discarded = 0
        self.unsteady = 0  # of rounds: those that are only there because too few were steady
        self.bad: Dict[str, int] = {}

    def run(self, rounds: int, seconds: float, warm: float, say=print, until: float = math.inf) -> 'Rotation':
        """Rotates until enough steady rounds are there, at most twice as many in all, and begins none that
        would end behind `until` (time.monotonic()). With less than three steady ones the least unsteady count, too."""
        took, shaky = 0.0, []
        while len(self.rounds) < rounds and self.discarded < rounds and (
                took == 0 or time.monotonic() + took <= until):
            started = time.monotonic()
            # every round begins with another server, so that none always follows the same one
            turn = (len(self.rounds) + self.discarded) % len(self.servers)
            before = measure(self.anchor, self.connections, seconds, warm)
            runs = {s.name: measure(s, self.connections, seconds, warm)
                    for s in self.servers[turn:] + self.servers[:turn]}
            r = Round(before, measure(self.anchor, self.connections, seconds, warm), runs)
            for name, run in runs.items():
                self.bad[name] = self.bad.get(name, 0) + run.bad
            say('c=%d %s: bare %.0f/%.0f, %s' % (
                self.connections, 'round %d' % (len(self.rounds) + 1) if r.steady else 'discarded',
                r.before.rate, r.after.rate, ', '.join('%s %.0f' % (n, x.good) for n, x in runs.items())))
            if r.steady:
                self.rounds.append(r)
            else:
                self.discarded += 1
                shaky.append(r)
            took = time.monotonic() - started
        shaky.sort(key=lambda r: max(r.before.rate, r.after.rate) / min(r.before.rate, r.after.rate))
        more = shaky[:max(0, 3 - len(self.rounds))]
        self.rounds += more
        self.unsteady = len(more)
        self.discarded -= len(more)
        return self

    def rates(self, name: str) -> Spread:
        """Answers a second of a server, errors too."""
        return spread([r.runs[name].rate for r in self.rounds])

    def good(self, name: str) -> Spread:
        """2xx a second."""
        return spread([r.runs[name].good for r in self.rounds])

    def to_anchor(self, name: str) -> Spread:
        """Its 2xx against the anchor's rate, round by round."""
        return spread([r.runs[name].good / r.anchor for r in self.rounds])

    def ratio(self, name: str, other: str) -> Spread:
        """The 2xx of one server against those of another, round by round; without end when the other had none."""
        return spread([r.runs[name].good / r.runs[other].good if r.runs[other].good else math.inf for r in self.rounds])

    def latency(self, name: Optional[str], which: str) -> Spread:
        """p50 or p99 in µs; name None: the anchor."""
        return spread([getattr(r.runs[name] if name else r.before, which) for r in self.rounds])
