# SPDX-License-Identifier: Apache-2.0
"""connectors/mongodb in scripts, against FerretDB; the same lines run with pymongo and must give the same."""

import contextlib
import datetime
import decimal
import json
import time

import pytest
from peers.ferretdb import FerretDB
from peers.mongo_lines import DIFFERS, LINES
from peers.mongo_same import ENTRY, RUN
from peers.mongojava import MongoJava
from support.cases import (BREAKS, GONE, NO_CA, NO_FIELD, NO_NAME, NO_SERVER, NO_TLS_MODE, BadLines, Breaks, ClientCertificate, Contract, FewConnections, Panel,
                           PasswordChanges, Readme, Refusals, Restarts, TlsIsMissed, TlsNotOffered, calls)
from support.connectors import add, fresh, not_addable, on, peer, refused
from support.matrix import check_row, shows


@pytest.fixture(scope='module')
def mg():
    with peer(FerretDB) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, mg):
    return add(server.client(), 'mongodb', mg.config())


@pytest.fixture
def k():
    """A collection nobody has."""
    return fresh('k')


@pytest.fixture(scope='module')
def pymongo():
    return pytest.importorskip('pymongo')


class Theirs:
    """pymongo where scripts have a connector."""

    def __init__(self, pymongo, mg):
        self.client = pymongo.MongoClient('127.0.0.1', mg.port)
        self.pymongo = pymongo

    def db(self, name='test'):
        return self.client[name]

    def get_database(self, name='test'):
        return self.client[name]

    def get_default_database(self):
        return self.client['test']

    def __getattr__(self, name):
        return getattr(self.pymongo if hasattr(self.pymongo, name) else self.client, name)


@pytest.fixture(scope='module')
def java():
    with peer(MongoJava) as p:
        yield p


@pytest.fixture(scope='module', params=['mg', 'java'])
def both(server, request, pymongo):
    """both(lines, k): the result of the lines in a script, after comparing it with what pymongo gives; on each server."""
    run_on = request.getfixturevalue(request.param)
    theirs, cid = Theirs(pymongo, run_on), add(server.client(), 'mongodb', run_on.config())

    def run(body, **kwargs):
        ours = on(server.client(), cid, body, **kwargs)
        names = {'datetime': datetime, 'decimal': decimal, 'time': time, 'tell': tell}
        lines = '\n'.join('    ' + line for line in body.strip('\n').split('\n'))
        exec('def f(c, %s):\n%s' % (', '.join(kwargs), lines), names)  # noqa: S102
        theirs.client.test.drop_collection(kwargs['k'])
        expected = json.loads(json.dumps(names['f'](theirs, **kwargs)))
        assert ours == expected
        return ours
    yield run
    theirs.client.close()


def tell(call):
    """As in scripts: [class] of what it raises."""
    try:
        call()
    except Exception as e:
        return [type(e).__name__, str(e), getattr(e, 'code', None), None]


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize('which', ['mg', 'java'])
def test_line_by_line(server, request, pymongo, which):
    """Hundreds of lines with pymongo and here: the same values with the same types, and the same errors."""
    names: dict = {}
    exec(RUN, names)  # noqa: S102
    own = request.getfixturevalue(which)
    api = server.client()
    cid = add(api, 'mongodb', own.config())
    api_id = api.function(RUN + ENTRY, 'f', {'cid': 'INPUT_BY_CALLER', 'lines': 'INPUT_BY_CALLER', 'k': 'INPUT_BY_CALLER'})
    theirs, wrong = Theirs(pymongo, own), []
    for group, text in LINES.items():
        lines, k = text.strip('\n').split('\n'), fresh('k')
        pairs = [json.loads(json.dumps(out).replace(k, 'K')) for out in (names['same'](theirs, lines, k), api.result(api_id, cid=cid, lines=lines, k=k))]
        wrong += ['%s: %s\n  pymongo %s\n  ours    %s' % (group, line, e, o) for line, e, o in zip(lines, *pairs) if e != o and line not in DIFFERS]
    theirs.client.close()
    assert not wrong, '\n'.join(wrong)


