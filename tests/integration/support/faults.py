# SPDX-License-Identifier: Apache-2.0
"""A disk that fails on demand: writes and syncs of chosen files in a running platform."""

import ctypes
import errno
import mmap
import os
import subprocess
from typing import Dict

WRITE, SYNC = 1, 2
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'faults.c')


class Control(ctypes.Structure):
    """Shared with faults.c."""

    _fields_ = [('kinds', ctypes.c_int), ('at', ctypes.c_int), ('forever', ctypes.c_int), ('error', ctypes.c_int),
                ('seen', ctypes.c_int), ('failed', ctypes.c_int), ('match', ctypes.c_char * 64), ('delay_ms', ctypes.c_int)]


class Faults:
    """Nothing fails until arm()."""

    def __init__(self, folder: str) -> None:
        self.library = os.path.join(folder, 'faults.so')
        self.path = os.path.join(folder, 'faults')
        subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-fno-sanitize=all', '-o', self.library, SOURCE,
                        '-ldl'], check=True)
        with open(self.path, 'wb') as f:
            f.truncate(4096)
        with open(self.path, 'r+b') as f:
            self.memory = mmap.mmap(f.fileno(), 4096)
        self.control = Control.from_buffer(self.memory)

    def env(self) -> Dict[str, str]:
        """What the platform must be started with."""
        return {'LD_PRELOAD': self.library, 'FAULTS_CONTROL': self.path,
                'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'}

    def arm(self, kinds: int, match: str, at: int = 1, forever: bool = False, error: int = errno.EIO) -> None:
        """The at-th call of these kinds on a file whose path contains `match` fails, then all when `forever`."""
        self.clear()
        c = self.control
        c.at, c.forever, c.error, c.match, c.seen, c.failed = at, forever, error, match.encode(), 0, 0
        c.kinds = kinds

    def slow(self, match: str, delay_ms: int) -> None:
        """Every sync of a file whose path contains `match` takes so long from now on."""
        self.control.match = match.encode()
        self.control.delay_ms = delay_ms

    def clear(self) -> int:
        """Nothing fails any more → how many calls did."""
        self.control.kinds = 0
        return self.control.failed
