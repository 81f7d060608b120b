# SPDX-License-Identifier: Apache-2.0
"""The HTTP request of a script that does not name it is fetched when it looks: it is the same one, however
and whenever the script gets there."""

import socket
import time
from urllib.parse import urlsplit

import pytest

NAMED = '''
@DFF.API('Named')
def named(**kwargs):
    return dict(_DFF_HTTP_REQUEST, headers=dict(_DFF_HTTP_REQUEST['headers']))
'''
# None of these has the name in its text.
HIDDEN = '''
import os
import threading
import time

def find():
    return globals()['_DFF_HTTP' + '_REQUEST']

def plain(request):
    return dict(request, headers=dict(request['headers']))

@DFF.API('Direct')
def direct(**kwargs):
    return plain(find())

@DFF.API('In threads')
def threads(**kwargs):
    seen = []
    def look():
        seen.append(plain(find()))
    many = [threading.Thread(target=look) for _ in range(8)]
    [t.start() for t in many]
    [t.join() for t in many]
    if any(s != seen[0] for s in seen):
        raise Exception('they differ')
    return seen[0]

@DFF.API('In a child')
def child(**kwargs):
    got, put = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(got)
        os.write(put, repr(plain(find())).encode())
        os._exit(0)
    os.close(put)
    text = b''
    while True:
        more = os.read(got, 65536)
        if not more:
            break
        text += more
    os.waitpid(pid, 0)
    return eval(text.decode())

@DFF.API('Never')
def never(**kwargs):
    return 'not looked'

@DFF.API('After the client has gone')
def after(key):
    time.sleep(1)
    DFF.STORE.set(key, plain(find()), scope='late')

@DFF.API('What it kept')
def kept(key):
    return {'kept': DFF.STORE.get(key, scope='late')}
'''
BODIES = [
    {'params': {'x': '1', 'y': 'a b'}},
    {'json': {'kwargs': {'x': 1}}},
    {'json': {'x': 1, 'nested': {'a': [1, 2]}}, 'form': '/simplified'},
    {'data': {'x': '1', 'y[]': ['2', '3']}, 'form': '/simplified'},
    {'data': 'text', 'headers': {'Content-Type': 'text/plain'}},
    {'data': b'\x00\xff' * 20, 'headers': {'Content-Type': 'application/octet-stream'}},
    {'json': {'kwargs': {'big': 'x' * 40000}}},
    {'files': {'f': ('a.txt', b'inside')}, 'form': '/simplified'},
    {'params': {'x': '1'}, 'headers': {'Cookie': 'a=1', 'X-Own': 'ü'.encode('latin-1')}},
]


@pytest.fixture(scope='module')
def apis(server):
    """Sync APIs on the functions above, by name."""
    client = server.client()
    named, hidden = client.script(NAMED), client.script(HIDDEN)
    return dict({'named': client.add_sync_api(named + '.named')},
                **{f: client.add_sync_api('%s.%s' % (hidden, f))
                   for f in ('direct', 'threads', 'child', 'never')},
                **{f: client.add_sync_api('%s.%s' % (hidden, f), {'key': 'INPUT_BY_CALLER'})
                   for f in ('after', 'kept')})


def look(client, api, how):
    """What the function sees of such a request, but for what names the API itself or the moment."""
    how = dict(how)
    path = '/api/v1/sync/' + api + how.pop('form', '')
    post = any(k in how for k in ('json', 'data', 'files'))
    response = client.request('POST' if post else 'GET', path, **how)
    assert response.status_code == 200, response.text
    seen = response.json()
    assert seen['url'] == path
    for name in ('url', 'originalUrl'):
        seen[name] = seen[name].replace(api, 'ID')
    if 'files' in how:
        for name in ('content-type', 'content-length'):  # a boundary of its own
            del seen['headers'][name]
    return seen


@pytest.mark.parametrize('how', BODIES, ids=range(len(BODIES)))
def test_same(anonymous, apis, how):
    """Asked for (the first look), sent along (the looks after it), in threads: always the same."""
    expected = look(anonymous, apis['named'], how)
    for api in ('direct', 'direct', 'threads', 'threads'):
        assert look(anonymous, apis[api], how) == expected


def test_child(anonymous, apis):
    """A forked child cannot ask, so the request is fetched before it is forked."""
    how = {'params': {'x': '1'}}
    expected = look(anonymous, apis['named'], how)
    for _ in range(2):
        assert look(anonymous, apis['child'], how) == expected


def test_is_found_out_again(anonymous, apis):
    """Whose function has looked gets it at once, for some hundred calls; then it is asked for once more."""
    how = {'params': {'x': '1'}}
    expected = look(anonymous, apis['named'], how)
    for _ in range(300):
        assert look(anonymous, apis['direct'], how) == expected
        assert anonymous.request('GET', '/api/v1/sync/' + apis['never']).text == 'not looked'


def test_client_gone(server, anonymous, apis):
    """The call goes on and sees its request, although the connection is closed before it looks."""
    address = urlsplit(server.base)
    path = '/api/v1/sync/%s/simplified?key=gone' % apis['after']
    with socket.create_connection((address.hostname, address.port)) as s:
        s.sendall(('GET %s HTTP/1.1\r\nHost: h\r\nX-Own: yes\r\n\r\n' % path).encode())
        time.sleep(0.3)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\x01\0\0\0\0\0\0\0')  # reset
    for _ in range(100):
        seen = anonymous.request('GET', '/api/v1/sync/%s/simplified' % apis['kept'], params={'key': 'gone'}).json()['kept']
        if seen is not None:
            break
        time.sleep(0.1)
    assert seen['originalUrl'] == path and seen['headers'] == {'host': 'h', 'x-own': 'yes'}
    assert seen['query'] == {'key': 'gone'} and seen['method'] == 'GET'
