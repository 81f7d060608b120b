# SPDX-License-Identifier: Apache-2.0
"""Records of function tasks: what is kept, for how many, what callers see, and that nothing grows for ever."""

import os
import sqlite3
import time
from typing import Any, Callable, Dict, List

import pytest

from support.client import Client
from support.procs import private_kb
from support.server import Server

ADD = '''
@DFF.API('Add')
def add(x, y=1):
    print('adding', x, 'and', y)
    return {'sum': x + y}

@DFF.API('Fail')
def fail(text='boom'):
    print('before it fails')
    raise ValueError(text)

@DFF.API('Talk')
def talk(lines, size):
    for i in range(lines):
        print('%05d' % i, 'x' * size)
    return lines
'''


def records(api: Client, **query: Any) -> List[Dict[str, Any]]:
    return api.get('/task-records/func/do/list', **dict({'pageSize': 100}, **query))


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    return server.client().script(ADD)


def test_a_sync_call_is_recorded(api: Client, script: str) -> None:
    before = time.time() * 1000
    sapi = api.add_sync_api(script + '.add', taskRecordLimit=10)
    assert api.result(sapi, x=2, y=3) == {'sum': 5}
    row, = records(api, originId=sapi)
    assert row['scriptSetId'] == script.split('__')[0] and row['scriptId'] == script
    assert row['funcId'] == script + '.add' and row['func_id'] == row['funcId'] and row['func_title'] == 'Add'
    assert row['funcCallKwargsJSON'] == {'x': 2, 'y': 3}
    assert (row['origin'], row['originId'], row['rootTaskId']) == ('syncAPI', sapi, 'ROOT')
    assert (row['status'], row['exceptionType'], row['exceptionTEXT']) == ('success', None, None)
    assert row['returnValueJSON'] == {'sum': 5}
    assert row['printLogsTEXT'].endswith('adding 2 and 3')
    assert before - 1000 < row['triggerTimeMs'] <= row['startTimeMs'] <= row['endTimeMs'] < time.time() * 1000 + 1000
    assert (row['queue'], row['timeout'], row['delay'], row['ignoreResult']) == (1, 35, 0, False)
    assert row['id'].startswith('task-') and row['subTaskCount'] == 0
    assert (row['attempt'], row['maxAttempts']) == (1, 1)
    assert row['costMs'] >= 0 and row['peakMemoryUsage'] > 0
    assert 'recordGroup' not in row


def test_a_failure_is_recorded_with_its_report(api: Client, script: str) -> None:
    sapi = api.add_sync_api(script + '.fail', taskRecordLimit=10)
    assert api.sync(sapi, {'text': 'no "luck"\n'}).status_code == 599
    row, = records(api, originId=sapi, status='failure')
    assert row['exceptionType'] == 'ValueError' and row['exceptionTEXT'] == 'no "luck"\n'
    assert 'in fail' in row['tracebackTEXT'] and 'before it fails' in row['printLogsTEXT']
    assert row['returnValueJSON'] is None
    assert records(api, originId=sapi, status='success') == []
    assert [r['id'] for r in records(api, _fuzzySearch='luck')] == [row['id']]


@pytest.mark.parametrize('limit, calls, kept', [(None, 3, 0), (0, 3, 0), (1, 5, 1), (3, 9, 3)])
def test_limit_of_a_sync_api(api: Client, script: str, limit: int, calls: int, kept: int) -> None:
    """The newest stay; without a limit nothing is stored."""
    sapi = api.add_sync_api(script + '.add', taskRecordLimit=limit)
    for i in range(calls):
        api.result(sapi, x=i)
        if i == calls // 2:
            records(api, originId=sapi)  # what waits is written: the rest comes in another batch
    assert [r['funcCallKwargsJSON']['x'] for r in records(api, originId=sapi)] == list(range(calls))[::-1][:kept]


def test_direct_calls_are_recorded_and_drafts_are_not(api: Client, script: str) -> None:
    api.post('/func/%s.add' % script, {'kwargs': {'x': 41}})
    api.post('/func-draft/%s.add' % script, {'kwargs': {'x': 42}})
    rows = records(api, funcId=script + '.add', origin='direct')
    assert [r['funcCallKwargsJSON']['x'] for r in rows] == [41]


def test_count_by_origin_and_function(api: Client, script: str) -> None:
    sapi = api.add_sync_api(script + '.add', taskRecordLimit=5)
    for i in range(4):
        api.result(sapi, x=i)
    counts = api.get('/task-records/func/do/get-count', groupField='originId', groupIds=sapi + ',none')
    assert counts == {sapi: {'groupId': sapi, 'count': 4}}
    counts = api.get('/task-records/func/do/get-count', groupField='funcId', groupIds=script + '.add')
    assert counts[script + '.add']['count'] >= 4


def test_root_filter_finds_the_task_itself(api: Client, script: str) -> None:
    sapi = api.add_sync_api(script + '.add', taskRecordLimit=5)
    api.result(sapi, x=1)
    row, = records(api, originId=sapi)
    assert [r['id'] for r in records(api, rootTaskId=row['id'])] == [row['id']]
    assert records(api, rootTaskId='task-none') == []


def test_last_status_of_a_sync_api(api: Client, script: str) -> None:
    def last(sapi: str) -> Any:
        return api.get('/sync-apis/do/list', id=sapi)[0]['lastTaskStatus']
    sapi = api.add_sync_api(script + '.fail', {})
    assert last(sapi) is None
    api.sync(sapi, {})
    status = last(sapi)
    assert (status['status'], status['exceptionType'], status['exceptionTEXT']) == ('failure', 'ValueError', 'boom')
    assert abs(status['timestamp'] - time.time()) < 10
    good = api.add_sync_api(script + '.add')
    api.result(good, x=1)
    assert last(good)['status'] == 'success' and 'exceptionType' not in last(good)


