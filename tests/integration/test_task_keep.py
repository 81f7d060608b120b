# SPDX-License-Identifier: Apache-2.0
"""How long ended tasks can be asked for (issue 3 section 1): by count, age and bytes; dead letters longer; the file shrinks;
what still waits or runs is never touched."""

import os
import sqlite3
import time
from typing import Any, List

import pytest
from support.client import ApiError, Client
from support.sealed import Seals
from support.server import Server, wait_for

SCRIPT = '''
@DFF.API('Big')
def big(n=0):
    return 'x' * n

@DFF.API('Dies', retry={'max_attempts': 1, 'dead_letter': True})
def dies():
    raise ValueError('dead')
'''


def many(api: Client, aapi: str, n: int, kwargs: dict = {}, options: dict = {}) -> List[str]:
    """Submits n calls → ids."""
    answer = api.request('POST', '/api/v1/async/%s/do/call-many' % aapi, json={'calls': [{'kwargs': kwargs, 'options': options}] * n})
    return answer.json()['data']['ids']


def total(api: Client, **query: object) -> int:
    """Tasks on record."""
    return api.envelope('GET', '/tasks/do/list', params=dict(query, pageSize=1))['pageInfo']['totalCount']


def made(server: Server, name: str = 'big') -> tuple:
    """→ (client, async API)"""
    api = server.start().client()
    return api, api.add_async_api('%s.%s' % (api.script(SCRIPT), name))


def test_by_count(new_server) -> None:
    """The newest stay; dead letters are dropped no earlier than their turn; what waits is not counted."""
    server = new_server(env={'TENON_CLEAN_EVERY': '500ms', 'TENON_TASK_KEEP_COUNT': '20'})
    api, aapi = made(server)
    waiting = many(api, aapi, 30, options={'delay': 3600})
    ids = many(api, aapi, 60)
    for i in ids[-5:]:
        api.ended(i)
    assert wait_for(lambda: total(api, state='succeeded') == 20, 40), total(api, state='succeeded')
    kept = {r['id'] for r in api.get('/tasks/do/list', state='succeeded', pageSize=100)}
    assert set(ids[-5:]) <= kept and ids[0] not in kept
    with pytest.raises(ApiError) as gone:
        api.get('/tasks/%s/do/get' % ids[0])
    assert gone.value.reason == 'EClientNotFound'
    assert total(api, state='queued') == 30 and api.get('/tasks/%s/do/get' % waiting[0])['state'] == 'queued'


def test_redriving_does_not_eat_records(new_server) -> None:
    """Letters that wait again are no ended tasks: whatever is redriven, the count of the others stays what it is."""
    server = new_server(env={'TENON_CLEAN_EVERY': '500ms', 'TENON_TASK_KEEP_COUNT': '12'})
    api, aapi = made(server)
    dying = api.add_async_api(api.script(SCRIPT) + '.dies')
    ids = many(api, aapi, 6)
    dead = many(api, dying, 4)
    for i in ids + dead:
        api.ended(i)
    for _ in range(4):
        assert api.post('/dead-letters/do/redrive?originId=' + dying) == {'count': 4}
        assert wait_for(lambda: total(api, state='dead') == 4, 20)
    time.sleep(2)  # some rounds of the cleaner
    assert (total(api, state='succeeded'), total(api, state='dead')) == (6, 4)


def test_by_age(new_server) -> None:
    """task_keep for what has ended, task_keep_dead for dead letters."""
    server = new_server(env={'TENON_CLEAN_EVERY': '500ms', 'TENON_TASK_KEEP': '2s', 'TENON_TASK_KEEP_DEAD': '1h'})
    api, aapi = made(server)
    dying = api.add_async_api(api.script(SCRIPT) + '.dies')
    waiting = api.task_id(aapi, {}, {'delay': 600})
    ids, dead = many(api, aapi, 5), api.task_id(dying)
    assert api.ended(dead)['state'] == 'dead'
    assert wait_for(lambda: total(api, state='succeeded') == 0, 40)
    assert total(api, id=','.join(ids)) == 0
    assert [r['id'] for r in api.get('/tasks/do/list')] in ([dead, waiting], [waiting, dead])


