# SPDX-License-Identifier: Apache-2.0
"""The folder rules: who may include what. The table is the one of the design: a row a folder."""

import os
from typing import Dict, List, NamedTuple, Tuple

import source

# Headers of the C library and the kernel that anybody may include.
LIBC = set('''
    alloca.h arpa/inet.h assert.h byteswap.h complex.h ctype.h dirent.h dlfcn.h elf.h endian.h err.h errno.h
    execinfo.h fcntl.h fenv.h float.h fnmatch.h ftw.h getopt.h glob.h grp.h iconv.h inttypes.h langinfo.h
    libgen.h limits.h link.h locale.h malloc.h math.h netdb.h net/if.h netinet/in.h netinet/tcp.h poll.h
    pthread.h pty.h pwd.h regex.h sched.h search.h semaphore.h setjmp.h signal.h spawn.h stdalign.h
    stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h
    syslog.h termios.h threads.h time.h ucontext.h uchar.h unistd.h utime.h wchar.h wctype.h
'''.split())
LIBC_PREFIXES = ('sys/', 'linux/', 'asm/', 'bits/')
SANITIZER = {'sanitizer/lsan_interface.h', 'sanitizer/asan_interface.h'}


class Rule(NamedTuple):
    """uses: kernel areas (or single headers); libs: headers of libraries; abi: may include <tenon/…>."""
    uses: Tuple[str, ...]
    libs: Tuple[str, ...] = ()
    abi: bool = True


JANSSON = 'jansson.h'
RULES: Dict[str, Rule] = {
    'kernel/abi': Rule(()),
    'kernel/base': Rule(()),  # <tenon/types.h> holds tn_str and tn_rc, which base works on
    'kernel/conf': Rule(('base',), ('yaml.h', JANSSON)),
    'kernel/plug': Rule(('base', 'conf'), (JANSSON,)),
    'kernel/value': Rule(('base',), (JANSSON,)),
    'kernel/pool': Rule(('base', 'plug')),
    'kernel/ipc': Rule(('base',)),
    'kernel/store': Rule(('base', 'value', 'pool', 'plug', 'conf'), ('sodium.h', JANSSON)),
    'kernel/hub': Rule(('base', 'conf', 'plug', 'value', 'pool', 'ipc', 'store',
                        'kernel/supervisor/ctl.h'), ('sodium.h', JANSSON)),
    'kernel/worker': Rule(('base', 'ipc', 'conf', 'plug', 'pool', 'value', 'kernel/supervisor/ctl.h')),
    'kernel/supervisor': Rule(('base', 'conf')),
    'kernel/check': Rule(('base', 'conf', 'plug', 'value'), (JANSSON,)),
    'kernel/cli': Rule(('base', 'conf', 'plug'), ('curl/curl.h', JANSSON)),
    'pyshim': Rule(('base', 'value', 'pool', 'ipc', 'kernel/worker/lang.h'),
                   ('Python.h', 'datetime.h', 'structmember.h', 'frameobject.h', 'marshal.h', 'openssl/evp.h')),
}
# A plugin sees the contract and its own library, whichever that is; never the kernel or a neighbour.
PLUGIN_TOPS = ('plugins', 'connectors', 'auth')
# folders compiled into several plugins, and which may use them
SHARED = {'plugins/http_common': ('plugins/http_common', 'plugins/frontend_h1', 'plugins/frontend_http'),
          'connectors/redis': ('connectors/redis', 'plugins/trigger_redis'),
          'connectors/mqtt': ('connectors/mqtt', 'plugins/trigger_mqtt'),
          'connectors/kafka': ('connectors/kafka', 'plugins/trigger_kafka'),
          'connectors/nsq': ('connectors/nsq', 'plugins/trigger_nsq'),
          'auth/user_list': ('auth/user_list', 'auth/basic', 'auth/digest')}
ONLY_IN = {'Python.h': 'pyshim'}  # the interpreter has one door


def _folder(path: str) -> str:
    parts = path.split('/')
    return '/'.join(parts[:2]) if parts[0] == 'kernel' else parts[0]


def _quoted(rule: Rule, folder: str, path: str, name: str) -> str:
    """'' or what is wrong with a quoted include that names another folder."""
    if '..' in name.split('/'):
        return 'leaves its folder by ".."'
    if '/' not in name:
        return ''  # a header beside the file
    if name.startswith(folder + '/') or name in rule.uses:
        return ''
    if folder in SHARED.get(os.path.dirname(name), ()):
        return ''
    if name.startswith('kernel/') and name.split('/')[1] in rule.uses:
        return ''
    if name.startswith('kernel/abi/'):
        return 'is written <tenon/…>'
    if not name.startswith(('kernel/', 'pyshim/') + tuple(t + '/' for t in PLUGIN_TOPS)):
        return ''  # a sub-folder of its own
    return '%s may use only %s' % (folder, ', '.join(rule.uses) or 'nothing')


