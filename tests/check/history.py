# SPDX-License-Identifier: Apache-2.0
"""Offline checker of a history of durable calls: what was promised, what was seen, what really ran.

A history is a list of events, one JSON object a line:
  {"op": "accept", "key": K, "id": I, "max": M, "once": bool}  the platform answered: accepted
  {"op": "unknown", "key": K}            the connection broke: it may have been accepted or not
  {"op": "refuse", "key": K}             a clear refusal: nothing was accepted
  {"op": "run", "key": K, "id": I}       the function began to run (written by the function itself)
  {"op": "seen", "id": I, "state": S, "result": R, "attempt": N}   what a reader saw, in order
  {"op": "final", "id": I, "state": S, "result": R, "attempt": N, "key": K}  the same from the store's file, when
                                         everything had settled; all rows there are

`python3 history.py FILE` prints what is wrong, or how much was checked."""

import collections
import json
import sys
from typing import Any, Dict, Iterable, List, Tuple

TERMINAL = {'succeeded', 'failed', 'timeout', 'expired', 'skipped', 'canceled', 'dead'}
Event = Dict[str, Any]


def check(events: Iterable[Event]) -> Tuple[List[str], Dict[str, int]]:
    """What the history violates, and counts of what it holds."""
    wrong: List[str] = []
    accepted: Dict[str, Event] = {}
    by_key: Dict[str, str] = {}
    refused, asked = set(), set()
    stored: Dict[str, str] = {}
    ended: Dict[str, Event] = {}
    final: Dict[str, Event] = {}
    runs: Dict[str, int] = collections.Counter()
    counts: Dict[str, int] = collections.Counter()
    for e in events:
        op = e['op']
        counts[op] += 1
        if op == 'accept':
            if by_key.setdefault(e['key'], e['id']) != e['id']:
                wrong.append('%s was accepted twice: %s and %s' % (e['key'], by_key[e['key']], e['id']))
            accepted[e['id']] = e
        elif op == 'unknown':
            asked.add(e['key'])
        elif op == 'refuse':
            refused.add(e['key'])
        elif op == 'run':
            runs[e['key']] += 1
        elif op in ('seen', 'final'):
            before = ended.get(e['id'])
            if before and (before['state'], before['result']) != (e['state'], e['result']):
                wrong.append('%s had ended as %s (%s) and was %s (%s) later' % (
                    e['id'], before['state'], before['result'], e['state'], e['result']))
            if e['state'] in TERMINAL:
                ended.setdefault(e['id'], e)
            if op == 'final':
                if e['id'] in final:
                    wrong.append('%s is there twice' % e['id'])
                final[e['id']] = e
                key = e.get('key')
                if key is not None and stored.setdefault(key, e['id']) != e['id']:
                    wrong.append('%s is twice in the store: %s and %s' % (key, stored[key], e['id']))
    for task, a in accepted.items():
        f = final.get(task)
        if f is None:
            wrong.append('%s (%s) was accepted and is lost' % (task, a['key']))
            continue
        if f['state'] not in TERMINAL:
            wrong.append('%s (%s) never ended: %s' % (task, a['key'], f['state']))
        if f['attempt'] > a['max']:
            wrong.append('%s used %d attempts of %d' % (task, f['attempt'], a['max']))
        if f['state'] == 'succeeded' and not runs[a['key']]:
            wrong.append('%s (%s) succeeded without having run' % (task, a['key']))
        if a['once'] and runs[a['key']] > 1:
            wrong.append('%s (%s) ran %d times, at most once was asked' % (task, a['key'], runs[a['key']]))
    asked |= set(by_key)
    for key in refused - asked:
        if runs[key]:
            wrong.append('%s was refused and ran' % key)
        if key in stored:
            wrong.append('%s was refused and is there: %s' % (key, stored[key]))
    for key in set(stored) - asked - refused:
        wrong.append('%s is there and nobody asked for it: %s' % (key, stored[key]))
    counts['tasks'] = len(accepted)
    counts['more than one run'] = sum(1 for n in runs.values() if n > 1)
    for f in final.values():
        counts[f['state']] += 1
    return wrong, dict(counts)


def main() -> int:
    """Checks a file."""
    with open(sys.argv[1], encoding='utf-8') as f:
        wrong, counts = check(json.loads(line) for line in f)
    for text in wrong[:100]:
        print(text)
    print(json.dumps(counts, sort_keys=True), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
