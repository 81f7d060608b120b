# SPDX-License-Identifier: Apache-2.0
"""What a script finds around it when it is called over HTTP (spec 3.1 to 3.6)."""

import re

CODE = '''
import sys
COUNTER = []
COUNTER.append(1)

@DFF.API('Vars')
def variables():
    names = ['DEBUG', 'TASK_ID', 'ROOT_TASK_ID', 'SCRIPT_SET_ID', 'SCRIPT_ID', 'FUNC_ID', 'FUNC_NAME', 'FUNC_CHAIN',
             'ORIGIN', 'ORIGIN_ID', 'TRIGGER_TIME', 'TRIGGER_TIME_MS', 'START_TIME', 'START_TIME_MS', 'ETA', 'DELAY',
             'CRON_EXPR', 'CRON_JOB_DELAY', 'CRON_JOB_EXEC_MODE', 'CRONTAB', 'CRONTAB_DELAY', 'CRONTAB_EXEC_MODE', 'QUEUE']
    found = {n: globals()['_DFF_' + n] for n in names}
    found['name'], found['file'], found['counter'] = __name__, __file__, COUNTER
    return found

@DFF.API('Headers')
def headers():
    h = _DFF_HTTP_REQUEST['headers']
    return [h['X-Own'], h['x-own'], h.get('X-OWN'), 'x-OWN' in h]

@DFF.API('Env')
def env(name):
    v = DFF.ENV(name)
    return [type(v).__name__, v]

@DFF.API('Base')
def base():
    try:
        BaseException
    except NameError:
        return 'hidden'
'''


def test_variables(api, anonymous):
    """All _DFF_ variables of spec 3.2; globals never survive a call."""
    script = api.script(CODE)
    sapi = api.add_sync_api(script + '.variables')
    first, got = anonymous.sync(sapi).json(), anonymous.sync(sapi).json()
    assert re.match('^task-[0-9A-Za-z]{12}$', got['TASK_ID']) and got['TASK_ID'] != first['TASK_ID']
    assert got['counter'] == [1]
    assert (got['DEBUG'], got['ROOT_TASK_ID'], got['QUEUE']) == (False, 'ROOT', 1)
    assert got['SCRIPT_SET_ID'] == script.partition('__')[0]
    assert got['SCRIPT_ID'] == got['name'] == got['file'] == script
    assert (got['FUNC_ID'], got['FUNC_NAME'], got['FUNC_CHAIN']) == (
        script + '.variables', 'variables', [script + '.variables'])
    assert (got['ORIGIN'], got['ORIGIN_ID']) == ('syncAPI', sapi)
    assert got['TRIGGER_TIME_MS'] <= got['START_TIME_MS'] and got['TRIGGER_TIME'] == got['TRIGGER_TIME_MS'] // 1000
    assert (got['ETA'], got['DELAY'], got['CRON_EXPR'], got['CRON_JOB_DELAY'], got['CRON_JOB_EXEC_MODE']) == (
        None, 0, None, 0, None)
    assert (got['CRONTAB'], got['CRONTAB_DELAY'], got['CRONTAB_EXEC_MODE']) == (None, 0, None)


def test_headers_ignore_case(api, anonymous):
    """[] and get() and in alike."""
    sapi = api.function(CODE, 'headers')
    assert anonymous.sync(sapi, headers={'X-Own': 'v'}).json() == ['v', 'v', 'v', True]


def test_env_changes_count_at_once(api, anonymous):
    """A changed variable is what the next call sees."""
    sapi = api.function(CODE, 'env')
    api.post('/env-variables/do/add', {'data': {'id': 'it_number', 'valueTEXT': '5', 'autoTypeCasting': 'integer'}})
    assert anonymous.sync(sapi, {'name': 'it_number'}).json() == ['int', 5]
    for i in range(6, 12):
        api.post('/env-variables/it_number/do/modify', {'data': {'valueTEXT': str(i)}})
        assert anonymous.sync(sapi, {'name': 'it_number'}).json() == ['int', i]
    assert anonymous.sync(sapi, {'name': 'it_missing'}).json() == ['NoneType', None]


def test_imports(api, anonymous):
    """User scripts import each other, relative names mean the own set."""
    own = api.add_script_set()
    api.script('VALUE = 41\ndef f():\n    return VALUE + 1\n', own, 'lib')
    script = api.script('import %s__lib as a\nfrom __lib import f\n\n@DFF.API("F")\ndef g():\n    return [a.VALUE, f()]\n' % own,
                        own, 'main')
    assert anonymous.sync(api.add_sync_api(script + '.g')).json() == [41, 42]


def test_base_exception_is_hidden(api, anonymous):
    """So that scripts cannot swallow the timeout by name."""
    assert anonymous.sync(api.function(CODE, 'base')).text == 'hidden'
