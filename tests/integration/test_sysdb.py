# SPDX-License-Identifier: Apache-2.0
"""DFF.SYS_DB (spec 3.5, 4.1.2): the platform's own database, transactions that end with their task, and what a
script may not do there."""

import time
from datetime import datetime

import pytest

from support.server import wait_for

SCRIPT = '''
import time

@DFF.API('query')
def query(sql, params=None):
    return DFF.SYS_DB.query(sql, params)

@DFF.API('non_query')
def non_query(sql, params=None):
    return DFF.SYS_DB.non_query(sql, params)

@DFF.API('quoting')
def quoting(value):
    return DFF.SYS_DB.query('SELECT ? AS v', [value])[0]['v']

@DFF.API('trans')
def trans(end, id, pause=0):
    db = DFF.SYS_DB
    conn = db.start_trans()
    n = db.trans_non_query(conn, 'UPDATE biz_main_env_variable SET ? WHERE id = ?', [{'title': end}, id])
    seen = db.trans_query(conn, 'SELECT title FROM biz_main_env_variable WHERE id = ?', id)
    time.sleep(pause)
    if end == 'commit':
        db.commit(conn)
    elif end == 'rollback':
        db.rollback(conn)
    elif end == 'raise':
        raise Exception('on purpose')
    elif end == 'exit':
        __import__('os')._exit(3)
    db.rollback(None)
    return [n, seen]

@DFF.API('clear')
def clear(table):
    DFF.SYS_DB.skip_log = True
    DFF.SYS_DB.check()
    return DFF.SYS_DB.clear_table(table)

@DFF.API('after')
def after(id):
    db = DFF.SYS_DB
    conn = db.start_trans()
    db.commit(conn)
    return db.trans_query(conn, 'SELECT 1')
'''


@pytest.fixture(scope='module')
def db(server):
    """run(name, **kwargs) → the response."""
    client = server.client()
    script = client.script(SCRIPT)
    apis = {n: client.add_sync_api(script + '.' + n) for n in ('query', 'non_query', 'quoting', 'trans', 'after', 'clear')}

    def run(name, **kwargs):
        return client.sync(apis[name], kwargs)
    run.client = client
    return run


def fresh_env(client, id):
    client.post('/env-variables/do/add', {'data': {'id': id, 'autoTypeCasting': 'string', 'valueTEXT': 'v'}})
    return id


def title(client, id):
    return client.get('/env-variables/do/list', id=id)[0]['title']


def test_query(db):
    """Rows as dicts, placeholders of all kinds."""
    assert db('query', sql='SELECT ? AS a, ? AS b, ? AS c, ?? AS d', params=[1, 'x', None, '2 + 3']).json() == [
        {'a': 1, 'b': 'x', 'c': None, 'd': 5}]
    rows = db('query', sql='SELECT id, username FROM ?? WHERE id IN (?)', params=['wat_main_user', ['u-admin', 'x']]).json()
    assert rows == [{'id': 'u-admin', 'username': 'admin'}]
    assert db('query', sql='SELECT 1 AS one WHERE 1 = 0').json() == []


@pytest.mark.parametrize('value', ["it's", "''", "\\", "\\'", '"; DROP TABLE wat_main_user; --', 'ä\n\r\t', 'a\0b', '?', '',
                                   "'); DELETE FROM wat_main_user; --"])
def test_quoting(db, value):
    """Whatever the text, it arrives as it is."""
    assert db('quoting', value=value).text == value


def test_non_query_changes_what_others_see(db):
    """Row counts; APIs and variables see the change with the next call."""
    id = fresh_env(db.client, 'sysdb_env')
    assert db('non_query', sql='UPDATE biz_main_env_variable SET valueTEXT = ? WHERE id = ?', params=['w', id]).json() == 1
    api_id = db.client.function("@DFF.API('f')\ndef f():\n    return DFF.ENV('sysdb_env')\n", 'f')
    assert db.client.result(api_id) == 'w'
    assert db('non_query', sql='UPDATE biz_main_sync_api SET isDisabled = 1 WHERE id = ?', params=[api_id]).json() == 1
    assert db.client.sync(api_id, {}).status_code == 403
    assert db('non_query', sql='DELETE FROM biz_main_env_variable WHERE id = ?', params=['none']).json() == 0
    made = db('non_query', sql='CREATE TABLE IF NOT EXISTS my_table (a INTEGER, b TEXT)')
    assert made.status_code == 200, made.text
    assert db('non_query', sql='INSERT INTO my_table VALUES ?', params=[[[1, 'x'], [2, "y'"]]]).json() == 2
    assert db('query', sql='SELECT * FROM my_table ORDER BY a').json() == [{'a': 1, 'b': 'x'}, {'a': 2, 'b': "y'"}]