def test_log_is_reduced(api: Client, script: str) -> None:
    """Lines of 3000 characters, the whole 20,000 from its beginning and 30,000 from its end."""
    sapi = api.add_sync_api(script + '.talk', taskRecordLimit=5)
    api.result(sapi, lines=1, size=5000)
    line = records(api, originId=sapi)[0]['printLogsTEXT']
    assert 3000 <= len(line) <= 3010 and line.endswith('x...')
    api.result(sapi, lines=1000, size=80)
    text = records(api, originId=sapi)[0]['printLogsTEXT']
    assert 50000 < len(text) < 50200 and 'are left out here' in text
    assert text[:20000].count('\n') > 100 and '00999 x' in text[-200:]


def test_fifty_megabytes_of_output(api: Client, server: Server, script: str, sanitized: bool) -> None:
    """Q-07: bounded memory, marked truncation, and the call succeeds."""
    sapi = api.add_sync_api(script + '.talk', taskRecordLimit=5)
    before = private_kb(server.pid_of('tenon-hub')) * 1024
    assert api.result(sapi, lines=5000, size=10000) == 5000
    text = records(api, originId=sapi)[0]['printLogsTEXT']
    assert 'was cut here' in text and len(text) < 51000
    if not sanitized:
        assert private_kb(server.pid_of('tenon-hub')) * 1024 - before < 16 << 20


def test_a_large_result_is_not_stored(api: Client) -> None:
    sapi = api.function('@DFF.API()\ndef big(n):\n    return ["y" * n]\n', 'big', {'n': 'INPUT_BY_CALLER'},
                        taskRecordLimit=5)
    assert len(api.result(sapi, n=50000)[0]) == 50000
    api.result(sapi, n=5000000)
    rows = records(api, originId=sapi)
    assert 'too large for a record' in rows[0]['returnValueJSON'] and rows[1]['returnValueJSON'] == ['y' * 50000]


def test_switching_records_off_empties_the_table(new_server: Callable[..., Server]) -> None:
    s = new_server()
    s.start()
    api = s.client()
    sapi = api.function(ADD, 'add', {'x': 1}, taskRecordLimit=50)
    for _ in range(5):
        api.result(sapi)
    assert len(records(api)) == 5
    api.post('/system-settings/LOCAL_FUNC_TASK_RECORD_ENABLED/do/set', {'data': {'value': False}})
    assert records(api) == []
    api.result(sapi)
    assert records(api) == []
    s.stop()
    s.start()
    api = s.client()
    api.result(sapi)
    assert records(api) == []
    api.get('/system-settings/LOCAL_FUNC_TASK_RECORD_ENABLED/do/delete')
    api.result(sapi)
    assert len(records(api)) == 1


def test_records_survive_a_restart(new_server: Callable[..., Server]) -> None:
    s = new_server()
    s.start()
    api = s.client()
    sapi = api.function(ADD, 'add', {'x': 1}, taskRecordLimit=50)
    for _ in range(3):
        api.result(sapi)
    s.stop()
    s.start()
    assert len(records(s.client(), originId=sapi)) == 3


def test_bytes_are_bounded_and_the_file_shrinks(new_server: Callable[..., Server]) -> None:
    """The cleaner removes the oldest and gives the pages back (D-03, D-05)."""
    s = new_server(args=('--records-bytes', '2M', '--clean-every', '200ms'))
    s.start()
    api = s.client()
    code = '@DFF.API()\ndef noise(i):\n    import random\n    return [i, "%x" % random.getrandbits(160000)]\n'
    sapi = api.function(code, 'noise', {'i': 'INPUT_BY_CALLER'}, taskRecordLimit=10000)
    path = os.path.join(s.data, 'records.db')
    peak = 0
    for i in range(200):
        api.result(sapi, i=i)
        peak = max(peak, os.path.getsize(path))
    end = time.monotonic() + 20
    while time.monotonic() < end and not 0 < os.path.getsize(path) < 3 << 20:
        time.sleep(0.1)
        records(api, originId=sapi, pageSize=1)
    rows = records(api, originId=sapi)
    assert rows and rows[0]['funcCallKwargsJSON'] == {'i': 199}
    assert os.path.getsize(path) < 3 << 20
    with sqlite3.connect('file:%s?mode=ro' % path, uri=True) as db:
        assert db.execute('PRAGMA integrity_check').fetchone() == ('ok',)
        kept = db.execute('SELECT count(*) FROM biz_main_task_record_func').fetchone()[0]
    assert 20 < kept < 190


def test_old_records_go(new_server: Callable[..., Server]) -> None:
    """90 days; the rest of the table is left alone."""
    s = new_server(args=('--clean-every', '200ms'))
    s.start()
    api = s.client()
    sapi = api.function(ADD, 'add', {'x': 1}, taskRecordLimit=50)
    for _ in range(4):
        api.result(sapi)
    ids = [r['id'] for r in records(api)]
    with sqlite3.connect(os.path.join(s.data, 'records.db'), timeout=10) as db:
        old = int((time.time() - 91 * 86400) * 1e6)
        db.execute('UPDATE biz_main_task_record_func SET createTime = ? WHERE id IN (?, ?)', (old, ids[3], ids[2]))
    end = time.monotonic() + 10
    while len(records(api)) != 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert [r['id'] for r in records(api)] == ids[:2]
