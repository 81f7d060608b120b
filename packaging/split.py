# SPDX-License-Identifier: Apache-2.0
"""How the tree is divided into distribution packages: from the folders, so that a new connector has one by being there.

Used by packaging/pack; tests/packaging compares it with what `scons install` installs."""

import os
import re
import subprocess
from typing import Dict, List, NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLUGINS = 'lib/tenon/plugins/'
CORE_CONNECTORS = ('sqlite',)  # the store needs it
DEV_CONNECTORS = ('mem',)      # the tutorial


class Package(NamedTuple):
    """One package: paths below the prefix (or absolute ones), and Debian packages it wants besides its libraries."""
    name: str
    summary: str
    text: str
    files: List[str]
    wants: List[str]


def version() -> str:
    """VERSION of SConstruct."""
    with open(os.path.join(ROOT, 'SConstruct'), encoding='utf-8') as f:
        found = re.search(r"^VERSION = '([0-9.]+)'$", f.read(), re.M)
    assert found, 'SConstruct has no VERSION'
    return found[1]


FETCHED = os.path.join('build', 'deps')  # where packaging/fetch-… puts sources that Debian has no package of


def fetched() -> List[str]:
    """The names of those that are there."""
    folder = os.path.join(ROOT, FETCHED)
    return sorted(d for d in (os.listdir(folder) if os.path.isdir(folder) else ())
                  if os.path.exists(os.path.join(folder, d, 'ready')))


def builds(script: str) -> bool:
    """Does this SConscript build a plugin here, with the sources that were fetched?"""
    if not os.path.exists(script):
        return False
    with open(script, encoding='utf-8') as f:
        wanted = re.search(r"fetched=\('(\w+)'", f.read())
    return wanted is None or wanted[1] in fetched()


def _folders(top: str) -> List[str]:
    """Names of the folders of `top` that build a plugin."""
    return sorted(d for d in os.listdir(os.path.join(ROOT, top)) if builds(os.path.join(ROOT, top, d, 'SConscript')))


def _first_sentences(folder: str) -> str:
    """What the README says first, as plain text."""
    with open(os.path.join(ROOT, folder, 'README.md'), encoding='utf-8') as f:
        paragraph = f.read().split('\n\n')[1]
    text = ' '.join(paragraph.split()).split(' Uses `')[0].replace('`', '').replace('**', '')
    return text if text.endswith('.') else text + '.'


def run_deps() -> Dict[str, List[str]]:
    """Folder → Debian packages: the lines `package …  # folder: why` of RUN_DEPS in packaging/deps."""
    with open(os.path.join(ROOT, 'packaging', 'deps'), encoding='utf-8') as f:
        block = re.search(r'^RUN_DEPS=\(\n(.*?)^\)', f.read(), re.M | re.S)
    assert block, 'packaging/deps has no RUN_DEPS'
    found: Dict[str, List[str]] = {}
    for line in block[1].splitlines():
        names, _, why = line.partition('#')
        found.setdefault(why.split(':')[0].split()[0] if why.strip() else '', []).extend(names.split())
    return found


def packages() -> List[Package]:
    """All packages, the core first and the one that pulls in the rest last."""
    wants = run_deps()
    connectors = [c for c in _folders('connectors') if c not in CORE_CONNECTORS + DEV_CONNECTORS]
    triggers = [t for t in _folders('plugins') if t.startswith('trigger_')]
    of_connector = {c: [t for t in triggers if t == 'trigger_' + c] for c in connectors}
    apart = {t for ts in of_connector.values() for t in ts}
    core = ['connector_' + c for c in CORE_CONNECTORS] + ['auth_' + a for a in _folders('auth')] + \
        [p for p in _folders('plugins') if p not in apart]
    result = [Package(
        'tenon', 'self-hosted Python function platform',
        'Users write Python scripts, publish them, and call their functions over HTTP, on a schedule or from messages. '
        'Each call runs in a confined process of its own and ends at its deadline. Speaks the API of DataFlux Func. '
        'Connectors to databases and brokers are packages of their own.',
        ['bin/*', 'share/man/man1/*', 'lib/sysusers.d/*', '/lib/systemd/system/*'] +
        [PLUGINS + name + '.so' for name in core],
        ['python3', 'tzdata'])]
    for name in connectors:
        result.append(Package(
            'tenon-connector-' + name, 'connector %s of the function platform Tenon' % name,
            _first_sentences('connectors/' + name) + ' A platform that runs takes it up when it is restarted (systemctl restart tenon).',
            [PLUGINS + p + '.so' for p in ['connector_' + name] + of_connector[name]],
            wants.get('connectors/' + name, [])))
    result.append(Package(
        'tenon-dev', 'headers for plugins of the function platform Tenon',
        'The plugin contract (C headers) and the tutorial connector with its sources.',
        ['include/tenon/*', 'share/doc/tenon/examples/*'] + [PLUGINS + 'connector_%s.so' % c for c in DEV_CONNECTORS], []))
    result.append(Package(
        'tenon-all', 'function platform Tenon with all its connectors',
        'Installs the platform and every connector.', [], []))
    return result


def tracked() -> List[str]:
    """The files of the tree that git knows and that are there, for a source package."""
    names = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return [n for n in names.decode().split('\0') if n and os.path.lexists(os.path.join(ROOT, n))]
