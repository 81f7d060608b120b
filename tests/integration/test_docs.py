# SPDX-License-Identifier: Apache-2.0
"""What documents show is what happens: every ```console block is run, its output compared.

A block holds lines `$ command` (continued by a trailing backslash) and the output that follows; a line `...` stands for any
lines, `…` inside a line for any text. Blocks of one document share a shell, so that a variable set in one is there in the
next. A ```sh block that is directly followed by an ```output block is run as a whole and printed that. 127.0.0.1:8088 and localhost:8088 stand for the server under test. A block that begins with a command that needs
root or starts the platform (sudo, packaging/run, tests/run, tenon serve) is for the reader and not run here.
"""

import os
import re
import subprocess
from typing import List, NamedTuple

import pytest
from support.server import BUILD, ROOT, Server

FOREIGN = re.compile(r'^(sudo |(\./)?packaging/run|(\./)?tests/run|(\S*/)?tenon serve|scons|git clone|docker |cd )')
DOCUMENTS = ['README.md'] + sorted(
    os.path.relpath(os.path.join(folder, name), ROOT)
    for top in ('plugins', 'connectors', 'auth', 'pyshim', 'kernel', 'packaging')
    for folder, _, names in os.walk(os.path.join(ROOT, top)) for name in names if name == 'README.md')


class Step(NamedTuple):
    """One command of a block and what it should print."""
    line: int
    command: str
    output: str


def steps(text: str) -> List[Step]:
    """The commands of all console blocks that are to be run."""
    found: List[Step] = []
    for block in re.finditer(r'^```(?:console\n((?:(?!```).*\n)*)|sh\n((?:(?!```).*\n)*)```\n+```output\n((?:(?!```).*\n)*))```',
                             text, re.M):
        if block.group(1) is None:
            found.append(Step(text[:block.start(2)].count('\n') + 1, block.group(2).rstrip(), block.group(3).strip()))
            continue
        first = text[:block.start(1)].count('\n') + 1
        part: List[Step] = []
        lines = block.group(1).splitlines()
        i = 0
        while i < len(lines):
            if not lines[i].startswith('$ '):
                i += 1
                continue
            start, command = i, lines[i][2:]
            while command.endswith('\\') and i + 1 < len(lines):
                i += 1
                command += '\n' + (lines[i][2:] if lines[i].startswith('> ') else lines[i])
            i += 1
            output = []
            while i < len(lines) and not lines[i].startswith('$ '):
                output.append(lines[i])
                i += 1
            part.append(Step(first + start, command, '\n'.join(output).strip()))
        if part and not FOREIGN.match(part[0].command):
            found += part
    return found


def matches(shown: str, got: str) -> bool:
    """True if got is what the document shows."""
    lines = ['(?s:.*)' if line == '...' else re.escape(line).replace(re.escape('…'), '[^\n]*')
             for line in shown.split('\n')]
    return re.fullmatch('\n'.join(lines), got.strip()) is not None


def test_the_comparison_itself() -> None:
    assert matches('a\n...\nz', 'a\nb\nc\nz') and not matches('a\n...\nz', 'a\nb')
    assert matches('id ak-…', 'id ak-17') and not matches('id ak-…', 'id xx')
    assert not matches('3', '4')
    text = 'x\n```console\n$ A=1\n$ echo $A \\\n>   b\n1 b\n```\n```console\n$ sudo packaging/run\n```\n'
    assert steps(text) == [Step(3, 'A=1', ''), Step(4, 'echo $A \\\n  b', '1 b')]
    assert steps('```sh\na\nb\n```\n\n```output\nc\n```\n```sh\nnot run\n```\n') == [Step(2, 'a\nb', 'c')]


@pytest.mark.parametrize('document', DOCUMENTS)
def test_console_blocks(document: str, request: pytest.FixtureRequest, tmp_path) -> None:
    with open(os.path.join(ROOT, document), encoding='utf-8') as f:
        todo = steps(f.read())
    if not todo:
        return  # most documents show no command
    server: Server = request.getfixturevalue('server')
    script = []
    for n, step in enumerate(todo):
        command = re.sub(r'(127\.0\.0\.1|localhost):8088', '%s:%d' % server.address, step.command)
        script.append('printf "\\n::%d::\\n"\n%s' % (n, command))
    env = dict(os.environ, PATH=os.path.join(BUILD, 'bin') + ':' + os.environ['PATH'], HOME=str(tmp_path))
    run = subprocess.run(['bash', '-c', '\n'.join(script)], cwd=tmp_path, env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170, check=False)
    outputs = re.split(r'\n::\d+::\n', '\n' + run.stdout)[1:]
    assert len(outputs) == len(todo), run.stdout[-2000:]
    for step, got in zip(todo, outputs):
        got = got.replace('%s:%d' % server.address, '127.0.0.1:8088')
        shown = step.output.replace('localhost:8088', '127.0.0.1:8088')
        assert matches(shown, got), '%s:%d: $ %s\nshown: %s\ngot:   %s' % (
            document, step.line, step.command, shown, got)