@pytest.fixture(scope='module')
def ask(server, cid):
    """ask(asked=expression with `c`): its value, or [class, text] of what it raises."""
    return calls(server.client(), cid, "eval(asked, {'c': c})", asked='')


# ---- documents -------------------------------------------------------------------------------------------------


def test_reading(both, k):
    got = both('''
t = c.db()[k]
out = [t.insert_one({'_id': 1, 'a': 'x', 'n': 5, 'f': 1.5, 'l': [1, 2], 'd': {'e': None}, 't': True}).inserted_id]
out += [t.insert_many([{'_id': i, 'n': i, 's': 's%d' % (i % 3)} for i in range(2, 300)]).inserted_ids[-1]]
out += [t.find_one({'_id': 1}), t.find_one(7), t.find_one({'n': -1}), t.find_one({'n': {'$gt': 100}}, {'n': 1, '_id': 0}, sort=[('n', -1)])]
out += [len(list(t.find())), [d['n'] for d in t.find({'n': {'$lt': 9}}, {'_id': 0}).sort('n', -1).skip(1).limit(3)]]
out += [[d['_id'] for d in t.find().sort([('s', 1), ('_id', -1)]).limit(5)], t.find().sort('_id', 1)[10], [d['_id'] for d in t.find().sort('_id')[20:23]]]
out += [t.count_documents({}), t.count_documents({'n': {'$gte': 290}}, limit=5), t.estimated_document_count(), sorted(map(str, t.distinct('s')))]
out += [list(t.find({'n': 3}, ['s'])), [d['_id'] for d in t.find({'s': 's1'}).sort('_id').limit(-2)], t.full_name, t.name, c.db().name, t.sub.name, t['x.y'].name]
out += [k in c.list_database_names(), k in c.db().list_collection_names(), c.db().command('ping'), len(list(t.find(batch_size=7)))]
out += [list(t.aggregate([{'$match': {'n': {'$lte': 6}}}, {'$group': {'_id': '$s', 'n': {'$sum': 1}}}, {'$sort': {'_id': 1}}]))]
return out
''', k=k)
    assert got[0] == 1 and got[6] == 299 and got[7] == [7, 6, 5]


def test_writing(both, k):
    got = both('''
t = c.db()[k]
t.insert_many([{'_id': i, 'n': i, 'g': i % 4} for i in range(20)])
out = []
r = t.update_one({'_id': 1}, {'$set': {'n': 100}, '$inc': {'g': 1}})
out += [r.matched_count, r.modified_count, r.upserted_id, r.acknowledged]
r = t.update_many({'g': 2}, {'$set': {'g': 9}})
out += [r.matched_count, r.modified_count]
r = t.update_one({'_id': 77}, {'$set': {'n': 7}}, upsert=True)
out += [r.matched_count, r.modified_count, r.upserted_id]
r = t.replace_one({'_id': 3}, {'only': 'this'})
out += [r.matched_count, r.modified_count, t.find_one(3)]
out += [t.delete_one({'g': 9}).deleted_count, t.delete_many({'g': 0}).deleted_count, t.delete_many({'g': 'no'}).deleted_count]
out += [t.find_one_and_update({'_id': 5}, {'$inc': {'n': 1}}), t.find_one_and_update({'_id': 5}, {'$inc': {'n': 1}}, return_document=True)]
out += [t.find_one_and_replace({'_id': 5}, {'z': 1}), t.find_one_and_delete({'_id': 5}), t.find_one_and_delete({'_id': 5})]
d = {'x': 1}
i = t.insert_one(d).inserted_id
out += [type(i).__name__, d['_id'] == i, t.find_one(i)['x'], t.find_one({'_id': i}) == d]
r = t.bulk_write([c.InsertOne({'_id': 'a'}), c.InsertOne({'_id': 'b'}), c.UpdateOne({'_id': 'a'}, {'$set': {'v': 1}}), c.UpdateMany({'g': 3}, {'$set': {'h': 1}}),
                  c.ReplaceOne({'_id': 'up'}, {'w': 1}, upsert=True), c.DeleteOne({'_id': 'b'}), c.DeleteMany({'h': 1})])
out += [r.inserted_count, r.matched_count, r.modified_count, r.deleted_count, r.upserted_count, sorted(r.upserted_ids.items())]
out += [sorted(map(str, t.distinct('_id', {'n': {'$exists': False}, 'x': None}))), t.count_documents({})]
return out
''', k=k)
    assert got[:9] == [1, 1, None, True, 6, 6, 0, 0, 77]


