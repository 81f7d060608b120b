# SPDX-License-Identifier: Apache-2.0
"""DFF.SYNC_API, DFF.ASYNC_API and their old names (spec 3.5): rows, filters of spec 4.1.3, queued runs."""

import time

import pytest

from support.server import wait_for

SCRIPT = '''
@DFF.API('Leaf', tags=['b', 'a'], queue=6)
def leaf(tag=None, **more):
    t = DFF.TASK
    DFF.STORE.set(tag, [t.func_call_kwargs, t.origin, t.origin_id, t.queue, t.timeout, t.expires, t.task_record_limit,
                        t.trigger_time_ms, t.root_task_id], scope='told')

@DFF.API('ent')
def ent(kind, method, args=(), kwargs=None):
    kwargs = kwargs or {}
    try:
        member = getattr(DFF, kind)
        return (member if method == '' else getattr(member, method))(*args, **kwargs)
    except Exception as e:
        return '%s: %s' % (type(e).__name__, e)

@DFF.API('read')
def read(tag):
    return DFF.STORE.get(tag, scope='told')
'''
ROW = {'sync': {'showInDoc': True, 'taskRecordLimit': 7, 'note': 'Sixty_%', 'tagsJSON': ['t1', 't2'], 'throttlingJSON': {'bySecond': 90}},
       'async': {'taskRecordLimit': 9, 'note': 'waits', 'tagsJSON': ['t2']}}


@pytest.fixture(scope='module')
def ent(server):
    """ent(kind, method, *args, **kwargs) → what the member gave or the text of its exception."""
    client = server.client()
    script = client.script(SCRIPT)
    client.post('/scripts/%s/do/modify' % script, {'data': {'title': 'Of leaves'}})
    apis = {n: client.add_sync_api('%s.%s' % (script, n), None if n != 'ent' else {}) for n in ('ent', 'read')}

    def run(kind, method, *args, **kwargs):
        return client.result(apis['ent'], kind=kind, method=method, args=args, kwargs=kwargs)

    def told(tag):
        return wait_for(lambda: client.result(apis['read'], tag=tag), 15, 0.05)
    run.client, run.script, run.apis, run.told = client, script, apis, told
    run.rows = {}
    for kind, more in ROW.items():
        fixed = {'funcCallKwargsJSON': {'tag': 'INPUT_BY_CALLER', 'fixed': {'deep': [1, 'x']}}, 'funcId': script + '.leaf'}
        run.rows[kind] = client.post('/%s-apis/do/add' % kind, {'data': dict(more, **fixed)})['id']
    return run


@pytest.mark.parametrize('kind,names', [('sync', ('SYNC_API', 'AUTH_LINK', 'sync_api')), ('async', ('ASYNC_API', 'BATCH', 'batch'))])
def test_get(ent, kind, names):
    """The stored columns and the titles of what they point to."""
    stored = ent.client.get('/%s-apis/do/list' % kind, id=ent.rows[kind])[0]
    want = {k: v for k, v in stored.items() if not k.startswith(('func_', 'scpt_', 'sset_', 'apia_')) and k != 'lastTaskStatus'}
    want.update(scriptSetTitle=None, scriptTitle='Of leaves', funcTitle='Leaf', funcExtraConfigJSON={'queue': 6})
    for name in names:
        got = ent(name, 'get', ent.rows[kind])
        got.pop('lastTaskStatus', None)
        assert got == want, name
    assert ent(names[0], 'get', 'nope') == 'EntityNotFound: %s API not found: `nope`' % kind.capitalize()
    assert ent(names[0], 'get', '') == 'EntityNotFound: %s API not found: ``' % kind.capitalize()


def test_get_of_the_running_one(ent):
    """Without an id it is the API that this call came by, when it is of that kind."""
    assert ent('SYNC_API', 'get')['id'] == ent.apis['ent']
    assert ent('ASYNC_API', 'get') == 'EntityNotFound: Async API: no ID given, and this task was not started by one'


def test_query_fields(ent):
    """Only the fields asked for; null for one that does not exist."""
    mine = {'id': {'in': [ent.rows['sync'], ent.apis['read']]}}
    rows = ent('SYNC_API', 'query', ['id', 'funcTitle', 'none'], mine)
    assert sorted(rows, key=lambda r: r['funcTitle']) == [
        {'id': ent.rows['sync'], 'funcTitle': 'Leaf', 'none': None}, {'id': ent.apis['read'], 'funcTitle': 'read', 'none': None}]
    assert ent('SYNC_API', 'query', 'id', filters=mine) == [{'id': r['id']} for r in rows]
    assert len(ent('SYNC_API', 'query')) == len(ent.client.get('/sync-apis/do/list', noPage='true'))


