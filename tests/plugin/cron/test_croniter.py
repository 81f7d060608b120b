# SPDX-License-Identifier: Apache-2.0
"""trigger_cron against Debian's croniter and the C library's zdump: random cases, all transitions."""

import collections
import datetime
import os
import pathlib
import random
import re
import subprocess
import zoneinfo
from typing import Iterable, List

import croniter
import pytest

import model

BUILD = pathlib.Path(os.environ.get('TENON_BUILD', 'build/release')).resolve()
LONG = os.environ.get('TENON_TEST_LONG') == '1'
CASES = int(os.environ.get('TENON_TEST_CASES', '1000000' if LONG else '10000'))
pytestmark = pytest.mark.timeout(10800 if LONG else 180)
SEED = int(os.environ.get('TENON_TEST_SEED', '20261121'))
SOME_ZONES = ['UTC', 'Asia/Shanghai', 'America/New_York', 'Europe/London', 'Europe/Dublin', 'Australia/Lord_Howe',
              'America/St_Johns', 'Africa/Casablanca', 'Pacific/Apia', 'Pacific/Kwajalein', 'Asia/Kathmandu',
              'America/Sao_Paulo', 'Antarctica/Troll', 'Asia/Gaza', 'Etc/GMT+12', 'Africa/Monrovia', 'Asia/Tehran',
              'America/Caracas', 'Europe/Lisbon', 'Pacific/Chatham', 'America/Asuncion', 'Africa/Cairo']


def all_zones() -> List[str]:
    """Every zone of the system's tzdata."""
    return sorted(z for z in zoneinfo.available_timezones()
                  if (pathlib.Path('/usr/share/zoneinfo') / z).is_file() and z != 'localtime')


ZONES = all_zones() if LONG else SOME_ZONES