def test_on_the_second_server(api, java, pymongo, k):
    """What FerretDB does not have: projections of find_one_and_*, more stages."""
    cid = add(api, 'mongodb', java.config())
    body = '''
t = c.db()[k]
t.insert_many([{'_id': i, 'n': i, 'l': list(range(i % 3)), 's': 'abc'[i % 3]} for i in range(30)])
out = [t.find_one_and_update({'s': 'b'}, {'$inc': {'n': 100}}, projection={'n': 1}, sort=[('_id', -1)], return_document=True)]
out += [t.find_one_and_replace({'_id': 0}, {'z': 1}, projection=['z'], return_document=True), t.find_one_and_delete({'_id': 0}, {'_id': 0})]
out += [list(t.aggregate([{'$unwind': '$l'}, {'$group': {'_id': '$l', 'n': {'$sum': '$n'}}}, {'$sort': {'_id': 1}}, {'$project': {'n': 1, 'x': {'$add': ['$n', 1]}}}]))]
out += [t.update_many({'l': 1}, {'$push': {'l': 5}}).modified_count, t.count_documents({'l': {'$size': 3}}), t.find({'n': {'$gt': 3}}).sort('_id').skip(2).limit(4).count(True)]
t.aggregate([{'$match': {'s': 'a'}}, {'$out': k + 'out'}])
return out + [c.db()[k + 'out'].count_documents({}), c.db().command('dbStats')['collections'] > 0]
'''
    names: dict = {}
    exec('def f(c, k):\n' + '\n'.join('    ' + line for line in body.strip().split('\n')), names)
    theirs = Theirs(pymongo, java)
    expected = json.loads(json.dumps(names['f'](theirs, k)))
    theirs.client.drop_database('test')
    theirs.client.close()
    assert on(api, cid, body, k=k) == expected


