# SPDX-License-Identifier: Apache-2.0
"""Management of cron jobs and of their legacy twin, crontab configs (spec 1.9, Appendix A), and the preview of
their runs. What they share with sync APIs is one engine, tested by test_sync_apis_crud.py."""

import datetime
import zoneinfo

import pytest

from support.client import Client
from support.people import refused

CODE = "@DFF.API('f', tags=['t1'])\ndef f(a=1, b=2):\n    return [a, b]\n@DFF.API(fixed_cron_expr='7 3 * * *')\ndef fixed():\n    return 1\n"
ROW = {'seq', 'id', 'funcId', 'funcCallKwargsJSON', 'cronExpr', 'timezone', 'tagsJSON', 'scope', 'configMD5', 'expireTime', 'origin',
       'originId', 'taskRecordLimit', 'isDisabled', 'note', 'createTime', 'updateTime', 'func_id', 'func_name', 'func_title',
       'func_description', 'func_definition', 'func_extraConfigJSON', 'func_category', 'func_integration', 'func_tagsJSON',
       'scpt_id', 'scpt_title', 'scpt_description', 'scpt_publishVersion', 'sset_id', 'sset_title', 'sset_description',
       'lastTaskStatus', 'dynamicCronExpr', 'dynamicCronExprExpireTime', 'isPaused', 'pauseExpireTime'}
OURS = {'overlapPolicy', 'catchUpPolicy', 'catchUpWindow'}
NEVER = '0 0 30 2 *'  # for jobs that must not run while a test looks at them


@pytest.fixture(params=['cron-jobs', 'crontab-configs'])
def base(request: pytest.FixtureRequest) -> str:
    return '/' + request.param


@pytest.fixture(scope='module')
def script(server) -> str:
    return server.client().script(CODE)


def add(api: Client, base: str, script: str, **fields: object) -> str:
    data = dict({'funcId': script + '.f', 'funcCallKwargsJSON': {}}, **fields)
    return api.post(base + '/do/add', {'data': data})['id']


def test_row(api: Client, base: str, script: str) -> None:
    job = add(api, base, script, funcCallKwargsJSON={'a': 3}, tagsJSON=['z', 'a', 'z'], taskRecordLimit=5, note='n',
              cronExpr='0 3 * * 1-5', expireTime='2031-01-01T00:00:00Z')
    assert job.startswith('cron-') and len(job) == 17
    row = api.get(base + '/do/list', id=job)[0]
    assert set(row) == ROW | OURS
    assert row['cronExpr'] == '0 3 * * 1-5' and row['timezone'] is None and row['scope'] == 'GLOBAL'
    assert row['tagsJSON'] == ['a', 'z'] and row['origin'] == 'user' and row['originId'] == 'u-admin'
    assert row['expireTime'] == '2031-01-01T00:00:00.000Z' and row['isDisabled'] is False and row['lastTaskStatus'] is None
    assert (row['overlapPolicy'], row['catchUpPolicy'], row['catchUpWindow']) == ('skip', 'none', 86400)
    assert row['isPaused'] is False and row['dynamicCronExpr'] is None


def test_both_names_are_the_same_rows(api: Client) -> None:
    script = api.script(CODE)
    new, old = add(api, '/cron-jobs', script, cronExpr=NEVER), add(api, '/crontab-configs', script, crontab='5 4 * * *')
    for base in ('/cron-jobs', '/crontab-configs'):
        rows = api.get(base + '/do/list', func_scriptId=script)
        assert [(r['id'], r['cronExpr']) for r in rows] == [(old, '5 4 * * *'), (new, NEVER)]
    assert api.get('/sync-apis/do/list', func_scriptId=script) == []


