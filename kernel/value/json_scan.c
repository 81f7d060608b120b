/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON validation in one pass without a tree and without allocation (RFC 8259). */
#include "kernel/value/json.h"
#include "kernel/base/err.h"
#include "kernel/value/json_text.h"

#include <endian.h>
#include <string.h>

/* Up to this many members duplicates are found by comparing; beyond it by a hash table, which costs
 * 64 KiB of stack and is therefore a second, rare, attempt. */
#define SCAN_NARROW 16
#define SCAN_SLOTS  32768u /* power of two, > 3 * JSON_MAX_KEYS */
#define SCAN_WIDEN  ((tn_rc)1)
_Static_assert(SCAN_SLOTS > 3 * JSON_MAX_KEYS && JSON_MAX_KEYS < UINT16_MAX, "slots are 16 bit");

struct scan {
    const char *start, *p, *end;
    tn_err *err;
    tn_json_member *members;
    uint32_t cap, n;
    uint16_t *slots; /* NULL: narrow */
    uint32_t depth;
    uint64_t objects;                  /* bit d - 1: the container at depth d is an object */
    uint16_t keys[JSON_MAX_DEPTH + 1]; /* keys seen in the object at each depth */
};

static tn_rc fail(const struct scan *s, const char *at, const char *what)
{
    size_t offset = (size_t)(at - s->start);
    if (at >= s->end) {
        return err_set(s->err, TN_E_INVAL, "JSON ends at byte %zu: %s", offset, what);
    }
    unsigned c = (unsigned char)*at;
    if (c >= 0x20 && c < 0x7f) {
        return err_set(s->err, TN_E_INVAL, "JSON is wrong at byte %zu ('%c'): %s", offset, (int)c,
                       what);
    }
    return err_set(s->err, TN_E_INVAL, "JSON is wrong at byte %zu (0x%02x): %s", offset, c, what);
}

static inline const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* s->p is behind a backslash. */
static tn_rc scan_escape(struct scan *s)
{
    const char *at = s->p - 1;
    uint32_t u, low;
    if (s->p >= s->end) {
        return fail(s, s->end, "a string is not closed");
    }
    switch (*s->p++) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return TN_OK;
    case 'u':
        break;
    default:
        return fail(s, s->p - 1, "this character cannot be escaped");
    }
    if (json_hex4(s->p, s->end, &u) < 0) {
        return fail(s, at, "\\u needs four hexadecimal digits");
    }
    s->p += 4;
    if (u < 0xd800 || u > 0xdfff) {
        return TN_OK;
    }
    if (u > 0xdbff || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u' ||
        json_hex4(s->p + 2, s->end, &low) < 0 || low < 0xdc00 || low > 0xdfff) {
        return fail(s, at, "half of a surrogate pair");
    }
    s->p += 6;
    return TN_OK;
}

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull
/* Nonzero when one of the eight bytes is a control, '"', '\\' or not ASCII; its lowest set bit is
 * then in the first such byte (borrows only travel upwards). */
static inline uint64_t special8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    w = le64toh(w);
    uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
    return (w | (w - ONES * 0x20) | (quote - ONES) | (slash - ONES)) & HIGHS;
}

/* s->p is behind the opening quote; leaves it behind the closing one. */
static tn_rc scan_string(struct scan *s, int *ret_escaped)
{
    const char *p = s->p;
    for (;;) {
        while (s->end - p >= 8) {
            uint64_t special = special8(p);
            if (special) {
                p += __builtin_ctzll(special) >> 3;
                break;
            }
            p += 8;
        }
        if (p >= s->end) {
            return fail(s, s->end, "a string is not closed");
        }
        unsigned c = (unsigned char)*p;
        if (c == '"') {
            s->p = p + 1;
            return TN_OK;
        }
        if (c == '\\') {
            *ret_escaped = 1;
            s->p = p + 1;
            tn_rc rc = scan_escape(s);
            if (rc) {
                return rc;
            }
            p = s->p;
        } else if (c < 0x20) {
            return fail(s, p, "a control character in a string must be escaped");
        } else if (c < 0x80) {
            p++;
        } else {
            size_t n = json_utf8(p, s->end);
            if (!n) {
                return fail(s, p, "not UTF-8");
            }
            p += n;
        }
    }
}

static inline const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

