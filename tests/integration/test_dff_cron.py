# SPDX-License-Identifier: Apache-2.0
"""DFF.CRON_JOB and its old name (spec 3.5): rows, queued runs, expressions and pauses that scripts set, refusals. That
jobs run by them is shown in test_cron_runs.py."""

import time
from datetime import datetime

import pytest

from support.server import wait_for

SCRIPT = '''
@DFF.API('Leaf')
def leaf(tag=None, **more):
    t = DFF.TASK
    DFF.STORE.set(tag, [t.func_call_kwargs, t.origin, t.origin_id, t.queue, t.timeout, t.expires, t.task_record_limit], scope='told')

@DFF.API('itself')
def itself(tag, expr):
    j = DFF.CRON_JOB
    mine = j.get()['id']
    j.set_cron_expr(expr, expires=1000)
    j.pause(500)
    seen = j.get_cron_expr()
    j.clear_cron_expr()
    DFF.STORE.set(tag, [mine, seen, j.get_cron_expr(), DFF.CRON_JOB.query(['id', 'isPaused'], {'id': mine})], scope='told')

@DFF.API('job')
def job(member, method, args=(), kwargs=None):
    try:
        member = getattr(DFF, member)
        return (member if method == '' else getattr(member, method))(*args, **(kwargs or {}))
    except Exception as e:
        return '%s: %s' % (type(e).__name__, e)

@DFF.API('read')
def read(tag):
    return DFF.STORE.get(tag, scope='told')

@DFF.API('auto', integration='autoRun', integration_config={'cronExpr': '0 0 30 2 *'})
def auto():
    pass
'''
NEVER = '0 0 30 2 *'


@pytest.fixture(scope='module')
def job(server):
    """job(method, *args, **kwargs) → what DFF.CRON_JOB gave or the text of its exception; job.id: one job."""
    client = server.client()
    script = client.script(SCRIPT)
    apis = {n: client.add_sync_api('%s.%s' % (script, n)) for n in ('job', 'read')}

    def run(method, *args, member='CRON_JOB', **kwargs):
        return client.result(apis['job'], member=member, method=method, args=args, kwargs=kwargs)

    def add(func, **fields):
        fields.setdefault('funcCallKwargsJSON', {})
        return client.post('/cron-jobs/do/add', {'data': dict({'funcId': '%s.%s' % (script, func), 'cronExpr': NEVER}, **fields)})['id']
    run.client, run.script, run.add = client, script, add
    run.told = lambda tag: wait_for(lambda: client.result(apis['read'], tag=tag), 20, 0.05)
    run.id = add('leaf', taskRecordLimit=4, note='one', timezone='Europe/Berlin', tagsJSON=['x'])
    return run


def shown(job):
    return job.client.get('/cron-jobs/do/list', id=job.id)[0]


def test_get(job):
    """The stored columns, what scripts have set, and the titles of what it points to."""
    row = shown(job)
    want = {k: v for k, v in row.items() if not k.startswith(('func_', 'scpt_', 'sset_', 'apia_')) and k != 'lastTaskStatus'}
    want.update(scriptSetTitle=None, scriptTitle=None, funcTitle='Leaf', funcExtraConfigJSON={})
    for member in ('CRON_JOB', 'CRONTAB_CONFIG', 'cron_job'):
        got = job('get', job.id, member=member)
        got.pop('lastTaskStatus', None)
        assert got == want
    assert want['dynamicCronExpr'] is None and want['isPaused'] is False and want['timezone'] == 'Europe/Berlin'
    assert job('get', 'nope') == 'EntityNotFound: Cron Job not found: `nope`'
    assert job('get') == 'EntityNotFound: Cron Job: no ID given, and this task was not started by one'


def test_query(job):
    assert job('query', ['id', 'note'], {'note': {'prelike': 'on'}, 'id': job.id}) == [{'id': job.id, 'note': 'one'}]
    assert job('query', ['id'], {'note': {'eq': 'two'}}) == []


@pytest.mark.parametrize('method', ['', 'call'])
def test_call(job, method):
    """A run with the job's origin, queue and limits."""
    tag = 'call' + method
    assert job(method, job.id, {'tag': tag, 'x': [1]}).startswith('task-')
    assert job.told(tag) == [{'tag': tag, 'x': [1]}, 'cronJob', job.id, 2, 35, 900, 4]


NAMES = [('%s_' + kind, member) for kind in ('cron_expr', 'crontab', 'temp_crontab') for member in ('CRON_JOB', 'CRONTAB_CONFIG')]


