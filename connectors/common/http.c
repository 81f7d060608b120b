/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP connections: their life, and what libcurl is told before a request. */
#include "common/http_inner.h"
#include "common/label.h"

#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOKED_NS 60000000000u /* how long an address is believed */

const char *const http_protocols[] = {"http", "https", NULL};
const char *const http_tls_modes[] = {"auto", "on", "unverified", "off", NULL};

static int given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* ---- life -------------------------------------------------------------------------------------------- */

tn_rc http_attach(const tn_host *host, tn_err *err)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
               ? TN_OK
               : host->fail(err, TN_E_UNSUPP, "libcurl does not start");
}

void http_detach(void)
{
    curl_global_cleanup();
}

tn_rc http_open(const tn_host *host, const struct http_conf *conf, struct http **ret, tn_err *err)
{
    tn_rc rc = http_check_conf(host, conf, err);
    struct http *h = rc == TN_OK ? calloc(1, sizeof *h) : NULL;
    if (rc != TN_OK) {
        return rc;
    }
    if (h == NULL) {
        return host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    h->host = host;
    h->conf = conf;
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (h->multi == NULL || h->easy == NULL ||
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 8L) != CURLM_OK) {
        http_close(h);
        return host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    *ret = h;
    return TN_OK;
}

void http_close(struct http *h)
{
    if (h == NULL) {
        return;
    }
    http_stop(h);
    curl_easy_cleanup(h->easy);
    curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    curl_slist_free_all(h->addresses);
    grow_free(&h->own);
    grow_free(&h->in);
    grow_free(&h->kept);
    free(h);
}

void http_cancel(struct http *h)
{
    if (atomic_load(&h->working)) {
        atomic_store(&h->canceled, true);
        curl_multi_wakeup(h->multi);
    }
}

/* ---- what libcurl calls ------------------------------------------------------------------------------ */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http *h = arg;
    size_t bytes = size * n;
    h->headers_done = true;
    if (h->pull && h->in.n - h->in_off >= HTTP_PULL_HIGH) {
        h->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    struct grow *to = h->pull ? &h->in : &h->reply->body;
    if (h->pull && h->in_off == h->in.n) {
        grow_clear(&h->in);
        h->in_off = 0;
    }
    grow_put(to, p, bytes);
    h->stop = to->rc == TN_OK ? h->stop : to->rc == TN_E_LIMIT ? HTTP_STOP_BODY : HTTP_STOP_MEMORY;
    return to->rc == TN_OK ? bytes : 0;
}

/* One line of the headers. Those of a redirect or of a 1xx are forgotten when the next ones come. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct http *h = arg;
    size_t len = size * n;
    const char *colon = memchr(p, ':', len);
    if (h->headers_done) {
        return len; /* trailers */
    }
    struct grow *to = &h->reply->headers;
    if (len >= 5 && memcmp(p, "HTTP/", 5) == 0) {
        grow_clear(to);
        h->lines = 0;
        return len;
    }
    if (len <= 2) {
        long status = 0;
        curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
        h->headers_done = status >= 200;
        return len;
    }
    if (++h->lines > HTTP_LINES_MAX) {
        h->stop = HTTP_STOP_HEADERS;
        return 0;
    }
    if (colon == NULL || !http_token((tn_str){p, (size_t)(colon - p)})) {
        return len; /* the rest of a folded line, or no header at all */
    }
    size_t name = (size_t)(colon - p), from = name + 1, end = len;
    while (from < end && (p[from] == ' ' || p[from] == '\t')) {
        from++;
    }
    while (end > from && strchr(" \t\r\n", p[end - 1]) != NULL) {
        end--;
    }
    if (memchr(p, '\0', len) != NULL) {
        return len;
    }
    char *lower = grow_room(to, name + 1);
    for (size_t i = 0; lower != NULL && i < name; i++) {
        lower[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
    }
    to->n += lower != NULL ? name : 0;
    grow_char(to, '\0');
    grow_put(to, p + from, end - from);
    grow_char(to, '\0');
    if (to->rc != TN_OK) {
        h->stop = to->rc == TN_E_LIMIT ? HTTP_STOP_HEADERS : HTTP_STOP_MEMORY;
        return 0;
    }
    return len;
}

static size_t on_send(char *p, size_t size, size_t n, void *arg)
{
    struct http *h = arg;
    size_t left = h->req->body_len - h->sent, some = left < size * n ? left : size * n;
    if (some != 0) {
        memcpy(p, (const char *)h->req->body + h->sent, some);
    }
    h->sent += some;
    return some;
}

