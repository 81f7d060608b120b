# SPDX-License-Identifier: Apache-2.0
"""The members of DFF (spec 3.5) as a whole: the table of pyshim/README.md is what the platform has, default methods, and
the small ones in calls by HTTP. The large ones have files of their own (test_dff_*, test_store, test_func_cache, test_sysdb)."""

import hashlib
import os
import re
from pathlib import Path

import pytest

README = Path(os.environ.get('TENON_ROOT', Path(__file__).resolve().parents[2])) / 'pyshim' / 'README.md'
SCRIPT = '''
import time

@DFF.API('members')
def members():
    return [dir(DFF), [n for n in dir(DFF) if not n.startswith('_') and getattr(DFF, n.lower()) is not getattr(DFF, n.upper())
                       and n.upper() not in ('CACHE', 'STORE')],
            [getattr(DFF, n) for n in ('QUEUE', 'EXIT', 'BREAK', 'CRONTAB', 'LIST', 'anything')]]

@DFF.API('defaults')
def defaults():
    DFF.CTX.set('k', [1])
    DFF.STORE.set('k', [2])
    DFF.CACHE.set('k', 3)
    DFF.ENV.save('dff_members', 4)
    return [DFF.CTX('k'), DFF.STORE('k'), DFF.CACHE('k'), DFF.ENV('dff_members'), DFF.CONFIG('APP_NAME'),
            DFF.ctx('k'), DFF.env('none'), DFF.store('none'), DFF.cache('none')]

@DFF.API('ctx')
def ctx(step):
    before = DFF.CTX.get_all()
    DFF.CTX.set('step', {'n': [step]})
    copy = DFF.CTX.get('step')
    copy['n'].append('changed')
    return [before, DFF.CTX.get('step'), DFF.CTX.has('step'), DFF.CTX.has('no')]

@DFF.API('thread')
def thread():
    T = DFF.THREAD
    T.set_pool_size(3)
    def work(n, add=0):
        if n == 2:
            raise ValueError('two')
        time.sleep(0.01 * (4 - n))
        return n * n + add
    keys = [T.submit(work, n, add=1) for n in range(4)]
    one = T.get_result(keys[3])
    T.wait_all_finished()
    results = T.get_all_results()
    popped = T.pop_result()
    return [one.value, [r.value for r in results], [str(r.error) for r in results if r.error], [r.key for r in results] == keys,
            T.is_all_finished, T.pool_size, popped.key in keys, len(T.get_all_results())]

@DFF.API('small')
def small():
    DFF.LOG('one', 2, sep='-')
    word = 'seen'
    DFF.VAR(word, named=5)
    scope = {}
    DFF.EXEC('x = 2 + 3', scope)
    return [DFF.EVAL('6 * 7'), scope['x'], DFF.SQL('a = ? AND b IN (?) AND ??', ["it's", [1, None], 'raw']),
            DFF.RSRC('/a/b') == DFF.RSRC('a/b'), DFF.SIGN('a', 1), DFF.TOOLKIT.get_md5('a'), DFF.TOOLKIT.to_boolean('yes')]

@DFF.API('guance')
def guance():
    g = DFF.EXTRA_GUANCE_DATA
    g.set_tags(a=1, b='x')
    g.delete_tags('a', 'none')
    g.set_fields(f=1, g=2.5)
    g.incr_field('f', 2)
    g.incr_field('new')
    g.delete_fields('g')
    g.add_more_data('m', tags={'t': '1'}, fields={'v': 2})
    return [g.tags, g.fields, g.more_data]

@DFF.API('sys cache')
def sys_cache():
    c = DFF.SYS_CACHE_DB
    c.delete(['sc:a', 'sc:h', 'sc:l'])
    c.set('sc:a', 'ä', expires=100)
    c.hset('sc:h', 'f', 1)
    c.rpush('sc:l', ['x', 'y'])
    return [c.get('sc:a'), 0 < c.ttl('sc:a') <= 100, sorted(c.keys('sc:*')), c.type('sc:h'), c.hgetall('sc:h'), c.lrange('sc:l'),
            c.query('LLEN sc:l'), c.query('GET', 'sc:a'), c.run('exists', 'sc:a'), c.dbsize() >= 3, c.check(), c.incr('sc:n') >= 1,
            sorted(c.get_pattern('sc:a*').items()), len(c.keys('sc:*', limit=2)), c.hget_pattern('sc:h', 'f*'), c.delete_pattern('sc:*')]
'''
NAMES = ('members', 'defaults', 'ctx', 'thread', 'small', 'guance', 'sys_cache')


