# SPDX-License-Identifier: Apache-2.0
"""The distribution packages: every plugin is in exactly one, each connector has its own, and the texts for dpkg and rpm
are whole. packaging/prove-packages builds and installs them."""

import os
import re
import subprocess
import sys
from typing import Dict, List

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'packaging'))
import split  # noqa: E402

PACKAGES = split.packages()


def plugins() -> List[str]:
    """Names of all plugins that the folders build."""
    found: List[str] = []
    for top in ('connectors', 'plugins', 'auth'):
        for folder in os.listdir(os.path.join(ROOT, top)):
            path = os.path.join(ROOT, top, folder, 'SConscript')
            if split.builds(path):
                with open(path, encoding='utf-8') as f:
                    found += re.findall(r"env\.Plugin\('(\w+)'", f.read())
    return sorted(found)


def test_every_plugin_is_in_exactly_one_package() -> None:
    packed = [os.path.basename(f)[:-3] for p in PACKAGES for f in p.files if f.endswith('.so')]
    assert sorted(packed) == plugins()


def test_every_connector_has_a_package_and_a_sentence() -> None:
    names = {p.name: p for p in PACKAGES}
    for plugin in plugins():
        kind, _, name = plugin.partition('_')
        if kind == 'connector' and name not in ('sqlite', 'mem'):
            package = names['tenon-connector-' + name]
            assert len(package.text) > 20 and '`' not in package.text, package.text
            assert package.files[0].endswith('/connector_%s.so' % name)


def test_triggers_come_with_their_connector() -> None:
    for p in PACKAGES:
        for f in p.files:
            name = re.search(r'/trigger_(\w+)\.so$', f)
            if name and name[1] != 'cron':
                assert p.name == 'tenon-connector-' + name[1]


@pytest.fixture(scope='module')
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What packaging/pack prepares for both builders."""
    out = str(tmp_path_factory.mktemp('packages'))
    for kind in ('deb', 'rpm'):
        subprocess.run([os.path.join(ROOT, 'packaging', 'pack'), kind, '--source-only', '--out', out], check=True)
    return out


def paragraphs(text: str) -> List[Dict[str, str]]:
    """A control file → its paragraphs."""
    return [dict(re.findall(r'^([A-Z][\w-]*): ?((?:.|\n )*)', part, re.M)) for part in text.strip().split('\n\n')]


def test_debian_control_names_every_package(sources: str) -> None:
    tree = os.path.join(sources, 'deb', 'tenon-' + split.version())
    with open(os.path.join(tree, 'debian', 'control'), encoding='utf-8') as f:
        source, *rest = paragraphs(f.read())
    assert source['Source'] == 'tenon' and 'libsqlite3-dev' in source['Build-Depends']
    assert [p['Package'] for p in rest] == [p.name for p in PACKAGES]
    for p in rest:
        assert p['Package'] == 'tenon' or 'tenon (= ${binary:Version})' in p['Depends'], p
    wants = {p['Package']: p['Depends'] for p in rest}
    assert 'tdsodbc' in wants['tenon-connector-sqlserver'] and 'tzdata' in wants['tenon']
    assert os.access(os.path.join(tree, 'debian', 'rules'), os.X_OK)
    assert os.path.exists(os.path.join(tree, 'SConstruct')) and not os.path.exists(os.path.join(tree, 'build'))


def test_the_spec_is_whole(sources: str) -> None:
    with open(os.path.join(sources, 'rpm', 'SPECS', 'tenon.spec'), encoding='utf-8') as f:
        spec = f.read()
    assert not re.search('@[A-Z]+@', spec)
    for p in PACKAGES[1:]:
        suffix = p.name[len('tenon-'):]
        assert '%%package %s\n' % suffix in spec and '%%files %s\n' % suffix in spec
    for f in (f for p in PACKAGES for f in p.files if f.endswith('.so')):
        assert spec.count('%{_prefix}/' + f + '\n') == 1


def test_a_missing_builder_is_named(tmp_path: 'os.PathLike[str]') -> None:
    result = subprocess.run(['/usr/bin/python3', '-B', os.path.join(ROOT, 'packaging', 'pack'), 'deb', '--out', str(tmp_path)],
                            env={'PATH': str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 1 and 'dh is missing' in result.stdout and 'debhelper' in result.stdout
