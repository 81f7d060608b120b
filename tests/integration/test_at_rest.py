# SPDX-License-Identifier: Apache-2.0
"""What calls were given and told, while it lies in the files of the data folder: a copy without master.key tells who ran what and when
and the class of its failure, no more. Who may ask sees and finds it as before."""

import contextlib
import glob
import os
import sqlite3
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import requests
from support.client import Client
from support.sealed import Seals
from support.server import Server, wait_for

WORD = 'Sesam-0ffne-Dich-%s'  # not masked by its name, and nobody has told the platform that it is secret
CODE = '''
import time
@DFF.API('f', timeout=30)
def f(word, how='return'):
    print('printed', word)
    if how == 'raise':
        raise ValueError('raised ' + word)
    if how == 'slow':
        time.sleep(1.2)
    return DFF.RESP({'got': word}, headers={'X-Mine': word})
'''
TABLES = {'biz_main_task_record_func': ['funcCallKwargsJSON', 'exceptionTEXT', 'tracebackTEXT', 'printLogsTEXT', 'returnValueJSON',
                                        'responseControlJSON'],
          'tn_abnormal_request': ['requestJSON'], 'tn_last_task_status': ['exceptionTEXT']}


def told(data: str, word: str) -> List[str]:
    """Files of the data folder that hold it in plain text."""
    found = []
    for path in glob.glob(os.path.join(data, '**'), recursive=True):
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                found += [os.path.relpath(path, data)] if word.encode() in f.read() else []
    return found


def records(api: Client, **query: Any) -> List[Dict[str, Any]]:
    """Records of functions, newest first."""
    return api.get('/task-records/func/do/list', pageSize=100, **query)


@contextlib.contextmanager
def database(server: Server, name: str) -> Iterator[sqlite3.Connection]:
    """A file of the platform, which does not run."""
    with contextlib.closing(sqlite3.connect(os.path.join(server.data, name))) as db:
        yield db
        db.commit()


@pytest.fixture
def made(new_server: Any) -> Tuple[Server, Client, str, str]:
    """A platform, and a sync and an async API of which all is recorded."""
    server = new_server().start()
    api = server.client()
    func = api.script(CODE) + '.f'
    return server, api, api.add_sync_api(func, taskRecordLimit=100), api.add_async_api(func, taskRecordLimit=100)


def call(server: Server, sapi: str, **kwargs: Any) -> int:
    """A sync call → its status."""
    return requests.post('%s/api/v1/sync/%s' % (server.base, sapi), json={'kwargs': kwargs}, timeout=60).status_code


def test_no_file_tells_it(made: Tuple[Server, Client, str, str]) -> None:
    """As argument, result, header of an answer, exception, traceback and printed line; of sync and async calls, of slow and failed requests;
    in database, log and shared memory, while the platform runs and after it has stopped."""
    server, api, sapi, aapi = made
    words = {how: WORD % how for how in ('return', 'slow', 'raise')}
    for how, word in words.items():
        assert (call(server, sapi, word=word, how=how) < 300) == (how != 'raise')
        api.ended(api.task_id(aapi, {'word': word, 'how': how}))
    assert len(records(api, originId=sapi)) == len(records(api, originId=aapi)) == 3
    seen = {json['status'] for json in records(api)}
    assert {'success', 'failure'} <= seen
    assert api.get('/monitor/abnormal-requests/reqCost1000/do/list') and api.get('/monitor/abnormal-requests/statusCode5xx/do/list')
    assert 'raised ' + words['raise'] == api.get('/sync-apis/do/list', id=sapi)[0]['lastTaskStatus']['exceptionTEXT']
    for word in words.values():
        assert told(server.data, word) == []
    assert server.stop() == 0
    for word in words.values():
        assert told(server.data, word) == []
    seals = Seals(server.data)
    for table, columns in TABLES.items():
        with database(server, 'config.db' if 'last' in table else 'records.db') as db:
            for row in db.execute('SELECT id, %s FROM %s' % (', '.join(columns), table)):
                for column, stored in zip(columns, row[1:]):
                    if stored is not None:
                        text = seals.open(stored.strip('"'), '%s|%s|%s' % (table, column, row[0]))
                        assert 'Sesam' in text or column == 'requestJSON', (column, text)


