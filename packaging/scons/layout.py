# SPDX-License-Identifier: Apache-2.0
"""From folders to targets: kernel libraries, programs and test programs. Adding a folder is enough."""

import glob
import os

from SCons.Script import Exit, GetOption

import deps


# fuzz targets of what is not in the kernel's libraries: folders or files, and packages, to link with them
ZONES = tuple('connectors/common/%s.c' % part for part in ('zone', 'footer', 'civil'))
FUZZ_PARTS = {
    'fuzz_h1': (('plugins/frontend_h1', 'plugins/http_common'), ('zlib',)),
    'fuzz_mqtt': (('connectors/mqtt/packet.c',), ()),
    'fuzz_mqtt_link': (('connectors/mqtt', 'connectors/common/message.c', 'connectors/common/utf8.c', 'connectors/common/net.c'), ('openssl',)),
    'fuzz_postgresql': (('connectors/postgresql/value.c', 'connectors/common/civil.c', 'connectors/common/utf8.c'), ('libpq',)),
    'fuzz_mysql': (('connectors/mysql/rows.c', 'connectors/common/civil.c', 'connectors/common/utf8.c'), ('libmariadb',)),
    'fuzz_redis': (('connectors/redis', 'connectors/common/label.c', 'connectors/common/net.c', 'connectors/common/utf8.c'), ('hiredis', 'openssl')),
    'fuzz_tzif': (ZONES, ()),
    'fuzz_zone_name': (ZONES, ()),
    'fuzz_memcached': (('connectors/memcached', 'connectors/common/message.c', 'connectors/common/tape.c',
                        'connectors/common/utf8.c'), ('zlib', 'libcrypto')),
    'fuzz_nsq': (('connectors/nsq/nodes.c', 'connectors/nsq/frame.c', 'plugins/trigger_nsq/link.c',
                  'connectors/common/message.c'), ()),
    'fuzz_nsq_look': (('plugins/trigger_nsq/nodes.c', 'connectors/nsq/nodes.c', 'connectors/common/message.c'), ()),
    'fuzz_json_cut': (('connectors/common/json_cut.c', 'connectors/common/grow.c', 'connectors/common/utf8.c'), ()),
    'fuzz_influx_line': (('connectors/influxdb/line.c', 'connectors/influxdb/csv.c', 'connectors/common/json_cut.c',
                          'connectors/common/json_put.c', 'connectors/common/grow.c', 'connectors/common/civil.c',
                          'connectors/common/utf8.c'), ()),
    'fuzz_clickhouse': (('connectors/clickhouse', 'connectors/common/sql_text.c', 'connectors/common/label.c',
                         'connectors/common/utf8.c') + ZONES, ('liblz4', 'libzstd')),
    'fuzz_mongodb': (('connectors/mongodb', 'connectors/common/label.c', 'connectors/common/net.c'), ('libmongoc-1.0', 'openssl', 'zlib', 'libzstd')),
    'fuzz_http_text': (('connectors/common/http_text.c', 'connectors/common/grow.c'), ()),
    'fuzz_civil': (('connectors/common/civil.c',), ()),
    'fuzz_sql_text': (('connectors/common/sql_text.c', 'connectors/common/label.c'), ()),
    'fuzz_form': (('auth/fixed_field/find.c',), ('libsodium',)),
    'fuzz_sysdb': ((), ('sqlite3',)),
    'fuzz_basic': (('auth/user_list',), ('libsodium', 'jansson')),
    'fuzz_respond': (('plugins/api_dff/call_out.c', 'plugins/api_dff/util.c', 'plugins/api_dff/mime.c',
                      'plugins/http_common/text.c'), ('libsodium',)),
    'fuzz_peers': (('plugins/http_common/text.c',), ()),
    'fuzz_ak': (tuple('plugins/api_dff/%s.c' % part for part in ('ak_sign', 'md5', 'sha1', 'util')), ('libsodium',)),
    'fuzz_sqlserver': (('connectors/sqlserver/state.c', 'connectors/sqlserver/prelogin.c', 'connectors/common/net.c'), ()),
}


def _sources(folder):
    return sorted(glob.glob(os.path.join(folder, '*.c')))


