# SPDX-License-Identifier: Apache-2.0
"""The walk-through of the top README works as printed, against a running platform."""

import re
import subprocess
from pathlib import Path

README = Path(__file__).resolve().parents[2] / 'README.md'


def walkthrough() -> str:
    """The shell block between the walkthrough marks."""
    text = README.read_text(encoding='utf-8')
    part = re.search(r'<!-- walkthrough:begin -->(.*?)<!-- walkthrough:end -->', text, re.DOTALL)
    assert part, 'the README has lost its walk-through'
    blocks = re.findall(r'```sh\n(.*?)```', part.group(1), re.DOTALL)
    assert blocks
    return '\n'.join(blocks)


def test_first_function(server):
    script = walkthrough()
    assert 'http://127.0.0.1:8088' in script
    script = script.replace('http://127.0.0.1:8088', server.base)
    done = subprocess.run(['bash', '-euo', 'pipefail', '-c', script], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    printed = re.search(r'The last line prints `([^`]+)`', README.read_text(encoding='utf-8'))
    assert printed
    assert lines[-1] == printed.group(1), done.stdout
    for line in lines[:-1]:
        assert '"ok":true' in line, line
