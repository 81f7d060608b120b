# SPDX-License-Identifier: Apache-2.0
"""Exceptions that scripts see; their names are part of the contract (spec 3.11)."""


class EntityNotFound(Exception):
    """A script, function or other entity does not exist."""


class BadEntityCall(Exception):
    """An entity was called with options it does not take."""


class FuncCircularCall(Exception):
    """A function calls itself through others."""


class FuncCallChainTooLong(Exception):
    """Functions call functions too deeply."""


class DuplicatedFuncName(Exception):
    """Two published functions of a script share a name."""


class DuplicatedThreadResultKey(Exception):
    """A result key of DFF.THREAD is used twice."""


class ConnectorNotSupport(Exception):
    """There is no connector of that type."""


class InvalidConnectorConfig(Exception):
    """A connector's configuration is wrong."""


class InvalidAPIOption(Exception):
    """An option of DFF.API is wrong."""


class TaskTimeout(BaseException):
    """The soft deadline of the call; no Exception, so that scripts do not swallow it by accident."""