/* The body from its beginning, on a new connection: only what may be sent twice. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct http *h = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > h->req->body_len ||
        (offset == 0 && h->sent != 0 && (h->req->flags & HTTP_REPEATABLE) == 0)) {
        return CURL_SEEKFUNC_FAIL;
    }
    h->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* The last word on an address, whoever looked it up. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct http *h = arg;
    (void)purpose;
    h->connected = false;
    if (!h->private_ok && http_private(&a->addr)) {
        h->stop = HTTP_STOP_PRIVATE;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* Before anything is sent. On another connection, after a kept one died, it would be sent once more: libcurl does that with
 * whatever has no body. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct http *h = arg;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    h->connected = true;
    return h->begun++ == 0 || (h->req->flags & HTTP_REPEATABLE) != 0 ? CURL_PREREQFUNC_OK
                                                                     : CURL_PREREQFUNC_ABORT;
}

/* ---- before a request -------------------------------------------------------------------------------- */

static int is_host(const char *a, const char *b)
{
    return given(a) && given(b) && strcasecmp(a, b) == 0;
}

/* Host and port of the URL; the name that TLS wants instead goes into the URL. */
static tn_rc take_url(struct http *h, CURLU *u, tn_err *err)
{
    char *name = NULL, *port = NULL, *scheme = NULL;
    const struct http_conf *conf = h->conf;
    tn_rc rc = TN_OK;
    if (curl_url_get(u, CURLUPART_HOST, &name, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        strlen(name) >= sizeof h->host_name) {
        rc = h->host->fail(err, TN_E_INVAL, "the URL has no host that could be asked");
        goto undo;
    }
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        rc = h->host->fail(err, TN_E_INVAL, "a URL begins with http:// or https://, not %.20s://",
                           scheme);
        goto undo;
    }
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p > 0x7e || (unsigned char)*p <= ' ') {
            rc = h->host->fail(err, TN_E_INVAL,
                               "the host %.200s is not ASCII; write it as xn--… (punycode)", name);
            goto undo;
        }
    }
    size_t n = strlen(name), v6 = name[0] == '[' && n > 2;
    snprintf(h->host_name, sizeof h->host_name, "%.*s", (int)(n - 2 * v6), name + v6);
    h->port = (uint16_t)atoi(port);
    h->renamed = given(conf->tls_server_name) && strcmp(scheme, "https") == 0 &&
                 ((h->req->flags & HTTP_NODE) != 0 || is_host(h->host_name, conf->host));
    if (h->renamed) {
        curl_url_set(u, CURLUPART_HOST, conf->tls_server_name, 0);
    }
undo:
    curl_free(name);
    curl_free(port);
    curl_free(scheme);
    return rc;
}

