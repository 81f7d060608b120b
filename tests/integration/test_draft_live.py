# SPDX-License-Identifier: Apache-2.0
"""Debugger runs as server-sent events (spec 2.10; issue 3, section 5): lines as they come, the report at the end, and a
client that comes back misses nothing."""

import json
import time
from typing import Callable, Dict, Iterator, List

import requests

from support.client import Client
from support.server import Server, wait_for

SCRIPT = '''
import time

@DFF.API('slow')
def slow(lines, seconds, fail=False):
    for i in range(lines):
        print('line', i, '中"\\\\')
        time.sleep(seconds / lines)
    if fail:
        raise ValueError('boom')
    return ('done', lines)

def large():
    return 'x' * 300000

def kill():
    import os
    os._exit(3)

def nothing():
    return None
'''


def events(response: requests.Response) -> Iterator[Dict[str, str]]:
    """Parses server-sent events: {id, event, data}."""
    event: Dict[str, str] = {}
    for line in response.iter_lines(decode_unicode=True):
        if line == '':
            if event:
                yield event
            event = {}
        elif not line.startswith(':'):
            name, _, value = line.partition(': ')
            event[name] = value


def run(api: Client, func: str, **kwargs: object) -> requests.Response:
    response = api.request('POST', '/api/v1/func-draft/' + func, json={'kwargs': kwargs}, stream=True,
                           headers={'Accept': 'text/event-stream'})
    assert response.status_code == 200 and response.headers['Content-Type'].startswith('text/event-stream')
    return response


def back(api: Client, task: str, last: str) -> requests.Response:
    return api.request('GET', '/api/v1/func-draft-runs/%s/events' % task, stream=True, headers={'Last-Event-ID': last})


def lines_of(seen: List[Dict[str, str]]) -> List[str]:
    return ''.join(json.loads(e['data'])['text'] for e in seen if e['event'] == 'log').splitlines()


def report(seen: List[Dict[str, str]]) -> Dict[str, object]:
    assert [e['event'] for e in seen].count('end') == 1 and seen[-1]['event'] == 'end'
    return json.loads(seen[-1]['data'])


def draft(api: Client) -> str:
    script = api.add_script_set() + '__draft'
    api.add_script(script, SCRIPT)
    return script


def test_lines_come_while_it_runs(api: Client) -> None:
    script = draft(api)
    seen, at = [], []
    with run(api, script + '.slow', lines=10, seconds=1.5) as response:
        for event in events(response):
            seen.append(event)
            at.append(time.monotonic())
    assert seen[0]['event'] == 'state' and json.loads(seen[0]['data'])['state'] == 'running'
    assert [line.rsplit('] ', 1)[1] for line in lines_of(seen)] == ['line %d 中"\\' % i for i in range(10)]
    first = next(t for t, e in zip(at, seen) if e['event'] == 'log')
    assert at[-1] - first > 0.5, 'all lines came together'
    data = report(seen)
    plain = api.post('/func-draft/%s.slow' % script, {'kwargs': {'lines': 10, 'seconds': 0}})
    assert set(data) == set(plain) and set(data['result']) == set(plain['result'])
    assert data['id'] == json.loads(seen[0]['data'])['id'] and data['name'] == 'Func.Debugger'
    assert data['result']['returnValue'] == "('done', 10)" and data['result']['status'] == 'success'
    assert [f['name'] for f in data['result']['apiFuncs']] == ['slow'] and data['result']['printLogs'] == lines_of(seen)


def test_a_client_that_comes_back_misses_nothing(api: Client) -> None:
    first: List[Dict[str, str]] = []
    with run(api, draft(api) + '.slow', lines=20, seconds=1) as response:
        for event in events(response):
            first.append(event)
            if len(lines_of(first)) >= 4:
                break
    task = json.loads(first[0]['data'])['id']
    for last in (first[-1]['id'], first[-1]['id']):  # while it runs, and again
        with back(api, task, last) as response:
            rest = list(events(response))
        assert rest[0]['event'] == 'state'
        assert [int(line.split(' line ')[1].split()[0]) for line in lines_of(first) + lines_of(rest)] == list(range(20))
        assert report(rest)['result']['status'] == 'success'
    with back(api, task, rest[-1]['id']) as response:  # after the end, with everything seen
        late = list(events(response))
    assert lines_of(late) == [] and report(late) == report(rest)
    two = [back(api, task, '0'), back(api, task, '99999999')]
    assert [len(lines_of(list(events(r)))) for r in two] == [20, 0]


def test_every_end_is_reported(api: Client) -> None:
    script = draft(api)
    for func, kwargs, status, text in (('slow', {'lines': 1, 'seconds': 0, 'fail': True}, 'failure', 'ValueError: boom'),
                                       ('kill', {}, 'failure', None), ('nothing', {}, 'success', None)):
        with run(api, '%s.%s' % (script, func), **kwargs) as response:
            result = report(list(events(response)))['result']
        assert result['status'] == status and (text is None or result['exception'] == text), result
    with run(api, script + '.large') as response:
        assert len(report(list(events(response)))['result']['returnValue']) > 250000


def test_who_is_refused(api: Client, anonymous: Client) -> None:
    wanted = {'Accept': 'text/event-stream'}
    assert api.request('GET', '/api/v1/func-draft-runs/task-none/events').status_code == 404
    assert anonymous.request('GET', '/api/v1/func-draft-runs/task-none/events').status_code == 401
    assert anonymous.request('POST', '/api/v1/func-draft/a__b.c', json={}, headers=wanted).status_code == 401
    assert api.request('POST', '/api/v1/func-draft/no__script.f', json={}, headers=wanted).status_code == 404
    assert api.request('POST', '/api/v1/func-draft/' + draft(api) + '.slow', json={'kwargs': [1]}, headers=wanted).status_code == 400


def test_clients_that_leave_leave_nothing(api: Client, server: Server) -> None:
    script = draft(api)
    for _ in range(5):
        run(api, script + '.slow', lines=5, seconds=1).close()
    with run(api, script + '.slow', lines=2, seconds=0) as response:
        assert report(list(events(response)))['result']['status'] == 'success'

    def idle() -> bool:
        status = api.get('/system-report')['figures']['platform']['broker']['calls']
        return status['claimed'] == 0
    assert wait_for(idle, 10)


def test_stopping_waits_for_a_run(new_server: Callable[..., Server]) -> None:
    """As for any call that runs; its client is told the end, or that the stream is over."""
    s = new_server()
    s.start()
    response = run(s.client(), draft(s.client()) + '.slow', lines=2, seconds=1)
    assert next(events(response))['event'] == 'state'
    assert s.stop() == 0
