# SPDX-License-Identifier: Apache-2.0
"""The servers that are compared. Each is started once, answers x + y under one URL, and is stopped at the
end; nothing of them outlives the benchmark."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Dict, List, Optional

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PYTHON = '/usr/bin/python3'  # the distribution's: the one with the packages

sys.path.insert(0, os.path.join(ROOT, 'tests', 'integration'))


def fetch(url: str, timeout: float = 10) -> str:
    """The body of a GET."""
    with urllib.request.urlopen(url, timeout=timeout) as r:
        return r.read().decode()


def output(*command: str) -> str:
    """What a command prints (both streams)."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout.decode()


class Server:
    """A server in a scratch folder. Subclasses give command() and may write files before."""

    name = ''
    path = '/add?x=1&y=2'

    def __init__(self, port: int, variant: str) -> None:
        self.port, self.variant = port, variant
        self.scratch = tempfile.mkdtemp(prefix='tenon-bench-')
        os.chmod(self.scratch, 0o755)
        self.processes: List[subprocess.Popen] = []

    @property
    def url(self) -> str:
        """What is loaded."""
        return 'http://127.0.0.1:%d%s' % (self.port, self.path)

    def build(self, *parts: str) -> str:
        """A file of the build."""
        return os.path.join(ROOT, 'build', self.variant, *parts)

    def version(self) -> str:
        """One line for the report."""
        return ''

    def spawn(self, command: List[str], env: Optional[Dict[str, str]] = None) -> None:
        """Starts a process of this server in a group of its own."""
        with open(os.path.join(self.scratch, 'log'), 'ab') as log:
            self.processes.append(subprocess.Popen(
                command, cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **(env or {})), start_new_session=True))

    def start(self) -> None:
        """Starts and waits until the answer is right."""
        self.launch()
        end = time.monotonic() + 20
        while True:
            try:
                body = fetch(self.url)
                break
            except OSError:
                if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                    with open(os.path.join(self.scratch, 'log'), errors='replace') as f:
                        raise SystemExit('%s does not start:\n%s' % (self.name, f.read()[-3000:])) from None
                time.sleep(0.05)
        if '3' not in body:
            raise SystemExit('%s answers %r instead of 3' % (self.name, body[:200]))

    def launch(self) -> None:
        """Spawns what belongs to the server."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends all processes and removes the scratch folder."""
        for p in self.processes:
            for sig, wait in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
                if p.poll() is None:
                    try:
                        os.killpg(p.pid, sig)
                        p.wait(wait)
                    except (OSError, subprocess.TimeoutExpired):
                        pass
        shutil.rmtree(self.scratch, ignore_errors=True)


class BareMhd(Server):
    """The anchor: libmicrohttpd alone, external epoll, a static answer."""

    name = 'bare_mhd'

    def launch(self) -> None:
        program = self.build('tests', 'bench', 'bare_mhd')
        if not os.path.exists(program):
            program = os.path.join(self.scratch, 'bare_mhd')
            subprocess.run(['gcc', '-O2', '-D_GNU_SOURCE', '-o', program, os.path.join(HERE, 'bare_mhd.c'),
                            '-lmicrohttpd'], check=True)
        self.spawn([program, str(self.port)])

    def version(self) -> str:
        return 'libmicrohttpd ' + output('dpkg-query', '-W', '-f', '${Version}', 'libmicrohttpd12')


