# SPDX-License-Identifier: Apache-2.0
"""The function as a user of nginx and uWSGI would serve it."""
import json
from urllib.parse import parse_qs


def application(environ, start_response):
    """x + y of the query as {"result": …}."""
    args = parse_qs(environ['QUERY_STRING'])
    body = json.dumps({'result': int(args['x'][0]) + int(args['y'][0])}).encode()
    start_response('200 OK', [('Content-Type', 'application/json'), ('Content-Length', str(len(body)))])
    return [body]
