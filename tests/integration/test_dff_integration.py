# SPDX-License-Identifier: Apache-2.0
"""Functions that the platform calls by itself (spec 1.1, 5.5): sign-in by a function; autoRun at launch and publish."""

import hashlib

import pytest

from support.client import ApiError, Client
from support.server import wait_for

SCRIPT = '''
import time

class Refused(Exception):
    pass

@DFF.API('Door', integration='sign_in')
def door(username, password):
    """says who that is"""
    DFF.STORE.set('seen', [_DFF_ORIGIN, _DFF_ORIGIN_ID, DFF.TASK.queue, DFF.TASK.timeout, DFF.TASK.expires], scope='told')
    if password != 'sesame':
        return {'false': False, 'none': None, 'zero': 0, 'empty': '', 'list': [], 'dict': {}, 'nameless': {'name': 'x'},
                'long': 'x' * 257, 'huge': {'id': 'x', 'more': 'y' * 100000}, 'float': 1.5, 'idfloat': {'id': [1]}}.get(password, False)
    if username == 'raise':
        raise Refused('no ldap today')
    if username == 'slow':
        time.sleep(60)
    if username == 'die':
        __import__('os')._exit(3)
    return {'true': True, 'text': 'u-é', 'number': 2 ** 62, 'long': 'l' * 100, 'tilde': '~x', 'object': {
        'Mail': 'o@x', 'User_ID': 7, 'Full_Name': 'Olga'}, 'resp': DFF.RESP({'uid': 'r', 'title': 'T'})}[username]

@DFF.API('Slow door', integration='signIn', timeout=1)
def slow_door(username, password):
    time.sleep(60)

@DFF.API('No door')
def plain(username, password):
    return True

@DFF.API('read')
def read(key='seen'):
    return DFF.STORE.get(key, scope='told')
'''


def enter(client: Client, func: str, username: str, password: str = 'sesame'):
    """Data of the sign-in."""
    return client.post('/func/integration/sign-in', {'captchaToken': 'test-0000', 'captcha': '0000', 'signIn': {
        'funcId': func, 'username': username, 'password': password}})


def refused(client: Client, func: str, username: str, password: str = 'sesame') -> ApiError:
    with pytest.raises(ApiError) as e:
        enter(client, func, username, password)
    return e.value


@pytest.fixture(scope='module')
def door(server):
    """The id of the sign-in function; door.client is the administrator."""
    client = server.client()

    class Door(str):
        pass
    script = client.script(SCRIPT)
    d = Door(script + '.door')
    d.client, d.script, d.read = client, script, client.add_sync_api(script + '.read')
    return d


def as_user(anonymous: Client, data) -> Client:
    c = Client(anonymous.base)
    c.session.headers['X-Dff-Auth-Token'] = data['xAuthToken']
    return c


@pytest.mark.parametrize('username,uid,name,email', [
    ('true', 'true', 'true', None), ('text', 'u-é', 'u-é', None), ('number', str(2 ** 62), str(2 ** 62), None),
    ('object', '7', 'Olga', 'o@x'), ('resp', 'r', 'T', None)])
def test_who_it_is(door, anonymous, username, uid, name, email):
    """True, a text, a number, an object with names in any spelling; the profile says the rest."""
    data = enter(anonymous, door, username)
    assert data['userId'] == 'igu_%s-%s' % (hashlib.md5(door.encode()).hexdigest(), uid)
    profile = as_user(anonymous, data).get('/auth/profile/do/get')
    assert {k: profile[k] for k in ('isSignedIn', 'id', 'username', 'name', 'email', 'mobile', 'roles', 'customPrivileges',
                                    'isDisabled', 'integratedSignInFuncId', 'integratedSignInFuncTitle')} == {
        'isSignedIn': True, 'id': data['userId'], 'username': username, 'name': name, 'email': email, 'mobile': None,
        'roles': ['user'], 'customPrivileges': ['systemSetting_r'], 'isDisabled': False,
        'integratedSignInFuncId': door, 'integratedSignInFuncTitle': 'Door'}


@pytest.mark.parametrize('username,plain', [('long', 'l' * 100), ('tilde', '~x')])
def test_ids_fit_their_columns(door, anonymous, username, plain):
    """A long uid is replaced by its digest, so that the user can own and lock things."""
    data = enter(anonymous, door, username)
    assert data['userId'].split('-', 1)[1] == '~' + hashlib.md5(plain.encode()).hexdigest()[:26]
    c = as_user(anonymous, data)
    set_id = c.add_script_set()
    c.post('/script-sets/%s/do/modify' % set_id, {'data': {'isLocked': True}})
    row = c.get('/script-sets/do/list', id=set_id)[0]
    assert (row['originId'], row['lockedByUserId']) == (data['userId'], data['userId'])
    c.post('/script-sets/%s/do/modify' % set_id, {'data': {'isLocked': False}})


