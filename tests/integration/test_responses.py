# SPDX-License-Identifier: Apache-2.0
"""How values and response objects reach the caller (spec 2.8, 3.8, 3.9, 8.3)."""

import os
import re

import pytest

CODE = '''
import datetime, decimal, os, uuid

VALUES = {
    'text': 'grüß', 'empty': '', 'none': None, 'zero': 0, 'false': False, 'true': True, 'int': 30,
    'whole': 30.0, 'float': 0.1 + 0.2, 'big': 1e21, 'full': 1e16, 'exact': 2 ** 70, 'nan': float('nan'),
    'list': [1, 'a', None], 'dict': {'b': 1, 'a': 2, '1': 3}, 'tuple': (1, 2), 'nested': {'l': [1.0, {'x': None}]},
    'keys': {1: 'a', True: 'b', None: 'c'}, 'date': datetime.date(2024, 1, 1),
    'naive': datetime.datetime(2024, 1, 1), 'bytes': '数'.encode(), 'set': {1},
}

@DFF.API('Value')
def value(name):
    return VALUES[name]

@DFF.API('Resp')
def resp(data=None, **options):
    return DFF.RESP(data, **options)

@DFF.API('File')
def file(path, text=None, **options):
    if text is not None:
        with open(DFF.RSRC(path), 'w') as f:
            f.write(text)
    return DFF.RESP_FILE(path, **options)

@DFF.API('Large')
def large(n, content_type=None):
    return DFF.RESP_LARGE_DATA([{'i': i, 'f': 1.0} for i in range(n)] if n else 'text', content_type)

@DFF.API('Redirect')
def redirect(url):
    return DFF.REDIRECT(url)
'''

HTML = 'text/html; charset=utf-8'
JSON = 'application/json; charset=utf-8'


@pytest.fixture(scope='module')
def apis(server):
    """One API for each function."""
    client = server.client()
    script = client.script(CODE)
    return {name: client.add_sync_api('%s.%s' % (script, name)) for name in ('value', 'resp', 'file', 'large', 'redirect')}


@pytest.mark.parametrize('name, content_type, body', [
    ('text', HTML, 'grüß'), ('empty', HTML, ''), ('none', HTML, ''), ('zero', HTML, '0'),
    ('false', JSON, 'false'), ('true', JSON, 'true'), ('int', HTML, '30'), ('whole', HTML, '30'),
    ('float', HTML, '0.30000000000000004'), ('big', HTML, '1e+21'), ('full', HTML, '10000000000000000'),
    ('exact', HTML, str(2 ** 70)), ('list', JSON, '[1,"a",null]'), ('dict', JSON, '{"b":1,"a":2,"1":3}'),
    ('tuple', JSON, '[1,2]'), ('nested', JSON, '{"l":[1,{"x":null}]}'),
    ('date', HTML, 'datetime.date(2024, 1, 1)'), ('naive', HTML, '2024-01-01T00:00:00+00:00'),
    ('bytes', HTML, '数'), ('set', HTML, '{1}'), ('nan', HTML, ''),
])
def test_bare_values(anonymous, apis, name, content_type, body):
    """The bare value, its type, the numbers as JavaScript prints them."""
    response = anonymous.sync(apis['value'], {'name': name})
    assert response.status_code == 200
    response.encoding = 'utf-8'
    assert response.text == body
    assert response.headers['Content-Type'] == content_type


def test_boxed_values(anonymous, apis):
    """In the envelope every value keeps its type."""
    for name, value in (('zero', 0), ('false', False), ('none', None), ('empty', ''), ('whole', 30), ('text', 'grüß')):
        got = anonymous.sync(apis['value'], {'name': name}, {'unbox': False}).json()['data']
        assert got == {'result': value} and type(got['result']) is type(value)


def test_status_type_headers(anonymous, apis):
    """What RESP can set."""
    response = anonymous.sync(apis['resp'], {
        'data': 'a,b', 'status_code': 418, 'content_type': 'csv', 'headers': {'X-Own': 'café', 'Cache-Control': 'no-store'}})
    assert (response.status_code, response.text) == (418, 'a,b')
    assert response.headers['Content-Type'] == 'text/csv; charset=utf-8'
    assert response.headers['X-Own'] == 'café' and response.headers['Cache-Control'] == 'no-store'
    assert anonymous.sync(apis['resp'], {'data': 'x', 'status_code': '404'}).status_code == 404
    response = anonymous.sync(apis['resp'], {'data': {'a': 1}, 'content_type': 'application/hal+json'}, {'unbox': False})
    assert response.json() == {'a': 1}
    assert response.headers['Content-Type'].startswith('application/hal+json')


