# SPDX-License-Identifier: Apache-2.0
"""Publishing: when it returns, every later call sees the new code (spec 1.4, architecture 11)."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from support.client import ApiError, Client
from support.people import refused
from support.server import Server, wait_for

CODE = "@DFF.API('version')\ndef version():\n    return %d\n"


def test_answer_and_rows(api: Client) -> None:
    set_id = api.add_script_set()
    script = api.add_script(set_id + '__main', '''
@DFF.API('加', category='math', tags=['b', 'a', 'b'], timeout=7, cache_result=0)
def plus(x, y=1, *, z=None, **more):
    """Adds."""
    return x + y

@DFF.API()
def second():
    pass

def hidden():
    pass
''')
    answer = api.publish(script, data={'note': 'first'}, wait=True)
    assert (answer['id'], answer['publishVersion']) == (script, 1)
    first, second = answer['apiFuncs']
    assert set(first) >= {'name', 'title', 'description', 'definition', 'extraConfig', 'category', 'tags', 'args', 'kwargs',
                          'integration', 'defOrder'}
    assert (first['name'], first['title'], first['category'], first['tags']) == ('plus', '加', 'math', ['a', 'b'])
    assert (second['name'], second['defOrder']) == ('second', 1)
    rows = api.get('/funcs/do/list', scriptId=script, sort='defOrder')
    assert [r['id'] for r in rows] == [script + '.plus', script + '.second']
    assert rows[0]['description'] == 'Adds.' and rows[0]['extraConfigJSON']['timeout'] == 7
    assert rows[0]['kwargsJSON'] == first['kwargs'] and rows[0]['scpt_publishVersion'] == 1
    history = api.get('/script-publish-history/do/list', scriptId=script)
    assert len(history) == 1
    assert (history[0]['scriptPublishVersion'], history[0]['note']) == (1, 'first')
    assert 'def plus' in history[0]['scriptCode_cache']


def test_functions_are_replaced(api: Client) -> None:
    script = api.script("@DFF.API()\ndef a():\n    return 1\n@DFF.API()\ndef b():\n    return 2\n")
    api_id = api.add_sync_api(script + '.b')
    api.edit(script, "@DFF.API()\ndef a():\n    return 3\n@DFF.API()\ndef c():\n    return 4\n")
    assert api.publish(script)['publishVersion'] == 2
    assert [f['name'] for f in api.get('/funcs/do/list', scriptId=script, sort='defOrder')] == ['a', 'c']
    assert api.sync(api_id).status_code == 404
    versions = [h['scriptPublishVersion'] for h in api.get('/script-publish-history/do/list', scriptId=script)]
    assert versions == [2, 1]


def test_a_failing_draft_is_not_published_and_says_why(api: Client) -> None:
    api_id = api.function(CODE % 1, 'version')
    script = api.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]
    for code, kind in (('def f(:\n', 'SyntaxError'), ('1 / 0\n', 'ZeroDivisionError'), ('import sys\nsys.exit(1)\n', 'SystemExit'),
                       (CODE % 2 + CODE % 3, 'DuplicatedFuncName'), ('import no_such_module\n', 'ModuleNotFoundError'),
                       ('raise KeyboardInterrupt\n', 'KeyboardInterrupt')):
        api.edit(script, code)
        error = refused(api.post, 400, 'EScriptPublishFailed', '/scripts/%s/do/publish' % script, {})
        result = error.envelope['detail']['result']
        assert error.envelope['error'] == 400.9
        assert result['status'] == 'failure' and result['exceptionType'].endswith(kind), (code, result)
        assert kind in result['exception'] and result['traceback']
    assert api.result(api_id) == 1
    assert api.get('/scripts/%s/do/get' % script)['publishVersion'] == 1
    assert len(api.get('/script-publish-history/do/list', scriptId=script)) == 1


def test_a_draft_that_kills_its_worker_is_not_published(api: Client) -> None:
    script = api.add_script(api.add_script_set() + '__main', 'import os\nos.kill(os.getpid(), 9)\n')
    error = refused(api.post, 400, 'EScriptPublishFailed', '/scripts/%s/do/publish' % script, {})
    result = error.envelope['detail']['result']
    assert result['status'] == 'failure' and result['exception'], result


def test_a_long_script(api: Client) -> None:
    code = CODE % 7 + '# 注释 %s\n' % ('x' * 90) * 20000
    api_id = api.function(code, 'version')
    assert api.result(api_id) == 7


def test_unknown_script(api: Client) -> None:
    error = refused(api.post, 404, 'EClientNotFound', '/scripts/no__such/do/publish', {})
    assert error.envelope['detail'] == {'entity': 'script', 'id': 'no__such'}


def test_every_later_call_sees_the_new_code_under_load(server: Server, api: Client) -> None:
    api_id = api.function(CODE % 0, 'version')
    script = api.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]
    published, stop, wrong = [0], threading.Event(), []

    def caller() -> int:
        client, calls = server.client(username=None), 0
        while not stop.is_set():
            at_least = published[0]
            seen = client.result(api_id)
            calls += 1
            if seen < at_least:
                wrong.append((seen, at_least))
        return calls
    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(caller) for _ in range(4)]
        try:
            for n in range(1, 101):
                api.edit(script, CODE % n)
                assert api.publish(script)['publishVersion'] == n + 1
                published[0] = n
        finally:
            stop.set()
        calls = [c.result() for c in callers]
    assert not wrong, wrong[:10]
    assert all(c > 10 for c in calls)
    assert api.result(api_id) == 100


def test_parallel_publishes_of_different_scripts(server: Server, api: Client) -> None:
    ids = [api.function(CODE % 0, 'version') for _ in range(6)]
    scripts = [api.get('/sync-apis/do/list', id=i)[0]['func_id'].split('.')[0] for i in ids]

    def work(n: int) -> None:
        client = server.client()
        for round_ in range(1, 9):
            client.edit(scripts[n], CODE % (100 * n + round_))
            assert client.publish(scripts[n])['publishVersion'] == round_ + 1
            assert client.result(ids[n]) == 100 * n + round_
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_parallel_publishes_of_one_script(server: Server, api: Client) -> None:
    api_id = api.function(CODE % 0, 'version')
    script = api.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]

    def work(n: int) -> int:
        client = server.client()
        client.edit(script, CODE % n)
        return client.publish(script)['publishVersion']
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(work, range(1, 17)))
    assert sorted(versions) == list(range(2, 18))  # each counted once
    row = api.get('/scripts/%s/do/get' % script)
    assert row['publishVersion'] == 17
    assert CODE % api.result(api_id) == row['code']  # what runs is what is stored
    newest = api.get('/script-publish-history/do/list', scriptId=script, scriptPublishVersion='17')[0]
    assert newest['scriptCode_cache'] == row['code']


def test_published_code_survives_a_restart(new_server) -> None:
    server = new_server().start()
    client = server.client()
    ids = [client.function(CODE % n, 'version') for n in range(5)]
    server.restart()
    assert [server.client(username=None).result(i) for i in ids] == list(range(5))


def test_a_killed_hub_runs_what_is_stored(new_server) -> None:
    """SIGKILL between any two steps of a publish: afterwards store, history and running code agree."""
    server = new_server().start()
    client = server.client()
    api_id = client.function(CODE % 0, 'version')
    script = client.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]
    said = 0
    for round_ in range(5):
        client = server.client()

        def publisher() -> int:
            seen = said
            try:
                for n in range(1, 1000):
                    client.edit(script, CODE % (1000 * round_ + n))
                    client.publish(script)
                    seen = 1000 * round_ + n
            except (requests.ConnectionError, requests.Timeout, ApiError):
                pass
            return seen
        with ThreadPoolExecutor(1) as pool, server.alerts_allowed(r'.'):
            work = pool.submit(publisher)
            time.sleep(0.15 + 0.021 * round_)
            os.kill(server.pid_of('tenon-hub'), 9)
            said = work.result()
        assert wait_for(lambda: alive(server), 20)
        client = server.client()
        row = client.get('/scripts/%s/do/get' % script)
        running = client.result(api_id)
        assert row['code'] == CODE % running
        assert running >= said  # what was answered is kept
        newest = client.get('/script-publish-history/do/list', scriptId=script)[0]
        assert (newest['scriptPublishVersion'], newest['scriptCode_cache']) == (row['publishVersion'], row['code'])
        server.problems()


def alive(server: Server) -> bool:
    try:
        return server.client(username=None).get('/do/ping') == 'pong'
    except (requests.ConnectionError, requests.Timeout, ApiError):
        return False


def test_dry_run_checks_and_changes_nothing(api: Client) -> None:
    api_id = api.function(CODE % 1, 'version')
    script = api.get('/sync-apis/do/list', id=api_id)[0]['func_id'].split('.')[0]
    api.edit(script, CODE % 2)
    response = api.request('POST', '/api/v1/scripts/%s/do/publish' % script, json={}, headers={'X-Dff-Dry-Run': 'true'})
    assert response.status_code == 200 and response.json()['data']['publishVersion'] == 2
    assert api.result(api_id) == 1
    assert api.get('/scripts/%s/do/get' % script)['publishVersion'] == 1
