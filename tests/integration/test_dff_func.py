# SPDX-License-Identifier: Apache-2.0
"""DFF.FUNC, DFF.BLUEPRINT, DFF.TASK (spec 3.5): sub-tasks, their limits, and what a task knows of itself."""

import re
from datetime import datetime

import pytest

from support.server import wait_for

SCRIPT = '''
import datetime

def remember(tag):
    t = DFF.TASK
    DFF.STORE.set(tag, {
        'kwargs': t.func_call_kwargs, 'http': t.http_request, 'limit': t.task_record_limit, 'queue': [t.queue, _DFF_QUEUE],
        'ids': [t.task_id, _DFF_TASK_ID], 'roots': [t.root_task_id, _DFF_ROOT_TASK_ID], 'expires': t.expires,
        'chains': [t.call_chain, _DFF_FUNC_CHAIN], 'timeout': t.timeout, 'origin': [t.origin, t.origin_id],
        'names': [t.func_id, t.script_id, t.func_name, t.script_set_id, t.script_name]}, scope='told')

@DFF.API('leaf')
def leaf(tag, **more):
    remember(tag)

@DFF.API('own', queue=6, timeout=7, expires=77)
def own(tag):
    remember(tag)

@DFF.API('start')
def start(func, kwargs=None, queue=None, typed=False):
    if typed:
        kwargs['typed'] = datetime.datetime(2024, 1, 2), 2 ** 70, None, 'ä"'
    return [DFF.FUNC(func, kwargs=kwargs, queue=queue), DFF.TASK.task_id, _DFF_TASK_ID]

@DFF.API('bad')
def bad(how):
    return DFF.FUNC(_DFF_SCRIPT_ID + '.leaf', **how)

@DFF.API('me')
def me():
    DFF.FUNC(_DFF_FUNC_ID)

def next_step(n, end):
    remember('step-%d' % n)
    try:
        return DFF.FUNC('%s.step%d' % (_DFF_SCRIPT_ID, n + 1), {'end': end})
    except Exception as e:
        DFF.STORE.set(end, '%s: %s' % (type(e).__name__, e), scope='told')

@DFF.API('1')
def step1(end): next_step(1, end)
@DFF.API('2')
def step2(end): next_step(2, end)
@DFF.API('3')
def step3(end): next_step(3, end)
@DFF.API('4')
def step4(end): next_step(4, end)
@DFF.API('5')
def step5(end): next_step(5, end)
@DFF.API('6')
def step6(end): next_step(6, end)

@DFF.API('round')
def round_1(end):
    DFF.FUNC(_DFF_SCRIPT_ID + '.round_2', {'end': end})
@DFF.API('round')
def round_2(end):
    try:
        DFF.FUNC(_DFF_SCRIPT_ID + '.round_1', {'end': end})
    except Exception as e:
        DFF.STORE.set(end, '%s: %s' % (type(e).__name__, e), scope='told')

@DFF.API('read')
def read(tag):
    return DFF.STORE.get(tag, scope='told')

@DFF.API('task')
def task(x=1):
    plain = (int, float, str, list, dict, bool, type(None))
    seen = {n: getattr(DFF.TASK, n) for n in dir(DFF.TASK)}
    seen['db'].query('SELECT 1')
    seen['cache_db'].set('task-of', 'it')
    DFF.TASK.logger.warning('%s is %d', 'one', 1)
    DFF.TASK.logger.error('100%')
    try:
        DFF.TASK.nothing
    except AttributeError as e:
        seen['nothing'] = str(e)
    return {n: v if isinstance(v, plain) else type(v).__name__ for n, v in seen.items()}

@DFF.API('progress')
def progress(tag):
    DFF.TASK.set_progress({'done': 3, 'of': [4, None, 'ä']})
    DFF.CACHE.set('at', 'progress')
    DFF.CACHE.blpop('go on', 20)

@DFF.API('release')
def release():
    DFF.CACHE.lpush('go on', 'x')
    DFF.TASK.set_progress('nobody watches a sync call')
    return True
'''
NAMES = ('start', 'bad', 'me', 'step1', 'round_1', 'read', 'task', 'release')


@pytest.fixture(scope='module')
def call(server):
    """call(function, **kwargs) → what it returned; call.told(tag): what a sub-task has left."""
    client = server.client()
    script = client.script(SCRIPT)
    apis = {n: client.add_sync_api('%s.%s' % (script, n)) for n in NAMES}

    def run(name, **kwargs):
        return client.result(apis[name], **kwargs)

    def told(tag):
        return wait_for(lambda: run('read', tag=tag), 15, 0.05)

    def refusal(name, **kwargs):
        detail = client.sync(apis[name], kwargs).json()['detail']
        return '%s: %s' % (detail['exceptionType'], detail['exception'])
    run.client, run.script, run.apis, run.told, run.refusal = client, script, apis, told, refusal
    return run