@pytest.mark.parametrize('name,member', NAMES, ids=lambda v: v.replace('%s_', ''))
def test_expressions(job, name, member):
    """set, get, get_all, clear by all their names."""
    def do(what, *args, **kwargs):
        return job(name % what, *args, member=member, **kwargs)
    assert do('get', job.id) is None and job.id not in do('get_all')
    assert do('set', '*/7 1 * * *', entity_id=job.id) is None
    assert do('get', job.id) == '*/7 1 * * *' and do('get_all')[job.id] == '*/7 1 * * *'
    assert (shown(job)['dynamicCronExpr'], shown(job)['dynamicCronExprExpireTime']) == ('*/7 1 * * *', None)
    before = time.time()
    do('set', '5 4 * * mon', 100, job.id)
    until = datetime.fromisoformat(shown(job)['dynamicCronExprExpireTime'].replace('Z', '+00:00')).timestamp()
    assert before + 99 < until < time.time() + 101
    assert job('get', job.id)['dynamicCronExpr'] == '5 4 * * mon'
    assert do('clear', job.id) is None and do('clear', job.id) is None
    assert do('get', job.id) is None and shown(job)['dynamicCronExpr'] is None


def test_an_expression_runs_out(job):
    job('set_cron_expr', '1 1 * * *', expires=0.5, entity_id=job.id)
    assert wait_for(lambda: job('get_cron_expr', job.id) is None and job.id not in job('get_all_cron_expr'), 10)


def test_pause(job):
    """For so many seconds; the last word counts."""
    assert job('pause', 1000, entity_id=job.id) is None
    row = shown(job)
    assert row['isPaused'] is True and job('get', job.id)['isPaused'] is True
    until = datetime.fromisoformat(row['pauseExpireTime'].replace('Z', '+00:00')).timestamp()
    assert time.time() + 900 < until < time.time() + 1001
    job('pause', 0.3, job.id)
    assert wait_for(lambda: shown(job)['isPaused'] is False, 10)


def test_the_job_that_runs(job):
    """Without an id it is the job that started the task."""
    mine = job.add('itself', funcCallKwargsJSON={'tag': 'itself', 'expr': '9 9 * * *'})
    job.client.post('/cron/' + mine)
    assert job.told('itself') == [mine, '9 9 * * *', None, [{'id': mine, 'isPaused': True}]]


def test_functions_that_run_by_themselves(job):
    """Jobs without a row."""
    auto = 'autoRun.cronJob-%s.auto' % job.script
    assert job('set_cron_expr', '3 3 * * *', entity_id=auto) is None
    assert job('get_cron_expr', auto) == '3 3 * * *'
    assert job('pause', 100, auto) is None
    job('clear_cron_expr', auto)
    assert job('get_cron_expr', auto) is None
    assert job('pause', 100, 'autoRun.cronJob-no__such.f').startswith('EntityNotFound: Cron Job not found')


@pytest.mark.parametrize('method,args,want', [
    ('set_cron_expr', ('61 * * * *', None, 'ID'), '61'),
    ('set_cron_expr', ('', None, 'ID'), "BadEntityCall: `cron_expr` should be a cron expression, not ''"),
    ('set_cron_expr', (5, None, 'ID'), 'BadEntityCall: `cron_expr` should be a cron expression, not 5'),
    ('set_cron_expr', ('* * * * *', 'soon', 'ID'), "BadEntityCall: `expires` should be a number of seconds from now, not 'soon'"),
    ('set_cron_expr', ('* * * * *', -1, 'ID'), 'BadEntityCall: `expires` should be a number of seconds from now, not -1'),
    ('set_cron_expr', ('* * * * *', None, 'nope'), 'EntityNotFound: Cron Job not found: `nope`'),
    ('set_cron_expr', ('* * * * *',), 'EntityNotFound: Cron Job: no ID given'),
    ('clear_cron_expr', ('nope',), 'EntityNotFound: Cron Job not found: `nope`'),
    ('pause', (None, 'ID'), 'BadEntityCall: `expires` should be a number of seconds from now, not None'),
    ('pause', (0, 'ID'), 'BadEntityCall: `expires` should be a number of seconds from now, not 0'),
    ('pause', (True, 'ID'), 'BadEntityCall: `expires` should be a number of seconds from now, not True'),
    ('pause', (), 'TypeError: '), ('pause', (5, 'nope'), 'EntityNotFound: Cron Job not found: `nope`'),
    ('call', ('nope',), 'EntityNotFound: Cron Job not found: `nope`'),
])
def test_refusals(job, method, args, want):
    got = job(method, *[job.id if a == 'ID' else a for a in args])
    assert want in got and ': ' in got
    assert shown(job)['dynamicCronExpr'] is None


def test_deleted_jobs_leave_nothing(job):
    gone = job.add('leaf')
    job('set_cron_expr', '1 2 3 4 *', entity_id=gone)
    job.client.get('/cron-jobs/%s/do/delete' % gone)
    assert gone not in job('get_all_cron_expr') and job('get_cron_expr', gone) is None
