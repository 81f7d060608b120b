# SPDX-License-Identifier: Apache-2.0
"""env.Plugin: one shared object from all *.c of a folder, which sees only kernel/abi and its library."""

import glob
import os

from SCons.Script import Exit, GetOption

import deps


def _required(env, name, every=True):
    wanted = [w.strip() for w in env['require'].split(',') if w.strip()]
    return (every and 'all' in wanted) or name in wanted


def Plugin(env, name, pkgs=(), libs=(), headers=(), defines=(), sources=None, target=None,
           common=None, parts=(), files=(), fetched=None):
    """Builds plugins/<name>.so.

    pkgs     pkg-config names, "a|b" takes the first that exists
    libs     libraries without a .pc file; headers names one header for each, probed together
    sources  default: every *.c of the folder
    parts    files of connectors/common (without .c) that become part of it
    target   default: plugins/<name>.so of the variant; tests put theirs elsewhere
    common   folder beside that of the plugin whose *.c are compiled into it, too
    files    source files of another plugin's folder that become part of it, from the top of the tree
    fetched  (name, source, include folder): foreign code in build/deps/<name>, where packaging/fetch-<name> has put it;
             its source is compiled into the plugin without our warnings
    """
    penv = env.Clone()
    penv.Replace(CPPPATH=['#kernel/abi'], LIBS=[], SHLIBPREFIX='')
    missing = ['%s (Debian: %s)' % (p, deps.debian_package(p)) for p in deps.add(penv, pkgs)]
    missing += ['<%s> with -l%s' % (h, l) for l, h in zip(libs, headers) if not deps.has_lib(env, l, h)]
    absent = fetched and not os.path.exists(env.File('#build/deps/%s/ready' % fetched[0]).abspath)
    if absent:
        missing.append('build/deps/%s (packaging/fetch-%s brings it)' % (fetched[0], fetched[0]))
    if missing and not GetOption('help'):
        # what lies outside of the distribution is not part of "all": a build without a network is whole without it
        if _required(env, name, every=not absent) and not GetOption('clean'):
            print('scons: %s is required and needs %s' % (name, ', '.join(missing)))
            Exit(2)
        print('scons: skipping %s, not found: %s' % (name, ', '.join(missing)))
        return []
    penv.Append(CCFLAGS=['-fvisibility=hidden', '-fPIC'], CPPDEFINES=list(defines),
                LIBS=list(libs) + ['pthread', 'm'])
    # clang leaves the sanitizer run time to the program, so that its symbols are undefined here
    if not env['sanitized'] or 'clang' not in env.subst('$CC'):
        penv.Append(LINKFLAGS=['-Wl,-z,defs'])
    penv.Append(LINKFLAGS=['-Wl,--as-needed'])
    if common or files:
        penv.Append(CPPPATH=['#'])  # for "<folder>/<common>/…"; tests/check/includes.py keeps the rest out
    if parts:
        penv.AppendUnique(CPPPATH=['#connectors'])
    objects = []
    if fetched:
        include = '#build/deps/%s/%s' % (fetched[0], fetched[2])
        foreign = penv.Clone()
        foreign.Append(CPPPATH=[include], CCFLAGS=['-w'])
        objects.append(foreign.SharedObject('#build/%s/obj/plugins/%s/fetched_%s' % (env['variant'], name, fetched[0]),
                                            '#build/deps/%s/%s' % (fetched[0], fetched[1])))
        penv.Append(CCFLAGS=[('-isystem', penv.Dir(include).abspath)])
    objects += [penv.SharedObject(s) for s in (sources or penv.Glob('*.c'))]
    if common:
        beside = os.path.join(os.path.dirname(env.Dir('.').srcnode().path), common)
        for source in sorted(glob.glob(os.path.join(env.Dir('#').abspath, beside, '*.c'))):
            stem = os.path.splitext(os.path.basename(source))[0]
            objects.append(penv.SharedObject('#build/%s/obj/plugins/%s/common/%s' % (
                env['variant'], name, stem), '#%s/%s.c' % (beside, stem)))
    for part in parts:  # an object for each plugin: its flags are the plugin's
        objects.append(penv.SharedObject('#build/%s/obj/connectors/common/%s_%s.os' % (
            env['variant'], name, part), '#connectors/common/%s.c' % part))
    for path in files:
        objects.append(penv.SharedObject('#build/%s/obj/plugins/%s/of_%s' % (
            env['variant'], name, os.path.splitext(os.path.basename(path))[0]), '#' + path))
    node = penv.SharedLibrary(target or '#build/%s/plugins/%s' % (env['variant'], name), objects)
    if target is None:
        env['built_plugins'].append((name, node[0]))
    return node


def generate(env):
    """Adds the method to env."""
    env['built_plugins'] = []
    env.AddMethod(Plugin)
