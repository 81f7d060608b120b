# SPDX-License-Identifier: Apache-2.0
"""The ```py script of a connector's README, as a function that can be published."""

import re


def script_of(path: str) -> str:
    """The first ```py block as the body of an API function f()."""
    with open(path, encoding='utf-8') as f:
        found = re.search(r'^```py\n(.*?)^```$', f.read(), re.M | re.S)
    assert found, '%s has no ```py block' % path
    body = ''.join('    %s\n' % line for line in found.group(1).splitlines())
    return "@DFF.API('f')\ndef f():\n" + body
