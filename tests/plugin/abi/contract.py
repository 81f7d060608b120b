# SPDX-License-Identifier: Apache-2.0
"""Reading the structs of the contract headers, and comparing two printed layouts."""

import os
import re
from typing import Dict, List, Tuple

HEADERS = ('types config value calls entity http host plugin connector auth trigger frontend api').split()
# struct name → (size, {member: (offset, size)})
Layout = Dict[str, Tuple[int, Dict[str, Tuple[int, int]]]]


def _members(body: str) -> List[str]:
    names, depth, current = [], 0, ''
    for char in re.sub(r'union\s*\{[^{}]*\}', 'int64_t', body):
        depth += {'(': 1, ')': -1}.get(char, 0)
        if char != ';' or depth:
            current += char
            continue
        current = re.sub(r'TN_PRINTF\([^)]*\)', '', current)
        function = re.search(r'\(\*\s*(\w+)\)', current)
        if function:
            names.append(function.group(1))
        else:
            for part in current.split(','):
                names.append(re.findall(r'\w+', re.sub(r'\[[^\]]*\]', '', part))[-1])
        current = ''
    return names


def declared(folder: str) -> List[Tuple[str, List[str]]]:
    """Every struct of the headers in `folder` with its members, in order."""
    found = []
    for header in HEADERS:
        with open(os.path.join(folder, header + '.h'), encoding='utf-8') as f:
            text = re.sub(r'/\*.*?\*/', '', f.read(), flags=re.S)
        text = re.sub(r'^\s*#.*(?:\\\n.*)*', '', text, flags=re.M)
        struct = r'(?:typedef\s+)?struct\s*(\w*)\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*(\w*)\s*;'
        for match in re.finditer(struct, text):
            found.append((match.group(3) or match.group(1), _members(match.group(2))))
    return found


def include_text(folder: str) -> str:
    """The text of abi_layout.inc."""
    lines = ['/* SPDX-License-Identifier: Apache-2.0 */',
             '/* Every struct and member of the contract, written by ./update. */']
    for name, members in declared(folder):
        lines.append('S(%s);' % name)
        lines += ['M(%s, %s);' % (name, m) for m in members]
    return '\n'.join(lines) + '\n'


def parse(text: str) -> Layout:
    """A layout as abi_layout prints it."""
    layout: Layout = {}
    members: Dict[str, Tuple[int, int]] = {}
    for line in text.splitlines():
        words = line.split()
        if line.startswith(' '):
            members[words[0]] = (int(words[1]), int(words[2]))
        elif words:
            members = {}
            layout[words[0]] = (int(words[2]), members)
    return layout


def breaks(old: Layout, new: Layout) -> List[str]:
    """What a plugin built with `old` would trip over in a kernel with `new`: only appending is allowed."""
    problems = []
    for name, (size, members) in old.items():
        if name not in new:
            problems.append('%s is gone' % name)
            continue
        new_size, new_members = new[name]
        if new_size < size:
            problems.append('%s shrank from %d to %d bytes' % (name, size, new_size))
        for member, place in members.items():
            if new_members.get(member) != place:
                problems.append('%s.%s was at (offset, size) %s and is at %s' % (
                    name, member, place, new_members.get(member, 'no place')))
        for member, (offset, _) in new_members.items():
            if member not in members and offset < size:
                problems.append('%s.%s is not appended: offset %d lies inside the old %d bytes' % (
                    name, member, offset, size))
    return problems


# Structs that are elements of plugin tables or passed by value: their size may never change.
FIXED = ('tn_field', 'tn_val', 'tn_pair', 'tn_col', 'tn_str', 'tn_text', 'tn_secret', 'tn_dur', 'tn_bytes',
         'tn_method', 'tn_route', 'tn_column', 'tn_join', 'tn_entity', 'tn_migration', 'tn_filter',
         'tn_http_pair', 'tn_http_part', 'tn_json_member', 'tn_sink')


def fixed_breaks(old: Layout, new: Layout) -> List[str]:
    """Structs of tables that grew although nobody could tell the element size."""
    return ['%s is an element of tables and changed from %d to %d bytes' % (n, old[n][0], new[n][0])
            for n in FIXED if n in old and n in new and old[n][0] != new[n][0]]