def test_who_may_ask_reads_it(made: Tuple[Server, Client, str, str]) -> None:
    server, api, sapi, aapi = made
    word = WORD % 'shown'
    for how in ('return', 'raise'):
        call(server, sapi, word=word, how=how)
        api.ended(api.task_id(aapi, {'word': word, 'how': how}))
    server.stop()
    server.start()
    api = server.client()
    for origin in (sapi, aapi):
        bad, good = records(api, originId=origin)
        assert good['funcCallKwargsJSON']['word'] == bad['funcCallKwargsJSON']['word'] == word
        assert good['returnValueJSON'] == {'got': word} and word in str(good['responseControlJSON'])
        assert bad['exceptionTEXT'] == 'raised ' + word and word in bad['tracebackTEXT']
        assert 'printed ' + word in bad['printLogsTEXT'] and 'printed ' + word in good['printLogsTEXT']
    row = api.get('/monitor/abnormal-requests/statusCode5xx/do/list')[0]
    assert word in str(row['reqBodyDump'])
    assert api.get('/sync-apis/do/list', id=sapi)[0]['lastTaskStatus']['exceptionTEXT'] == 'raised ' + word


def test_it_is_found(made: Tuple[Server, Client, str, str]) -> None:
    """In every column, in pages, newest first, together with filters; as LIKE, without regard to case."""
    server, api, sapi, _ = made
    other = api.add_sync_api(api.script(CODE) + '.f', taskRecordLimit=100)
    for n in range(30):
        assert call(server, sapi, word='needle-%d' % n if n % 3 == 0 else 'hay-%d' % n) == 200
    call(server, other, word='needle-other')
    call(server, sapi, word='needle-raised', how='raise')

    def found(text: str, **query: Any) -> List[str]:
        return [r['funcCallKwargsJSON']['word'] for r in api.get('/task-records/func/do/list', _fuzzySearch=text, **query)]
    ours = ['needle-raised'] + ['needle-%d' % n for n in range(27, -1, -3)]
    assert found('NEEDLE', pageSize=100, originId=sapi) == ours
    assert found('needle', pageSize=100) == [ours[0], 'needle-other'] + ours[1:]
    assert [found('needle', originId=sapi, pageSize=4, pageNumber=n) for n in (1, 2, 3, 4)] == [ours[:4], ours[4:8], ours[8:], []]
    assert found('raised needle') == ['needle-raised'] and found('printed needle-27') == ['needle-27']
    assert found('got": "needle-27') + found('got":"needle-27') == ['needle-27']
    assert found('needle', status='failure') == ['needle-raised'] and found('ValueError') == ['needle-raised']
    assert found(sapi, pageSize=1) == ['needle-raised'] and found('nowhere-to-be-found') == [] and found('100%') == []
    assert len(api.get('/task-records/func/do/list', _fuzzySearch='needle', noPage='true')) == 12


def test_rows_from_before_and_rows_moved(made: Tuple[Server, Client, str, str]) -> None:
    """What was written before it was sealed is shown and found as it is; a text that was put into another row opens nowhere."""
    server, api, sapi, _ = made
    for how in ('return', 'return', 'return'):
        call(server, sapi, word=WORD % 'kept', how=how)
    old, moved, kept = [r['id'] for r in records(api, originId=sapi)]
    server.stop()
    with database(server, 'records.db') as db:
        db.execute('UPDATE biz_main_task_record_func SET funcCallKwargsJSON = ?, printLogsTEXT = ? WHERE id = ?',
                   ('{"word":"plain as of old"}', 'an old line', old))
        db.execute('UPDATE biz_main_task_record_func SET returnValueJSON = (SELECT returnValueJSON FROM biz_main_task_record_func WHERE id = ?) '
                   'WHERE id = ?', (kept, moved))
    server.start()
    api = server.client()
    rows = {r['id']: r for r in records(api, originId=sapi)}
    assert (rows[old]['funcCallKwargsJSON'], rows[old]['printLogsTEXT']) == ({'word': 'plain as of old'}, 'an old line')
    assert [r['id'] for r in records(api, _fuzzySearch='an old line')] == [old]
    assert rows[moved]['returnValueJSON'] is None and rows[moved]['funcCallKwargsJSON']['word'] == WORD % 'kept'
    assert rows[kept]['returnValueJSON'] == {'got': WORD % 'kept'}
    assert wait_for(lambda: 'sealed secret was changed' in server.log(), 5)
