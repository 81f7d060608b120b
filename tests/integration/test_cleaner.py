# SPDX-License-Identifier: Apache-2.0
"""The cleaner (spec 5.4, 5.7): temporary files, histories, records of what was deleted."""

import os
import sqlite3
import time
from typing import Callable

from support.server import Server, wait_for

CODE = '@DFF.API("f")\ndef f():\n    return 1\n'


def stamp(offset: int) -> str:
    return time.strftime('%Y%m%d%H%M%S', time.gmtime(time.time() + offset))


def test_what_nobody_reaches_goes(new_server: Callable[..., Server]) -> None:
    s = new_server(args=('--clean-every', '300ms'))
    s.start()
    api = s.client()
    script = api.script(CODE)
    gone, kept = (api.add_sync_api(script + '.f', taskRecordLimit=10) for _ in range(2))
    for sapi in (gone, kept):
        api.result(sapi)
    api.post('/func/%s.f' % script, {'kwargs': {}})
    uploads = os.path.join(s.data, 'resources', '.uploads')
    names = {stamp(-10) + '_abc_old.txt': False, stamp(600) + '_abc_new.txt': True, '2020_x': True, stamp(-10): True,
             stamp(-10) + 'x_y': True}
    for name in names:
        with open(os.path.join(uploads, name), 'w') as f:
            f.write('x')
    with sqlite3.connect(os.path.join(s.data, 'config.db'), timeout=20) as db:
        db.executemany('INSERT INTO biz_main_script_publish_history (id, scriptId, scriptPublishVersion, scriptCode_cache, createTime, updateTime) '
                       "VALUES (?, 's__x', 1, 'x', 0, 0)", [('scph-%d' % i,) for i in range(5100)])
    api.get('/sync-apis/%s/do/delete' % gone)

    def rows() -> set:
        return {r['originId'] for r in api.get('/task-records/func/do/list', pageSize=100)}
    assert wait_for(lambda: rows() == {kept, 'direct'}, 15)

    def files() -> dict:
        return {name: os.path.exists(os.path.join(uploads, name)) for name in names}
    assert wait_for(lambda: files() == names, 5), files()

    def histories() -> int:
        with sqlite3.connect('file:%s/config.db?mode=ro' % s.data, uri=True, timeout=20) as db:
            return db.execute('SELECT count(*) FROM biz_main_script_publish_history').fetchone()[0]
    assert wait_for(lambda: histories() == 5000, 10), histories()
    assert 'cleaner: 1 uploaded files removed' in s.log()