@pytest.fixture(scope='module')
def call(server):
    client = server.client()
    script = client.script(SCRIPT)
    apis = {n: client.add_sync_api('%s.%s' % (script, n)) for n in NAMES}

    def run(name, **kwargs):
        return client.result(apis[name], **kwargs)
    run.client, run.script, run.apis = client, script, apis
    return run


def documented():
    """Names of the table's first column."""
    table = README.read_text().split('## The members of `DFF`')[1].split('\n## ')[0]
    rows = [line.split('|')[1] for line in table.splitlines() if line.startswith('| `')]
    return [n for row in rows for n in re.findall('`([A-Z_]+)`', row)]


def test_the_table_is_true(call):
    """What is documented is there, what is there is documented, in both spellings."""
    names, differ, unknown = call('members')
    public = {n for n in names if not n.startswith('_')}
    assert {n for n in public if n.isupper()} == set(documented()) and len(documented()) == len(set(documented()))
    assert {n for n in public if not n.isupper()} == {n.lower() for n in documented()}
    assert differ == [] and unknown == [None] * 6


def test_default_methods(call):
    assert call('defaults') == [[1], [2], '3', 4, 'DataFluxFunc', [1], None, None, None]


def test_ctx_belongs_to_the_task(call):
    """Copies out; nothing is left for the next call."""
    for n in range(3):
        assert call('ctx', step=n) == [{}, {'n': [n]}, True, False]


def test_thread(call):
    assert call('thread') == [10, [1, 2, None, 10], ['two'], True, True, 3, True, 3]


def test_small_ones(call):
    got = call('small')
    assert got[:4] == [42, 5, "a = 'it\\'s' AND b IN (1, NULL) AND raw", True]
    assert re.fullmatch('[0-9a-f]{32}', got[4]) and got[5:] == [hashlib.md5(b'a').hexdigest(), True]


def test_log_and_var(call):
    """Lines of the debugger."""
    logs = call.client.post('/func-draft/%s.small' % call.script, {'kwargs': {}})['result']['printLogs']
    assert logs[0].endswith('one-2')
    assert "[VAR] word: type=`<class 'str'>`, value=`seen`, obj_size=`" in logs[1] and 'named: type=' in logs[2]


def test_sign_depends_on_the_secret(new_server):
    s = new_server(env={'DFF_SECRET': 'grain of salt'})
    s.start()
    api_id = s.client().function('@DFF.API("f")\ndef f():\n    return DFF.SIGN("a", 1, None)\n', 'f')
    assert s.client().result(api_id) == hashlib.md5(b'grain of salt\na\n1\nNone').hexdigest()


def test_extra_guance_data(call):
    """Lives as long as the task."""
    want = [{'b': 'x'}, {'f': 3, 'new': 1}, [{'measurement': 'm', 'tags': {'t': '1'}, 'fields': {'v': 2}}]]
    assert [call('guance'), call('guance')] == [want, want]


def test_sys_cache(call):
    assert call('sys_cache') == ['ä', True, ['sc:a', 'sc:h', 'sc:l'], 'hash', {'f': '1'}, ['x', 'y'], 2, 'ä', 1, True, None, True,
                                 [['sc:a', 'ä']], 2, {'f': '1'}, 4]
