# SPDX-License-Identifier: Apache-2.0
"""connectors/mongodb against a scripted server: signing in, sessions, what is sent, what is refused, hostile replies."""

import re
import struct
import time

import pytest
from peers.mongo_script import PASSWORD, USER, MongoScript
from support.cases import calls
from support.connectors import add, not_addable, on, peer
from support.server import wait_for


@pytest.fixture
def script():
    with peer(MongoScript) as s:
        yield s


def first(script, name):
    return next(c for c in script.asked if next(iter(c)) == name)


@pytest.mark.parametrize('mechanism', ['SCRAM-SHA-1', 'SCRAM-SHA-256'])
def test_scram(api, mechanism):
    """With a server that pymongo gets on with as well."""
    pymongo = pytest.importorskip('pymongo')
    with peer(MongoScript, mechanisms=[mechanism]) as s:
        for extra in ({}, {'auth_mechanism': mechanism, 'auth_source': 'admin'}):
            cid = add(api, 'mongodb', s.config(**extra))
            assert on(api, cid, "return c.db().command('ping')['ok']") == 1
        assert {'saslStart': mechanism} in s.asked
        for change in ({'password': 'wrong'}, {'user': 'bob'}):
            e = not_addable(api, 'mongodb', s.config(**change))
            assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and PASSWORD not in str(e), e
        e = not_addable(api, 'mongodb', s.config(user='', password=''))
        assert e['exceptionType'] == 'Denied' and 'configure user and password' in e['exception']
        assert PASSWORD not in str(api.get('/connectors/do/list', id=cid))
        told = []
        for secret in (PASSWORD, 'wrong'):
            with pymongo.MongoClient('127.0.0.1', s.port, username=USER, password=secret, authMechanism=mechanism, serverSelectionTimeoutMS=5000) as theirs:
                try:
                    told.append(theirs.admin.command('ping'))
                except pymongo.errors.OperationFailure as e:
                    told.append(e.code)
        assert told == [{'ok': 1}, 18]


def test_certificate_as_the_account(api, certs):
    pem, key = certs.pair('client')
    with peer(MongoScript, certs=certs, mechanisms=['MONGODB-X509']) as s:
        cid = add(api, 'mongodb', s.config(tls='on', tls_ca=certs.text('ca.pem'), tls_cert=pem, tls_key=key, auth_mechanism='MONGODB-X509'))
        assert on(api, cid, "return c.db().command('ping')['ok']") == 1
        assert first(s, 'authenticate')['user'] == 'CN=tls_user'


def test_name_and_limits_of_time(api, script):
    script.answers['find'] = {'cursor': {'id': 0, 'ns': 'test.t', 'firstBatch': []}, 'ok': 1}
    cid = add(api, 'mongodb', script.config(application='count me', pool={'query': '2000ms'}))
    on(api, cid, 'return c.db().t.find_one({})')
    sent = first(script, 'find')
    assert 0 < sent['maxTimeMS'] <= 2000 and sent['limit'] == 1 and sent['singleBatch'] is True
    assert script.hellos[0]['client']['application']['name'] == 'count me'


def test_a_server_that_does_not_answer_in_time(api, script):
    """The operation ends with pool.query, the server was told to stop before that, and the next one has another connection."""
    script.answers['find'] = lambda command: time.sleep(1.5) or {'cursor': {'id': 0, 'ns': 'test.t', 'firstBatch': []}, 'ok': 1}
    cid = add(api, 'mongodb', script.config(pool={'query': '400ms'}))
    got = on(api, cid, '''
t = time.monotonic()
told = tell(lambda: c.db().t.find_one({}))
return [told, time.monotonic() - t, c.db().command('ping')['ok']]
''')
    assert got[0][0] == 'ConnTimeout' and got[1] < 1.2 and got[2] == 1, got
    assert 0 < first(script, 'find')['maxTimeMS'] < 400
    assert len([n for n in script.names() if n == 'find']) == 1  # it was not asked again


def test_one_limit_of_time(api, script):
    """A script's own limit counts when it is the sooner one; never two of them in a command."""
    script.answers['find'] = script.answers['aggregate'] = {'cursor': {'id': 0, 'ns': 'test.t', 'firstBatch': []}, 'ok': 1}
    on(api, add(api, 'mongodb', script.config(pool={'query': '5s'})), '''
t = c.db().t
list(t.find({}, max_time_ms=77)), list(t.find({}).max_time_ms(60000)), list(t.aggregate([], maxTimeMS=78)), list(t.aggregate([], maxTimeMS=0))
''')
    sent = [command['maxTimeMS'] for command in script.asked if 'maxTimeMS' in command]
    assert sent[0] == 77 and 1000 < sent[1] <= 5000 and sent[2] == 78 and 1000 < sent[3] <= 5000, sent


