# SPDX-License-Identifier: Apache-2.0
"""DFF.TOOLKIT: small helpers that scripts of the original use (spec 3.12)."""
import base64
import copy
import hashlib
import json
import re
import secrets
import string
import uuid
from datetime import date, datetime, timedelta, timezone

import _tenon

_UTC = timezone.utc
_CN = timezone(timedelta(hours=8))


# ---- ids and text ----
def gen_uuid() -> str:
    return str(uuid.uuid4())


def gen_rand_string(length: int = 32, chars: str = None) -> str:
    return "".join(secrets.choice(chars or string.ascii_letters + string.digits) for _ in range(length))


def as_array(o):
    """None -> None, list, tuple and set -> list, x -> [x]."""
    if o is None:
        return None
    return list(o) if isinstance(o, (list, tuple, set)) else [o]


def as_array_str(o):
    items = as_array(o)
    return None if items is None else ",".join(str(x) for x in items)


_TRUE = ("true", "1", "o", "y", "yes", "ok", "on")
_FALSE = ("false", "0", "x", "n", "no", "ng", "off")


def to_boolean(o):
    """bool as it is, number > 0, known words in any case; anything else None."""
    if isinstance(o, bool):
        return o
    if isinstance(o, (int, float)):
        return o > 0
    word = str(o).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def match_wildcard(value, pattern: str) -> bool:
    """`*` is a run of characters other than `.` and `|`; `**` at the end matches any rest."""
    rest = pattern.endswith("**")
    parts = (pattern[:-2] if rest else pattern).split("*")
    expr = r"[^.|]*".join(re.escape(p) for p in parts) + (".*" if rest else "")
    return re.fullmatch(expr, str(value), re.S) is not None


def match_wildcards(value, patterns) -> bool:
    return any(match_wildcard(value, p) for p in as_array(patterns) or ())


# ---- JSON ----
def json_loads(s):
    return json.loads(s)


def _json_fallback(o):
    if isinstance(o, (datetime, date)):
        return o.isoformat()
    if isinstance(o, (set, frozenset)):
        return list(o)
    if isinstance(o, bytes):
        return o.decode("utf-8")
    if isinstance(o, Exception):
        return repr(o)
    return str(o)


def _without_nothing(j, keep_none: bool):
    def kept(v):
        return keep_none if v is None else not (isinstance(v, (str, list, tuple, dict)) and len(v) == 0)
    if isinstance(j, dict):
        return {k: _without_nothing(v, keep_none) for k, v in j.items() if kept(v)}
    if isinstance(j, (list, tuple)):
        return [_without_nothing(v, keep_none) for v in j]
    return j


def json_dumps(j, ignore_nothing: bool = False, keep_none: bool = False, **kwargs) -> str:
    """JSON text. ignore_nothing leaves out members without content (None too, unless keep_none)."""
    if ignore_nothing:
        j = _without_nothing(j, keep_none)
    kwargs.setdefault("default", _json_fallback)
    return json.dumps(j, **kwargs)


def json_copy(j):
    return copy.deepcopy(j)


def _step(j, key):
    if isinstance(j, (list, tuple)) and (isinstance(key, int) or str(key).lstrip("-").isdigit()):
        return j[int(key)]
    if isinstance(j, dict):
        return j[key]
    raise KeyError(key)


def json_find(j, path, safe: bool = False):
    """The value at 'a.b' or ['a', 'b']; a missing one raises KeyError, or is None with safe."""
    keys = path.split(".") if isinstance(path, str) else list(path)
    try:
        for key in keys:
            j = _step(j, key)
        return j
    except (KeyError, IndexError, TypeError):
        if safe:
            return None
        raise KeyError(".".join(str(k) for k in keys)) from None


def json_find_safe(j, path):
    return json_find(j, path, safe=True)


def _search(j, key):
    if isinstance(j, dict):
        if key in j:
            return True, j[key]
        children = j.values()
    elif isinstance(j, (list, tuple)):
        children = j
    else:
        return False, None
    for child in children:
        found, value = _search(child, key)
        if found:
            return True, value
    return False, None


def json_smart_find(j, key, safe: bool = False):
    """The first value under that key, depth first."""
    found, value = _search(j, key)
    if not found and not safe:
        raise KeyError(key)
    return value


def json_override(src, dst):
    """Merges src deeply into dst -> dst."""
    for key, value in (src or {}).items():
        if isinstance(value, dict) and isinstance(dst.get(key), dict):
            json_override(value, dst[key])
        else:
            dst[key] = value
    return dst


def json_pick(j, keys) -> dict:
    """{key: value at key}; a missing one raises KeyError."""
    return {key: json_find(j, key) for key in as_array(keys) or ()}


# ---- time ----
def _to_datetime(d=None) -> datetime:
    """None = now; numbers and digits are Unix seconds or milliseconds; texts are ISO 8601."""
    if d is None:
        return datetime.now(_UTC)
    if isinstance(d, str) and re.fullmatch(r"-?\d+(\.\d+)?", d.strip()):
        d = float(d) if "." in d else int(d)
    if isinstance(d, (int, float)) and not isinstance(d, bool):
        return datetime.fromtimestamp(d / 1000 if abs(d) >= 10 ** 11 else d, _UTC)
    if isinstance(d, str):
        text = d.strip()
        text = text[:-1] + "+00:00" if text[-1:] in "Zz" else text
        # before 3.11 only 3 or 6 digits are read
        text = re.sub(r"\.(\d+)", lambda m: "." + m.group(1)[:6].ljust(6, "0"), text)
        d = datetime.fromisoformat(text)
    elif hasattr(d, "datetime") and not isinstance(d, datetime):  # arrow
        d = d.datetime
    elif isinstance(d, date) and not isinstance(d, datetime):
        d = datetime(d.year, d.month, d.day)
    if not isinstance(d, datetime):
        raise TypeError("not a time: %r" % (d,))
    return d if d.tzinfo else d.replace(tzinfo=_UTC)