def test_bson_types(api, cid, k, mg, pymongo):
    """Each type of bson, there and back; what one client wrote the other reads."""
    from bson import ObjectId
    from bson.binary import Binary
    from bson.decimal128 import Decimal128
    from bson.regex import Regex
    values = on(api, cid, r'''
import bson, re, uuid
from bson import ObjectId, Decimal128, Int64, Binary, Regex, Timestamp
t = c.db()[k]
values = {'oid': ObjectId('0123456789ab0123456789ab'), 'i32': 1, 'i64': 2 ** 40, 'I64': Int64(5), 'neg': -1, 'f': 1.25, 's': 'a\u6570\U0001f600', 'b': b'\x00\xff',
          'bin': Binary(b'xy', 128), 't': datetime.datetime(2024, 2, 29, 12, 30, 15, 123000), 're': re.compile('^a.b', re.I), 'ts': Timestamp(5, 6), 'none': None,
          'yes': True, 'l': [1, 'a', None, 2.5], 'm': {'a': {'b': []}}}
t.insert_one(dict(values, _id=1))
back = t.find_one(1)
wrong = {key: [repr(v), repr(back[key])] for key, v in values.items() if key not in ('re',) and (back[key] != v or type(back[key]) is not type(v))}
return [wrong, back['re'].pattern, isinstance(back['I64'], Int64), t.find_one({'oid': values['oid']})['i32'], list(back), t.find_one({'t': {'$gt': datetime.datetime(2024, 1, 1)}})['_id'],
        tell(lambda: t.insert_one({'o': object()}))[0], tell(lambda: t.insert_one({'i': 2 ** 64}))[0]]
''', k=k)
    wrong, pattern, int64, found, order, later, bad, big = values
    assert set(wrong) <= {'i64'} and pattern == '^a.b' and int64 and found == 1 and later == 1
    assert order[0] == '_id' and order[1:4] == ['oid', 'i32', 'i64'] and bad == 'InvalidDocument' and big == 'OverflowError'
    client = pymongo.MongoClient('127.0.0.1', mg.port)
    theirs = client.test[k].find_one({'_id': 1})
    assert theirs['oid'] == ObjectId('0123456789ab0123456789ab') and theirs['i64'] == 2 ** 40 and theirs['b'] == b'\x00\xff'
    assert theirs['t'] == datetime.datetime(2024, 2, 29, 12, 30, 15, 123000) and theirs['s'] == 'a\u6570\U0001f600'
    assert theirs['bin'] == Binary(b'xy', 128) and isinstance(theirs['re'], Regex)
    client.close()
    assert Decimal128


def test_extended_json(api, cid, k):
    """bson.json_util of scripts works on what comes back; without it ids become text."""
    got = on(api, cid, '''
from bson import ObjectId, json_util
t = c.db()[k]
i = t.insert_one({'when': datetime.datetime(2024, 1, 2)}).inserted_id
return [json_util.loads(json_util.dumps(t.find_one()))['_id'] == i, c.dump_for_json(t.find_one({}, {'_id': 1})) == '{"_id": "%s"}' % i]
''', k=k)
    assert got == [True, True]


def test_cursors(api, cid, k):
    """In batches; closed ones are closed at the server; nothing may be set after the start."""
    got = on(api, cid, '''
t = c.db()[k]
t.insert_many([{'_id': i} for i in range(5000)])
cur = t.find().sort('_id', 1).batch_size(100)
out = [cur.alive, next(cur)['_id'], cur.next()['_id'], len(cur._data), cur.cursor_id != 0, tell(lambda: cur.limit(3))[0]]
out += [sum(1 for _ in cur), cur.alive, tell(lambda: next(cur))[0]]
with t.find(batch_size=10) as cur:
    next(cur)
    out.append(cur.alive)
out += [cur.alive, tell(cur.next)[0], len(list(t.find().limit(250))), len(list(t.find(limit=150).batch_size(40)))]
cur = t.find({'_id': {'$lt': 4}}).sort('_id', -1)
out += [[d['_id'] for d in cur], [d['_id'] for d in cur.rewind()], [d['_id'] for d in cur.clone().limit(1)], cur.count(), t.find({'_id': 3}).distinct('_id')]
for _ in range(20):
    next(t.find(batch_size=5))
out += [len(c._forgotten), t.count_documents({}), len(c._forgotten), tell(lambda: t.find()[-1])[0], tell(lambda: t.find()[9999])[0]]
agg = t.aggregate([{'$match': {'_id': {'$lt': 300}}}, {'$sort': {'_id': 1}}], batchSize=50)
out += [len(agg.to_list(7)), sum(1 for _ in agg)]
other = t.find(batch_size=3)
next(other)
c.db().command('killCursors', k, cursors=[other.cursor_id])
out.append(tell(lambda: list(other))[0])
return out
''', k=k)
    assert got[:9] == [True, 0, 1, 98, True, 'InvalidOperation', 4998, False, 'StopIteration']
    assert got[9:14] == [True, False, 'StopIteration', 250, 150]
    assert got[14:19] == [[3, 2, 1, 0], [3, 2, 1, 0], [3], 4, [3]]
    assert got[19] == 1 and got[20:24] == [5000, 0, 'IndexError', 'IndexError'] and got[24:26] == [7, 293]
    assert got[26] == 'CursorNotFound'


