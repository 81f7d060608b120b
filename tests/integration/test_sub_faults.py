# SPDX-License-Identifier: Apache-2.0
"""Topic handlers of all brokers at once behind lines and servers that fail: the state says why, they come back by themselves, what the
broker keeps arrives, and other subscriptions do not notice.

What differs between brokers is how they are reached and written to, so all of them meet a fault at the same time."""

import signal
from contextlib import ExitStack

import pytest
from peers.kafka import Account, Kafka, Listener
from peers.mosquitto import USER, Mosquitto
from peers.nsq import Nsqd, SecretNsqd
from peers.proxy import Proxy
from peers.redis import Redis
from support.connectors import add, fresh, peer
from support.server import wait_for
from support.subscriptions import handler, in_release_builds, info, modify, remove, state

# Which type meets what: each fault is met by somebody, without a round for each of them.
ROUNDS = [({'redis': 'garbage', 'mqtt': 'reset', 'nsq': 'huge', 'kafka': 'cut'}, []),
          ({'redis': 'cut', 'mqtt': 'huge', 'nsq': 'garbage', 'kafka': 'huge'}, [pytest.mark.long])]


class Broker:
    """A server, how a handler's connector reaches it, and how a test writes to it."""

    more = {}        # of the configuration
    keeps = True     # messages for who is away
    topic = 't'      # how topics begin

    def __init__(self, own):
        self.own = own

    def proxy(self):
        return Proxy(self.own.port)

    def config(self, **more):
        """Without anything between."""
        return self.own.config(**self.more, **more)

    def behind(self, port, **more):
        """Through a proxy."""
        return self.config(port=port, **more)

    def send(self, topic, *messages):
        self.own.send(topic, *messages)

    def restart(self, sig=signal.SIGTERM):
        self.own.stop(sig)
        self.own.start()


class RedisBroker(Broker):
    type, keeps = 'redis', False

    def send(self, topic, *messages):
        redis = pytest.importorskip('redis')
        with redis.Redis(port=self.own.port, password=self.own.secret if self.own.secured else None) as c:
            for m in messages:
                c.publish(topic, str(m))


class MqttBroker(Broker):
    type, more = 'mqtt', {'keepalive': 5}

    def send(self, topic, *messages):
        publish = pytest.importorskip('paho.mqtt.publish')
        account = {'username': USER, 'password': self.own.secret} if self.own.secured else None
        publish.multiple([(topic, str(m), 1, False) for m in messages], '127.0.0.1', self.own.port, fresh('writer'), auth=account)


class NsqBroker(Broker):
    type, topic = 'nsq', 'open'


class KafkaBroker(Broker):
    type = 'kafka'

    def proxy(self):
        return Proxy(self.own.far, self.own.far_seen)

    def behind(self, port, **more):
        return Listener(port).config(**more)


class AccountBroker(KafkaBroker):
    """With a password that may change."""

    def send(self, topic, *messages):
        self.own.broker.send(topic, *messages)


class Handler:
    """A connector with one topic handler, and the messages that were sent to it: 0, 1, 2 …"""

    def __init__(self, api, broker, script, config):
        self.api, self.broker, self.topic, self.sent = api, broker, fresh(broker.topic), 0
        self.handlers, self.since = [handler(script, self.topic)], 0
        self.cid = add(api, broker.type, {**config, 'topicHandlers': self.handlers}, skipTest=True)

    def send(self, n=5):
        self.broker.send(self.topic, *range(self.sent, self.sent + n))
        self.sent += n

    def row(self):
        return info(self.api, self.cid)[0]

    def state(self, wanted='consuming'):
        return state(self.api, self.cid, wanted, seconds=40)[0]

    def failed(self, why=''):
        """Its row, once it says so."""
        return wait_for(lambda: next((r for r in info(self.api, self.cid) if r['state'] == 'failed' and r['error'] and why in r['error']), None), 40)

    def all_there(self, handled):
        assert wait_for(lambda: handled.count(self.topic, self.sent) == self.sent, 40), (self.broker.type, handled.count(self.topic, self.sent), self.row())


def under_way(handlers, handled):
    """Each consumes, and has had its first messages."""
    for h in handlers:
        h.state()
        h.send()
    for h in handlers:
        h.all_there(handled)