@pytest.mark.parametrize('version', [8, 13])
def test_the_server_sees_the_function(api, script, version):
    """As the comment of its operations, where the server takes one; not instead of one that the script gives."""
    script.newest = version
    script.answers.update({'insert': {'n': 1, 'ok': 1}, 'find': {'cursor': {'id': 0, 'ns': 'test.t', 'firstBatch': []}, 'ok': 1}})
    cid = add(api, 'mongodb', script.config())
    on(api, cid, '''
t = c.db().t
t.insert_one({'_id': 1})
t.find_one({})
list(t.find({}, comment='mine'))
c.db().command('ping')
''')
    sent = {}
    for command in script.asked:
        sent.setdefault(next(iter(command)), []).append(command.get('comment'))
    assert re.fullmatch(r'\w+__\w+\.f', sent['find'][0]) and sent['find'][1:] == ['mine'] and set(sent['ping']) == {None}
    assert sent['insert'] == ([sent['find'][0]] if version >= 9 else [None])


def test_transactions(api, script):
    """What is sent in a session; committed, aborted by an exception, aborted because the script forgot it."""
    script.answers['insert'] = {'n': 1, 'ok': 1}
    cid = add(api, 'mongodb', script.config())
    got = on(api, cid, '''
t = c.db().t
with c.start_session() as s:
    with s.start_transaction():
        t.insert_one({'_id': 1}, session=s)
        t.insert_one({'_id': 2}, session=s)
    out = [s.in_transaction]
    try:
        with s.start_transaction():
            t.insert_one({'_id': 3}, session=s)
            raise ValueError
    except ValueError:
        out.append(s.in_transaction)
    s.with_transaction(lambda x: t.insert_one({'_id': 4}, session=x))
t.insert_one({'_id': 5})
out += [s.has_ended, tell(lambda: t.insert_one({}, session=s))[0], tell(s.commit_transaction)[0]]
forgotten = c.start_session()
forgotten.start_transaction()
t.insert_one({'_id': 6}, session=forgotten)
return out
''')
    assert got == [False, False, True, 'InvalidOperation', 'InvalidOperation']
    words = ('insert', 'commitTransaction', 'abortTransaction')
    assert wait_for(lambda: [n for n in script.names() if n in words] == [
        'insert', 'insert', 'commitTransaction', 'insert', 'abortTransaction', 'insert', 'commitTransaction', 'insert', 'insert',
        'abortTransaction'])
    one, two, three, four, five = [c for c in script.asked if 'insert' in c][:5]
    assert one['startTransaction'] is True and one['autocommit'] is False and 'startTransaction' not in two
    assert one['lsid'] == two['lsid'] == first(script, 'commitTransaction')['lsid'] and one['txnNumber'] == two['txnNumber']
    assert three['txnNumber'] == four['txnNumber'] - 1 and 'startTransaction' not in five and 'autocommit' not in five


def test_a_session_on_a_connection_that_died(api, script):
    """Nothing was asked on it yet, so it is made again."""
    ask = calls(api, add(api, 'mongodb', script.config()), "[c.start_session().end_session(), n][1]", n=1)
    assert ask() == 1
    script.drop()
    assert ask() == 1


@pytest.mark.parametrize('ns', ['a\0.b', '.b', 'test', 'x' * 300 + '.b', ''])
def test_cursors_of_no_collection(api, script, ns):
    """A server that tells nonsense about where its cursor is: that is left open, and nobody falls over it."""
    script.answers['find'] = {'cursor': {'id': 77, 'ns': ns, 'firstBatch': [{'_id': 1}]}, 'ok': 1}
    ask = calls(api, add(api, 'mongodb', script.config()), "[next(c.db().t.find()), c.db().command('ping')['ok']][1]")
    assert [ask(), ask()] == [1, 1]


def test_replies_without_what_they_must_have(api, script):
    """A refusal in words, not an error of Python."""
    cid = add(api, 'mongodb', script.config())
    for answer in ({'ok': 1}, {'ok': 1, 'cursor': 5}, {'ok': 1, 'cursor': {'id': 0}}):
        script.answers['find'] = script.answers['aggregate'] = answer
        told = on(api, cid, "return [tell(lambda: list(c.db().t.find())), tell(lambda: c.db().t.aggregate([]))]")
        assert [t[0] for t in told] == ['OperationFailure'] * 2 and 'cursor' in told[0][1], told


