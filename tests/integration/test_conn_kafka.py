# SPDX-License-Identifier: Apache-2.0
"""connectors/kafka in scripts, against a real broker; what was published is read by kcat."""

import json
import os
import signal
import subprocess

import pytest
from peers.kafka import PASSWORD, Kafka
from peers.proxy import Proxy
from support.connectors import add, fresh, not_addable, on, peer
from support.matrix import check_row, shows
from support.readme import script_of
from support.server import BUILD, ROOT, wait_for


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


@shows('TLS', 'verified', 'unknown authority refused', 'client certificate', 'wrong name refused')
def test_tls(api, certs, kafka, topic):
    ca = certs.text('ca.pem')
    pem, key = certs.pair('client')
    tls = {'servers': '127.0.0.1:%d' % kafka.tls, 'securityProtocol': 'SSL'}
    for config in ({**tls, 'tls_ca': ca}, {**tls, 'tls': 'unverified'}, {**tls, 'tls_ca': ca, 'tls_cert': pem, 'tls_key': key}):
        assert on(api, add(api, 'kafka', config), "return c.publish(topic, 'x' * 100000)['offset'] >= 0", topic=topic) is True
    e = not_addable(api, 'kafka', tls)
    assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception'] and 'certificate verify failed' in e['exception']
    e = not_addable(api, 'kafka', {**tls, 'servers': '127.0.0.1:%d' % kafka.wrong, 'tls_ca': ca})
    assert e['exceptionType'] == 'Denied' and 'TLS: ' in e['exception']
    e = not_addable(api, 'kafka', {**tls, 'tls_ca': '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n'})
    assert e['exceptionType'] == 'ConfigError' and 'TLS: ' in e['exception']


def test_sign_in(api, certs, kafka, topic):
    sasl = {'servers': '127.0.0.1:%d' % kafka.sasl, 'securityProtocol': 'SASL_PLAINTEXT', 'user': 'app', 'password': PASSWORD}
    both = {**sasl, 'servers': '127.0.0.1:%d' % kafka.sasl_tls, 'securityProtocol': 'SASL_SSL', 'tls_ca': certs.text('ca.pem')}
    for config in (sasl, both):
        cid = add(api, 'kafka', config)
        assert on(api, cid, "return c.publish(topic, 'x')['offset'] >= 0", topic=topic) is True
        assert PASSWORD not in str(api.get('/connectors/do/list', id=cid))
    e = not_addable(api, 'kafka', {**sasl, 'password': 'wrong-one'})
    assert e['exceptionType'] == 'Denied' and 'sign-in: ' in e['exception'] and 'wrong-one' not in str(e)


@shows('faults', 'refused')
@pytest.mark.parametrize('change, kind, says', [
    ({'servers': '127.0.0.1:1'}, 'ConnUnavailable', 'TCP: cannot connect to 127.0.0.1 port 1'),
    ({'servers': 'no.such.host.invalid:9092'}, 'ConnUnavailable', 'DNS: the name no.such.host.invalid cannot be resolved'),
    ({'securityProtocol': 'TLS'}, 'ConfigError', 'security_protocol'),
    ({'server': 'x'}, 'ConfigError', 'did you mean servers?'),
])
def test_refused_with_the_step_that_failed(api, kafka, change, kind, says):
    e = not_addable(api, 'kafka', kafka.config(**change))
    assert e['exceptionType'] == kind and says in e['exception'].replace('`', ''), e


# ---- faults ---------------------------------------------------------------------------------------------------


@shows('faults', param='mode')
@pytest.mark.parametrize('mode', ['black_hole', 'half_open', 'garbage', 'slow', 'reset', 'cut'])
def test_connecting_through_a_bad_line(api, kafka, mode):
    """The broker names itself in its answer, so what is behind the proxy is only the first connection."""
    with Proxy(kafka.port) as proxy:
        cid = add(api, 'kafka', {'servers': '127.0.0.1:%d' % proxy.port, 'pool': {'connect': '700ms'}}, skipTest=True)
        proxy.mode, proxy.after = mode, 2
        got = on(api, cid, '''
t = time.monotonic()
told = tell(lambda: c.topics())
return [told, time.monotonic() - t]
''')
        assert got[0] is not None and got[0][0] in ('ConnTimeout', 'ConnUnavailable'), got
        assert got[1] < 6
        proxy.mode = 'ok'
        proxy.drop()
        assert wait_for(lambda: on(api, cid, 'return tell(lambda: c.topics())') is None)


@pytest.mark.heavy  # starts the JVM once more
@shows('faults', 'broker hangs', 'server restarted')
def test_a_broker_that_hangs_and_restarts(api, kafka, topic):
    """Bounded by the operation's time, told as what it is; then the same connection publishes again."""
    cid = add(api, 'kafka', kafka.config(pool={'query': '1500ms'}))
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
    kafka.stop(signal.SIGKILL)
    told, seconds = on(api, cid, body, topic=topic)
    assert told[0] in ('ConnUnavailable', 'ConnTimeout') and seconds < 8, told
    kafka.start()
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


def test_readme(api, kafka):
    """The script of the README runs as it stands."""
    add(api, 'kafka', kafka.config(), id='log')
    api.result(api.function(script_of(os.path.join(ROOT, 'connectors/kafka/README.md')), 'f'))


def test_contract(kafka):
    """tenon-plugin-check against the live plugin and server."""
    done = subprocess.run([os.path.join(BUILD, 'bin/tenon-plugin-check'), os.path.join(BUILD, 'plugins/connector_kafka.so')]
                          + ['--config', 'servers=127.0.0.1:%d' % kafka.port, '--call', 'topics', '--call', 'check'],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.heavy  # the last test: the row is what those before have shown
def test_row(request, api, cid):
    check_row(request, api, cid, 'kafka', 'librdkafka', 'Kafka 3.9 (KRaft)')
