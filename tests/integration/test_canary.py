# SPDX-License-Identifier: Apache-2.0
"""X-04: fifty secrets are planted wherever the platform takes some, everything is exercised, and then every answer, log,
record, metric and file is searched for them in all their disguises."""

import base64
import glob
import itertools
import json
import os
import secrets
import urllib.parse
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

from support.client import ApiError, Client
from support.server import Server
from support.signing import Signer

SCRIPT = '''
import os, sys, time

@DFF.API('Everything a careless author does')
def careless(name, how='print'):
    value = DFF.ENV(name)
    print('the value is', value)
    print_var(value)
    print({'nested': [value, {'deeper': value}]})
    DFF.TASK.set_progress({'now at ' + value: [value, {'deeper': 'and ' + value}]})
    if how == 'raise':
        raise ValueError('refused by the other side: ' + value)
    if how == 'hang':
        while True:
            time.sleep(0.05)
    if how == 'connect':
        DFF.CONN(name)
    return None if how == 'quiet' else {'got': value}

@DFF.API('Takes what must not be kept')
def take(user=None, password=None, apiToken=None, inner=None):
    return 'ok'

@DFF.API('What a script finds in its surroundings')
def surroundings():
    found = dict(os.environ)
    for path in ('/proc/self/environ', '/proc/self/cmdline', '/proc/%d/environ' % os.getppid()):
        try:
            with open(path, errors='replace') as f:
                found[path] = f.read()
        except OSError as e:
            found[path] = str(e)
    return found

@DFF.API('Guard')
def guard(req):
    return req['headers'].get('x-guard') is not None
'''
serial = itertools.count(1)


