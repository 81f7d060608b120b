/* SPDX-License-Identifier: Apache-2.0 */
/* Answers on the wire: the head is written into the server's buffer while it is validated, a small body
 * behind it, and all of it goes out in one system call. Only what the socket does not take at once is
 * copied. */
#include "plugins/frontend_h1/h1.h"
#include <errno.h>
#include <linux/tcp.h> /* tcpi_bytes_acked is not in netinet/tcp.h */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRONT 128 /* before the headers, for status line and Date */
#define OWN   256 /* behind them, for what this file adds */

/* Lengths of bodies that are not known. */
#define SEND_CHUNKS      UINT64_MAX
#define SEND_UNTIL_CLOSE (UINT64_MAX - 1)

struct rest {
    char *head; /* what was left of the head */
    size_t head_n, at;
    tn_http_reply r; /* body or descriptor, and how to give them back */
    size_t body_at;
    bool body; /* is it sent? */
};

static const struct {
    uint16_t status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

static const char *reason(uint32_t status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

/* ---- composing ------------------------------------------------------------------------------------------ */

/* Names and values are short: two overlapping moves are cheaper than a call. */
static inline char *put(char *p, const char *s, size_t n)
{
    if (n > 64) {
        memcpy(p, s, n);
    } else if (n >= 16) {
        for (size_t i = 0; i + 16 < n; i += 16) {
            memcpy(p + i, s + i, 16);
        }
        memcpy(p + n - 16, s + n - 16, 16);
    } else if (n >= 8) {
        memcpy(p, s, 8);
        memcpy(p + n - 8, s + n - 8, 8);
    } else {
        for (size_t i = 0; i < n; i++) {
            p[i] = s[i];
        }
    }
    return p + n;
}
#define PUT(p, literal) put(p, literal, sizeof literal - 1)

static char *put_number(char *p, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(p, digits + i, sizeof digits - i);
    return p + (sizeof digits - i);
}

/* Made anew once a second (RFC 9110 section 5.6.7). */
static void make_date(struct server *s)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)(s->wall_us / 1000000);
    struct tm tm;
    if ((int64_t)t == s->date_s && s->date_n > 0) {
        return;
    }
    gmtime_r(&t, &tm); /* strftime would ask the locale */
    int n = snprintf(s->date, sizeof s->date, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                     days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], (tm.tm_year + 1900) % 10000,
                     tm.tm_hour, tm.tm_min, tm.tm_sec);
    s->date_n = n > 0 && (size_t)n < sizeof s->date ? (size_t)n : 0;
    s->date_s = (int64_t)t;
}

static char *too_large(tn_str name, tn_err *err)
{
    answer_refused(name, "the headers of the answer are larger than 64 KiB", err);
    return NULL;
}

static inline char *put_line(char *p, tn_str name, tn_str value)
{
    p = put(p, name.s, name.n);
    p = PUT(p, ": ");
    p = put(p, value.s, value.n);
    return PUT(p, "\r\n");
}

static inline bool has_room(const char *p, const char *end, tn_str name, tn_str value)
{
    return name.n <= (size_t)(end - p) && value.n + 4 <= (size_t)(end - p) - name.n;
}

/* The api's headers. NULL: err says which cannot be sent. */
static char *put_headers(char *p, const char *end, struct answer *a, tn_err *err)
{
    uint32_t i = 0;
    for (; i < a->r.nclean && i < a->r.nheaders; i++) {
        tn_str name = a->r.headers[i].name, value = a->r.headers[i].value;
        if (!has_room(p, end, name, value)) {
            return too_large(name, err);
        }
        if (value.n > 0) {
            p = put_line(p, name, value);
        }
    }
    for (; i < a->r.nheaders; i++) {
        tn_str name = a->r.headers[i].name, value = text_trim(a->r.headers[i].value);
        bool usual = answer_usual(name);
        if (name.n == 0 || (!usual && text_token(name.s, name.n) != name.n) ||
            text_control(value)) {
            const char *why = text_header_refused(name, a->r.headers[i].value);
            answer_refused(name, why != NULL ? why : "it is malformed", err);
            return NULL;
        }
        if (!usual) {
            answer_note(a, name, value);
        }
        if (value.n == 0 || (!usual && answer_managed(name))) {
            continue; /* an empty one means the same as none */
        }
        if (!has_room(p, end, name, value)) {
            return too_large(name, err);
        }
        p = put_line(p, name, value);
    }
    return p;
}

/* May the connection live on after this answer? */
static bool is_last(const struct exchange *ex, const struct answer *a)
{
    const struct server *s = ex->server;
    if (!ex->keep || ex->broken || ex->last || s->draining || a->close ||
        (a->r.flags & TN_REPLY_CLOSE)) {
        return true;
    }
    if (ex->reading == READ_DONE) {
        return false;
    }
    /* a body that was not asked for, or is not worth to be read */
    return !ex->continued || (ex->reading == READ_BODY && ex->msg.content_length - ex->received >
                                                              (uint64_t)s->conf->drain_body.n);
}

