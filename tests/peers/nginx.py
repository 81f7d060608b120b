# SPDX-License-Identifier: Apache-2.0
"""nginx from Debian: an HTTP server with TLS, client certificates, Basic and gzip, or TLS in front of a server that has none."""

import os
from typing import Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'open "sesame'


class Nginx(Peer):
    """Files of `root` (a folder of its own); /basic/ wants user tenon with PASSWORD, /packed/ comes with gzip, /where/ redirects.
    With `certs` the port speaks TLS, and with `client` only to certificates of the same authority. `to_port`: everything goes there.
    `accounts`: nothing without the password."""

    user = 'www-data'

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server', client: bool = False, to_port: int = 0, accounts: bool = False) -> None:
        super().__init__()
        self.accounts, self.secret = accounts, PASSWORD
        self.certs, self.cert, self.client, self.to_port = certs, cert, client, to_port
        self.binary = program('/usr/sbin/nginx', 'nginx', package='nginx-light')
        os.makedirs(self.path('root'))
        for folder in ('basic', 'packed'):
            os.makedirs(self.path('root', folder))
        os.chmod(self.dir, 0o755)

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        tls = {'protocol': 'https'} if self.certs is not None else {}
        user = {'user': 'tenon', 'password': self.secret} if self.accounts else {}
        return {'host': '127.0.0.1', 'port': self.port, **tls, **user, **more}

    def password(self, new: str) -> str:
        """Another password for user tenon, at once; the path of the file."""
        self.secret = new
        return self.write('users', 'tenon:{PLAIN}' + new + '\n')

    def file(self, name: str, content: bytes) -> None:
        """A file to be served."""
        path = self.path('root', name)
        with open(path, 'wb') as f:
            f.write(content)
        os.chmod(path, 0o644)

    def start(self) -> 'Nginx':
        tls = ''
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            tls = 'ssl_certificate %s; ssl_certificate_key %s;' % (self.write('tls.pem', pem), self.write('tls.key', key))
            if self.client:
                tls += 'ssl_client_certificate %s; ssl_verify_client on;' % self.write('ca.pem', self.certs.text('ca.pem'))
        where = '''
            root {dir}/root;
            location /basic/ {{ auth_basic "here"; auth_basic_user_file {users}; }}
            location /packed/ {{ gzip on; gzip_min_length 1; gzip_types *; }}
            location = /where/ {{ return 302 /basic/; }}'''
        if self.to_port:
            where = '''
            location / {{
                proxy_pass http://127.0.0.1:{to};
                proxy_http_version 1.1; proxy_set_header Connection "";
                client_max_body_size 200m; proxy_request_buffering off; proxy_buffering off;
            }}'''
        text = '''
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; default_type text/plain;
    types {{ text/html html; application/json json; application/octet-stream bin; }}
    server {{ listen 127.0.0.1:{port} {ssl}; {tls} {closed} %s }}
}}''' % where
        users = self.password(self.secret)
        closed = 'auth_basic "here"; auth_basic_user_file %s;' % users if self.accounts else ''
        self.spawn([self.binary, '-c', self.write('nginx.conf', text.format(
            dir=self.dir, port=self.port, ssl='ssl' if tls else '', tls=tls, users=users, closed=closed, to=self.to_port, user=''))])
        self.wait_port()
        return self