class Tenon(Server):
    """The platform with the typical script published and a sync API on its function."""

    name = 'tenon'
    path = '/api/v1/sync/sync-bench/simplified?x=1&y=2'
    options: List[str] = []
    app = 'typical'
    apps = {'typical': '', 'computing': '\nimport time\nSTARTED = time.time()\n'}  # what is added to the typical script

    def launch(self) -> None:
        self.serve()
        self.wait_ready()
        self.client = self.sign_in()
        script = self.client.script(self.code(), self.client.add_script_set('bench'), 'typical')
        self.client.add_sync_api(script + '.add', {'x': 'INPUT_BY_CALLER', 'y': 'INPUT_BY_CALLER'},
                                 id='sync-bench', taskRecordLimit=0)

    def code(self) -> str:
        """The script that is published."""
        with open(os.path.join(HERE, 'apps', 'typical.py'), encoding='utf-8') as f:
            return f.read() + self.apps[self.app]

    def serve(self) -> None:
        """Only the process; a second one over the same data is possible after stop_process()."""
        self.spawn([self.build('bin', 'tenon'), 'serve', '--data', os.path.join(self.scratch, 'data'),
                    '--listen', '127.0.0.1:%d' % self.port, '--log_level', 'warning', '--dev'] + self.options)

    def wait_ready(self, seconds: float = 30) -> None:
        """Until READY stands in the log."""
        end = time.monotonic() + seconds
        path = os.path.join(self.scratch, 'log')
        while True:
            with open(path, errors='replace') as f:
                text = f.read()
            if re.search(r'^READY ', text, re.M):
                return
            if time.monotonic() > end or self.processes[-1].poll() is not None:
                raise SystemExit('tenon does not start:\n' + text[-3000:])
            time.sleep(0.001)

    def stop_process(self) -> None:
        """SIGTERM; the data stay."""
        process = self.processes.pop()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        os.unlink(os.path.join(self.scratch, 'log'))

    def sign_in(self):  # type: ignore[no-untyped-def]
        """A client of the integration tests, signed in."""
        from support.client import Client
        client = Client('http://127.0.0.1:%d' % self.port)
        client.sign_in()
        return client

    def version(self) -> str:
        commit = output('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD').strip()
        return 'commit %s, variant %s, CPython %s' % (
            commit, self.variant, output(PYTHON, '-c', 'import sys; print(sys.version.split()[0])').strip())


class NginxUwsgi(Server):
    """nginx with keep-alive in front of two uWSGI processes on a UNIX socket. With the usual listen queue of 128 nginx answers 502 at
    c=256 (connect: EAGAIN), which nobody who runs it would leave so: it gets a queue that holds them all."""

    name = 'nginx+uWSGI'

    def launch(self) -> None:
        socket = os.path.join(self.scratch, 'u.sock')
        conf = os.path.join(self.scratch, 'nginx.conf')
        temp = ''.join('%s_temp_path %s;\n' % (kind, os.path.join(self.scratch, kind))
                       for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        with open(conf, 'w', encoding='utf-8') as f:
            f.write('daemon off; worker_processes 2; pid %s/nginx.pid; error_log %s/nginx.log;\n'
                    'events { worker_connections 4096; }\n'
                    'http { access_log off; keepalive_requests 100000000; %s\n'
                    'server { listen 127.0.0.1:%d backlog=4096; location / { include /etc/nginx/uwsgi_params; '
                    'uwsgi_pass unix:%s; } } }\n' % (self.scratch, self.scratch, temp, self.port, socket))
        self.spawn(['uwsgi', '--plugin', 'python3', '--socket', socket, '--chmod-socket=666', '--master',
                    '--processes', '2', '--wsgi-file', os.path.join(HERE, 'apps', 'wsgi_app.py'),
                    '--disable-logging', '--need-app', '--listen', '1024', '--die-on-term'])
        end = time.monotonic() + 10
        while not os.path.exists(socket) and time.monotonic() < end:
            time.sleep(0.02)
        self.spawn(['/usr/sbin/nginx', '-c', conf])

    def version(self) -> str:
        return '%s, uWSGI %s' % (output('/usr/sbin/nginx', '-v').strip().replace('nginx version: ', ''),
                                 output('uwsgi', '--version').strip())


class Uvicorn(Server):
    """An ASGI application on two uvicorn processes with uvloop and httptools."""

    module = ''
    package = ''

    def launch(self) -> None:
        self.spawn([PYTHON, '-m', 'uvicorn', '--workers', '2', '--loop', 'uvloop', '--http', 'httptools',
                    '--no-access-log', '--log-level', 'warning', '--host', '127.0.0.1', '--port',
                    str(self.port), '--app-dir', os.path.join(HERE, 'apps'), self.module + ':app'],
                   {'PYTHONDONTWRITEBYTECODE': '1'})

    def version(self) -> str:
        return output(PYTHON, '-c', 'import uvicorn, %s as m; print("uvicorn", uvicorn.__version__, '
                      '"" if m is uvicorn else m.__name__ + " " + m.__version__)' % self.package).strip()


class FastApi(Uvicorn):
    """FastAPI, async def."""

    name, module, package = 'FastAPI async', 'fastapi_app', 'fastapi'


class Asgi(Uvicorn):
    """Raw ASGI."""

    name, module, package = 'uvicorn ASGI', 'asgi_app', 'uvicorn'


ALL = [Tenon, NginxUwsgi, FastApi, Asgi]
