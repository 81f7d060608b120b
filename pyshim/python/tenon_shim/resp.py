# SPDX-License-Identifier: Apache-2.0
"""Response objects: what a function returns to control the HTTP answer (spec 3.8, 2.8)."""
import os
import re
import secrets
import string
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import _tenon

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_REDIRECT_BODY = '<a href="%s">Redirect</a>'


class Resp:
    """A value and how it is to be sent. `control` holds the keys of spec 2.8."""

    __slots__ = ("data", "control")

    def __init__(self, data, control: dict):
        self.data = data
        self.control = {k: v for k, v in control.items() if v not in (None, "", False) or
                        (k == "download" and v is False)}

    def __repr__(self) -> str:
        return "<DFF.RESP %r>" % (self.control,)


def _status(value):
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if isinstance(value, bool) or not 100 <= number <= 999:
        raise ValueError("status_code must be a number from 100 to 999, not %r" % (value,))
    return number


def _header_value(name: str, value) -> str:
    text = str(value)
    if any(c in "\r\n\0" for c in text):
        raise ValueError("Header `%s`: the value must not contain CR, LF or NUL" % name)
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("Header `%s`: the value has characters outside Latin-1; encode it, e.g. "
                         "with urllib.parse.quote()" % name) from None
    return text


def _headers(headers):
    """Checked copy: a bad header fails the call here and injects nothing."""
    if not headers:
        return None
    if not isinstance(headers, dict):
        raise TypeError("headers must be a dict, not %s" % type(headers).__name__)
    ret = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise ValueError("Header name %r is not allowed" % (name,))
        if isinstance(value, (list, tuple)):
            ret[name] = [_header_value(name, v) for v in value]
        elif value is not None:
            ret[name] = _header_value(name, value)
    return ret


def _one_line(name: str, value):
    if isinstance(value, str):
        if any(ord(c) < 0x20 or ord(c) == 0x7f for c in value):
            raise ValueError("%s must not contain control characters" % name)
    return value


def resp(data, status_code=None, content_type=None, headers=None, allow_304=False, download=False) -> Resp:
    """RESP(data, ...): any value with status, type and headers."""
    if isinstance(data, Resp):
        data = data.data
    return Resp(data, {
        "statusCode": _status(status_code),
        "contentType": _one_line("content_type", content_type),
        "headers": _headers(headers),
        "allow304": bool(allow_304),
        "download": _one_line("download", download) or None,
    })


def resource_root() -> str:
    root = _tenon.setting("RESOURCE_ROOT_PATH")
    if not root:
        raise RuntimeError("RESOURCE_ROOT_PATH is not set")
    return os.path.abspath(root)


def resource_path(path) -> str:
    """RSRC(path): absolute path under the resource root; leaving it is an error."""
    if not isinstance(path, str):
        raise TypeError("a resource path is text, not %s" % type(path).__name__)
    root = resource_root()
    full = os.path.normpath(os.path.join(root, path.lstrip("/")))
    if full != root and not full.startswith(root + os.sep):
        raise ValueError("The path leaves the Resource folder: %s" % path)
    return full


def resp_file(file_path, status_code=None, headers=None, allow_304=False, auto_delete=False,
              download=True) -> Resp:
    """RESP_FILE(path, ...): a file of the resource folder."""
    full = resource_path(file_path)
    root = os.path.realpath(resource_root())
    real = os.path.realpath(full)
    if not real.startswith(root + os.sep) or not os.path.isfile(real):
        raise Exception("No such file in Resource folder: %s" % file_path)
    return Resp(None, {
        "statusCode": _status(status_code),
        "headers": _headers(headers),
        "allow304": bool(allow_304),
        "autoDelete": bool(auto_delete),
        "download": _one_line("download", download),
        "filePath": os.path.relpath(real, root),
    })


_EXT = re.compile(r"[A-Za-z0-9.+-]{1,64}(/[A-Za-z0-9.+-]{1,64})?\Z")


def resp_large_data(data, content_type=None) -> Resp:
    """RESP_LARGE_DATA(data): the text goes into a file that is sent as it is."""
    if isinstance(data, str):
        content, ext = data.encode("utf-8"), "txt"
    else:
        content, ext = _tenon.dumps_plain(data), "json"
    if content_type:
        if not _EXT.match(content_type):
            raise ValueError("content_type must be a MIME type or an extension, not %r" % content_type)
        if "/" not in content_type:
            ext = content_type
        else:
            import mimetypes
            ext = (mimetypes.guess_extension(content_type) or "." + ext)[1:]
    ttl = max(60, _tenon.task()[2])
    stamp = (datetime.now(timezone.utc) + timedelta(seconds=ttl)).strftime("%Y%m%d%H%M%S")
    chars = string.ascii_letters + string.digits
    name = "%s_%s_api-resp.%s" % (stamp, "".join(secrets.choice(chars) for _ in range(16)), ext)
    folder = os.path.join(resource_root(), ".downloads")
    os.makedirs(folder, mode=0o750, exist_ok=True)
    with open(os.path.join(folder, name), "xb") as f:
        f.write(content)
    # While the result is cached, every hit sends the file again; the cleaner removes it by its stamp.
    cached = _tenon.task()[2] > 0
    return Resp(None, {"filePath": ".downloads/" + name, "autoDelete": not cached, "download": False,
                       "contentType": content_type})


def redirect(url) -> Resp:
    """REDIRECT(url): status 302."""
    if not isinstance(url, str):
        raise TypeError("the URL of a redirect is text, not %s" % type(url).__name__)
    safe = quote(url, safe="!#$%&'()*+,/:;=?@[]~")
    return Resp(_REDIRECT_BODY % safe.replace("&", "&amp;").replace("'", "&#39;"),
                {"statusCode": 302, "contentType": "html", "headers": {"Location": safe}})