static char *put_own(char *p, const struct exchange *ex, const struct answer *a, uint64_t length)
{
    if (!a->nosniff) {
        p = PUT(p, "X-Content-Type-Options: nosniff\r\n");
    }
    if (a->add_etag) {
        p = PUT(p, "ETag: ");
        p = put(p, a->etag.s, a->etag.n);
        p = PUT(p, "\r\n");
    }
    if (a->add_vary) {
        p = PUT(p, "Vary: Accept-Encoding\r\n");
    }
    if (a->add_gzip) {
        p = PUT(p, "Content-Encoding: gzip\r\n");
    }
    if (length == SEND_CHUNKS) {
        p = PUT(p, "Transfer-Encoding: chunked\r\n");
    } else if (length != SEND_UNTIL_CLOSE && answer_has_body(a->r.status)) {
        p = PUT(p, "Content-Length: ");
        p = put_number(p, length);
        p = PUT(p, "\r\n");
    }
    if (ex->last) {
        p = PUT(p, "Connection: close\r\n");
    } else if (ex->msg.req.flags & TN_REQ_HTTP10) {
        p = PUT(p, "Connection: keep-alive\r\n");
    }
    return PUT(p, "\r\n");
}

/* Status line and Date in front of the headers at p; returns where the head begins. */
static char *put_front(char *p, struct server *s, const struct answer *a)
{
    const char *text = reason(a->r.status);
    size_t n = strlen(text), date_n = 0;
    if (!a->date) {
        server_now(s);
        make_date(s);
        date_n = s->date_n;
    }
    char *at = p - date_n - n - 15;
    char *q = PUT(at, "HTTP/1.1 ");
    *q++ = (char)('0' + a->r.status / 100);
    *q++ = (char)('0' + a->r.status / 10 % 10);
    *q++ = (char)('0' + a->r.status % 10);
    *q++ = ' ';
    q = put(q, text, n);
    q = PUT(q, "\r\n");
    put(q, s->date, date_n);
    return at;
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

static void give_back(tn_http_reply *r)
{
    if (r->body_free != NULL) {
        r->body_free(r->body_owner);
        r->body_free = NULL;
    }
    if (r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
}

void send_forget(struct exchange *ex)
{
    struct rest *rest = ex->rest;
    if (rest != NULL) {
        ex->rest = NULL;
        give_back(&rest->r);
        free(rest->head);
        free(rest);
    }
}

ssize_t send_bytes(int fd, const struct iovec *iov, size_t n, int flags)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};
    ssize_t done;
    flags |= MSG_NOSIGNAL | MSG_DONTWAIT;
    do {
        done = n == 1 ? send(fd, iov->iov_base, iov->iov_len, flags) : sendmsg(fd, &msg, flags);
    } while (done < 0 && errno == EINTR);
    return done < 0 && errno == EAGAIN ? 0 : done;
}

static ssize_t transmit(int fd, const char *head, size_t head_n, const uint8_t *body, size_t body_n,
                        int more)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)head, head_n}, {(void *)(uintptr_t)body, body_n}};
    return send_bytes(fd, iov, body_n > 0 ? 2 : 1, more);
}

