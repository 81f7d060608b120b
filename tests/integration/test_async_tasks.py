# SPDX-License-Identifier: Apache-2.0
"""What becomes of an accepted call, over HTTP: waiting, results, logs, events, cancelling, retries and dead letters,
restarts (issue 3 section 1)."""

import json
import threading
import time
from typing import Iterator, List, Tuple

import pytest
import requests

from support.client import ApiError, Client
from support.people import person, refused
from support.server import Server, wait_for

SCRIPT = '''
import time

@DFF.API('Plain')
def plain(x=1):
    print('got', x)
    return {'x': x}

@DFF.API('Fails')
def fails():
    raise ValueError('always')

@DFF.API('Slow')
def slow(seconds=30, lines=0, every=0.1):
    for i in range(lines):
        print('line', i)
        time.sleep(every)
    time.sleep(seconds)
    return 'slept'

@DFF.API('Result')
def result(kind):
    return {'text': 'é text', 'int': 2 ** 70, 'none': None, 'list': [1, None], 'false': False,
            'resp': DFF.RESP({'a': 1}, status_code=201, headers={'X-Own': 'y'})}[kind]

@DFF.API('Again', retry={'max_attempts': 3, 'backoff': 0.2, 'on': [ValueError]})
def again(key):
    n = int(DFF.CACHE.incr(key))
    if n < 3:
        raise ValueError('attempt %d' % n)
    return n

@DFF.API('Never', retry={'max_attempts': 2, 'backoff': 0.1, 'dead_letter': True})
def never(fail=True):
    raise KeyError('nope')

@DFF.API('Other error', retry={'max_attempts': 3, 'backoff': 0.1, 'on': ['KeyError']})
def other():
    raise ValueError('not listed')
'''


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    return server.client().script(SCRIPT)


@pytest.fixture
def start(api: Client, script: str):
    """start(func, kwargs, options) → (API id, task id)"""
    def make(func: str, kwargs: dict = {}, options: dict = {}) -> Tuple[str, str]:
        aapi = api.add_async_api('%s.%s' % (script, func))
        return aapi, api.task_id(aapi, kwargs, options)
    return make


def state(api: Client, task: str) -> str:
    return api.get('/tasks/%s/do/get' % task)['state']


def running(api: Client, task: str) -> None:
    assert wait_for(lambda: state(api, task) == 'running', 20)


# ---- reading ---------------------------------------------------------------------------------------------------

def test_the_whole_task(api: Client, script: str, start) -> None:
    aapi, task = start('plain', {'x': 5})
    row = api.ended(task)
    assert row['id'] == task and row['funcId'] == script + '.plain' and row['scriptId'] == script
    assert (row['state'], row['attempt'], row['args'], row['result']) == ('succeeded', 1, {'x': 5}, {'x': 5})
    assert row['triggerTimeMs'] <= row['startTimeMs'] <= row['endTimeMs'] and row['exception'] is None
    assert api.get('/tasks/%s/do/get' % task) == row
    logs = api.get('/tasks/%s/logs' % task)
    assert (logs['id'], logs['state']) == (task, 'succeeded') and 'got 5' in logs['logs']


def test_lists(api: Client, script: str, start) -> None:
    aapi, task = start('plain')
    failed_api, failed = start('fails')
    api.ended(task)
    api.ended(failed)
    assert [r['id'] for r in api.get('/tasks/do/list', originId=aapi)] == [task]
    assert [r['id'] for r in api.get('/tasks/do/list', id=task, state='succeeded')] == [task]
    assert api.get('/tasks/do/list', id=task, state='failed') == []
    assert [r['id'] for r in api.get('/tasks/do/list', originId='%s,%s' % (aapi, failed_api), state='failed,dead')] == [failed]
    assert {r['id'] for r in api.get('/tasks/do/list', funcId='%s.plain,%s.fails' % (script, script), queue=3, pageSize=100)} >= {task, failed}
    assert api.get('/tasks/do/list', id=task, queue=4) == []
    page = api.envelope('GET', '/tasks/do/list', params={'pageSize': 1, 'originId': '%s,%s' % (aapi, failed_api)})
    assert page['pageInfo']['totalCount'] == 2 and [r['id'] for r in page['data']] == [failed]


