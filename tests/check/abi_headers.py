# SPDX-License-Identifier: Apache-2.0
"""The contract headers: each compiles alone as C11 and C++17, and holds nothing whose layout depends on
the compiler, the platform or a build option."""

import os
import re
import shutil
import subprocess
from typing import List

import source

FOLDER = 'kernel/abi/tenon'
# pattern over the text without comments, strings and macros; why it may not be there
FORBIDDEN = [
    (re.compile(r'\benum\b'), 'enum: its size is the compiler\'s choice; use uint32_t and #define'),
    (re.compile(r'\blong\b'), 'long: its size differs between platforms; use int64_t'),
    (re.compile(r'\b(?:bool|_Bool)\b'), 'bool: use uint8_t or a flag bit'),
    (re.compile(r'\bFILE\b'), 'FILE belongs to one C library'),
    (re.compile(r'\b(?:time_t|off_t|wchar_t|ino_t)\b'), 'a type whose size is the platform\'s choice'),
    (re.compile(r'\bjson_t\b|\bPyObject\b|\bsqlite3\b|\bstruct MHD_'), 'a type of a library'),
    (re.compile(r'\b\w+\s+\w+\s*:\s*\d+\s*;'), 'a bit-field'),
]
CONDITION = re.compile(r'^\s*#\s*(if|ifdef|ifndef|elif)\b\s*(.*)$')
GUARDS = re.compile(r'^(TENON_\w+_H|__cplusplus)$')
COMPILERS = [
    ('gcc', 'c', 'c11'), ('g++', 'c++', 'c++17'), ('clang', 'c', 'c11'), ('clang++', 'c++', 'c++17')]


def check_text(path: str, text: str) -> List[source.Problem]:
    """Problems of the text of one header."""
    problems = []
    bare = source.strip_c(text)
    continued = False
    for number, line in enumerate(bare.splitlines(), 1):
        directive, macro = CONDITION.match(line), continued or line.lstrip().startswith('#')
        continued = macro and line.rstrip().endswith('\\')
        if directive and not GUARDS.match(directive.group(2).strip()):
            problems.append((path, number, '#%s %s: the contract has no variants' % directive.groups()))
        if macro:
            continue
        for pattern, why in FORBIDDEN:
            if pattern.search(line):
                problems.append((path, number, '%s (%s)' % (why, line.strip())))
    return problems


def _compile(root: str, name: str) -> List[source.Problem]:
    problems = []
    for compiler, language, standard in COMPILERS:
        if not shutil.which(compiler):
            continue
        run = subprocess.run(
            [compiler, '-x', language, '-std=' + standard, '-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic',
             '-Werror', '-I', os.path.join(root, 'kernel/abi'), '-'],
            input='#include <tenon/%s>\n' % name, capture_output=True, text=True, check=False)
        if run.returncode:
            problems.append((FOLDER + '/' + name, 1, 'does not compile alone with %s -std=%s:\n%s' % (
                compiler, standard, run.stderr.strip()[:1500])))
    return problems


def check(root: str) -> List[source.Problem]:
    """Problems of all contract headers."""
    problems = []
    for name in sorted(os.listdir(os.path.join(root, FOLDER))):
        path = FOLDER + '/' + name
        if name.endswith('.h'):
            problems += check_text(path, source.read(root, path)) + _compile(root, name)
    return problems


SELF_TEST = [
    ('typedef struct { long n; } a;', True),
    ('typedef struct { uint32_t a : 3; } a;', True),
    ('enum kind { A };', True),
    ('#ifdef HAVE_TLS\n#endif', True),
    ('#if defined(__linux__)\n#endif', True),
    ('#ifndef TENON_X_H\n#define TENON_X_H\n/* a long enum */\n#endif', False),
    ('#define X(m) \\\n    _Generic((m), bool: 1, long: 2)\nint x;', False),
    ('typedef struct { json_t *v; } a;', True),
    ('typedef struct { const char *as_long_as; } a;', False),
]


def self_test() -> List[source.Problem]:
    """Problems of the rule itself."""
    return [(os.path.basename(__file__), 1, 'self-test: %r is %s' % (
        text, 'not found' if violation else 'refused'))
            for text, violation in SELF_TEST if bool(check_text('x.h', text)) != violation]