def get_arrow(d=None):
    """The time as an Arrow object (needs the package arrow)."""
    import arrow
    return arrow.get(_to_datetime(d))


_TOKENS = re.compile(r"\[[^\]]*\]|YYYY|YY|MM|M|DD|D|HH|H|hh|h|mm|m|ss|s|SSSSSS|SSS|X|ZZ|Z|A|a")


def _format(d: datetime, f: str) -> str:
    """strftime when there is a `%`, else the tokens of arrow (YYYY-MM-DD HH:mm:ss ...)."""
    if "%" in f:
        return d.strftime(f)
    offset = d.strftime("%z")
    hour = d.hour % 12 or 12
    known = {
        "YYYY": "%04d" % d.year, "YY": "%02d" % (d.year % 100), "MM": "%02d" % d.month, "M": str(d.month),
        "DD": "%02d" % d.day, "D": str(d.day), "HH": "%02d" % d.hour, "H": str(d.hour), "hh": "%02d" % hour,
        "h": str(hour), "mm": "%02d" % d.minute, "m": str(d.minute), "ss": "%02d" % d.second,
        "s": str(d.second), "SSS": "%03d" % (d.microsecond // 1000), "SSSSSS": "%06d" % d.microsecond,
        "X": str(int(d.timestamp())), "Z": offset, "ZZ": offset[:3] + ":" + offset[3:],
        "A": "AM" if d.hour < 12 else "PM", "a": "am" if d.hour < 12 else "pm",
    }
    return _TOKENS.sub(lambda m: known.get(m.group(), m.group()[1:-1]), f)


def get_date_string(d=None, f=None) -> str:
    return _format(_to_datetime(d).astimezone(_UTC), f or "YYYY-MM-DD")


def get_time_string(d=None, f=None) -> str:
    return _format(_to_datetime(d).astimezone(_UTC), f or "HH:mm:ss")


def get_datetime_string(d=None, f=None) -> str:
    return _format(_to_datetime(d).astimezone(_UTC), f or "YYYY-MM-DD HH:mm:ss")


def get_datetime_string_cn(d=None, f=None) -> str:
    """The same in UTC+8."""
    return _format(_to_datetime(d).astimezone(_CN), f or "YYYY-MM-DD HH:mm:ss")


def to_unix_timestamp(d=None) -> int:
    return int(_to_datetime(d).timestamp())


def to_unix_timestamp_ms(d=None) -> int:
    return round(_to_datetime(d).timestamp() * 1000)


def to_iso_datetime(d=None) -> str:
    return _to_datetime(d).isoformat()


def get_days_from_now(d) -> int:
    """Whole days since d."""
    return (datetime.now(_UTC) - _to_datetime(d)).days


# ---- digests, base64, AES ----
def _digest(name: str, s) -> str:
    if isinstance(s, (list, tuple, dict)):
        s = json.dumps(s, sort_keys=True, separators=(",", ":"), default=_json_fallback)
    return hashlib.new(name, s if isinstance(s, bytes) else str(s).encode("utf-8")).hexdigest()


def get_md5(s) -> str:
    return _digest("md5", s)


def get_sha1(s) -> str:
    return _digest("sha1", s)


def get_sha256(s) -> str:
    return _digest("sha256", s)


def get_sha512(s) -> str:
    return _digest("sha512", s)


def get_base64(s, url_safe: bool = False) -> str:
    data = s if isinstance(s, bytes) else str(s).encode("utf-8")
    return (base64.urlsafe_b64encode(data) if url_safe else base64.b64encode(data)).decode()


def from_base64(s):
    """The text, or bytes when they are not UTF-8; both alphabets are read."""
    text = (s.decode() if isinstance(s, bytes) else s).translate(str.maketrans("-_", "+/"))
    data = base64.b64decode(text + "=" * (-len(text) % 4))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


_AES_HEADER = "AESv2:"
_AES_IV = bytes(16)


def _aes_key(key: str, salt) -> bytes:
    return get_md5("~%s~%s~" % (key, salt) if salt else key).encode("ascii")


def cipher_by_aes(text, key: str, salt: str = None) -> str:
    data = str(text).encode("utf-8")
    data += b" " * (16 - len(data) % 16)
    return _AES_HEADER + base64.b64encode(_tenon.aes_cbc(True, _aes_key(key, salt), _AES_IV, data)).decode()


def decipher_by_aes(text: str, key: str, salt: str = None) -> str:
    """Reads today's form and the old one without a header."""
    if text.startswith(_AES_HEADER):
        raw, aes_key = text[len(_AES_HEADER):], _aes_key(key, salt)
    else:
        raw, aes_key = text, key.encode("utf-8")[:32].ljust(32, b" ")
    data = _tenon.aes_cbc(False, aes_key, _AES_IV, base64.b64decode(raw))
    return data.decode("utf-8").rstrip(" ")
