# SPDX-License-Identifier: Apache-2.0
"""Debugger runs of drafts (spec 2.10, 3.10)."""

DRAFT = '''
print('top')

@DFF.API('Add', category='math', tags=['a'])
def add(x, y):
    print('adding', x, y)
    return x + y

def undecorated():
    return [1, 'a', None, (2,)]

def fail():
    raise ValueError('boom')

def debug():
    return _DFF_DEBUG

def control():
    return DFF.RESP('x', status_code=201)
'''


def run(client, func, kwargs=None):
    """data of a draft call."""
    return client.post('/func-draft/' + func, {'kwargs': kwargs or {}})


def draft(client):
    """A script that was never published."""
    script = client.add_script_set() + '__draft'
    client.add_script(script, DRAFT)
    return script


def test_success(api):
    """The whole report of a run."""
    script = draft(api)
    data = run(api, script + '.add', {'x': 1, 'y': 2})
    assert data['status'] == 'success' and data['exception'] is None and data['id'].startswith('task-')
    result = data['result']
    assert result['status'] == 'success' and result['returnValue'] == '3' and result['exception'] is None
    assert len(result['printLogs']) == 2 and result['printLogs'][1].endswith('adding 1 2')
    assert [f['name'] for f in result['apiFuncs']] == ['add']
    assert result['cost'] >= 0 and result['peakMemroyUsage'] > 0
    assert data['triggerTime'] <= data['startTime'] <= data['endTime']


def test_values_are_shown_as_python_shows_them(api):
    """repr of the value; undecorated functions run too; the debugger says so to the script."""
    script = draft(api)
    assert run(api, script + '.undecorated')['result']['returnValue'] == "[1, 'a', None, (2,)]"
    assert run(api, script + '.debug')['result']['returnValue'] == 'True'
    assert run(api, script + '.control')['result']['responseControl']['statusCode'] == 201


def test_script_alone(api):
    """Without a function the script is executed."""
    result = run(api, draft(api))['result']
    assert result['status'] == 'success' and result['returnValue'] is None
    assert [f['name'] for f in result['apiFuncs']] == ['add']


def test_failure_is_a_result(api):
    """The task succeeds, its result fails."""
    script = draft(api)
    data = run(api, script + '.fail')
    assert data['status'] == 'success'
    result = data['result']
    assert (result['status'], result['exception'], result['exceptionType']) == (
        'failure', 'ValueError: boom', 'ValueError')
    assert 'File "%s", line 13, in fail' % script in result['traceback']
    assert run(api, script + '.nothing')['result']['status'] == 'failure'


def test_syntax_error(api):
    """A draft that does not compile."""
    script = api.add_script_set() + '__bad'
    api.add_script(script, 'def f(:\n')
    result = run(api, script + '.f')['result']
    assert result['status'] == 'failure' and result['exceptionType'] == 'SyntaxError'


def test_draft_against_published(api, anonymous):
    """The draft runs in the debugger only; imported scripts are the published ones."""
    lib = api.script('def value():\n    return "published"\n', name='lib')
    own = api.script('import %s as lib\n@DFF.API("F")\ndef f():\n    return "old " + lib.value()\n' % lib)
    sapi = api.add_sync_api(own + '.f')
    api.edit(lib, 'def value():\n    return "draft"\n')
    api.edit(own, 'import %s as lib\n@DFF.API("F")\ndef f():\n    return "new " + lib.value()\n' % lib)
    assert run(api, own + '.f')['result']['returnValue'] == "'new published'"
    assert anonymous.sync(sapi).text == 'old published'


def test_unknown(api, anonymous):
    """Always answered; the original hangs on a name without two underscores."""
    for func in ('nothing', 'no__script.f', 'x.y.z'):
        assert api.request('POST', '/api/v1/func-draft/' + func, json={}).json()['error'] == 404.41
    assert anonymous.request('POST', '/api/v1/func-draft/a__b.c', json={}).status_code == 401
