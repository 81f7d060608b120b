# SPDX-License-Identifier: Apache-2.0
"""What the rules read: the files of the tree and the includes of a C file."""

import os
import re
import subprocess
from typing import Iterator, List, NamedTuple, Tuple

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Include(NamedTuple):
    """One include line. kind is '<' or '"'."""
    line: int
    kind: str
    name: str


def tracked(root: str) -> List[str]:
    """Paths of all files that belong to the tree: tracked by git, or not ignored. Without git (a
    release archive) every file that is not below build/."""
    run = subprocess.run(['git', '-C', root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
                         capture_output=True, check=False)
    if run.returncode == 0:
        names = [n for n in run.stdout.decode().split('\0') if n]
    else:
        names = [os.path.relpath(os.path.join(folder, f), root)
                 for folder, _, files in os.walk(root) for f in files]
        names = [n for n in names if not n.startswith(('build' + os.sep, '.git' + os.sep))]
    return sorted(n for n in set(names) if os.path.isfile(os.path.join(root, n)))


def read(root: str, path: str) -> str:
    """Text of a file; bytes that are not UTF-8 become replacement characters."""
    with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
        return f.read()


def is_text(root: str, path: str) -> bool:
    """False for binary files (fuzz corpora, images): no rule about text applies to them."""
    with open(os.path.join(root, path), 'rb') as f:
        return b'\0' not in f.read(4096)


def includes(text: str) -> Iterator[Include]:
    """The include lines of a C file, outside of block comments."""
    comment = False
    for number, line in enumerate(text.splitlines(), 1):
        if not comment:
            found = INCLUDE.match(line)
            if found:
                yield Include(number, found.group(1), found.group(2))
        opened, closed = line.rfind('/*'), line.rfind('*/')
        if opened >= 0 or closed >= 0:
            comment = opened > closed


def c_files(paths: List[str]) -> List[str]:
    """The C sources and headers among paths."""
    return [p for p in paths if p.endswith(('.c', '.h'))]


def strip_c(text: str) -> str:
    """C text without comments and string contents, line numbers kept."""
    def blank(found: 're.Match[str]') -> str:
        body = found.group(0)
        return ('""' if body[0] == '"' else "''" if body[0] == "'" else ' ') + '\n' * body.count('\n')
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


Problem = Tuple[str, int, str]
