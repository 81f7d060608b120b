# SPDX-License-Identifier: Apache-2.0
"""/metrics through a real parser, /healthz, who may read them, and the monitor routes."""

import time
from typing import Any, Callable, Dict, Tuple

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from support.client import Client
from support.server import Server, wait_for

CODE = '''
import time
@DFF.API()
def fine(ms=0):
    time.sleep(ms / 1000)
    return ms

@DFF.API()
def bad():
    raise ValueError('no')
'''


def scrape(server: Server, **headers: str) -> Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float]:
    """All samples by name and labels; the parser refuses what is not the format."""
    answer = requests.get(server.base + '/metrics', headers=headers, timeout=10)
    assert answer.status_code == 200
    assert answer.headers['Content-Type'].startswith('text/plain; version=0.0.4')
    families = list(text_string_to_metric_families(answer.text))
    names = [f.name for f in families]
    assert len(names) == len(set(names)), 'a family comes twice'
    assert all(f.documentation and f.type in ('counter', 'gauge', 'histogram') for f in families)
    samples = {}
    for family in families:
        for s in family.samples:
            key = (s.name, tuple(sorted(s.labels.items())))
            assert key not in samples, key
            samples[key] = s.value
    return samples


def of(samples: Dict[Any, float], name: str, **labels: str) -> float:
    return samples[(name, tuple(sorted(labels.items())))]


def test_figures_of_a_function(api: Client, server: Server) -> None:
    script = api.script(CODE)
    fine, bad = api.add_sync_api(script + '.fine'), api.add_sync_api(script + '.bad')
    for _ in range(3):
        api.result(fine, ms=0)
    api.result(fine, ms=30)
    api.sync(bad)
    got = scrape(server)
    assert of(got, 'tenon_function_calls_total', script=script, func='fine', status='success') == 4
    assert of(got, 'tenon_function_calls_total', script=script, func='bad', status='failure') == 1
    name = 'tenon_function_duration_seconds'
    buckets = {dict(k[1])['le']: v for k, v in got.items()
               if k[0] == name + '_bucket' and ('func', 'fine') in k[1] and ('script', script) in k[1]}
    values = [buckets[le] for le in sorted(buckets, key=float)]
    assert values == sorted(values) and buckets['+Inf'] == 4 == of(got, name + '_count', script=script, func='fine')
    assert buckets['0.025'] <= 3 and 0.03 <= of(got, name + '_sum', script=script, func='fine') < 10
    assert of(got, 'tenon_function_wait_seconds_total', script=script, func='fine') >= 0


def test_figures_of_the_platform(api: Client, server: Server) -> None:
    got = scrape(server)
    assert of(got, 'tenon_up') == 1
    assert of(got, 'tenon_workers', group='default') >= 2
    assert of(got, 'process_resident_memory_bytes') > 1 << 20 and of(got, 'process_open_fds') > 10
    assert of(got, 'tenon_workers_resident_memory_bytes') > 1 << 20
    assert of(got, 'tenon_store_file_bytes', file='config.db') > 0
    assert abs(of(got, 'process_start_time_seconds') - time.time()) < 3600
    before = of(got, 'tenon_records_written_total')
    api.add_script_set()
    api.get('/operation-records/do/list')
    assert of(scrape(server), 'tenon_records_written_total') > before


def test_figures_of_pools(api: Client, server: Server, tmp_path) -> None:
    """Workers tell them; counters outlive the worker."""
    api.post('/connectors/do/add', {'data': {'id': 'pooled', 'type': 'mem', 'configJSON': {}}})
    code = '@DFF.API()\ndef use(end=False):\n    c = DFF.CONN("pooled")\n    c.put("a", "b")\n    if end:\n        import os\n        os._exit(1)\n    return c.get("a")\n'
    sapi = api.function(code, 'use', {'end': 'INPUT_BY_CALLER'})
    assert scrape(server).get(('tenon_pool_queries_total', (('pool', 'pooled'),)), 0) == 0
    for _ in range(3):
        assert api.result(sapi) == 'b'

    def seen(name: str, **labels: str) -> float:
        return scrape(server).get((name, tuple(sorted(dict(labels, pool='pooled').items()))), 0)
    assert wait_for(lambda: seen('tenon_pool_queries_total') >= 6, 10)
    assert wait_for(lambda: seen('tenon_pool_connections', state='idle') >= 1, 5)
    before = seen('tenon_pool_queries_total')
    for _ in range(3):
        api.sync(sapi, {'end': True})
    assert seen('tenon_pool_queries_total') >= before
    assert seen('tenon_pool_events_total', event='opened') >= 1 and seen('tenon_pool_events_total', event='failed') == 0


