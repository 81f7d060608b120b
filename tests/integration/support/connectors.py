# SPDX-License-Identifier: Apache-2.0
"""What the tests of connectors share: stored connectors, code run in a script, refusals."""

import contextlib
import glob
import uuid
from typing import Any, Dict, Iterator, Optional

import pytest
from peers.peer import Missing, Peer

from .client import Client
from .server import Server


# Texts that would become SQL if anybody pasted them into a statement (reliability X-01).
_HOSTILE = ["'", "''", "\\'", "\\", '"', "'; DROP TABLE victim; --", "' OR '1'='1", "1); DELETE FROM victim; --", "$$", "$1",
            "?", "??", "%s", ":x", "\u2019 OR 1=1", "a\nb", "/*", "*/", "E'\\''", "U&'\\0027'", "\ufeff'", "x' || pg_sleep(9) || '",
            "' UNION SELECT NULL, NULL, NULL --", "' AND SLEEP(9)#", "admin'--", "') OR ('1'='1", '" OR ""="', '`; DROP TABLE victim; -- ', "0x27206f72",
            "'; EXEC xp_cmdshell('true'); --", "'; SELECT pg_read_file('/etc/passwd'); --", "' INTO OUTFILE '/tmp/x' #", "$tag$'$tag$", "{{7*7}}", "%27%20OR%201=1",
            "\u02bc OR 1=1 --", "\u00bf'", "\x1a'", "a\r\n'--", "';--\t", "N'x'", "]; DROP TABLE victim; --"]
INJECTION = list(dict.fromkeys(before + text + after for text in _HOSTILE for before, after in (
    ('', ''), ('a', 'b'), ("'", ''), ('', "'"), ('\\', ''), ('', '\\'), ('\u6570', '\U0001f600'))))


def fresh(prefix: str = 'c') -> str:
    """An id nobody has."""
    return prefix + uuid.uuid4().hex[:10]


def add(api: Client, type_: str, config: Dict[str, Any], **more: Any) -> str:
    """A stored connector -> its id; `skipTest=True` keeps it without trying it out."""
    cid = more.pop('id', None) or fresh(type_ + '_')
    body = {'data': {'id': cid, 'type': type_, 'configJSON': config, **more}}
    if body['data'].pop('skipTest', False):
        body['skipTest'] = True
    api.post('/connectors/do/add', body)
    return cid


def run(api: Client, code: str, **kwargs: Any) -> Any:
    """The result of f(**kwargs) of this script."""
    return api.result(api.function(code, 'f', {k: 'INPUT_BY_CALLER' for k in kwargs}), **kwargs)


def on(api: Client, cid: str, body: str, **kwargs: Any) -> Any:
    """The result of a function with `c` = DFF.CONN(cid); `tell(call)` gives [class, text, code, sqlstate] of
    what it raises, None otherwise."""
    lines = '\n'.join('    ' + line for line in body.strip('\n').split('\n'))
    return run(api, '''
import datetime, decimal, time
def tell(call):
    try:
        call()
    except Exception as e:
        return [type(e).__name__, str(e), getattr(e, 'code', None), getattr(e, 'sqlstate', None)]
@DFF.API('f', timeout=30)
def f(cid%s):
    c = DFF.CONN(cid)
%s
''' % (''.join(', ' + k for k in kwargs), lines), cid=cid, **kwargs)


def refused(api: Client, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """The error envelope of a request that must fail."""
    envelope = api.envelope(method, path, **({'json': body} if body is not None else {}))
    assert not envelope['ok'], envelope
    return envelope


def not_addable(api: Client, type_: str, config: Dict[str, Any]) -> Dict[str, Any]:
    """Why a connector with this configuration is refused: {exception, exceptionType, traceback}."""
    e = refused(api, 'POST', '/connectors/do/add', {'data': {'id': fresh(), 'type': type_, 'configJSON': config}})
    assert e['reason'] == 'EClientBadRequest.ConnectingToConnectorFailed', e
    return e['detail']


def hands(server: Server) -> int:
    """Threads of connections (connectors/common/hand) in all workers."""
    n = 0
    for worker in server.workers():
        for path in glob.glob('/proc/%d/task/*/comm' % worker.pid):
            with contextlib.suppress(OSError), open(path, encoding='ascii', errors='replace') as f:
                n += f.read().strip() == 'hand'
    return n


@contextlib.contextmanager
def peer(make: Any, *args: Any, **kwargs: Any) -> Iterator[Peer]:
    """A started server, or the test is skipped because it is not installed."""
    try:
        made = make(*args, **kwargs)
    except Missing as e:
        pytest.skip(str(e))
    with made:
        yield made
