# SPDX-License-Identifier: Apache-2.0
"""DFF.CONFIG: settings of the platform; what is secret shows as asterisks (spec 3.5)."""
import _tenon

MASK = "*****"
_known = None  # settings do not change while the platform runs


def _settings() -> dict:
    """{key: value} with values of their type; None for secrets, which workers never see."""
    global _known
    if _known is None:
        _known = _tenon.loads(_tenon.ask("config.get", "{}") or b"{}")
    return _known


def _is_secret(key: str) -> bool:
    return "secret" in key.lower() or "password" in key.lower()


class Config:
    """CONFIG(key, default=None, unmask=False), query(), list()."""

    __slots__ = ()

    def __call__(self, *args, **kwargs):
        return self.get(*args, **kwargs)

    def get(self, key, default=None, unmask=False):
        """The value; secrets are masked, but for CUSTOM_ ones with unmask."""
        known = _settings()
        if key not in known:
            return default
        if _is_secret(key) and not (unmask and key.startswith("CUSTOM_")):
            return MASK
        value = known[key]
        return default if value is None else value

    def query(self, all_configs=False, list_output=False):
        """{key: value} of the CUSTOM_ settings or of all; a list of {key, value} with list_output."""
        found = {k: self.get(k) for k in _settings() if all_configs or k.startswith("CUSTOM_")}
        return [{"key": k, "value": v} for k, v in found.items()] if list_output else found

    list = query
