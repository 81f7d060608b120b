# SPDX-License-Identifier: Apache-2.0
"""DFF.EXTRA_GUANCE_DATA: what a script adds to its telemetry. There is none here, so the values live
as long as the task and scripts that set them run unchanged (spec 3.5). DFF.GUANCE_OPENAPI."""
import _tenon
from . import dataflux, web


def _data() -> dict:
    return _tenon.state().setdefault("guance", {"tags": {}, "fields": {}, "more": []})


class ExtraData:
    """set_tags, delete_tags, set_fields, incr_field, delete_fields, add_more_data."""

    __slots__ = ()

    @property
    def tags(self) -> dict:
        return dict(_data()["tags"])

    @property
    def fields(self) -> dict:
        return dict(_data()["fields"])

    @property
    def more_data(self) -> list:
        return list(_data()["more"])

    def set_tags(self, **tags) -> None:
        _data()["tags"].update((k, str(v)) for k, v in tags.items())

    def delete_tags(self, *names) -> None:
        for name in names:
            _data()["tags"].pop(name, None)

    def set_fields(self, **fields) -> None:
        _data()["fields"].update(fields)

    def incr_field(self, name, step=1) -> None:
        fields = _data()["fields"]
        fields[name] = fields.get(name, 0) + step

    def delete_fields(self, *names) -> None:
        for name in names:
            _data()["fields"].pop(name, None)

    def add_more_data(self, measurement, tags=None, fields=None) -> None:
        _data()["more"].append({"measurement": measurement, "tags": dict(tags or {}),
                                "fields": dict(fields or {})})


class OpenAPI:
    """DFF.GUANCE_OPENAPI: the management API of a workspace (spec 4.16), by its address: there is no list of the cloud's sites here."""

    def __init__(self, guance_openapi_url=None, guance_api_key_id=None, guance_api_key=None, guance_openway_url=None, guance_node=None,
                 guance_websocket_url=None, timeout=10, guanceOpenAPIURL=None, guanceAPIKeyId=None, guanceAPIKey=None,
                 guanceOpenWayURL=None, guanceNode=None, guanceWebSocketURL=None):
        self.openapi_url = guance_openapi_url or guanceOpenAPIURL
        self.openway_url = guance_openway_url or guanceOpenWayURL
        self.websocket_url = guance_websocket_url or guanceWebSocketURL
        self.node = guance_node or guanceNode
        self.api_key_id = guance_api_key_id or guanceAPIKeyId
        self._api_key = guance_api_key or guanceAPIKey
        self._timeout = float(timeout or 10)
        self._workspace = None
        if not self.openapi_url:
            raise ValueError("guance_openapi_url is needed: the address of the OpenAPI of your site")
        if not self._api_key:
            raise ValueError("guance_api_key is needed")
        self._base = web.split_url(self.openapi_url)

    def _send(self, method, path, query, body=None):
        import json
        target = web.with_query(self._base[3] + "/" + path.lstrip("/"), query or {})
        headers = {"DF-API-KEY": self._api_key}
        if body is not None:
            headers["Content-Type"] = "application/json"
        status, answer = web.request(self._base[:3], method, target, headers,
                                     None if body is None else json.dumps(body, ensure_ascii=False, default=str).encode(), self._timeout)
        if status >= 400 or (isinstance(answer, dict) and answer.get("success") is False):
            raise Exception("%s %s answered %d: %s" % (method, path, status, str(answer)[:2000]))
        return answer

    def do_get(self, path, query=None):
        """The parsed answer."""
        return self._send("GET", path, query)

    def do_post(self, path, query=None, body=None):
        return self._send("POST", path, query, body if body is not None else {})

    def do_list_get(self, path, query=None, **match) -> list:
        """The rows of all pages whose members equal `match`."""
        found: list = []
        for page in range(1, 1001):
            answer = self.do_get(path, {"pageSize": 100, **(query or {}), "pageIndex": page})
            content = answer.get("content") if isinstance(answer, dict) else None
            rows = content.get("data") if isinstance(content, dict) else content
            rows = rows if isinstance(rows, list) else []
            found += [r for r in rows if all(isinstance(r, dict) and r.get(k) == v for k, v in match.items())]
            total = (answer.get("pageInfo") or {}).get("totalCount") if isinstance(answer, dict) else None
            if not rows or not isinstance(total, int) or page * int((query or {}).get("pageSize", 100)) >= total:
                break
        return found

    def do_func(self, name, **kwargs):
        """Runs a function that the workspace offers."""
        return self.do_post("/api/v1/outer_function/execute", body={"name": name, "kwargs": kwargs})

    @property
    def workspace(self) -> dict:
        if self._workspace is None:
            self._workspace = self.do_get("/api/v1/workspace/get").get("content") or {}
        return self._workspace

    @property
    def workspace_uuid(self):
        return self.workspace.get("uuid")

    @property
    def workspace_token(self):
        return self.workspace.get("token")

    @property
    def workspace_language(self):
        return self.workspace.get("language")

    @property
    def is_api_key_valid(self) -> bool:
        try:
            return bool(self.workspace)
        except Exception:
            return False

    @property
    def dataway(self):
        """DFF.DATAWAY of this workspace."""
        if not self.openway_url:
            raise ValueError("guance_openway_url is needed: the address of the gateway of your site")
        return dataflux.DataWay(url=self.openway_url, token=self.workspace_token)
