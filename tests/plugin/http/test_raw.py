# SPDX-License-Identifier: Apache-2.0
"""Every request of raw_cases.txt, byte for byte."""

import json
import pathlib
import re
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from conftest import Raw, Stub

CASES = pathlib.Path(__file__).with_name('raw_cases.txt')
KEYS = ('method', 'path', 'query', 'scheme', 'body', 'length', 'flags', 'header', 'args', 'parts')


def expand(text: str) -> bytes:
    """The notation of raw_cases.txt to bytes; play() has taken the ~ out."""
    out, i = b'', 0
    while i < len(text):
        if text[i] == '{':
            m = re.compile(r'\{((?:[^{}])*)\*(\d+)\}').match(text, i)
            if m:
                out += expand(m.group(1)) * int(m.group(2))
                i = m.end()
                continue
        if text[i] == '\\':
            if text[i + 1] == 'x':
                out += bytes([int(text[i + 2:i + 4], 16)])
                i += 4
            else:
                out += {'r': b'\r', 'n': b'\n', 't': b'\t', '\\': b'\\'}[text[i + 1]]
                i += 2
            continue
        out += text[i].encode('utf-8')
        i += 1
    return out


def cases() -> Iterator[Tuple[str, str, Dict[str, str]]]:
    """(name, raw, {engine: expected}) of every case."""
    name = raw = ''
    expected: Dict[str, str] = {}
    for number, line in enumerate(CASES.read_text('utf-8').split('\n') + [''], 1):
        if line.startswith('#'):
            continue
        if line.startswith('> '):
            raw = line[2:]
        elif line.startswith('= '):
            expected = {'h1': line[2:], 'http': line[2:]}
        elif line.startswith('h1= '):
            expected['h1'] = line[4:]
        elif line:
            assert not name, 'line %d: no request for "%s"' % (number, name)
            name = line
        elif name:
            assert raw and expected, 'line %d' % number
            yield name, raw, expected
            name = raw = ''
            expected = {}


ALL = list(cases())


def inside(wanted: str, seen: Dict[str, Any]) -> None:
    """Compares `key=value ...` with what the stub host echoed. Bytes are Latin-1 there."""
    at = [m.start() for m in re.finditer(r'(?:(?<= )|^)(?:%s)=' % '|'.join(KEYS), wanted)] + [len(wanted) + 1]
    for a, b in zip(at, at[1:]):
        key, value = wanted[a:b - 1].split('=', 1)
        value = re.sub(r'\\u([0-9a-f]{4})', lambda m: chr(int(m.group(1), 16)), value)
        value = value.encode('utf-8').decode('latin-1')
        value = re.sub(r'\\x([0-9a-f]{2})', lambda m: chr(int(m.group(1), 16)), value)
        value = value.replace('\\t', '\t').replace('\\\\', '\\')
        if key == 'header':
            assert value.split(':', 1) in seen['headers'], seen['headers']
        elif key == 'args':
            assert value == ';'.join('%s:%s' % tuple(p) for p in seen['args'])
        elif key == 'parts':
            assert value == ';'.join(
                '%s:%s:%d' % (p['name'], p['filename'], p['size']) if 'filename' in p
                else '%s=%s' % (p['name'], p['value']) for p in seen['parts'])
        else:
            assert value == str(seen[key]), '%s is %r' % (key, seen[key])


def play(stub: Stub, raw: str) -> Raw:
    """Sends a case, a packet for every piece between ~."""
    r = stub.raw()
    parts = raw.split('~')
    for i, piece in enumerate(parts):
        if not r.send(expand(piece)):
            break
        if i + 1 < len(parts):
            time.sleep(0.01)
    return r


@pytest.mark.parametrize('raw,expected', [c[1:] for c in ALL], ids=[c[0] for c in ALL])
def test_raw(engine: str, shared: Stub, raw: str, expected: Dict[str, str]) -> None:
    """The answers, whether the connection lives on, and what was understood."""
    words = expected[engine].split(' ', 2)
    r = play(shared, raw)
    if words[0] == 'wait':
        with pytest.raises(TimeoutError):
            r.answer(timeout=0.3)
        r.close()
        return
    statuses: List[str] = []
    body = b''
    nobody = words[2:] == ['nobody']
    want = [] if words[0] == 'none' else words[0].split(',')
    for _ in want:
        a = r.answer(head=nobody)
        if a is None:
            break
        statuses.append(str(a[0]))
        body = a[2]
    assert statuses == want
    if words[1] == 'doubled':
        while r.more(2.0):
            pass
        assert (body + r.buf).count(b'HTTP/1.1 %s' % words[0].encode()) == 1
    elif words[1] == 'close':
        assert r.closed()
        assert r.buf == b''
    else:
        # the connection must work, and must not have kept anything of the request
        if not raw.endswith('abcX'):
            r.send(b'GET /fast HTTP/1.1\r\nHost: x\r\n\r\n')
            a = r.answer()
            assert a is not None and a[0] == 200 and a[2] == b'{"result":3}'
    r.close()
    if len(words) > 2 and not nobody:
        inside(words[2], json.loads(body))


def test_enough() -> None:
    """Nobody thins the table out by accident."""
    assert len(ALL) >= 250
    assert len({c[0] for c in ALL}) == len(ALL)