def test_drafts_and_unknown_names_make_no_series(api: Client, server: Server) -> None:
    script = api.script(CODE)
    api.post('/func-draft/%s.fine' % script, {'kwargs': {}})
    api.request('POST', '/api/v1/func/%s.invented' % script, json={})
    api.request('GET', '/api/v1/sync/invented-by-a-client')
    text = requests.get(server.base + '/metrics', timeout=10).text
    assert 'invented' not in text and ('script="%s"' % script) not in text


def test_who_may_read(new_server: Callable[..., Server]) -> None:
    s = new_server(env={'TENON_API__METRICS__TOKEN': 'a-long-token-for-scrapes'})
    s.start()
    url = s.base + '/metrics'
    assert requests.get(url, timeout=10).status_code == 200
    far = {'X-Forwarded-For': '203.0.113.9'}
    refused = requests.get(url, headers=far, timeout=10)
    assert refused.status_code == 401 and 'Bearer' in refused.headers['WWW-Authenticate'] and 'tenon_' not in refused.text
    for given, status in (('Bearer a-long-token-for-scrapes', 200), ('Bearer a-long-token-for-scrape', 401),
                          ('a-long-token-for-scrapes', 401), ('Bearer ', 401)):
        assert requests.get(url, headers=dict(far, Authorization=given), timeout=10).status_code == status
    assert requests.get(s.base + '/healthz', headers=far, timeout=10).status_code == 200


def test_open_to_everybody(new_server: Callable[..., Server]) -> None:
    s = new_server(env={'TENON_API__METRICS__OPEN': 'true'})
    s.start()
    assert requests.get(s.base + '/metrics', headers={'X-Forwarded-For': '203.0.113.9'}, timeout=10).status_code == 200


def test_health(server: Server) -> None:
    answer = requests.get(server.base + '/healthz', timeout=10)
    assert answer.status_code == 200 and answer.headers['Content-Type'] == 'application/json'
    body = answer.json()
    assert body['live'] is True and body['ready'] is True and body['reason'] is None
    assert body['checks'] == {'store': True, 'workers': True}


def test_series_of_a_day(api: Client) -> None:
    script = api.script(CODE)
    api.result(api.add_sync_api(script + '.fine'), ms=0)
    series = api.get('/monitor/system-metrics/do/get')
    assert {'serverCPUPercent', 'serverMemoryRSS', 'workerMemoryPSS', 'funcCallCount', 'workerQueueLength',
            'dbTableTotalUsed', 'matchedRouteCount'} <= set(series)
    points = series['funcCallCount'][script + '.fine']
    assert len(points) == 144 and points[-1][1] == 1 and all(p[1] == 0 for p in points[:-1])
    assert {b[0] - a[0] for a, b in zip(points, points[1:])} == {600000}
    assert next(iter(series['serverMemoryRSS'].values()))[-1][1] > 1


def test_overview(api: Client) -> None:
    api.function(CODE, 'fine')
    data = api.get('/func/overview')
    assert {s['name'] for s in data['services']} == {'server', 'worker', 'beat'}
    assert all(s['pid'] > 0 and s['hostname'] and s['uptime'] >= 0 for s in data['services'])
    assert len(data['queues']) == 10 and data['queues'][1]['processCount'] >= 2
    counts = {e['name']: e for e in data['bizEntities']}
    assert counts['syncAPI']['count'] >= 1 and counts['syncAPI']['countEnabled'] >= 1 and counts['user']['count'] >= 1
    assert 'countEnabled' not in counts['func']
    assert [m['subTitle'] for m in data['bizMetrics']] == ['Triggers Per ' + u for u in ('Second', 'Minute', 'Hour', 'Day')]
    assert set(api.get('/func/overview', sections='queues')) == {'queues'}


def test_report(api: Client) -> None:
    report = api.get('/system-report')
    assert report['figures']['ready'] is True and report['services'] and report['kernel']


def test_a_thousand_functions_and_no_more(api: Client, server: Server, sanitized: bool) -> None:
    """Cardinality is bounded: what is beyond shares one series."""
    if sanitized:
        pytest.skip('long under a sanitizer')
    for n in range(11):
        script = api.script(''.join('@DFF.API()\ndef f%d():\n    return %d\n' % (i, i) for i in range(100)))
        for i in range(100):
            api.post('/func/%s.f%d' % (script, i), {'kwargs': {}})
    got = scrape(server)
    series = [k for k in got if k[0] == 'tenon_function_duration_seconds_count']
    assert len(series) <= 1001
    assert of(got, 'tenon_function_calls_total', script='', func='(others)', status='success') >= 50
