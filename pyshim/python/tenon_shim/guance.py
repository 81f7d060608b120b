# SPDX-License-Identifier: Apache-2.0
"""DFF.EXTRA_GUANCE_DATA: what a script adds to its telemetry. There is none here, so the values live
as long as the task and scripts that set them run unchanged (spec 3.5)."""
import _tenon


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
