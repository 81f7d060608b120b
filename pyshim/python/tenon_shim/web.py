# SPDX-License-Identifier: Apache-2.0
"""One HTTP request for the members that speak to services (DATAKIT, DATAWAY, GUANCE_OPENAPI). Certificates are verified, redirects
are not followed, an answer is bounded. What is needed for it is imported with the first request: most tasks send none."""
import json

_ANSWER_MAX = 64 << 20


def split_url(url: str) -> tuple:
    """(protocol, host, port or None, path without its last slash, query as a dict)."""
    from urllib.parse import parse_qsl, urlsplit
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("%r is no address: http://host[:port][/path] or https://…" % url)
    return parts.scheme, parts.hostname, parts.port, parts.path.rstrip("/"), dict(parse_qsl(parts.query))


def with_query(path: str, query: dict) -> str:
    from urllib.parse import quote, urlencode
    text = urlencode({k: json.dumps(v) if isinstance(v, (dict, list, bool)) else v for k, v in query.items() if v is not None})
    return quote(path, safe="/%:@!$&'()*+,;=~-._") + ("?" + text if text else "")


def request(base: tuple, method: str, path: str, headers: dict, body, timeout: float) -> tuple:
    """(status, parsed body) of a request to base = (protocol, host, port)."""
    import http.client
    protocol, host, port = base
    kind = http.client.HTTPSConnection if protocol == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        data = answer.read(_ANSWER_MAX + 1)
        if len(data) > _ANSWER_MAX:
            raise ValueError("the answer of %s:%s is larger than %d MiB" % (host, port, _ANSWER_MAX >> 20))
        return answer.status, _parsed(data, answer.headers.get_content_type())
    except (OSError, http.client.HTTPException) as e:
        text = str(e) or type(e).__name__
        raise ConnectionError("%s://%s:%s: %s" % (protocol, host, port, text)) from e
    finally:
        connection.close()


def _parsed(data: bytes, kind: str):
    try:
        if kind == "application/json" or data[:1] in (b"{", b"["):
            return json.loads(data)
        return data.decode()
    except ValueError:
        return data.decode("utf-8", "replace")