/* Addresses of a name, as libcurl is told them: the resolver is ours, because libcurl's cannot be left behind. */
static tn_rc look_up(struct http *h, const char *url_host, uint64_t deadline_ns, tn_err *err)
{
    uint64_t now = h->host->now_ns(), limit = now + (uint64_t)h->conf->connect_timeout.ms * 1000000;
    if (now >= h->looked_until_ns || strcmp(h->looked, h->host_name) != 0 ||
        h->looked_port != h->port) {
        h->looked_until_ns = 0;
        tn_rc rc = net_resolve(h->host, h->host_name, h->port,
                               deadline_ns != 0 && deadline_ns < limit ? deadline_ns : limit,
                               &h->addrs, err);
        if (rc != TN_OK) {
            if (err != NULL) {
                err->flags |= TN_ERR_RETRY;
            }
            return rc;
        }
        snprintf(h->looked, sizeof h->looked, "%s", h->host_name);
        h->looked_port = h->port;
        h->looked_until_ns = now + LOOKED_NS;
    }
    grow_clear(&h->own);
    grow_printf(&h->own, "+%s:%u:", url_host, h->port); /* +: libcurl forgets it after a while */
    for (uint32_t i = 0; i < h->addrs.n; i++) {
        const struct sockaddr *a = (const struct sockaddr *)&h->addrs.addr[i];
        char text[80];
        if (!h->private_ok && http_private(a)) {
            h->stop = HTTP_STOP_PRIVATE; /* one of several is enough to refuse the name */
            return http_failed(h, 0, err);
        }
        if (getnameinfo(a, h->addrs.len[i], text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0 &&
            strchr(text, '%') == NULL) {
            int v6 = a->sa_family == AF_INET6;
            grow_printf(&h->own, "%s%s%s%s", i != 0 ? "," : "", v6 ? "[" : "", text, v6 ? "]" : "");
        }
    }
    curl_slist_free_all(h->addresses);
    h->addresses = h->own.rc == TN_OK ? curl_slist_append(NULL, h->own.s) : NULL;
    return h->addresses != NULL ? TN_OK : h->host->fail(err, TN_E_NOMEM, "no memory for addresses");
}

/* Credentials, unless the request brings its own. */
static void put_auth(struct http *h, int brings_own)
{
    const struct http_conf *conf = h->conf;
    const char *auth = conf->auth != NULL ? conf->auth : "auto";
    const char *password = conf->password.s != NULL ? conf->password.s : "";
    static const char *const schemes[][2] = {
        {"bearer", "Bearer"}, {"apikey", "ApiKey"}, {"token", "Token"}};
    if (brings_own || (h->req->flags & HTTP_NO_AUTH) != 0) {
        return;
    }
    if (strcmp(auth, "basic") == 0 || (strcmp(auth, "auto") == 0 && given(conf->user))) {
        curl_easy_setopt(h->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(h->easy, CURLOPT_USERNAME, conf->user != NULL ? conf->user : "");
        curl_easy_setopt(h->easy, CURLOPT_PASSWORD, password);
    }
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(auth, schemes[i][0]) == 0 && password[0] != '\0') {
            grow_printf(&h->own, "Authorization: %s ", schemes[i][1]);
            grow_text(&h->own, password);
            grow_text(&h->own, "\r\n");
        }
    }
}

static tn_rc put_headers(struct http *h, tn_err *err)
{
    const struct grow *given_headers = h->req->headers;
    int own_auth = 0, own_agent = 0;
    grow_clear(&h->own);
    for (const char *p = given_headers != NULL ? given_headers->s : NULL;
         p != NULL && *p != '\0';) {
        own_auth |= http_named(p, "authorization");
        own_agent |= http_named(p, "user-agent");
        p = strstr(p, "\r\n") + 2;
    }
    if (given_headers != NULL && given_headers->n != 0) {
        grow_put(&h->own, given_headers->s, given_headers->n);
    }
    put_auth(h, own_auth);
    if (!own_agent) {
        char label[LABEL_MAX];
        size_t n = label_caller(h->host, label);
        grow_printf(&h->own, n != 0 ? "User-Agent: %s (%s)\r\n" : "User-Agent: %s\r\n",
                    h->conf->application, label);
    }
    grow_text(&h->own, "Expect:\r\n"); /* one round trip instead of two */
    curl_slist_free_all(h->headers);
    h->headers = NULL;
    for (char *p = h->own.rc == TN_OK ? h->own.s : NULL, *end; p != NULL && *p != '\0';
         p = end + 2) {
        end = strstr(p, "\r\n");
        *end = '\0';
        struct curl_slist *more = curl_slist_append(h->headers, p);
        h->headers = more != NULL ? more : h->headers;
        h->own.rc = more != NULL ? h->own.rc : TN_E_NOMEM;
    }
    curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, h->headers);
    return h->own.rc == TN_OK ? TN_OK : h->host->fail(err, h->own.rc, "no memory for the headers");
}

static tn_rc put_pem(struct http *h, const char *what, const char *text, CURLoption file,
                     CURLoption blob, tn_err *err)
{
    if (!given(text)) {
        return TN_OK;
    }
    if (strstr(text, "-----BEGIN") != NULL) { /* some tools put words before it */
        struct curl_blob b = {(void *)text, strlen(text), CURL_BLOB_NOCOPY};
        curl_easy_setopt(h->easy, blob, &b);
        return TN_OK;
    }
    if (access(text, R_OK) != 0) {
        int secret = strcmp(what, "tls_key") == 0; /* it may be a key that lacks its first line */
        return h->host->fail(
            err, TN_E_CONFIG,
            "%s: the file %.200s cannot be read; workers see little of the file system: put "
            "the PEM text itself there",
            what, secret ? "named there" : text);
    }
    curl_easy_setopt(h->easy, file, text);
    return TN_OK;
}

