# SPDX-License-Identifier: Apache-2.0
"""connectors/kafka in scripts, against a real broker; what was published is read by kcat."""

import json
import signal
from contextlib import nullcontext

import pytest
from peers.kafka import PASSWORD, Account, Kafka, Listener
from peers.proxy import Proxy
from support.cases import (BREAKS, GONE, NO_SERVER, BadLines, Breaks, ClientCertificate, Contract, PasswordChanges, Readme, Refusals,
                           TlsIsMissed, TlsNotOffered)
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows
from support.server import wait_for


@pytest.fixture(scope='module')
def kafka(certs):
    with peer(Kafka, certs=certs) as p:
        yield p


@pytest.fixture(scope='module')
def cid(server, kafka):
    return add(server.client(), 'kafka', kafka.config())


@pytest.fixture
def topic():
    """A topic nobody has."""
    return fresh('t')


def read(kafka, topic):
    """All messages of a topic as kcat has them: [{'key', 'payload', 'headers', 'partition', 'offset', 'ts'}]."""
    return [json.loads(line) for line in kafka.kcat('-C', '-t', topic, '-e', '-J').splitlines() if line.startswith('{')]


def test_publish(api, cid, kafka, topic):
    got = on(api, cid, '''
out = [c.publish(topic, m, partition=1) for m in ('text', '', {'a': [1, 2.5, None, '\u6570']}, ['x'], 5, 'x' * 500000, None)]
out.append(c.publish(topic, 'keyed', key='k1', headers={'h': 'v', 'n': 5, 'none': None, 'e': ''}, partition=2, timestamp=1700000000123))
out += [c.publish(topic, 'same', key='k1')['partition'] == c.publish(topic, 'same', key='k1')['partition'], c.check()]
return out
''', topic=topic)
    assert got[:7] == [{'partition': 1, 'offset': i} for i in range(7)] and got[7] == {'partition': 2, 'offset': 0} and got[8:] == [True, None]
    found = read(kafka, topic)
    assert [m['payload'] for m in found if m['partition'] == 1 and m['key'] is None] == ['text', '', '{"a":[1,2.5,null,"\u6570"]}', '["x"]', '5', 'x' * 500000, None]
    keyed = [m for m in found if m['payload'] == 'keyed'][0]
    assert keyed['key'] == 'k1' and keyed['ts'] == 1700000000123 and keyed['headers'] == ['h', 'v', 'n', '5', 'none', None, 'e', '']


def test_bytes_and_many(api, cid, kafka, topic):
    got = on(api, cid, '''
out = [c.publish(topic, b'\\x00\\xff', partition=0)['offset'], c.publish_many(topic, [str(i) for i in range(3000)], key='one')]
out += [c.topics()[topic], c.publish_many(topic, [{'a': 1}])]
return out
''', topic=topic)
    assert got == [0, 3000, 3, 1]
    assert kafka.kcat('-C', '-t', topic, '-p', '0', '-c', '1', '-e', '-f', '%S') == '2'
    assert [m['payload'] for m in read(kafka, topic) if m['key'] == 'one'] == [str(i) for i in range(3000)]  # in order


def test_packed(api, kafka, topic):
    for compression in ('gzip', 'snappy', 'lz4', 'zstd'):
        cid = add(api, 'kafka', kafka.config(compression=compression), skipTest=True)
        assert on(api, cid, "return c.publish_many(topic, ['%s ' * 1000] * 3)" % compression, topic=topic) == 3
    assert sorted(m['payload'][:4] for m in read(kafka, topic)) == ['gzip'] * 3 + ['lz4 '] * 3 + ['snap'] * 3 + ['zstd'] * 3


def test_arguments_and_limits(api, cid, kafka, topic):
    got = on(api, cid, '''
bad = ['', 'a b', 'x' * 250, 'a/b', '\u6570', 'a\\n']
out = [[tell(lambda: c.publish(b, 'x'))[0] for b in bad]]
out += [tell(lambda: c.publish_many(topic, []))[0], tell(lambda: c.publish(topic, 'x', partition=-5))[0], tell(lambda: c.publish(topic, 'x', headers=['a']))[0],
        tell(lambda: c.publish(topic, {'a': datetime.datetime.now()}))[0]]
out += [tell(lambda: c.publish(topic, 'x' * 1500000)), tell(lambda: c.publish_many(topic, ['ok', 'x' * 1500000])), tell(lambda: c.publish(topic, 'x', partition=77))]
return out + [c.publish(topic, 'fine')['offset'] >= 0]
''', topic=topic)
    assert got[0] == ['InvalidArgument'] * 6 and got[1:5] == ['InvalidArgument'] * 4
    assert got[5][0] == 'LimitExceeded' and got[6][0] == 'LimitExceeded' and 'message 1' in got[6][1], got[5:7]
    assert got[7][0] == 'QueryError' and 'partition' in got[7][1].lower() and got[8] is True
    assert sorted(m['payload'] for m in read(kafka, topic)) == ['fine', 'ok']


# ---- TLS and sign-in ------------------------------------------------------------------------------------------