@pytest.mark.parametrize('path', ['/tasks/%s/do/get', '/tasks/%s/do/wait?timeout=5', '/tasks/%s/result', '/tasks/%s/logs',
                                  '/tasks/%s/events', '/tasks/%s/do/why', '/func-result?taskId=%s'])
def test_unknown_tasks(api: Client, path: str) -> None:
    for task in ('task-' + 'x' * 24, 'x' * 65, 'no-such'):
        if not ('func-result' in path and len(task) > 64):
            refused(api.get, 404, 'EClientNotFound', path % task)
    refused(api.post, 404, 'EClientNotFound', '/tasks/no-such/do/cancel')


def test_waiting(api: Client, start) -> None:
    _, task = start('slow', {'seconds': 1})
    early = api.get('/tasks/%s/do/wait' % task, timeout='0.2')
    assert early['state'] in ('queued', 'running') and early['endTimeMs'] is None
    assert api.get('/tasks/%s/do/wait' % task, timeout=30)['result'] == 'slept'
    assert api.get('/tasks/%s/do/wait' % task)['result'] == 'slept'  # has ended: at once
    for bad in ('61', '-1', 'x', 'nan', ''):
        assert refused(api.get, 400, 'EClientBadRequest', '/tasks/%s/do/wait?timeout=%s' % (task, bad))


@pytest.mark.parametrize('kind,text,content', [
    ('text', 'é text', 'text/html'), ('int', str(2 ** 70), 'text/html'), ('none', '', None), ('list', '[1,null]', 'application/json'),
    ('false', 'false', 'application/json')])
def test_results_answer_as_sync_calls_do(api: Client, script: str, start, kind: str, text: str, content: str) -> None:
    aapi, task = start('result', {'kind': kind})
    answer = api.request('GET', '/api/v1/tasks/%s/result' % task, params={'wait': 30})
    same = api.sync(api.add_sync_api(script + '.result'), {'kind': kind})
    assert answer.status_code == 200 and answer.content.decode() == text == same.content.decode()
    assert answer.headers['Content-Type'] == same.headers['Content-Type']
    assert content is None or answer.headers['Content-Type'].startswith(content)
    boxed = api.request('GET', '/api/v1/tasks/%s/result' % task, params={'unbox': 'false'}).json()
    assert boxed['data'] == api.sync(api.add_sync_api(script + '.result'), {'kind': kind}, {'unbox': False}).json()['data']
    public = api.request('GET', '/api/v1/async/%s/tasks/%s/result' % (aapi, task))
    assert public.content == answer.content


def test_results_with_response_control(api: Client, start) -> None:
    _, task = start('result', {'kind': 'resp'})
    answer = api.request('GET', '/api/v1/tasks/%s/result' % task, params={'wait': 30})
    assert (answer.status_code, answer.headers['X-Own'], answer.json()) == (201, 'y', {'a': 1})


def test_failures_answer_as_sync_calls_do(api: Client, start) -> None:
    aapi, task = start('fails')
    row = api.ended(task)
    assert (row['state'], row['exceptionType']) == ('failed', 'ValueError') and 'always' in row['exception']
    for path in ('/api/v1/tasks/%s/result' % task, '/api/v1/async/%s/tasks/%s/result' % (aapi, task)):
        answer = api.request('GET', path)
        assert answer.status_code == 599 and answer.json()['reason'] == 'EFuncFailed'
        assert 'ValueError: always' in answer.json()['detail']['traceback']


def test_no_result_before_the_end(api: Client, start) -> None:
    aapi, task = start('slow')
    for path in ('/api/v1/tasks/%s/result' % task, '/api/v1/async/%s/tasks/%s/result?wait=0.1' % (aapi, task)):
        answer = api.request('GET', path)
        assert answer.json()['reason'] == 'EBizCondition.TaskNotEnded' and answer.headers['Retry-After'] == '1'
    api.post('/tasks/%s/do/cancel' % task, {'graceSeconds': 0})
    api.ended(task)