@shows('streaming', 'batch by batch, bounded memory')
@pytest.mark.heavy  # a sanitizer keeps freed memory for a while
def test_a_large_collection_in_bounded_memory(api, cid, k):
    got = on(api, cid, '''
import resource
t = c.db()[k]
for start in range(0, 4000, 500):
    t.insert_many([{'_id': i, 'text': 'x' * 4000} for i in range(start, start + 500)])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n = sum(len(d['text']) for d in t.find())
return [n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]
''', k=k)
    assert got[0] == 16000000 and got[1] < 16 << 10


def test_indexes_and_collections(api, cid, k):
    got = on(api, cid, '''
db = c.db()
t = db[k]
out = [list(t.list_indexes()), t.create_index('a'), t.create_index([('b', 1), ('c', -1)], unique=True, name='bc'), sorted(t.index_information())]
out += [t.index_information()['bc']['key'], t.index_information()['bc'].get('unique')]
t.drop_index('a_1')
out += [sorted(t.index_information()), t.create_indexes([c.IndexModel('z'), c.IndexModel([('y', c.DESCENDING)])])]
t.drop_indexes()
out += [sorted(t.index_information()), tell(lambda: t.drop_index('none'))[0], tell(lambda: db.create_collection(k))[0]]
out.append(db.create_collection(k + 'made').name)
t.insert_one({'_id': 1})
t.rename(k + 'new')
out += [db[k + 'new'].count_documents({}), k in db.list_collection_names(), sorted(n for n in db.list_collection_names() if n.startswith(k)) == [k + 'made', k + 'new']]
db[k + 'new'].drop()
db[k + 'new'].drop()
db.drop_collection(k + 'made')
out += [[n for n in db.list_collection_names() if n.startswith(k)], tell(lambda: db.drop_collection('no..name'))[0], tell(lambda: c.db('a b'))[0]]
other = c.db(k)
other.t.insert_one({})
out += [k in c.list_database_names(), other.client is c, c[k].t.count_documents({})]
c.drop_database(k)
out += [k in c.list_database_names(), isinstance(c.server_info()['version'], str)]
return out
''', k=k)
    assert got[:4] == [[], 'a_1', 'bc', ['_id_', 'a_1', 'bc']] and got[4:6] == [[['b', 1], ['c', -1]], True]
    assert got[6:9] == [['_id_', 'bc'], ['z_1', 'y_-1'], ['_id_']] and got[9] == 'OperationFailure' and got[10] == 'CollectionInvalid'
    assert got[11:15] == [k + 'made', 1, False, True] and got[15:18] == [[], 'InvalidName', 'InvalidName']
    assert got[18:] == [True, True, 1, False, True]