def ask(lines: Iterable[str]) -> List[str]:
    """Answers of the plugin's code, one for each line."""
    lines = list(lines)
    done = subprocess.run([str(BUILD / 'tests/plugin/cron/occur_cases')], input='\n'.join(lines) + '\n',
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = done.stdout.split('\n')[:-1]
    assert len(answers) == len(lines)
    return answers


# ---- expressions ------------------------------------------------------------------------------------
def item(r: random.Random, low: int, high: int, names: List[str]) -> str:
    def value() -> str:
        v = r.randint(low, high)
        return names[v - low] if names and v - low < len(names) and r.random() < 0.3 else str(v)
    kind = r.random()
    if kind < 0.5:
        return value()
    if kind < 0.75:
        a, b = sorted((r.randint(low, high), r.randint(low, high)))
        return '%d-%d' % (a, b) + ('/%d' % r.randint(1, high) if r.random() < 0.5 else '')
    return ('*/%d' if r.random() < 0.7 else '%d/%%d' % r.randint(low, high)) % r.randint(1, high)


def field(r: random.Random, low: int, high: int, names: List[str], star: float) -> str:
    if r.random() < star:
        return '*'
    return ','.join(item(r, low, high, names) for _ in range(r.choice((1, 1, 1, 2, 3))))


def expression(r: random.Random) -> str:
    """A valid expression of the dialect, one to six fields."""
    dom = field(r, 1, 31, [], 0.5)
    if r.random() < 0.08:
        dom = 'L' if dom == '*' or r.random() < 0.5 else dom + ',L'
    dow = field(r, 0, 7, ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'], 0.6)
    if r.random() < 0.1:
        dow = ','.join('%d#%d' % (r.randint(0, 6), r.randint(1, 5)) if r.random() < 0.7 else 'L%d' % r.randint(0, 6)
                       for _ in range(r.choice((1, 1, 2))))
    fields = [field(r, 0, 59, [], 0.15), field(r, 0, 23, [], 0.3), dom,
              field(r, 1, 12, 'jan feb mar apr may jun jul aug sep oct nov dec'.split(), 0.6), dow]
    kind = r.random()
    if kind < 0.15:
        fields = [field(r, 0, 59, [], 0.2)] + fields
    elif kind < 0.22:
        fields = fields[:r.randint(1, 4)]
    return ' '.join(f.upper() if r.random() < 0.1 else f for f in fields)


def moment(r: random.Random, zone: str) -> int:
    """Half of them near a change of the zone's offset."""
    at = [a for a in model.spans(zone)[0] if model.FIRST < a < model.LAST]
    if at and r.random() < 0.5:
        return r.choice(at) + r.randint(-90000, 90000) // r.choice((1, 1, 60, 3600))
    return r.randint(model.FIRST, model.LAST)


def test_random_cases() -> None:
    """The next three occurrences of random expressions in random zones after random moments."""
    r = random.Random(SEED)
    rules: 'collections.Counter[str]' = collections.Counter()
    aware = 0
    for start in range(0, CASES, 20000):
        cases = []
        while len(cases) < min(20000, CASES - start):
            zone = r.choice(ZONES)
            cases.append((expression(r), zone, moment(r, zone)))
        answers = ask('next\t%s\t%s\t%d\t3' % c for c in cases)
        for (expr, zone, after), answer in zip(cases, answers):
            assert not answer.startswith('!'), (expr, answer)
            got = [int(x) for x in answer.split()]
            e = model.Expr(expr)
            want, at = [], after
            for _ in range(3 if r.random() < 0.1 else 1):
                at = model.following(e, zone, at)
                if at is None or at > model.LAST + 60000000:
                    break
                want.append(at)
            if got[:len(want)] != want or (at is None and len(got) > len(want)):
                allowed = e.rules()
                e.walk = True
                want, at = [], after
                for _ in range(3):
                    at = model.following(e, zone, at)
                    if at is None or at > model.LAST + 60000000:
                        break
                    want.append(at)
                assert allowed and got[:len(want)] == want, (
                    'expression %r zone %s after %d: got %r, expected %r' % (expr, zone, after, got, want))
                rules['+'.join(allowed)] += 1
            elif want and r.random() < 0.05:
                aware += near_nothing(e, zone, after, want[0])
    print('%d cases, seed %d, %d zones: 0 unexplained differences; %d also equal to croniter with a zone; by rule: %s'
          % (CASES, SEED, len(ZONES), aware, dict(rules)))


def near_nothing(e: model.Expr, zone: str, after: int, want: int) -> int:
    """Where no clock changes between, croniter's own zone arithmetic must say the same."""
    at = model.spans(zone)[0]
    if any(after - 172800 < a < want + 172800 for a in at):
        return 0
    base = datetime.datetime.fromtimestamp(after, zoneinfo.ZoneInfo(zone))
    try:
        found = croniter.croniter(e.text, base).get_next(float)
    except croniter.CroniterBadDateError:
        return 0
    assert int(found) == want, (e.text, zone, after, found, want)
    return 1


def test_minute_by_minute() -> None:
    """Around clock changes: every minute is looked at, with Python's zoneinfo as the clock."""
    r = random.Random(SEED + 1)
    for _ in range(400 if LONG else 60):
        zone = r.choice([z for z in ZONES if len(model.spans(z)[0]) > 3])
        at, offsets = model.spans(zone)
        i = r.choice([k for k in range(1, len(at)) if model.FIRST < at[k] < model.LAST])
        if (offsets[i] - offsets[i - 1]) % 60 or offsets[i] % 60 or abs(offsets[i] - offsets[i - 1]) > 7200:
            continue
        if any(k != i and abs(at[k] - at[i]) < 200000 for k in range(len(at))):
            continue
        hours = r.choice(['*', '*/2', '0-5', '1,2,3', '2', '23,0,1'])
        expr = '%s %s * * *' % (r.choice(['*/15', '0', '30', '*/7', '59']), hours)
        e = model.Expr(expr)
        tz = zoneinfo.ZoneInfo(zone)
        minutes, gap = [], False
        for t in range(at[i] - 14400, at[i] + 14400, 60):
            wall = datetime.datetime.fromtimestamp(t, tz)
            hit = (('*' in e.fields[0] or wall.minute in e.fields[0]) and
                   ('*' in e.fields[1] or wall.hour in e.fields[1]))
            if t == at[i] and e.fixed and offsets[i] > offsets[i - 1]:
                for skipped in range(at[i] + offsets[i - 1], at[i] + offsets[i], 60):
                    gap = gap or (skipped // 60 % 60 in e.fields[0] or '*' in e.fields[0]) and \
                        skipped // 3600 % 24 in e.fields[1]
                hit = hit or gap
            if hit and not (e.fixed and wall.fold):
                minutes.append(t)
        answer = ask(['next\t%s\t%s\t%d\t500' % (expr, zone, at[i] - 14401)])[0]
        got = [t for t in map(int, answer.split()) if t < at[i] + 14400]
        assert got == minutes, (expr, zone, at[i], got, minutes)


def test_counts() -> None:
    """Counting by days gives what going one by one gives."""
    r = random.Random(SEED + 2)
    cases = []
    for _ in range(2000 if LONG else 300):
        zone = r.choice(ZONES)
        after = moment(r, zone)
        cases.append((expression(r), zone, after, after + r.choice((3600, 86400 * 3, 86400 * 40, 86400 * 400))))
    counts = ask('count\t%s\t%s\t%d\t%d' % c for c in cases)
    # Asking for all of them, a month at most, in one go
    for (expr, zone, after, to), count in zip(cases, counts):
        if int(count) > 20000:
            continue
        one_by_one = ask(['next\t%s\t%s\t%d\t20001' % (expr, zone, after)])[0].split()
        assert int(count) == sum(1 for t in one_by_one if int(t) <= to), (expr, zone, after, to)


@pytest.mark.parametrize('zone', ZONES)
def test_transitions(zone: str) -> None:
    """Every change of the offset from 1970 to 2037."""
    at, offsets = model.spans(zone)
    want = [model.FIRST, model.LAST]
    i = max(k for k in range(len(at)) if at[k] <= model.FIRST)
    expected = [str(offsets[i])] + ['%d:%d' % (at[k], offsets[k]) for k in range(i + 1, len(at)) if at[k] < model.LAST]
    assert ask(['spans\t%s\t%d\t%d' % (zone, *want)])[0].split() == expected


# ---- what is an expression at all -------------------------------------------------------------------
def listed(expr: str) -> bool:
    """Validity where we differ from croniter on purpose (README.md of the plugin)."""
    f = expr.lower().split()
    return ('?' in expr                                      # ours: * in the day fields
            or any(x[:1] in ('h', 'r') for x in f)           # croniter: hashed and random values
            or '*#' in expr or '#' in expr and '*' in f[-1 if len(f) == 5 else 5 if len(f) > 5 else -1]
            or any('#' in x and not x.replace(',', '').replace('#', '').isalnum() for x in f)
            or any(len(part.split('#')) > 2 or (('#' in part) and not part.split('#')[1].isdigit())
                   for x in f for part in x.split(','))      # croniter ignores what follows "5#2"
            or (len(f) == 6 and any(re.match('0+([-/]|$)', part) for x in f[3:5] for part in x.split(',')))  # day or month 0
            or (f[-1:] != [] and '#' in f[-1] and '7' in f[-1])  # 7#1 and 0#1 are the same day
            or (len(f) >= 5 and 'l' in f[-1] and ('7' in f[-1] or '*' in f[-1] or all_week(f[4 if len(f) == 5 else 5]))))


def all_week(text: str) -> bool:
    """The plain entries of a weekday field name every day: croniter takes them for * and lets L5 stand beside."""
    plain = ','.join(part for part in text.split(',') if 'l' not in part and '#' not in part)
    try:
        return plain != '' and croniter.croniter.expand('0 0 * * ' + plain)[0][4] == ['*']
    except ValueError:
        return False


def croniter_takes(expr: str) -> bool:
    """croniter.is_valid(), which itself fails for some wrong expressions."""
    try:
        croniter.croniter._expand(expr)
        return True
    except ValueError:
        return False


def test_valid_or_not() -> None:
    """Damaged expressions are accepted or refused as croniter does, but for the listed rules."""
    r = random.Random(SEED + 3)
    exprs = []
    for _ in range(CASES // 10):
        text = list(expression(r))
        for _ in range(r.choice((1, 1, 2, 3))):
            i = r.randrange(len(text) + 1)
            text[i:i + r.choice((0, 1))] = r.choice(list('0123456789*/,-#Ll?x ') + ['', '60', 'mon', '*/0', '--'])
        expr = ''.join(text)
        if expr.split() and '\t' not in expr:
            exprs.append(expr)
    answers = ask('next\t%s\tUTC\t0\t1' % e for e in exprs)
    refused = 0
    for expr, answer in zip(exprs, answers):
        ours = not answer.startswith('!')
        theirs = len(expr.split()) <= 6 and croniter_takes(model.to_croniter(expr))
        refused += not ours
        assert ours == theirs or listed(expr), 'expression %r: ours %s, croniter %s; %s' % (expr, ours, theirs, answer)
    assert len(exprs) // 10 < refused < len(exprs)
