# SPDX-License-Identifier: Apache-2.0
"""ClickHouse from Debian (18.16): a user with a password, TLS when wanted."""

import hashlib
import signal
from typing import Optional

from .certs import Certs
from .peer import Peer, program

PASSWORD = 'p@ss word"\'\\<&'

_CONFIG = '''<?xml version="1.0"?>
<yandex>
    <logger><level>warning</level><log>{dir}/server.log</log><errorlog>{dir}/error.log</errorlog></logger>
    <{tag}>{port}</{tag}>
    <listen_host>127.0.0.1</listen_host>
    <path>{dir}/data/</path><tmp_path>{dir}/tmp/</tmp_path><user_files_path>{dir}/files/</user_files_path>
    <users_config>{dir}/users.xml</users_config>
    <default_profile>default</default_profile><default_database>default</default_database>
    <timezone>{zone}</timezone>
    <mark_cache_size>5368709</mark_cache_size>
    {tls}
</yandex>
'''
_TLS = '''<openSSL><server>
        <certificateFile>{dir}/tls.pem</certificateFile><privateKeyFile>{dir}/tls.key</privateKeyFile>
        <caConfig>{dir}/ca.pem</caConfig><verificationMode>{verify}</verificationMode>
        <loadDefaultCAFile>false</loadDefaultCAFile><cacheSessions>false</cacheSessions>
        <disableProtocols>sslv2,sslv3</disableProtocols>
    </server></openSSL>'''
_USERS = '''<?xml version="1.0"?>
<yandex>
    <profiles>
        <default><max_memory_usage>1000000000</max_memory_usage>
            <allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type></default>
        <readonly><readonly>1</readonly></readonly>
    </profiles>
    <users>
        <default><password></password><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota></default>
        <tenon><password_sha256_hex>{hash}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota></tenon>
        <reader><password></password><networks><ip>127.0.0.1</ip></networks>
            <profile>readonly</profile><quota>default</quota></reader>
    </users>
    <quotas><default></default></quotas>
</yandex>
'''


class ClickHouse(Peer):
    """Database and user `tenon` with PASSWORD; `default` and `reader` (may only read) have none. With `certs` the port
    speaks TLS only; `strict` asks clients for a certificate as well."""

    user = 'clickhouse'
    zone = 'Asia/Shanghai'

    def __init__(self, certs: Optional[Certs] = None, cert: str = 'server', strict: bool = False) -> None:
        super().__init__()
        self.certs, self.cert, self.strict = certs, cert, strict
        self.secret = PASSWORD
        self.binary = program('clickhouse-server', '/usr/sbin/clickhouse-server', package='clickhouse-server')

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return {'host': '127.0.0.1', 'port': self.port, 'user': 'tenon', 'password': self.secret, 'database': 'tenon',
                **more}

    def client(self, **more: object) -> object:
        """Debian's own client library, an implementation of the protocol that is not ours."""
        from clickhouse_driver import Client
        tls = {'secure': True, 'verify': False} if self.certs else {}
        return Client('127.0.0.1', port=self.port, **{'user': 'default', **tls, **more})

    def sql(self, text: str, **more: object) -> list:
        """Rows of a statement of `default`, by that client."""
        client = self.client(**more)
        try:
            return client.execute(text)  # type: ignore[attr-defined]
        finally:
            client.disconnect()  # type: ignore[attr-defined]

    def password(self, secret: str) -> None:
        """Another one for the user `tenon`; the server reads it by itself within two seconds."""
        self.secret = secret
        self.write('users.xml', _USERS.format(hash=hashlib.sha256(secret.encode()).hexdigest()))

    def stop(self, sig: int = signal.SIGKILL) -> None:
        """SIGTERM would wait for the connections that pools keep."""
        super().stop(sig)

    def start(self) -> 'ClickHouse':
        self.password(self.secret)
        tls = ''
        if self.certs is not None:
            pem, key = self.certs.pair(self.cert)
            self.write('tls.pem', pem)
            self.write('tls.key', key)
            self.write('ca.pem', self.certs.text('ca.pem'))
            tls = _TLS.format(dir=self.dir, verify='strict' if self.strict else 'none')
        tag = 'tcp_port' if self.certs is None else 'tcp_port_secure'
        self.spawn([self.binary, '--config-file=' + self.write('config.xml', _CONFIG.format(
            dir=self.dir, port=self.port, tag=tag, zone=self.zone, tls=tls))])
        self.wait_port()
        if not self.strict:
            self.sql('CREATE DATABASE IF NOT EXISTS tenon')
        return self
