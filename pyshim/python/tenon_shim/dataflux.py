# SPDX-License-Identifier: Apache-2.0
"""DFF.DATAKIT and DFF.DATAWAY (spec 4.15): points as line protocol, queries, any other route of an agent or gateway."""
import json
import time

from . import web

_GZIP_FROM = 20 << 10   # bytes of a body
_AT_ONCE = 100          # points of a request
_SERIES = 500           # series of a page of a query


# ---- points

def _key(text, special=",= ") -> str:
    """The name of a tag or field, the value of a tag; a measurement."""
    text = str(text).replace("\n", " ").replace("\r", " ")
    text = text.rstrip("\\")  # a last backslash would hide what follows
    return "".join("\\" + c if c in special else c for c in text)


def _value(value):
    """The text of a field; None: it is left out."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return "%di" % value
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else None
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def _nanoseconds(stamp) -> int:
    """Seconds, milliseconds, microseconds or nanoseconds, by their size."""
    if stamp is None:
        return time.time_ns()
    if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
        raise ValueError("timestamp must be a number, not %r" % (stamp,))
    for unit in (10 ** 9, 10 ** 6, 10 ** 3):
        if abs(stamp) < 10 ** 20 // unit:  # up to the year 5138 in each of them
            whole = int(stamp)
            return whole * unit + int((stamp - whole) * unit)
    return int(stamp)


def line(point: dict) -> str:
    """A point {measurement, tags, fields, timestamp} as line protocol, keys sorted."""
    if not isinstance(point, dict):
        raise ValueError("a point is {measurement, tags, fields, timestamp}, not %r" % (point,))
    measurement, tags, fields = point.get("measurement"), point.get("tags") or {}, point.get("fields") or {}
    if not measurement or not isinstance(measurement, str):
        raise ValueError("measurement of a point must be a text, not %r" % (measurement,))
    if not isinstance(tags, dict) or not isinstance(fields, dict):
        raise ValueError("tags and fields of a point are dicts")
    texts = {_key(k): _value(v) for k, v in fields.items()}
    shown = ",".join("%s=%s" % item for item in sorted(texts.items()) if item[1] is not None)
    if not shown:
        raise ValueError("point %s has no field with a value" % measurement)
    head = [_key(measurement, ", ")] + ["%s=%s" % (_key(k), _key(tags[k])) for k in sorted(tags) if tags[k] not in (None, "")]
    return "%s %s %d" % (",".join(head), shown, _nanoseconds(point.get("timestamp")))


# ---- queries

def _rows(series: dict) -> list:
    """The rows of a series as dicts, its tags under a name that no column has."""
    columns, name = series.get("columns") or [], "tags"
    while name in columns:
        name = "_" + name
    tags = series.get("tags") or {}
    return [dict(zip(columns, values), **{name: tags}) for values in series.get("values") or []]


class _Client:
    """What both have in common."""

    def __init__(self, url, host, port, protocol, path, timeout, default_port):
        found = web.split_url(url) if url else (None, None, None, "", {})
        self.protocol = protocol or found[0] or "http"
        self.host = host or found[1]
        self.port = int(port or found[2] or (default_port if not found[1] else 443 if self.protocol == "https" else 80))
        self.path = ("/" + str(path).strip("/") if path else found[3]).rstrip("/")
        self.timeout = float(timeout or 10)
        self.query_args = found[4]
        if not self.host:
            raise ValueError("a host is needed: host='…' or url='http://…'")
        if self.protocol not in ("http", "https"):
            raise ValueError("protocol is http or https, not %r" % (self.protocol,))

    def _sign(self, method, content_type, body, headers) -> None:
        pass

    def _send(self, method, path, query, headers, body, content_type, raise_for_status):
        headers = dict(headers or {})
        data = body.encode() if isinstance(body, str) else body
        if data is not None:
            headers.setdefault("Content-Type", content_type)
            if len(data) > _GZIP_FROM:
                import gzip
                data = gzip.compress(data, 6, mtime=0)
                headers["Content-Encoding"] = "gzip"
        self._sign(method, headers.get("Content-Type", ""), data, headers)
        target = web.with_query(self.path + "/" + path.lstrip("/"), {**self.query_args, **(query or {})})
        status, answer = web.request((self.protocol, self.host, self.port), method, target, headers, data, self.timeout)
        if status >= 400 and raise_for_status:
            raise Exception("%s %s answered %d: %s" % (method, path, status, str(answer)[:2000]))
        return status, answer

    # ---- any route
    def get(self, path, query=None, headers=None, raise_for_status=True) -> tuple:
        """(status, parsed body)"""
        return self._send("GET", path, query, headers, None, "", raise_for_status)

    def post_json(self, path, json_obj, query=None, headers=None, raise_for_status=True) -> tuple:
        return self._send("POST", path, query, headers, json.dumps(json_obj, ensure_ascii=False, default=str), "application/json",
                          raise_for_status)

    def post_line_protocol(self, path, points, query=None, headers=None, raise_for_status=True) -> tuple:
        """Sends points, a hundred at a time; what the last request was answered."""
        lines = [line(p) for p in ([points] if isinstance(points, dict) else points)]  # all are right before any is sent
        answer = (200, "")
        for i in range(0, len(lines), _AT_ONCE):
            answer = self._send("POST", path, query, headers, "\n".join(lines[i:i + _AT_ONCE]), "text/plain", raise_for_status)
        return answer

    # ---- points
    def write_by_category_many(self, category, data, headers=None) -> tuple:
        return self.post_line_protocol("/v1/write/%s" % category, data, self._write_query(), headers)

    def write_by_category(self, category, measurement, tags=None, fields=None, timestamp=None, headers=None) -> tuple:
        return self.write_by_category_many(category, [{"measurement": measurement, "tags": tags, "fields": fields,
                                                       "timestamp": timestamp}], headers)

    def _write_query(self) -> dict:
        return {}

    def write_metric(self, measurement, tags=None, fields=None, timestamp=None, headers=None) -> tuple:
        return self.write_by_category("metric", measurement, tags, fields, timestamp, headers)

    def write_metric_many(self, data, headers=None) -> tuple:
        return self.write_by_category_many("metric", data, headers)

    def write_logging(self, measurement, tags=None, fields=None, timestamp=None, headers=None) -> tuple:
        return self.write_by_category("logging", measurement, tags, fields, timestamp, headers)

    def write_logging_many(self, data, headers=None) -> tuple:
        return self.write_by_category_many("logging", data, headers)

    write_point = write_metric
    write_points = write_metrics = write_metric_many

    # ---- queries
    def query(self, dql, all_series=False, dict_output=False, raw=False, token=None, **kwargs) -> tuple:
        """(status, {'series': […]}) of a DQL text; raw: as it was answered."""
        pages = 1 if not all_series else 20 if dql.strip().upper().startswith("M::") else 5
        query = {"query": dql, **kwargs}
        if all_series:
            query.setdefault("slimit", _SERIES)
        found: list = []
        for _ in range(pages):
            body = {"queries": [query], "mask_visible": True}
            if token:
                body["token"] = token
            status, answer = self.post_json("/v1/query/raw", body)
            if raw:
                return status, answer
            content = answer.get("content") if isinstance(answer, dict) else None
            part = (content[0] if isinstance(content, list) and content else {}).get("series") or []
            found += part
            if len(part) < query.get("slimit", 0) or not all_series:
                break
            query["soffset"] = query.get("soffset", 0) + query["slimit"]
        return status, {"series": [_rows(s) for s in found] if dict_output else found}


class DataKit(_Client):
    """The agent on a host."""

    def __init__(self, url=None, host=None, port=None, protocol=None, source=None, timeout=None, debug=False):
        super().__init__(url, host, port, protocol, None, timeout, 9529)
        self.source, self.debug = source or "datakit-python-sdk", debug

    def _write_query(self) -> dict:
        return {"input": self.source}


class DataWay(_Client):
    """The gateway of a workspace."""

    def __init__(self, url=None, host=None, port=None, protocol=None, path=None, token=None, access_key=None, secret_key=None,
                 timeout=None, debug=False, accessKey=None, secretKey=None):
        super().__init__(url, host, port, protocol, path, timeout, 9528)
        self.token = token or self.query_args.get("token")
        self.access_key, self.secret_key, self.debug = access_key or accessKey, secret_key or secretKey, debug
        if self.token:
            self.query_args["token"] = self.token

    def _sign(self, method, content_type, body, headers) -> None:
        if not self.access_key or not self.secret_key:
            return
        import base64
        import hashlib
        import hmac
        from email.utils import formatdate
        headers["Date"] = formatdate(usegmt=True)
        digest = base64.b64encode(hashlib.md5(body or b"").digest()).decode()
        text = "\n".join((method, digest, content_type, headers["Date"]))
        sign = hmac.new(str(self.secret_key).encode(), text.encode(), hashlib.sha1).digest()
        headers["Authorization"] = "DWAY %s:%s" % (self.access_key, base64.b64encode(sign).decode())

    def query(self, dql, all_series=False, dict_output=False, raw=False, token=None, **kwargs) -> tuple:
        token = token or self.token
        if not token:
            raise Exception("No Workspace Token specified.")
        return super().query(dql, all_series, dict_output, raw, token, **kwargs)
