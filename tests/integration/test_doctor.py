# SPDX-License-Identifier: Apache-2.0
"""tenon doctor: what it finds, what helps, its exit code, and that it changes nothing."""

import json
import os
import resource
import socket
import subprocess
from typing import Any, Dict, List, Tuple

import pytest
from support.server import BUILD, Server

TENON = os.path.join(BUILD, 'bin', 'tenon')
LAYERS = ('limits', 'privileges', 'user', 'seccomp', 'landlock', 'cgroup')


def clean() -> Dict[str, str]:
    """The environment without settings of ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith(('TENON_', 'DFF_'))}


def doctor(*args: str, files: int = 0, code: int = 0, before: Tuple[str, ...] = ()) -> List[Dict[str, str]]:
    """The findings; the exit code must be `code`."""
    def limit() -> None:
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    done = subprocess.run(list(before) + [TENON, 'doctor', '--json'] + list(args), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120, check=False, env=clean(), preexec_fn=limit)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    report = json.loads(done.stdout)
    assert report['ok'] is (code == 0)
    for f in report['findings']:
        assert f['state'] in ('ok', 'note', 'warn', 'fail') and f['why'], f
        assert f['state'] != 'fail' or f['advice'] or f['check'] == 'configuration', 'a failure says what helps: %s' % f
    return report['findings']


def one(findings: List[Dict[str, str]], check: str) -> Dict[str, str]:
    """The only finding of this name."""
    found = [f for f in findings if f['check'] == check]
    assert len(found) == 1, (check, findings)
    return found[0]


@pytest.fixture
def port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def test_fresh_machine(tmp_path: Any, port: int) -> None:
    """Everything is named, the folder is not made, every layer has a state."""
    data = tmp_path / 'new' / 'data'
    found = doctor('--data', str(data), '--listen', '127.0.0.1:%d' % port)
    for check in ('configuration', 'data folder', 'disk', 'time zone', 'memory', 'listen', 'descriptors', 'python'):
        assert one(found, check)['state'] == 'ok', one(found, check)
    assert one(found, 'platform')['why'] == 'not running'
    for layer in LAYERS:
        assert one(found, 'isolation: ' + layer)['state'] != 'fail'
    assert one(found, 'isolation: limits')['state'] in ('ok', 'warn')
    assert not os.listdir(tmp_path), 'it looks and leaves nothing'


def test_text_for_people(tmp_path: Any, port: int) -> None:
    done = subprocess.run([TENON, 'doctor', '--data', str(tmp_path), '--listen', '127.0.0.1:%d' % port, '--dev'],
                          stdout=subprocess.PIPE, text=True, timeout=120, check=True, env=clean())
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ['ok', 'python'] for line in lines)
    at = next(i for i, line in enumerate(lines) if line.startswith('warn  mode'))
    assert 'what helps: leave --dev' in lines[at + 1]
    assert lines[-1].endswith(' 0 failures')


def test_running_platform(server: Server) -> None:
    """Its own port is no problem, and the layers are those that it has, not those of this shell."""
    found = doctor('--data', server.data, '--listen', '127.0.0.1:%d' % server.port)
    assert one(found, 'platform')['why'] == 'runs on this data folder as process %d' % server.pid_of('tenond')
    assert one(found, 'listen')['state'] == 'ok'
    assert one(found, 'secrets')['state'] == 'ok'
    assert 'as the running platform found it' in one(found, 'isolation')['why']


def test_port_in_use(tmp_path: Any) -> None:
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        taken = '127.0.0.1:%d' % other.getsockname()[1]
        found = doctor('--data', str(tmp_path), '--listen', taken + ',127.0.0.1:0', code=1)
    by = {f['state']: f for f in found if f['check'] == 'listen'}
    assert taken in by['fail']['why'] and 'another program' in by['fail']['why']
    assert by['ok']['why'] == '127.0.0.1:0 is free'


FAILURES = {
    'no such zone': (['--timezone', 'Mars/Olympus'], 'time zone', 'Mars/Olympus is not in the time zone data base'),
    'zone that leads out': (['--timezone', '../../../etc/passwd'], 'time zone', 'is not in the time zone'),
    'folder below a file': (['--data', '/etc/passwd/x'], 'data folder', 'cannot be written'),
    'address elsewhere': (['--listen', '192.0.2.1:80'], 'listen', '192.0.2.1:80'),
    'no address': (['--listen', 'somewhere'], 'listen', 'is not ADDRESS:PORT'),
    'no plugins': (['--plugins', '/nonexistent'], 'plugins', 'cannot start|nonexistent'),
    'no store': (['--store', 'nosuchstore'], 'plugins', 'no connector nosuchstore'),
    'no frontend': (['--frontend-engine', 'nosuch'], 'plugins', 'no frontend nosuch'),
}


@pytest.mark.parametrize('name', list(FAILURES))
def test_failure(tmp_path: Any, name: str) -> None:
    args, check, why = FAILURES[name]
    defaults = [] if '--data' in args else ['--data', str(tmp_path)]
    defaults += [] if '--listen' in args else ['--listen', '127.0.0.1:0']
    found = doctor(*(defaults + args), code=1)
    failed = [f for f in found if f['state'] == 'fail']
    assert any(f['check'] == check and any(w in f['why'] for w in why.split('|')) for f in failed), failed


def test_configuration_is_wrong(tmp_path: Any) -> None:
    """Problems with file and line; nothing else is looked at, as nothing else is known."""
    path = tmp_path / 'tenon.yaml'
    path.write_text('workers_min: 2\nworker_memroy: 1G\nbody_max: lots\n')
    found = doctor('--config', str(path), code=1)
    assert {f['check'] for f in found} == {'configuration'}
    said = '\n'.join(f['why'] for f in found)
    assert '%s:2' % path in said and 'worker_memory' in said and '%s:3' % path in said, said


def test_warnings_are_no_failure(tmp_path: Any) -> None:
    """A readable secret, a plugin that is none, no limit of memory, few descriptors."""
    (tmp_path / 'master.key').write_bytes(b'x')
    os.chmod(tmp_path / 'master.key', 0o644)
    plugins = tmp_path / 'plugins'
    plugins.mkdir()
    (plugins / 'broken.so').write_text('no library')
    found = doctor('--data', str(tmp_path), '--listen', '127.0.0.1:0', '--worker-memory', '0', '--plugins',
                   '%s:%s' % (plugins, os.path.join(BUILD, 'plugins')), files=2000)
    assert 'master.key' in one(found, 'secrets')['why'] and one(found, 'secrets')['state'] == 'warn'
    assert 'one function can take all' in one(found, 'memory')['why']
    assert one(found, 'descriptors')['state'] == 'warn' and one(found, 'descriptors')['why'].startswith('2000 ')
    assert any(f['check'] == 'plugins' and f['state'] == 'warn' and 'broken.so' in f['why'] for f in found)


def test_too_few_descriptors(tmp_path: Any) -> None:
    found = doctor('--data', str(tmp_path), '--listen', '127.0.0.1:0', files=512, code=1)
    assert 'LimitNOFILE' in one(found, 'descriptors')['advice']


def test_full_disk(tmp_path: Any) -> None:
    done = subprocess.run(['unshare', '-m', 'true'], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip('no mounts here: %s' % done.stderr.decode().strip())
    script = 'mount -t tmpfs -o size=16m none %s && exec "$@"' % tmp_path
    found = doctor('--data', str(tmp_path), '--listen', '127.0.0.1:0', code=1,
                   before=('unshare', '-m', 'sh', '-c', script, 'sh'))
    assert one(found, 'disk')['state'] == 'fail' and '16 MiB' in one(found, 'disk')['why']


@pytest.mark.skipif(os.getuid() != 0, reason='only root gives workers a user')
def test_sandbox_that_was_demanded(tmp_path: Any) -> None:
    """required: a missing layer is a failure, since the platform would not start; a wrong user is one always."""
    args = ['--data', str(tmp_path), '--listen', '127.0.0.1:0']
    found = doctor(*args, '--worker-sandbox=required', '--worker-user=', code=1)
    assert one(found, 'isolation: user')['state'] == 'fail' and 'useradd' in one(found, 'isolation: user')['advice']
    found = doctor(*args, '--worker-sandbox=off')
    assert one(found, 'isolation: seccomp')['state'] == 'warn'
    assert 'worker_sandbox: off' in one(found, 'isolation: landlock')['why']
    found = doctor(*args, '--worker-user=nobody-of-that-name', code=1)
    assert 'there is no such user' in one(found, 'isolation')['why']
