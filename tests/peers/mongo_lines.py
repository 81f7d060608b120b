# SPDX-License-Identifier: Apache-2.0
"""The lines of mongo_same.py: what scripts do with pymongo. A group starts with a collection `t` of forty documents and none in `u`."""

from typing import Dict

LINES: Dict[str, str] = {
    'find': r'''
t.find()
t.find({'n': {'$gt': 30}})
t.find({'n': {'$gt': 30}}, {'n': 1})
t.find({'n': 3}, ['n', 'g'])
t.find({'n': 3}, [])
t.find({'n': 3}, {})
t.find({'n': 3}, {'_id': 0, 'n': 1})
t.find({'n': 3}, {'_id': False})
t.find({'n': 3}, {'m.x': 1})
t.find({'n': 3}, ('g',))
t.find({'n': 3}, 'g')
t.find({'n': 3}, 5)
t.find(filter={'n': 3}, projection={'g': 1}, skip=0, limit=1)
t.find({}, sort=[('n', -1)], limit=3)
t.find({}, sort=[('g', 1), ('n', -1)], skip=5, limit=4)
t.find({}, sort='n')
t.find({}, sort=('n', 1))
t.find({}, sort=[])
t.find({}, skip=-1)
t.find({}, skip='1')
t.find({}, limit='1')
t.find({}, limit=-3, sort=[('n', 1)])
t.find({}, batch_size=-1)
t.find({}, batch_size='x')
t.find({}, batch_size=7)
t.find({}, batch_size=1, limit=3)
t.find({}, limit=5, batch_size=100).sort('n', -1)
t.find('text')
t.find(5)
t.find([('n', 3)])
t.find({'n': 3}, no_such=1)
t.find({'n': 3}, no_cursor_timeout=True)
t.find({'n': 3}, allow_partial_results=True)
t.find({'n': 3}, comment='a comment')
t.find({'n': 3}, max_time_ms=1000)
t.find({'n': 3}, max_time_ms='x')
t.find({'n': 3}, allow_disk_use=True)
t.find({'n': 3}, allow_disk_use=5)
t.find({'n': 3}, hint='_id_')
t.find({'n': 3}, hint=[('_id', 1)])
t.find({'n': 3}, hint=5)
t.find({'n': 3}, cursor_type=9)
t.find({'n': 3}, return_key=False, show_record_id=False)
t.find({'n': 3}, None, 0, 0, False)
t.find(SON([('n', 3)]))
t.find({'$and': [{'n': {'$gte': 3}}, {'n': {'$lt': 6}}]})
t.find({'m.y.z': {'$in': [3, 4]}})
t.find({'l': 2})
t.find({'g': {'$regex': '^A', '$options': 'i'}, 'n': {'$lt': 9}})
t.find({'g': re.compile('^a')}, {'_id': 1}).limit(2)
t.find({'g': Regex('^a')}, {'_id': 1}).limit(2)
t.find({'$nosuch': 1})
t.find({'n': {'$nosuch': 1}})
t.find({'n': None})
t.find({'none': None}, limit=1)
t.find_one()
t.find_one(3)
t.find_one('3')
t.find_one({'n': 99})
t.find_one({'n': {'$gt': 5}}, sort=[('n', -1)])
t.find_one({'n': 7}, {'n': 1, '_id': 0})
t.find_one({'n': 7}, projection=['g'])
t.find_one({}, skip=3, sort=[('n', 1)])
t.find_one(ObjectId())
t.find_one(filter={'n': 1})
t.find_one({'n': 3}, None, 0)
t.nosuch.find_one()
t.nosuch.find()
''',
    'cursor': r'''
cur = t.find({}, {'n': 1}).sort('n', 1)
cur.alive, cur.cursor_id, cur.retrieved
next(cur), cur.next()
cur.alive, cur.retrieved > 0
cur.sort('n')
cur.limit(1)
cur.skip(1)
cur.hint('x')
cur.batch_size(3)
cur.where('x')
cur[3]
cur.clone().limit(2)
cur.rewind().next()
len(list(cur))
cur.alive
cur.next()
cur.close()
cur.next()
cur.rewind().limit(2)
t.find().sort('n', -1)[3]
t.find().sort('n', -1)[3:6]
t.find().sort('n', 1).skip(2)[3]
t.find().sort('n', 1).skip(2)[3:4]
t.find().sort('n', 1)[30:]
t.find().sort('n', 1)[:3]
t.find().sort('n', 1)[3:3]
t.find()[-1]
t.find()[1:5:2]
t.find()[5:1]
t.find()['x']
t.find()[99]
t.find().sort('n', 1).limit(5).skip(3)
t.find().sort('n', 1).limit(0)
t.find().sort('n', 1).limit(-4)
t.find().limit(1.5)
t.find().skip(-1)
t.find().skip('x')
t.find().batch_size(None)
t.find().sort('n', 1).batch_size(4)
t.find().sort([('g', -1), ('n', 1)]).limit(5)
t.find().sort(5)
t.find().sort([])
t.find().sort('n', 'x')
t.find().sort([('n', 1)], 1)
t.find().sort({'n': 1})
t.find().sort('n').limit(3)
t.find().sort('n', -1).sort('n', 1).limit(2)
t.find().sort('_id').comment('x').limit(1)
t.find().sort('_id').hint([('_id', 1)]).limit(1)
t.find().sort('_id').hint('_id_').limit(1)
t.find().sort('_id').hint(None).limit(1)
t.find().sort('_id').max_time_ms(5000).limit(1)
t.find().max_time_ms('x')
t.find().max_time_ms(None).sort('_id').limit(1)
t.find().max_await_time_ms(5)
t.find().allow_disk_use('x')
t.find().allow_disk_use(True).sort('_id').limit(1)
t.find().collation({'locale': 'en'}).limit(0).alive
t.find().collation(5)
t.find().where(5)
t.find().min(5)
t.find().max(5)
t.find().count()
t.find({'n': {'$lt': 9}}).skip(2).limit(4).count()
t.find({'n': {'$lt': 9}}).skip(2).limit(4).count(True)
t.find({'n': {'$lt': 9}}).limit(4).count(with_limit_and_skip=True)
sorted(t.find({'n': {'$lt': 9}}).distinct('g'))
t.find().distinct(5)
t.find().sort('n').collection
t.find().session
with t.find(batch_size=2) as cur: next(cur)
cur.alive  # closed
list(cur)  # closed
cur = t.find(batch_size=2); next(cur); cur.close(); cur.close()
cur.alive  # closed
cur = t.find({'n': 99})
cur.alive
list(cur), list(cur)
cur.alive
iter(cur) is cur
cur = t.find({}, {'_id': 1}).sort('n', 1); other = cur.clone(); a = list(cur)
len(a), len(list(other)), cur == other
import copy; cur = t.find({'n': 1}, {'n': 1}); b = copy.copy(cur); d = copy.deepcopy(cur)
list(b), list(d), list(cur)
t.find().no_such_method()
t.find().no_such
len(t.find())
bool(t.find())
type(t.find().explain()).__name__
[x['n'] for x in t.find().sort('n', 1).limit(4)]
cur = t.find(limit=30, batch_size=10); next(cur); cur.cursor_id != 0
len(list(cur)), cur.alive
''',
    'aggregate': r'''
t.aggregate([{'$match': {'n': {'$gt': 35}}}, {'$sort': {'n': 1}}])
t.aggregate([{'$match': {'n': {'$lt': 9}}}, {'$group': {'_id': '$g', 's': {'$sum': '$n'}}}, {'$sort': {'_id': 1}}])
t.aggregate([{'$sort': {'n': -1}}, {'$skip': 2}, {'$limit': 3}, {'$project': {'n': 1, '_id': 0}}])
t.aggregate([{'$match': {'n': {'$lt': 5}}}, {'$unwind': '$l'}, {'$sort': {'n': 1, 'l': 1}}, {'$project': {'l': 1}}])
t.aggregate([{'$count': 'all'}])
t.aggregate([{'$group': {'_id': None, 'n': {'$sum': 1}}}])
t.aggregate([])
t.aggregate({})
t.aggregate({'$match': {}})
t.aggregate('x')
t.aggregate(({'$match': {'n': 1}},))
t.aggregate([{'$nosuch': 1}])
t.aggregate([5])
t.aggregate(None)
t.aggregate([{'$sort': {'n': 1}}], batchSize=3)
t.aggregate([{'$sort': {'n': 1}}, {'$limit': 3}], allowDiskUse=True)
t.aggregate([{'$sort': {'n': 1}}, {'$limit': 3}], maxTimeMS=5000)
t.aggregate([{'$sort': {'n': 1}}, {'$limit': 1}], comment='x')
t.aggregate([{'$sort': {'n': 1}}, {'$limit': 1}], cursor={'batchSize': 5})
t.aggregate([{'$sort': {'n': 1}}, {'$limit': 1}], cursor={})
t.aggregate([{'$sort': {'n': 1}}, {'$limit': 1}], explain=False)
cur = t.aggregate([{'$sort': {'n': 1}}], batchSize=3)
cur.alive, cur.cursor_id != 0
next(cur)['n'], cur.next()['n'], len(list(cur)), cur.alive
cur.next()
cur.sort('n')
cur.batch_size(5).alive
cur.batch_size(-5)
cur.batch_size('x')
with t.aggregate([{'$sort': {'n': 1}}], batchSize=3) as cur: next(cur)
cur.alive  # closed
t.count_documents({})
t.count_documents({'n': {'$gt': 30}})
t.count_documents({'n': {'$gt': 30}}, skip=2)
t.count_documents({'n': {'$gt': 30}}, limit=3)
t.count_documents({'n': {'$gt': 30}}, skip=2, limit=3)
t.count_documents({'n': 99})
t.count_documents()
t.count_documents(None)
t.count_documents('x')
t.count_documents({'$nosuch': 1})
t.count_documents({'n': {'$gt': 1}}, hint='_id_')
t.nosuch.count_documents({})
t.estimated_document_count()
t.nosuch.estimated_document_count()
t.estimated_document_count(maxTimeMS=1000)
t.count()
t.count({'n': {'$gt': 30}})
t.count({}, limit=3)
sorted(t.distinct('g'))
sorted(t.distinct('m.x', {'n': {'$lt': 3}}))
t.distinct('nosuch')
t.distinct(5)
t.distinct(None)
t.distinct('g', 'x')
sorted(t.distinct('l'))
t.distinct('g', filter={'n': 1}, maxTimeMS=900)
''',
    'aggregate2': r'''
u.insert_many([{'_id': g, 'name': 'group ' + g} for g in 'abc'])
t.aggregate([{'$match': {'n': {'$lt': 3}}}, {'$lookup': {'from': k + 'u', 'localField': 'g', 'foreignField': '_id', 'as': 'found'}}, {'$sort': {'n': 1}}])
t.aggregate([{'$match': {'g': 'a'}}, {'$out': k + 'out'}])
db[k + 'out'].count_documents({})
t.aggregate([{'$addFields': {'twice': {'$multiply': ['$n', 2]}}}, {'$match': {'twice': 8}}])
t.aggregate([{'$bucket': {'groupBy': '$n', 'boundaries': [0, 10, 40], 'default': 'x'}}])
t.aggregate([{'$sortByCount': '$g'}, {'$sort': {'_id': 1}}])
t.aggregate([{'$group': {'_id': '$g', 'all': {'$push': '$n'}, 'avg': {'$avg': '$n'}, 'top': {'$max': '$n'}}}, {'$sort': {'_id': 1}}])
t.aggregate([{'$facet': {'a': [{'$match': {'n': 1}}], 'b': [{'$count': 'n'}]}}])
t.aggregate([{'$replaceRoot': {'newRoot': '$m'}}, {'$limit': 1}])
t.aggregate([{'$match': {'n': {'$lt': 3}}}, {'$merge': {'into': k + 'm'}}])
''',
    'insert': r'''
u.insert_one({'_id': 1, 'x': 1})
u.insert_one({'x': 1})
d = {'x': 2}; r = u.insert_one(d)
r.inserted_id == d['_id'], list(d)
u.insert_one({'_id': 1})
u.insert_one({'_id': None, 'x': 1})
u.insert_one({'_id': {'a': 1}, 'x': 1})
u.find_one({'_id': {'a': 1}})
u.insert_one({'_id': 'text'})
u.insert_one({'_id': 1.5})
u.insert_one({'_id': Int64(77)})
u.insert_one([])
u.insert_one(None)
u.insert_one('x')
u.insert_one(5)
u.insert_one([{'x': 1}])
u.insert_one({1: 2})
u.insert_one({'x': object()})
u.insert_one({'x': 2 ** 63 - 1}).acknowledged
u.insert_one({'x': 2 ** 63})
u.insert_one({'x': {1, 2}})
u.insert_one({'x': decimal.Decimal('1.5')})
u.insert_one({'x': datetime.date(2020, 1, 1)})
u.insert_one({'a\x00b': 1})
u.insert_one({'x': 'a\x00b'}).acknowledged
u.insert_one({'x': '\ud800'})
u.insert_one({'': 1}).acknowledged
u.insert_one({'x': deep(80)}).acknowledged
u.insert_one(SON([('z', 1), ('a', 2), ('_id', 'son')]))
list(u.find_one('son'))
u.insert_one({'_id': 'v'}, bypass_document_validation=False)
u.insert_many([{'_id': 101}, {'_id': 102}])
u.insert_many([{}, {'x': 1}])
u.insert_many([{'_id': 103}, {'_id': 103}, {'_id': 104}])
u.count_documents({'_id': {'$in': [103, 104]}})
u.insert_many([{'_id': 105}, {'_id': 105}, {'_id': 101}, {'_id': 106}], ordered=False)
u.count_documents({'_id': {'$in': [105, 106]}})
u.insert_many([])
u.insert_many({})
u.insert_many({'x': 1})
u.insert_many('abc')
u.insert_many(None)
u.insert_many(5)
u.insert_many([5])
u.insert_many([{'_id': 107}, 5])
u.count_documents({'_id': 107})
u.insert_many([{'_id': 108}, {'x': object()}])
u.count_documents({'_id': 108})
u.insert_many({'_id': i} for i in range(110, 113))
u.insert_many(({'_id': 120}, {'_id': 121}), ordered=True)
u.insert_many([RawBSONDocument(bson.encode({'_id': 130, 'r': 1}))]).inserted_ids
u.insert_one(RawBSONDocument(bson.encode({'_id': 131, 'r': 1})))
u.insert_one(RawBSONDocument(bson.encode({'r': 2})))
u.find_one(131)
same = {'_id': 140}
u.insert_many([same, same])
u.insert_one({'x': 'x' * (17 << 20)})
len(u.insert_many([{'_id': 1000 + i} for i in range(300)]).inserted_ids)
u.insert({'_id': 160})
u.insert([{'_id': 161}, {'_id': 162}])
u.save({'_id': 160, 'y': 1})
u.save({'y': 1})
u.find_one(160)
''',
    'update': r'''
t.update_one({'_id': 1}, {'$set': {'x': 1}})
t.update_one({'_id': 1}, {'$set': {'x': 1}})
t.update_one({'_id': 99}, {'$set': {'x': 1}})
t.update_one({'_id': 99}, {'$set': {'x': 1}}, upsert=True)
t.update_one({'g': 'z'}, {'$set': {'x': 1}}, upsert=True)
t.update_one({'_id': None}, {'$set': {'x': 1}}, upsert=True)
t.update_one({}, {'x': 1})
t.update_one({}, {})
t.update_one({}, [])
t.update_one({}, None)
t.update_one({}, 'x')
t.update_one('x', {'$set': {'x': 1}})
t.update_one(None, {'$set': {'x': 1}})
t.update_one({}, {'$nosuch': {'x': 1}})
t.update_one({}, {'$set': {'_id': 5}})
t.update_one({'_id': 2}, {'$set': {'x': 1}, 'y': 2})
t.update_one({'_id': 2}, {'$inc': {'n': 5}, '$unset': {'g': ''}, '$push': {'l': 9}})
t.find_one(2)
t.update_one({'_id': 3}, {'$set': {'m.x': 50, 'new.deep': [1]}})
t.find_one(3)
t.update_one({'_id': 3}, {'$set': {'x': 1}}, upsert='yes')
t.update_one({'_id': 3}, {'$set': {'x': 1}}, array_filters=5)
t.update_one({'_id': 3}, {'$set': {'x': 1}}, hint='_id_')
t.update_one({'_id': 3}, {'$set': {'x': 1}}, hint=5)
t.update_one({'_id': 3}, {'$set': {'x': 1}}, collation=5)
t.update_one({'_id': 3}, {'$set': {'x': 1}}, no_such=1)
t.update_many({'g': 'a'}, {'$set': {'h': 1}})
t.update_many({'g': 'q'}, {'$set': {'h': 1}})
t.update_many({'g': 'q'}, {'$set': {'h': 1}}, upsert=True)
t.update_many({'g': 'b'}, {'h': 1})
t.update_many({}, {'$inc': {'g': 1}})
t.replace_one({'_id': 4}, {'only': 1})
t.replace_one({'_id': 4}, {'only': 1})
t.find_one(4)
t.replace_one({'_id': 199}, {'only': 1})
t.replace_one({'_id': 199}, {'only': 1}, upsert=True)
t.replace_one({'only': 'new'}, {'only': 2}, upsert=True)
t.replace_one({'_id': 4}, {'$set': {'x': 1}})
t.replace_one({'_id': 4}, {})
t.replace_one({'_id': 5}, {'_id': 6})
t.replace_one({'_id': 4}, [])
t.replace_one({'_id': 4}, None)
t.delete_one({'_id': 10})
t.delete_one({'_id': 10})
t.delete_many({'g': 'b'})
t.delete_many({'g': 'b'})
t.delete_one(5)
t.delete_one()
t.delete_many(None)
t.delete_one({'$nosuch': 1})
t.delete_many({'_id': {'$in': [11, 12]}}, hint='_id_')
t.find_one_and_update({'_id': 20}, {'$inc': {'n': 1}})['n']
t.find_one_and_update({'_id': 20}, {'$inc': {'n': 1}}, return_document=True)['n']
t.find_one_and_update({'_id': 299}, {'$inc': {'n': 1}})
t.find_one_and_update({'_id': 299}, {'$inc': {'n': 1}}, upsert=True)
t.find_one_and_update({'_id': 298}, {'$inc': {'n': 1}}, upsert=True, return_document=True)
t.find_one_and_update({'_id': 20}, {'n': 1})
t.find_one_and_update({'_id': 20}, {})
t.find_one_and_update('x', {'$inc': {'n': 1}})
t.find_one_and_update({'_id': 20}, {'$nosuch': {'n': 1}})
t.find_one_and_update({'_id': 20}, {'$inc': {'n': 1}}, return_document='x')
t.find_one_and_update({'_id': 20}, {'$inc': {'n': 1}}, upsert='x')
t.find_one_and_replace({'_id': 21}, {'z': 1}, return_document=True)
t.find_one_and_replace({'_id': 21}, {'$set': {'z': 1}})
t.find_one_and_replace({'_id': 297}, {'z': 1}, upsert=True, return_document=True)
t.find_one_and_delete({'_id': 21})
t.find_one_and_delete({'_id': 21})
t.find_one_and_delete({'g': 'c'}, sort=[('n', -1)])
t.find_one_and_delete(5)
t.update({'_id': 22}, {'$set': {'x': 1}})
t.update({'g': 'c'}, {'$set': {'x': 1}}, multi=True)
t.remove({'_id': 22})
t.remove(23)
t.count_documents({})
''',
    'update2': r'''
t.insert_one({'_id': 'af', 'l': [{'v': 1}, {'v': 5}]})
t.update_one({'_id': 'af'}, {'$set': {'l.$[e].v': 9}}, array_filters=[{'e.v': {'$gt': 3}}])
t.find_one('af')
t.update_one({'_id': 'af', 'l.v': 1}, {'$set': {'l.$.v': 8}})
t.find_one('af')
t.update_one({'_id': 'af'}, {'$push': {'l': {'$each': [1, 2], '$position': 0}}})
t.update_one({'_id': 'af'}, {'$addToSet': {'l': 1}})
t.update_one({'_id': 'af'}, {'$pull': {'l': 1}})
t.update_one({'_id': 'af'}, {'$pop': {'l': 1}})
t.find_one('af')
t.update_one({'_id': 5}, {'$currentDate': {'when': True}}).modified_count
type(t.find_one(5)['when']).__name__
t.update_one({'_id': 5}, {'$rename': {'n': 'nn'}, '$mul': {'m.x': 3}, '$min': {'q': 1}})
t.update_one({'_id': 500}, {'$setOnInsert': {'s': 1}}, upsert=True)
t.find_one_and_update({'g': 'b'}, {'$inc': {'n': 100}}, projection={'n': 1}, sort=[('n', -1)], return_document=True)
t.find_one_and_replace({'_id': 0}, {'z': 1}, projection=['z'], return_document=True)
t.find_one_and_delete({'_id': 0}, {'_id': 0})
t.update_one({'_id': 5}, [{'$set': {'a': '$_id'}}])
''',
    'bulk': r'''
t.bulk_write([c.InsertOne({'_id': 'a'}), c.UpdateOne({'_id': 'a'}, {'$set': {'v': 1}}), c.DeleteOne({'_id': 'a'})])
t.bulk_write([c.UpdateMany({'g': 'a'}, {'$set': {'h': 1}}), c.DeleteMany({'g': 'b'}), c.ReplaceOne({'_id': 'r'}, {'w': 1}, upsert=True)])
t.bulk_write([c.UpdateOne({'_id': 'u1'}, {'$set': {'v': 1}}, upsert=True), c.UpdateOne({'_id': 0}, {'$set': {'v': 1}}), c.UpdateOne({'_id': 'u2'}, {'$set': {'v': 1}}, True)])
t.bulk_write([])
t.bulk_write(None)
t.bulk_write('x')
t.bulk_write([5])
t.bulk_write([{'insert': 1}])
t.bulk_write(5)
t.bulk_write([c.InsertOne({'_id': 'b'}), c.InsertOne({'_id': 'b'}), c.InsertOne({'_id': 'c'})])
t.count_documents({'_id': {'$in': ['b', 'c']}})
t.bulk_write([c.InsertOne({'_id': 'd'}), c.InsertOne({'_id': 'd'}), c.DeleteOne({'_id': 'b'}), c.InsertOne({'_id': 'e'})], ordered=False)
t.count_documents({'_id': {'$in': ['b', 'd', 'e']}})
t.bulk_write([c.InsertOne({'_id': 'f'}), c.UpdateOne({'_id': 1}, {'$nosuch': {'v': 1}}), c.InsertOne({'_id': 'g'})])
t.bulk_write([c.InsertOne({'_id': 'h'}), c.DeleteOne({'$nosuch': 1})])
t.bulk_write([c.InsertOne({'_id': 'i'}), c.UpdateOne({'_id': 1}, {'$nosuch': {'v': 1}}), c.InsertOne({'_id': 'j'})], ordered=False)
t.bulk_write([c.InsertOne({'x': 1})]).bulk_api_result
t.bulk_write([c.UpdateOne({'_id': 1}, {'v': 1})])
t.bulk_write([c.ReplaceOne({'_id': 1}, {'$set': {'v': 1}})])
t.bulk_write([c.InsertOne(5)])
t.bulk_write([c.InsertOne({'x': object()})])
t.bulk_write((c.InsertOne({'_id': 'tuple'}),))
t.bulk_write([c.DeleteOne({'_id': 1}, hint='_id_')])
t.bulk_write([c.DeleteOne(5)])
t.bulk_write([c.UpdateOne(5, {'$set': {'x': 1}})])
c.InsertOne({'a': 1}) == c.InsertOne({'a': 1}), c.InsertOne({'a': 1}) == c.InsertOne({'a': 2})
repr(c.InsertOne({'a': 1})), repr(c.UpdateOne({'a': 1}, {'$set': {'b': 1}}))
sorted(t.bulk_write([c.InsertOne({'_id': 2000 + i}) for i in range(50)] + [c.DeleteOne({'_id': 2000 + i}) for i in range(50)]).bulk_api_result.items())
''',
    'indexes': r'''
t.create_index('n')
t.create_index('n')
t.create_index([('g', 1), ('n', -1)])
t.create_index([('m.x', 1)], name='mx', unique=False)
t.create_index('u', unique=True, sparse=True)
t.create_index([])
t.create_index(5)
t.create_index('z', 1)
t.create_index([('z', 'x')])
t.create_index([('z', 5, 6)])
t.create_index('when', expireAfterSeconds=60)
t.create_index('part', partialFilterExpression={'n': {'$gt': 5}})
t.create_index('bg', background=True)
t.create_index([('n', c.DESCENDING)], name='named')
sorted(t.index_information())
{name: [i['key'], i.get('unique')] for name, i in sorted(t.index_information().items())}
[i['name'] for i in t.list_indexes()]
t.create_indexes([c.IndexModel('i1'), c.IndexModel([('i2', 1), ('i3', -1)], name='i23')])
t.create_indexes([])
t.create_indexes([5])
t.create_indexes(5)
t.create_indexes('x')
sorted(c.IndexModel([('a', 1), ('b', -1)], unique=True).document), list(c.IndexModel([('a', 1), ('b', -1)]).document['key'].items())
c.IndexModel('a').document['name']
t.drop_index('i1_1')
t.drop_index('i1_1')
t.drop_index([('i2', 1), ('i3', -1)])
t.drop_index('i23')
t.drop_index('_id_')
t.drop_index(5)
t.drop_index([('n', 1)])
u.create_index('x', unique=True)
u.insert_one({'_id': 1, 'x': 1}).acknowledged
u.insert_one({'_id': 2, 'x': 1})
u.insert_many([{'_id': 3, 'x': 1}, {'_id': 4, 'x': 4}], ordered=False)
u.update_one({'_id': 4}, {'$set': {'x': 1}})
u.find_one_and_update({'_id': 4}, {'$set': {'x': 1}})
u.replace_one({'_id': 4}, {'x': 1})
u.bulk_write([c.UpdateOne({'_id': 4}, {'$set': {'x': 1}})])
u.create_index('y', unique=True)
t.create_index('g', unique=True)
t.drop_indexes()
sorted(t.index_information())
t.nosuch.index_information()
list(t.nosuch.list_indexes())
t.nosuch.drop_indexes()
t.nosuch.drop_index('x_1')
u.create_index({'z': 1})
u.create_index(('z', 1))
''',
    'names': r'''
t.name, t.full_name, t.database.name, t.database == db, t == db[k], t != db[k], t == u, t == 5
t['x'].name, t.x.y.name, getattr(t, 'x y').name, t['with.dot'].full_name
db.name, db['a.b'].name, db.get_collection('x').name
t._private
db._private
db['_private'].name
t['']
db['a$b']
db['.a']
db['a.']
db['a..b']
db['a\x00b']
db[5]
db['x' * 300].name
c.db('a b')
c.db('a.b')
c.db('a$b')
c.db('x' * 64).command('ping')
c.db(5)
bool(db)
bool(t)
db is not None and t is not None
list(db)
t()
db()
t.no_such_method()
t.no_such_method(1, 2)
db.no_such_method()
hash(t) == hash(db[k])
len({t, db[k], u})
db.list_collection_names(filter={'name': k})
db.list_collection_names(filter={'name': 'nosuch'})
db.list_collection_names(filter=5)
[x['name'] for x in db.list_collections(filter={'name': k})]
db.create_collection(k)
db.create_collection(k + 'new')
db.create_collection(k + 'new')
db.create_collection('a..b')
db.drop_collection(k + 'new')
db.drop_collection(k + 'nosuch').get('ok')
db.drop_collection(t.nosuch).get('ok')
db.drop_collection(5)
db.drop_collection('a..b')
t.options()
t.nosuch.options()
u.insert_one({'_id': 1}).acknowledged
u.rename(k + 'renamed').get('ok')
db[k + 'renamed'].count_documents({}), u.count_documents({})
u.rename(k + 'r2')
db[k + 'renamed'].rename(k)
db[k + 'renamed'].rename(k, dropTarget=True).get('ok')
t.count_documents({})
t.rename(5)
t.rename('a..b')
t.rename('')
t.drop()
t.drop()
t.find_one()
c.db('x_' + k).t.insert_one({'_id': 1}).acknowledged
c.drop_database('x_' + k)
c.drop_database('x_' + k)
c.drop_database(c.db('x_' + k))
c.drop_database(5)
c.drop_database('a b')
[name for name in c.list_database_names() if name == 'x_' + k]
type(c.list_databases()).__name__, 'name' in next(iter(c.list_databases()))
sorted(c.server_info())[:1] != []
t.with_options().name
t.with_options(codec_options=5)
t.with_options(write_concern=5)
db.with_options(read_concern=5)
db.get_collection(5)
t.write_concern.document, t.read_concern.level, t.read_preference.name
t.codec_options == CodecOptions()
db.write_concern.acknowledged, db.read_concern.document, db.read_preference.mode, db.codec_options == CodecOptions()
t.with_options(write_concern=WriteConcern(w=1)).write_concern.document
t.with_options(write_concern=WriteConcern(w='majority', wtimeout=5)).write_concern.document
t.with_options(read_concern=ReadConcern('local')).read_concern.level
t.with_options(read_preference=ReadPreference.PRIMARY).read_preference
t.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED).read_preference
t.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED).x.read_preference
t.with_options(read_preference=5)
t.with_options(read_preference=ReadPreference.NEAREST).find_one(1)['_id']
t.with_options(codec_options=CodecOptions(tz_aware=True)).x.codec_options.tz_aware
''',
    'command': r'''
db.command('ping')
db.command({'ping': 1})
db.command(SON([('ping', 1)]))
db.command('count', k)['n']
db.command('count', k, query={'n': {'$gt': 30}})['n']
db.command({'count': k, 'query': {'n': 3}})['n']
db.command('distinct', k, key='g')['values']
db.command('nosuch')
db.command('nosuch', check=False).get('ok')
db.command('nosuch', allowable_errors=['no such command: nosuch']).get('ok')
db.command('nosuch', allowable_errors=[59]).get('ok')
db.command('find', k, filter={'n': 1})['cursor']['firstBatch']
db.command('insert', k, documents=[{'_id': 'cmd'}])['n']
db.command('insert', k, documents=[{'_id': 'cmd'}])['n']
db.command(5)
db.command(None)
db.command([])
db.command({})
db.command('')
db.command('ping', session=None)
db.command('ping', codec_options=CodecOptions(document_class=SON))
type(db.command('ping', codec_options=CodecOptions(document_class=SON))).__name__
type(db.command('buildInfo')['version']).__name__
sorted(db.command('dbStats'))[:1] != []
db.command('collStats', k)['ns'] == 'test.' + k
c.db('admin').command('listDatabases')['ok']
db.validate_collection(k).get('valid')
db.validate_collection('nosuch')
db.validate_collection(5)
db.dereference(DBRef(k, 5))
db.dereference(DBRef(k, 99))
db.dereference(DBRef(k, 5, 'other'))
db.dereference(DBRef(k, 5, 'test'))['n']
db.dereference(5)
db.aggregate([])
db.aggregate(5)
c.get_database('x').name
c.get_database().name
c.get_default_database().name
db.collection_names().count(k)
''',
    'types': r'''
back = lambda v: (t.delete_many({}), t.insert_one({'_id': 1, 'v': v}), t.find_one(1)['v'])[2]
back(Decimal128('1.50')), back(Decimal128('NaN')), back(Decimal128('-1E+6144'))
back(Binary(b'abc', 0)), back(Binary(b'abc', 5)), back(Binary(b'a' * 16, 3)), back(Binary(b'', 128)), back(b''), back(b'\x00\xff')
back(uuid.UUID('12345678-1234-5678-1234-567812345678'))
back(bson.Binary(uuid.UUID('12345678-1234-5678-1234-567812345678').bytes, 4))
back(Regex('^a', 'i')), back(re.compile('b.*', re.I | re.M)), back(re.compile('x', re.S | re.X))
back(re.compile(b'bytes'))
back(Timestamp(5, 7)), back(Timestamp(4294967295, 4294967295))
back(Int64(5)), back(5), back(2 ** 31), back(-2 ** 31), back(-2 ** 63), back(2 ** 63 - 1), back(True), back(None)
back(1.5), back(-0.0), back(1e308), back(float('inf')), back(5e-324)
repr(back(float('nan')))
back(MinKey()), back(MaxKey())
back(Code('function() {}'))
back(Code('function() { return x }', {'x': 1})).scope
back(DBRef('c', 5)), back(DBRef('c', 5, 'd')), back(DBRef('c', 5, extra=1))
back(ObjectId('0123456789ab0123456789ab')) == ObjectId('0123456789ab0123456789ab')
back(datetime.datetime(2024, 2, 29, 12, 30, 15, 123456))
back(datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc))
back(datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=5))))
back(datetime.datetime(1, 1, 1)), back(datetime.datetime(9999, 12, 31, 23, 59, 59, 999000)), back(datetime.datetime(1969, 12, 31, 23, 59, 59, 999000))
back('\U0001f600\u6570'), back(''), back('a\x00b'), back('x' * 100000) == 'x' * 100000
back([]), back({}), back([[], {}, [{}]]), back((1, 2)), back([None, True, 1.5, 'x'])
back(SON([('z', 1), ('a', 2)]))
back({'a': {'b': {'c': [1, {'d': 2}]}}})
back(deep(90)) == deep(90)
back({'a.b': 1})
back({'$x': 1})
back({'x$': 1})
back({'': {'': 1}})
back({str(i): i for i in range(500)}) == {str(i): i for i in range(500)}
back(datetime.timedelta(1))
back(datetime.time(1))
back(frozenset([1]))
back(1 + 2j)
back(bytearray(b'x'))
back(memoryview(b'x'))
back(type('T', (int,), {})(7))
back(type('S', (str,), {})('x'))
back(type('D', (dict,), {})(a=1))
t.insert_one({'_id': 2, 'when': datetime.datetime(2024, 1, 2)}).acknowledged
aware = t.with_options(codec_options=CodecOptions(tz_aware=True))
aware.find_one(2)['when']
t.with_options(codec_options=CodecOptions(tz_aware=True, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))).find_one(2)['when']
t.with_options(codec_options=CodecOptions(document_class=SON)).find_one(2)
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).find_one(2)
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).aggregate([{'$match': {'_id': 2}}])
list(t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).find())[0].raw.hex()
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).find_one_and_update({'_id': 2}, {'$set': {'x': 1}})
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).distinct('x')
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).count_documents({})
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).insert_one({'_id': 9}).inserted_id
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).insert_one({'_id': 9})
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).bulk_write([c.InsertOne({'_id': 9})])
sorted(t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).index_information())
t.find_one({'when': {'$gte': datetime.datetime(2024, 1, 1), '$lt': datetime.datetime(2024, 1, 3)}})
t.insert_one({'_id': 3, 'n': Int64(2 ** 40), 'big': 2 ** 53}).acknowledged
t.find_one({'n': 2 ** 40})['big']
t.find_one({'_id': Int64(3)})['_id']
t.find_one({'_id': 3.0})['_id']
far = bson.encode({'_id': 'far', 'd': Int64(10 ** 15)}).replace(b'\x12d\x00', b'\x09d\x00')
t.insert_one(RawBSONDocument(far)).acknowledged
t.find_one('far')
t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).find_one('far')
t.find_one('far', {'d': 0})
''',
}

