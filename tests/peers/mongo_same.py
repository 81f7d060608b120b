# SPDX-License-Identifier: Apache-2.0
"""What scripts do with pymongo (mongo_lines.py), line by line: RUN evaluates the same lines with a connector and with pymongo, and shows what came
of each in a form that can be compared: values with their types, results and errors with what scripts look at."""

# same(c, lines, k) -> [shown] of each line; `c` is a connector, or pymongo's client with the names that scripts take from `c`.
RUN = r'''
import datetime, decimal, re, uuid
import bson
from bson import (Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, SON, Timestamp)
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
import pymongo.errors
from pymongo import ReadPreference
from pymongo.collation import Collation
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

RESULTS = ('acknowledged', 'inserted_id', 'inserted_ids', 'matched_count', 'modified_count', 'upserted_id', 'deleted_count', 'inserted_count',
           'upserted_count', 'upserted_ids', 'bulk_api_result', 'raw_result')
VOLATILE = ('errmsg', 'keyPattern', 'keyValue', '$clusterTime', 'operationTime', 'electionId', 'opTime')

def show(v, depth=0):
    """A value as JSON, with its type where JSON has none."""
    if v is None or type(v) in (bool, int, str):
        return v
    if isinstance(v, RawBSONDocument):
        return ['raw', v.raw.hex()]
    if isinstance(v, dict):
        return [type(v).__name__, [[key, show(v[key] if key != 'op' else dict(v[key]))] for key in v if key not in VOLATILE]]
    if isinstance(v, datetime.datetime):
        return ['datetime', v.isoformat()]
    if isinstance(v, (list, tuple)):
        return [type(v).__name__, [show(x) for x in v]]
    if isinstance(v, ObjectId):
        return 'ObjectId'
    if type(v).__name__ in ('Cursor', 'CommandCursor'):
        return [type(v).__name__, [show(x) for x in v]]
    if type(v).__name__.endswith('Result'):
        return [type(v).__name__, [[name, show(getattr(v, name))] for name in RESULTS if hasattr(v, name)]]
    if type(v).__name__ in ('Database', 'Collection'):
        return [type(v).__name__, v.name]
    return [type(v).__name__, str(v) if isinstance(v, (Regex, Code)) else repr(v)]

def failed(e):
    """The pymongo class of an error, its number and its details."""
    by = {x.__module__: x.__name__ for x in reversed(type(e).__mro__)}
    details = getattr(e, 'details', None)
    return ['raised', by.get('pymongo.errors') or by.get('bson.errors') or by.get('tenon_shim.errors') or by['builtins'], getattr(e, 'code', None) or None, show(details) if isinstance(details, dict) and 'ok' not in details else None]

def deep(n):
    out = {}
    for _ in range(n):
        out = {'d': out}
    return out

def data():
    return [{'_id': i, 'n': i, 'g': 'abc'[i % 3], 'l': list(range(i % 4)), 'm': {'x': i % 5, 'y': [{'z': i}]}} for i in range(40)]

def same(c, lines, k):
    names = dict(globals(), c=c, k=k, db=c.db(), t=c.db()[k], u=c.db()[k + 'u'])
    c.db().drop_collection(k), c.db().drop_collection(k + 'u')
    names['t'].insert_many(data())
    out = []
    for line in lines:
        try:
            try:
                code = compile(line, line, 'eval')
            except SyntaxError:
                code = None
            if code is None:
                exec(line, names)
            out.append(show(eval(code, names)) if code is not None else 'done')
        except Exception as e:
            out.append(failed(e))
    for name in c.db().list_collection_names():
        if name.startswith(k):
            c.db().drop_collection(name)
    return out
'''

# What makes a function of a script of it.
ENTRY = '''
@DFF.API('f', timeout=60)
def f(cid, lines, k):
    return same(DFF.CONN(cid), lines, k)
'''