static tn_rc scan_number(struct scan *s)
{
    const char *p = s->p + (*s->p == '-'), *from = p;
    p = digits(p, s->end);
    if (p == from) {
        return fail(s, p, "a digit is missing");
    }
    if (*from == '0' && p - from > 1) {
        return fail(s, from, "a number must not start with 0");
    }
    if (p < s->end && *p == '.') {
        from = ++p;
        if ((p = digits(p, s->end)) == from) {
            return fail(s, p, "a digit is missing after the point");
        }
    }
    if (p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < s->end && (*p == '+' || *p == '-');
        from = p;
        if ((p = digits(p, s->end)) == from) {
            return fail(s, p, "a digit is missing in the exponent");
        }
    }
    s->p = p;
    return TN_OK;
}

static tn_rc scan_word(struct scan *s, const char *word, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) {
        return fail(s, s->p, "expected a value (true, false and null are the only words)");
    }
    s->p += n;
    return TN_OK;
}

/* The slot of `m` among the members: its equal, or the first free one. */
static uint32_t find_member(struct scan *s, const tn_json_member *m, uint16_t **ret_slot)
{
    if (!s->slots) {
        for (uint32_t i = 0; i < s->n; i++) {
            if (json_key_eq(&s->members[i], m)) {
                return i;
            }
        }
        *ret_slot = NULL;
        return s->n;
    }
    for (uint32_t h = (uint32_t)json_key_hash(m);; h++) {
        uint16_t *slot = &s->slots[h & (SCAN_SLOTS - 1)];
        if (!*slot || json_key_eq(&s->members[*slot - 1], m)) {
            *ret_slot = slot;
            return *slot ? *slot - 1u : s->n;
        }
    }
}

/* One member of the outermost object is complete. */
static tn_rc take_member(struct scan *s, const tn_json_member *m)
{
    uint16_t *slot = NULL;
    if (!s->cap) {
        return TN_OK;
    }
    uint32_t i = find_member(s, m, &slot);
    if (i < s->n) { /* the last one wins, in its own place */
        s->members[i].value = m->value;
        s->members[i].kind = m->kind;
        return TN_OK;
    }
    if (s->n == s->cap) {
        return TN_OK;
    }
    if (!s->slots && s->n == SCAN_NARROW) {
        return SCAN_WIDEN;
    }
    s->members[s->n++] = *m;
    if (slot) {
        *slot = (uint16_t)s->n;
    }
    return TN_OK;
}

static tn_rc open_container(struct scan *s, int object)
{
    if (s->depth == JSON_MAX_DEPTH) {
        return err_set(s->err, TN_E_LIMIT, "JSON is nested deeper than %d levels at byte %zu",
                       JSON_MAX_DEPTH, (size_t)(s->p - s->start));
    }
    uint64_t bit = 1ull << s->depth++;
    s->objects = object ? s->objects | bit : s->objects & ~bit;
    s->keys[s->depth] = 0;
    s->p++;
    return TN_OK;
}

static inline int in_object(const struct scan *s)
{
    return s->depth > 0 && (s->objects >> (s->depth - 1) & 1);
}

/* "key" and the colon; the cursor is at the quote. */
static tn_rc scan_key(struct scan *s, tn_json_member *m)
{
    int escaped = 0;
    const char *raw = s->p;
    if (s->p >= s->end || *s->p != '"') {
        return fail(s, s->p, "expected a key in double quotes");
    }
    if (++s->keys[s->depth] > JSON_MAX_KEYS) {
        return err_set(s->err, TN_E_LIMIT, "JSON object has more than %d keys at byte %zu",
                       JSON_MAX_KEYS, (size_t)(s->p - s->start));
    }
    s->p++;
    tn_rc rc = scan_string(s, &escaped);
    if (rc) {
        return rc;
    }
    if (s->depth == 1) {
        m->flags = escaped ? TN_JSON_KEY_ESCAPED : 0;
        m->key = escaped ? (tn_str){raw, (size_t)(s->p - raw)}
                         : (tn_str){raw + 1, (size_t)(s->p - raw) - 2};
    }
    s->p = skip_blank(s->p, s->end);
    if (s->p >= s->end || *s->p != ':') {
        return fail(s, s->p, "expected ':' after a key");
    }
    s->p = skip_blank(s->p + 1, s->end);
    return TN_OK;
}

