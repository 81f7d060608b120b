# SPDX-License-Identifier: Apache-2.0
"""Files in multipart bodies (spec 2.2)."""

import os
import re

import pytest

CODE = '''
import hashlib

@DFF.API('Take')
def take(files=None, **kwargs):
    for f in files or []:
        with open(f['filePath'], 'rb') as stream:
            f['md5'] = hashlib.md5(stream.read()).hexdigest()
    return {'files': files, 'kwargs': kwargs}
'''


@pytest.fixture(scope='module')
def sapi(server):
    """An API of the function above."""
    return server.client().function(CODE, 'take')


def test_simplified(anonymous, sapi, server):
    """Files of any field name, text fields beside them; the stored name has stamp, random and original."""
    response = anonymous.request('POST', '/api/v1/sync/%s/simplified' % sapi, data={'x': '1', 'y': 'grüß'}, files=[
        ('files', ('a.txt', b'hello', 'text/plain')), ('other', ('数.bin', b'\x00\x01', 'application/x-own'))])
    assert response.status_code == 200, response.text
    got = response.json()
    assert got['kwargs'] == {'x': '1', 'y': 'grüß'}
    a, b = got['files']
    assert (a['originalname'], a['mimetype'], a['size'], a['encoding']) == ('a.txt', 'text/plain', 5, '7bit')
    assert a['md5'] == '5d41402abc4b2a76b9719d911017c592'
    assert (b['originalname'], b['mimetype'], b['size']) == ('数.bin', 'application/x-own', 2)
    folder = os.path.join(server.data, 'resources', '.uploads')
    for f in got['files']:
        assert os.path.dirname(f['filePath']) == folder
        assert re.match(r'^\d{14}_[0-9A-Za-z]{16}_' + re.escape(f['originalname']) + '$', os.path.basename(f['filePath']))


def test_large_file(anonymous, sapi):
    """Streamed to disk, complete."""
    import hashlib
    data = os.urandom(1 << 20) * 24
    response = anonymous.request('POST', '/api/v1/sync/%s/s' % sapi, files={'f': ('big', data)})
    assert response.json()['files'][0]['md5'] == hashlib.md5(data).hexdigest()
    assert response.json()['files'][0]['size'] == len(data)


def test_normal_needs_its_path(anonymous, sapi):
    """With /normal the fields kwargs and options count; without a format the body is dropped."""
    parts = {'data': {'kwargs': '{"x": [1]}', 'options': '{"unbox": false}', 'z': '1'}, 'files': {'f': ('a', b'x')}}
    result = anonymous.request('POST', '/api/v1/sync/%s/normal' % sapi, **parts).json()['data']['result']
    assert result['kwargs'] == {'x': [1]} and len(result['files']) == 1
    assert anonymous.request('POST', '/api/v1/sync/' + sapi, **parts).json() == {'files': None, 'kwargs': {}}


def test_names_stay_in_the_folder(anonymous, sapi, server):
    """A path in a file name is cut to its base name."""
    body = (b'--B\r\nContent-Disposition: form-data; name="f"; filename="../../../etc/x y.txt"\r\n\r\nhi\r\n--B--\r\n')
    got = anonymous.request('POST', '/api/v1/sync/%s/s' % sapi, data=body,
                            headers={'Content-Type': 'multipart/form-data; boundary=B'}).json()
    assert got['files'][0]['originalname'] == 'x y.txt'
    assert os.path.dirname(got['files'][0]['filePath']) == os.path.join(server.data, 'resources', '.uploads')


def test_broken_multipart(anonymous, sapi):
    """A body that is no multipart is refused."""
    for body in (b'', b'nonsense', b'--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx'):
        response = anonymous.request('POST', '/api/v1/sync/%s/s' % sapi, data=body,
                                     headers={'Content-Type': 'multipart/form-data; boundary=B'})
        assert response.status_code in (200, 400), body
        if response.status_code == 200:
            assert body == b'' and response.json()['files'] is None


def test_limits(new_server):
    """Files may be larger than other bodies, but not larger than upload_max."""
    s = new_server(args=('--body_max', '2000', '--upload_max', '100k')).start()
    client = s.client()
    take = client.function(CODE, 'take')
    for size, status in ((50_000, 200), (150_000, 400)):
        response = client.request('POST', '/api/v1/sync/%s/s' % take, files={'f': ('a', b'x' * size)})
        assert response.status_code == status, response.text
    response = client.sync(take, {'text': 'x' * 3000})
    assert (response.status_code, response.json()['reason']) == (400, 'EClientBadRequest')