@pytest.mark.parametrize('options', [
    {'headers': {'X-A': 'a\r\nSet-Cookie: evil=1'}}, {'headers': {'X-A': 'a\nb'}}, {'headers': {'X-A': '数'}},
    {'headers': {'X A': 'a'}}, {'headers': {'': 'a'}}, {'headers': {'Content-Length': '1'}},
    {'headers': {'Transfer-Encoding': 'chunked'}}, {'status_code': 42},
    {'status_code': 'x'}, {'content_type': 'text/x\r\nX-Evil: 1'},
])
def test_bad_headers_fail_alone(anonymous, apis, options):
    """A header that must not leave makes its own call fail and injects nothing."""
    response = anonymous.sync(apis['resp'], dict(options, data='x'))
    assert response.status_code == 599 and response.json()['reason'] == 'EFuncFailed'
    assert 'evil' not in str(response.headers).lower()
    assert anonymous.sync(apis['resp'], {'data': 'fine'}).text == 'fine'


def test_conditional(anonymous, apis):
    """Last-Modified is now unless allow_304; then an ETag answers 304."""
    assert 'Last-Modified' in anonymous.sync(apis['resp'], {'data': 'x'}).headers
    url = '/api/v1/sync/%s?kwargs={"data":"same","allow_304":true}' % apis['resp']
    first = anonymous.request('GET', url)
    assert first.headers['ETag'].startswith('W/"') and 'Last-Modified' not in first.headers
    again = anonymous.request('GET', url, headers={'If-None-Match': first.headers['ETag']})
    assert (again.status_code, again.content) == (304, b'')


def test_download(anonymous, apis):
    """Values as attachments."""
    response = anonymous.sync(apis['resp'], {'data': [1], 'download': True})
    assert response.headers['Content-Disposition'] == 'attachment; filename="api-resp.json"'
    response = anonymous.sync(apis['resp'], {'data': 'x', 'download': '报告.csv'})
    assert response.headers['Content-Type'].startswith('text/csv')
    assert "filename*=UTF-8''%E6%8A%A5%E5%91%8A.csv" in response.headers['Content-Disposition']


def test_file(anonymous, apis, server):
    """Files beneath the resource root, inline or attached, removed afterwards when asked."""
    response = anonymous.sync(apis['file'], {'path': 'it.csv', 'text': '1,2'})
    assert (response.status_code, response.text) == (200, '1,2')
    assert response.headers['Content-Disposition'] == 'attachment; filename="it.csv"'
    response = anonymous.sync(apis['file'], {'path': 'it.csv', 'download': False})
    assert 'Content-Disposition' not in response.headers
    assert response.headers['Content-Type'].startswith('text/csv')
    response = anonymous.sync(apis['file'], {'path': 'it.csv', 'download': 'other.txt', 'auto_delete': True})
    assert response.headers['Content-Disposition'] == 'attachment; filename="other.txt"'
    assert not os.path.exists(os.path.join(server.data, 'resources', 'it.csv'))


def test_file_stays_inside(anonymous, apis, server):
    """No path leads out of the resource root, no link either."""
    outside = os.path.join(server.scratch, 'outside.txt')
    with open(outside, 'w', encoding='utf-8') as f:
        f.write('secret')
    root = os.path.join(server.data, 'resources')
    os.symlink(outside, os.path.join(root, 'way-out'))
    try:
        for path in ('../../outside.txt', '/../../outside.txt', 'way-out', outside, 'a/../../../outside.txt', 'missing', '',
                     '.uploads'):
            response = anonymous.sync(apis['file'], {'path': path})
            assert response.status_code == 599 and 'secret' not in response.text, path
    finally:
        os.unlink(os.path.join(root, 'way-out'))


def test_large_data(anonymous, apis, server):
    """The worker's JSON as it wrote it, from a file that is gone afterwards."""
    response = anonymous.sync(apis['large'], {'n': 50000})
    assert response.headers['Content-Type'].startswith('application/json')
    assert response.json()[49999]['i'] == 49999
    assert re.search(r'"f": ?1\.0', response.text)
    response = anonymous.sync(apis['large'], {'n': 0})
    assert response.text == 'text' and response.headers['Content-Type'].startswith('text/plain')
    assert anonymous.sync(apis['large'], {'n': 1, 'content_type': 'csv'}).headers['Content-Type'].startswith('text/csv')
    assert os.listdir(os.path.join(server.data, 'resources', '.downloads')) == []


def test_redirect(anonymous, apis):
    """302 with an encoded Location."""
    response = anonymous.sync(apis['redirect'], {'url': 'https://example.org/数?a=b'})
    assert response.status_code == 302
    assert response.headers['Location'] == 'https://example.org/%E6%95%B0?a=b'


def test_gzip(anonymous, apis):
    """Compressed when accepted, the same bytes otherwise."""
    data = {'data': 'abc' * 5000}
    packed = anonymous.sync(apis['resp'], data, headers={'Accept-Encoding': 'gzip'})
    plain = anonymous.sync(apis['resp'], data, headers={'Accept-Encoding': 'identity'})
    assert packed.headers.get('Content-Encoding') == 'gzip' and 'Content-Encoding' not in plain.headers
    assert packed.text == plain.text == data['data']