def test_sub_task(call):
    """It gets its arguments as they are and inherits origin, queue and root; the caller gets its id."""
    sub, *own_ids = call('start', func=call.script + '.leaf', kwargs={'tag': 'a', 'x': {'y': [1, None]}})
    assert re.fullmatch('task-[0-9A-Za-z]{24}', sub)
    root = own_ids[0]
    assert own_ids == [root, root] and root != sub
    leaf = call.script + '.leaf'
    assert call.told('a') == {
        'kwargs': {'tag': 'a', 'x': {'y': [1, None]}}, 'http': {}, 'limit': None, 'queue': [1, 1], 'ids': [sub, sub],
        'roots': [root, root], 'chains': [[call.script + '.start', leaf]] * 2, 'timeout': 35, 'expires': 900,
        'origin': ['syncAPI', call.apis['start']],
        'names': [leaf, call.script, 'leaf', call.script.split('__')[0], 'main']}
    row = wait_for(lambda: (lambda t: t['state'] == 'succeeded' and t)(call.client.get('/tasks/%s/do/get' % sub)), 10)
    assert (row['rootId'], row['origin'], row['funcId']) == (root, 'syncAPI', leaf)


def test_arguments_are_values(call):
    """Integers stay exact; other objects become what a return value would be."""
    call('start', func=call.script + '.leaf', kwargs={'tag': 'typed'}, typed=True)
    assert call.told('typed')['kwargs']['typed'] == ['2024-01-02T00:00:00+00:00', 2 ** 70, None, 'ä"']


@pytest.mark.parametrize('func,queue,want', [('leaf', 7, 7), ('own', None, 6), ('own', 8, 8)])
def test_queue(call, func, queue, want):
    """The argument, else the function's own, else the caller's (test_sub_task)."""
    tag = 'q%s%s' % (func, queue)
    call('start', func='%s.%s' % (call.script, func), kwargs={'tag': tag}, queue=queue)
    got = call.told(tag)
    assert got['queue'] == [want, want]
    assert [got['timeout'], got['expires']] == ([7, 77] if func == 'own' else [35, 900])


@pytest.mark.parametrize('how,want', [
    ({'kwargs': [1]}, 'TypeError: kwargs must be a dict, not list'),
    ({'queue': 10}, 'BadEntityCall: `queue` should be an integer between 1 and 9'),
    ({'queue': '3'}, 'BadEntityCall: `queue` should be an integer between 1 and 9'),
    ({'queue': 0}, 'BadEntityCall: `queue` should be an integer between 1 and 9'),
])
def test_bad_calls(call, how, want):
    assert call.refusal('bad', how=how) == want


@pytest.mark.parametrize('name', ['no__such.leaf', 'no', '', 'x' * 400], ids=lambda n: str(len(n)))
def test_unknown_function(call, name):
    assert call.refusal('start', func=name).startswith('EntityNotFound: Function not found: `%s' % name[:300])


def test_chain_of_five(call):
    """Five functions may call each other, the sixth may not."""
    call('step1', end='end-chain')
    assert call.told('end-chain') == ('FuncCallChainTooLong: 5 functions call each other already, 5 is the most')
    chain = ['%s.step%d' % (call.script, n) for n in range(1, 6)]
    steps = [call.told('step-%d' % n) for n in range(1, 6)]
    assert [s['chains'] for s in steps] == [[chain[:n], chain[:n]] for n in range(1, 6)]
    root = steps[0]['ids'][0]
    assert [s['roots'] for s in steps] == [['ROOT', 'ROOT']] + [[root, root]] * 4
    assert len({s['ids'][0] for s in steps}) == 5
    assert call('read', tag='step-6') is None


def test_circles(call):
    """A function that is in the chain is refused, directly and through another."""
    assert call.refusal('me') == 'FuncCircularCall: `%s.me` is already in the call chain' % call.script
    call('round_1', end='end-round')
    assert call.told('end-round') == 'FuncCircularCall: `%s.round_1` is already in the call chain' % call.script