def test_errors(api, cid, k):
    got = on(api, cid, '''
t = c.db()[k]
t.insert_one({'_id': 1})
out = [tell(lambda: t.insert_one({'_id': 1})), tell(lambda: c.db().command('nosuchcommand')), tell(lambda: t.find_one({'$nosuch': 1}))]
try:
    t.insert_many([{'_id': 2}, {'_id': 1}, {'_id': 3}], ordered=False)
except Exception as e:
    out.append([type(e).__name__, e.details['nInserted'], [w['index'] for w in e.details['writeErrors']], e.details['writeErrors'][0]['code'], e.details['writeErrors'][0]['op']])
try:
    t.insert_many([{'_id': 4}, {'_id': 1}, {'_id': 5}])
except Exception as e:
    out.append([e.details['nInserted'], t.count_documents({})])
out += [tell(lambda: t.no_such_method(1)), tell(lambda: t.watch())[0], tell(lambda: t.update_one({}, {'a': 1}))[0], tell(lambda: t.insert_many([]))[0],
        tell(lambda: t.bulk_write([]))[0], tell(lambda: t.bulk_write([1]))[0], tell(lambda: t.find('x'))[0], tell(lambda: iter(t))[0], t == c.db()[k]]
deep = {}
for _ in range(150):
    deep = {'d': deep}
out += [tell(lambda: t.insert_one(deep))[:2], tell(lambda: t.insert_one({'s': 'x' * (17 << 20)})), t.count_documents({})]
return out
''', k=k)
    assert got[0][0] == 'DuplicateKeyError' and got[0][2] == 11000 and 'E11000' in got[0][1]
    assert got[1][0] == 'Unsupported' and got[1][2] == 59 and got[2][0] in ('OperationFailure', 'Unsupported')
    assert got[3] == ['BulkWriteError', 2, [1], 11000, {'_id': 1}] and got[4] == [1, 4]
    assert got[5][0] == 'TypeError' and "'no_such_method'" in got[5][1]
    assert got[6:14] == ['NotSupported', 'ValueError', 'TypeError', 'InvalidOperation', 'TypeError', 'TypeError', 'TypeError', True]
    assert got[14][0] == 'InvalidArgument' and '100 levels' in got[14][1] and got[15][0] == 'DocumentTooLarge' and got[16] == 4


@pytest.mark.parametrize('name, instead', [
    ('c.watch', 'watch'), ('c.db().watch', 'change streams'), ('c.db().t.watch', 'change streams'), ('c.db().t.map_reduce', 'aggregate()'),
    ('c.db().t.group', 'aggregate()'), ('c.db().t.initialize_ordered_bulk_op', 'bulk_write()'), ('c.db().t.find_raw_batches', 'RawBSONDocument'),
    ('c.db().add_user', 'command()'), ('c.db().t.find().add_option', 'find()'), ('c.db().t.no_such', "'no_such' method on a 'Collection'"),
    ('c.db().no_such', "'no_such' method on a 'Database'"), ('c.no_such', 'no_such'), ('c.db().t.find().no_such', 'no_such'),
])
def test_what_is_missing_says_so(ask, name, instead):
    """By its name, and what to use instead."""
    told = ask(asked=name + '()')
    assert told[0] in ('NotSupported', 'TypeError', 'AttributeError') and name.split('.')[-1] in told[1] and instead in told[1], told


def test_errors_are_those_of_pymongo_when_a_script_imports_it(api, cid, k, pymongo):
    got = on(api, cid, '''
import pymongo
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
t = c.db()[k]
t.insert_one({'_id': 1})
out = []
try:
    t.insert_one({'_id': 1})
except DuplicateKeyError as e:
    out += [e.code, e.details['code'], isinstance(e, OperationFailure)]
try:
    t.bulk_write([pymongo.InsertOne({'_id': 2}), pymongo.UpdateOne({'_id': 2}, {'$set': {'a': 1}}), pymongo.InsertOne({'_id': 1})])
except BulkWriteError as e:
    out += [e.details['nInserted'], e.details['nModified']]
try:
    c.db().command('nosuchcommand')
except OperationFailure as e:
    out += [e.code]
return out + [t.find_one(sort=[('_id', pymongo.DESCENDING)])['_id'], t.find_one_and_update({'_id': 2}, {'$set': {'a': 2}}, return_document=pymongo.ReturnDocument.AFTER)]
''', k=k)
    assert got == [11000, 11000, True, 1, 1, 59, 2, {'_id': 2, 'a': 2}]


def test_as_in_pymongo_3(api, cid, k):
    assert on(api, cid, '''
t = c.db()[k]
out = [t.insert({'_id': 1}), t.insert([{'_id': 2}, {'_id': 3}]), t.save({'_id': 1, 'x': 1}), t.update({'_id': 1}, {'$set': {'y': 2}})['n'], t.find_one(1)]
return out + [t.count(), t.remove(2)['n'], t.remove({})['n'], c.db().collection_names(False).count(k)]
''', k=k) == [1, [2, 3], 1, 1, {'_id': 1, 'x': 1, 'y': 2}, 3, 1, 2, 1]


