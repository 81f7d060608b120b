# SPDX-License-Identifier: Apache-2.0
"""A STUB of InfluxDB 2, because no package has a real one: it checks token, organisation and bucket, keeps the lines it gets, and answers
Flux with the CSV that a test gave it. It shows what our requests look like and how answers are read, not what InfluxDB 2 does."""

import gzip
import http.server
import json
import threading
from typing import Any, Dict, List
from urllib.parse import parse_qsl, urlsplit

TOKEN = 'Xy7-t0k=='


class Influx2:
    """`lines`: what was written; `asked`: bodies of queries; `answer`: the CSV of the next queries."""

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.writes: List[Dict[str, str]] = []
        self.asked: List[Dict[str, Any]] = []
        self.answer = ''
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def send(self, status: int, body: bytes = b'', kind: str = 'application/json') -> None:
                self.send_response(status)
                self.send_header('Content-Type', kind)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def refuse(self, status: int, code: str, text: str) -> None:
                self.send(status, json.dumps({'code': code, 'message': text}).encode())

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                if self.headers.get('Content-Encoding') == 'gzip':
                    body = gzip.decompress(body)
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                if parts.path == '/ping':
                    return self.send(204)
                if self.headers.get('Authorization') != 'Token ' + TOKEN:
                    return self.refuse(401, 'unauthorized', 'unauthorized access')
                if parts.path == '/api/v2/buckets':
                    return self.send(200, b'{"buckets": []}')
                if query.get('org') != 'shop':
                    return self.refuse(404, 'not found', 'organization name "%s" not found' % query.get('org'))
                if parts.path == '/api/v2/query':
                    stub.asked.append(json.loads(body))
                    return self.send(200, stub.answer.encode(), 'text/csv; charset=utf-8')
                if parts.path == '/api/v2/write' and query.get('bucket') == 'b':
                    stub.writes.append(query)
                    stub.lines += body.decode().splitlines()
                    return self.send(204)
                return self.refuse(404, 'not found', 'bucket "%s" not found' % query.get('bucket'))

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
                """Silence."""

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'version': '2', 'org': 'shop', 'bucket': 'b', 'password': TOKEN, **more}

    def __enter__(self) -> 'Influx2':
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
