# SPDX-License-Identifier: Apache-2.0
"""The build and the scripts keep their promises: options, errors that say what to do, installing and uninstalling."""

import glob
import os
import re
import shutil
import socket
import subprocess
import sys
from typing import Dict, List, Set

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VARIANT = os.environ.get('TENON_VARIANT', 'release')
sys.path.insert(0, os.path.join(ROOT, 'packaging/scons'))
import deps  # noqa: E402


def run(*command: str, cwd: str = ROOT, **env: str) -> 'subprocess.CompletedProcess[str]':
    """Runs a command of the tree → its result, output and errors together."""
    return subprocess.run(command, cwd=cwd, env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def scons(*args: str, **env: str) -> 'subprocess.CompletedProcess[str]':
    """scons of the variant under test."""
    return run('scons', '-Q', 'variant=' + VARIANT, *args, **env)


def files(top: str) -> List[str]:
    """Relative paths of everything below top that is not a folder."""
    return sorted(os.path.relpath(os.path.join(folder, f), top)
                  for folder, _, names in os.walk(top) for f in names)


def test_an_unknown_variable_is_an_error_that_names_it() -> None:
    result = scons('prefx=/usr', '-n')
    assert result.returncode == 2
    assert 'unknown variable prefx' in result.stdout and 'prefix' in result.stdout


def test_an_unknown_variant_is_an_error() -> None:
    result = run('scons', '-Q', '-n', 'variant=fast')
    assert result.returncode == 2
    assert 'fast' in result.stdout and 'release' in result.stdout


def test_two_variants_in_one_run_are_refused() -> None:
    result = run('scons', '-Q', '-n', 'build/asan/lib', 'build/tsan/lib')
    assert result.returncode == 2
    assert 'asan and tsan' in result.stdout


def test_flags_of_the_user_reach_every_compiler_call() -> None:
    result = run('scons', '-Q', '-n', 'variant=cov', 'verbose=1', 'product', CC='gcc -pipe', CFLAGS='-Wundef',
                 CPPFLAGS='-DFROM_USER', LDFLAGS='-Wl,-O1')
    compiles = [x for x in result.stdout.splitlines() if ' -c ' in x]
    links = [x for x in result.stdout.splitlines() if x.startswith('gcc') and ' -c ' not in x]
    assert result.returncode == 0, result.stdout[-2000:]
    assert compiles and all('-pipe' in x and '-Wundef' in x and '-DFROM_USER' in x for x in compiles)
    assert links and all('-Wl,-O1' in x for x in links)


def _libraries() -> Dict[str, Set[str]]:
    """Debian package of a client library → the plugins that need it, of the folders of connectors and triggers."""
    found: Dict[str, Set[str]] = {}
    for script in glob.glob(os.path.join(ROOT, 'connectors/*/SConscript')) + glob.glob(os.path.join(ROOT, 'plugins/trigger_*/SConscript')):
        with open(script, encoding='utf-8') as f:
            text = f.read()
        plugin = re.findall(r"env\.Plugin\('(\w+)'", text)
        for pkg in re.findall(r"'([^']+)'", ''.join(re.findall(r'pkgs=\[(.*?)\]', text, re.S))):
            found.setdefault(deps.debian_package(pkg), set()).update(plugin)
    return found


LIBRARIES = _libraries()
OF_THE_KERNEL = {'libcurl4-openssl-dev': 'libcurl', 'libssl-dev': 'libcrypto', 'libsodium-dev': 'libsodium', 'libjansson-dev': 'jansson'}


def _hide(tmp_path, *names: str) -> str:
    """A pkg-config that does not know these."""
    fake = tmp_path / 'pkg-config'
    fake.write_text('#!/bin/sh\nfor a in "$@"; do case $a in %s) exit 1;; esac; done\nexec pkg-config "$@"\n' % '|'.join(names))
    fake.chmod(0o755)
    return str(fake)


@pytest.mark.parametrize('package', sorted(set(LIBRARIES) - set(OF_THE_KERNEL)))
def test_a_missing_library_skips_its_plugins_with_one_line_each(tmp_path, package) -> None:
    pkgs = [p for p, deb in deps.DEBIAN.items() if deb == package] + [package[:-4], package[3:-4]]
    result = run('scons', '-Q', '-n', 'variant=cov', 'PKG_CONFIG=' + _hide(tmp_path, *pkgs), 'build/cov/bin/tenon-plugin-check')
    assert result.returncode == 0, result.stdout[-2000:]
    lines = [x for x in result.stdout.splitlines() if 'skipping connector_' in x or 'skipping trigger_' in x]
    assert {x.split()[2].rstrip(',') for x in lines} == LIBRARIES[package] and len(lines) == len(LIBRARIES[package]), lines
    assert all(x.endswith(' (Debian: %s)' % package) and ', not found: ' in x for x in lines), lines


def test_what_is_left_is_built_and_what_is_required_is_not_skipped(tmp_path) -> None:
    fake = _hide(tmp_path, 'sqlite3')
    result = run('scons', '-Q', '-n', 'variant=cov', 'PKG_CONFIG=' + fake)
    assert result.returncode == 0, result.stdout[-2000:]
    linked = {os.path.basename(x)[:-3] for x in re.findall(r'^  link +(\S+/plugins/\S+\.so)$', result.stdout, re.M)}
    every = {'connector_' + os.path.basename(os.path.dirname(f)) for f in glob.glob(os.path.join(ROOT, 'connectors/*/SConscript'))}
    assert every - linked <= {'connector_sqlite', 'connector_oracle'} and 'connector_sqlite' not in linked, 'the other connectors are built'
    refused = run('scons', '-Q', '-n', 'variant=cov', 'require=connector_sqlite', 'PKG_CONFIG=' + fake)
    assert refused.returncode == 2
    assert 'connector_sqlite is required and needs sqlite3' in refused.stdout


@pytest.mark.parametrize('package, library', OF_THE_KERNEL.items())
def test_a_library_of_the_kernel_is_named_with_its_package(tmp_path, package, library) -> None:
    result = run('scons', '-Q', '-n', 'variant=cov', 'PKG_CONFIG=' + _hide(tmp_path, library))
    assert result.returncode == 2
    assert package in result.stdout and 'packaging/run --deps-only' in result.stdout


def test_install_and_uninstall(tmp_path) -> None:
    options = ('prefix=/usr', 'libdir=/usr/lib/x', 'install', 'DESTDIR=%s' % tmp_path)
    # -n first: the options change TN_LIBDIR, so that a real build would compile everything again
    result = scons('-n', *options)
    assert result.returncode == 0, result.stdout[-2000:]
    wanted = [str(tmp_path) + '/usr/' + p for p in (
        'bin/tenon', 'bin/tenond', 'bin/tenon-hub', 'bin/tenon-worker', 'include/tenon/plugin.h',
        'lib/x/tenon/plugins/connector_sqlite.so')]
    assert [p for p in wanted if p + '"' not in result.stdout] == []
    assert not os.listdir(tmp_path)
    result = scons('install', 'DESTDIR=%s' % tmp_path)
    assert result.returncode == 0, result.stdout[-2000:]
    found = files(str(tmp_path))
    assert 'usr/local/lib/systemd/system/tenon.service' in found and 'usr/local/lib/sysusers.d/tenon.conf' in found
    assert 'usr/local/bin/tenon' in found and 'usr/local/lib/tenon/plugins/connector_sqlite.so' in found
    assert os.path.exists(os.path.join(str(tmp_path), 'usr/local/bin/fas'))
    result = scons('-c', 'install', 'DESTDIR=%s' % tmp_path)
    assert result.returncode == 0, result.stdout[-2000:]
    assert files(str(tmp_path)) == []
    assert os.path.exists(os.path.join(ROOT, 'build', VARIANT, 'bin/tenon'))  # the build itself stays


@pytest.mark.skipif(VARIANT != 'release', reason='hardening flags belong to the release variant')
def test_programs_are_hardened() -> None:
    for name in ('tenond', 'tenon-hub', 'tenon-worker', 'tenon'):
        path = os.path.join(ROOT, 'build/release/bin', name)
        header, dynamic = run('readelf', '-hW', path).stdout, run('readelf', '-dW', path).stdout
        symbols = run('readelf', '-sW', path).stdout
        assert 'DYN (Position-Independent Executable' in header, name
        assert 'BIND_NOW' in dynamic, name
        assert 'GNU_RELRO' in run('readelf', '-lW', path).stdout, name
        assert '__stack_chk_fail' in symbols, name


def test_the_worker_is_linked_with_libpython_directly() -> None:
    for name, linked in (('tenon-worker', True), ('tenon-hub', False), ('tenond', False), ('tenon', False)):
        dynamic = run('readelf', '-dW', os.path.join(ROOT, 'build', VARIANT, 'bin', name)).stdout
        assert ('libpython3' in dynamic) is linked, name


def test_plugins_export_their_entry_alone() -> None:
    folder = os.path.join(ROOT, 'build', VARIANT, 'plugins')
    for name in sorted(os.listdir(folder)):
        if not name.endswith('.so'):
            continue
        lines = run('nm', '-D', '--defined-only', os.path.join(folder, name)).stdout.splitlines()
        exported = {x.split()[-1] for x in lines} - {'_init', '_fini', '_edata', '_end', '__bss_start'}
        ours = {x for x in exported if not x.startswith(('__odr_asan', '__asan', '___asan', '__tsan', '__ubsan'))}
        assert ours == {'tn_plugin_v1'}, name


def test_nothing_is_written_into_the_source_tree() -> None:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [d for d in folders if d not in ('build', '.git')]
        assert '__pycache__' not in folders, folder
        assert '.sconsign.dblite' not in names and not [n for n in names if n.endswith(('.o', '.so', '.gcno'))], folder


def test_scripts_refuse_unknown_options() -> None:
    for script in ('packaging/run', 'tests/run'):
        result = run(os.path.join(ROOT, script), '--nonsense', cwd='/')
        assert result.returncode == 2
        assert '--nonsense' in result.stdout


@pytest.mark.skipif(VARIANT != 'release', reason='packaging/run builds the release variant')
@pytest.mark.timeout(600)
def test_packaging_run_gives_a_curl_line_that_answers() -> None:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    # from another folder, as users do
    result = run(os.path.join(ROOT, 'packaging/run'), '--check', '--listen', '127.0.0.1:%d' % port, cwd='/')
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'Hello, world!' in result.stdout
    assert result.stdout.rstrip().endswith('check passed')


@pytest.mark.skipif(shutil.which('shellcheck') is None, reason='shellcheck is not installed (LINT_DEPS)')
def test_scripts_are_clean_for_shellcheck() -> None:
    scripts = ['packaging/run', 'packaging/deps', 'packaging/prove-clean', 'packaging/prove-systemd',
               'packaging/clean-root', 'packaging/worker-user', 'packaging/fetch-odpi', 'packaging/scons/fmt',
               'packaging/scons/lint', 'tests/run', '.ci/run']
    result = run('shellcheck', '-x', *scripts)
    assert result.returncode == 0, result.stdout


@pytest.mark.skipif(os.getuid() != 0, reason='only root makes users')
def test_the_user_of_workers_is_made_once(tmp_path) -> None:
    """In a mount namespace with an /etc of its own: the first time it says so, the second it has nothing to do."""
    script = (
        'set -e; cp -a /etc "$1/etc"; mount --bind "$1/etc" /etc; '
        'sed -i /^tenon-worker:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow; '
        'packaging/worker-user; echo again; packaging/worker-user; getent passwd tenon-worker')
    result = run('unshare', '--mount', '--propagation', 'private', 'bash', '-c', script, 'bash', str(tmp_path))
    assert result.returncode == 0, result.stdout
    first, second = result.stdout.split('again\n')
    assert first.startswith('made the system user tenon-worker')
    name, _, uid, _, _, home, shell = second.strip().split(':')
    assert (name, home, shell) == ('tenon-worker', '/nonexistent', '/usr/sbin/nologin') and 0 < int(uid) < 1000
