# SPDX-License-Identifier: Apache-2.0
"""The raw requests once more, with nginx in front as the README of frontend_h1 says (reliability.md Z-02).

What both understand they must understand alike, no request may come between those of somebody else (one connection
to us serves all), and where the two disagree stands in nginx_cases.txt with its consequence."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from conftest import ENGINES, Raw, Stub
from test_raw import ALL, expand

NGINX = shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin')
LIST = pathlib.Path(__file__).with_name('nginx_cases.txt')
SAME = ('method', 'path', 'query', 'body', 'length')
CONF = '''daemon off; master_process off; pid %(dir)s/pid; error_log %(dir)s/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy; fastcgi_temp_path %(dir)s/f;
    uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
    upstream tenon { server 127.0.0.1:%(upstream)d; keepalive 1; }
    server {
        listen 127.0.0.1:%(port)d;
        merge_slashes off; client_max_body_size 0;
        location / {
            proxy_pass http://tenon; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
    }
}
'''
Heard = Tuple[str, Dict[str, Any]]  # "200,400", what the last request looked like inside


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture(scope='module')
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuple[Stub, int, str]]:
    """Our own engine, the port of an nginx before it, the version of that."""
    if NGINX is None or 'h1' not in ENGINES:
        pytest.skip('nginx is not installed, or frontend_h1 not built')
    folder = tmp_path_factory.mktemp('nginx')
    stub = Stub('h1', folder)
    port = free_port()
    (folder / 'nginx.conf').write_text(CONF % {'dir': folder, 'upstream': stub.port, 'port': port})
    version = subprocess.run([NGINX, '-v'], stderr=subprocess.PIPE, text=True, check=True).stderr
    nginx = subprocess.Popen([NGINX, '-p', str(folder), '-e', str(folder / 'start.log'), '-c', str(folder / 'nginx.conf')])
    try:
        end = time.monotonic() + 10
        while nginx.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        assert nginx.poll() is None, (folder / 'start.log').read_text()
        yield stub, port, re.search(r'nginx/([\d.]+)', version).group(1)
    finally:
        nginx.terminate()
        nginx.wait(10)
    stub.stop()


def play(port: int, raw: str, expected: int) -> Heard:
    """What comes back. After as many answers as expected it is not waited long for more."""
    r = Raw(port)
    pieces = raw.split('~')
    for i, piece in enumerate(pieces):
        if not r.send(expand(piece)):
            break
        if i + 1 < len(pieces):
            time.sleep(0.005)
    statuses: List[str] = []
    body = b''
    try:
        while True:
            a = r.answer(timeout=0.03 if statuses and len(statuses) >= expected else 1.0)
            if a is None:
                break
            statuses.append(str(a[0]))
            body = a[2]
    except (TimeoutError, AssertionError, KeyError):  # nothing more; HTTP/0.9: a body without a head
        pass
    r.close()
    heard = ','.join(statuses) or '-'
    try:
        seen = json.loads(body)
        return heard, {k: seen.get(k) for k in SAME}
    except (ValueError, AttributeError):
        return heard, {}


def listed() -> Dict[str, Tuple[str, str]]:
    """{case: (straight, through nginx)} of nginx_cases.txt."""
    found = {}
    for line in LIST.read_text('utf-8').splitlines():
        if line and not line.startswith('#'):
            name, straight, through = line.rsplit(' | ', 2)
            found[name] = (straight, through)
    return found


@pytest.mark.timeout(600)
def test_nginx_in_front(pair: Tuple[Stub, int, str]) -> None:
    """412 raw requests each way; after each one a request of somebody else, who must get his own answer."""
    stub, port, version = pair
    differ: Dict[str, Tuple[str, str]] = {}
    stray, unlike = [], []
    for i, (name, raw, expected) in enumerate(ALL):
        words = expected['h1'].split(' ')
        n = 0 if words[0] in ('none', 'wait') else len(words[0].split(','))
        straight, through = play(stub.port, raw, n), play(port, raw, n)
        other = Raw(port)
        other.send(b'GET /mine-%d HTTP/1.1\r\nHost: x\r\n\r\n' % i)
        answer = other.answer()
        other.close()
        if answer is None or answer[0] != 200 or json.loads(answer[2])['path'] != '/mine-%d' % i:
            stray.append((name, answer))
        if straight[0] != through[0]:
            differ[name] = (straight[0], through[0])
        elif straight[1] != through[1]:
            unlike.append((name, straight[1], through[1]))
    assert not stray, 'requests that reached somebody else: %s' % stray
    assert not unlike, 'accepted by both, understood differently: %s' % unlike
    if version.startswith('1.22.'):
        assert differ == listed(), {k: (differ.get(k), listed().get(k)) for k in set(differ) ^ set(listed())
                                    | {k for k in differ if differ[k] != listed().get(k)}}