def test_by_bytes_and_the_file_shrinks(new_server) -> None:
    """Beyond task_keep_bytes the oldest go, and the pages they had go back to the file system."""
    server = new_server(env={'TENON_CLEAN_EVERY': '500ms', 'TENON_TASK_KEEP_BYTES': '4M'})
    api, aapi = made(server)
    ids: List[str] = []
    for _ in range(10):  # fewer at once than are kept
        ids += many(api, aapi, 10, {'n': 200000})
        for i in ids[-10:]:
            api.ended(i)
    path = os.path.join(server.data, 'jobs.db')
    grown = os.path.getsize(path)

    def small() -> bool:
        return total(api, state='succeeded') <= 25 and os.path.getsize(path) < 9 << 20  # 4 MB of 200 kB each
    assert wait_for(small, 60, 0.5), '%d bytes, %d before' % (os.path.getsize(path), grown)
    assert total(api, state='succeeded') >= 5
    assert api.get('/tasks/%s/do/get' % ids[-1])['result'] == 'x' * 200000


def test_what_a_call_carries_is_sealed_in_the_file(new_server: Any) -> None:
    """Arguments, request and result are in no file of the data folder in a form to be read; every file is for its owner alone;
    who may ask is shown them; a text moved to another task's row opens nowhere."""
    s = new_server().start()
    api = s.client()
    script = api.script("@DFF.API('a')\ndef a(secret, fail=False):\n    assert not fail, 'no'\n    return {'got': secret}\n"
                        "@DFF.API('b', retry={'max_attempts': 1, 'dead_letter': True})\ndef b(secret):\n    1 / 0\n")
    one, two = api.add_async_api(script + '.a'), api.add_async_api(script + '.b')
    secret = 'Sesam-0ffne-Dich'
    asked = api.request('POST', '/api/v1/async/' + one, json={'kwargs': {'secret': secret}}, headers={'X-Mine': secret + '-head'})
    task = asked.json()['data']['id']
    shown = api.ended(task)
    assert (shown['args'], shown['result']) == ({'secret': secret}, {'got': secret})
    assert api.request('GET', '/api/v1/async/%s/tasks/%s/result' % (one, task)).json() == {'got': secret}
    later = api.task_id(one, {'secret': secret}, {'delay': 3600})
    dead = api.ended(api.task_id(two, {'secret': secret}))
    assert dead['state'] == 'dead' and dead['args'] == {'secret': secret}
    assert api.get('/tasks/%s/do/get' % later)['args'] == {'secret': secret}
    moved = api.task_id(one, {'secret': secret}, {'delay': 3600})
    s.stop()
    for folder, _, names in os.walk(s.data):
        for name in names:
            path = os.path.join(folder, name)
            assert os.stat(path).st_mode & 0o077 == 0 or 'resources' in path or not os.path.isfile(path), path
            with open(path, 'rb') as f:
                assert secret.encode() not in f.read(), path
    db = sqlite3.connect(os.path.join(s.data, 'jobs.db'))
    seals = Seals(s.data)
    rows = db.execute('SELECT id, args, result, http FROM tn_task').fetchall()
    assert {r[0] for r in rows} == {task, later, dead['id'], moved}
    for row in rows:
        assert seals.task('args', row[0], row[1]) == {'secret': secret}
        with pytest.raises(ValueError):
            seals.task('result', row[0], row[1])
    assert seals.task('result', task, next(r[2] for r in rows if r[0] == task)) == {'got': secret}
    db.execute('UPDATE tn_task SET args = (SELECT args FROM tn_task WHERE id = ?) WHERE id = ?', (later, moved))
    db.execute('UPDATE tn_task SET dueTimeMs = 0, rank = 0, wait = 1 WHERE id IN (?, ?)', (later, moved))
    db.commit()
    db.close()
    s.start()
    api = s.client()
    assert api.ended(later)['result'] == {'got': secret}
    assert api.get('/tasks/%s/do/get' % moved)['args'] is None
    assert wait_for(lambda: api.get('/tasks/do/list', id=moved)[0]['state'] == 'dead', 20)
    assert api.get('/tasks/do/list', id=moved)[0]['exceptionType'] == 'TaskUnreadable'