def check_file(path: str, text: str) -> List[source.Problem]:
    """Problems of one C file; path is relative to the top."""
    top = path.split('/')[0]
    folder = _folder(path)
    if top in PLUGIN_TOPS:
        rule = Rule((), ('*',))
        folder = '/'.join(path.split('/')[:2])
    elif folder in RULES:
        rule = RULES[folder]
    elif top == 'kernel':
        return [(path, 1, 'folder %s has no row in tests/check/includes.py' % folder)]
    else:
        return []
    problems = []
    for line, kind, name in source.includes(text):
        wrong = ''
        if kind == '"':
            wrong = _quoted(rule, folder, path, name)
        elif name.startswith('tenon/'):
            wrong = '' if rule.abi else '%s may not use the contract' % folder
        elif name in LIBC or name.startswith(LIBC_PREFIXES) or name in SANITIZER:
            continue
        elif name in ONLY_IN and ONLY_IN[name] != folder:
            wrong = 'belongs into %s alone' % ONLY_IN[name]
        elif '*' not in rule.libs and name not in rule.libs:
            wrong = '%s may use only %s besides the C library' % (
                folder, ', '.join(rule.libs) or 'no library')
        if wrong:
            problems.append((path, line, '#include %s%s%s: %s' % (kind, name, '>' if kind == '<' else '"', wrong)))
    return problems


def check(root: str) -> List[source.Problem]:
    """Problems of the whole tree."""
    problems = []
    for path in source.c_files(source.tracked(root)):
        problems += check_file(path, source.read(root, path))
    return problems


# planted include, file it stands in, is it a violation: the rule must find these and only these
SELF_TEST = [
    ('#include "kernel/hub/loop.h"', 'kernel/base/buf.c', True),
    ('#include "kernel/base/buf.h"', 'kernel/hub/loop.c', False),
    ('#include "kernel/base/buf.h"', 'connectors/sqlite/sqlite.c', True),
    ('#include "kernel/abi/tenon/types.h"', 'plugins/api_dff/x.c', True),
    ('#include "../mem/mem.h"', 'connectors/sqlite/sqlite.c', True),
    ('#include "connectors/mem/mem.h"', 'connectors/sqlite/sqlite.c', True),
    ('#include "plugins/http_common/text.h"', 'plugins/frontend_h1/conn.c', False),
    ('#include "plugins/http_common/text.h"', 'plugins/api_dff/x.c', True),
    ('#include "auth/user_list/user_list.h"', 'auth/basic/main.c', False),
    ('#include "auth/user_list/user_list.h"', 'auth/func/main.c', True),
    ('#include "sqlite.h"', 'connectors/sqlite/sqlite.c', False),
    ('#include <sqlite3.h>', 'connectors/sqlite/sqlite.c', False),
    ('#include <sqlite3.h>', 'kernel/store/store.c', True),
    ('#include <Python.h>', 'connectors/sqlite/sqlite.c', True),
    ('#include <Python.h>', 'kernel/worker/loop.c', True),
    ('#include <Python.h>', 'pyshim/boot.c', False),
    ('#include "kernel/worker/lang.h"', 'pyshim/boot.c', False),
    ('#include "kernel/worker/loop.h"', 'pyshim/boot.c', True),
    ('#include <jansson.h>', 'kernel/base/str.c', True),
    ('  #  include <jansson.h>', 'kernel/ipc/frame.c', True),
    ('#include <sys/epoll.h>', 'kernel/base/fd.c', False),
    ('/*\n#include <jansson.h>\n*/', 'kernel/base/str.c', False),
    ('#include "kernel/base/buf.h"', 'kernel/new/x.c', True),
    ('#include <tenon/types.h>', 'kernel/base/err.h', False),
]


def self_test() -> List[source.Problem]:
    """Problems of the rule itself."""
    bad = []
    for text, path, violation in SELF_TEST:
        if bool(check_file(path, text)) != violation:
            bad.append((os.path.basename(__file__), 1, 'self-test: %s in %s is %s' % (
                text.strip(), path, 'not found' if violation else 'refused')))
    return bad