@pytest.mark.parametrize('expr', ['61 * * * *', 'x', '* * * * * * *', '*/0 * * * *', '5-1-2 * * * *', '0 0 32 * *', '* * * * 8'])
def test_expression_refused(api: Client, base: str, script: str, expr: str) -> None:
    error = refused(api.post, 400, 'EClientBadRequest.InvalidCronExpression', base + '/do/add',
                    {'data': {'funcId': script + '.f', 'funcCallKwargsJSON': {}, 'cronExpr': expr}})
    assert error.envelope['detail'] == {'cronExpr': expr}
    job = add(api, base, script, cronExpr=NEVER)
    refused(api.post, 400, 'EClientBadRequest.InvalidCronExpression', '%s/%s/do/modify' % (base, job), {'data': {'cronExpr': expr}})


@pytest.mark.parametrize('zone', ['Mars/Olympus', '../../etc/passwd', '/etc/localtime', 'right/UTC'])
def test_zone_refused(api: Client, base: str, script: str, zone: str) -> None:
    error = refused(api.post, 400, 'EClientBadRequest.InvalidTimezone', base + '/do/add',
                    {'data': {'funcId': script + '.f', 'funcCallKwargsJSON': {}, 'cronExpr': NEVER, 'timezone': zone}})
    assert error.envelope['detail'] == {'timezone': zone}


@pytest.mark.parametrize('patch,field', [
    ({'funcId': None}, 'data.funcId'), ({'funcCallKwargsJSON': [1]}, 'data.funcCallKwargsJSON'), ({'cronExpr': 5}, 'data.cronExpr'),
    ({'taskRecordLimit': 10001}, 'data.taskRecordLimit'), ({'isDisabled': 1}, 'data.isDisabled'), ({'expireTime': 'soon'}, 'data.expireTime'),
    ({'scope': 'x' * 256}, 'data.scope'), ({'overlapPolicy': 'both'}, 'data.overlapPolicy'), ({'catchUpPolicy': 'some'}, 'data.catchUpPolicy'),
    ({'catchUpWindow': 0}, 'data.catchUpWindow')])
def test_bad_fields(api: Client, base: str, script: str, patch: dict, field: str) -> None:
    data = dict({'funcId': script + '.f', 'funcCallKwargsJSON': {}}, **patch)
    error = refused(api.post, 400, 'EClientBadRequest', base + '/do/add', {'data': data})
    assert error.envelope['detail']['message'].startswith('Field `%s` ' % field)


def test_modify_delete_and_many(api: Client, base: str) -> None:
    script = api.script(CODE)
    refused(api.post, 404, 'EClientNotFound', base + '/do/add', {'data': {'funcId': 'no__such.f', 'funcCallKwargsJSON': {}}})
    items = [{'funcId': script + '.f', 'funcCallKwargsJSON': {'a': n}, 'tagsJSON': ['n%d' % n], 'cronExpr': NEVER} for n in range(3)]
    ids = api.post(base + '/do/add-many', {'data': items})['ids']
    assert api.post('%s/%s/do/modify' % (base, ids[0]), {'data': {'cronExpr': '1 1 * * *', 'timezone': 'Asia/Tokyo'}}) == {'id': ids[0]}
    query = '?func_scriptId=%s&tags=n2' % script
    assert api.post(base + '/do/modify-many' + query, {'data': {'isDisabled': True, 'overlapPolicy': 'allowAll'}}) == {'ids': [ids[2]]}
    rows = {r['id']: (r['cronExpr'], r['timezone'], r['isDisabled'], r['overlapPolicy']) for r in api.get(base + '/do/list', func_scriptId=script)}
    assert rows == {ids[0]: ('1 1 * * *', 'Asia/Tokyo', False, 'skip'), ids[1]: (NEVER, None, False, 'skip'),
                    ids[2]: (NEVER, None, True, 'allowAll')}
    assert api.get('%s/%s/do/delete' % (base, ids[0])) == {'id': ids[0]}
    refused(api.get, 404, 'EClientNotFound', '%s/%s/do/delete' % (base, ids[0]))
    assert sorted(api.get(base + '/do/delete-many', func_scriptId=script)['id']) == sorted(ids[1:])
    refused(api.get, 403, 'EBizCondition.DeleteConditionNotSpecified', base + '/do/delete-many')


