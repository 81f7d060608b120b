# SPDX-License-Identifier: Apache-2.0
"""What trigger_cron ought to answer, from parts that share no line with it: Debian's croniter reads the
expressions and walks the calendar, zdump of the C library knows the zones, and the rules for clock changes are
written down a second time. Rules of ours that differ from croniter are the functions listed in `RULES`."""

import bisect
import calendar
import datetime
import functools
import re
import subprocess
from typing import Dict, List, Optional, Tuple

import croniter

EPOCH = datetime.datetime(1970, 1, 1)
FIRST, LAST = 0, 2145916800  # 1970 to the end of 2037
MONTHS = {m.lower(): i for i, m in enumerate(calendar.month_abbr) if m}

# name: why an answer of croniter is not ours
RULES = {
    'day-or-nth': 'day and 5#2/L5 both restricted: either counts (croniter: only the weekday)',
    'short-month': 'a list of days with 29..31: croniter jumps over the first days after a short month',
    'all-days-and-l': 'all days and L: the same as * (croniter: a restriction)',
    'sunday-7': 'with six fields croniter never finds weekday 7',
}


def spans(zone: str) -> Tuple[List[int], List[int]]:
    """(moments from which on an offset counts, offsets), 1970 to 2040, from zdump."""
    return _spans(zone)


@functools.lru_cache(None)
def _spans(zone: str) -> Tuple[List[int], List[int]]:
    text = subprocess.run(['zdump', '-v', '-c', '1969,2040', '/usr/share/zoneinfo/' + zone], capture_output=True,
                          text=True, check=True).stdout
    at: List[int] = []
    offsets: List[int] = []
    for line in text.splitlines():
        m = re.search(r'\w{3} (\w{3}) +(\d+) (\d+):(\d+):(\d+) (-?\d+) UT = .* gmtoff=(-?\d+)$', line)
        if m is None:
            continue
        year = int(m.group(6))
        if not 1900 < year < 3000:
            continue
        when = datetime.datetime(year, MONTHS[m.group(1).lower()], int(m.group(2)), int(m.group(3)),
                                 int(m.group(4)), int(m.group(5)))
        offset = int(m.group(7))
        if not offsets or offsets[-1] != offset:
            at.append(int((when - EPOCH).total_seconds()))
            offsets.append(offset)
    if not offsets:  # no transition at all
        import zoneinfo
        tz = zoneinfo.ZoneInfo(zone)
        offsets = [int(tz.utcoffset(datetime.datetime(2000, 1, 1)).total_seconds())]
        at = [-(1 << 62)]
    at[0] = -(1 << 62)
    return at, offsets


def to_croniter(expr: str) -> str:
    """Our fields (seconds first, missing ones are *) to croniter's (seconds last)."""
    f = expr.split()
    f += ['*'] * (5 - len(f))
    return ' '.join(f if len(f) == 5 else f[1:] + f[:1])


class Expr:
    """One expression: next match on a clock without zone, by croniter or (walk=True) by looking at every day."""

    def __init__(self, expr: str) -> None:
        self.text = to_croniter(expr)
        self.fields, self.nth = croniter.croniter.expand(self.text)
        self.seven = False
        if len(self.fields) == 6:  # croniter treats 7 as a day of its own here
            five = croniter.croniter.expand(' '.join(self.text.split()[:5]))
            self.seven = self.fields[4] != five[0][4] or self.nth != five[1]
            self.fields[4], self.nth = five[0][4], five[1]
        self.all_days = len(self.fields[2]) == 32  # 1 to 31 and L
        if self.all_days:
            self.fields[2] = ['*']
        self.fixed = '*' not in self.fields[1]
        self.walk = False

    def day_matches(self, day: datetime.date) -> bool:
        """The day, month and weekday fields as croniter has expanded them, by our rules."""
        dom, month, dow = self.fields[2:5]
        if '*' not in month and day.month not in month:
            return False
        length = calendar.monthrange(day.year, day.month)[1]
        by_day = day.day in dom or ('l' in dom and day.day == length)
        weekday = day.isoweekday() % 7
        if self.nth:
            wanted = {n for w, ns in self.nth.items() if w % 7 == weekday for n in ns}
            by_week = (day.day - 1) // 7 + 1 in wanted or ('l' in wanted and day.day + 7 > length)
        else:
            by_week = weekday in {w if w == '*' else w % 7 for w in dow}
        any_day, any_week = '*' in dom, '*' in dow and not self.nth
        if any_day or any_week:
            return (any_day or by_day) and (any_week or by_week)
        return by_day or by_week

    def rules(self) -> List[str]:
        """Rules of ours that may make a difference for this expression."""
        found = []
        dom, dow = self.fields[2], self.fields[4]
        if self.nth and '*' not in dom:
            found.append('day-or-nth')
        if any(d in (29, 30, 31, 'l') for d in dom):
            found.append('short-month')
        if self.all_days:
            found.append('all-days-and-l')
        if self.seven:
            found.append('sunday-7')
        return found

    def from_wall(self, wall: int) -> Optional[int]:
        """First matching second >= wall."""
        if self.walk:
            return self._walk(wall)
        try:
            base = EPOCH + datetime.timedelta(seconds=wall - 1)
            found = croniter.croniter(self.text, base).get_next(datetime.datetime)
        except croniter.CroniterBadDateError:
            return None
        return int((found - EPOCH).total_seconds())

    def _walk(self, wall: int) -> Optional[int]:
        def values(i: int, n: int) -> List[int]:
            return list(range(n)) if '*' in self.fields[i] else sorted(self.fields[i])
        seconds = values(5, 60) if len(self.fields) == 6 else [0]
        day, limit = (EPOCH + datetime.timedelta(seconds=wall)).date(), 50 * 366
        for _ in range(limit):
            if self.day_matches(day):
                start = int((datetime.datetime(day.year, day.month, day.day) - EPOCH).total_seconds())
                for h in values(1, 24):
                    if start + h * 3600 + 3599 < wall:
                        continue
                    for m in values(0, 60):
                        if start + h * 3600 + m * 60 + 59 < wall:
                            continue
                        for s in seconds:
                            if start + h * 3600 + m * 60 + s >= wall:
                                return start + h * 3600 + m * 60 + s
            day += datetime.timedelta(days=1)
        return None


def following(e: Expr, zone: str, after: int) -> Optional[int]:
    """The first occurrence after `after`, by the rules for clock changes."""
    at, offsets = spans(zone)
    i = bisect.bisect_right(at, after + 1) - 1
    while i < len(at):
        begin, offset = at[i], offsets[i]
        end = at[i + 1] if i + 1 < len(at) else 1 << 62
        wall = max(after + 1, begin) + offset
        if e.fixed and i > 0:
            if offsets[i - 1] < offset and begin > after:  # a gap: once, at its end
                jumped = e.from_wall(begin + offsets[i - 1])
                if jumped is not None and jumped < begin + offset:
                    return begin
            wall = max(wall, begin + offsets[i - 1]) if offsets[i - 1] > offset else wall
        found = e.from_wall(wall)
        if found is None:
            return None
        if found < end + offset:
            return found - offset
        i += 1
    return None