/* false: the connection is broken, or the file is shorter than it was said to be. */
static bool send_file(int fd, tn_http_reply *r)
{
    while (r->fd_len > 0) {
        off_t off = (off_t)r->fd_off;
        size_t want = r->fd_len < (1u << 30) ? (size_t)r->fd_len : (size_t)1 << 30;
        ssize_t n = sendfile(fd, r->fd, &off, want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        r->fd_off += (uint64_t)n;
        r->fd_len -= (uint64_t)n;
    }
    return true;
}

enum sent send_more(struct exchange *ex)
{
    struct rest *rest = ex->rest;
    tn_http_reply *r = &rest->r;
    int fd = ex->conn->fd;
    size_t left = rest->body && r->fd < 0 ? r->body_len - rest->body_at : 0;
    if (rest->at < rest->head_n || left > 0) {
        size_t head = rest->head_n - rest->at;
        ssize_t n = transmit(fd, rest->head + rest->at, head, r->body + rest->body_at, left,
                             rest->body && r->fd >= 0 ? MSG_MORE : 0);
        if (n < 0) {
            return SEND_FAILED;
        }
        size_t of_head = (size_t)n < head ? (size_t)n : head;
        rest->at += of_head;
        rest->body_at += (size_t)n - of_head;
        if ((size_t)n < head + left) {
            return SEND_REST;
        }
    }
    if (rest->body && r->fd >= 0) {
        if (!send_file(fd, r)) {
            return SEND_FAILED;
        }
        if (r->fd_len > 0) {
            return SEND_REST;
        }
    }
    send_forget(ex);
    return SEND_ALL;
}

/* Keeps what the socket did not take. */
static struct rest *keep_rest(struct answer *a, const char *head, size_t n, size_t body_at,
                              bool body)
{
    struct rest *rest = calloc(1, sizeof *rest);
    char *copy = n > 0 ? malloc(n) : NULL;
    if (rest == NULL || (n > 0 && copy == NULL)) {
        free(rest);
        free(copy);
        return NULL;
    }
    if (n > 0) {
        memcpy(copy, head, n);
    }
    rest->head = copy;
    rest->head_n = n;
    rest->r = a->r;
    rest->body_at = body_at;
    rest->body = body;
    return rest;
}

static enum sent send_now(struct exchange *ex, struct answer *a, char *head, char *end, bool body)
{
    struct server *s = ex->server;
    tn_http_reply *r = &a->r;
    bool file = body && r->fd >= 0 && r->fd_len > 0;
    size_t n = (size_t)(end - head), more = body && !file ? r->body_len : 0;
    if (more > 0 && more <= (size_t)(s->out + SEND_BUF - end)) {
        memcpy(end, r->body, more);
        n += more;
        more = 0;
    }
    ssize_t done = transmit(ex->conn->fd, head, n, r->body, more, file ? MSG_MORE : 0);
    if (done < 0 || ((size_t)done == n + more && !file)) {
        give_back(r);
        return done < 0 ? SEND_FAILED : SEND_ALL;
    }
    size_t of_head = (size_t)done < n ? (size_t)done : n;
    /* a body that was copied behind the head is part of it now */
    bool separate = more > 0 || file;
    ex->rest = keep_rest(a, head + of_head, n - of_head, (size_t)done - of_head, separate);
    if (ex->rest == NULL) {
        give_back(r);
        return SEND_FAILED;
    }
    return file ? send_more(ex) : SEND_REST;
}

/* Writes a head into the server's buffer, up to the headers that send_own() adds. NULL: err says why
 * not. */
static char *put_given(struct server *s, struct answer *a, const tn_http_reply *given, tn_err *err)
{
    return answer_init(a, given, err) == TN_OK
               ? put_headers(s->out + FRONT, s->out + SEND_HEAD - OWN, a, err)
               : NULL;
}

static bool is_head(const struct exchange *ex)
{
    tn_str method = ex->msg.req.method;
    return method.n == 4 && memcmp(method.s, "HEAD", 4) == 0;
}

tn_rc send_answer(struct exchange *ex, const tn_http_reply *given, enum sent *ret, tn_err *err)
{
    struct server *s = ex->server;
    struct answer a;
    char *end = put_given(s, &a, given, err);
    if (end == NULL) {
        answer_drop(given);
        return TN_E_INVAL;
    }
    answer_settle(&a, &ex->msg);
    if ((a.r.flags & TN_REPLY_DELETE) && a.r.fd >= 0 && a.r.fd_path != NULL) {
        unlink(a.r.fd_path); /* the open descriptor keeps the bytes */
    }
    ex->last = is_last(ex, &a);
    end = put_own(end, ex, &a, a.r.fd >= 0 ? a.r.fd_len : a.r.body_len);
    char *begin = put_front(s->out + FRONT, s, &a);
    *ret = send_now(ex, &a, begin, end, answer_has_body(a.r.status) && !is_head(ex));
    return TN_OK;
}

tn_rc send_stream_head(struct exchange *ex, const tn_http_reply *given, tn_str *ret, bool *ret_body,
                       tn_err *err)
{
    struct server *s = ex->server;
    struct answer a;
    char *end = put_given(s, &a, given, err);
    if (end == NULL) {
        return TN_E_INVAL;
    }
    if (!answer_has_body(given->status)) {
        return fe_host->fail(err, TN_E_INVAL, "status %u has no body to stream", given->status);
    }
    bool old = ex->msg.req.flags & TN_REQ_HTTP10;
    *ret_body = !is_head(ex);
    ex->last = is_last(ex, &a) || (old && *ret_body);
    end = put_own(end, ex, &a, old ? SEND_UNTIL_CLOSE : SEND_CHUNKS);
    char *begin = put_front(s->out + FRONT, s, &a);
    *ret = (tn_str){begin, (size_t)(end - begin)};
    return TN_OK;
}

bool send_continue(struct exchange *ex)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t n = sizeof text - 1;
    return transmit(ex->conn->fd, text, n, NULL, 0, 0) == (ssize_t)n;
}

/* A window ends when enough was acknowledged in it; one that takes longer than the limit is too slow. So a byte
 * now and then does not hold a connection. */
bool send_progress(struct exchange *ex, uint64_t now, uint64_t limit_ns)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(ex->conn->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
        (info.tcpi_bytes_acked - ex->acked >= http_send_least(ex->server->conf) ||
         ex->acked_ns == 0)) {
        ex->acked = info.tcpi_bytes_acked;
        ex->acked_ns = now;
    }
    return now - ex->acked_ns <= limit_ns;
}
