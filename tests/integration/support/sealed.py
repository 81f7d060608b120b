# SPDX-License-Identifier: Apache-2.0
"""Opens what the platform has sealed, as somebody could who has the data folder with its master.key. An implementation of its own,
on libsodium by ctypes."""

import base64
import ctypes
import json
import os
from typing import Any, Optional

SODIUM = ctypes.CDLL('libsodium.so.23')
NONCE = 24


class Seals:
    """The key of a data folder."""

    def __init__(self, data: str) -> None:
        with open(os.path.join(data, 'master.key'), 'rb') as f:
            self.master = f.read()
        assert len(self.master) == 32
        self.key = self._derive(b'tenon seal 1', 32)
        self.id = self._derive(b'tenon key id 1', 16)[:4].hex()

    def _derive(self, label: bytes, n: int) -> bytes:
        text, out = label + b'\0', ctypes.create_string_buffer(n)
        SODIUM.crypto_generichash(out, ctypes.c_size_t(n), text, ctypes.c_ulonglong(len(text)), self.master, ctypes.c_size_t(32))
        return out.raw

    def open(self, sealed: str, place: str) -> str:
        """The text of tn1:KEY:BASE64, sealed for a place table|column|id; ValueError when it is not its own."""
        head, key, text = sealed.split(':')
        assert head == 'tn1' and key == self.id
        blob, aad = base64.b64decode(text, validate=True), place.encode() + b'\0' + key.encode()
        out, n = ctypes.create_string_buffer(len(blob)), ctypes.c_ulonglong()
        if SODIUM.crypto_aead_xchacha20poly1305_ietf_decrypt(
                out, ctypes.byref(n), None, blob[NONCE:], ctypes.c_ulonglong(len(blob) - NONCE), aad,
                ctypes.c_ulonglong(len(aad)), blob[:NONCE], self.key):
            raise ValueError('sealed for another place, or changed')
        return out.raw[:n.value].decode()

    def task(self, column: str, task_id: str, stored: Optional[str]) -> Any:
        """The value of args or result of tn_task, as it stands in the column."""
        if stored is None:
            return None
        value = json.loads(stored)
        if isinstance(value, str) and value.startswith('tn1:'):
            value = json.loads(self.open(value, 'tn_task|%s|%s' % (column, task_id)))
        return value

    def told(self, column: str, task_id: str, stored: str) -> str:
        """The text of exception, traceback or logs of tn_task or tn_attempt, which must be sealed."""
        return self.open(stored, 'tn_task|%s|%s' % (column, task_id))