YES = [
    ('funcTitle', {'eq': 'Leaf'}), ('funcTitle', {'=': 'Leaf'}), ('funcTitle', {'==': 'Leaf'}), ('funcTitle', 'Leaf'),
    ('funcTitle', {'ne': 'x'}), ('funcTitle', {'!=': 'x'}), ('funcTitle', {'<>': 'x'}),
    ('taskRecordLimit', {'lt': 8}), ('taskRecordLimit', {'<': 10}), ('taskRecordLimit', {'le': 7}), ('taskRecordLimit', {'<=': '7'}),
    ('taskRecordLimit', {'gt': 6}), ('taskRecordLimit', {'>': 6.5}), ('taskRecordLimit', {'ge': 7}), ('taskRecordLimit', {'>=': 7, '<': 8}),
    ('note', {'like': 'xty'}), ('note', {'contains': '_%'}), ('note', {'contains_ci': 'SIXTY'}), ('note', {'notcontains': 'sixty'}),
    ('note', {'notcontains_ci': 'seven'}), ('note', {'prelike': 'Six'}), ('note', {'prelike_ci': 'SIX'}), ('note', {'suflike': '%'}),
    ('note', {'suflike_ci': 'TY_%'}), ('note', {'in': ['a', 'Sixty_%']}), ('note', {'notin': ['a']}), ('note', {'IN': 'Sixty_%'}),
    ('apiAuthId', {'isnull': True}), ('note', {'isnull': False}), ('note', {'isnotnull': True}), ('apiAuthId', {'isempty': True}),
    ('note', {'isempty': False}), ('note', {'isnotempty': True}), ('showInDoc', {'boolean': True}), ('isDisabled', {'boolean': 'no'}),
    ('showInDoc', {'eq': 'true'}), ('apiAuthId', {'eqwithnull': '_NULL'}), ('note', {'eqwithnull': 'Sixty_%'}),
    ('apiAuthId', {'eqornull': 'x'}), ('note', {'eqornull': 'Sixty_%'}), ('apiAuthId', {'neornull': 'x'}), ('note', {'neornull': 'x'}),
    ('note', {'pattern': 'Six*'}), ('note', {'notpattern': '*y'}), ('tagsJSON', {'jsonarrayhas': 't1'}),
    ('tagsJSON', {'jsonarrayhasany': ['x', 't2']}), ('tagsJSON', {'jsonarrayhasall': ['t1', 't2']}),
    ('funcCallKwargsJSON', {'jsonsearchone': 'x'}), ('funcCallKwargsJSON->$.fixed.deep', {'jsonsearchany': ['no', 'x']}),
    ('funcCallKwargsJSON->$.fixed', {'jsonsearchall': ['x']}), ('funcCallKwargsJSON->$.fixed', {'jsonsearchnone': ['INPUT']}),
    ('throttlingJSON->$.bySecond', {'ge': 90}), ('funcCallKwargsJSON->fixed.deep.0', {'eq': 1}),
]
NO = [
    ('funcTitle', {'eq': 'leaf'}), ('funcTitle', {'ne': 'Leaf'}), ('taskRecordLimit', {'<=': 6}), ('taskRecordLimit', {'>=': 8}),
    ('taskRecordLimit', {'lt': 7}), ('taskRecordLimit', {'gt': 7}), ('taskRecordLimit', {'gt': 6, 'lt': 7}), ('apiAuthId', {'lt': 'z'}),
    ('note', {'contains': 'sixty'}), ('note', {'notcontains': '_'}), ('note', {'notcontains_ci': 'sixTY'}), ('note', {'prelike': 'ixty'}),
    ('note', {'suflike': 'ty'}), ('note', {'in': []}), ('note', {'notin': ['Sixty_%', 'b']}), ('note', {'isnull': True}),
    ('apiAuthId', {'isnotnull': True}), ('note', {'isempty': True}), ('apiAuthId', {'isnotempty': True}), ('showInDoc', {'boolean': False}),
    ('apiAuthId', {'eqwithnull': 'x'}), ('note', {'eqornull': 'x'}), ('note', {'neornull': 'Sixty_%'}), ('note', {'pattern': 'ixty*'}),
    ('note', {'notpattern': '*%'}), ('tagsJSON', {'jsonarrayhas': 't'}), ('tagsJSON', {'jsonarrayhasany': ['x']}),
    ('tagsJSON', {'jsonarrayhasall': ['t1', 'x']}), ('funcCallKwargsJSON', {'jsonsearchone': 'nowhere'}),
    ('funcCallKwargsJSON', {'jsonsearchall': ['x', 'nowhere']}), ('funcCallKwargsJSON', {'jsonsearchnone': ['nowhere', 'x']}),
    ('funcCallKwargsJSON->$.none.at', {'eq': 1}), ('nofield', {'eq': 1}),
]


