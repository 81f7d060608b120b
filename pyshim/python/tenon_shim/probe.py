# SPDX-License-Identifier: Apache-2.0
"""Trying a connector out and running statements of the debug panel; called by the platform only."""
import json
import pprint
import re
import shlex
import socket
import threading
import time

from . import conn
from .errors import ConnTimeout, ConnUnavailable, EntityNotFound

_STEP = 4.0  # seconds a name look-up or a TCP connection may take


def _look_up(host: str, port: int) -> list:
    """Addresses of a host; the resolver knows no time limit, so it gets a thread of its own."""
    found: list = []

    def ask():
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as e:
            found.append(e)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_STEP)
    if not found:
        raise ConnTimeout("DNS: the name `%s` was not resolved within %d s; check the name server of "
                          "this machine" % (host, _STEP))
    if isinstance(found[0], OSError):
        raise ConnUnavailable("DNS: the name `%s` cannot be resolved: %s" % (host, found[0].strerror or found[0]))
    return found[0]


def _reach(host: str, port: int) -> None:
    """Raises when nobody listens there; says which step failed."""
    last = None
    until = time.monotonic() + _STEP
    for family, kind, proto, _, address in _look_up(host, port):
        left = until - time.monotonic()
        if left <= 0:
            break
        with socket.socket(family, kind, proto) as s:
            s.settimeout(left)
            try:
                s.connect(address)
                return
            except OSError as e:
                last = e
    if last is None or isinstance(last, TimeoutError):
        raise ConnTimeout("TCP: %s port %d does not answer within %d s; a firewall may drop the packets"
                          % (host, port, _STEP))
    raise ConnUnavailable("TCP: cannot connect to %s port %d: %s; check host, port and whether the "
                          "server runs" % (host, port, last.strerror or last))


def test(id: str, type: str, config: dict) -> str:
    """Configuration, DNS, TCP, then the plugin's own TLS, sign-in and query."""
    helper = conn.connect(id, type, _in_time({k: v for k, v in config.items() if k not in _OURS}), True)
    defaults = {name: field[1] for name, field in conn.settings(type).items()}
    host = config.get("host") or defaults.get("host")
    port = config.get("port") or defaults.get("port")
    elsewhere = config.get("servers") or config.get("uri") or config.get("dsn")  # settings that are used instead of host and port
    plain = isinstance(host, str) and "," not in host and host[:1] not in "/[" and host.count(":") != 1  # no port of its own
    if plain and port and not elsewhere:
        _reach(host, int(port))
    helper._probe()
    return "OK"


_STEPS = {"connect": 6000, "query": 6000}  # ms each may take here, so that its own words come before the limit of a test (15 s)
_UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000}


def _in_time(config: dict) -> dict:
    """The configuration with steps that end in time; what is no duration is left for the plugin to refuse."""
    pool = config.get("pool", {})
    if not isinstance(pool, dict):
        return config
    pool = dict(pool)
    for step, most in _STEPS.items():
        asked = pool.get(step, "0ms" if step == "query" else "1ms")
        said = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", str(asked))
        ms = int(said[1]) * _UNITS[said[2]] if said else 1
        if ms > most or (ms == 0 and step == "query"):
            pool[step] = "%dms" % most
    return {**config, "pool": pool}


# Settings of a row that belong to the platform or to the console, not to the plugin.
_OURS = ("topicHandlers", "multiSubClient", "kafkaSubOffset", "meta")


def _run(helper, type_name: str, statement: str):
    """The statement as this type understands it (spec 1.6); None where there is no such thing."""
    if type_name == "mongodb":
        return helper.run_method(**json.loads(statement))
    if type_name in ("redis", "memcached"):
        words = shlex.split(statement)
        if not words:
            raise ValueError("the statement is empty")
        return helper.query(*words)
    if not hasattr(helper, "query"):
        return None
    return helper.query(statement)


def query(id: str, statement: str, return_type: str = "json", database: str = None):
    """Runs one statement -> its result, or Python text of it."""
    row = conn.fetch(id)
    if row is None:
        raise EntityNotFound("Connector not found: `%s`" % id)
    type_name, config = row
    if type_name == "influxdb" and database:
        config = {**config, "database": database}
    value = _run(conn.connect(id, type_name, config), type_name, statement)
    if return_type == "repr":
        return pprint.pformat(value, width=100)
    return _plain(value)


def _plain(value):
    """Bytes and keys as JSON can say them; the rest is the business of the serialiser."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {k if isinstance(k, str) else _plain(k) if isinstance(k, bytes) else str(k): _plain(v)
                for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
