# SPDX-License-Identifier: Apache-2.0
"""The result cache (spec 2.11)."""

import time

CODE = '''
import random

@DFF.API('Kept', cache_result=%s)
def kept(**kwargs):
    return random.random()

@DFF.API('Fails', cache_result=100)
def fails():
    raise ValueError(str(random.random()))

@DFF.API('Large', cache_result=100)
def large():
    return DFF.RESP_LARGE_DATA([random.random()])

@DFF.API('Formed', cache_result=100)
def formed():
    return DFF.RESP(str(random.random()), status_code=201, content_type='csv', headers={'X-Own': 'a'})
'''


def cached(response):
    """Did this answer come from the cache?"""
    assert response.status_code < 300, response.text
    return response.headers.get('X-Dff-Cache') == 'Cached'


def test_hit_and_key(api, anonymous):
    """Equal kwargs hit, whatever their order and form; others do not."""
    script = api.script(CODE % 100)
    sapi, other = (api.add_sync_api(script + '.kept') for _ in range(2))
    first = anonymous.sync(sapi, {'a': 1, 'b': {'c': 2, 'd': [3]}})
    assert not cached(first)
    for again in (anonymous.sync(sapi, {'b': {'d': [3], 'c': 2}, 'a': 1}),
                  anonymous.request('GET', '/api/v1/sync/' + sapi,
                                    params={'kwargs': '{ "a" : 1, "b": {"d":[3],"c":2}}'}),
                  anonymous.sync(other, {'a': 1, 'b': {'c': 2, 'd': [3]}})):
        assert cached(again) and again.text == first.text
    assert not cached(anonymous.sync(sapi, {'a': '1', 'b': {'c': 2, 'd': [3]}}))
    assert not cached(anonymous.sync(sapi, {}))
    direct = api.request('POST', '/api/v1/func/%s.kept' % script, json={'kwargs': {'a': 1, 'b': {'c': 2, 'd': [3]}}})
    assert cached(direct) and str(direct.json()['data']['result']) == first.text


def test_publishing_invalidates(api, anonymous):
    """New code, new results, even when the code is the same."""
    script = api.script(CODE % 100)
    sapi = api.add_sync_api(script + '.kept')
    first = anonymous.sync(sapi).text
    assert anonymous.sync(sapi).text == first
    api.publish(script)
    assert anonymous.sync(sapi).text != first


def test_time_to_live(api, anonymous):
    """The integer part counts; zero is off."""
    sapi = api.function(CODE % 1.9, 'kept')
    first = anonymous.sync(sapi)
    assert cached(anonymous.sync(sapi))
    time.sleep(1.1)
    assert anonymous.sync(sapi).text != first.text
    sapi = api.function(CODE % 0.5, 'kept')
    anonymous.sync(sapi)
    assert not cached(anonymous.sync(sapi))


def test_failures_are_not_kept(api, anonymous):
    """Each call fails anew."""
    sapi = api.function(CODE % 1, 'fails')
    texts = {anonymous.sync(sapi).json()['detail']['exception'] for _ in range(3)}
    assert len(texts) == 3


def test_form_is_kept(api, anonymous):
    """Status, type and headers come back with the value."""
    sapi = api.function(CODE % 1, 'formed')
    first, second = anonymous.sync(sapi), anonymous.sync(sapi)
    assert cached(second) and second.text == first.text and second.status_code == 201
    assert second.headers['Content-Type'].startswith('text/csv') and second.headers['X-Own'] == 'a'


def test_large_data_is_sent_again(api, anonymous):
    """The file lives as long as the result."""
    sapi = api.function(CODE % 1, 'large')
    first = anonymous.sync(sapi)
    for _ in range(3):
        again = anonymous.sync(sapi)
        assert cached(again) and again.json() == first.json()