def test_blueprint(call):
    """DFF.BLUEPRINT runs what a deployed blueprint has made."""
    client = call.client
    client.script('@DFF.API("run")\ndef run(x):\n    DFF.STORE.set("bp", [x, _DFF_QUEUE], scope="told")\n',
                  client.add_script_set('_bp_kite'))
    api_id = client.function('@DFF.API("fly")\ndef fly(id, **how):\n    return DFF.BLUEPRINT(id, **how)\n', 'fly')
    assert client.result(api_id, id='kite', kwargs={'x': 5}, queue=4).startswith('task-')
    assert call.told('bp') == [5, 4]
    answer = client.sync(api_id, {'id': 'stone'}).json()['detail']
    assert answer['exceptionType'] == 'EntityNotFound' and '_bp_stone__main.run' in answer['exception']


def test_inherits_the_record_limit(call):
    """The records of a sub-task belong to the API that started it all, with its limit."""
    client = call.client
    api_id = client.add_sync_api(call.script + '.start', taskRecordLimit=3)
    root = client.result(api_id, func=call.script + '.leaf', kwargs={'tag': 'limit'})
    assert call.told('limit')['limit'] == 3
    rows = wait_for(lambda: (lambda r: len(r) == 2 and r)(
        client.get('/task-records/func/do/list', originId=api_id)), 40, 0.5)
    assert {r['id']: r['rootTaskId'] for r in rows} == {root[0]: root[1], root[1]: 'ROOT'}


def test_in_the_debugger(call):
    """A draft may start published functions; it is the root."""
    client = call.client
    script = client.add_script(client.add_script_set() + '__main',
                               'def run(func):\n    return DFF.FUNC(func, {"tag": "draft"})\n')
    client.post('/func-draft/%s.run' % script, {'kwargs': {'func': call.script + '.leaf'}})
    got = call.told('draft')
    assert got['origin'] == ['direct', script + '.run'] and got['chains'][0][0] == script + '.run'


def test_task(call):
    """Every attribute of DFF.TASK in a sync call."""
    got = call('task')
    script = call.script
    for name in ('trigger_time', 'start_time'):
        seconds = got.pop(name)
        assert got.pop(name + '_ms') == int(round(seconds * 1e6)) // 1000
        assert abs(datetime.fromisoformat(got.pop(name + '_iso')).timestamp() - seconds) < 0.002
    assert got.pop('http_request')['url'] == '/api/v1/sync/' + call.apis['task']
    assert re.fullmatch('task-[0-9A-Za-z]{12}', got.pop('task_id'))
    assert got == {
        'root_task_id': 'ROOT', 'func_id': script + '.task', 'script_id': script, 'func_name': 'task',
        'script_set_id': script.split('__')[0], 'script_name': 'main', 'origin': 'syncAPI', 'origin_id': call.apis['task'],
        'call_chain': [script + '.task'], 'func_call_kwargs': {}, 'eta': None, 'delay': 0, 'queue': 1, 'timeout': 35,
        'expires': 35, 'ignore_result': False, 'task_record_limit': None, 'status': 'pending', 'logger': '_Logger',
        'db': 'SysDb', 'cache_db': 'SysCache', 'set_progress': 'method',
        'nothing': 'DFF.TASK has no attribute `nothing`'}


def test_task_of_an_async_call(call):
    """Options of the call show in DFF.TASK."""
    client = call.client
    api_id = client.post('/async-apis/do/add', {'data': {
        'funcId': call.script + '.leaf', 'funcCallKwargsJSON': {}, 'taskRecordLimit': 5}})['id']
    answer = client.request('POST', '/api/v1/async/' + api_id, json={
        'kwargs': {'tag': 'async'}, 'options': {'queue': 7, 'timeout': 20, 'expires': 40}}).json()
    got = call.told('async')
    assert got['ids'][0] == answer['data']['id'] and got['roots'] == ['ROOT', 'ROOT']
    assert [got['queue'][0], got['timeout'], got['expires'], got['limit']] == [7, 20, 40, 5]
    assert got['origin'] == ['asyncAPI', api_id]


def test_progress(call):
    """Who watches a task sees what it tells; a call that nobody can watch may tell as well."""
    client = call.client
    api_id = client.post('/async-apis/do/add', {'data': {
        'funcId': call.script + '.progress', 'funcCallKwargsJSON': {}}})['id']
    task = client.request('POST', '/api/v1/async/' + api_id, json={'kwargs': {'tag': 't'}}).json()['data']['id']
    try:
        row = wait_for(lambda: (lambda t: t['progress'] and t)(client.get('/tasks/%s/do/get' % task)), 15, 0.05)
        assert row['progress'] == {'done': 3, 'of': [4, None, 'ä']} and row['state'] == 'running'
    finally:
        assert call('release') is True
    assert wait_for(lambda: client.get('/tasks/%s/do/get' % task)['state'] == 'succeeded', 10)