def test_helper_of_the_original(api, mg, cid, k):
    got = on(api, cid, '''
c.db()[k].insert_one({'_id': 1})
return ['test' in c.run_method('list_database_names'), k in c.run_method('list_collection_names'), c.run_method('list_collection_names', db_name='nosuch'),
        c.run_method('drop_database'), c.check(), c.db().command({'count': k})['n']]
''', k=k)
    assert got == [True, True, [], None, None, 1]
    bare = add(api, 'mongodb', {'host': '127.0.0.1', 'port': mg.port})
    got = on(api, bare, "return [tell(c.db), c.db('test')[k].count_documents({}), DFF.CONN(cid, database='test').db()[k].count_documents({})]", k=k)
    assert got[0][0] == 'ConfigurationError' and 'database' in got[0][1] and got[1:] == [1, 1]
    by_uri = add(api, 'mongodb', {'uri': 'mongodb://127.0.0.1:%d/test?appname=x' % mg.port})
    assert on(api, by_uri, 'return c.db()[k].count_documents({})', k=k) == 1


@pytest.mark.parametrize('uri, why', [
    ('mongodb://u:hidden@127.0.0.1/', 'settings user and password'), ('mongodb://u:hid/den@127.0.0.1:99999/', 'cannot be used'), ('u:hidden@h', 'cannot be used'),
    ('mongodb+srv://u:hidden@a.b.invalid/', 'settings user and password'), ('mongodb://127.0.0.1/?authMechanism=MONGODB-AWS', 'auth_mechanism'),
    ('mongodb://127.0.0.1/?authMechanismProperties=AWS_SESSION_TOKEN:hidden', 'auth_mechanism'), ('mongodb+srv://127.0.0.1:5/', 'cannot be used'),
    ('mongodb://127.0.0.1/?tlsCertificateKeyFilePassword=hidden', 'tls_key'), ('mongodb://%2Ftmp%2Fsocket/', 'sockets of the file system'),
])
def test_uri(api, uri, why):
    """Nothing of a secret is told, nothing waits, and nothing with an account is kept, tried out or not."""
    e = not_addable(api, 'mongodb', {'uri': uri})
    assert e['exceptionType'] == 'ConfigError' and why in e['exception'] and 'hid' not in str(e), e
    if '@' in uri:
        e = refused(api, 'POST', '/connectors/do/add', {'skipTest': True, 'data': {'id': fresh(), 'type': 'mongodb', 'configJSON': {'uri': uri}}})
        assert 'write them into user and password' in e['message'], e


def test_threads(api, cid, k):
    """Threads of a call get connections of their own; a cursor is read where it was made."""
    got = on(api, cid, '''
from concurrent.futures import ThreadPoolExecutor
t = c.db()[k]
def work(n):
    t.insert_many([{'_id': n * 1000 + i} for i in range(200)])
    return t.count_documents({'_id': {'$gte': n * 1000, '$lt': n * 1000 + 1000}})
with ThreadPoolExecutor(2) as pool:
    out = list(pool.map(work, range(6)))
return out + [t.count_documents({})]
''', k=k)
    assert got == [200] * 6 + [1200]


def test_limits(api, mg, k):
    """A reply beyond max_result is refused with bounded memory; the next operation works."""
    cid = add(api, 'mongodb', mg.config(max_result='1M'))
    got = on(api, cid, '''
t = c.db()[k]
t.insert_many([{'_id': i, 's': 'x' * 100000} for i in range(40)])
told = tell(lambda: list(t.find()))
return [told, len(list(t.find(batch_size=5)))]
''', k=k)
    assert got[0][0] == 'LimitExceeded' and 'max_result' in got[0][1] and got[1] == 40