def test_legacy_results(api: Client, start) -> None:
    aapi, task = start('plain', {'x': 'a'})
    api.ended(task)
    row = api.get('/func-result', taskId=task)
    assert set(row) >= {'request', 'startTime', 'endTime', 'status', 'result'}
    assert row['status'] == 'success' and row['result'] == {'x': 'a'} and row['startTime'].endswith('Z')
    assert row['request']['funcCallKwargs'] == {'x': 'a'} and row['request']['originId'] == aapi
    assert api.get('/func-result', taskId=task, returnType='repr')['result'] == "{'x': 'a'}"
    assert json.loads(api.get('/func-result', taskId=task, returnType='jsonDumps')['result']) == {'x': 'a'}
    assert set(api.get('/func-result', taskId=task, returnType='ALL')['result']) == {'raw', 'repr', 'jsonDumps'}
    assert api.request('GET', '/api/v1/func-result?taskId=%s&unfold=true' % task).json() == {'x': 'a'}
    refused(api.get, 400, 'EClientBadRequest', '/func-result')
    _, slow = start('slow')
    assert api.get('/func-result', taskId=slow)['status'] in ('waiting', 'pending')
    api.post('/tasks/%s/do/cancel' % slow, {'graceSeconds': 0})
    api.ended(slow)


# ---- who may see it --------------------------------------------------------------------------------------------

def test_callers_see_theirs(server: Server, api: Client, anonymous: Client, script: str, start) -> None:
    """Without a session: through the API that was called, never more than the outcome, never another API's."""
    aapi, task = start('plain', {'x': 1})
    seen = anonymous.get('/async/%s/tasks/%s' % (aapi, task), wait=30)
    assert seen['state'] == 'succeeded' and seen['result'] == {'x': 1}
    assert not {'args', 'logs', 'attempts', 'origin', 'originId', 'funcId', 'label'} & set(seen)
    assert anonymous.get('/bat/%s/tasks/%s' % (aapi, task)) == seen
    other, _ = start('plain')
    refused(anonymous.get, 404, 'EClientNotFound', '/async/%s/tasks/%s' % (other, task))
    direct = api.post('/func-many', {'calls': [{'funcId': script + '.plain'}]})['ids'][0]
    refused(anonymous.get, 404, 'EClientNotFound', '/async/%s/tasks/%s' % (aapi, direct))
    refused(anonymous.get, 404, 'EClientNotFound', '/async/%s/tasks/%s/result' % (aapi, direct))
    for path in ('do/get', 'result', 'logs', 'events', 'do/wait', 'do/why'):
        refused(anonymous.get, 401, 'EUserAuth', '/tasks/%s/%s' % (task, path))
    refused(anonymous.get, 401, 'EUserAuth', '/func-result?taskId=' + task)
    reader = person(server, api, 'readonlyUser')
    assert reader.get('/tasks/%s/do/get' % task)['id'] == task
    refused(reader.post, 401, 'EUserPrivilege', '/tasks/%s/do/cancel' % task)


def test_a_deleted_api_takes_the_way_with_it(api: Client, anonymous: Client, start) -> None:
    aapi, task = start('plain')
    api.ended(task)
    api.post('/async-apis/%s/do/modify' % aapi, {'data': {'isDisabled': True}})
    assert anonymous.get('/async/%s/tasks/%s' % (aapi, task))['state'] == 'succeeded'  # disabled: no calls, but results
    api.get('/async-apis/%s/do/delete' % aapi)
    refused(anonymous.get, 404, 'EClientNotFound', '/async/%s/tasks/%s' % (aapi, task))
    assert api.get('/tasks/%s/do/get' % task)['state'] == 'succeeded'


# ---- events ----------------------------------------------------------------------------------------------------

def events(response: requests.Response) -> Iterator[dict]:
    """Parses server-sent events (WHATWG HTML 9.2): {id, event, data}."""
    event: dict = {}
    for line in response.iter_lines(decode_unicode=True):
        if line == '':
            if 'data' in event:
                yield event
            event = {}
        elif not line.startswith(':'):
            name, _, value = line.partition(': ')
            event[name] = event[name] + '\n' + value if name == 'data' and name in event else value


def stream(api: Client, task: str, **headers: str) -> requests.Response:
    response = api.request('GET', '/api/v1/tasks/%s/events' % task, stream=True, headers=headers)
    assert response.status_code == 200 and response.headers['Content-Type'].startswith('text/event-stream')
    return response


def log_text(seen: List[dict]) -> str:
    return ''.join(json.loads(e['data'])['text'] for e in seen if e['event'] == 'log')


