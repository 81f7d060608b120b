# SPDX-License-Identifier: Apache-2.0
"""What the tests of topic handlers share: their functions, rows of sub-info, a hub that is killed and comes back."""

import contextlib
import os
import signal
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
import requests

from .client import ApiError, Client
from .connectors import add, fresh
from .server import VARIANT, Server, wait_for

CODE = '''
@DFF.API('Handler')
def handle(topic, message):
    if message == 'fail':
        raise ValueError('not this one')
    DFF.STORE.set(topic + '|' + message, [topic, message, DFF.TASK.origin, DFF.TASK.origin_id, DFF.TASK.queue])
    return message.upper()


@DFF.API('Another one')
def other(topic, message):
    DFF.STORE.set('other|%s|%s' % (topic, message), topic)


@DFF.API('Length')
def length(topic, message):
    DFF.STORE.set('%s|%s|length' % (topic, message[:3]), len(message))


@DFF.API('What was stored')
def stored(key):
    return DFF.STORE.get(key)


@DFF.API('How many of these were handled')
def count(topic, n):
    return sum(DFF.STORE.get('%s|%d' % (topic, i)) is not None for i in range(n))
'''


# ---- fixtures; a module says as BROKER which type its connectors have, and which of its fixtures is their server -----------


@pytest.fixture(scope='module')
def script(server: Server) -> str:
    """CODE, published."""
    return server.client().script(CODE)


@pytest.fixture(scope='module')
def handled(server: Server, script: str) -> 'Handled':
    """What its functions have done."""
    return Handled(server.client(), script)


@pytest.fixture
def sub(request: pytest.FixtureRequest, api: Client) -> Iterator[Callable[..., str]]:
    """sub(*handlers, **config) -> a connector whose handlers consume; gone at the end."""
    type_, it = request.module.BROKER
    made: List[str] = []

    def make(*handlers: Dict[str, Any], **config: Any) -> str:
        made.append(add(api, type_, request.getfixturevalue(it).config(topicHandlers=list(handlers), **config)))
        state(api, made[-1], n=len(handlers))
        return made[-1]
    yield make
    for cid in made:
        remove(api, cid)


# ---- helpers ---------------------------------------------------------------------------------------------------------------

TEST_BUILD = VARIANT in ('debug', 'asan', 'tsan', 'cov')
in_test_builds = pytest.mark.skipif(not TEST_BUILD, reason='kill points are compiled into test builds only')
in_release_builds = pytest.mark.skipif(TEST_BUILD, reason='slow: in release builds only')


class Handled:
    """What the functions of CODE have done."""

    def __init__(self, client: Client, script: str) -> None:
        self.client, self.script = client, script
        self.stored_id = client.add_sync_api(script + '.stored', {'key': 'INPUT_BY_CALLER'})
        self.count_id = client.add_sync_api(script + '.count', {'topic': 'INPUT_BY_CALLER', 'n': 'INPUT_BY_CALLER'})

    def get(self, topic: str, message: str) -> Any:
        """What handle() left, when it was called with this message."""
        return self.client.result(self.stored_id, key='%s|%s' % (topic, message))

    def count(self, topic: str, n: int) -> int:
        """How many of the messages '0' to 'n - 1' were handled."""
        return self.client.result(self.count_id, topic=topic, n=n)


def handler(script: str, topic: str, func: str = 'handle', **more: Any) -> Dict[str, Any]:
    """One of topicHandlers."""
    return {'topic': topic, 'funcId': '%s.%s' % (script, func), **more}


def info(api: Client, cid: str) -> List[Dict[str, Any]]:
    """The rows of sub-info."""
    return api.get('/connectors/%s/sub-info/do/list' % cid)


def state(api: Client, cid: str, wanted: str = 'consuming', n: int = 1, seconds: float = 20) -> List[Dict[str, Any]]:
    """The rows of sub-info once n of them are in that state."""
    last: List[Dict[str, Any]] = []

    def look() -> bool:
        last[:] = info(api, cid)
        return sum(r['state'] == wanted for r in last) == n
    assert wait_for(look, seconds), last
    return last


def modify(api: Client, cid: str, config: Dict[str, Any]) -> None:
    """Another configuration."""
    api.post('/connectors/%s/do/modify' % cid, {'data': {'configJSON': config}})


def remove(api: Client, cid: str) -> None:
    """A subscription holds threads and descriptors of the hub: tests end it."""
    api.get('/connectors/%s/do/delete' % cid)


@contextlib.contextmanager
def subscribed(api: Client, type_: str, config: Dict[str, Any], wanted: str = 'consuming', n: int = 1) -> Iterator[str]:
    """A stored connector (not tried out before) whose handlers are in that state; deleted at the end."""
    cid = add(api, type_, config, skipTest=True)
    try:
        state(api, cid, wanted, n)
        yield cid
    finally:
        remove(api, cid)


def signed_in(server: Server) -> Optional[Client]:
    """A client, or None while the platform starts."""
    try:
        return server.client()
    except (ApiError, AssertionError, requests.RequestException):
        return None


def hub_killed(server: Server) -> Client:
    """SIGKILL to the hub -> a client of the next one."""
    hub = server.pid_of('tenon-hub')
    with server.alerts_allowed('tenon-hub was killed'):
        os.kill(hub, signal.SIGKILL)
        return hub_is_back(server, hub)


def hub_is_back(server: Server, hub: int) -> Client:
    """A client once there is another hub than this one."""
    assert wait_for(lambda: server.pid_of('tenon-hub') not in (0, hub), 30)
    client = wait_for(lambda: signed_in(server), 30)
    assert client
    return client  # type: ignore[return-value]


def killed_at(new_server: Callable[..., Server], folder: str, point: str, type_: str, config: Callable[..., Dict[str, Any]],
              publish: Callable[..., None], seconds: float = 60) -> None:
    """The hub dies at the third message that passes `point`, under way to the durable queue: of what the broker keeps until it is
    acknowledged nothing is missing afterwards. config(topicHandlers=…) and publish(topic, *messages) are the broker's."""
    armed, topic, n = os.path.join(folder, 'armed'), fresh('t'), 60
    server = new_server(env={'TENON_TEST_KILLPOINT': '%s:3:%s' % (point, armed)})
    server.start()
    client = server.client()
    script = client.script(CODE)
    handled = Handled(client, script)
    cid = add(client, type_, config(topicHandlers=[handler(script, topic)]))
    state(client, cid)
    publish(topic, *range(n // 3))
    assert wait_for(lambda: handled.count(topic, n // 3) == n // 3, seconds), info(client, cid)
    hub = server.pid_of('tenon-hub')
    with server.alerts_allowed('tenon-hub was killed'):
        open(armed, 'w', encoding='utf-8').close()
        for i in range(n // 3, 2 * n // 3):  # one by one: a message may share its transaction with all others
            publish(topic, i)
            if not os.path.exists(armed):
                break
        assert wait_for(lambda: not os.path.exists(armed), 20), 'the point %s was not passed' % point
        publish(topic, *range(i + 1, n))
        client = hub_is_back(server, hub)
    handled.client = client
    assert wait_for(lambda: handled.count(topic, n) == n, seconds), (handled.count(topic, n), info(client, cid))
    remove(client, cid)
