/* SPDX-License-Identifier: Apache-2.0 */
/* multipart/form-data, parsed as it arrives. The only things that are kept are the headers of the
 * current part and as many bytes as a boundary is long. */
#include "plugins/http_common/multipart.h"
#include <stdlib.h>
#include <string.h>

enum state {
    START,   /* before the first boundary: the preamble is thrown away */
    AFTER,   /* a boundary was just read: CRLF begins a part, "--" ends the body */
    HEADERS, /* collecting header lines until the empty one */
    DATA,    /* content, looking for CRLF "--" boundary */
    DONE,    /* after the last boundary: the epilogue is ignored */
};
struct multipart {
    const struct multipart_events *events;
    void *user;
    enum state state;
    bool failed;
    size_t mark_n; /* of mark: CRLF "--" boundary */
    char mark[4 + MP_BOUNDARY_MAX];
    size_t matched;                       /* bytes of mark seen, not yet content */
    size_t next[4 + MP_BOUNDARY_MAX + 1]; /* KMP failure function of mark */
    char after[4];
    size_t after_n; /* what came after a boundary */
    size_t head_n;
    char head[MP_HEADER_MAX];
    char name[MP_NAME_MAX], file[MP_NAME_MAX], star[MP_NAME_MAX];
};

static bool refuse(struct multipart *m, struct text_refusal *why, uint32_t status, const char *text)
{
    m->failed = true;
    *why = (struct text_refusal){status, text};
    return false;
}

/* RFC 2046: 1 to 70 of these characters, no blank at the end. */
static bool boundary_ok(tn_str b)
{
    if (b.n == 0 || b.n > MP_BOUNDARY_MAX || b.s[b.n - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < b.n; i++) {
        unsigned char c = (unsigned char)b.s[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!alnum && (c == 0 || strchr("'()+_,-./:=? ", c) == NULL)) {
            return false;
        }
    }
    return true;
}

struct multipart *multipart_create(tn_str type, const struct multipart_events *events, void *user,
                                   struct text_refusal *why)
{
    static const char form[] = "multipart/form-data";
    size_t n = sizeof form - 1;
    if (type.n < n || !text_equal_ci((tn_str){type.s, n}, form) ||
        (type.n > n && type.s[n] != ';' && type.s[n] != ' ' && type.s[n] != '\t')) {
        *why = (struct text_refusal){415, "the body is not multipart/form-data"};
        return NULL;
    }
    tn_str b = text_param(type, "boundary");
    if (b.s == NULL || !boundary_ok(b)) {
        *why = (struct text_refusal){400, "multipart/form-data without a usable boundary"};
        return NULL;
    }
    struct multipart *m = calloc(1, sizeof *m);
    if (m == NULL) {
        *why = (struct text_refusal){503, "no memory for the multipart body"};
        return NULL;
    }
    m->events = events;
    m->user = user;
    memcpy(m->mark, "\r\n--", 4);
    memcpy(m->mark + 4, b.s, b.n);
    m->mark_n = b.n + 4;
    for (size_t i = 1, k = 0; i < m->mark_n; i++) {
        while (k > 0 && m->mark[i] != m->mark[k]) {
            k = m->next[k];
        }
        k += m->mark[i] == m->mark[k];
        m->next[i + 1] = k;
    }
    m->matched = 2; /* the first boundary needs no line break before it */
    return m;
}

void multipart_destroy(struct multipart *m)
{
    free(m);
}

/* ---- headers of a part --------------------------------------------------------------------------------- */

/* Value of `;name=` in a Content-Disposition as browsers write it: a quoted string in which \" and
 * \\ are escapes and any other backslash is itself (old browsers send C:\dir\file), or a token.
 * -1: absent, -2: too long or broken. */
static int disposition_param(tn_str line, const char *want, char *out)
{
    size_t i = 0;
    while (i < line.n && line.s[i] != ';') {
        i++;
    }
    while (i < line.n) {
        i++; /* the semicolon */
        while (i < line.n && (line.s[i] == ' ' || line.s[i] == '\t')) {
            i++;
        }
        size_t from = i, n = 0;
        while (i < line.n && line.s[i] != '=' && line.s[i] != ';') {
            i++;
        }
        bool hit = text_equal_ci(text_trim((tn_str){line.s + from, i - from}), want);
        if (i == line.n || line.s[i] == ';') {
            continue;
        }
        i++; /* the equals sign */
        while (i < line.n && (line.s[i] == ' ' || line.s[i] == '\t')) {
            i++;
        }
        bool quoted = i < line.n && line.s[i] == '"', closed = !quoted;
        for (i += quoted; i < line.n; i++) {
            char c = line.s[i];
            if (quoted && c == '"') {
                closed = true;
                i++;
                break;
            }
            if (!quoted && c == ';') {
                break;
            }
            if (quoted && c == '\\' && i + 1 < line.n &&
                (line.s[i + 1] == '"' || line.s[i + 1] == '\\')) {
                c = line.s[++i];
            }
            if (hit && n == MP_NAME_MAX) {
                return -2;
            }
            if (hit) {
                out[n++] = c;
            }
        }
        if (hit) {
            while (!quoted && n > 0 && (out[n - 1] == ' ' || out[n - 1] == '\t')) {
                n--;
            }
            return closed ? (int)n : -2;
        }
        while (i < line.n && line.s[i] != ';') {
            i++;
        }
    }
    return -1;
}

/* filename*=UTF-8''percent%20encoded (RFC 8187). Returns the decoded length or -1. */
static int extended_value(char *s, int n)
{
    int i = 0, marks = 0, w = 0;
    while (i < n && marks < 2) {
        marks += s[i++] == '\'';
    }
    if (marks < 2 || i < 7 || !text_equal_ci((tn_str){s, 6}, "utf-8'")) {
        return -1;
    }
    for (; i < n; i++, w++) {
        s[w] = s[i];
        if (s[i] == '%') {
            int hi = i + 2 < n ? text_hex((unsigned char)s[i + 1]) : -1;
            int lo = i + 2 < n ? text_hex((unsigned char)s[i + 2]) : -1;
            if (hi < 0 || lo < 0) {
                return -1;
            }
            s[w] = (char)(hi << 4 | lo);
            i += 2;
        }
    }
    return w;
}

tn_str multipart_base_name(tn_str name)
{
    for (size_t i = name.n; i > 0; i--) {
        if (name.s[i - 1] == '/' || name.s[i - 1] == '\\') {
            return (tn_str){name.s + i, name.n - i};
        }
    }
    return name;
}

static bool clean_text(tn_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.s[i];
        if (c < 0x20 || c == 0x7F) {
            return false;
        }
    }
    return text_utf8_ok(s.s, s.n);
}