def test_next_runs(api: Client, base: str, script: str) -> None:
    """In the zone of the job, of the platform, by the function's expression; none when it cannot run."""
    def times(job: str, n: int = 3) -> list:
        data = api.get('%s/%s/next-runs/do/list' % (base, job), n=n)
        return [datetime.datetime.fromisoformat(t.replace('Z', '+00:00')) for t in data['nextRuns']], data

    found, data = times(add(api, base, script, cronExpr='30 12 * * *', timezone='America/New_York'), 100)
    assert len(found) == 100 and data['cronExprSource'] == 'own' and data['timezone'] == 'America/New_York' and data['isActive']
    local = [t.astimezone(zoneinfo.ZoneInfo('America/New_York')) for t in found]
    assert {(t.hour, t.minute, t.second) for t in local} == {(12, 30, 0)}
    assert all((b.date() - a.date()).days == 1 for a, b in zip(local, local[1:]))
    assert 0 < (found[0] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() < 86400

    found, data = times(add(api, base, script, funcId=script + '.fixed', cronExpr=NEVER))
    assert data['cronExprSource'] == 'fixed' and data['timezone'] == 'Asia/Shanghai'
    assert {(t.hour, t.minute) for t in found} == {(19, 7)}  # 03:07 in Shanghai

    assert times(add(api, base, script))[1]['cronExprSource'] == 'none'
    for fields in ({'isDisabled': True}, {'expireTime': '2020-01-01T00:00:00Z'}):
        found, data = times(add(api, base, script, cronExpr='* * * * *', **fields))
        assert found == [] and data['isActive'] is False
    refused(api.get, 404, 'EClientNotFound', base + '/none/next-runs/do/list')


def test_preview_of_an_expression(api: Client) -> None:
    """Across the day on which the clocks of Lord Howe go forward by half an hour; by the code that fires."""
    found = api.get('/cron-expressions/do/preview', cronExpr='15 2 * 10 sun#1', timezone='Australia/Lord_Howe', n=5)['nextRuns']
    first = [t for t in found]
    assert len(first) == 5 and all(t.endswith('T15:30:00.000Z') for t in first), first  # 02:15 is skipped: it runs at the change
    six = api.get('/cron-expressions/do/preview', cronExpr='0 */5 * * * *', n=2)['nextRuns']
    assert len(six) == 2 and api.get('/cron-expressions/do/preview', cronExpr='7 */5 * * * *', n=2)['nextRuns'] == []
    refused(api.get, 400, 'EClientBadRequest.InvalidCronExpression', '/cron-expressions/do/preview', cronExpr='x')
    refused(api.get, 400, 'EClientBadRequest.InvalidTimezone', '/cron-expressions/do/preview', cronExpr='* * * * *', timezone='x')


def test_flags(api: Client) -> None:
    """The temporary flags of spec 1.12; that pauseCronJobs pauses is tested where jobs run."""
    assert api.get('/temporary-flags/do/get', id='pauseCronJobs,restartAllServers') == {
        'pauseCronJobs': {'value': None, 'ttl': None}, 'restartAllServers': {'value': None, 'ttl': None}}
    assert api.post('/temporary-flags/restartAllServers/do/set', {'value': 5, 'expires': 100}) is None
    flag = api.get('/temporary-flags/do/get', id='restartAllServers')['restartAllServers']
    assert flag['value'] == 5 and 98 <= flag['ttl'] <= 100
    assert api.get('/temporary-flags/restartAllServers/do/clear') is None
    assert api.get('/temporary-flags/do/get', id='restartAllServers')['restartAllServers']['ttl'] is None
    refused(api.get, 400, 'EClientUnsupported', '/temporary-flags/do/get', id='nothing')
