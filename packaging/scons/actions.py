# SPDX-License-Identifier: Apache-2.0
"""What is not compiling: checks, formatting, lint, benchmarks, fuzzing and installing."""

import os
import subprocess

from SCons.Script import COMMAND_LINE_TARGETS, GetOption

HELP = '''
scons                       build programs and plugins into build/<variant>
scons check                 include rules, unit, plugin, fuzz corpora and integration tests
scons check-unit area=base  unit tests of one folder; pattern=… chooses by name
scons check-asan            the same as check in the asan variant
scons check-long            check with the long tests
scons fmt [check=1]         clang-format the tracked C files (or only report)
scons lint                  clang-tidy and cppcheck
scons bench                 tests/bench; figures go to the terminal
scons fuzz [seconds=60]     every fuzz target for so many seconds
scons install [DESTDIR=…]   install; `scons -c install` takes it away again
scons install-<plugin>      one plugin alone, for split packages
scons deb, scons rpm        distribution packages into build/packages

'''
SUITE = 'tests/check/suite.py'


def _run(command, before=None):
    """A build action that runs command with the caller's terminal and environment."""
    def action(target, source, env):
        if before:
            before()
        return subprocess.run([env.subst(c) for c in command], stdin=subprocess.DEVNULL,
                              check=False).returncode
    return action


def _phony(env, name, depends, *commands, before=None):
    actions = [env.Action(_run(c, before), 'running: ' + ' '.join(c)) for c in commands]
    env.AlwaysBuild(env.Alias(name, depends, actions))


def checks(env, lock, product, tests):
    """check, check-unit, check-asan, check-long, bench, fuzz."""
    suite = ['$PYTHON', SUITE, '--variant', '$variant']
    chosen = ['--pattern', '$pattern'] if env['pattern'] else []
    everything = ['rules', 'unit', 'fuzz', 'plugin', 'python', 'integration']
    area = env['area']
    unit = [t for t in tests if '/tests/unit/%s' % (area + '/' if area else '') in str(t)]
    if area not in ('base', 'conf', 'value', 'ipc'):
        unit = unit + [node for _, node in env['built_plugins']]  # tests that open real plugins
    # the build is finished when tests begin, so that others may build while they run
    _phony(env, 'check-unit', unit, suite + chosen + (['--area', area] if area else []) + ['unit'],
           before=lock.release)
    for name in ('check', 'check-asan'):
        _phony(env, name, [product, tests], suite + chosen + everything, before=lock.release)
    _phony(env, 'check-long', [product, tests], suite + chosen + ['--long'] + everything,
           before=lock.release)
    _phony(env, 'bench', [product], ['tests/bench/run', '--variant', '$variant'], before=lock.release)
    fuzzers = [t for t in tests if os.sep + 'fuzz_' in str(t)]
    _phony(env, 'fuzz', fuzzers, suite + chosen + ['--seconds', '$seconds', 'fuzz-long'],
           before=lock.release)


def source_tools(env):
    """fmt, lint and packages of what git tracks."""
    mode = ['--check'] if env['check'] else []
    _phony(env, 'fmt', [], ['packaging/scons/fmt'] + mode)
    _phony(env, 'lint', [], ['packaging/scons/lint', '--pkg-config', '$PKG_CONFIG'])
    for kind in ('deb', 'rpm'):
        _phony(env, kind, [], ['packaging/pack', kind])


def _keep(nodes):
    """Marks nodes and all that they are made of, so that -c leaves them."""
    todo, seen = list(nodes), set()
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            node.set_noclean()
            todo += node.all_children(scan=0)


def _unit(target, source, env):
    """The unit, with the program's path under the prefix (a Value, so that another prefix makes it anew)."""
    text = source[0].get_text_contents().replace('=/usr/local/bin/', '=%s/bin/' % source[1].read())
    with open(str(target[0]), 'w', encoding='utf-8') as f:
        f.write(text)
    os.chmod(str(target[0]), 0o644)


def install(env, programs):
    """install and install-<plugin>: env.Install only, so that `scons -c install` takes all away."""
    def under(*parts):
        path = env.subst(os.path.join(*parts))
        dest = env.subst('$DESTDIR')
        return dest.rstrip('/') + os.path.abspath(path) if dest else path

    # `scons -c install` would take away what install depends on, too: the whole build
    if GetOption('clean') and all(t.startswith('install') for t in COMMAND_LINE_TARGETS or ['all']):
        _keep(programs + [node for _, node in env['built_plugins']])
    lib = '$libdir/tenon'
    common = [n for n in env.Install(under('$prefix', 'bin'), [p for p in programs if p.name != 'fas'])]
    if any(p.name == 'fas' for p in programs):
        common += env.Command(under('$prefix', 'bin', 'fas'), '#build/%s/bin/tenon' % env['variant'],
                              'ln -sf tenon $TARGET')
    common += env.Install(under('$prefix', 'include', 'tenon'), env.Glob('#kernel/abi/tenon/*.h'))
    common += env.Install(under('$prefix/share/doc/tenon/examples/mem'),
                          [env.Glob('#connectors/mem/' + f) for f in ('*.c', '*.h', 'README.md', 'SConscript')])
    common += env.Install(under('$prefix/share/man/man1'), '#packaging/man/tenon.1')
    # the unit names the program by its path
    common += env.Command(under('$unitdir', 'tenon.service'),
                          ['#packaging/systemd/tenon.service', env.Value(env.subst('$prefix'))],
                          env.Action(_unit, 'install $TARGET'))
    common += env.InstallAs(under('$prefix', 'lib', 'sysusers.d', 'tenon.conf'), '#packaging/systemd/tenon.sysusers')
    env.Alias('install', common)
    for name, node in env['built_plugins']:
        target = env.Install(under(lib, 'plugins'), node)
        env.Alias('install-' + name, target)
        env.Alias('install', target)
