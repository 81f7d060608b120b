# SPDX-License-Identifier: Apache-2.0
"""SQL Server's types: their names, their description on the wire (MS-TDS 2.2.5.4, 2.2.5.5), and their values.

In SQLite a value is an int, a float, bytes, or a text in one form for each type ("2026-01-02 03:04:05.0000000 +08:00").
"""

import datetime
import decimal
import re
import struct
import uuid
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

COLLATION = struct.pack('<IB', 0x00D00409, 52)  # SQL_Latin1_General_CP1_CI_AS
MAX = -1
_EPOCH = datetime.date(1, 1, 1).toordinal()
_OLD_EPOCH = datetime.date(1900, 1, 1).toordinal()
_ALIAS = {'integer': 'int', 'numeric': 'decimal', 'dec': 'decimal', 'national': 'nvarchar', 'rowversion': 'binary', 'timestamp': 'binary',
          'sysname': 'nvarchar'}


class Bad(Exception):
    """A value does not fit; args: SQL Server's error number and text."""


class Type(NamedTuple):
    """name as in T-SQL; size in characters, bytes or digits (MAX for max); scale in digits."""

    name: str
    size: int = 0
    scale: int = 0

    def declared(self) -> str:
        """A name for SQLite's CREATE TABLE: with the right affinity, and enough to find the type again."""
        kind = {'tinyint': 'INT', 'smallint': 'INT', 'int': 'INT', 'bigint': 'INT', 'bit': 'INT', 'float': 'REAL', 'real': 'REAL',
                'binary': 'BLOB', 'varbinary': 'BLOB', 'image': 'BLOB'}.get(self.name, 'TEXT')
        return '%s_%s_%d_%d' % (kind, self.name, self.size, self.scale) if self.size >= 0 else '%s_%s_max_0' % (kind, self.name)


def parse(text: str) -> Type:
    """'decimal(10, 2)', 'nvarchar(max)' -> Type."""
    m = re.fullmatch(r'\s*\[?(\w+)\]?\s*(?:\(\s*(\w+)\s*(?:,\s*(\d+)\s*)?\))?\s*', text)
    if m is None:
        raise Bad(102, "Incorrect syntax near '%s'." % text.strip()[:40])
    name = _ALIAS.get(m.group(1).lower(), m.group(1).lower())
    size = MAX if (m.group(2) or '').lower() == 'max' else int(m.group(2)) if m.group(2) else None
    if name not in _INFO:
        raise Bad(243, 'Type %s is not a defined system type.' % name)
    if name == 'decimal':
        return Type(name, 18 if size is None else size, int(m.group(3) or 0))
    if name in ('time', 'datetime2', 'datetimeoffset'):
        return Type(name, 0, 7 if size is None else size)
    default = 8 if m.group(1).lower() in ('timestamp', 'rowversion') else 128 if m.group(1).lower() == 'sysname' else 1
    return Type(name, default if size is None and name in _SIZED else size or 0)


def from_declared(text: Optional[str]) -> Optional[Type]:
    """What declared() gave -> Type; None: something else."""
    m = re.fullmatch(r'(?:INT|REAL|BLOB|TEXT)_(\w+?)_(max|\d+)_(\d+)', text or '')
    return Type(m.group(1), MAX if m.group(2) == 'max' else int(m.group(2)), int(m.group(3))) if m else None


def of_value(value: Any) -> Type:
    """The type of an expression nobody declared."""
    if isinstance(value, int) and -2**31 <= value < 2**31 or value is None:
        return Type('int')
    if isinstance(value, int):
        return Type('bigint')
    if isinstance(value, float):
        return Type('float')
    limit = 8000 if isinstance(value, bytes) else 4000
    return Type('varbinary' if isinstance(value, bytes) else 'nvarchar', limit if len(value) <= limit else MAX)


# ---- texts of the stored forms -----------------------------------------------------------------------------