def test_events_from_start_to_end(api: Client, start) -> None:
    _, task = start('slow', {'seconds': 0, 'lines': 10})
    with stream(api, task) as response:
        seen = list(events(response))
    assert seen[0]['event'] in ('state', 'log') and seen[-1]['event'] == 'end'
    end = json.loads(seen[-1]['data'])
    assert end['state'] == 'succeeded' and end['result'] == 'slept'
    assert [line for line in log_text(seen).split('\n') if 'line' in line] and log_text(seen).count('line') == 10


def test_events_resume(api: Client, start) -> None:
    """A client that comes back with Last-Event-ID gets what it has not seen, and nothing twice."""
    _, task = start('slow', {'seconds': 0, 'lines': 30})
    first: List[dict] = []
    with stream(api, task) as response:
        for event in events(response):
            first.append(event)
            if log_text(first).count('line') >= 5:
                break
    with stream(api, task, **{'Last-Event-ID': first[-1]['id']}) as response:
        rest = list(events(response))
    whole = log_text(first) + log_text(rest)
    assert rest[-1]['event'] == 'end' and whole.count('line') == 30
    numbers = [int(line.rsplit(' ', 1)[1]) for line in whole.split('\n') if 'line' in line]
    assert numbers == list(range(30))
    token = api.session.headers['X-Dff-Auth-Token']  # as EventSource has to do it
    answer = requests.get('%s/api/v1/tasks/%s/events?xDFFAuthToken=%s&lastEventId=%s' % (api.base, task, token, rest[-1]['id']))
    assert 'event: end' in answer.text and 'event: log' not in answer.text


def test_events_of_a_task_that_has_ended(api: Client, start) -> None:
    _, task = start('plain')
    api.ended(task)
    with stream(api, task) as response:
        seen = list(events(response))
    assert seen[-1]['event'] == 'end' and 'got 1' in log_text(seen)


def test_a_client_that_leaves_leaves_nothing(api: Client, start) -> None:
    _, task = start('slow', {'seconds': 2, 'lines': 5})
    for _ in range(5):
        stream(api, task).close()
    assert api.ended(task)['state'] == 'succeeded'


# ---- cancelling, why --------------------------------------------------------------------------------------------

def test_cancel_a_queued_one(api: Client, start) -> None:
    aapi, task = start('plain', {}, {'delay': 3600})
    why = api.get('/tasks/%s/do/why' % task)
    assert why['rule'] == 'due' and why['text']
    assert api.post('/tasks/%s/do/cancel' % task) == {'id': task}
    assert state(api, task) == 'canceled'
    assert refused(api.post, 403, 'EBizCondition.TaskEnded', '/tasks/%s/do/cancel' % task)
    assert api.get('/tasks/%s/do/why' % task)['rule'] == 'ended'
    answer = api.request('GET', '/api/v1/async/%s/tasks/%s/result' % (aapi, task))
    assert (answer.status_code, answer.json()['reason'], answer.json()['detail']['exceptionType']) == (599, 'EFuncFailed', 'Cancelled')


def test_cancel_a_running_one(api: Client, start) -> None:
    _, task = start('slow')
    running(api, task)
    assert api.get('/tasks/%s/do/why' % task)['rule'] == 'running'
    begin = time.monotonic()
    api.post('/tasks/%s/do/cancel' % task, {'graceSeconds': 1})
    ended = api.ended(task)
    assert ended['state'] == 'canceled' and time.monotonic() - begin < 20
    assert 'takes too much time' not in str(ended) and 'TaskTimeout: Task was cancelled' in ended['traceback'], ended
    refused(api.post, 400, 'EClientBadRequest', '/tasks/%s/do/cancel' % task, {'graceSeconds': 'x'})


def test_waiters_hear_of_a_cancel(api: Client, start) -> None:
    _, task = start('plain', {}, {'delay': 3600})
    got: list = []
    waiter = threading.Thread(target=lambda: got.append(api.ended(task)))
    waiter.start()
    time.sleep(0.2)
    api.post('/tasks/%s/do/cancel' % task)
    waiter.join(30)
    assert got and got[0]['state'] == 'canceled'


# ---- queues -----------------------------------------------------------------------------------------------------

