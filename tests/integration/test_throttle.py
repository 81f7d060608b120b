# SPDX-License-Identifier: Apache-2.0
"""Throttling: fixed windows, refused calls count (spec 2.3)."""

import time

CODE = "@DFF.API('F')\ndef f():\n    return 1\n"


def window_start(seconds):
    """Waits until a window of that length has just begun, so that a few calls fit into it."""
    while time.time() % seconds > seconds * 0.4:
        time.sleep(0.02)


def test_by_second(api, anonymous):
    """Two a second; the next second is new."""
    sapi = api.function(CODE, 'f', throttlingJSON={'bySecond': 2})
    anonymous.sync(sapi)
    window_start(1)
    time.sleep(1)
    window_start(1)
    got = [anonymous.sync(sapi) for _ in range(4)]
    assert [r.status_code for r in got] == [200, 200, 429, 429]
    envelope = got[2].json()
    assert (envelope['error'], envelope['reason'], envelope['message']) == (
        429.46, 'EClientRateLimit.APIThrottling', 'Maximum calling rate exceeded')
    assert envelope['detail'] == {'rule': 'bySecond', 'limit': 2, 'currentCount': 3, 'waitSeconds': 2}
    assert got[2].headers['Retry-After'] == '2'
    time.sleep(1.01)
    assert anonymous.sync(sapi).status_code == 200


def test_all_rules(api, anonymous):
    """Each rule by itself."""
    for rule in ('byMinute', 'byHour', 'byDay', 'byMonth', 'byYear'):
        sapi = api.function(CODE, 'f', throttlingJSON={rule: 1})
        codes = [anonymous.sync(sapi).status_code for _ in range(3)]
        # a window may end in between; then one more call passes
        assert codes[0] == 200 and 429 in codes[1:], rule
        if codes[-1] == 429:
            assert anonymous.sync(sapi).json()['detail']['rule'] == rule


def test_change_and_removal(api, anonymous):
    """A changed rule counts for the next call; the counters live on."""
    sapi = api.function(CODE, 'f', throttlingJSON={'byYear': 2})
    assert [anonymous.sync(sapi).status_code for _ in range(3)] == [200, 200, 429]
    api.post('/sync-apis/%s/do/modify' % sapi, {'data': {'throttlingJSON': {'byYear': 4}}})
    assert [anonymous.sync(sapi).status_code for _ in range(2)] == [200, 429]
    api.post('/sync-apis/%s/do/modify' % sapi, {'data': {'throttlingJSON': None}})
    assert anonymous.sync(sapi).status_code == 200


def test_refused_calls_run_nothing(api, anonymous):
    """Nothing but the throttling is asked: bad kwargs are not even read."""
    sapi = api.function(CODE, 'f', throttlingJSON={'byYear': 1})
    anonymous.sync(sapi)
    assert anonymous.request('GET', '/api/v1/sync/%s?kwargs={' % sapi).status_code == 429
