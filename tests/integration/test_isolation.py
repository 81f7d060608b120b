# SPDX-License-Identifier: Apache-2.0
"""What a hostile function can reach and use up, and that nobody else notices (reliability.md P-08, I-01 to I-07).

Counts are short; TENON_TEST_LONG=1 makes up to 1,000 rounds of them, TENON_TEST_ROUNDS another number. Limits of the server are small, so that
reaching them is quick: nothing here depends on how small."""

import json
import os
import re
import subprocess
import threading
import time
from typing import Any, Dict, Iterator, List

import pytest
from support.client import ApiError, Client
from support.server import BUILD, SANITIZED, Server, wait_for

LONG = os.environ.get('TENON_TEST_LONG') == '1'
ROUNDS = int(os.environ.get('TENON_TEST_ROUNDS') or (1000 if LONG else 2))
MINUTES = float(os.environ.get('TENON_TEST_MINUTES') or 60)  # for the rounds of all hostile functions of a run
MEMORY_MIB, PROCESSES, FILES, FILE_MIB = 700, 64, 200, 64

HOSTILE = '''
import ctypes, mmap, os, resource, signal, socket, subprocess, sys, threading, time

@DFF.API('nap')
def nap(ms=0):
    time.sleep(ms / 1000)
    return ms

@DFF.API('fork bomb', timeout=10)
def fork_bomb():
    while True:
        if os.fork() == 0:
            time.sleep(1000)

@DFF.API('fork bomb that does not give up', timeout=1)
def stubborn_fork_bomb():
    while True:
        try:
            os.fork()
        except:
            pass

@DFF.API('threads', timeout=10)
def thread_bomb():
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

@DFF.API('subprocesses', timeout=20)
def subprocess_bomb():
    kept = []
    while True:
        kept.append(subprocess.Popen(['sleep', '1000'], start_new_session=True))

@DFF.API('files', timeout=10)
def file_leak():
    kept = []
    while True:
        kept.append(open('/dev/null'))

@DFF.API('sockets', timeout=10)
def socket_leak():
    kept = []
    while True:
        kept.append(socket.socket())

@DFF.API('duplicates', timeout=10)
def dup_leak():
    while True:
        os.dup(0)

@DFF.API('list', timeout=60)
def memory_list():
    kept = []
    while True:
        kept.append(bytearray(1 << 20))

@DFF.API('one piece', timeout=10)
def memory_piece():
    return len(bytes(1 << 40))

@DFF.API('mmap', timeout=30)
def memory_mmap():
    kept = []
    while True:
        kept.append(mmap.mmap(-1, 16 << 20))
        kept[-1].write(b'x' * (16 << 20))

@DFF.API('malloc in C', timeout=30)
def memory_c():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    while True:
        p = libc.malloc(8 << 20)
        if not p:
            raise MemoryError('malloc')
        libc.memset(p, 1, 8 << 20)

@DFF.API('several processes share it out', timeout=30)
def memory_children():
    for _ in range(4):
        if os.fork() == 0:
            kept = []
            while len(kept) < 500:
                kept.append(b'x' * (1 << 20))
            time.sleep(1000)
    kept = []
    for _ in range(100):
        kept.append(b'x' * (1 << 20))
        time.sleep(0.02)
    time.sleep(20)

@DFF.API('memory file', timeout=30)
def memory_file():
    fd = os.memfd_create('x')
    while True:
        os.write(fd, b'x' * (1 << 20))

@DFF.API('sparse file', timeout=10)
def sparse_file():
    with open('sparse', 'wb') as f:
        f.truncate(10 << 30)

@DFF.API('large file', timeout=30)
def large_file():
    with open('large', 'wb') as f:
        while True:
            f.write(b'x' * (1 << 20))

@DFF.API('beyond the end', timeout=10)
def far_write():
    fd = os.open('far', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'x', 10 << 30)

@DFF.API('result', timeout=30)
def large_result():
    return 'x' * (8 << 20)

@DFF.API('result of many parts', timeout=30)
def large_list():
    return list(range(1 << 20))

@DFF.API('crash')
def segv():
    ctypes.string_at(0)

@DFF.API('abort')
def abort():
    os.abort()

@DFF.API('leaves')
def leaves():
    os._exit(3)

@DFF.API('foreign system calls')
def foreign_abi():
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))  # mov eax, 20; int 0x80; ret
    at = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(at)()

@DFF.API('prints a gigabyte', timeout=60)
def firehose(mib=64):
    line = 'x' * 65535
    for _ in range(mib * 16):
        print(line)
    return 'done'

@DFF.API('writes to descriptor 1 and 2', timeout=60)
def raw_firehose(mib=1024):
    block = b'y' * (1 << 20)
    for _ in range(mib):
        os.write(1, block)
        os.write(2, block)
    return 'done'

@DFF.API('many files', timeout=300)
def many_files(n):
    here = os.environ['TMPDIR']
    for i in range(n):
        os.close(os.open(here + '/%d' % i, os.O_WRONLY | os.O_CREAT))
    return len(os.listdir(here))

@DFF.API('a tower of folders', timeout=60)
def tower(n):
    os.chdir(os.environ['TMPDIR'])
    for _ in range(n):
        os.mkdir('d')
        os.chdir('d')
        open('f', 'w').close()
    os.chmod('.', 0)
    return n

@DFF.API('what is there')
def leftovers():
    return os.listdir(os.environ['TMPDIR'])

@DFF.API('may it have more')
def raise_limits():
    got = []
    for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        try:
            resource.setrlimit(what, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            got.append(what)
        except (ValueError, PermissionError):
            pass
    return got
'''

