# SPDX-License-Identifier: Apache-2.0
"""Who may do what: every route without credentials (A-01), every route for every role (A-02)."""

import re

import pytest

from support.client import Client
from support.people import person
from support.server import Server

PUBLIC, SIGNED, READ, WRITE, USER_R, USER_W = 'public', 'sign-in', 'general_r', 'general_w', 'user_r', 'user_w'
KEY_R, KEY_W = 'accessKey_r', 'accessKey_w'
SET_R, SET_W = 'systemSetting_r', 'systemSetting_w'
SYNC = [('GET', '/do/list', READ), ('POST', '/do/add', WRITE), ('POST', '/none/do/modify', WRITE), ('GET', '/none/do/delete', WRITE),
        ('POST', '/do/add-many', WRITE), ('POST', '/do/modify-many', WRITE), ('GET', '/do/delete-many', WRITE)]
# Written from Appendix A, not from our tables: the two must agree.
ROUTES = [
    ('GET', '/captcha/do/get', PUBLIC), ('POST', '/auth/do/sign-in', PUBLIC), ('POST', '/func/integration/sign-in', PUBLIC),
    ('GET', '/auth/do/sign-out', PUBLIC),
    ('POST', '/auth/do/change-password', SIGNED), ('GET', '/auth/profile/do/get', SIGNED),
    ('POST', '/auth/profile/do/modify', SIGNED),
    ('GET', '/users/do/list', USER_R), ('GET', '/users/none/do/get', USER_R), ('POST', '/users/do/add', USER_W),
    ('POST', '/users/none/do/modify', USER_W), ('GET', '/users/none/do/delete', USER_W),
    ('GET', '/script-sets/do/list', READ), ('POST', '/script-sets/do/add', WRITE), ('POST', '/script-sets/none/do/modify', WRITE),
    ('GET', '/script-sets/none/do/delete', WRITE), ('POST', '/script-sets/none/do/clone', WRITE),
    ('GET', '/scripts/do/list', READ), ('GET', '/scripts/none/do/get', READ), ('POST', '/scripts/do/add', WRITE),
    ('POST', '/scripts/none/do/modify', WRITE), ('GET', '/scripts/none/do/delete', WRITE), ('POST', '/scripts/none/do/publish', WRITE),
    ('GET', '/script-publish-history/do/list', READ), ('GET', '/funcs/do/list', READ), ('GET', '/func-list', READ),
    ('GET', '/func-tag-list', READ), ('GET', '/func-api-list', PUBLIC), ('GET', '/auth-link-func-list', PUBLIC),
    ('GET', '/func/none', READ), ('POST', '/func/none', READ), ('POST', '/func-many', READ), ('GET', '/monitor/platform/do/get', READ), ('POST', '/func-draft/none', READ),
    ('GET', '/env-variables/do/list', READ), ('POST', '/env-variables/do/add', WRITE),
    ('POST', '/env-variables/none/do/modify', WRITE), ('GET', '/env-variables/none/do/delete', WRITE),
    ('GET', '/connectors/do/list', READ), ('POST', '/connectors/do/add', WRITE), ('POST', '/connectors/none/do/modify', WRITE),
    ('GET', '/connectors/none/do/delete', WRITE), ('POST', '/connectors/none/do/query', WRITE),
    ('GET', '/connectors/none/do/test', WRITE), ('GET', '/connectors/none/sub-info/do/list', READ),
    ('GET', '/access-keys/do/list', KEY_R), ('GET', '/access-keys/none/do/get', KEY_R), ('POST', '/access-keys/do/add', KEY_W),
    ('POST', '/access-keys/none/do/modify', KEY_W), ('GET', '/access-keys/none/do/delete', KEY_W),
    ('GET', '/access-keys/none/do/test-webhook', KEY_R),
    ('GET', '/func-stores/do/list', READ), ('GET', '/func-stores/none/do/get', READ),
    ('GET', '/func-stores/none/do/delete', WRITE), ('GET', '/func-caches/do/list', READ),
    ('GET', '/func-caches/none/none/do/get', READ), ('GET', '/func-caches/none/none/do/delete', WRITE),
    ('GET', '/api-auth/do/list', READ), ('POST', '/api-auth/do/add', WRITE),
    ('POST', '/api-auth/none/do/modify', WRITE), ('GET', '/api-auth/none/do/delete', WRITE),
    ('GET', '/tasks/do/list', READ), ('GET', '/tasks/none/do/get', READ), ('GET', '/tasks/none/do/wait', READ),
    ('GET', '/tasks/none/result', READ), ('GET', '/tasks/none/logs', READ), ('GET', '/tasks/none/events', READ),
    ('GET', '/tasks/none/do/why', READ), ('POST', '/tasks/none/do/cancel', WRITE), ('GET', '/func-result', READ),
    ('GET', '/dead-letters/do/list', READ), ('POST', '/dead-letters/do/redrive', WRITE),
    ('POST', '/dead-letters/do/purge', WRITE), ('GET', '/queues/do/list', READ), ('POST', '/queues/none/do/modify', WRITE),
    ('GET', '/image-info', PUBLIC), ('GET', '/system-info', PUBLIC), ('GET', '/do/ping', PUBLIC), ('POST', '/do/echo', PUBLIC),
    ('GET', '/debug/api-behavior/do/test', PUBLIC),
    ('GET', '/func-draft-runs/none/events', READ), ('GET', '/monitor/system-metrics/do/get', READ), ('GET', '/monitor/abnormal-requests/statusCode4xx/do/list', READ),
    ('GET', '/func/overview', READ), ('GET', '/system-report', READ), ('GET', '/debug/system-logs/do/pull', READ),
    ('POST', '/debug/log-cache-tables/do/clear', WRITE),
    ('GET', '/operation-records/do/list', READ), ('GET', '/task-records/do/list', READ), ('GET', '/task-records/func/do/list', READ), ('GET', '/task-records/func/do/get-count', READ),
    ('GET', '/system-settings/do/get', SET_R), ('POST', '/system-settings/none/do/set', SET_W),
    ('GET', '/system-settings/none/do/delete', SET_W),
    ('GET', '/sync/none', PUBLIC), ('POST', '/sync/none', PUBLIC), ('GET', '/sync/none/s', PUBLIC), ('POST', '/sync/none/s', PUBLIC),
    ('GET', '/sync/none/s/x', PUBLIC), ('GET', '/al/none', PUBLIC), ('POST', '/al/none', PUBLIC), ('POST', '/al/none/s', PUBLIC),
] + [(m, '/%s/none%s' % (base, p), PUBLIC) for base in ('async', 'bat') for m, p in (
    ('GET', ''), ('POST', ''), ('GET', '/s'), ('POST', '/s'), ('GET', '/s/x'), ('POST', '/s/x'), ('POST', '/do/call-many'),
    ('GET', '/tasks/none'), ('GET', '/tasks/none/result'))
] + [('GET', '/%s/none/%s/do/list' % (base, what), READ) for base in ('cron-jobs', 'crontab-configs')
     for what in ('next-runs', 'history', 'recent-triggered')
] + [
    ('GET', '/cron-expressions/do/preview', READ), ('GET', '/cron-status/do/get', READ), ('POST', '/cron/none', READ),
    ('GET', '/temporary-flags/do/get', USER_R), ('POST', '/temporary-flags/none/do/set', USER_W),
    ('GET', '/temporary-flags/none/do/clear', USER_W),
] + [(m, base + p, w) for base in ('/sync-apis', '/auth-links', '/async-apis', '/batches', '/cron-jobs', '/crontab-configs') for m, p, w in SYNC]
ROLES = {
    'sa': {SIGNED, READ, WRITE, USER_R, USER_W, KEY_R, KEY_W, SET_R, SET_W}, 'admin': {SIGNED, READ, WRITE, USER_R, USER_W, KEY_R, KEY_W},
    'user': {SIGNED, READ, WRITE, USER_R}, 'readonlyUser': {SIGNED, READ, USER_R}, 'customUser': {SIGNED},
}