class Layout:
    """The targets of one variant. `areas` is the table in SConstruct: name → (folder, uses, pkgs)."""

    def __init__(self, env, areas):
        self.env = env
        self.areas = areas
        self.root = '#build/' + env['variant']
        self.libs = {}      # area → archive node
        self.pkgs = {}      # area → flags already checked
        self.objects = {}   # source → flags → node
        self.test_targets = []  # everything linked into tests/, also by the SConscript of a test folder
        env.VariantDir(self.root + '/obj', '#', duplicate=0)

    def _area_env(self, area):
        """Compile environment of an area; a missing library ends the run with its name."""
        if area not in self.pkgs:
            env = self.env.Clone()
            missing = deps.add(env, self.areas[area][2])
            if missing and not GetOption('help') and not GetOption('clean'):
                print('scons: %s needs %s; packaging/run --deps-only installs what building needs' % (
                    self.areas[area][0],
                    ', '.join('%s (Debian: %s)' % (m, deps.debian_package(m)) for m in missing)))
                Exit(2)
            self.pkgs[area] = env
        return self.pkgs[area]

    def _objects(self, env, sources):
        """Object nodes; a source that several programs share is compiled once for equal flags."""
        flags = env.subst('$CFLAGS $CCFLAGS $_CCCOMCOM')
        nodes = []
        for source in sources:
            made = self.objects.setdefault(source, {})
            if flags not in made:
                stem = '%s/obj/%s' % (self.root, os.path.splitext(source)[0])
                made[flags] = env.Object(stem + ('.%d' % len(made) if made else ''),
                                         '%s/obj/%s' % (self.root, source))
            nodes.append(made[flags])
        return nodes

    def closure(self, area):
        """The area and everything it may use, users before what they use (link order)."""
        order = []

        def visit(name):
            for used in self.areas[name][1]:
                visit(used)
            if name not in order:
                order.append(name)
        visit(area)
        return order[::-1]

    def library(self, area, made=()):
        """lib/libtn_<area>.a from every *.c that is not a main and the `made` ones; None while there
        is none."""
        folder = self.areas[area][0]
        sources = [s for s in _sources(folder) if not os.path.basename(s).startswith('main')]
        if sources:
            env = self._area_env(area)
            self.libs[area] = env.StaticLibrary('%s/lib/tn_%s' % (self.root, area),
                                                self._objects(env, sources) +
                                                [env.Object(c) for c in made])[0]

    def link(self, target, area, sources, pkgs=(), no_as_needed=False, paths=()):
        """A program that may use `area` and what lies below it."""
        env = self.env.Clone()
        env.AppendUnique(CPPPATH=list(paths))
        names = self.closure(area)
        deps.add(env, list(pkgs))
        compile_env = env.Clone()
        for name in names:
            if name in self.libs:
                deps.add(env, self.areas[name][2])
        deps.add(compile_env, self.areas[area][2])
        if any(str(s).startswith('connectors/') for s in sources):
            compile_env.AppendUnique(CPPPATH=['#connectors'])  # as env.Plugin has it
        archives = [self.libs[n] for n in names if n in self.libs]
        # a group, so that call-backs between areas (tables of function pointers) need no order
        env.Replace(_LIBFLAGS='-Wl,--start-group ' + env['_LIBFLAGS'] + ' -Wl,--end-group')
        env.Prepend(LIBS=archives)
        env.Append(LIBS=['dl', 'pthread', 'm'])
        env.Prepend(LINKFLAGS=['-Wl,--no-as-needed' if no_as_needed else '-Wl,--as-needed'])
        if os.path.basename(target).startswith('fuzz_') and env['variant'] == 'fuzz':
            env.Append(LINKFLAGS=['-fsanitize=fuzzer'])
        program = env.Program(target, self._objects(compile_env, sources))
        if target.startswith(self.root + '/tests/'):
            self.test_targets += program
        return program

    def programs(self, table):
        """bin/<program> from <folder>/main.c by the table, bin/tenon-<x> from main_<x>.c."""
        built = []
        for area in self.areas:
            for source in _sources(self.areas[area][0]):
                stem = os.path.basename(source)[:-2]
                if stem == 'main' and area in table:
                    name, uses = table[area]
                elif stem.startswith('main_'):
                    name, uses = 'tenon-' + stem[5:].replace('_', '-'), area
                else:
                    continue
                built += self.link('%s/bin/%s' % (self.root, name), uses, [source],
                                   no_as_needed=uses == 'pyshim')
        return built

    def tests(self, kind, top):
        """tests/<kind>/<area>/test_x from test_x.c, linked with what <area> may use (an unknown area:
        everything); other *.c of the folder are helpers of all its tests; plug_x.c → plug_x.so; a
        folder with a SConscript decides for itself."""
        for folder in sorted(glob.glob('tests/%s/*/' % kind)):
            area = os.path.basename(folder.rstrip('/'))
            if os.path.exists(folder + 'SConscript'):
                continue
            sources = [os.path.basename(s) for s in _sources(folder)]
            mains = [s for s in sources if s.startswith('test_')]
            plugs = [s for s in sources if s.startswith('plug_')]
            helpers = [folder + s for s in sources if s not in mains and s not in plugs]
            target = '%s/tests/%s/%s/' % (self.root, kind, area)
            uses = area if area in self.areas else top
            for s in mains:
                self.link(target + s[:-2], uses, [folder + s] + helpers, ['cmocka'])
            for s in plugs:
                self.test_targets += self.env.Plugin(
                    s[:-2], target=target + s[:-2], sources=['%s/obj/%s%s' % (self.root, folder, s)])

    def fuzz(self, top):
        """tests/fuzz/fuzz_x: with libFuzzer in the fuzz variant, with the replay driver elsewhere."""
        driver = [] if self.env['variant'] == 'fuzz' else ['tests/check/replay.c']
        for source in _sources('tests/fuzz'):
            name = os.path.basename(source)[:-2]
            if name.startswith('fuzz_'):
                folders, pkgs = FUZZ_PARTS.get(name, ((), ()))
                if deps.find(self.env, pkgs)[1]:
                    continue  # as the plugin without its library, which has said so
                parts = [part for folder in folders
                         for part in ([folder] if folder.endswith('.c') else _sources(folder))]
                self.link('%s/tests/fuzz/%s' % (self.root, name), top, [source] + parts + driver,
                          pkgs, paths=['#connectors'] if any(p.startswith('connectors/') for p in parts) else ())