static bool read_disposition(struct multipart *m, tn_str value, struct multipart_head *h,
                             struct text_refusal *why)
{
    size_t n = 0;
    while (n < value.n && value.s[n] != ';') {
        n++;
    }
    if (!text_equal_ci(text_trim((tn_str){value.s, n}), "form-data")) {
        return refuse(m, why, 400, "a part is not form-data");
    }
    int name = disposition_param(value, "name", m->name);
    int file = disposition_param(value, "filename", m->file);
    int star = disposition_param(value, "filename*", m->star);
    if (name < 0 || file == -2 || star == -2) {
        return refuse(m, why, 400, "a part has no name, or a name that is broken or too long");
    }
    h->name = (tn_str){m->name, (size_t)name};
    if (star >= 0) {
        star = extended_value(m->star, star);
        if (star < 0) {
            return refuse(m, why, 400, "a part has a broken filename*");
        }
        h->filename = multipart_base_name((tn_str){m->star, (size_t)star});
    } else if (file >= 0) {
        h->filename = multipart_base_name((tn_str){m->file, (size_t)file});
    }
    if (!clean_text(h->name) || (h->filename.s != NULL && !clean_text(h->filename))) {
        return refuse(m, why, 400, "a part's name is not UTF-8 text without control characters");
    }
    return true;
}

/* All header lines of a part are in m->head, the last CRLF included. */
static bool read_head(struct multipart *m, struct text_refusal *why)
{
    struct multipart_head h = {.type = {"", 0}, .encoding = TN_STR("7bit")};
    tn_str rest = {m->head, m->head_n};
    bool named = false;
    while (rest.n > 0) {
        const char *end = memchr(rest.s, '\n', rest.n);
        size_t n = end != NULL ? (size_t)(end - rest.s) : rest.n;
        if (end == NULL || n == 0 || rest.s[n - 1] != '\r') {
            return refuse(m, why, 400, "a part's header line does not end in CRLF");
        }
        tn_str line = {rest.s, n - 1};
        rest.s += n + 1;
        rest.n -= n + 1;
        if (line.n == 0) {
            continue;
        }
        const char *colon = memchr(line.s, ':', line.n);
        tn_str name = {line.s, colon != NULL ? (size_t)(colon - line.s) : 0};
        tn_str value = {colon != NULL ? colon + 1 : "", colon != NULL ? line.n - name.n - 1 : 0};
        value = text_trim(value);
        for (size_t i = 0; i < value.n; i++) {
            unsigned char c = (unsigned char)value.s[i];
            if ((c < 0x20 && c != '\t') || c == 0x7F) {
                return refuse(m, why, 400, "a part has a control character in its headers");
            }
        }
        if (name.n == 0 || text_header_refused(name, TN_STR("")) != NULL) {
            return refuse(m, why, 400, "a part has a malformed header");
        }
        if (text_equal_ci(name, "content-disposition")) {
            if (named || !read_disposition(m, value, &h, why)) {
                return named ? refuse(m, why, 400, "a part has two Content-Disposition") : false;
            }
            named = true;
        } else if (text_equal_ci(name, "content-type")) {
            h.type = value;
        } else if (text_equal_ci(name, "content-transfer-encoding")) {
            h.encoding = value;
        }
    }
    if (!named) {
        return refuse(m, why, 400, "a part has no Content-Disposition");
    }
    if (!m->events->begin(m->user, &h, why)) {
        m->failed = true;
        return false;
    }
    return true;
}