# function: exceptionType, text of the message; what it says about itself
LIMITED = {
    'fork_bomb': ('ProcessLimit', r'limit of \d+ processes and threads \(peak \d+'),
    'thread_bomb': (('ProcessLimit', 'MemoryLimit'), r'limit of \d+ (processes and threads|MiB) \(peak \d+'),
    'subprocess_bomb': ('ProcessLimit', r'limit of \d+ processes and threads \(peak \d+'),
    'file_leak': ('OpenFilesLimit', r'limit of %d open files and sockets \(peak %d' % (FILES, FILES)),
    'socket_leak': ('OpenFilesLimit', r'limit of %d open files and sockets' % FILES),
    'dup_leak': ('OpenFilesLimit', r'limit of %d open files and sockets' % FILES),
    'memory_list': ('MemoryLimit', r'memory limit of %d MiB \(peak \d+ MiB' % MEMORY_MIB),
    'memory_piece': ('MemoryLimit', r'memory limit of %d MiB \(peak \d+ MiB' % MEMORY_MIB),
    'memory_mmap': ('MemoryLimit', r'memory limit of %d MiB \(peak \d+ MiB' % MEMORY_MIB),
    'memory_c': ('MemoryLimit', r'memory limit of %d MiB \(peak \d+ MiB' % MEMORY_MIB),
    'memory_file': (('FileSizeLimit', 'MemoryLimit'), r'limit of \d+ MiB'),
    'memory_children': ('MemoryLimit', r'memory limit of %d MiB \(peak \d+ MiB' % MEMORY_MIB),
    'sparse_file': ('FileSizeLimit', r'limit of %d MiB for one file' % FILE_MIB),
    'large_file': ('FileSizeLimit', r'limit of %d MiB for one file' % FILE_MIB),
    'far_write': ('FileSizeLimit', r'limit of %d MiB for one file' % FILE_MIB),
    'large_result': ('OutputLimit', r'limit of 1048576 bytes'),
    'large_list': ('OutputLimit', r'limit of 1048576 bytes'),
    'stubborn_fork_bomb': ('TaskTimeout', r'limit of 1000 ms|TaskTimeout|1000'),
    'segv': ('WorkerCrashed', r'SIGSEGV'),
    'abort': ('WorkerCrashed', r'SIGABRT'),
    'leaves': ('WorkerCrashed', r'exit code 3'),
    'foreign_abi': ('ForbiddenSystemCall', r'SIGSYS'),
}
# have had their 1,000 rounds (tests/README.md): a long run, whose time is bounded, gives the others their turn first
COUNTED = {'fork_bomb', 'thread_bomb', 'subprocess_bomb', 'file_leak', 'socket_leak', 'dup_leak', 'memory_list', 'memory_piece'}
NEEDS_ADDRESS_LIMIT = {'memory_piece'}  # not there in sanitizer builds
NEEDS_GROUP = {'memory_children', 'fork_bomb', 'thread_bomb', 'subprocess_bomb'}

pytestmark = pytest.mark.timeout(7200 if LONG else 180)


@pytest.fixture(scope='module')
def jail(watch: Any) -> Iterator[Server]:
    """A server with small limits."""
    s = Server(args=('--worker-memory=%dM' % MEMORY_MIB, '--worker-processes=%d' % PROCESSES,
                     '--worker-files=%d' % FILES, '--worker-file-size=%dM' % FILE_MIB, '--worker-result=1M',
                     '--workers-max=6'))
    try:
        s.start()
        watch.servers.append(s)
        yield s
        assert s.stop() == 0, s.log()[-3000:]
        problems = s.problems()
        assert not problems, '\n'.join(problems)
    finally:
        if s in watch.servers:
            watch.servers.remove(s)
        s.close()


@pytest.fixture(scope='module')
def admin(jail: Server) -> Client:
    """Signed in for the whole module."""
    return jail.client()


@pytest.fixture(scope='module')
def apis(admin: Client) -> Dict[str, str]:
    """API ids by function name."""
    script = admin.script(HOSTILE)
    return {name: admin.add_sync_api('%s.%s' % (script, name), taskRecordLimit=5)
            for name in re.findall(r'^def (\w+)', HOSTILE, re.M)}


