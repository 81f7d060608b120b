# SPDX-License-Identifier: Apache-2.0
"""The tutorial (connectors/mem/README.md) followed to the letter: a new folder is a new type of connector, in the tree and without it."""

import os
import re
import shutil
import subprocess
from typing import List

import pytest
from support.connectors import add, refused, run
from support.server import BUILD, ROOT

TUTORIAL = os.path.join(ROOT, 'connectors/mem')


def blocks() -> List[str]:
    """The commands of the tutorial."""
    with open(os.path.join(TUTORIAL, 'README.md'), encoding='utf-8') as f:
        return re.findall(r'^```sh\n(.*?)^```', f.read(), re.M | re.S)


@pytest.fixture(scope='module')
def pantry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the new plugin, made and compiled by the tutorial's commands with nothing but the installed headers; one of its
    settings is a secret under a name that no other type has."""
    top = str(tmp_path_factory.mktemp('tree'))
    shutil.copytree(TUTORIAL, os.path.join(top, 'connectors/mem'))
    make, build, serve = blocks()
    here = os.path.join(top, 'connectors/pantry')

    def sh(command: str, cwd: str) -> str:
        env = dict(os.environ, CPATH=os.path.join(ROOT, 'kernel/abi'), PATH=os.path.join(BUILD, 'bin') + ':' + os.environ['PATH'])
        done = subprocess.run(['bash', '-ec', command], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout
    sh(make, top)
    assert 'mem_' not in ''.join(open(os.path.join(here, f), encoding='utf-8').read() for f in os.listdir(here))
    for file, was, now in (('pantry.h', '    tn_secret password;\n', '    tn_secret password, door_code;\n    const char *shelf;\n'),
                           ('pantry.c', '    {0},\n};\n', '    {TN_FIELD(struct pantry_conf, door_code), .doc = "A secret."},\n'
                            '    {TN_FIELD(struct pantry_conf, shelf), .doc = "Which.", .flags = TN_F_REQUIRED},\n    {0},\n};\n')):
        path = os.path.join(here, file)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        assert was in text
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text.replace(was, now, 1))
    told = sh(build.replace('--call values', '--config shelf=top --call values'), here)
    assert ' 0 failed' in told.splitlines()[-1], told
    assert '--plugins' in serve
    return here


def test_a_new_folder_is_a_new_type(pantry, new_server):
    """Added, tried out, used, its settings known and its secrets sealed: nothing else of the tree had to know it."""
    server = new_server(args=('--plugins', os.path.join(BUILD, 'plugins') + ':' + pantry)).start()
    api = server.client()
    e = refused(api, 'POST', '/connectors/do/add', {'data': {'id': 'shelf', 'type': 'pantry', 'configJSON': {}}})
    assert e['reason'] == 'EClientBadRequest.InvalidConnectorConfigJSON' and e['detail']['missingField'] == 'shelf', e
    assert set(e['detail']['optionalFields']) == {'rows_max', 'password', 'door_code'}
    cid = add(api, 'pantry', {'shelf': 'top', 'password': 'sesame', 'doorCode': 'knock-thrice', 'rows_max': 2})
    assert api.get('/connectors/do/list', type='pantry')[0]['configJSON'] == {'shelf': 'top', 'rows_max': 2}
    assert run(api, "@DFF.API('f')\ndef f(id):\n    return [sorted(DFF.CONN(id).values())[:2], len(DFF.CONN(id).table(2))]", id=cid) == [['bool', 'bytes'], 2]
    e = refused(api, 'POST', '/connectors/%s/do/modify' % cid, {'data': {'configJSON': {'shelf': 'top', 'door_code': 'knock-twice', 'password': 'x'}}})
    assert e['detail']['exceptionType'] == 'Denied' and 'knock' not in str(e), e
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': {'shelf': 'low'}}})  # its secrets stay
    assert api.get('/connectors/%s/do/test' % cid) == {'checkResult': 'OK'}
    run(api, "@DFF.API('f')\ndef f(door_code):\n    DFF.CONN.save('mine', 'pantry', {'shelf': 'top', 'door_code': door_code})", door_code='knock-often')
    assert server.stop() == 0
    left = subprocess.run(['grep', '-rlaE', 'knock-(thrice|twice|often)', server.data, server.log_path], stdout=subprocess.PIPE, text=True, check=False)
    assert left.stdout == '', left.stdout
    # without its plugin the type is unknown, what it kept stays sealed and hidden
    server.args = ['--dev']
    server.start()
    api = server.client()
    assert {r['id']: r['configJSON'] for r in api.get('/connectors/do/list', type='pantry')} == {cid: {'shelf': 'low'}, 'mine': {'shelf': 'top'}}
    api.post('/connectors/%s/do/modify' % cid, {'skipTest': True, 'data': {'configJSON': {'shelf': 'mid', 'doorCode': 'knock-again'}}})
    assert api.get('/connectors/do/list', id=cid)[0]['configJSON'] == {'shelf': 'mid'}
    e = refused(api, 'GET', '/connectors/%s/do/test' % cid)
    assert 'connector_pantry' in e['detail']['exception'] and 'tenon plugins' in e['detail']['exception'], e