def test_queues(api: Client, start) -> None:
    queues = api.get('/queues/do/list')
    assert [q['queue'] for q in queues] == list(range(10))
    assert all({'waiting', 'delayed', 'running', 'workers', 'limit'} <= set(q) for q in queues)
    assert api.post('/queues/8/do/modify', {'data': {'isPaused': True}}) == {'id': '8', 'isPaused': True}
    try:
        _, task = start('plain', {}, {'queue': 8})
        assert wait_for(lambda: api.get('/tasks/%s/do/why' % task)['rule'] == 'paused', 5)
        assert state(api, task) == 'queued'
    finally:
        api.post('/queues/8/do/modify', {'data': {'isPaused': False}})
    assert api.ended(task)['state'] == 'succeeded'
    for bad in ('10', '-1', 'x', ''):
        refused(api.post, 404, 'EClientNotFound', '/queues/%s/do/modify' % bad, {'data': {'isPaused': True}})


# ---- retries, dead letters ---------------------------------------------------------------------------------------

def test_retries_as_the_function_says(api: Client, start) -> None:
    _, task = start('again', {'key': 'again'})
    row = api.ended(task)
    assert (row['state'], row['attempt'], row['maxAttempts'], row['result']) == ('succeeded', 3, 3, 3)
    assert [a['state'] for a in row['attempts']][:2] == ['failed', 'failed']
    assert row['attempts'][0]['exceptionType'] == 'ValueError'


def test_only_listed_errors_are_retried(api: Client, start) -> None:
    row = api.ended(start('other')[1])
    assert (row['state'], row['attempt']) == ('failed', 1)


def test_without_retry_once_is_enough(api: Client, start) -> None:
    row = api.ended(start('fails')[1])
    assert (row['state'], row['attempt']) == ('failed', 1)


def test_dead_letters(api: Client, script: str, start) -> None:
    aapi, task = start('never')
    row = api.ended(task)
    assert (row['state'], row['attempt']) == ('dead', 2)
    assert api.request('GET', '/api/v1/tasks/%s/result' % task).json()['reason'] == 'EFuncFailed'
    assert [r['id'] for r in api.get('/dead-letters/do/list', originId=aapi)] == [task]
    ended, = [start('fails')[1]]
    api.ended(ended)
    assert api.get('/dead-letters/do/list', id=ended) == []
    for action in ('redrive', 'purge'):
        for query in ('', '?id=', '?nonsense=1'):
            refused(api.post, 403, 'EBizCondition.%sConditionNotSpecified' % action.capitalize(), '/dead-letters/do/%s%s' % (action, query))
        assert api.post('/dead-letters/do/%s?id=%s' % (action, ended)) == {'count': 0}  # no dead letter
    assert state(api, ended) == 'failed'
    fixed = SCRIPT.replace("raise KeyError('nope')", "return 'alive'")
    api.edit(script, fixed)
    api.publish(script)
    try:
        assert api.post('/dead-letters/do/redrive?id=' + task) == {'count': 1}
        assert wait_for(lambda: state(api, task) == 'succeeded', 30)
    finally:
        api.edit(script, SCRIPT)
        api.publish(script)
    _, second = start('never')
    api.ended(second)
    assert api.post('/dead-letters/do/purge?id=' + second) == {'count': 1}
    refused(api.get, 404, 'EClientNotFound', '/tasks/%s/do/get' % second)


# ---- restarts ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_accepted_is_kept_over_a_restart(new_server, how: str) -> None:
    """Between the answer and the run the platform goes away; keys are remembered too."""
    server = new_server()
    server.start()
    api = server.client()
    script = api.script(SCRIPT)
    aapi = api.add_async_api(script + '.plain')
    key = {'Idempotency-Key': 'restart'}
    ids = [api.task_id(aapi, {'x': i}, {'delay': 2}) for i in range(5)]
    first = api.call_async(aapi, {'x': 'k'}, headers=key).json()['data']['id']
    many = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': [{'options': {'delay': 2}}] * 50}).json()['data']['ids']
    server.stop() if how == 'stop' else server.kill()
    server.start()
    api = server.client()
    again = api.call_async(aapi, {'x': 'k'}, headers=key)
    assert again.json()['data']['id'] == first and again.headers['Idempotency-Replayed'] == 'true'
    assert [api.ended(i)['args'] for i in ids] == [{'x': i} for i in range(5)]
    assert {api.ended(i)['state'] for i in many + [first]} == {'succeeded'}
    assert {api.ended(i)['attempt'] for i in many} == {1}


def test_a_task_of_unknown_shape_is_no_crash(api: Client) -> None:
    with pytest.raises(ApiError):
        api.get('/tasks/%00/do/get')