def test_sign_in(api, certs, kafka, topic):
    sasl = {'servers': '127.0.0.1:%d' % kafka.sasl, 'securityProtocol': 'SASL_PLAINTEXT', 'user': 'app', 'password': PASSWORD}
    both = {**sasl, 'servers': '127.0.0.1:%d' % kafka.sasl_tls, 'securityProtocol': 'SASL_SSL', 'tls_ca': certs.text('ca.pem')}
    for config in (sasl, both):
        cid = add(api, 'kafka', config)
        assert on(api, cid, "return c.publish(topic, 'x')['offset'] >= 0", topic=topic) is True
        assert PASSWORD not in str(api.get('/connectors/do/list', id=cid))
    e = not_addable(api, 'kafka', {**sasl, 'password': 'wrong-one'})
    assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and 'wrong-one' not in str(e)


# ---- faults ---------------------------------------------------------------------------------------------------


@shows('faults', 'broker hangs')
def test_a_broker_that_hangs(api, kafka, topic):
    """Bounded by the operation's time, told as what it is; then the same connector publishes again."""
    cid = add(api, 'kafka', kafka.config(pool={'query': '700ms'}))
    body = '''
t = time.monotonic()
told = tell(lambda: c.publish(topic, 'x'))
return [told, time.monotonic() - t]
'''
    assert wait_for(lambda: on(api, cid, body, topic=topic)[0] is None)
    kafka.signal_all(signal.SIGSTOP)
    try:
        told, seconds = on(api, cid, body, topic=topic)
        assert told[0] == 'ConnTimeout' and seconds < 8, told
    finally:
        kafka.signal_all(signal.SIGCONT)
    assert wait_for(lambda: on(api, cid, body, topic=topic)[0] is None)


def test_connections_of_many_calls(api, kafka, topic):
    """A handle has threads of its own; they go with the worker and do not grow with the calls."""
    cid = add(api, 'kafka', kafka.config())
    api_id = api.function('''
import os
@DFF.API('f')
def f(cid, topic):
    DFF.CONN(cid).publish(topic, 'x')
    return [os.getpid(), len(os.listdir('/proc/self/task'))]
''', 'f', {'cid': 'INPUT_BY_CALLER', 'topic': 'INPUT_BY_CALLER'})
    seen = [api.result(api_id, cid=cid, topic=topic) for _ in range(40)]
    for pid in {p for p, _ in seen}:
        counts = [n for p, n in seen if p == pid]
        assert max(counts) - min(counts) <= 6, counts
    assert len(read(kafka, topic)) == 40


class TestKafka(Contract, Readme, PasswordChanges, Breaks, BadLines, Refusals, TlsIsMissed, TlsNotOffered, ClientCertificate):
    """What kafka shares with the other connectors. The broker names itself in its answers: all connections go through the proxy
    only on a listener that gives the proxy's port."""

    type, fixture = 'kafka', 'kafka'
    ask, gives = "c.publish('t', 'x', partition=0)['partition']", 0
    tls_ask, tls_gives, tls_on = "c.publish('t', 'x' * 100000, partition=0)['partition']", 0, {}
    refusals = [NO_SERVER, ({'host': 'no.such.host.invalid'}, GONE, 'no.such.host.invalid cannot be resolved'), ({'securityProtocol': 'TLS'}, 'ConfigError', 'security_protocol'), ({'server': 'x'}, 'ConfigError', 'did you mean `servers`?'),
                ({'port': 99999}, 'ConfigError', 'has no port from 1 to 65535'),
                ({'securityProtocol': 'SSL', 'tls_ca': '-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n'}, 'ConfigError', 'TLS: ')]
    connect = '800ms'
    cut_after = break_after = 2
    fetch, small, large = "[c.publish('t', 'x', partition=0), n][1]", 1, 1
    breaks = [*BREAKS, ('garbage', GONE), ('huge', GONE)]
    broken = {'pool': {'connect': '800ms', 'query': '800ms'}}
    restarted = {'pool': {'connect': '3s', 'query': '3s'}}
    gone_at_once = ready_at_once = False
    not_offered = {'securityProtocol': 'SSL', 'pool': {'connect': '800ms'}}
    contract = ['topics', 'publish=["t", "x"]']
    readme_id = 'log'

    def through(self, it):
        return Proxy(it.far, it.far_seen)

    def to_restart(self, request):
        return Account(request.getfixturevalue('kafka'))

    def with_tls(self, request, certs):
        return nullcontext(Listener(request.getfixturevalue('kafka').tls, securityProtocol='SSL'))

    def with_wrong_name(self, request, certs):
        return nullcontext(Listener(request.getfixturevalue('kafka').wrong, securityProtocol='SSL'))

    def without_tls(self, request):
        return nullcontext(request.getfixturevalue('kafka'))

    def tls_configs(self, own, ca):
        yield own.config(tls_ca=ca)
        yield own.config(tls='unverified')

    @pytest.mark.heavy  # starts the JVM once more
    @shows('faults', 'server restarted')
    def test_restarted_server_is_not_noticed(self, api, restartable):
        """As everybody's."""
        super().test_restarted_server_is_not_noticed(api, restartable)

    def test_a_server_that_wants_tls(self, api, kafka):
        """What it answers is no answer of Kafka."""
        e = not_addable(api, 'kafka', Listener(kafka.tls, pool={'connect': '800ms'}).config())
        assert e['exceptionType'] in ('ConnUnavailable', 'ConnTimeout') and 'securityProtocol' in e['exception'], e


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'kafka', 'librdkafka', 'Kafka 3.9 (KRaft)')
