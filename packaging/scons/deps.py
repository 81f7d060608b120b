# SPDX-License-Identifier: Apache-2.0
"""Finding client libraries with pkg-config, and saying which Debian package is missing."""

import os
import shlex
import subprocess

_seen = {}

# pkg-config name → Debian package that has its .pc file, where it is not lib<name>-dev
DEBIAN = {
    'yaml-0.1': 'libyaml-dev', 'jansson': 'libjansson-dev', 'libsodium': 'libsodium-dev',
    'libcurl': 'libcurl4-openssl-dev', 'cmocka': 'libcmocka-dev', 'python3-embed': 'python3-dev',
    'sqlite3': 'libsqlite3-dev', 'libmicrohttpd': 'libmicrohttpd-dev', 'libpq': 'libpq-dev',
    'hiredis': 'libhiredis-dev', 'libmariadb': 'libmariadb-dev', 'zlib': 'zlib1g-dev',
    'libmongoc-1.0': 'libmongoc-dev', 'openssl': 'libssl-dev', 'libcrypto': 'libssl-dev',
    'libseccomp': 'libseccomp-dev', 'libsystemd': 'libsystemd-dev', 'odbc': 'unixodbc-dev',
}


def debian_package(pkg):
    """The Debian package that would bring pkg; a guess for names not in the table."""
    name = pkg.split()[0]
    return DEBIAN.get(name, '%s%s-dev' % ('' if name.startswith('lib') else 'lib', name))


def _pkg_config(env, pkg):
    """Flags of one package ("jansson", "jansson >= 2.12"), or None."""
    key = (env['PKG_CONFIG'], pkg)
    if key not in _seen:
        # env['ENV'] has the PATH; pkg-config of another Python environment cannot come in between
        run = subprocess.run(shlex.split(env['PKG_CONFIG']) + ['--cflags', '--libs', pkg],
                             capture_output=True, text=True, check=False,
                             env={k: str(v) for k, v in env['ENV'].items()})
        _seen[key] = run.stdout.strip() if run.returncode == 0 else None
    return _seen[key]


def find(env, pkgs):
    """Resolves pkgs; an element "a|b" takes the first that exists. Returns (flags, missing)."""
    flags, missing = [], []
    for alternatives in pkgs:
        for pkg in alternatives.split('|'):
            found = _pkg_config(env, pkg)
            if found is not None:
                flags.append(found)
                break
        else:
            missing.append(alternatives.split('|')[0])
    return flags, missing


def add(env, pkgs):
    """Merges the flags of pkgs into env (include folders as -isystem: their warnings are not ours).
    Returns the names that were not found."""
    flags, missing = find(env, pkgs)
    for text in flags:
        parsed = env.ParseFlags(text)
        for folder in parsed.pop('CPPPATH', []):
            env.AppendUnique(CCFLAGS=[('-isystem', folder)])
        env.MergeFlags(parsed)
    return missing


def has_lib(env, lib, header):
    """True if `#include <header>` compiles and -llib links, for libraries without a .pc file."""
    key = (env['CC'], lib, header)
    if key not in _seen:
        run = subprocess.run(shlex.split(env.subst('$CC')) + ['-x', 'c', '-', '-o', os.devnull, '-l' + lib],
                             input='#include <%s>\nint main(void) { return 0; }\n' % header,
                             capture_output=True, text=True, check=False,
                             env={k: str(v) for k, v in env['ENV'].items()})
        _seen[key] = run.returncode == 0
    return _seen[key]