@pytest.fixture(scope='module')
def brokers():
    with ExitStack() as stack:
        yield [make(stack.enter_context(p)) for make, p in (
            (RedisBroker, peer(Redis)), (MqttBroker, peer(Mosquitto, persistent=True)), (NsqBroker, peer(Nsqd, protocol='tcp')),
            (KafkaBroker, peer(Kafka)))]


@pytest.fixture
def made(api, script):
    """made(broker, configuration) -> a Handler; gone at the end."""
    all_of_them = []

    def make(broker, config):
        all_of_them.append(Handler(api, broker, script, config))
        return all_of_them[-1]
    yield make
    for h in all_of_them:
        remove(api, h.cid)


def through_faults(brokers, made, handled, modes, drop):
    """Two handlers of each broker, one behind a proxy: it fails, and comes back; the other one goes on."""
    with ExitStack() as stack:
        lines = [(stack.enter_context(b.proxy()), b) for b in brokers]
        rows = [(proxy, made(b, b.behind(proxy.port)), made(b, b.config())) for proxy, b in lines]
        for _, far, near in rows:
            far.state()
            near.since = near.state()['sinceMs']
            far.send()
            near.send()
        for _, far, near in rows:
            far.all_there(handled)
            near.all_there(handled)
        for proxy, far, _ in rows:
            proxy.mode, proxy.after = modes[far.broker.type], 1
            if drop:
                proxy.drop()
        for proxy, far, near in rows:
            assert far.failed(), (far.broker.type, far.row())
            near.send()
            if far.broker.keeps:
                far.send()
        for proxy, far, near in rows:
            near.all_there(handled)
            assert near.row()['sinceMs'] == near.since and near.row()['state'] == 'consuming', near.row()
            proxy.mode = 'ok'
            proxy.drop()
        for _, far, _ in rows:
            far.state()
            if not far.broker.keeps:
                far.send()
        for _, far, _ in rows:
            far.all_there(handled)
            assert far.row()['error'] is None and far.row()['dropped'] == 0


@pytest.mark.parametrize('modes', [pytest.param(r, id=' '.join(r.values()), marks=marks) for r, marks in ROUNDS])
def test_a_line_that_breaks(brokers, made, handled, modes):
    """And what answers then is no broker."""
    through_faults(brokers, made, handled, modes, drop=True)


@pytest.mark.long
def test_a_black_hole(brokers, made, handled):
    """Nobody says that the line is dead: it is noticed all the same."""
    through_faults(brokers, made, handled, {b.type: 'black_hole' for b in brokers}, drop=False)


@in_release_builds
def test_brokers_restarted(brokers, made, handled):
    handlers = [made(b, b.config()) for b in brokers]
    under_way(handlers, handled)
    for h in handlers:
        h.broker.own.stop(signal.SIGKILL if h.broker.type == 'kafka' else signal.SIGTERM)
    for h in handlers:
        row = h.failed()
        assert row, (h.broker.type, h.row())
    for h in handlers:
        h.broker.own.start()
    for h in handlers:
        if not h.broker.keeps:
            h.state()
        h.send()
    for h in handlers:
        h.all_there(handled)


def test_password_changed(api, brokers, made, handled):
    """While somebody is subscribed: told as what it is, until the configuration has the new one; nothing that is kept is missing."""
    kafka = next(b for b in brokers if b.type == 'kafka').own
    with ExitStack() as stack:
        secured = [make(stack.enter_context(p)) for make, p in (
            (RedisBroker, peer(Redis, password=True)), (MqttBroker, peer(Mosquitto, password=True, persistent=True)), (NsqBroker, peer(SecretNsqd)),
            (AccountBroker, Account(kafka)))]
        handlers = [made(b, b.config()) for b in secured]
        under_way(handlers, handled)
        for h in handlers:
            h.broker.own.password('quite-another')
            if h.broker.type == 'nsq':  # it asks its authority for new connections
                h.broker.restart()
        for h in handlers:
            row = h.failed('sign-in: ')
            assert row and 'quite-another' not in row['error'], (h.broker.type, h.row())
            if h.broker.keeps:
                h.send()
        for h in handlers:
            modify(api, h.cid, {**h.broker.config(), 'topicHandlers': h.handlers})
        for h in handlers:
            h.state()
            if not h.broker.keeps:
                h.send()
        for h in handlers:
            h.all_there(handled)