def _clock(ticks: int, scale: int) -> str:
    """Ticks of 10**-scale seconds -> HH:MM:SS.fffffff."""
    ticks *= 10 ** (7 - scale)
    s, frac = divmod(ticks, 10**7)
    return '%02d:%02d:%02d.%07d' % (s // 3600, s // 60 % 60, s % 60, frac)


def _ticks(text: str, scale: int) -> int:
    m = re.fullmatch(r'(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?', text)
    if m is None or int(m.group(1)) > 23:
        raise Bad(241, 'Conversion failed when converting date and/or time from character string.')
    whole = (int(m.group(1)) * 60 + int(m.group(2))) * 60 + int(m.group(3) or 0)
    ticks = whole * 10**7 + int((m.group(4) or '').ljust(7, '0')[:7])
    return (ticks + 10 ** (7 - scale) // 2) // 10 ** (7 - scale) if scale < 7 else ticks


def _split(text: str) -> Tuple[int, int, Optional[int]]:
    """A date and time -> day number since year 1, ticks of 10**-7 s, minutes of offset or None."""
    m = re.fullmatch(r'(?:(\d{4})-(\d\d)-(\d\d))?[T ]?(\d\d?:\d\d(?::\d\d(?:\.\d+)?)?)? ?(?:(Z)|([+-])(\d\d):(\d\d))?', text.strip())
    if m is None or not (m.group(1) or m.group(4)):
        raise Bad(241, 'Conversion failed when converting date and/or time from character string.')
    try:
        day = datetime.date(*(int(m.group(i)) for i in (1, 2, 3))).toordinal() - _EPOCH if m.group(1) else _OLD_EPOCH - _EPOCH
    except ValueError:
        raise Bad(241, 'Conversion failed when converting date and/or time from character string.') from None
    offset = 0 if m.group(5) else None if not m.group(6) else (1 if m.group(6) == '+' else -1) * (int(m.group(7)) * 60 + int(m.group(8)))
    return day, _ticks(m.group(4) or '00:00:00', 7), offset


def _moment(day: int, ticks: int) -> str:
    return '%s %s' % (datetime.date.fromordinal(day + _EPOCH).isoformat(), _clock(ticks, 7))


def _round(day: int, ticks: int, scale: int) -> Tuple[int, int]:
    """To the scale, and over midnight if need be."""
    unit = 10 ** (7 - scale)
    ticks = (ticks + unit // 2) // unit * unit
    return (day + 1, ticks - 864 * 10**9) if ticks >= 864 * 10**9 else (day, ticks)


def store(t: Type, v: Any) -> Any:
    """CAST: any stored value as one of type t. Bad when it does not fit."""
    if v is None:
        return None
    if t.name in _RANGES:
        try:
            n = int(decimal.Decimal(v.strip() or '0') if isinstance(v, str) else v if not isinstance(v, bytes) else int.from_bytes(v, 'big'))
        except decimal.InvalidOperation:
            raise Bad(245, "Conversion failed when converting the nvarchar value '%s' to data type %s." % (v[:50], t.name)) from None
        low, high = _RANGES[t.name]
        if t.name == 'bit':
            return int(n != 0)
        if not low <= n <= high:
            raise Bad(8115, 'Arithmetic overflow error converting expression to data type %s.' % t.name)
        return n
    if t.name in ('decimal', 'money', 'smallmoney'):
        scale, digits = (t.scale, t.size) if t.name == 'decimal' else (4, 19)
        with decimal.localcontext() as c:
            c.prec = 80
            d = decimal.Decimal(str(v)).quantize(decimal.Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP)
        if len(d.as_tuple().digits) > max(digits, scale):
            raise Bad(8115, 'Arithmetic overflow error converting numeric to data type numeric.')
        return '{:f}'.format(d)
    if t.name in ('float', 'real'):
        return struct.unpack('<f', struct.pack('<f', float(v)))[0] if t.name == 'real' else float(v)
    if t.name in ('binary', 'varbinary', 'image'):
        raw = v.encode('utf-16-le') if isinstance(v, str) else v.to_bytes(4 if abs(v) < 2**31 else 8, 'big', signed=True) if isinstance(v, int) else v
        raw = raw if t.size <= 0 else raw[:t.size]
        return raw.ljust(t.size, b'\0') if t.name == 'binary' else raw
    if isinstance(v, bytes):
        v = v.decode('utf-16-le', 'replace') if t.name[0] == 'n' else v.decode('latin-1')
    text = ('%g' % v) if isinstance(v, float) else str(v)
    if t.name in ('char', 'nchar'):
        return text[:t.size].ljust(t.size)
    if t.name == 'uniqueidentifier':
        try:
            return str(uuid.UUID(text)).upper()
        except ValueError:
            raise Bad(8169, 'Conversion failed when converting from a character string to uniqueidentifier.') from None
    if t.name == 'date':
        return _moment(_split(text)[0], 0)[:10]
    if t.name == 'time':
        return _clock(_round(0, _split(text)[1], t.scale)[1], 7)
    if t.name in ('datetime', 'smalldatetime', 'datetime2', 'datetimeoffset'):
        day, ticks, offset = _split(text)
        if t.name == 'datetime':  # in 1/300 of a second
            n = (ticks * 3 + 50000) // 100000
            day, ticks = (day + 1, 0) if n >= 300 * 86400 else (day, n * 10**7 // 300 // 10000 * 10000 + (10000 if n % 3 == 2 else 0))
        else:
            day, ticks = _round(day, ticks, 0 if t.name == 'smalldatetime' else t.scale)
        offset = offset or 0
        zone = ' %s%02d:%02d' % ('-' if offset < 0 else '+', abs(offset) // 60, abs(offset) % 60)
        return _moment(day, ticks) + (zone if t.name == 'datetimeoffset' else '')
    return text if t.size <= 0 or t.name in ('text', 'ntext', 'xml') else text[:t.size]


# ---- values on the wire ------------------------------------------------------------------------------------

_RANGES = {'tinyint': (0, 255), 'smallint': (-2**15, 2**15 - 1), 'int': (-2**31, 2**31 - 1), 'bigint': (-2**63, 2**63 - 1), 'bit': (0, 1)}
_WIDTH = {'tinyint': 1, 'smallint': 2, 'int': 4, 'bigint': 8}
_SIZED = ('char', 'varchar', 'nchar', 'nvarchar', 'binary', 'varbinary')


def _b(raw: bytes) -> bytes:
    return bytes([len(raw)]) + raw


def _encode_int(t: Type, v: int) -> bytes:
    return _b(v.to_bytes(_WIDTH[t.name], 'little', signed=t.name != 'tinyint'))


def _encode_decimal(t: Type, v: Any) -> bytes:
    d = decimal.Decimal(store(t, v))
    with decimal.localcontext() as c:
        c.prec = 80
        n = int(abs(d).scaleb(t.scale))
    width = 4 if t.size <= 9 else 8 if t.size <= 19 else 12 if t.size <= 28 else 16
    return _b(bytes([0 if d.is_signed() else 1]) + n.to_bytes(width, 'little'))


def _encode_money(t: Type, v: Any) -> bytes:
    n = int(decimal.Decimal(store(t, v)).scaleb(4))
    if t.name == 'smallmoney':
        return _b(struct.pack('<i', n))
    return _b(struct.pack('<iI', n >> 32, n & 0xffffffff))


def _encode_moment(t: Type, v: str) -> bytes:
    day, ticks, offset = _split(store(t, v))
    if t.name == 'datetime':
        return _b(struct.pack('<iI', day + _EPOCH - _OLD_EPOCH, (ticks * 3 + 50000) // 100000))
    if t.name == 'smalldatetime':
        return _b(struct.pack('<HH', day + _EPOCH - _OLD_EPOCH, ticks // 600000000))
    if t.name == 'datetimeoffset':  # on the wire in UTC
        day, ticks = divmod(day * 864 * 10**9 + ticks - (offset or 0) * 600000000, 864 * 10**9)
    raw = b''
    if t.name != 'date':
        raw += (ticks // 10 ** (7 - t.scale)).to_bytes(3 if t.scale <= 2 else 4 if t.scale <= 4 else 5, 'little')
    if t.name != 'time':
        raw += day.to_bytes(3, 'little')
    return _b(raw + (struct.pack('<h', offset or 0) if t.name == 'datetimeoffset' else b''))


def _raw(t: Type, v: Any) -> bytes:
    v = store(t, v) if t.name in ('char', 'nchar', 'binary') else v
    if t.name in ('binary', 'varbinary', 'image'):
        return v if isinstance(v, bytes) else store(t, v)
    text = v if isinstance(v, str) else store(Type('nvarchar', MAX), v)
    return text.encode('utf-16-le', 'surrogatepass') if t.name[0] == 'n' or t.name == 'xml' else text.encode('cp1252', 'replace')


def _encode_long(t: Type, v: Any) -> bytes:
    raw = _raw(t, v)
    if t.name in ('text', 'ntext', 'image'):
        return _b(b'tenon text ptr..') + b'timestam' + struct.pack('<I', len(raw)) + raw
    if t.size == MAX or t.name == 'xml':
        chunks = b''.join(struct.pack('<I', len(raw[i:i + 60000])) + raw[i:i + 60000] for i in range(0, len(raw), 60000))
        return struct.pack('<Q', len(raw)) + chunks + bytes(4)
    return struct.pack('<H', len(raw)) + raw


def _info_sized(code: int, unit: int, text: bool) -> Callable[[Type], bytes]:
    def info(t: Type) -> bytes:
        return bytes([code]) + struct.pack('<H', 0xffff if t.size == MAX else t.size * unit) + (COLLATION if text else b'')
    return info


def _info_scaled(code: int) -> Callable[[Type], bytes]:
    return lambda t: bytes([code, t.scale])


def _info_text(code: int, text: bool) -> Callable[[Type], bytes]:
    return lambda t: bytes([code]) + struct.pack('<I', 0x7fffffff) + (COLLATION if text else b'') + b'\x01' + struct.pack('<H', 0)


_INFO: Dict[str, Callable[[Type], bytes]] = {
    **{n: (lambda t, w=w: bytes([0x26, w])) for n, w in _WIDTH.items()},  # type: ignore[misc]
    'bit': lambda t: b'\x68\x01', 'real': lambda t: b'\x6d\x04', 'float': lambda t: b'\x6d\x08',
    'smallmoney': lambda t: b'\x6e\x04', 'money': lambda t: b'\x6e\x08', 'smalldatetime': lambda t: b'\x6f\x04', 'datetime': lambda t: b'\x6f\x08',
    'decimal': lambda t: bytes([0x6c, 5 if t.size <= 9 else 9 if t.size <= 19 else 13 if t.size <= 28 else 17, t.size, t.scale]),
    'uniqueidentifier': lambda t: b'\x24\x10', 'date': lambda t: b'\x28',
    'time': _info_scaled(0x29), 'datetime2': _info_scaled(0x2a), 'datetimeoffset': _info_scaled(0x2b),
    'varchar': _info_sized(0xa7, 1, True), 'char': _info_sized(0xaf, 1, True), 'nvarchar': _info_sized(0xe7, 2, True),
    'nchar': _info_sized(0xef, 2, True), 'varbinary': _info_sized(0xa5, 1, False), 'binary': _info_sized(0xad, 1, False),
    'text': _info_text(0x23, True), 'ntext': _info_text(0x63, True), 'image': _info_text(0x22, False), 'xml': lambda t: b'\xf1\x00',
}
_ENCODE: Dict[str, Callable[[Type, Any], bytes]] = {
    **{n: _encode_int for n in _WIDTH}, 'bit': lambda t, v: _b(bytes([int(v) & 1])),
    'real': lambda t, v: _b(struct.pack('<f', v)), 'float': lambda t, v: _b(struct.pack('<d', v)),
    'money': _encode_money, 'smallmoney': _encode_money, 'decimal': _encode_decimal,
    'uniqueidentifier': lambda t, v: _b(uuid.UUID(v).bytes_le),
    **{n: _encode_moment for n in ('date', 'time', 'datetime', 'smalldatetime', 'datetime2', 'datetimeoffset')},
}


def info(t: Type) -> bytes:
    """TYPE_INFO."""
    return _INFO[t.name](t)


def encode(t: Type, v: Any) -> bytes:
    """A value of ROW, or of RETURNVALUE."""
    if v is None:
        if t.name in ('text', 'ntext', 'image') or t.name not in _SIZED + ('xml',):
            return b'\x00'
        return b'\xff' * (8 if t.size == MAX or t.name == 'xml' else 2)
    return _ENCODE.get(t.name, _encode_long)(t, v)


# ---- parameters of RPC -------------------------------------------------------------------------------------


class Reader:
    """Bytes from the front; a short packet is a ValueError."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if n < 0 or self.at + n > len(self.data):
            raise ValueError('the packet ends too early')
        self.at += n
        return self.data[self.at - n:self.at]

    def num(self, n: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(n), 'little', signed=signed)

    def text(self, units: int) -> str:
        return self.take(units * 2).decode('utf-16-le', 'surrogatepass')

    def left(self) -> int:
        return len(self.data) - self.at


_BY_CODE = {0xa7: 'varchar', 0xaf: 'char', 0xe7: 'nvarchar', 0xef: 'nchar', 0xa5: 'varbinary', 0xad: 'binary',
            0x23: 'text', 0x63: 'ntext', 0x22: 'image', 0x29: 'time', 0x2a: 'datetime2', 0x2b: 'datetimeoffset'}


def _chunks(r: Reader) -> Optional[bytes]:
    total, out = r.num(8), b''
    if total == 2**64 - 1:
        return None
    while True:
        n = r.num(4)
        if n == 0:
            return out
        out += r.take(n)


def _decode_moment(t: Type, raw: bytes) -> str:
    if t.name == 'datetime':
        day, n = struct.unpack('<iI', raw)
        return store(t, _moment(day + _OLD_EPOCH - _EPOCH, n * 10**7 // 300))
    if t.name == 'smalldatetime':
        day, n = struct.unpack('<HH', raw)
        return _moment(day + _OLD_EPOCH - _EPOCH, n * 600000000)
    offset, ticks = 0, 0
    if t.name == 'datetimeoffset':
        offset = struct.unpack('<h', raw[-2:])[0]
        raw = raw[:-2]
    if t.name != 'date':
        width = 3 if t.scale <= 2 else 4 if t.scale <= 4 else 5
        ticks = int.from_bytes(raw[:width], 'little') * 10 ** (7 - t.scale)
        raw = raw[width:]
    day = int.from_bytes(raw, 'little')
    day, ticks = divmod(day * 864 * 10**9 + ticks + offset * 600000000, 864 * 10**9)
    zone = ' %s%02d:%02d' % ('-' if offset < 0 else '+', abs(offset) // 60, abs(offset) % 60)
    text = _moment(day, ticks)
    return text[:10] if t.name == 'date' else text[11:] if t.name == 'time' else text + (zone if t.name == 'datetimeoffset' else '')


def _param_fixed(code: int, r: Reader) -> Tuple[Type, Any]:
    """Types with a length byte before the value."""
    if code in (0x6a, 0x6c):
        r.num(1)
        t = Type('decimal', r.num(1), r.num(1))
    elif code in (0x28, 0x29, 0x2a, 0x2b):
        t = Type('date') if code == 0x28 else Type(_BY_CODE[code], 0, r.num(1))
    else:
        width = r.num(1)
        t = Type({0x26: {1: 'tinyint', 2: 'smallint', 4: 'int', 8: 'bigint'}, 0x68: {1: 'bit'}, 0x6d: {4: 'real', 8: 'float'},
                  0x6e: {4: 'smallmoney', 8: 'money'}, 0x6f: {4: 'smalldatetime', 8: 'datetime'}, 0x24: {16: 'uniqueidentifier'}}[code][width])
    raw = r.take(r.num(1))
    if not raw:
        return t, None
    if t.name in _RANGES:
        return t, int.from_bytes(raw, 'little', signed=t.name not in ('tinyint', 'bit'))
    if t.name == 'decimal':
        n = int.from_bytes(raw[1:], 'little') * (1 if raw[0] else -1)
        with decimal.localcontext() as c:
            c.prec = 80
            return t, '{:f}'.format(decimal.Decimal(n).scaleb(-t.scale))
    if t.name in ('float', 'real'):
        return t, struct.unpack('<d' if t.name == 'float' else '<f', raw)[0]
    if t.name in ('money', 'smallmoney'):
        n = struct.unpack('<i', raw)[0] if len(raw) == 4 else (struct.unpack('<i', raw[:4])[0] << 32) + struct.unpack('<I', raw[4:])[0]
        return t, '{:f}'.format(decimal.Decimal(n).scaleb(-4))
    if t.name == 'uniqueidentifier':
        return t, str(uuid.UUID(bytes_le=raw)).upper()
    return t, _decode_moment(t, raw)


_FIXED = {0x30: ('tinyint', 1), 0x32: ('bit', 1), 0x34: ('smallint', 2), 0x38: ('int', 4), 0x7f: ('bigint', 8), 0x3e: ('float', 8)}


def param(r: Reader) -> Tuple[Type, Any]:
    """TYPE_INFO and value of a parameter -> its type and the stored form."""
    code = r.num(1)
    if code in _FIXED:
        name, width = _FIXED[code]
        raw = r.take(width)
        return Type(name), struct.unpack('<d', raw)[0] if name == 'float' else int.from_bytes(raw, 'little', signed=name not in ('bit', 'tinyint'))
    if code == 0x1f:
        return Type('int'), None
    if code not in _BY_CODE or code in (0x29, 0x2a, 0x2b):
        return _param_fixed(code, r)
    name = _BY_CODE[code]
    long = name in ('text', 'ntext', 'image')
    size = r.num(4 if long else 2)
    if name not in ('varbinary', 'binary', 'image'):
        r.take(5)
    raw: Optional[bytes]
    if long:
        n = r.num(4, True)
        raw = None if n < 0 else r.take(n)
    elif size == 0xffff:
        raw = _chunks(r)
    else:
        n = r.num(2)
        raw = None if n == 0xffff else r.take(n)
    t = Type(name, 0 if long else MAX if size == 0xffff else size // (2 if name[0] == 'n' else 1) or 1)
    if raw is None or name in ('varbinary', 'binary', 'image'):
        return t, raw
    return t, raw.decode('utf-16-le', 'surrogatepass') if name[0] == 'n' else raw.decode('cp1252', 'replace')
