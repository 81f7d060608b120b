# SPDX-License-Identifier: Apache-2.0
"""Signs requests with an access key as the SDKs of the original do (spec 1.1), each in its dialect."""

import hashlib
import hmac
import json
import time
import uuid
from typing import Any, Callable, Dict, Optional

import requests

from .client import Client


def python_text(value: Any) -> str:
    """json.dumps as the Python SDK calls it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(',', ':'))


def node_text(value: Any) -> str:
    """The Node SDK: nothing is escaped inside strings, 1.0 is 1."""
    if isinstance(value, dict):
        return '{%s}' % ','.join('"%s":%s' % (k, node_text(value[k])) for k in sorted(value))
    if isinstance(value, list):
        return '[%s]' % ','.join(map(node_text, value))
    if isinstance(value, str):
        return '"%s"' % value
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return python_text(value)


def go_text(value: Any) -> str:
    """json.Marshal: like Python, but <>& and the line separators are escaped and 1.0 is 1."""
    if isinstance(value, dict):
        return '{%s}' % ','.join('%s:%s' % (go_text(k), go_text(value[k])) for k in sorted(value))
    if isinstance(value, list):
        return '[%s]' % ','.join(map(go_text, value))
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    text = python_text(value)
    for c in '<>&\u2028\u2029':
        text = text.replace(c, '\\u%04x' % ord(c))
    return text


DIALECTS: Dict[str, Callable[[Any], str]] = {'python': python_text, 'node': node_text, 'go': go_text}


class Signer:
    """A client with an access key and no session."""

    def __init__(self, client: Client, key_id: str, secret: str) -> None:
        self.client, self.key_id, self.secret = client, key_id, secret

    def headers(self, method: str, target: str, body_text: str = '{}', **changes: Optional[str]) -> Dict[str, str]:
        """The four headers. changes: timestamp, nonce, secret; None leaves a header out after signing."""
        at = changes.get('timestamp') or str(int(time.time()))
        nonce = changes.get('nonce') or uuid.uuid4().hex
        text = '&'.join((method, target, at, nonce, hashlib.md5(body_text.encode()).hexdigest()))
        secret = changes.get('secret') or self.secret
        headers = {'Id': self.key_id, 'Timestamp': at, 'Nonce': nonce,
                   'Sign': hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest()}
        return {'X-Dff-Ak-' + k: v for k, v in headers.items() if k.lower() not in changes or changes[k.lower()]}

    def request(self, method: str, target: str, body: Any = None, dialect: str = 'python', sent: Optional[str] = None,
                **changes: Optional[str]) -> requests.Response:
        """Signed in a dialect; `sent` is the body's text on the wire, by default an ordinary json.dumps()."""
        text = '{}' if body is None else DIALECTS[dialect](body)
        headers = self.headers(method, target, text, **changes)
        data = None
        if body is not None:
            data = (json.dumps(body) if sent is None else sent).encode()
            headers['Content-Type'] = 'application/json'
        return self.client.request(method, target, data=data, headers=headers)
