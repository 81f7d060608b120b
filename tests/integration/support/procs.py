# SPDX-License-Identifier: Apache-2.0
"""Which processes belong to a server, which of them should not be there, and what they hold open."""

import os
from typing import Dict, List, NamedTuple, Set


class Proc(NamedTuple):
    """A process. state is the letter of /proc/PID/stat; exe is the base name, '' when unreadable."""
    pid: int
    ppid: int
    state: str
    exe: str
    cmdline: str


def _read(path: str) -> bytes:
    try:
        with open(path, 'rb') as f:
            return f.read()
    except OSError:
        return b''


def snapshot() -> Dict[int, Proc]:
    """Every process of the machine by pid."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        stat = _read('/proc/%s/stat' % name)
        if not stat:
            continue
        comm = stat[stat.index(b'(') + 1:stat.rindex(b')')].decode(errors='replace')
        fields = stat[stat.rindex(b')') + 2:].split()
        try:
            exe = os.path.basename(os.readlink('/proc/%s/exe' % name)).replace(' (deleted)', '')
        except OSError:
            exe = comm
        cmdline = _read('/proc/%s/cmdline' % name).replace(b'\0', b' ').decode(errors='replace').strip()
        found[int(name)] = Proc(int(name), int(fields[1]), fields[0].decode(), exe, cmdline or comm)
    return found


def family(root: int, mark: str) -> List[Proc]:
    """root, its descendants, and every process that carries `mark` in its environment: a daemon that has
    left the tree by a double fork still has the environment it was started with."""
    every = snapshot()
    children: Dict[int, List[int]] = {}
    for p in every.values():
        children.setdefault(p.ppid, []).append(p.pid)
    pids: Set[int] = set()
    todo = [root] if root in every else []
    while todo:
        pid = todo.pop()
        pids.add(pid)
        todo += children.get(pid, [])
    needle = mark.encode()
    for pid in every:
        if pid not in pids and needle in _read('/proc/%d/environ' % pid):
            pids.add(pid)
    return [every[pid] for pid in sorted(pids)]


def strangers(procs: List[Proc]) -> List[Proc]:
    """Members of a family that are neither supervisor, hub, zygote nor worker. A worker is a child of the
    zygote; what a script forked has the same executable, but a worker as its parent, or none of ours."""
    by_pid = {p.pid: p for p in procs}
    zygotes = {p.pid for p in procs if p.exe == 'tenon-worker' and '--zygote' in p.cmdline.split() and
               by_pid.get(p.ppid, p).exe in ('tenond', 'tenon')}
    zygotes = zygotes or {p.pid for p in procs if p.exe == 'tenon-worker' and
                          by_pid.get(p.ppid, p).exe in ('tenond', 'tenon')}
    # after fork a worker has the zygote's command line; only those that the supervisor started are zygotes
    known = {'tenond', 'tenon', 'tenon-hub'}
    return [p for p in procs
            if p.state == 'Z' or not (p.exe in known or p.pid in zygotes or
                                      (p.exe == 'tenon-worker' and p.ppid in zygotes))]


def descriptors(pid: int) -> Dict[int, str]:
    """Open descriptors of a process: number → what it is. Empty when the process is gone."""
    found = {}
    try:
        names = os.listdir('/proc/%d/fd' % pid)
    except OSError:
        return {}
    for name in names:
        try:
            found[int(name)] = os.readlink('/proc/%d/fd/%s' % (pid, name))
        except OSError:
            continue
    return found


def private_kb(pid: int) -> int:
    """Private memory of a process in KiB, 0 when it is gone."""
    total = 0
    for line in _read('/proc/%d/smaps_rollup' % pid).decode().splitlines():
        if line.startswith(('Private_Clean:', 'Private_Dirty:')):
            total += int(line.split()[1])
    return total
