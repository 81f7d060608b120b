# SPDX-License-Identifier: Apache-2.0
"""An HTTP server for what honest servers do not do: endless, slow, wrong and huge answers, and an echo of what came."""

import gzip
import http.server
import json
import socketserver
import threading
import time
from typing import Any, Dict, List
from urllib.parse import parse_qsl, urlsplit


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave are part of the tests."""


class OddHttp:
    """/echo and everything unknown tell what came, as JSON. /redirect?to=&status=, /failing?times=&status= (then an echo), /chunks?n=&size=
    &pause=, /huge?n=, /bomb, /headers, /latin, /odd-headers, /wordy?code=, /bad-gzip, /short, /cookies, /slow?seconds=. `seen`: requests as dicts."""

    def __init__(self) -> None:
        self.seen: List[Dict[str, Any]] = []
        self.failed: Dict[str, int] = {}
        odd = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                self.came = {'method': self.command, 'target': self.path, 'path': parts.path, 'query': self.query,
                             'headers': {k.lower(): v for k, v in self.headers.items()}, 'body': body.decode('latin-1')}
                odd.seen.append(self.came)
                getattr(self, 'do_' + parts.path[1:].replace('-', '_'), self.do_echo)()

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_PURGE = _answer

            def send(self, body: bytes, kind: str = 'application/json', status: int = 200, **headers: str) -> None:
                self.send_response(status)
                self.send_header('Content-Type', kind)
                self.send_header('Content-Length', str(len(body)))
                for name, value in headers.items():
                    self.send_header(name.replace('_', '-'), value)
                self.end_headers()
                if self.command != 'HEAD':
                    self.wfile.write(body)

            def do_echo(self) -> None:
                self.send(json.dumps({**self.came, 'tagline': ''}).encode())  # a greeting of Elasticsearch, too

            def do_redirect(self) -> None:
                self.send(b'', status=int(self.query.get('status', '302')), Location=self.query['to'])

            def do_loop(self) -> None:
                self.send(b'', status=302, Location='/loop')

            def do_status(self) -> None:
                self.send(b'{"why": "because"}', status=int(self.query['code']))

            def do_failing(self) -> None:
                key = self.query['key']
                odd.failed[key] = odd.failed.get(key, 0) + 1
                if odd.failed[key] > int(self.query['times']):
                    return self.do_echo()
                if self.query['status'] == '0':
                    self.close_connection = True
                    return self.connection.close()
                headers = {'Retry_After': self.query['after']} if 'after' in self.query else {}
                return self.send(b'later', 'text/plain', int(self.query['status']), **headers)

            def do_chunks(self) -> None:
                self.send_response(200)
                self.send_header('Content-Type', 'application/octet-stream')
                self.send_header('Transfer-Encoding', 'chunked')
                self.end_headers()
                size = int(self.query['size'])
                for i in range(int(self.query['n'])):
                    self.wfile.write(b'%x\r\n%s\r\n' % (size, bytes([65 + i % 26]) * size))
                    time.sleep(float(self.query.get('pause', '0')))
                self.wfile.write(b'0\r\n\r\n')

            def do_huge(self) -> None:
                self.send(b'x' * int(self.query['n']), 'application/octet-stream')

            def do_bomb(self) -> None:
                self.send(gzip.compress(b'\0' * 200000000, 1), 'application/octet-stream', Content_Encoding='gzip')

            def do_headers(self) -> None:
                self.send_response(200)
                for i in range(int(self.query['n'])):
                    self.send_header('X-Many', 'y' * int(self.query['size']))
                self.send_header('Content-Length', '0')
                self.end_headers()

            def do_latin(self) -> None:
                self.send('caf\u00e9'.encode('latin-1'), 'text/plain; charset=iso-8859-1')

            def do_bytes(self) -> None:
                self.send(b'\x00\xff\xfe', 'application/octet-stream')

            def do_not_json(self) -> None:
                self.send(b'{"a": 1,}', 'application/json')

            def do_wordy(self) -> None:
                """Bodies where there are none, and answers before the answer."""
                self.wfile.write(b'HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n')
                self.wfile.write(b'HTTP/1.1 %d Odd\r\nContent-Length: 8\r\nX-Late: 1\r\n\r\nHTTP/1.1' % int(self.query['code']))

            def do_bad_gzip(self) -> None:
                self.send(b'this is not packed', Content_Encoding='gzip')

            def do_short(self) -> None:
                self.send_response(200)
                self.send_header('Content-Length', '1000')
                self.end_headers()
                self.wfile.write(b'too little')
                self.close_connection = True

            def do_cookies(self) -> None:
                self.send_response(200)
                for text in ('a=1', 'b=2'):
                    self.send_header('Set-Cookie', text)
                self.send_header('X-Two', 'one')
                self.send_header('X-Two', 'two')
                self.send_header('Content-Length', '0')
                self.end_headers()

            def do_odd_headers(self) -> None:
                self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\nX-\xe9: 1\r\nX Blank: 1\r\n\r\n')

            def do_slow(self) -> None:
                time.sleep(float(self.query['seconds']))
                self.do_echo()

            def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
                """Silence."""

        self.server = _Server(('127.0.0.1', 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, **more}

    def __enter__(self) -> 'OddHttp':
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