def test_cursors_are_closed_at_the_end_of_the_call(api, script):
    script.answers['find'] = {'cursor': {'id': 77, 'ns': 'test.t', 'firstBatch': [{'_id': 1}]}, 'ok': 1}
    cid = add(api, 'mongodb', script.config())
    assert on(api, cid, 'f.kept = c.db().t.find(); return next(f.kept)') == {'_id': 1}
    assert wait_for(lambda: 'killCursors' in script.names())
    assert first(script, 'killCursors')['cursors'] == [77] and first(script, 'killCursors')['killCursors'] == 't'
    script.asked.clear()
    assert on(api, cid, "return c.db().command('find', 't')['cursor']['id']") == 77  # also when a script reads replies itself
    assert wait_for(lambda: 'killCursors' in script.names())


def test_a_server_that_is_no_primary_any_more(api, script):
    """The error says to try again, and the next call asks a new connection at once."""
    cid = add(api, 'mongodb', script.config(retry_writes=False))
    script.answers['insert'] = {'ok': 0, 'code': 10107, 'codeName': 'NotWritablePrimary', 'errmsg': 'not primary'}
    api_id = api.function('''
@DFF.API('f')
def f(cid):
    try:
        return DFF.CONN(cid).db().t.insert_one({}).acknowledged
    except Exception as e:
        return [type(e).__name__, e.retry]
''', 'f', {'cid': 'INPUT_BY_CALLER'})
    assert api.result(api_id, cid=cid) == ['ConnUnavailable', True]
    script.answers['insert'] = {'n': 1, 'ok': 1}
    assert api.result(api_id, cid=cid) is True


def test_concerns_and_refusals(api, script):
    script.answers['insert'] = {'n': 1, 'writeConcernError': {'code': 64, 'errmsg': 'waiting timed out'}, 'ok': 1}
    script.answers['update'] = {'n': 0, 'nModified': 0, 'writeErrors': [{'index': 0, 'code': 121, 'errmsg': 'Document failed validation'}], 'ok': 1}
    script.answers['find'] = {'ok': 0, 'code': 50, 'codeName': 'MaxTimeMSExpired', 'errmsg': 'operation exceeded time limit'}
    script.answers['delete'] = {'ok': 0, 'code': 112, 'codeName': 'WriteConflict', 'errmsg': 'conflict', 'errorLabels': ['TransientTransactionError']}
    script.answers['count'] = {'ok': 0, 'code': 13, 'codeName': 'Unauthorized', 'errmsg': 'not allowed'}
    cid = add(api, 'mongodb', script.config(retry_writes=False))
    got = on(api, cid, '''
from tenon_shim import errors
t = c.db().t.with_options(write_concern={'w': 'majority', 'wtimeout': 100}, read_concern={'level': 'majority'})
def kind(call, *classes):
    try:
        call()
    except Exception as e:
        return [type(e).__name__, e.code, e.retry] + [isinstance(e, getattr(errors, k)) for k in classes]
return [kind(lambda: t.insert_one({}), 'ConnUnavailable'), kind(lambda: t.update_one({}, {'$set': {'a': 1}}), 'QueryError'), kind(t.find_one, 'ConnTimeout'),
        kind(lambda: t.delete_one({}), 'ConflictError'), kind(t.count, 'Denied')]
''')
    assert got == [['WriteConcernError', 64, False, True], ['WriteError', 121, False, True], ['ExecutionTimeout', 50, True, True],
                   ['WriteConflict', 112, True, True], ['NotAuthorized', 13, False, True]]
    assert first(script, 'insert')['writeConcern'] == {'w': 'majority', 'wtimeout': 100}
    assert first(script, 'find')['readConcern'] == {'level': 'majority'}


