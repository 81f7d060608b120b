# SPDX-License-Identifier: Apache-2.0
"""How sanitizers run, the same for every test however it is started: they stop at the first report and never with
exit code 0."""

import os
from typing import Dict


def options(root: str) -> Dict[str, str]:
    """The environment variables that sanitizer runtimes read."""
    return {
        'ASAN_OPTIONS': 'detect_leaks=1:halt_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1',
        'LSAN_OPTIONS': 'suppressions=%s:print_suppressions=0' % os.path.join(root, 'tests/check/lsan.supp'),
        'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1',
        'TSAN_OPTIONS': 'halt_on_error=1:second_deadlock_stack=1',
    }
