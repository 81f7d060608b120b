#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the demo function on a platform in dev mode and prints the curl line that calls it.

usage: demo.py http://ADDR:PORT
"""

import json
import sys
import urllib.error
import urllib.request

SET, SCRIPT, API = 'demo', 'demo__hello', 'demo-hello'
CODE = '''\
@DFF.API('Say hello')
def hello(name='you'):
    """A first function: called over HTTP, answered with its return value."""
    return 'Hello, %s!' % name
'''
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(Exception):
    """An answer that is not ok; reason is the code of the envelope."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__('%s answered: %s' % (path, text[:1000]))
        try:
            self.reason = json.loads(text).get('reason', '')
        except (ValueError, AttributeError):
            self.reason = ''


def post(base: str, token: str, path: str, body: object) -> dict:
    """POST of a management route → data of the envelope."""
    request = urllib.request.Request(base + '/api/v1' + path, json.dumps(body).encode(), {
        'Content-Type': 'application/json', 'X-Dff-Auth-Token': token} if token else {
            'Content-Type': 'application/json'})
    try:
        with OPENER.open(request, timeout=60) as answer:
            return json.load(answer)['data']
    except urllib.error.HTTPError as e:
        raise Refused(path, e.read().decode(errors='replace')) from None


def main() -> int:
    """Adds what is not there yet: the demo may be started again over the same data."""
    base = sys.argv[1].rstrip('/')
    token = post(base, '', '/auth/do/sign-in', {
        'captchaToken': 'demo-0000', 'captcha': '0000',
        'signIn': {'username': 'admin', 'password': 'admin'}})['xAuthToken']
    steps = [
        ('/script-sets/do/add', {'data': {'id': SET, 'title': 'Demo'}}),
        ('/scripts/do/add', {'data': {'id': SCRIPT, 'title': 'Hello', 'codeDraft': CODE}}),
        ('/scripts/%s/do/publish' % SCRIPT, {'force': True}),
        ('/sync-apis/do/add', {'data': {'id': API, 'funcId': SCRIPT + '.hello', 'funcCallKwargsJSON': {}}}),
    ]
    for path, body in steps:
        try:
            post(base, token, path, body)
        except Refused as e:
            if 'Duplicated' not in e.reason:
                raise
    print("curl '%s/api/v1/sync/%s/simplified?name=world'" % (base, API))
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except (Refused, OSError) as problem:
        print('demo.py: %s' % problem, file=sys.stderr)
        sys.exit(1)