def test_read_preference(api, script):
    """That of the connector, unless a database, a collection or a command has its own; a transaction has none."""
    script.answers.update({'find': {'cursor': {'id': 0, 'ns': 'test.t', 'firstBatch': []}, 'ok': 1}, 'count': {'n': 5, 'ok': 1}})
    got = on(api, add(api, 'mongodb', script.config(read_preference='secondary')), '''
from pymongo import ReadPreference as R
from pymongo.read_preferences import Secondary
t = c.db().t
out = [t.read_preference.name, t.with_options(read_preference=R.NEAREST).read_preference.name]
t.find_one(), t.with_options(read_preference=R.NEAREST).find_one(), t.with_options(read_preference=R.PRIMARY).x.find_one()
c.db().with_options(read_preference=R.PRIMARY_PREFERRED).t.count()
c.db().command('ping'), c.db().command('ping', read_preference=R.SECONDARY_PREFERRED)
t.with_options(read_preference=R.NEAREST).insert_one({})
return out + [tell(lambda: t.with_options(read_preference=Secondary(tag_sets=[{'a': 'b'}])))[0], tell(lambda: t.with_options(read_preference='secondary'))[0],
              tell(lambda: c.start_session().start_transaction(read_preference=R.NEAREST))[0]]
''')
    assert got == ['Secondary', 'Nearest', 'NotSupported', 'TypeError', 'InvalidOperation']
    sent = [(name, command.get('$readPreference', {}).get('mode')) for command, name in zip(script.asked, script.names())
            if name in ('find', 'count', 'insert') or (name == 'ping' and command['$db'] == 'test')]
    assert sent == [('find', 'secondary'), ('find', 'nearest'), ('find', None), ('count', 'primaryPreferred'), ('ping', None), ('ping', 'secondaryPreferred'),
                    ('insert', None)]


def deep(n):
    inner = b'\x05\0\0\0\0'
    for _ in range(n):
        inner = struct.pack('<i', len(inner) + 8) + b'\x03a\0' + inner + b'\0'
    return inner


@pytest.mark.parametrize('name, change', [
    ('deep', lambda reply: struct.pack('<i', len(reply) + 3 + len(deep(5000))) + reply[4:-1] + b'\x03d\0' + deep(5000) + b'\0'),
    ('bad type', lambda reply: struct.pack('<i', len(reply) + 3) + reply[4:-1] + b'\x77d\0\0'),
    ('short length', lambda reply: struct.pack('<i', 5) + reply[4:]),
    ('long length', lambda reply: struct.pack('<i', 1 << 30) + reply[4:]),
    ('negative length', lambda reply: struct.pack('<i', -5) + reply[4:]),
    ('text without end', lambda reply: struct.pack('<i', len(reply) + 11) + reply[4:-1] + b'\x02d\0\x7f\0\0\0abc\0\0'[:11] + b'\0'),
    ('empty', lambda reply: b''),
])
def test_hostile_replies(api, script, name, change):
    """An error, no crash; the next call works."""
    cid = add(api, 'mongodb', script.config(pool={'query': '1500ms'}))
    api_id = api.function('''
@DFF.API('f')
def f(cid):
    try:
        return DFF.CONN(cid).db().command('ping')
    except Exception as e:
        return [type(e).__name__, str(e)]
''', 'f', {'cid': 'INPUT_BY_CALLER'})
    assert api.result(api_id, cid=cid) == {'ok': 1}
    script.raw = change
    told = api.result(api_id, cid=cid)
    assert told[0] in ('QueryError', 'ConnUnavailable', 'ConnTimeout', 'OperationFailure'), (name, told)
    script.raw = None
    assert wait_for(lambda: api.result(api_id, cid=cid) == {'ok': 1})


def test_compression(api, script):
    """Messages are packed both ways; what is in them is judged like any other, and what they claim to be."""
    script.packs = True
    script.answers['find'] = {'cursor': {'id': 0, 'ns': 'test.c', 'firstBatch': [{'_id': i, 't': 'x' * 1000} for i in range(500)]}, 'ok': 1}
    cid = add(api, 'mongodb', script.config(compressors='zlib'))
    asked = "return [len(list(c.db()['c'].find())), tell(lambda: c.db().command('ping'))]"
    assert on(api, cid, asked) == [500, None] and script.packed > 1
    script.raw = lambda reply: struct.pack('<i', len(reply) + 3) + reply[4:-1] + b'\x77d\0\0'
    assert on(api, cid, "return tell(lambda: c.db().command('ping'))")[0] == 'ConnUnavailable'
    script.raw = None
    for claims, kind in ((3, 'ConnUnavailable'), (5000000, 'LimitExceeded')):
        script.claims = claims
        assert on(api, cid, "return tell(lambda: c.db().command({'ping': 1, 'x': 'x' * 3000}))")[0] == kind
    script.claims = 1
    assert wait_for(lambda: on(api, cid, asked) == [500, None])
    assert 'snappy' in not_addable(api, 'mongodb', script.config(compressors='snappy,zlib'))['exception']