def platform(client: Client) -> Dict[str, Any]:
    """The status page."""
    return client.get('/monitor/platform/do/get')


def layer(client: Client, name: str) -> str:
    """State of a layer of the isolation."""
    return platform(client)['isolation']['layers'][name]['state']


class Bystanders:
    """Calls that run all the time; every one must succeed."""

    def __init__(self, server: Server, api_id: str, threads: int = 2) -> None:
        self.over = threading.Event()
        self.wrong: List[str] = []
        self.done = 0
        self.server, self.api_id = server, api_id
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self) -> None:
        client = self.server.client(username=None)
        while not self.over.is_set():
            r = client.sync(self.api_id, {'ms': 5})
            self.done += 1
            if r.status_code != 200:
                self.wrong.append(r.text[:500])
        client.close()

    def __enter__(self) -> 'Bystanders':
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for t in self.threads:
            t.join(60)


def failure(client: Client, api_id: str, **kwargs: Any) -> Dict[str, Any]:
    """The detail of a call that fails."""
    with pytest.raises(ApiError) as e:
        client.result(api_id, **kwargs)
    return e.value.envelope


BEGUN: List[float] = []  # when the first hostile function of this run began


def share(request: Any) -> float:
    """Seconds for this function: what the quick ones before it have left over is for the slow ones."""
    BEGUN.append(time.monotonic())
    functions = [item for item in request.session.items if item.originalname == request.node.originalname]
    return (BEGUN[0] + MINUTES * 60 - BEGUN[-1]) / (len(functions) - functions.index(request.node))


@pytest.mark.parametrize('name', sorted(LIMITED, key=lambda name: LONG and name in COUNTED))
def test_hostile_function(jail: Server, admin: Client, apis: Dict[str, str], name: str, request: Any) -> None:
    """The caller is told which limit ended it; others see nothing; the slot is back; nobody is left.
    Each function of a long run gets its share of TENON_TEST_MINUTES; `-rP` tells how many rounds that were."""
    if SANITIZED and name in NEEDS_ADDRESS_LIMIT:
        pytest.skip('sanitizers need all addresses')
    if name in NEEDS_GROUP and layer(admin, 'cgroup') != 'on':
        pytest.skip('no control group counts here: ' + platform(admin)['isolation']['layers']['cgroup']['why'])
    kinds, text = LIMITED[name]
    start, done, seconds = time.monotonic(), 0, share(request)
    with Bystanders(jail, apis['nap']) as others:
        for _ in range(ROUNDS):
            if done >= 2 and time.monotonic() - start > seconds:
                break
            done += 1
            envelope = failure(admin, apis[name])
            said = json.dumps(envelope)
            assert any('"%s"' % k in said for k in ([kinds] if isinstance(kinds, str) else kinds)), said[:1500]
            assert re.search(text, said), said[:1500]
            assert admin.result(apis['nap'], ms=0) == 0  # a worker is free at once
    record = wait_for(lambda: admin.get('/task-records/func/do/list', originId=apis[name]), 10)[0]
    assert re.search(text, json.dumps(record)), 'the reason stands in the record: %s' % record
    assert not others.wrong and others.done > 0, (others.done, others.wrong[:2])
    print('hostile %s: %d rounds in %.1f s, %d calls beside them' % (name, done, time.monotonic() - start, others.done))

    def settled() -> bool:
        calls = platform(admin)['broker']['calls']
        return calls['queued'] == 0 and calls['claimed'] == 0
    assert wait_for(settled)
    assert wait_for(lambda: not [p for p in jail.family() if 'sleep' in p.cmdline], 5)


def test_limits_cannot_be_raised(admin: Client, apis: Dict[str, str]) -> None:
    assert admin.result(apis['raise_limits']) == []


def test_print_is_cut_and_says_so(jail: Server, admin: Client) -> None:
    """A gigabyte of lines (64 MiB in the short run): the call succeeds, a bounded part is kept, marked as cut."""
    api = admin.function(HOSTILE, 'firehose', {'mib': 1024 if LONG else 64})
    before = hub_memory(jail)
    assert admin.result(api) == 'done'
    assert hub_memory(jail) - before < 16 << 10, 'the hub keeps no more than the limit'


def hub_memory(server: Server) -> int:
    """Resident memory of the hub in KiB."""
    with open('/proc/%d/status' % server.pid_of('tenon-hub'), encoding='ascii') as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1))


def test_raw_output_goes_nowhere(jail: Server, admin: Client, apis: Dict[str, str]) -> None:
    """2 GB on the standard descriptors do not reach the log of the platform."""
    before = os.path.getsize(jail.log_path)
    assert admin.result(apis['raw_firehose'], mib=1024 if not SANITIZED else 64) == 'done'
    assert os.path.getsize(jail.log_path) - before < 65536