def test_transactions(db):
    """Commit and rollback; forgotten, failed and killed ones are undone."""
    id = fresh_env(db.client, 'sysdb_trans')
    assert db('trans', end='commit', id=id).json() == [1, [{'title': 'commit'}]]
    assert title(db.client, id) == 'commit'
    for end in ('rollback', 'forget'):
        assert db('trans', end=end, id=id).json() == [1, [{'title': end}]]
        assert title(db.client, id) == 'commit'
    assert db('trans', end='raise', id=id).status_code == 599
    assert title(db.client, id) == 'commit'
    db('trans', end='exit', id=id)
    assert wait_for(lambda: db('trans', end='rollback', id=id).status_code == 200, 10)
    assert title(db.client, id) == 'commit'
    late = db('trans', end='commit', id=id, pause=4)
    assert late.status_code == 599 and 'SYS_DB transaction has ended' in late.text
    assert title(db.client, id) == 'commit'
    assert 'SYS_DB transaction has ended' in db('after', id=id).text


@pytest.mark.parametrize('sql', [
    "ATTACH DATABASE '/tmp/x.db' AS x", 'PRAGMA user_version', 'VACUUM INTO \'/tmp/x.db\'', 'DETACH main', 'BEGIN', 'COMMIT',
    'SELECT 1; DELETE FROM wat_main_user', '/* c */ PRAGMA journal_mode', '-- c\nATTACH x', '', ';', 'SELECT * FROM tn_meta',
    'SELECT * FROM "TN_META"', 'SELECT * FROM `tn_session`', 'SELECT * FROM [tn_meta]', "SELECT * FROM 'tn_meta'",
    "SELECT * FROM wat_main_user, 'tn_meta'", 'DROP TABLE main.tn_meta', 'WITH x AS (SELECT 1) DELETE FROM tn_session',
    'CREATE TRIGGER t AFTER INSERT ON wat_main_user BEGIN DELETE FROM wat_main_user; END',
    'CREATE VIRTUAL TABLE v USING fts5(a)', 'SELECT 1 /* ; */ ; PRAGMA x',
    # what SQLite takes for the name of a table although it looks otherwise
    "SELECT * FROM ('tn_meta')", "SELECT * FROM (SELECT 1 WHERE 1), 'tn_meta'", "SELECT 'x' IN 'tn_meta'",
    "UPDATE OR IGNORE 'tn_meta' SET value = ''", "SELECT 1 FROM wat_main_user a$WHERE, 'tn_meta'",
    "SELECT 1 FROM wat_main_user JOIN wat_main_user b ON :WHERE, 'tn_meta'", 'SELECT * FROM \ufefftn_meta',
    "SELECT 1 FROM wat_main_user JOIN wat_main_user b ON 1, 'tn_meta'", 'SELECT ' + '(' * 64 + '1' + ')' * 64])
def test_refused(db, sql):
    """Nothing that opens files, changes the connection or reaches the kernel's tables."""
    for name in ('query', 'non_query'):
        answer = db(name, sql=sql)
        assert answer.status_code == 599 and 'SYS_DB' in answer.text, answer.text
    assert db('query', sql='SELECT count(*) AS n FROM wat_main_user').json()[0]['n'] >= 1


def test_clear_table(db):
    """All rows go, the number is told; only tables of the vocabulary, only a name."""
    db('clear', table='biz_main_func_store')
    made = db('non_query', sql='INSERT INTO biz_main_func_store (id, scope, key, valueJSON) VALUES ?',
              params=[[[id, 's', id, '1'] for id in 'ab']])
    assert made.text == '2'
    for row in db.client.get('/func-stores/do/list', scope='s'):  # times are filled in, as in the original
        for name in ('createTime', 'updateTime'):
            assert abs(datetime.fromisoformat(row[name].replace('Z', '+00:00')).timestamp() - time.time()) < 60
    assert db('clear', table='biz_main_func_store').text == '2'
    assert db('query', sql='SELECT count(*) AS n FROM biz_main_func_store').json() == [{'n': 0}]
    for bad in ('biz_main_func_store; DROP', '', None, 'tn_blob', 'no_such_table'):
        assert db('clear', table=bad).status_code == 599


def test_texts_are_no_names(db):
    """Values may begin with tn_; comments and semicolons inside texts are texts."""
    assert db('query', sql="SELECT ? AS a, 'x; y -- z' AS b, \"id\" FROM wat_main_user WHERE id <> ? LIMIT 1",
              params=['tn_x', 'tn_y']).json() == [{'a': 'tn_x', 'b': 'x; y -- z', 'id': 'u-admin'}]
    assert db('query', sql="SELECT a.id FROM wat_main_user AS a JOIN (SELECT max('tn_x', ?) AS n) AS b ON b.n IN ('tn_x', ?) AND a.id = ?",
              params=['tn_w', 'tn_y', 'u-admin']).json() == [{'id': 'u-admin'}]


def test_secrets_stay_sealed(db):
    """Sealed columns show their sealed form."""
    db.client.post('/env-variables/do/add', {'data': {'id': 'sysdb_pw', 'autoTypeCasting': 'password',
                                                      'valueTEXT': 'unspoken'}})
    text = db('query', sql='SELECT valueTEXT FROM biz_main_env_variable WHERE id = ?', params=['sysdb_pw']).text
    assert 'unspoken' not in text and 'tn1:' in text
