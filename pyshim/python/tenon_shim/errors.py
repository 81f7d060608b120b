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


class OutputLimit(Exception):
    """The result is larger than an answer may be (setting worker_result)."""


class TaskTimeout(BaseException):
    """The soft deadline of the call; no Exception, so that scripts do not swallow it by accident."""


class ConnError(Exception):
    """A connector could not do what it was asked for. `code` is the server's own number (0: none),
    `sqlstate` its SQLSTATE ("" where there is none), `retry` whether the same may work later."""

    def __init__(self, message="", code=0, sqlstate="", retry=False):
        super().__init__(message)
        self.code = code
        self.sqlstate = sqlstate
        self.retry = retry


class ConnUnavailable(ConnError):
    """The server cannot be reached, or the connection broke."""


class ConnTimeout(ConnError):
    """The server did not answer in time."""


class ConnCanceled(ConnError):
    """Somebody stopped the operation."""


class QueryError(ConnError):
    """The server refused the statement or command."""


class ConflictError(QueryError):
    """A unique key or a serialisable transaction is violated."""


class Denied(ConnError):
    """The server refuses the credentials or the rights."""


class LimitExceeded(ConnError):
    """A bound was reached: connections, size of a result."""


class NotSupported(ConnError):
    """This connector, server or version cannot do that."""


class InvalidArgument(ConnError, ValueError):
    """An argument is wrong."""


class ConfigError(ConnError, InvalidConnectorConfig):
    """The configuration of the connector is wrong."""