def scratch(server: Server) -> List[str]:
    """What is below the scratch folder, without the workers' own empty folders."""
    root = os.path.join(server.data, 'scratch')
    found = []
    for folder in os.listdir(root):
        try:
            inside = os.listdir(os.path.join(root, folder))
        except OSError:
            continue
        found += [folder] if folder.startswith('trash-') else [os.path.join(folder, i) for i in inside]
    return found


@pytest.mark.parametrize('n', [3, 20000] + ([1000000] if LONG else []))
def test_scratch_is_empty_for_the_next_call(jail: Server, admin: Client, apis: Dict[str, str], n: int) -> None:
    """Whatever a call leaves is gone when the next one starts, and soon from the disk."""
    with Bystanders(jail, apis['nap']) as others:
        assert admin.result(apis['many_files'], n=n) == n
        for _ in range(12):
            assert admin.result(apis['leftovers']) == []
    assert not others.wrong, others.wrong[:2]
    assert wait_for(lambda: not scratch(jail), 120), scratch(jail)[:5]


def test_deep_folders_are_removed(jail: Server, admin: Client, apis: Dict[str, str]) -> None:
    """Folders deeper than any path may be, the last one closed."""
    assert admin.result(apis['tower'], n=3000) == 3000
    for _ in range(6):
        assert admin.result(apis['leftovers']) == []
    assert wait_for(lambda: not scratch(jail), 60), scratch(jail)[:5]


# ---- what can be reached ------------------------------------------------------------------------------------

PROBES = '''
import ctypes, errno, os, platform, resource, signal, socket

libc = ctypes.CDLL(None, use_errno=True)
NR = {'x86_64': dict(ptrace=101, process_vm_readv=310, bpf=321, perf=298, keyctl=250, userfaultfd=323, mount=165,
                     unshare=272, chroot=161, init_module=175, syslog=103, shmget=29, iopl=172)}[platform.machine()]

def syscall(nr, *args):
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) for a in args])
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r

def read(path):
    with open(path, 'rb') as f:
        return len(f.read(64))

def mem(pid):
    with open('/proc/%d/maps' % pid) as f:
        start = int(f.readline().split('-')[0], 16)
    with open('/proc/%d/mem' % pid, 'rb') as f:
        f.seek(start)
        return len(f.read(16))

def write(path):
    with open(path, 'ab') as f:
        f.write(b'x')

@DFF.API('probes')
def probes(data, hub, tenond, zygote, workers, disk):
    sibling = next(pid for pid in workers if pid != os.getpid())
    here = os.environ['TMPDIR']
    every = {
        'master key': lambda: read(data + '/master.key'),
        'store': lambda: read(data + '/config.db'),
        'store log': lambda: read(data + '/config.db-wal'),
        'token of localhost': lambda: read(data + '/localhost-auth-token'),
        'lock': lambda: write(data + '/lock'),
        'data folder': lambda: os.listdir(data),
        'new file in data': lambda: write(data + '/planted'),
        'scratch of all': lambda: os.listdir(data + '/scratch'),
        'scratch of sibling': lambda: os.listdir(data + '/scratch/w-%d' % sibling),
        'key by link': lambda: (os.symlink(data + '/master.key', here + '/k'), read(here + '/k')),
        'key by hard link': lambda: os.link(data + '/master.key', here + '/h'),
        'key by /proc/self/root': lambda: read('/proc/self/root' + data + '/master.key'),
        'shadow': lambda: read('/etc/shadow'),
        'home of root': lambda: os.listdir('/root'),
        'write passwd': lambda: write('/etc/passwd'),
        'write library': lambda: write('/usr/lib/planted.so'),
        'write tmp': lambda: write('/tmp/planted-by-tenon-test'),
        'core pattern': lambda: write('/proc/sys/kernel/core_pattern'),
        'sysrq': lambda: write('/proc/sysrq-trigger'),
        'kernel memory': lambda: read('/dev/mem'),
        'kernel core': lambda: read('/proc/kcore'),
        'kernel log': lambda: syscall(NR['syslog'], 3, 0, 0),
        'disk': lambda: read('/dev/' + disk),
        'debugfs': lambda: os.listdir('/sys/kernel/debug'),
        'environ of init': lambda: read('/proc/1/environ'),
        'environ of hub': lambda: read('/proc/%d/environ' % hub),
        'environ of tenond': lambda: read('/proc/%d/environ' % tenond),
        'environ of zygote': lambda: read('/proc/%d/environ' % zygote),
        'environ of sibling': lambda: read('/proc/%d/environ' % sibling),
        'memory of hub': lambda: mem(hub),
        'memory of tenond': lambda: mem(tenond),
        'memory of zygote': lambda: mem(zygote),
        'memory of sibling': lambda: mem(sibling),
        'descriptors of the hub': lambda: os.open('/proc/%d/fd/0' % hub, os.O_RDONLY),
        'links of the hub': lambda: os.readlink('/proc/%d/fd/3' % hub),
        'descriptors of sibling': lambda: os.open('/proc/%d/fd/3' % sibling, os.O_RDONLY),
        'root of hub': lambda: os.listdir('/proc/%d/root' % hub),
        'cwd of hub': lambda: os.listdir('/proc/%d/cwd' % hub),
        'ptrace hub': lambda: syscall(NR['ptrace'], 16, hub, 0, 0),
        'ptrace sibling': lambda: syscall(NR['ptrace'], 0x4206, sibling, 0, 0),
        'process_vm_readv': lambda: syscall(NR['process_vm_readv'], hub, 0, 0, 0, 0, 0),
        'descriptor of hub': lambda: syscall(438, os.pidfd_open(hub), 3, 0),
        'signal hub': lambda: os.kill(hub, 0),
        'signal tenond': lambda: os.kill(tenond, 0),
        'signal zygote': lambda: os.kill(zygote, 0),
        'signal sibling': lambda: os.kill(sibling, 0),
        'limits of hub': lambda: resource.prlimit(hub, resource.RLIMIT_NOFILE, (1, 1)),
        'priority of hub': lambda: os.setpriority(os.PRIO_PROCESS, hub, 19),
        'bpf': lambda: syscall(NR['bpf'], 0, 0, 0),
        'perf': lambda: syscall(NR['perf'], 0, 0, -1, -1, 0),
        'keyring': lambda: syscall(NR['keyctl'], 0, -3, 0),
        'userfaultfd': lambda: syscall(NR['userfaultfd'], 1),
        'io_uring': lambda: syscall(425, 1, 0),
        'mount': lambda: syscall(NR['mount'], 0, 0, 0, 0, 0),
        'namespace': lambda: syscall(NR['unshare'], 0x10000000),
        'chroot': lambda: os.chroot(here),
        'module': lambda: syscall(NR['init_module'], 0, 0, 0),
        'ports': lambda: syscall(NR['iopl'], 3),
        'shared memory that stays': lambda: syscall(NR['shmget'], 0, 4096, 0o1600),
        'raw socket': lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        'raw ip': lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        'crypto socket': lambda: socket.socket(38, socket.SOCK_SEQPACKET),
        'become somebody': lambda: os.setuid(1 if os.getuid() != 1 else 2),
        'device': lambda: os.mknod(here + '/dev', 0o20666, os.makedev(1, 1)),
        'set-user-id': lambda: (open(here + '/s', 'w').close(), os.chmod(here + '/s', 0o4755)),
        'low port': lambda: socket.socket().bind(('127.0.0.1', 22)) if os.getuid() == 0 else os.setuid(0),
    }
    got = {}
    for name, probe in every.items():
        try:
            got[name] = 'REACHED %r' % (probe(),)
        except OSError as e:
            got[name] = errno.errorcode.get(e.errno, str(e))
    return got

@DFF.API('who am I')
def who():
    return dict(pid=os.getpid(), uid=os.getuid(), env=dict(os.environ), cwd=os.getcwd(),
                status=open('/proc/self/status').read())

@DFF.API('link into the resources')
def resource_link(target):
    path = DFF.RSRC('stolen.txt')
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)
    return DFF.RESP_FILE('stolen.txt')
'''