/* One scalar, or the opening of a container; the cursor is at its first character. */
static tn_rc scan_value(struct scan *s, uint32_t *ret_kind)
{
    int escaped;
    if (s->p >= s->end) {
        return fail(s, s->end, "a value is missing");
    }
    switch (*s->p) {
    case '"':
        *ret_kind = TN_JSON_STRING;
        s->p++;
        return scan_string(s, &escaped);
    case '{':
        *ret_kind = TN_JSON_OBJECT;
        return open_container(s, 1);
    case '[':
        *ret_kind = TN_JSON_ARRAY;
        return open_container(s, 0);
    case 't':
        *ret_kind = TN_JSON_BOOL;
        return scan_word(s, "true", 4);
    case 'f':
        *ret_kind = TN_JSON_BOOL;
        return scan_word(s, "false", 5);
    case 'n':
        *ret_kind = TN_JSON_NULL;
        return scan_word(s, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        *ret_kind = TN_JSON_NUMBER;
        return scan_number(s);
    default:
        return fail(s, s->p, "expected a value");
    }
}

static tn_rc scan_text(struct scan *s, uint32_t *ret_kind)
{
    tn_json_member m = {0};
    const char *value = NULL; /* start of the outermost member's value */
    uint32_t kind = 0;
    tn_rc rc;
    s->p = skip_blank(s->p, s->end);
    for (;;) {
        int container = 0;
        uint32_t depth = s->depth;
        if (depth == 1) {
            value = s->p;
        }
        if ((rc = scan_value(s, &kind))) {
            return rc;
        }
        if (depth == 0) {
            *ret_kind = kind;
        } else if (depth == 1) {
            m.kind = kind;
        }
        /* Close what is complete, until another value has to follow. */
        container = kind >= TN_JSON_ARRAY;
        for (;;) {
            if (!container && s->depth == 1 && in_object(s)) {
                m.value = (tn_str){value, (size_t)(s->p - value)};
                if ((rc = take_member(s, &m))) {
                    return rc;
                }
            }
            s->p = skip_blank(s->p, s->end);
            if (s->depth == 0) {
                return s->p == s->end ? TN_OK : fail(s, s->p, "text follows the value");
            }
            char close = in_object(s) ? '}' : ']';
            if (s->p < s->end && *s->p == close) {
                s->p++;
                s->depth--;
                container = 0;
                continue;
            }
            if (!container) {
                if (s->p >= s->end || *s->p != ',') {
                    return fail(s, s->p,
                                close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
                }
                s->p = skip_blank(s->p + 1, s->end);
            }
            break;
        }
        if (in_object(s) && (rc = scan_key(s, &m))) {
            return rc;
        }
    }
}

static tn_rc scan_once(tn_str text, uint16_t *slots, uint32_t *ret_kind, tn_json_member *ret,
                       uint32_t cap, uint32_t *ret_n, tn_err *err)
{
    struct scan s;
    const char *start = text.s ? text.s : "";
    s.start = s.p = start;
    s.end = start + text.n;
    s.err = err;
    s.members = ret;
    s.cap = cap;
    s.n = 0;
    s.slots = slots;
    s.depth = 0;
    s.objects = 0;
    uint32_t kind = 0;
    tn_rc rc = scan_text(&s, &kind);
    if (rc == TN_OK) {
        if (ret_kind) {
            *ret_kind = kind;
        }
        if (ret_n) {
            *ret_n = s.n;
        }
    }
    return rc;
}

static __attribute__((noinline)) tn_rc scan_wide(tn_str text, uint32_t *ret_kind,
                                                 tn_json_member *ret, uint32_t cap, uint32_t *ret_n,
                                                 tn_err *err)
{
    uint16_t slots[SCAN_SLOTS];
    memset(slots, 0, sizeof slots);
    return scan_once(text, slots, ret_kind, ret, cap, ret_n, err);
}

tn_rc json_scan(tn_str text, uint32_t *ret_kind, tn_json_member *ret, uint32_t cap, uint32_t *ret_n,
                tn_err *err)
{
    tn_rc rc = scan_once(text, NULL, ret_kind, ret, ret ? cap : 0, ret_n, err);
    return rc == SCAN_WIDEN ? scan_wide(text, ret_kind, ret, cap, ret_n, err) : rc;
}
