# SPDX-License-Identifier: Apache-2.0
"""What tests/peers/NAME/fetch has brought: servers and clients that are not packages of Debian."""

import os

from .peer import Missing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def folder(name: str) -> str:
    """The folder build/peers/NAME, whole; Missing with the command that makes it when there is none."""
    path = os.path.join(ROOT, 'build/peers', name)
    if not os.path.exists(os.path.join(path, 'ready')):
        raise Missing('tests/peers/%s/fetch has not brought it (log: build/peers/%s.log)' % (name, name))
    return path