def relatives(server: Server) -> Dict[str, Any]:
    """pids of hub, supervisor, zygote and all workers."""
    workers = server.workers()
    return {'hub': server.pid_of('tenon-hub'), 'tenond': server.pid_of('tenond'), 'zygote': workers[0].ppid,
            'workers': [p.pid for p in workers]}


def disk() -> str:
    """Name of a block device of this machine."""
    return next(iter(sorted(n for n in os.listdir('/sys/class/block') if os.path.exists('/dev/' + n))), 'sda')


REFUSED = {'EPERM', 'EACCES', 'ENOSYS', 'ENOENT', 'EAFNOSUPPORT', 'ESRCH', 'EXDEV', 'EINVAL', 'ENXIO', 'EADDRINUSE'}


def test_probes(jail: Server, admin: Client) -> None:
    """Some sixty things that are none of a function's business (I-04 asks for thirty): every one is refused."""
    script = admin.script(PROBES)
    got = admin.result(admin.add_sync_api(script + '.probes'), data=jail.data, disk=disk(), **relatives(jail))
    reached = {k: v for k, v in got.items() if v not in REFUSED}
    assert len(got) >= 60 and not reached, reached
    hard = {'master key', 'store', 'memory of hub', 'environ of hub', 'memory of sibling', 'signal hub', 'ptrace sibling'}
    assert {got[k] for k in hard} <= {'EACCES', 'EPERM'}, {k: got[k] for k in hard}


