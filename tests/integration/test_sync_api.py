# SPDX-License-Identifier: Apache-2.0
"""Rules of sync APIs: rows, expiry, options, statuses; what the caller is told (spec 2.1, 2.3, 2.7)."""

import datetime
import threading
import time

import pytest

SCRIPT = '''
import os, sys, time, signal

@DFF.API('Plain')
def plain(x=1):
    return {'result': x}

@DFF.API('Fail')
def fail():
    raise ValueError('boom')

@DFF.API('Returned exception')
def returned():
    return KeyError('k')

@DFF.API('Warn')
def warn():
    raise UserWarning('careful')

@DFF.API('Exit')
def leave():
    sys.exit(3)

@DFF.API('Die')
def die():
    os._exit(7)

@DFF.API('Slow', timeout=1)
def slow():
    time.sleep(30)

@DFF.API('Queue', queue=4, expires=20)
def info():
    return {'queue': _DFF_QUEUE, 'origin': _DFF_ORIGIN, 'originId': _DFF_ORIGIN_ID, 'func': _DFF_FUNC_ID,
            'delay': _DFF_DELAY, 'eta': _DFF_ETA, 'start': _DFF_START_TIME_MS, 'trigger': _DFF_TRIGGER_TIME_MS}
'''


@pytest.fixture(scope='module')
def script(server):
    """The script above, published."""
    return server.client().script(SCRIPT)


