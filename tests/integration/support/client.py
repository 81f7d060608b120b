# SPDX-License-Identifier: Apache-2.0
"""A client of the management and call API, as short as tests want it."""

import itertools
from typing import Any, Dict, Optional

import requests

_serial = itertools.count(1)


class ApiError(AssertionError):
    """An answer that is not ok. status, envelope and response say what came instead."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__('%s %s -> %d %s' % (response.request.method, response.request.url,
                                             response.status_code, response.text[:2000]))
        self.response = response
        self.status = response.status_code
        try:
            self.envelope: Dict[str, Any] = response.json()
        except ValueError:
            self.envelope = {}
        self.reason = self.envelope.get('reason', '') if isinstance(self.envelope, dict) else ''


class Client:
    """Talks to one server, signed in or anonymous. `request` gives the response as it is; `get` and `post`
    return `data` of the envelope and raise ApiError when it is not ok."""

    def __init__(self, base: str, timeout: float = 60) -> None:
        self.base, self.timeout = base, timeout
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy of the machine stands between

    def close(self) -> None:
        """Drops the kept-alive connections."""
        self.session.close()

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """One request; path begins with '/'. kwargs as in requests."""
        kwargs.setdefault('timeout', self.timeout)
        kwargs.setdefault('allow_redirects', False)
        return self.session.request(method, self.base + path, **kwargs)

    def get(self, path: str, **params: Any) -> Any:
        """data of a GET of a management route."""
        return self._data(self.request('GET', '/api/v1' + path, params=params))

    def post(self, path: str, body: Any = None) -> Any:
        """data of a POST of a management route with a JSON body."""
        return self._data(self.request('POST', '/api/v1' + path, json={} if body is None else body))

    def envelope(self, method: str, path: str, **kwargs: Any) -> Dict[str, Any]:
        """The whole envelope, ok or not; the request must be answered with JSON."""
        response = self.request(method, '/api/v1' + path, **kwargs)
        assert response.headers['Content-Type'].startswith('application/json'), response.text[:500]
        return response.json()

    @staticmethod
    def _data(response: requests.Response) -> Any:
        if response.status_code != 200 or response.json().get('ok') is not True:
            raise ApiError(response)
        return response.json()['data']

    def sign_in(self, username: str = 'admin', password: str = 'admin') -> Dict[str, Any]:
        """Signs in; later requests carry the token. → {userId, xAuthToken}"""
        data = self.post('/auth/do/sign-in', {
            'captchaToken': 'test-0000', 'captcha': '0000',
            'signIn': {'username': username, 'password': password}})
        self.session.headers['X-Dff-Auth-Token'] = data['xAuthToken']
        self.session.cookies.clear()  # the header alone decides
        return data

    # -- things a test needs before it can begin ------------------------------------------------

    def add_script_set(self, set_id: Optional[str] = None, **fields: Any) -> str:
        """Adds a script set; a fresh id unless given."""
        set_id = set_id or 'test_%d' % next(_serial)
        self.post('/script-sets/do/add', {'data': dict(fields, id=set_id)})
        return set_id

    def add_script(self, script_id: str, code: str, **fields: Any) -> str:
        """Adds a script with a draft; nothing is published. The id is <set>__<name>."""
        self.post('/scripts/do/add', {'data': dict(fields, id=script_id, codeDraft=code)})
        return script_id

    def edit(self, script_id: str, code: str, **fields: Any) -> Dict[str, Any]:
        """Replaces the draft."""
        return self.post('/scripts/%s/do/modify' % script_id, {'data': dict(fields, codeDraft=code)})

    def publish(self, script_id: str, **fields: Any) -> Dict[str, Any]:
        """Publishes the draft → {id, publishVersion, apiFuncs}."""
        return self.post('/scripts/%s/do/publish' % script_id, dict({'force': True}, **fields))

    def script(self, code: str, set_id: Optional[str] = None, name: str = 'main') -> str:
        """A published script in a set of its own → script id."""
        script_id = '%s__%s' % (set_id or self.add_script_set(), name)
        self.add_script(script_id, code)
        self.publish(script_id)
        return script_id

    def add_sync_api(self, func_id: str, kwargs: Optional[Dict[str, Any]] = None, **fields: Any) -> str:
        """A sync API of func_id ("<script>.<function>"). kwargs are fixed or placeholder arguments; what is
        not named there comes from the caller → API id."""
        data = dict(fields, funcId=func_id, funcCallKwargsJSON=kwargs or {})
        return self.post('/sync-apis/do/add', {'data': data})['id']

    def function(self, code: str, func: str, kwargs: Optional[Dict[str, Any]] = None, **fields: Any) -> str:
        """Script, publish and sync API in one go → API id."""
        return self.add_sync_api('%s.%s' % (self.script(code), func), kwargs, **fields)

    def sync(self, api_id: str, kwargs: Optional[Dict[str, Any]] = None, options: Optional[Dict[str, Any]] = None,
             **more: Any) -> requests.Response:
        """Calls a sync API in POST normal form → the response."""
        body: Dict[str, Any] = {'kwargs': kwargs or {}}
        if options:
            body['options'] = options
        return self.request('POST', '/api/v1/sync/' + api_id, json=body, **more)

    def result(self, api_id: str, **kwargs: Any) -> Any:
        """Calls a sync API → what the function returned (boxed, so that no type is lost); raises ApiError
        on failure."""
        return self._data(self.sync(api_id, kwargs, {'unbox': False}))['result']

    # -- asynchronous calls ---------------------------------------------------------------------------

    def add_async_api(self, func_id: str, kwargs: Optional[Dict[str, Any]] = None, **fields: Any) -> str:
        """An async API of func_id, as add_sync_api → API id."""
        data = dict(fields, funcId=func_id, funcCallKwargsJSON=kwargs or {})
        return self.post('/async-apis/do/add', {'data': data})['id']

    def call_async(self, api_id: str, kwargs: Optional[Dict[str, Any]] = None, options: Optional[Dict[str, Any]] = None,
                   **more: Any) -> requests.Response:
        """Calls an async API in POST normal form → the response."""
        body: Dict[str, Any] = {'kwargs': kwargs or {}}
        if options:
            body['options'] = options
        return self.request('POST', '/api/v1/async/' + api_id, json=body, **more)

    def task_id(self, api_id: str, kwargs: Optional[Dict[str, Any]] = None, options: Optional[Dict[str, Any]] = None) -> str:
        """Calls an async API → the id of the task that was accepted."""
        return self._data(self.call_async(api_id, kwargs, options))['id']

    def ended(self, task_id: str, seconds: int = 60) -> Dict[str, Any]:
        """The task when it has ended (long poll)."""
        task = self.get('/tasks/%s/do/wait' % task_id, timeout=seconds)
        assert task['endTimeMs'], task
        return task