def test_what_a_task_told_is_sealed_too(new_server: Any) -> None:
    """Exceptions, tracebacks, printed lines and progress, of each attempt; who may ask reads them in every way there is. A row from before
    they were sealed is shown as it is, one that was put elsewhere is not shown at all."""
    s = new_server().start()
    api = s.client()
    script = api.script('''
@DFF.API('a', retry={'max_attempts': 2, 'backoff': 0.01, 'dead_letter': True})
def a(secret, fail):
    print('printed ' + secret)
    DFF.TASK.set_progress({'at': secret})
    if fail:
        raise ValueError(secret + ': "tn1:x" \\\\"')
    return DFF.RESP(secret, headers={'X-Mine': secret})
''')
    one, secret = api.add_async_api(script + '.a'), 'Sesam-0ffne-Dich'
    good, bad = [api.ended(api.task_id(one, {'secret': secret, 'fail': fail})) for fail in (False, True)]
    told = secret + ': "tn1:x" \\"'
    assert (good['state'], bad['state'], bad['exception'], bad['exceptionType']) == ('succeeded', 'dead', told, 'ValueError')
    assert [a['exception'] for a in bad['attempts']] == [told, told]
    assert 'printed ' + secret in good['logs'] and 'printed ' + secret in bad['logs'] and told in bad['traceback']
    assert good['progress'] == bad['progress'] == {'at': secret}
    assert api.request('GET', '/api/v1/tasks/%s/result' % good['id']).headers['X-Mine'] == secret
    assert 'printed ' + secret in api.get('/tasks/%s/logs' % bad['id'])['logs']
    assert secret in api.request('GET', '/api/v1/tasks/%s/events' % bad['id']).text
    for path in ('/tasks/do/list', '/dead-letters/do/list'):
        row = next(r for r in api.get(path) if r['id'] == bad['id'])
        assert (row['exception'], row['progress']) == (told, {'at': secret})
    s.stop()
    for folder, _, names in os.walk(s.data):
        for name in names:
            if name.startswith('jobs.db'):
                with open(os.path.join(folder, name), 'rb') as f:
                    assert secret.encode() not in f.read(), name
    db, seals = sqlite3.connect(os.path.join(s.data, 'jobs.db')), Seals(s.data)
    row = db.execute('SELECT exception, traceback, logs, progress FROM tn_task WHERE id = ?', (bad['id'],)).fetchone()
    assert seals.told('exception', bad['id'], row[0]) == told and told in seals.told('traceback', bad['id'], row[1])
    assert 'printed' in seals.told('logs', bad['id'], row[2]) and seals.task('progress', bad['id'], row[3]) == {'at': secret}
    assert [seals.told('exception', bad['id'], r[0]) for r in db.execute('SELECT exception FROM tn_attempt')] == [told]
    db.execute('UPDATE tn_task SET exception = ?, logs = ?, progress = ? WHERE id = ?', ('old', 'lines', '[1]', good['id']))
    db.execute('UPDATE tn_task SET exception = (SELECT traceback FROM tn_task WHERE id = ?) WHERE id = ?', (bad['id'], bad['id']))
    db.commit()
    db.close()
    s.start()
    api = s.client()
    row = api.get('/tasks/%s/do/get' % good['id'])
    assert (row['exception'], row['logs'], row['progress']) == ('old', 'lines', [1])
    assert api.get('/tasks/%s/do/get' % bad['id'])['exception'] is None


def test_what_a_schedule_passes_is_sealed(new_server: Any) -> None:
    """Arguments of a task that a cron job started, as those of any other call, although the job's own row has them."""
    s = new_server(env={'TENON_CRON_SECONDS': 'true'}).start()
    api = s.client()
    script = api.script("@DFF.API('c')\ndef c(secret):\n    return len(secret)\n")
    job = api.post('/cron-jobs/do/add', {'data': {'funcId': script + '.c', 'cronExpr': '* * * * * *',
                                                   'funcCallKwargsJSON': {'secret': 'Sesam-0ffne-Dich'}}})['id']
    assert wait_for(lambda: api.get('/tasks/do/list', originId=job, state='succeeded'), 15)
    s.stop()
    db, seals = sqlite3.connect(os.path.join(s.data, 'jobs.db')), Seals(s.data)
    rows = db.execute('SELECT id, args FROM tn_task WHERE originId = ?', (job,)).fetchall()
    assert rows
    for task_id, args in rows:
        assert args.startswith('"tn1:') and seals.task('args', task_id, args) == {'secret': 'Sesam-0ffne-Dich'}
