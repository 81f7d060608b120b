# SPDX-License-Identifier: Apache-2.0
"""A wall clock that is set while the platform runs. Only its processes see it, and the kernel's timers do not hear of it (a real clock
that is set wakes them, TFD_TIMER_CANCEL_ON_SET): the platform finds out when it looks, within a second and a half."""

import mmap
import os
import struct
import subprocess
import time
from typing import Dict

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'clock.c')


class Clock:
    """The true time until set()."""

    def __init__(self, folder: str) -> None:
        self.library, self.path, self.offset = os.path.join(folder, 'clock.so'), os.path.join(folder, 'clock'), 0
        subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-fno-sanitize=all', '-o', self.library, SOURCE, '-ldl'], check=True)
        with open(self.path, 'wb') as f:
            f.truncate(4096)
        with open(self.path, 'r+b') as f:
            self.memory = mmap.mmap(f.fileno(), 4096)

    def env(self) -> Dict[str, str]:
        """What the platform must be started with."""
        return {'LD_PRELOAD': self.library, 'CLOCK_CONTROL': self.path,
                'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'}

    def set(self, offset: int) -> None:
        """So many seconds beside the true time."""
        self.offset = offset
        self.memory[:8] = struct.pack('q', offset)

    def now(self) -> float:
        """What the platform's clock shows."""
        return time.time() + self.offset