def test_filters(ent):
    """Every operator, both ways."""
    for want, cases in ((1, YES), (0, NO)):
        for field, rule in cases:
            rows = ent('SYNC_API', 'query', ['id'], {'id': {'eq': ent.rows['sync']}, field: rule})
            assert rows == [{'id': ent.rows['sync']}] * want, (field, rule)
    assert ent('SYNC_API', 'query', None, {'id': {'near': 1}}) == 'Exception: Unknown filter operator `near` of field `id`'


def now_ms():
    return time.time() * 1000


@pytest.mark.parametrize('name,kind,queue,timeout,expires', [
    ('SYNC_API', 'sync', 6, 35, 35), ('ASYNC_API', 'async', 6, 3600, 3600)])
@pytest.mark.parametrize('method', ['', 'call'])
def test_call(ent, name, kind, queue, timeout, expires, method):
    """A run of its own, with the API's origin and limits; arguments are passed as they are."""
    tag, before = '%s-%s' % (name, method), int(now_ms())
    task = ent(name, method, ent.rows[kind], kwargs={'tag': tag, 'fixed': 'mine'})
    got = ent.told(tag)
    assert before <= got.pop(7) <= now_ms()
    assert got == [{'tag': tag, 'fixed': 'mine'}, kind + 'API', ent.rows[kind], queue, timeout, expires,
                   ROW[kind]['taskRecordLimit'], 'ROOT']
    row = wait_for(lambda: (lambda t: t['state'] == 'succeeded' and t)(ent.client.get('/tasks/%s/do/get' % task)), 10)
    assert row['rootId'] == task and row['originId'] == ent.rows[kind]


def test_call_options(ent):
    trigger = time.time() - 5
    ent('ASYNC_API', 'call', ent.rows['async'], kwargs={'tag': 'opts'}, queue=9, timeout=44, expires=55, trigger_time=trigger)
    assert ent.told('opts')[3:8] == [9, 44, 55, 9, int(trigger * 1000)]


@pytest.mark.parametrize('kwargs,want', [
    ({'queue': 0}, 'BadEntityCall: `queue` should be an integer between 1 and 9, not 0'),
    ({'queue': 10}, 'BadEntityCall: `queue` should be an integer between 1 and 9, not 10'),
    ({'queue': True}, 'BadEntityCall: `queue` should be an integer between 1 and 9, not True'),
    ({'timeout': '9'}, "BadEntityCall: `timeout` should be an integer between 1 and 3600, not '9'"),
    ({'timeout': 3601}, 'BadEntityCall: `timeout` should be an integer between 1 and 3600, not 3601'),
    ({'expires': 1.5}, 'BadEntityCall: `expires` should be an integer between 1 and 86400, not 1.5'),
    ({'trigger_time': 'now'}, "BadEntityCall: `trigger_time` should be a Unix time in seconds, not 'now'"),
    ({'trigger_time': 1e300}, 'BadEntityCall: `trigger_time` should be a Unix time in seconds, not 1e+300'),
    ({'kwargs': [1]}, 'BadEntityCall: `kwargs` should be a dict, not list'),
])
def test_bad_calls(ent, kwargs, want):
    for name, kind in (('SYNC_API', 'sync'), ('BATCH', 'async')):
        assert ent(name, 'call', ent.rows[kind], **kwargs) == want


def test_call_of_what_is_gone(ent):
    """An API that does not exist; one whose function is gone."""
    assert ent('SYNC_API', 'call', 'nope') == 'EntityNotFound: Sync API not found: `nope`'
    script = ent.client.script('@DFF.API("f")\ndef f():\n    pass\n')
    api_id = ent.client.add_sync_api(script + '.f')
    ent.client.get('/scripts/%s/do/delete' % script)
    assert ent('SYNC_API', 'call', api_id) == 'EntityNotFound: Function not found: `%s.f`' % script
