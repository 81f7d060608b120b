# SPDX-License-Identifier: Apache-2.0
"""The path a first user takes: script, publish, sync API, answer. If this fails, nothing else is worth reading."""

import os
import urllib.request

from support.client import Client
from support.server import Server

PLUS = '''
@DFF.API('plus')
def plus(x, y):
    return x + y
'''


def test_ready_line_is_printed_once_and_tells_the_address(server: Server) -> None:
    lines = [x for x in server.log().splitlines() if x.startswith('READY ')]
    assert len(lines) == 1
    assert str(server.port) in lines[0]


def test_ping(anonymous: Client) -> None:
    assert anonymous.get('/do/ping') == 'pong'


def test_first_function(api: Client) -> None:
    api_id = api.function(PLUS, 'plus')
    assert api.result(api_id, x=1, y=2) == 3
    assert api.sync(api_id, {'x': 'a', 'y': 'b'}).text == 'ab'


def test_urllib_can_call_it(api: Client, server: Server) -> None:
    api_id = api.function(PLUS, 'plus')
    url = '%s/api/v1/sync/%s/simplified?x=a&y=b' % (server.base, api_id)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        assert answer.read() == b'ab'


def test_published_code_is_there_at_once(api: Client) -> None:
    script = api.script(PLUS)
    api_id = api.add_sync_api(script + '.plus')
    for n in range(20):
        api.edit(script, PLUS.replace('x + y', 'x + y + %d' % n))
        api.publish(script)
        assert api.result(api_id, x=1, y=2) == 3 + n


def test_everything_survives_a_restart(new_server) -> None:
    server = new_server().start()
    api_id = server.client().function(PLUS, 'plus')
    server.restart()
    assert server.client().result(api_id, x=1, y=2) == 3


def test_sigterm_ends_with_zero_and_leaves_the_port_free(new_server) -> None:
    server = new_server().start()
    assert server.stop() == 0
    again = new_server(port=server.port, data=os.path.join(server.scratch, 'other')).start()
    assert again.client(username=None).get('/do/ping') == 'pong'
