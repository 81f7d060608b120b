/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads, byte for byte as RFC 9112 sections 2 to 5 allow them and no other way: a bare line
 * feed, a folded line, a blank before a colon or around the request line's parts is refused. */
#include "plugins/frontend_h1/parse.h"
#include <string.h>

#define EMPTY_LINES 4 /* before a request line; RFC 9112 section 2.2 asks for at least one */

enum scan_result scan_head(struct scan *s, const char *p, size_t n, struct message *m)
{
    const struct http_conf *conf = m->conf;
    size_t line_max = (size_t)conf->max_request_line.n + 32; /* method, version, blanks */
    size_t max = line_max + (size_t)conf->max_header_bytes.n + 4;
    if (s->at == 0 && n > 0 && p[0] != '\r' && !text_is_tchar((unsigned char)p[0])) {
        message_refuse(m, 400, "the request line is malformed");
        return SCAN_BAD;
    }
    for (;;) {
        const char *lf = memchr(p + s->at, '\n', n - s->at);
        if (lf == NULL) {
            s->at = n;
            break;
        }
        size_t i = (size_t)(lf - p);
        s->at = i + 1;
        if (i == s->line || p[i - 1] != '\r') {
            message_refuse(m, 400, "a line of the request head does not end with CR LF");
            return SCAN_BAD;
        }
        if (i - s->line > 1) {
            s->line = s->at;
        } else if (s->line != s->start) {
            s->end = s->at;
            break;
        } else if (s->at > 2 * EMPTY_LINES) {
            message_refuse(m, 400, "there are too many empty lines before the request");
            return SCAN_BAD;
        } else {
            s->start = s->line = s->at;
        }
    }
    if (s->line == s->start && s->at - s->line > line_max) {
        message_refuse(m, 414, "the request target is too long");
        return SCAN_BAD;
    }
    if (s->at - s->start > max) {
        message_refuse(m, 431, "the request has too many or too large header fields");
        return SCAN_BAD;
    }
    return s->end != 0 ? SCAN_HEAD : SCAN_MORE;
}

/* RFC 9112 section 3: method SP target SP version, one blank each. */
static bool request_line(struct head *h, char *p, char *end)
{
    struct message *m = h->msg;
    char *sp = memchr(p, ' ', (size_t)(end - p));
    char *target = sp != NULL ? sp + 1 : end;
    char *sp2 = memchr(target, ' ', (size_t)(end - target));
    char *version = sp2 != NULL ? sp2 + 1 : end;
    if (sp == NULL || sp2 == NULL || sp == p || sp2 == target) {
        message_refuse(m, 400, "the request line is malformed");
        return false;
    }
    if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.' ||
        version[5] < '0' || version[5] > '9' || version[7] < '0' || version[7] > '9') {
        message_refuse(m, 400, "the request line has no version like HTTP/1.1");
        return false;
    }
    if (version[5] != '1' || version[7] > '1') {
        message_refuse(m, 505, "only HTTP/1.0 and HTTP/1.1 are supported");
        return false;
    }
    if ((size_t)(sp2 - target) > (size_t)m->conf->max_request_line.n) {
        message_refuse(m, 414, "the request target is too long");
        return false;
    }
    for (const char *q = p; q < sp; q++) {
        if (!text_is_tchar((unsigned char)*q)) {
            message_refuse(m, 400, "the request method has a character that is not allowed");
            return false;
        }
    }
    if (version[7] == '0') {
        m->req.flags |= TN_REQ_HTTP10;
    }
    *sp2 = '\0';
    m->req.target = (tn_str){target, (size_t)(sp2 - target)};
    return head_method(h, (tn_str){p, (size_t)(sp - p)});
}

/* RFC 9112 section 5: name ":" OWS value OWS. */
static bool field_line(struct head *h, char *p, char *end)
{
    struct message *m = h->msg;
    size_t name_n = text_lower_token(p, (size_t)(end - p));
    if (name_n == 0 || p + name_n == end || p[name_n] != ':') {
        message_refuse(m, 400,
                       name_n == 0 ? "a header name is empty, or a line is folded"
                                   : "a header name has a character that is not allowed");
        return false;
    }
    tn_str value = text_trim((tn_str){p + name_n + 1, (size_t)(end - p) - name_n - 1});
    if (!head_count(h, name_n, value.n)) {
        return false;
    }
    if (text_control(value)) {
        message_refuse(m, 400, "a header value has a control character");
        return false;
    }
    p[name_n] = '\0';
    p[value.s + value.n - p] = '\0'; /* a blank or the CR: the value ends before it */
    head_field(h, (tn_str){p, name_n}, value);
    return true;
}

bool parse_head(const struct scan *s, char *p, struct head *h)
{
    char *at = p + s->start, *end = p + s->end - 2;
    bool first = true;
    while (at < end) {
        char *lf = memchr(at, '\n', (size_t)(end - at));
        if (!(first ? request_line : field_line)(h, at, lf - 1)) {
            return false;
        }
        first = false;
        at = lf + 1;
    }
    return true;
}