def probe(client: Client, method: str, path: str) -> dict:
    response = client.request(method, '/api/v1' + path, **({'json': {}} if method == 'POST' else {}))
    return response.json() if response.headers['Content-Type'].startswith('application/json') else {'ok': True, 'reason': ''}


def allowed(envelope: dict) -> bool:
    return envelope.get('reason') not in ('EUserAuth', 'EUserPrivilege')


def test_without_credentials_only_the_public_routes_answer(anonymous: Client) -> None:
    for method, path, want in ROUTES:
        envelope = probe(anonymous, method, path)
        assert allowed(envelope) is (want == PUBLIC), (method, path, envelope)
        if want != PUBLIC:
            assert (envelope['status'], envelope['message']) == (401, 'User not signed in')


@pytest.mark.parametrize('role', sorted(ROLES))
def test_role(server: Server, api: Client, role: str) -> None:
    client = api if role == 'sa' else person(server, api, role)
    for method, path, want in ROUTES:
        if path in ('/auth/do/sign-out', '/auth/do/change-password'):
            continue
        envelope = probe(client, method, path)
        assert allowed(envelope) is (want == PUBLIC or want in ROLES[role]), (role, method, path, envelope)
        if not allowed(envelope):
            assert envelope['error'] == 401.15 and envelope['detail'] == {'requiredPrivileges': [want]}


def test_the_matrix_is_complete(server: Server) -> None:
    """Every route in the tables of the plugin is probed above."""
    import glob
    import os
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'plugins', 'api_dff')
    declared = set()
    for name in glob.glob(os.path.join(root, '*.c')):
        with open(name, encoding='utf-8') as f:
            text = f.read()
        for method, path in re.findall(r'\{\s*(?:\.method = )?"(GET|POST)",\s*(?:\.path = )?"(/api/v1/[^"]*)"', text):
            declared.add((method, re.sub(r':\w+', '*', path)))
    probed = {(m, '/api/v1' + p) for m, p, _ in ROUTES}
    missing = [d for d in sorted(declared) if not any(
        m == d[0] and re.fullmatch(re.escape(d[1]).replace(r'\*', '[^/]+'), p) for m, p in probed)]
    assert len(declared) > 40 and missing == []