def test_what_such_a_user_may(door, anonymous):
    """The role user and systemSetting_r; nothing of its own is stored here."""
    c = as_user(anonymous, enter(anonymous, door, 'true'))
    c.script('@DFF.API("x")\ndef x():\n    pass\n')
    c.get('/system-settings/do/get')
    for path in ('/users/do/add', '/access-keys/do/add', '/system-settings/NAVI_DOC_LINK_ENABLED/do/set'):
        with pytest.raises(ApiError) as e:
            c.post(path, {'data': {'username': 'u', 'password': 'p', 'roles': ['user'], 'title': 't', 'value': True}})
        assert e.value.reason == 'EUserPrivilege', path
    for path, body in (('/auth/profile/do/modify', {'data': {'name': 'x'}}), ('/auth/do/change-password', {
            'captchaToken': 'test-0000', 'captcha': '0000', 'changePassword': {'oldPassword': 'a', 'newPassword': 'b'}})):
        with pytest.raises(ApiError) as e:
            c.post(path, body)
        assert e.value.reason == 'EBizCondition', path
    c.get('/auth/do/sign-out')
    with pytest.raises(ApiError) as e:
        c.get('/auth/profile/do/get')
    assert e.value.reason == 'EUserAuth'


def test_how_it_runs(door, anonymous):
    enter(anonymous, door, 'true')
    assert door.client.result(door.read) == ['integration', 'signIn', 1, 35, 900]


@pytest.mark.parametrize('password', ['false', 'none', 'zero', 'empty', 'list', 'dict', 'nameless', 'long', 'huge', 'float', 'idfloat'])
def test_nobody(door, anonymous, password):
    e = refused(anonymous, door, 'nobody-' + password, password)
    assert (e.status, e.reason) == (599, 'EFuncFailed.SignInFuncReturnedFalseOrNothing')
    assert e.envelope['detail'] == {'signInWaitTimeout': 0}


def test_exception_and_crash(door, anonymous):
    e = refused(anonymous, door, 'raise')
    assert (e.status, e.reason, e.envelope['message']) == (599, 'EFuncFailed.SignInFuncRaisedException', 'no ldap today')
    assert 'sesame' not in e.response.text
    e = refused(anonymous, door, 'die')
    assert e.reason == 'EFuncFailed.SignInFuncRaisedException' and 'exit code 3' in e.envelope['message']


def test_timeout(door, anonymous):
    e = refused(anonymous, door.script + '.slow_door', 'true')
    assert (e.status, e.reason) == (599, 'EFuncFailed.SignInFuncTimeout')


@pytest.mark.parametrize('func', ['.plain', '.none', 'x'])
def test_only_sign_in_functions(door, anonymous, func):
    """The original runs any function here, for anybody."""
    e = refused(anonymous, door.script + func, 'true')
    assert (e.status, e.reason) == (404, 'EClientNotFound') and e.envelope['detail'] == {'funcId': door.script + func}


@pytest.mark.parametrize('body', [{}, {'captchaToken': 'test-0000', 'captcha': '0000'}, {
    'captchaToken': 'test-0000', 'captcha': '0000', 'signIn': {'funcId': 'x', 'username': 'u'}}])
def test_bad_bodies(anonymous, body):
    with pytest.raises(ApiError) as e:
        anonymous.post('/func/integration/sign-in', body)
    assert e.value.reason == 'EClientBadRequest'


def test_guessing_is_slowed(door, anonymous):
    """From the tenth failure on, per function and name; nobody else waits."""
    for _ in range(9):
        assert refused(anonymous, door, 'true', 'wrong').envelope['detail'] == {'signInWaitTimeout': 0}
    assert 50 < refused(anonymous, door, 'true', 'wrong').envelope['detail']['signInWaitTimeout'] <= 60
    assert refused(anonymous, door, 'true').reason == 'EUserLocked'
    enter(anonymous, door, 'text')


def test_listed_for_the_login_screen(door, anonymous):
    funcs = anonymous.get('/system-info')['INTEGRATED_SIGN_IN_FUNC']
    assert {'id': door, 'title': 'Door'} in funcs and all(f['id'] != door.script + '.plain' for f in funcs)