def test_no_privilege_is_left(jail: Server, admin: Client) -> None:
    who = admin.result(admin.function(PROBES, 'who'))
    status = dict(line.split(':\t', 1) for line in who['status'].splitlines() if ':\t' in line)
    assert {status[k] for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')} == {'0' * 16}
    assert status['NoNewPrivs'] == '1' and status['Seccomp'] == '2'
    assert who['cwd'] == who['env']['TMPDIR'] and who['cwd'].endswith('/scratch/w-%d' % who['pid'])


def test_links_in_resources_do_not_lead_out(jail: Server, admin: Client) -> None:
    """The hub serves files of the resource folder with its own rights: a link must not lead it elsewhere."""
    r = admin.sync(admin.function(PROBES, 'resource_link'), {'target': os.path.join(jail.data, 'master.key')})
    with open(os.path.join(jail.data, 'master.key'), 'rb') as f:
        assert r.status_code != 200 and f.read() not in r.content


def test_secrets_of_the_configuration_stay_outside(new_server: Any) -> None:
    """What tenond got in its environment is nowhere in the environment of a worker, nor in its memory image."""
    s = new_server(env={'TENON_AUTO_SETUP_ADMIN_PASSWORD': 'canary-1-secret', 'DFF_SECRET': 'canary-2-secret',
                        'SEEN_BY_SCRIPTS': 'yes'}).start()
    client = s.client()
    code = PROBES + '''
@DFF.API('environment')
def environment():
    return [dict(os.environ), open('/proc/self/environ', 'rb').read().decode('latin-1')]
'''
    env, image = client.result(client.function(code, 'environment'))
    assert env['SEEN_BY_SCRIPTS'] == 'yes' and 'canary' not in json.dumps(env) and 'canary' not in image
    with open('/proc/%d/environ' % s.workers()[0].ppid, 'rb') as f:
        assert b'canary' not in f.read(), 'the zygote forgets them too'


# ---- what must go on working -------------------------------------------------------------------------------

ORDINARY = '''
import ctypes, json, multiprocessing, os, shutil, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, zoneinfo

@DFF.API('files')
def files():
    with tempfile.NamedTemporaryFile('w+') as f, tempfile.TemporaryDirectory() as d:
        f.write('text')
        f.flush()
        shutil.copy(f.name, d + '/copy')
        os.rename(d + '/copy', d + '/moved')
        os.makedirs(DFF.RSRC('deep/er'), exist_ok=True)
        with open(DFF.RSRC('deep/er/file.txt'), 'w') as g:
            g.write('kept')
        db = sqlite3.connect(DFF.RSRC('own.db'))
        db.execute('CREATE TABLE IF NOT EXISTS t (a)')
        db.close()
        with open('relative.txt', 'w') as g:
            g.write('x')
        return [open(d + '/moved').read(), open(DFF.RSRC('deep/er/file.txt')).read(), tempfile.gettempdir()]

@DFF.API('processes')
def processes():
    out = subprocess.run(['sh', '-c', 'echo hello; ls /usr | head -1; cat /dev/null'], capture_output=True, text=True)
    py = subprocess.run([sys.executable, '-c', 'import json, ssl, tempfile; print(tempfile.gettempdir())'],
                        capture_output=True, text=True)
    with multiprocessing.Pool(2) as pool:
        squares = pool.map(abs, [-1, 2, -3])
    return [out.stdout.split()[0], out.returncode, py.returncode, py.stdout.strip() == os.environ['TMPDIR'], squares]

@DFF.API('threads')
def threads():
    got = []
    every = [threading.Thread(target=got.append, args=(i,)) for i in range(20)]
    for t in every:
        t.start()
    for t in every:
        t.join()
    return sorted(got) == list(range(20))

@DFF.API('network')
def network(port):
    s = socket.create_connection(('localhost', port))
    s.close()
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen()
    return [len(ssl.create_default_context().get_ca_certs()) > 0 or not os.path.exists('/etc/ssl/certs/ca-certificates.crt'),
            zoneinfo.ZoneInfo('Europe/Berlin').key, socket.gethostbyname('localhost')]

@DFF.API('C')
def native():
    libc = ctypes.CDLL('libc.so.6')
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: 0)
    libc.qsort((ctypes.c_int * 4)(4, 3, 2, 1), 4, 4, callback)
    return [libc.getpid() == os.getpid(), os.cpu_count() > 0, os.path.exists('/proc/self/maps')]

@DFF.API('packages')
def package(name):
    return getattr(__import__(name), '__version__', 'there')

@DFF.API('numbers')
def numbers():
    import numpy
    return float((numpy.ones((200, 200)) @ numpy.ones((200, 200))).sum())

@DFF.API('own package')
def own():
    import tenon_test_package
    return tenon_test_package.ANSWER

@DFF.API('own package with native code')
def own_native():
    import tenon_test_native
    return [tenon_test_native.answer(), tenon_test_native.__file__.rsplit('/', 1)[1]]

@DFF.API('local sockets')
def local_sockets():
    got = []
    path = os.path.join(tempfile.gettempdir(), 's')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        t = threading.Thread(target=lambda: got.append(server.accept()[0].recv(5)))
        t.start()
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(path)
            c.sendall(b'hello')
        t.join()
    a, b = socket.socketpair()
    a.sendall(b'x')
    return [got[0].decode(), b.recv(1).decode()]

@DFF.API('processes that share')
def sharing():
    from concurrent.futures import ProcessPoolExecutor
    queue = multiprocessing.Queue()
    value = multiprocessing.Value('i', 3)
    p = multiprocessing.Process(target=queue.put, args=(value.value * 2,))
    p.start()
    got = queue.get(timeout=10)
    p.join()
    with ProcessPoolExecutor(2) as pool:
        return [got, list(pool.map(pow, [2, 3], [5, 2]))]
'''


@pytest.fixture(scope='module')
def ordinary(admin: Client) -> Dict[str, str]:
    """API ids of what ordinary scripts do."""
    script = admin.script(ORDINARY)
    return {name: admin.add_sync_api('%s.%s' % (script, name)) for name in re.findall(r'^def (\w+)', ORDINARY, re.M)}


def test_ordinary_scripts(jail: Server, admin: Client, ordinary: Dict[str, str]) -> None:
    """Files, subprocesses, threads, sockets and C work as they do outside."""
    text, kept, folder = admin.result(ordinary['files'])
    assert (text, kept) == ('text', 'kept') and '/scratch/w-' in folder
    assert os.path.exists(os.path.join(jail.data, 'resources', 'deep', 'er', 'file.txt'))
    assert admin.result(ordinary['processes']) == ['hello', 0, 0, True, [1, 2, 3]]
    assert admin.result(ordinary['threads']) is True
    assert admin.result(ordinary['network'], port=jail.port) == [True, 'Europe/Berlin', '127.0.0.1']
    assert admin.result(ordinary['native']) == [True, True, True]


@pytest.mark.parametrize('name', ['numpy', 'psycopg2', 'requests'])
def test_libraries(admin: Client, ordinary: Dict[str, str], name: str) -> None:
    """Libraries that many scripts use can be loaded."""
    if subprocess.run(['/usr/bin/python3', '-c', 'import ' + name], capture_output=True, check=False).returncode != 0:
        pytest.skip('%s is not installed' % name)
    assert admin.result(ordinary['package'], name=name)
    if name == 'numpy':
        assert admin.result(ordinary['numbers']) == 200.0 ** 3


def test_packages_in_resources(jail: Server, admin: Client, ordinary: Dict[str, str]) -> None:
    """What the administrator put into extra-python-packages can be imported."""
    folder = os.path.join(jail.data, 'resources', 'extra-python-packages')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'tenon_test_package.py'), 'w', encoding='ascii') as f:
        f.write('ANSWER = 42\n')
    assert admin.result(ordinary['own']) == 42