# ---- what all connectors must do ------------------------------------------------------------------------------


class TestMongoDB(Contract, Readme, Panel, FewConnections, Restarts, Breaks, BadLines, Refusals, TlsIsMissed, TlsNotOffered, ClientCertificate):
    """What mongodb shares with the other connectors."""

    type, fixture, make = 'mongodb', 'mg', FerretDB
    ask, gives = "c.db().command('ping')['ok']", 1
    tls_ask = "[c.db().t.replace_one({'_id': 1}, {'s': 'x' * 300000}, upsert=True), len(c.db().t.find_one()['s'])][1]"
    tls_gives = 300000
    not_offered = {'pool': {'connect': '1s'}}
    refusals = [NO_SERVER, NO_NAME, NO_TLS_MODE, NO_CA, NO_FIELD, ({'host': 'a,b/?x=1'}, 'ConfigError', 'host'), ({'uri': 'mongodb://u:p@127.0.0.1/'}, 'ConfigError', 'password'),
                ({'auth_mechanism': 'MONGODB-X509'}, 'ConfigError', 'tls_cert')]
    cut_after = 2
    before_break = "c.db().broken.replace_one({'_id': 1}, {'s': 'x' * 50000}, upsert=True)"
    fetch, small, large = "len(c.db().broken.find_one({'_id': 1})['s']) or n", 50000, 50000
    breaks = [*BREAKS, ('garbage', GONE), ('huge', GONE)]
    before_panel = 'c.db().panel.insert_one({})'
    panel = [('{"method": "list_database_names"}', lambda got: 'test' in got), ('{"method": "other"}', lambda got: got is None),
             ('{"method": "list_collection_names", "db_name": "test"}', lambda got: 'panel' in got)]
    panel_refused = 'no JSON'
    contract: list = []  # scripts reach it through the objects of pyshim alone
    readme_id, readme_gives = 'shop', [8, [True], ['_id_', 'price_-1'], True]

    def without_tls(self, request):
        return contextlib.nullcontext(request.getfixturevalue('mg'))

    def test_a_server_that_wants_a_certificate(self, api, certs):
        """The certificate is really shown."""
        pem, key = certs.pair('client')
        with peer(FerretDB, certs=certs, clients=True) as strict:
            config = strict.config(tls='on', tls_ca=certs.text('ca.pem'))
            assert on(api, add(api, 'mongodb', {**config, 'tls_cert': pem, 'tls_key': key}), 'return ' + self.ask) == self.gives
            assert not_addable(api, 'mongodb', config)['exceptionType'] in ('Denied', 'ConnUnavailable')


class TestAccounts(PasswordChanges):
    """A server on which nothing works before somebody has signed in."""

    type, make = 'mongodb', FerretDB
    ask, gives = "c.db().t.count_documents({})", 0

    def to_restart(self, request):
        return peer(FerretDB, accounts=True)

    def test_signing_in(self, api, restartable):
        """As the accounts of the server want it; a connector without one is told what is missing."""
        own = restartable
        for more in ({}, {'auth_mechanism': 'SCRAM-SHA-1'}, {'auth_mechanism': 'SCRAM-SHA-256', 'auth_source': 'test'}):
            assert on(api, add(api, 'mongodb', own.config(**more)), 'return ' + self.ask) == 0
        for change, says in (({'password': 'wrong'}, 'sign-in: '), ({'user': 'bob'}, 'sign-in: '), ({'auth_source': 'admin'}, 'auth_source'),
                             ({'user': '', 'password': ''}, 'configure user and password')):
            e = not_addable(api, 'mongodb', own.config(**change))
            assert e['exceptionType'] == 'Denied' and says in e['exception'] and own.secret not in str(e), e


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'mongodb', 'libmongoc, libbson, python3-bson', 'FerretDB 1.24, mongo-java-server 1.47, scripted')