/* ---- the machine ------------------------------------------------------------------------------------------ */

/* Emits the first `n` bytes of what was held back (which equals the start of the mark) followed by p. */
static bool emit(struct multipart *m, size_t held, const char *p, size_t n,
                 struct text_refusal *why)
{
    size_t old = n < held ? n : held;
    if (m->state != DATA) {
        return true; /* the preamble */
    }
    if ((old > 0 && !m->events->data(m->user, m->mark, old, why)) ||
        (n > old && !m->events->data(m->user, p, n - old, why))) {
        m->failed = true;
        return false;
    }
    return true;
}

/* Content (or preamble) until a boundary; returns the bytes used, or SIZE_MAX when refused. */
static size_t scan(struct multipart *m, const char *p, size_t n, struct text_refusal *why)
{
    size_t held = m->matched, k = held;
    for (size_t i = 0; i < n; i++) {
        if (k == 0) {
            const char *cr = memchr(p + i, '\r', n - i);
            if (cr == NULL) {
                break;
            }
            i = (size_t)(cr - p);
        }
        while (k > 0 && p[i] != m->mark[k]) {
            k = m->next[k];
        }
        k += p[i] == m->mark[k];
        if (k < m->mark_n) {
            continue;
        }
        if (!emit(m, held, p, held + i + 1 - m->mark_n, why)) {
            return SIZE_MAX;
        }
        if (m->state == DATA && !m->events->end(m->user, why)) {
            m->failed = true;
            return SIZE_MAX;
        }
        m->after_n = 0;
        m->state = AFTER;
        return i + 1;
    }
    m->matched = k;
    return emit(m, held, p, held + n - k, why) ? n : SIZE_MAX;
}

static size_t after_boundary(struct multipart *m, const char *p, size_t n, struct text_refusal *why)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (m->after_n == 0 && (c == ' ' || c == '\t')) {
            continue; /* transport padding, RFC 2046 section 5.1.1 */
        }
        m->after[m->after_n++] = c;
        if (m->after_n < 2) {
            continue;
        }
        if (m->after[0] == '-' && m->after[1] == '-') {
            m->state = DONE;
        } else if (m->after[0] == '\r' && m->after[1] == '\n') {
            m->state = HEADERS;
            m->head_n = 0;
        } else {
            refuse(m, why, 400, "a boundary is followed by something else than a line break");
            return SIZE_MAX;
        }
        return i + 1;
    }
    return n;
}

static size_t headers(struct multipart *m, const char *p, size_t n, struct text_refusal *why)
{
    for (size_t i = 0; i < n; i++) {
        if (m->head_n == MP_HEADER_MAX) {
            refuse(m, why, 400, "the headers of a part are too large");
            return SIZE_MAX;
        }
        m->head[m->head_n++] = p[i];
        bool empty = m->head_n == 2 && memcmp(m->head, "\r\n", 2) == 0;
        if (empty || (m->head_n >= 4 && memcmp(m->head + m->head_n - 4, "\r\n\r\n", 4) == 0)) {
            if (!read_head(m, why)) {
                return SIZE_MAX;
            }
            m->state = DATA;
            m->matched = 0;
            return i + 1;
        }
    }
    return n;
}

bool multipart_feed(struct multipart *m, const char *p, size_t n, struct text_refusal *why)
{
    if (m->failed) {
        return refuse(m, why, 400, "the multipart body was refused already");
    }
    while (n > 0) {
        size_t used;
        switch (m->state) {
        case START:
        case DATA:
            used = scan(m, p, n, why);
            break;
        case AFTER:
            used = after_boundary(m, p, n, why);
            break;
        case HEADERS:
            used = headers(m, p, n, why);
            break;
        default:
            return true;
        }
        if (used == SIZE_MAX) {
            return false;
        }
        p += used;
        n -= used;
    }
    return true;
}

bool multipart_finish(struct multipart *m, struct text_refusal *why)
{
    if (m->failed) {
        return refuse(m, why, 400, "the multipart body was refused already");
    }
    return m->state == DONE ? true : refuse(m, why, 400, "the multipart body ends too early");
}