# Lines whose outcome differs on purpose, and why: these are said in connectors/mongodb/README.md.
_VERSION = 'pymongo 4 takes it, too'
_RAW = 'the id of a raw document is told'
_SOONER = 'refused before it is sent'
_CLOSED = 'a cursor that was closed gives nothing more'
_TALE = "pymongo 3 falls over the server's answer"
_NAMES = 'what fields may be called is up to the server, as with pymongo 4'
DIFFERS: Dict[str, str] = {
    "t.find({}, sort='n')": _VERSION,
    "t.find({}, sort=('n', 1))": _VERSION,
    "t.find().sort({'n': 1})": _VERSION,
    "t.aggregate(({'$match': {'n': 1}},))": _VERSION,
    "t.bulk_write((c.InsertOne({'_id': 'tuple'}),))": _VERSION,
    "u.create_index({'z': 1})": _VERSION,
    "u.create_index(('z', 1))": _VERSION,
    "hash(t) == hash(db[k])": _VERSION,
    "len({t, db[k], u})": _VERSION,
    "u.insert_many([RawBSONDocument(bson.encode({'_id': 130, 'r': 1}))]).inserted_ids": _RAW,
    "u.insert_one(RawBSONDocument(bson.encode({'_id': 131, 'r': 1})))": _RAW,
    "t.with_options(codec_options=CodecOptions(document_class=RawBSONDocument)).insert_one({'_id': 9}).inserted_id": _RAW,
    "t.count_documents(None)": _SOONER,
    "t.count_documents('x')": _SOONER,
    "c.db('x' * 64).command('ping')": _SOONER,
    "db['x' * 300].name": _SOONER,
    "db.drop_collection('a..b')": _SOONER,
    "db.command({})": _SOONER,
    "cur.alive  # closed": _CLOSED,
    "list(cur)  # closed": _CLOSED,
    "t.bulk_write([c.InsertOne({'_id': 'f'}), c.UpdateOne({'_id': 1}, {'$nosuch': {'v': 1}}), c.InsertOne({'_id': 'g'})])": _TALE,
    "t.bulk_write([c.InsertOne({'_id': 'i'}), c.UpdateOne({'_id': 1}, {'$nosuch': {'v': 1}}), c.InsertOne({'_id': 'j'})], ordered=False)": _TALE,
    "back({'a.b': 1})": _NAMES,
    "back({'$x': 1})": _NAMES,
}
