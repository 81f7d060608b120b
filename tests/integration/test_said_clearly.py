# SPDX-License-Identifier: Apache-2.0
"""What a user who errs is told: the thing, the value, what to do; and never a path of the platform or the words of its data base."""

import re
from typing import Any, Dict

import pytest
from support.client import Client


def told(api: Client, method: str, path: str, **more: Any) -> Dict[str, Any]:
    answer = api.request(method, '/api/v1' + path, **more)
    assert answer.status_code >= 400, answer.text
    assert '/config.db' not in answer.text and 'sqlite' not in answer.text and 'biz_main' not in answer.text, answer.text
    return answer.json()


@pytest.mark.parametrize('path, body', [
    ('/cron-jobs/do/add', {'id': 'twice', 'cronExpr': '0 3 * * *'}), ('/sync-apis/do/add', {'id': 'twice'}),
    ('/async-apis/do/add', {'id': 'twice'})])
def test_an_id_that_is_taken(api: Client, path: str, body: Dict[str, Any]) -> None:
    data = {'data': {'funcId': 'demo__basic.plus', 'funcCallKwargsJSON': {'x': 1, 'y': 2}, **body}}
    api.post(path, data)
    e = told(api, 'POST', path, json=data)
    assert (e['error'], e['reason']) == (409.42, 'EClientDuplicated.id') and e['message'].endswith('already exists: twice'), e


def test_json_sent_as_something_else(api: Client) -> None:
    """curl -d without a header sends a form; the answer says what is missing, not only which field."""
    for kind in ('application/x-www-form-urlencoded', 'text/plain'):
        e = told(api, 'POST', '/script-sets/do/add', data='{"data":{"id":"x"}}', headers={'Content-Type': kind})
        assert e['detail']['message'].endswith('JSON needs the header Content-Type: application/json.'), e
    e = told(api, 'POST', '/script-sets/do/add', data='data[idd]=x', headers={'Content-Type': 'application/x-www-form-urlencoded'})
    assert 'Content-Type' not in e['detail']['message']


def test_json_that_cannot_be_held(api: Client) -> None:
    e = told(api, 'POST', '/script-sets/do/add', data='{"data":{"id":"sesame\\u0000"}}', headers={'Content-Type': 'application/json'})
    assert re.search(r'byte \d+: .*u0000', e['detail']['message']) and 'sesame' not in e['detail']['message'], e


def test_which_names_a_list_is_sorted_by(api: Client) -> None:
    e = told(api, 'GET', '/cron-jobs/do/list?sort=nope')
    assert 'seq funcId' in e['detail']['message'], e


def test_an_empty_list_of_calls(api: Client) -> None:
    assert '(minLength = 1)' in told(api, 'POST', '/func-many', json={'calls': []})['detail']['message']
    assert '(type = "array")' in told(api, 'POST', '/func-many', json={'calls': 1})['detail']['message']


def test_an_environment_variable_that_cannot_be_cast(api: Client) -> None:
    """The variable and its type are named; the class is Python's own, as scripts expect it."""
    for name, kind, value, error in (('N_', 'integer', 'many', 'ValueError'), ('J_', 'json', '{', 'JSONDecodeError')):
        api.post('/env-variables/do/add', {'data': {'id': name, 'autoTypeCasting': kind, 'valueTEXT': value}})
        call = api.function("@DFF.API('f')\ndef f():\n    return DFF.ENV('%s')\n" % name, 'f')
        detail = api.sync(call).json()['detail']
        assert detail['exceptionType'] == error
        assert detail['exception'].startswith('environment variable `%s` (%s): ' % (name, kind)), detail
        assert detail['exception'] in detail['traceback']


@pytest.mark.parametrize('change, reason', [
    ({}, None), ({'cronExpr': '0 0 30 2 *'}, 'no date matches its expression'), ({'isDisabled': True}, 'it is disabled'),
    ({'cronExpr': None}, 'it has no expression'), ({'expireTime': '2020-01-01T00:00:00Z'}, 'it has expired')])
def test_why_a_job_never_runs(api: Client, change: Dict[str, Any], reason: Any) -> None:
    data = {'funcId': 'demo__basic.plus', 'funcCallKwargsJSON': {'x': 1, 'y': 2}, 'cronExpr': '0 3 * * *', **change}
    job = api.post('/cron-jobs/do/add', {'data': data})['id']
    told_next = api.get('/cron-jobs/%s/next-runs/do/list' % job)
    assert told_next['noRunReason'] == reason and bool(told_next['nextRuns']) is (reason is None), told_next


def test_a_wrong_cron_expression(api: Client) -> None:
    for expr, what in (('61 * * * *', '61 is not within 0..59'), ('@every 5m', '"@every" is no number within 0..59'),
                       ('* * * foo *', 'no number within 1..12 and no name of three letters')):
        e = told(api, 'POST', '/cron-jobs/do/add', json={'data': {
            'funcId': 'demo__basic.plus', 'funcCallKwargsJSON': {}, 'cronExpr': expr}})
        assert what in e['message'] and e['detail'] == {'cronExpr': expr}, e


def test_the_address_in_a_browser(anonymous: Client) -> None:
    """READY names an address; who opens it learns that the platform runs and where its routes are."""
    assert anonymous.request('GET', '/').headers['Location'] == '/client-app'
    page = anonymous.request('GET', '/client-app')
    assert page.status_code == 200 and page.headers['Content-Type'].startswith('text/html')
    for path in re.findall(r'href="(/[^"]*)"', page.text):
        assert anonymous.request('GET', path).status_code == 200, path