def test_sessions_end_with_their_function(door, anonymous):
    """Also one that is still published but not for sign-in any more."""
    client = door.client
    code = '@DFF.API("in", integration=%r)\ndef f(username, password):\n    return True\n'
    script = client.script(code % 'signIn')
    c = as_user(anonymous, enter(anonymous, script + '.f', 'ann'))
    c.get('/auth/profile/do/get')
    client.edit(script, code.replace(', integration=%r', ''))
    client.publish(script)
    with pytest.raises(ApiError) as e:
        c.get('/auth/profile/do/get')
    assert e.value.reason == 'EUserAuth' and 'no sign-in function any more' in e.value.envelope['message']


def test_switched_off(new_server):
    """DISABLE_INTEGRATED_SIGNIN ends what was signed in, too."""
    s = new_server()
    s.start()
    func = s.client().script(SCRIPT) + '.door'
    data = enter(Client(s.base), func, 'true')
    s.stop()
    s = new_server(data=s.data, env={'DFF_DISABLE_INTEGRATED_SIGNIN': 'true'})
    s.start()
    assert refused(Client(s.base), func, 'true').reason == 'EBizCondition'
    assert Client(s.base).get('/system-info')['INTEGRATED_SIGN_IN_FUNC'] == []
    with pytest.raises(ApiError) as e:
        as_user(Client(s.base), data).get('/auth/profile/do/get')
    assert e.value.reason == 'EUserAuth'


# ---- autoRun -------------------------------------------------------------------------------------------------------
AUTO = '''
def count(name):
    key = '%s %s %s %s' % (name, _DFF_ORIGIN, _DFF_ORIGIN_ID, DFF.TASK.func_call_kwargs)
    DFF.CACHE.incr(key, scope='auto')
    DFF.STORE.set(name, [_DFF_ORIGIN, _DFF_ORIGIN_ID, DFF.TASK.func_call_kwargs, DFF.TASK.queue, VERSION,
                         (DFF.STORE.get(name, scope='auto') or [0])[-1] + 1], scope='auto')

@DFF.API('launch', integration='autoRun', integration_config={'onSystemLaunch': True})
def launch():
    count('launch')

@DFF.API('publish', integration='auto_run', integration_config={'on_publish': True}, queue=4)
def publish():
    count('publish')

@DFF.API('both', integration='autorun', integration_config={'onlaunch': True, 'onpublish': True})
def both():
    count('both')

@DFF.API('neither', integration='autoRun', integration_config={'onSystemLaunch': False, 'onScriptPublish': False})
def neither():
    count('neither')

@DFF.API('plain')
def plain():
    count('plain')

@DFF.API('told')
def told():
    return DFF.STORE.getall(scope='auto')
'''


def test_auto_run(new_server):
    """After each publication the functions of that script; at each start those that want it; with the new code."""
    s = new_server()
    s.start()
    client = s.client()
    script = client.script('VERSION = 1\n' + AUTO)
    told = client.add_sync_api(script + '.told')

    def row(name, why, queue, version, times):
        return ['integration', 'autoRun.%s-%s.%s' % (why, script, name), {}, queue, version, times]

    def becomes(want):
        got = {}

        def same():
            got.update(now=s.client().result(told))
            return got['now'] == want
        assert wait_for(same, 30, 0.1), got

    becomes({'publish': row('publish', 'onScriptPublish', 4, 1, 1), 'both': row('both', 'onScriptPublish', 1, 1, 1)})
    client.script('@DFF.API("x")\ndef x():\n    pass\n')  # of another script: nothing
    client.edit(script, 'VERSION = 2\n' + AUTO)
    client.publish(script)
    becomes({'publish': row('publish', 'onScriptPublish', 4, 2, 2), 'both': row('both', 'onScriptPublish', 1, 2, 2)})
    s.stop()
    s.start()
    becomes({'publish': row('publish', 'onScriptPublish', 4, 2, 2), 'both': row('both', 'onSystemLaunch', 1, 2, 3),
             'launch': row('launch', 'onSystemLaunch', 1, 2, 1)})
    origin = 'autoRun.onSystemLaunch-%s.launch' % script
    rows = wait_for(lambda: s.client().get('/task-records/func/do/list', originId=origin), 40, 0.5)
    assert [(r['origin'], r['status']) for r in rows] == [('integration', 'success')]
