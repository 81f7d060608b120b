# SPDX-License-Identifier: Apache-2.0
"""Users with a role, for tests that ask who may do what."""

import itertools
from typing import Any, Callable

import pytest

from .client import ApiError, Client
from .server import Server

_serial = itertools.count(1)
PASSWORD = 'a-longer-password'


def person(server: Server, admin: Client, role: str, **fields: Any) -> Client:
    """A new user with this role, signed in. The client carries `user_id` and `username`."""
    username = '%s_%d' % (role, next(_serial))
    user_id = admin.post('/users/do/add', {'data': dict(
        {'username': username, 'password': PASSWORD, 'name': username, 'roles': [role]}, **fields)})['id']
    client = server.client(username, PASSWORD)
    client.user_id, client.username = user_id, username  # type: ignore[attr-defined]
    return client


def refused(call: Callable[..., Any], status: int, reason: str, *args: Any, **kwargs: Any) -> ApiError:
    """Calls and expects this refusal → the error, for a look at its envelope."""
    with pytest.raises(ApiError) as caught:
        call(*args, **kwargs)
    error = caught.value
    assert (error.status, error.reason) == (status, reason), str(error)
    return error