NATIVE = r'''
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *answer(PyObject *m, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "tenon_test_native", "", -1, methods};
PyMODINIT_FUNC PyInit_tenon_test_native(void) { return PyModule_Create(&module); }
'''


def test_native_packages_in_resources(jail: Server, admin: Client, ordinary: Dict[str, str], tmp_path: Any) -> None:
    """A package with a library of its own, which must be mapped executable from a folder that scripts may write."""
    include = subprocess.run(['/usr/bin/python3', '-c', 'import sysconfig; print(sysconfig.get_path("include"))'],
                             stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    folder = os.path.join(jail.data, 'resources', 'extra-python-packages')
    os.makedirs(folder, exist_ok=True)
    source = tmp_path / 'native.c'
    source.write_text(NATIVE)
    subprocess.run(['gcc', '-shared', '-fPIC', '-w', '-I', include, '-o', os.path.join(folder, 'tenon_test_native.so'),
                    str(source)], check=True)
    assert admin.result(ordinary['own_native']) == [42, 'tenon_test_native.so']


def test_local_sockets_and_shared_memory(admin: Client, ordinary: Dict[str, str]) -> None:
    """What clients of local data bases and multiprocessing rest upon."""
    assert admin.result(ordinary['local_sockets']) == ['hello', 'x']
    assert admin.result(ordinary['sharing']) == [6, [32, 9]]


# ---- layers that are missing ------------------------------------------------------------------------------

def test_status_names_every_layer(admin: Client) -> None:
    isolation = platform(admin)['isolation']
    assert set(isolation['layers']) == {'limits', 'privileges', 'user', 'seccomp', 'landlock', 'cgroup'}
    for name, found in isolation['layers'].items():
        assert found['state'] in ('on', 'part', 'off') and found['why'], name
        assert found['state'] == 'on' or not found['wanted'] or found['advice'], name
    missing = [n for n, f in isolation['layers'].items() if f['wanted'] and f['state'] != 'on']
    assert (isolation['level'] == 'green') == (not missing)
    assert isolation['sandbox'] == 'on' and isolation['limits']['files'] == FILES


def test_off_is_loud(new_server: Any) -> None:
    """Without the sandbox: a line for each layer, yellow in the status, and calls work."""
    s = new_server(args=('--worker-sandbox=off',)).start()
    client = s.client()
    isolation = platform(client)['isolation']
    assert isolation['level'] == 'yellow'
    for name in ('seccomp', 'landlock', 'cgroup'):
        assert isolation['layers'][name]['state'] == 'off'
        assert re.search(r'WARNING .*ISOLATION: layer %s is MISSING' % name, s.log()), s.log()
    assert client.result(client.function(HOSTILE, 'nap'), ms=0) == 0


def test_required_refuses(new_server: Any) -> None:
    """A layer is missing here whoever runs this: as root the user of workers, else we take one away."""
    s = new_server(args=('--worker-sandbox=required', '--worker-user='))
    if os.getuid() != 0:
        pytest.skip('only root can take a layer away: it lacks the user of the workers')
    with s.alerts_allowed('.*'), pytest.raises(AssertionError, match='ended with code 1'):
        s.start()
    assert 'worker_sandbox is "required" and a layer of the isolation is missing' in s.log()
    assert 'ISOLATION: layer user is MISSING' in s.log()
    s.process = None


def test_unknown_user_is_refused(new_server: Any) -> None:
    s = new_server(args=('--worker-user=nobody-of-that-name',))
    if os.getuid() != 0:
        pytest.skip('only root changes the user')
    with s.alerts_allowed('.*'), pytest.raises(AssertionError, match='ended with code 1'):
        s.start()
    assert 'worker_user is nobody-of-that-name, and there is no such user' in s.log()
    s.process = None


@pytest.mark.skipif(os.getuid() != 0, reason='only root changes the user')
def test_a_user_who_cannot_reach_the_data_folder(new_server: Any) -> None:
    """/root is closed to others: the demanded user is refused with the folder that is in the way, and no worker dies again and again."""
    s = new_server(args=('--worker-user=nobody',))
    os.chmod(s.scratch, 0o700)
    with s.alerts_allowed('.*'), pytest.raises(AssertionError, match='ended with code 1'):
        s.start()
    assert re.search(r'nobody cannot pass %s \(mode 0700\) on the way to the data folder' % s.scratch, s.log()), s.log()
    s.process = None


@pytest.mark.skipif(os.getuid() != 0, reason='only root changes the user')
def test_the_default_user_who_cannot_reach_the_data_folder(tmp_path: Any) -> None:
    """packaging/run makes tenon-worker, and the next platform may live in root's home: it says so and starts without."""
    done = subprocess.run(['unshare', '-m', 'true'], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip('no mounts here: %s' % done.stderr.decode().strip())
    with open('/etc/passwd', encoding='utf-8') as f:
        (tmp_path / 'passwd').write_text(f.read() + 'tenon-worker:x:64999:64999::/nonexistent:/usr/sbin/nologin\n')
    (tmp_path / 'data').mkdir()
    tmp_path.chmod(0o700)
    script = 'mount --bind %s/passwd /etc/passwd && exec "$@"' % tmp_path
    done = subprocess.run(['unshare', '-m', 'sh', '-c', script, 'sh', os.path.join(BUILD, 'bin', 'tenon'), 'doctor', '--json',
                           '--data', str(tmp_path / 'data'), '--listen', '127.0.0.1:0'], capture_output=True, text=True, timeout=120, check=True)
    user = next(f for f in json.loads(done.stdout)['findings'] if f['check'] == 'isolation: user')
    assert user['state'] == 'warn' and 'tenon-worker cannot pass %s (mode 0700)' % tmp_path in user['why'], user
    assert 'chmod o+x' in user['advice']


@pytest.mark.skipif(os.getuid() != 0, reason='only root can give workers another user')
def test_workers_of_another_user(new_server: Any) -> None:
    """required is met with a user for the workers; scripts write resources, the hub reads them, the rest is closed."""
    s = new_server(args=('--worker-user=nobody', '--worker-sandbox=on'))
    os.chmod(s.scratch, 0o711)
    s.start()
    client = s.client()
    isolation = platform(client)['isolation']
    assert isolation['user'] == 'nobody' and isolation['layers']['user']['state'] == 'on'
    who = client.result(client.function(PROBES, 'who'))
    assert who['uid'] == 65534
    script = client.script(ORDINARY)
    assert client.result(client.add_sync_api(script + '.files'))[:2] == ['text', 'kept']
    assert client.result(client.add_sync_api(script + '.processes'))[:3] == ['hello', 0, 0]
    large = client.function("@DFF.API('l')\ndef l():\n    return DFF.RESP_LARGE_DATA('x' * 100000)\n", 'l')
    assert client.sync(large).text == 'x' * 100000
    pids = relatives(s)
    got = client.result(client.function(PROBES, 'probes'), data=s.data, disk=disk(), **pids)
    reached = {k: v for k, v in got.items() if v not in REFUSED}
    assert not reached, reached
    for name in ('config.db', 'master.key'):
        assert os.stat(os.path.join(s.data, name)).st_mode & 0o77 == 0
