# SPDX-License-Identifier: Apache-2.0
"""What a build can be told: variables, variants and the compiler flags that follow from them."""

import fcntl
import os
import sys

import SCons.SConsign
from SCons.Script import ARGUMENTS, COMMAND_LINE_TARGETS, BoolVariable, EnumVariable, Exit, Variables

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wstrict-prototypes',
            '-Wmissing-prototypes', '-Wvla']
HARDEN = ['-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2']
SANE = ['-fno-omit-frame-pointer', '-fno-sanitize-recover=undefined']

# variant: compile flags, link flags, preprocessor symbols. TN_TEST_BUILD compiles kill points in.
VARIANTS = {
    'release': (['-O2', '-g'] + HARDEN, [], []),
    'debug': (['-O0', '-g3'], [], ['TN_TEST_BUILD']),
    'asan': (['-O1', '-g', '-fsanitize=address,undefined'] + SANE,
             ['-fsanitize=address,undefined'], ['TN_TEST_BUILD']),
    'tsan': (['-O1', '-g', '-fsanitize=thread', '-fno-omit-frame-pointer'],
             ['-fsanitize=thread'], ['TN_TEST_BUILD']),
    'cov': (['-O0', '-g', '--coverage'], ['--coverage'], ['TN_TEST_BUILD']),
    'fuzz': (['-O1', '-g', '-fsanitize=fuzzer-no-link,address,undefined'] + SANE,
             ['-fsanitize=address,undefined'], ['TN_TEST_BUILD']),
}
TARGET_VARIANT = {'check-asan': 'asan', 'fuzz': 'fuzz'}


def infer_variant():
    """The variant that the named targets ask for: build/asan/…, check-asan, fuzz; else release."""
    asked = set()
    for target in COMMAND_LINE_TARGETS:
        parts = os.path.normpath(target).split(os.sep)
        if len(parts) > 1 and parts[0] == 'build' and parts[1] in VARIANTS:
            asked.add(parts[1])
        elif target in TARGET_VARIANT:
            asked.add(TARGET_VARIANT[target])
    if len(asked) > 1:
        print('scons: one variant a run, but the targets need', ' and '.join(sorted(asked)))
        Exit(2)
    return asked.pop() if asked else 'release'


def variables():
    """Everything that may stand on the command line as name=value."""
    environ = os.environ.get
    v = Variables(None, ARGUMENTS)
    v.Add(EnumVariable('variant', 'what to build', infer_variant(), sorted(VARIANTS)))
    variant = ARGUMENTS.get('variant', infer_variant())
    v.Add('CC', 'C compiler', environ('CC') or ('clang' if variant == 'fuzz' else 'gcc'))
    v.Add('CFLAGS', 'more compiler flags', environ('CFLAGS', ''))
    v.Add('CPPFLAGS', 'more preprocessor flags', environ('CPPFLAGS', ''))
    v.Add('LDFLAGS', 'more linker flags', environ('LDFLAGS', ''))
    v.Add('PKG_CONFIG', 'pkg-config of the distribution', environ('PKG_CONFIG') or 'pkg-config')
    v.Add('PYTHON', 'Python that runs tests and checks', environ('PYTHON') or '/usr/bin/python3')
    v.Add('DESTDIR', 'staging root of install', environ('DESTDIR', ''))
    v.Add('prefix', 'installation prefix', '/usr/local')
    v.Add('libdir', 'library folder', '$prefix/lib')
    v.Add('sysconfdir', 'configuration folder', '/etc')
    v.Add('unitdir', 'systemd unit folder', '$prefix/lib/systemd/system')
    v.Add('require', '"all" or plugins that must be built: connector_sqlite,frontend_h1', '')
    v.Add(BoolVariable('werror', 'warnings are errors', environ('TENON_WERROR') or '0'))
    v.Add(BoolVariable('verbose', 'show whole command lines', False))
    v.Add('area', 'check-unit: only this folder of tests/unit', '')
    v.Add('pattern', 'check: only tests whose name contains this', '')
    v.Add('seconds', 'fuzz: how long each target runs', '60')
    v.Add(BoolVariable('check', 'fmt: only report', False))
    return v


def configure(env, v):
    """Fails on unknown variables, then fills env with the flags of its variant."""
    unknown = v.UnknownVariables()
    if unknown:
        print('scons: unknown variable', ', '.join(sorted(unknown)) + '; known are',
              ' '.join(sorted(v.keys())))
        Exit(2)
    cflags, linkflags, defines = VARIANTS[env['variant']]
    if env['variant'] == 'tsan' and 'clang' not in env['CC']:
        cflags = cflags + ['-Wno-tsan']  # gcc's warning that it does not see through fences
    user = {k: env.Split(env[k]) for k in ('CFLAGS', 'CPPFLAGS', 'LDFLAGS')}
    env['ENV'].update({k: os.environ[k] for k in ('PATH', 'HOME', 'TMPDIR', 'PKG_CONFIG_PATH', 'TERM',
                                                  'PKG_CONFIG_LIBDIR', 'CI') if k in os.environ})
    env.Replace(
        CFLAGS=['-std=c11'], CPPFLAGS=[], LINKFLAGS=[],
        CCFLAGS=WARNINGS + (['-Werror'] if env['werror'] else []) + cflags,
        CPPDEFINES=['_GNU_SOURCE', ('TN_VERSION', '\\"%s\\"' % env['version']),
                    ('TN_LIBDIR', '\\"%s/tenon\\"' % env.subst('$libdir')),
                    ('TN_SYSCONFDIR', '\\"%s\\"' % env.subst('$sysconfdir'))] + defines,
        CPPPATH=['#', '#kernel/abi'])
    env.Append(LINKFLAGS=['-Wl,-z,relro,-z,now'] + linkflags)
    env.Append(CFLAGS=user['CFLAGS'], CPPFLAGS=user['CPPFLAGS'], LINKFLAGS=user['LDFLAGS'])
    env['sanitized'] = '-fsanitize' in ' '.join(linkflags)
    if not env['verbose']:
        for var, word in (('CCCOM', 'cc'), ('SHCCCOM', 'cc'), ('LINKCOM', 'link'),
                          ('SHLINKCOM', 'link'), ('ARCOM', 'ar')):
            env[var + 'STR'] = '  %-5s $TARGET' % word
        env['RANLIBCOMSTR'] = '  index $TARGET'


class BuildLock:
    """One scons at a time in a build folder: a second one waits instead of corrupting the first."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.file = open(os.path.join(folder, '.lock'), 'a')  # held until the process ends
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print('scons: waiting for another scons in', folder, file=sys.stderr)
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def release(self):
        """Everything is built: what follows (tests) need not keep others from building."""
        SCons.SConsign.write()
        fcntl.flock(self.file, fcntl.LOCK_UN)
