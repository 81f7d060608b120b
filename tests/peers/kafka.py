# SPDX-License-Identifier: Apache-2.0
"""One Kafka broker with its own controller (tests/peers/kafka/fetch): plain, and with certs also TLS and SASL listeners."""

import hashlib
import os
import signal
import socket
import struct
import subprocess
from typing import List, Optional

from .certs import Certs
from .fetched import folder
from .peer import Peer, free_port, program
from .proxy import Proxy

PASSWORD = 'p@ss-word'
_QUICK = ('-X', 'topic.metadata.refresh.interval.ms=50')  # a topic that is being made is found at once
_JAVA = ['-Xmx384m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
         '-Dorg.slf4j.simpleLogger.log.kafka.coordinator.group=info']  # who joins which group


class Listener:
    """One of a broker's addresses, with what it needs, as a peer of its own."""

    def __init__(self, port: int, **needs: object) -> None:
        self.port, self.needs = port, needs

    def config(self, host: str = '127.0.0.1', port: int = 0, **more: object) -> dict:
        """A connector's configuration."""
        return {'servers': '%s:%d' % (host, port or self.port), **self.needs, **more}


class Kafka(Peer):
    """`port` is plain; `sasl`, `tls`, `sasl_tls`, `wrong` (a certificate for another name) are the other listeners. The user
    is `app` with PASSWORD, by PLAIN. `far` and `scram` (a user of it comes with Account) tell clients to come to `far_seen` and
    `scram_seen`, where a proxy may listen."""

    def __init__(self, certs: Optional[Certs] = None, largest: int = 1000000) -> None:
        super().__init__()
        self.largest = largest  # bytes of a message
        self.jars = os.path.join(folder('kafka'), 'jars', '*')
        self.java = program('java', '/usr/lib/jvm/*/bin/java', package='default-jdk-headless')
        self.certs = certs
        self.controller, self.sasl, self.tls, self.sasl_tls, self.wrong = (free_port() for _ in range(5))
        self.far, self.far_seen, self.scram, self.scram_seen = (free_port() for _ in range(4))
        self.formatted = False

    def config(self, **more: object) -> dict:
        """A connector's configuration."""
        return Listener(self.port).config(**more)  # type: ignore[arg-type]

    def _properties(self) -> str:
        listeners = {'PLAIN': (self.port, 'PLAINTEXT'), 'SASL': (self.sasl, 'SASL_PLAINTEXT'), 'FAR': (self.far, 'PLAINTEXT'),
                     'SCRAM': (self.scram, 'SASL_PLAINTEXT')}
        seen = {'FAR': self.far_seen, 'SCRAM': self.scram_seen}
        lines: List[str] = []
        jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_app="%s";' % PASSWORD
        if self.certs is not None:
            listeners.update(TLS=(self.tls, 'SSL'), STLS=(self.sasl_tls, 'SASL_SSL'), WRONG=(self.wrong, 'SSL'))
            for name, cert in (('tls', 'server'), ('stls', 'server'), ('wrong', 'wrong')):
                pem, key = self.certs.pair(cert)
                at = 'listener.name.%s.ssl.' % name
                lines += [at + 'keystore.type=PEM', at + 'keystore.location=' + self.write(name + '.pem', key + pem),
                          at + 'truststore.type=PEM', at + 'truststore.location=' + self.write('ca.pem', self.certs.text('ca.pem')),
                          at + 'client.auth=requested']
            lines.append('listener.name.stls.plain.sasl.jaas.config=' + jaas)
        names = {**listeners, 'CTRL': (self.controller, 'PLAINTEXT')}
        lines += [
            'process.roles=broker,controller', 'node.id=1', 'controller.quorum.voters=1@127.0.0.1:%d' % self.controller,
            'listeners=' + ','.join('%s://127.0.0.1:%d' % (n, p) for n, (p, _) in names.items()),
            'advertised.listeners=' + ','.join('%s://127.0.0.1:%d' % (n, seen.get(n, p)) for n, (p, _) in listeners.items()),
            'listener.security.protocol.map=' + ','.join('%s:%s' % (n, s) for n, (_, s) in names.items()),
            'inter.broker.listener.name=PLAIN', 'controller.listener.names=CTRL', 'log.dirs=' + self.path('data'),
            'sasl.enabled.mechanisms=PLAIN', 'listener.name.sasl.plain.sasl.jaas.config=' + jaas,
            'listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256', 'listener.name.scram.scram-sha-256.sasl.jaas.config='
            'org.apache.kafka.common.security.scram.ScramLoginModule required;',
            'offsets.topic.replication.factor=1', 'offsets.topic.num.partitions=1', 'transaction.state.log.replication.factor=1',
            'transaction.state.log.min.isr=1', 'group.initial.rebalance.delay.ms=0', 'num.partitions=3', 'message.max.bytes=%d' % self.largest,
            'controlled.shutdown.enable=false', 'log.cleaner.enable=false', 'group.min.session.timeout.ms=1000',
            # a broker that comes back after a crash need not wait for the end of its former session
            'broker.session.timeout.ms=2000', 'broker.heartbeat.interval.ms=500']
        return '\n'.join(lines) + '\n'

    def start(self) -> 'Kafka':
        conf = self.write('server.properties', self._properties())
        run = [self.java] + _JAVA + ['-cp', self.jars]
        if not self.formatted:
            self.run(run + ['kafka.tools.StorageTool', 'format', '-t', 'dGVub24tdGVzdHMtMDAwMQ', '-c', conf])
            self.formatted = True
        self.spawn(run + ['kafka.Kafka', conf])
        self.wait_port(60)
        self.wait_answer(lambda: self.kcat('-L'), 60)
        return self

    def kcat(self, *args: str, text: str = '', port: int = 0) -> str:
        """The independent client -> what it prints."""
        binary = program('kcat', package='kcat')
        done = subprocess.run([binary, '-b', '127.0.0.1:%d' % (port or self.port), '-m', '5', '-q'] + list(args), input=text, text=True,
                              errors='replace', timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def set_scram(self, user: str, secret: str) -> None:
        """The password of a user of SCRAM-SHA-256: AlterUserScramCredentials, version 0."""
        def text(s: bytes) -> bytes:
            return bytes([len(s) + 1]) + s  # the length of a compact string; all of them are short
        salt = os.urandom(16)
        salted = hashlib.pbkdf2_hmac('sha256', secret.encode(), salt, 4096)
        row = text(user.encode()) + b'\x01' + struct.pack('>i', 4096) + text(salt) + text(salted) + b'\0'
        request = struct.pack('>hhih', 51, 0, 1, -1) + b'\0' + b'\x01' + b'\x02' + row + b'\0'
        with socket.create_connection(('127.0.0.1', self.port), 10) as s, s.makefile('rb') as f:
            s.sendall(struct.pack('>i', len(request)) + request)
            answer = f.read(struct.unpack('>i', f.read(4))[0])
        at = 4 + 1 + 4 + 1 + 1 + len(user)  # number, tags, throttle, rows, user
        assert struct.unpack_from('>h', answer, at)[0] == 0, answer

    def send(self, topic: str, *messages: object) -> None:
        """Publishes with the independent client; a topic that is not there is made."""
        self.kcat('-P', *_QUICK, '-t', topic, text=''.join('%s\n' % m for m in messages))

    def send_file(self, topic: str, data: bytes, times: int = 1) -> None:
        """The same bytes as one message each."""
        with open(self.path('message'), 'wb') as f:
            f.write(data)
        self.kcat('-P', *_QUICK, '-X', 'message.max.bytes=%d' % self.largest, '-t', topic, *[self.path('message')] * times)


class Account(Listener):
    """A user of SCRAM whose password may change, behind a proxy that ends its connections then. Stops and starts the broker."""

    def __init__(self, broker: Kafka) -> None:
        super().__init__(broker.scram_seen, securityProtocol='SASL_PLAINTEXT', saslMechanisms='SCRAM-SHA-256', user='ann')
        self.broker, self.proxy = broker, Proxy(broker.scram, broker.scram_seen)

    def password(self, secret: str) -> None:
        """Another one, which counts when this returns."""
        self.broker.set_scram('ann', secret)
        self.needs['password'] = secret
        needs = ('security.protocol=SASL_PLAINTEXT', 'sasl.mechanisms=SCRAM-SHA-256', 'sasl.username=ann', 'sasl.password=' + secret)
        self.broker.wait_answer(lambda: self.broker.kcat('-L', *(word for n in needs for word in ('-X', n)), port=self.port), 20)
        self.proxy.drop()

    def stop(self) -> None:
        """Without a goodbye."""
        self.broker.stop(signal.SIGKILL)

    def start(self) -> None:
        self.broker.start()

    def __enter__(self) -> 'Account':
        self.proxy.__enter__()
        self.password('first')
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.__exit__()
