# SPDX-License-Identifier: Apache-2.0
"""The function on uvicorn without any framework."""
import json
from urllib.parse import parse_qs


async def app(scope, receive, send):
    """x + y of the query as {"result": …}."""
    if scope['type'] == 'lifespan':
        while True:
            message = await receive()
            await send({'type': message['type'] + '.complete'})
            if message['type'] == 'lifespan.shutdown':
                return
    args = parse_qs(scope['query_string'])
    body = json.dumps({'result': int(args[b'x'][0]) + int(args[b'y'][0])}).encode()
    await send({'type': 'http.response.start', 'status': 200,
                'headers': [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]})
    await send({'type': 'http.response.body', 'body': body})