static tn_rc put_tls(struct http *h, tn_err *err)
{
    const struct http_conf *conf = h->conf;
    h->any_tls = strcmp(conf->tls, "unverified") == 0;
    curl_easy_setopt(h->easy, CURLOPT_KEYPASSWD, ""); /* else OpenSSL asks a terminal for one */
    curl_easy_setopt(h->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(h->easy, CURLOPT_SSL_VERIFYPEER, h->any_tls ? 0L : 1L);
    curl_easy_setopt(h->easy, CURLOPT_SSL_VERIFYHOST, h->any_tls ? 0L : 2L);
    tn_rc rc = put_pem(h, "tls_ca", conf->tls_ca, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB, err);
    if (rc == TN_OK && (h->req->flags & HTTP_ELSEWHERE) == 0) {
        rc = put_pem(h, "tls_cert", conf->tls_cert, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB, err);
    }
    return rc == TN_OK && (h->req->flags & HTTP_ELSEWHERE) == 0
               ? put_pem(h, "tls_key", conf->tls_key.s, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB, err)
               : rc;
}

static void put_method(struct http *h)
{
    CURL *e = h->easy;
    const struct http_req *req = h->req;
    int takes_body = strcmp(req->method, "POST") == 0 || strcmp(req->method, "PUT") == 0 ||
                     strcmp(req->method, "PATCH") == 0;
    if (strcmp(req->method, "HEAD") == 0) {
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    } else if (req->body != NULL || takes_body) {
        curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->body_len);
        curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(e, CURLOPT_READDATA, h);
        curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(e, CURLOPT_SEEKDATA, h);
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
    } else {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
    }
}

tn_rc http_prepare(struct http *h, const char *url, uint64_t deadline_ns, tn_err *err)
{
    CURL *e = h->easy;
    CURLU *u = curl_url();
    char *host_name = NULL;
    tn_rc rc = u != NULL ? TN_OK : h->host->fail(err, TN_E_NOMEM, "no memory for a URL");
    int proxied = given(h->conf->proxy);
    curl_easy_reset(e);
    h->private_ok = (h->req->flags & HTTP_BLOCK_PRIVATE) == 0;
    if (rc == TN_OK && curl_url_set(u, CURLUPART_URL, url, CURLU_URLENCODE) != CURLUE_OK) {
        char shown[200];
        http_shown(url, shown, sizeof shown);
        rc = h->host->fail(err, TN_E_INVAL, "`%s` is not a URL; it begins with http:// or https://",
                           shown);
    }
    rc = rc == TN_OK ? take_url(h, u, err) : rc;
    if (rc == TN_OK && proxied && !h->private_ok) {
        rc = h->host->fail(err, TN_E_CONFIG,
                           "through a proxy private addresses cannot be blocked; leave proxy or "
                           "block_private out");
    }
    if (rc == TN_OK && curl_url_get(u, CURLUPART_HOST, &host_name, 0) != CURLUE_OK) {
        rc = h->host->fail(err, TN_E_NOMEM, "no memory for a URL");
    }
    if (rc == TN_OK && !proxied) {
        rc = look_up(h, host_name, deadline_ns, err);
        curl_easy_setopt(e, CURLOPT_RESOLVE, host_name[0] == '[' ? NULL : h->addresses);
    }
    rc = rc == TN_OK ? put_tls(h, err) : rc;
    rc = rc == TN_OK ? put_headers(h, err) : rc;
    if (rc == TN_OK) {
        put_method(h);
        char *whole = NULL;
        if (curl_url_get(u, CURLUPART_URL, &whole, 0) != CURLUE_OK ||
            curl_easy_setopt(e, CURLOPT_URL, whole) != CURLE_OK) {
            rc = h->host->fail(err, TN_E_NOMEM, "no memory for a URL");
        }
        curl_free(whole);
    }
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_PROXY, proxied ? h->conf->proxy : "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, "");
    if (proxied && given(h->conf->proxy_user)) {
        const char *password = h->conf->proxy_password.s;
        curl_easy_setopt(e, CURLOPT_PROXYUSERNAME, h->conf->proxy_user);
        curl_easy_setopt(e, CURLOPT_PROXYPASSWORD, password != NULL ? password : "");
    }
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT,
                     1L); /* a look-up of the proxy that is late is left behind */
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->conf->connect_timeout.ms);
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (h->req->flags & HTTP_REPEATABLE) != 0 ? 60L : 15L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->what);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, h);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, h);
    curl_free(host_name);
    curl_url_cleanup(u);
    return rc;
}