def iso(seconds):
    """A time that far from now."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime('%Y-%m-%dT%H:%M:%S.000Z')


def test_envelope_and_headers(anonymous, api, script):
    """Headers of spec 0.3 and the envelope of unbox=false."""
    sapi = api.add_sync_api(script + '.plain')
    response = anonymous.sync(sapi, {'x': 5}, {'unbox': False}, headers={'X-Trace-Id': 'T-1', 'X-Client-Time': 'now'})
    envelope = response.json()
    assert envelope['ok'] is True and envelope['error'] == 200 and envelope['message'] == ''
    assert envelope['data'] == {'result': {'result': 5}}
    assert envelope['traceId'] == 'T-1' and envelope['clientTime'] == 'now'
    assert isinstance(envelope['reqCost'], int)
    response = anonymous.sync(sapi)
    for name in ('X-Trace-Id', 'X-Request-Time', 'X-Response-Time', 'X-Request-Cost', 'X-Client-Time',
                 'X-Dff-Version', 'X-Dff-Release-Timestamp'):
        assert response.headers.get(name), name
    assert response.headers['X-Trace-Id'].startswith('TRACE-')
    assert response.headers['X-Client-Time'] == 'null'
    assert 'X-Powered-By' not in response.headers


def test_unknown_disabled_expired(anonymous, api, script):
    """Checks of spec 2.3 in their own words; a change counts for the next call."""
    envelope = anonymous.envelope('GET', '/sync/sapi-none')
    assert (envelope['error'], envelope['message'], envelope['detail']) == (
        404.41, 'No such Sync API', {'id': 'sapi-none'})
    sapi = api.add_sync_api(script + '.plain')
    assert anonymous.sync(sapi).status_code == 200
    steps = [({'isDisabled': True}, 403, 'EBizCondition.SyncAPIDisabled'), ({'isDisabled': False}, 200, None),
             ({'expireTime': iso(-5)}, 403, 'EBizCondition.SyncAPIExpired'), ({'expireTime': iso(60)}, 200, None),
             ({'expireTime': None}, 200, None)]
    for change, status, reason in steps:
        api.post('/sync-apis/%s/do/modify' % sapi, {'data': change})
        response = anonymous.sync(sapi)
        assert response.status_code == status, change
        if reason:
            assert response.json()['reason'] == reason
    api.get('/sync-apis/%s/do/delete' % sapi)
    assert anonymous.sync(sapi).status_code == 404


def test_function_that_went_away(anonymous, api):
    """No such Func, with the id that is configured."""
    own = api.script("@DFF.API('F')\ndef f():\n    return 1\n")
    sapi = api.add_sync_api(own + '.f')
    assert anonymous.sync(sapi).text == '1'
    api.edit(own, "@DFF.API('G')\ndef g():\n    return 2\n")
    api.publish(own)
    envelope = anonymous.envelope('GET', '/sync/' + sapi)
    assert (envelope['error'], envelope['message'], envelope['detail']) == (
        404.41, 'No such Func', {'funcId': own + '.f'})


def test_publish_counts_for_the_next_call(anonymous, api):
    """The answer of publish is the border between old and new code."""
    own = api.script("@DFF.API('F')\ndef f():\n    return 0\n")
    sapi = api.add_sync_api(own + '.f')
    for i in range(1, 20):
        api.edit(own, "@DFF.API('F')\ndef f():\n    return %d\n" % i)
        api.publish(own)
        assert anonymous.sync(sapi).text == str(i)


def test_legacy_name(anonymous, api, script):
    """auth-links are the same rows; /al/ is the same path."""
    link = api.post('/auth-links/do/add', {'data': {'funcId': script + '.plain', 'funcCallKwargsJSON': {}}})['id']
    assert anonymous.request('POST', '/api/v1/al/' + link, json={'kwargs': {'x': 2}}).json() == {'result': 2}
    assert anonymous.sync(link, {'x': 2}).json() == {'result': 2}


@pytest.mark.parametrize('name, reason, exception, kind', [
    ('fail', 'EFuncFailed', 'boom', 'ValueError'),
    ('returned', 'EFuncFailed', 'k', 'KeyError'),
    ('warn', 'EFuncFailed', 'careful', 'UserWarning'),
    ('leave', 'EFuncFailed', '3', 'SystemExit'),
    ('slow', 'EFuncTimeout', 'Task execution takes too much time', None),
    ('die', 'EFuncFailed', '', None),
])
def test_failures(anonymous, api, script, name, reason, exception, kind):
    """Every way to fail is answered with 599 and says why; the next call is served."""
    sapi = api.add_sync_api('%s.%s' % (script, name))
    envelope = anonymous.envelope('POST', '/sync/' + sapi, json={})
    assert envelope['reason'].partition('.')[0] == reason, envelope
    assert envelope['status'] == 599
    assert exception in envelope['detail']['exception']
    if kind:
        assert envelope['detail']['exceptionType'] == kind
    if name == 'fail':
        assert envelope['detail']['traceback'].startswith('Traceback (most recent call last *in User Script*):')
        assert 'File "%s", line' % script in envelope['detail']['traceback']
    ok = api.add_sync_api(script + '.plain')
    assert anonymous.sync(ok).json() == {'result': 1}


def test_options(anonymous, api, script):
    """Defaults, the function's own, the caller's; internal names cannot be reached."""
    sapi = api.add_sync_api(script + '.info')
    got = anonymous.sync(sapi).json()
    assert got['queue'] == 4 and got['origin'] == 'syncAPI' and got['originId'] == sapi
    assert got['func'] == script + '.info' and got['delay'] == 0 and got['eta'] is None
    got = anonymous.sync(sapi, {}, {'queue': 7, 'origin': 'x', 'funcId': 'y', 'originId': 'z'}).json()
    assert got['queue'] == 7 and got['origin'] == 'syncAPI' and got['originId'] == sapi
    plain = api.add_sync_api(script + '.plain')
    bad = [({'queue': 0}, 'Invalid options, queue should be an integer between 1 and 9'),
           ({'queue': 'x'}, 'Invalid options, queue should be an integer between 1 and 9'),
           ({'timeout': 0}, 'Invalid options, timeout is too small'),
           ({'timeout': 3601}, 'Invalid options, timeout is too large'),
           ({'expires': 0}, 'Invalid options, expires is too small'),
           ({'expires': 86401}, 'Invalid options, expires is too large'),
           ({'returnType': 'xml'}, 'Invalid options, invalid returnType')]
    for options, message in bad:
        envelope = anonymous.envelope('POST', '/sync/' + plain, json={'options': options})
        assert (envelope['reason'], envelope['message']) == ('EClientBadRequest', message)
    slow = api.add_sync_api(script + '.slow')
    start = time.monotonic()
    assert anonymous.sync(slow, {}, {'timeout': 2}).status_code == 599
    assert 1.9 < time.monotonic() - start < 8


def test_delay_and_eta(anonymous, api, script):
    """With delay or eta the caller waits."""
    sapi = api.add_sync_api(script + '.info')
    start = time.monotonic()
    got = anonymous.sync(sapi, {}, {'delay': 1}).json()
    assert time.monotonic() - start >= 1 and got['delay'] == 1
    at = iso(1)
    got = anonymous.sync(sapi, {}, {'eta': at}).json()
    assert got['eta'] == at and anonymous.sync(sapi, {}, {'eta': iso(-10)}).status_code == 200


def test_api_auth_is_closed(anonymous, api, script):
    """An API with apiAuthId is refused as long as its check is not there; never open."""
    sapi = api.add_sync_api(script + '.plain', apiAuthId='apia-something')
    envelope = anonymous.envelope('POST', '/sync/' + sapi, json={})
    assert (envelope['error'], envelope['reason']) == (401.99, 'EAPIAuth')


def test_client_that_leaves(server, api, anonymous, script):
    """Clients that go away in the middle of a call leave nothing behind."""
    sapi = api.add_sync_api(script + '.plain')
    slow = api.function('import time\n@DFF.API("S")\ndef s():\n    time.sleep(0.3)\n', 's')
    for _ in range(20):
        with server.raw() as raw:
            raw.send(('GET /api/v1/sync/%s HTTP/1.1\r\nHost: x\r\n\r\n' % slow).encode())
    assert anonymous.sync(sapi).json() == {'result': 1}


def test_overload(new_server):
    """Beyond the bound of the queue callers are told when to come back; nobody hangs, the rest is served."""
    s = new_server(args=('--workers_min', '1', '--workers_max', '1', '--queue_max', '2')).start()
    client = s.client()
    sapi = client.function('import time\n@DFF.API("S")\ndef s():\n    time.sleep(0.5)\n    return 1\n', 's')
    got = []

    def run():
        got.append(s.client(username=None).sync(sapi))
    threads = [threading.Thread(target=run) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    refused = [r for r in got if r.status_code == 503]
    assert len(got) == 12 and refused and len(refused) < 12
    assert {r.status_code for r in got} == {200, 503}
    for r in refused:
        assert (r.json()['error'], r.json()['reason']) == (503.1, 'ESysLimitReached')
        assert int(r.headers['Retry-After']) >= 1
    assert client.sync(sapi).text == '1'


def test_expired_in_the_queue(new_server):
    """A call that waited longer than `expires` is answered without being started."""
    s = new_server(args=('--workers_min', '1', '--workers_max', '1')).start()
    client = s.client()
    script = client.script('import time\n@DFF.API("S")\ndef s(n):\n    time.sleep(n)\n    return n\n')
    sapi = client.add_sync_api(script + '.s')
    threads = [threading.Thread(target=lambda: s.client(username=None).sync(sapi, {'n': 2})) for _ in range(2)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    envelope = client.sync(sapi, {'n': 0}, {'expires': 1}).json()
    for t in threads:
        t.join()
    assert envelope['error'] == 599.2 and envelope['reason'].startswith('EFuncTimeout'), envelope
    assert 'Task waited takes too much time' in envelope['detail']['exception']