class Vault:
    """The planted secrets and how they may be written."""

    def __init__(self) -> None:
        self.planted: Dict[str, str] = {}

    def plant(self, where: str, odd: bool = False) -> str:
        """A secret that stands nowhere else. odd: with characters that JSON, URLs and base64 write differently."""
        value = 'Cn%02dr%s' % (next(serial), secrets.token_hex(9)) + ('/"\\+&=? \u00e9\u5bc6' if odd else '')
        self.planted[where] = value
        return value

    def forms(self) -> Iterator[Tuple[str, bytes]]:
        for where, value in self.planted.items():
            raw = value.encode()
            seen = {raw, json.dumps(value)[1:-1].encode(), json.dumps(value, ensure_ascii=False)[1:-1].encode(), raw.hex().encode(),
                    urllib.parse.quote(value).encode(), urllib.parse.quote(value, safe='').encode(), urllib.parse.quote_plus(value).encode(),
                    repr(value)[1:-1].encode()}
            for lead in range(3):  # base64 of something that has the secret inside
                for code in (base64.b64encode, base64.urlsafe_b64encode):
                    text = code(b'x' * lead + raw).rstrip(b'=')
                    seen.add(text[(lead * 8 + 5) // 6:(lead + len(raw)) * 8 // 6])
            for form in seen:
                yield where, form

    def search(self, place: str, data: bytes) -> List[str]:
        """One line for each secret that data shows."""
        return sorted({'%s shows the %s (…%s…)' % (place, where, data[max(0, data.find(form) - 60):data.find(form)].decode(errors='replace'))
                       for where, form in self.forms() if form in data})


def lists_of(api: Client) -> Iterator[Tuple[str, bytes]]:
    """What every reading route without parameters answers; the routes come from the platform's own description."""
    routes = api.request('GET', '/api?format=openapi').json()['paths']
    for path in sorted(p for p, methods in routes.items() if 'get' in methods and '{' not in p and not p.endswith(('/do/delete', '/sign-out'))):
        for query in ({}, {'export': 'json'}) if path.endswith('/list') else ({},):
            yield path + str(query or ''), api.request('GET', path, params=dict(query, pageSize=100)).content
    for kind in ('reqCost1000', 'reqCost5000', 'statusCode4xx', 'statusCode5xx'):
        yield kind, api.request('GET', '/api/v1/monitor/abnormal-requests/%s/do/list' % kind).content


def environments(vault: Vault, api: Client, script: str) -> Tuple[str, List[str]]:
    """Password variables, printed, raised and returned by a script in every way it is started."""
    names = []
    for odd in (False, True) * 4:
        name = 'canary_%d' % next(serial)
        api.post('/env-variables/do/add', {'data': {'id': name, 'title': 't', 'autoTypeCasting': 'password',
                                                    'valueTEXT': vault.plant('environment %d' % len(names), odd)}})
        names.append(name)
    sapi = api.add_sync_api(script + '.careless', taskRecordLimit=100)
    aapi = api.post('/async-apis/do/add', {'data': {'funcId': script + '.careless', 'funcCallKwargsJSON': {
        'name': 'INPUT_BY_CALLER', 'how': 'INPUT_BY_CALLER'}, 'taskRecordLimit': 100}})['id']
    answers, tasks = [], []
    for name in names:
        for how in ('raise', 'connect', 'print'):
            said = api.sync(sapi, {'name': name, 'how': how}).text
            answers += [said] if how != 'print' else []  # what a function returns is its own business
            said = api.request('POST', '/api/v1/func-draft/%s.careless' % script, json={'kwargs': {'name': name, 'how': how}}).json()
            said['data']['result'].pop('returnValue')
            answers.append(json.dumps(said))
            # nor is it for a durable call, whose result is stored until it is fetched
            kwargs = {'name': name, 'how': how if how != 'print' else 'quiet'}
            tasks.append(api.post('/async/' + aapi, {'kwargs': kwargs})['id'])
            # live: whoever watches is told no more
            seen = api.request('GET', '/api/v1/tasks/%s/events' % tasks[-1]).text
            assert 'event: log' in seen and 'event: end' in seen
            answers += [seen, api.request('POST', '/api/v1/func-draft/%s.careless' % script, json={'kwargs': kwargs},
                                          headers={'Accept': 'text/event-stream'}).text]
        api.request('POST', '/api/v1/func/%s.careless' % script, json={'kwargs': {'name': name}})
        # the type of the row changes and comes back: sealed, opened, sealed
        api.post('/env-variables/%s/do/modify' % name, {'data': {'title': 'again'}})
    for task in tasks:
        api.request('GET', '/api/v1/tasks/%s/do/wait' % task, params={'timeout': 20})
    return '\n'.join(answers), tasks


def guarded(vault: Vault, api: Client, anonymous: Client, script: str) -> None:
    """API auth of each kind, opened with the right and knocked at with a wrong credential, by sync and async APIs."""
    field, basic, digest = vault.plant('fixed field'), vault.plant('basic password', True), vault.plant('digest password')
    configs = [('fixedField', {'fields': [{'location': where, 'name': 'X-Key', 'value': field} for where in ('header', 'query', 'body')]}),
               ('httpBasic', {'users': [{'username': 'ann', 'password': basic}]}),
               ('httpDigest', {'users': [{'username': 'ann', 'password': digest}]}),
               ('func', {'funcId': script + '.guard'})]
    for kind, config in configs:
        auth = api.post('/api-auth/do/add', {'data': {'title': kind, 'type': kind, 'configJSON': config}})['id']
        paths = ['/api/v1/sync/' + api.add_sync_api(script + '.take', {'user': 'INPUT_BY_CALLER'}, apiAuthId=auth, taskRecordLimit=100)]
        paths.append('/api/v1/async/' + api.post('/async-apis/do/add', {'data': {
            'funcId': script + '.take', 'funcCallKwargsJSON': {'user': 'INPUT_BY_CALLER'}, 'apiAuthId': auth, 'taskRecordLimit': 100}})['id'])
        wrong = vault.plant('wrong credential of ' + kind)
        for path in paths:
            for value, status in ((field, 200), (wrong, 401)):
                if kind == 'fixedField':
                    calls = [dict(headers={'X-Key': value}), dict(params={'X-Key': value}), dict(json={'kwargs': {'user': 'x'}, 'X-Key': value})]
                elif kind == 'func':
                    calls = [dict(headers={'X-Guard': value})] if status == 200 else []
                else:
                    method = HTTPBasicAuth if kind == 'httpBasic' else HTTPDigestAuth
                    own = basic if kind == 'httpBasic' else digest
                    password = own if status == 200 else value
                    calls = [dict(auth=method('ann', password.encode() if kind == 'httpBasic' else password))]
                for call in calls:
                    call['headers'] = dict(call.get('headers', {}), Cookie='sid=' + vault.planted['cookie'],
                                           Connection='close')
                    got = anonymous.request('POST', path, **dict({'json': {'kwargs': {'user': 'x'}}}, **call))
                    assert got.status_code == status, (kind, status, got.text)


def people(vault: Vault, api: Client, server: Server) -> None:
    """Users and access keys: made, used, used wrongly, changed."""
    for i in range(4):
        api.post('/users/do/add', {'data': {'username': 'canary%d' % i, 'password': vault.plant('password of person %d' % i, i > 1),
                                            'name': 'C', 'roles': ['user']}})
    old, new, wrong = vault.plant('user password'), vault.plant('changed password', True), vault.plant('wrong password')
    user = api.post('/users/do/add', {'data': {'username': 'canary', 'password': old, 'name': 'C', 'roles': ['user']}})['id']
    ann = server.client('canary', old)
    vault.planted['session'] = ann.session.headers['X-Dff-Auth-Token'].split('.')[-1] or ann.session.headers['X-Dff-Auth-Token']
    try:
        server.client('canary', wrong)
        raise AssertionError('a wrong password opens')
    except ApiError:
        pass
    api.post('/users/%s/do/modify' % user, {'data': {'password': new}})
    server.client('canary', new)
    key = api.post('/access-keys/do/add', {'data': {'title': 'k'}})['id']
    row = api.get('/access-keys/%s/do/get' % key)
    vault.planted['access key'] = row['secret']
    for i in range(8):
        more = api.post('/access-keys/do/add', {'data': {'title': 'k%d' % i}})['id']
        vault.planted['access key %d' % i] = api.get('/access-keys/%s/do/get' % more)['secret']
    signer = Signer(server.client(username=None), key, row['secret'])
    headers = signer.headers('GET', '/api/v1/script-sets/do/list', '')
    server.client(username=None).request('GET', '/api/v1/script-sets/do/list', headers=headers)
    lost = server.client(username=None)
    lost.request('GET', '/api/v1/users/do/list', headers={'X-Dff-Auth-Token': vault.plant('unknown session')})
    lost.request('GET', '/api/v1/users/do/list', headers={'Authorization': 'Bearer ' + vault.plant('bearer')})
    lost.request('GET', '/api/v1/nothing', params={'xDFFAuthToken': vault.plant('session in a URL')})
    lost.request('POST', '/api/v1/users/do/add', json={'data': {'password': vault.plant('password of a refused request')}})
    lost.request('POST', '/api/v1/auth/do/sign-in', data=json.dumps({'signIn': {'password': vault.plant('body without a type')}}))
    lost.request('POST', '/api/v1/auth/do/sign-in', data='{"signIn": {"password": "%s"' % vault.plant('body that is no JSON'))


def arguments(vault: Vault, api: Client, script: str) -> None:
    """Arguments with names that say what they are."""
    sapi = api.add_sync_api(script + '.take', taskRecordLimit=100)
    given = {'user': 'x', 'password': vault.plant('argument password'), 'apiToken': vault.plant('argument token', True),
             'inner': {'list': [{'clientSecret': vault.plant('nested argument')}, {'Secret\u006bey': vault.plant('escaped name')}]}}
    assert api.result(sapi, **given) == 'ok'
    api.post('/func/%s.take' % script, {'kwargs': given})
    api.sync(sapi, dict(given, unexpected=1))


def connectors(vault: Vault, api: Client, script: str) -> None:
    """Connector passwords, with a test that fails while they are in use."""
    for kind in ('mem', 'sqlite'):
        for member in ('password', 'secretKey', 'guanceAPIKey', 'tlsKey'):
            config = {member: vault.plant('%s %s' % (kind, member)), 'path': '/nowhere/at/all.db'}
            api.envelope('POST', '/connectors/do/add', json={'data': {'id': 'c_%s_%s' % (kind, member), 'type': kind, 'configJSON': config}})
            api.envelope('POST', '/connectors/do/test', json={'data': {'type': kind, 'configJSON': config}})
            api.envelope('GET', '/connectors/c_%s_%s/do/test' % (kind, member))


@pytest.fixture(scope='module')
def scene() -> Iterator[Tuple[Vault, Server, Client, Dict[str, Any]]]:
    """Everything planted and exercised, once."""
    vault = Vault()
    server = Server(env={'TENON_API__METRICS__TOKEN': vault.plant('metrics token'), 'DFF_SECRET': vault.plant('SECRET')})
    try:
        server.start()
        yield exercise(vault, server)
        problems = server.problems()
        assert not problems, '\n'.join(problems)
    finally:
        server.close()


def exercise(vault: Vault, server: Server) -> Tuple[Vault, Server, Client, Dict[str, Any]]:
    api, anonymous = server.client(), server.client(username=None)
    vault.plant('cookie')
    script = api.script(SCRIPT)
    said, tasks = environments(vault, api, script)
    guarded(vault, api, anonymous, script)
    people(vault, api, server)
    arguments(vault, api, script)
    connectors(vault, api, script)
    found = api.post('/func/%s.surroundings' % script, {'kwargs': {}})['result']
    return vault, server, api, {'answers of careless functions': said, 'surroundings': json.dumps(found), 'tasks': tasks}


Scene = Tuple[Vault, Server, Client, Dict[str, Any]]


def test_fifty_are_planted(scene: Scene) -> None:
    vault = scene[0]
    assert len(vault.planted) >= 50 and len(set(vault.planted.values())) == len(vault.planted)
    assert vault.search('x', b'..' + base64.b64encode(b'ann:' + vault.planted['basic password'].encode()) + b'..')


def test_functions_show_nothing(scene: Scene) -> None:
    vault, _, _, texts = scene
    assert vault.search('answers', texts['answers of careless functions'].encode()) == []
    assert vault.search('surroundings', texts['surroundings'].encode()) == []


def test_answers_show_nothing(scene: Scene) -> None:
    """Access keys are shown to who owns them, and only there; the fixed fields of an API auth, too (spec 1.8)."""
    vault, _, api, texts = scene
    found, seen = [], 0
    allowed = {('access-keys', 'access key'), ('api-auth', 'fixed field')}
    for place, data in lists_of(api):
        seen += 1
        found += [f for f in vault.search(place, data) if not any(p in place and 'the ' + w in f for p, w in allowed)]
    assert seen > 40 and found == []
    for task in texts['tasks']:
        row = api.request('GET', '/api/v1/tasks/%s/do/get' % task).json()['data']
        row.pop('result', None)
        found += vault.search('task', json.dumps(row).encode())
    assert found == []


def test_records_are_there_and_masked(scene: Scene) -> None:
    vault, _, api, _ = scene
    rows = api.get('/task-records/func/do/list', pageSize=100, _fuzzySearch='careless')
    assert {r['status'] for r in rows} == {'success', 'failure'} and {r['origin'] for r in rows} >= {'syncAPI', 'asyncAPI', 'direct'}
    assert any('the value is *****' in (r['printLogsTEXT'] or '') for r in rows)
    assert any(r['returnValueJSON'] == {'got': '*****'} for r in rows)
    assert any(r['exceptionTEXT'] == 'refused by the other side: *****' for r in rows)
    assert any('take' in r['funcId'] and r['funcCallKwargsJSON'].get('password') == '*****' and
               r['funcCallKwargsJSON']['user'] == 'x' for r in api.get('/task-records/func/do/list', pageSize=100))
    operations = api.get('/operation-records/do/list', pageSize=100)
    assert len(operations) >= 15 and vault.search('operations', json.dumps(operations).encode()) == []


def test_metrics_and_log_show_nothing(scene: Scene) -> None:
    vault, server, api, _ = scene
    assert vault.search('/metrics', api.request('GET', '/metrics').content) == []
    assert vault.search('/healthz', api.request('GET', '/healthz').content) == []
    assert len(server.log()) > 100 and vault.search('log', server.log().encode()) == []


def test_processes_show_nothing(scene: Scene) -> None:
    """Neither in arguments nor, but for the supervisor that was given them, in environments."""
    vault, server, _, _ = scene
    found = []
    for p in server.family():
        for name in ('cmdline', 'environ'):
            if name == 'environ' and p.pid in (server.process.pid, server.pid_of('tenond')):
                continue
            try:
                with open('/proc/%d/%s' % (p.pid, name), 'rb') as f:
                    found += vault.search('%s of %s' % (name, p.exe), f.read())
            except OSError:
                pass
    assert found == []


def test_files_show_nothing(scene: Scene) -> None:
    """Sealed at rest: databases, their logs, everything below the data folder, also after a stop."""
    vault, server, api, _ = scene
    api.get('/operation-records/do/list', pageSize=1)  # what waits is written
    for stopped in (False, True):
        if stopped:
            server.stop()
        found, files = [], 0
        for path in glob.glob(os.path.join(server.data, '**'), recursive=True) + glob.glob(os.path.join(server.data, '.*')):
            if os.path.isfile(path):
                files += 1
                with open(path, 'rb') as f:
                    found += vault.search(os.path.relpath(path, server.data), f.read())
        assert files >= 4 and found == []
