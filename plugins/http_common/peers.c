/* SPDX-License-Identifier: Apache-2.0 */
/* Client addresses: how many connections each has, and which are proxies that may speak for others. */
#include "plugins/http_common/http.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SPARE_FDS 512 /* descriptors that are not for connections */

/* Every address is 16 bytes here; IPv4 in its mapped form. */
struct key {
    uint8_t b[16];
};
struct net {
    struct key addr;
    uint32_t bits;
};
struct entry {
    struct entry *next;
    struct key key;
    uint32_t n;
};
#define BUCKETS 1024
struct peers {
    struct net *nets;
    size_t nnets;
    uint64_t seed;
    struct entry *bucket[BUCKETS];
};

static void key_mapped(const struct in_addr *v4, struct key *ret)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    memcpy(ret->b, mapped, 12);
    memcpy(ret->b + 12, v4, 4);
}

static bool key_of(const struct sockaddr *sa, struct key *ret)
{
    if (sa->sa_family == AF_INET) {
        key_mapped(&((const struct sockaddr_in *)sa)->sin_addr, ret);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(ret->b, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
        return true;
    }
    return false;
}

static bool key_parse(tn_str text, struct key *ret, bool *ret_v4)
{
    char buf[64];
    struct in_addr v4;
    if (text.n == 0 || text.n >= sizeof buf || memchr(text.s, '\0', text.n) != NULL) {
        return false;
    }
    memcpy(buf, text.s, text.n);
    buf[text.n] = '\0';
    *ret_v4 = inet_pton(AF_INET, buf, &v4) == 1;
    if (*ret_v4) {
        key_mapped(&v4, ret);
        return true;
    }
    return inet_pton(AF_INET6, buf, ret->b) == 1;
}

static bool key_loopback(const struct key *k)
{
    static const uint8_t v6[16] = {[15] = 1};
    static const uint8_t v4[13] = {[10] = 0xFF, [11] = 0xFF, [12] = 127};
    return memcmp(k->b, v6, 16) == 0 || memcmp(k->b, v4, 13) == 0;
}

static bool net_has(const struct net *n, const struct key *k)
{
    uint32_t whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->addr.b, k->b, whole) != 0) {
        return false;
    }
    return rest == 0 || ((n->addr.b[whole] ^ k->b[whole]) & (0xFF << (8 - rest)) & 0xFF) == 0;
}

static bool net_parse(tn_str text, struct net *ret)
{
    const char *slash = memchr(text.s, '/', text.n);
    tn_str addr = {text.s, slash != NULL ? (size_t)(slash - text.s) : text.n};
    bool v4;
    if (!key_parse(addr, &ret->addr, &v4)) {
        return false;
    }
    uint32_t most = v4 ? 32 : 128, bits = most;
    if (slash != NULL) {
        const char *p = slash + 1, *end = text.s + text.n;
        if (p == end || end - p > 3) {
            return false;
        }
        for (bits = 0; p < end; p++) {
            if (*p < '0' || *p > '9') {
                return false;
            }
            bits = bits * 10 + (uint32_t)(*p - '0');
        }
    }
    ret->bits = bits + (v4 ? 96 : 0);
    return bits <= most;
}

const char *peers_setting(const tn_host *host, const char *own)
{
    if ((own != NULL && own[0] != '\0') || host->setting == NULL) {
        return own;
    }
    return host->setting(host->ctx, "TENON_TRUSTED_PROXIES");
}

struct peers *peers_create(const char *trusted, tn_err *err)
{
    struct peers *p = calloc(1, sizeof *p);
    if (p == NULL) {
        fe_host->fail(err, TN_E_NOMEM, "no memory for the table of clients");
        return NULL;
    }
    p->seed = fe_host->now_ns() * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)p;
    tn_str list = {trusted != NULL ? trusted : "", trusted != NULL ? strlen(trusted) : 0};
    for (tn_str item; text_next_item(&list, &item);) {
        struct net *nets = realloc(p->nets, (p->nnets + 1) * sizeof *nets);
        if (nets == NULL) {
            fe_host->fail(err, TN_E_NOMEM, "no memory for the table of clients");
            peers_destroy(p);
            return NULL;
        }
        p->nets = nets;
        if (!net_parse(item, &nets[p->nnets])) {
            fe_host->fail(err, TN_E_CONFIG,
                          "trusted_proxies: \"%.*s\" is not an address or network like 10.0.0.0/8",
                          (int)item.n, item.s);
            peers_destroy(p);
            return NULL;
        }
        p->nnets++;
    }
    return p;
}

void peers_destroy(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (p->bucket[i] != NULL) {
            struct entry *e = p->bucket[i];
            p->bucket[i] = e->next;
            free(e);
        }
    }
    free(p->nets);
    free(p);
}

static struct entry **find(const struct peers *p, const struct key *k)
{
    uint64_t a, b;
    memcpy(&a, k->b, 8);
    memcpy(&b, k->b + 8, 8);
    uint64_t h = (a ^ p->seed) * 0x9E3779B97F4A7C15u;
    h = (h ^ (h >> 29) ^ b) * 0xBF58476D1CE4E5B9u;
    struct entry **at = (struct entry **)&p->bucket[(h >> 32) % BUCKETS];
    while (*at != NULL && memcmp(&(*at)->key, k, sizeof *k) != 0) {
        at = &(*at)->next;
    }
    return at;
}

bool peers_full(const struct peers *p, const struct sockaddr *addr, uint32_t limit)
{
    struct key k;
    if (limit == 0 || !key_of(addr, &k) || key_loopback(&k)) {
        return false;
    }
    const struct entry *e = *find(p, &k);
    return e != NULL && e->n >= limit;
}

bool peers_enter(struct peers *p, const struct sockaddr *addr)
{
    struct key k;
    if (!key_of(addr, &k) || key_loopback(&k)) {
        return false;
    }
    struct entry **at = find(p, &k);
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL) {
            return false;
        }
        (*at)->key = k;
    }
    (*at)->n++;
    return true;
}

void peers_leave(struct peers *p, const struct sockaddr *addr)
{
    struct key k;
    if (!key_of(addr, &k)) {
        return;
    }
    struct entry **at = find(p, &k);
    struct entry *e = *at;
    if (e != NULL && --e->n == 0) {
        *at = e->next;
        free(e);
    }
}

bool peers_trusted(const struct peers *p, const struct sockaddr *addr)
{
    struct key k;
    if (!key_of(addr, &k)) {
        return false;
    }
    for (size_t i = 0; i < p->nnets; i++) {
        if (net_has(&p->nets[i], &k)) {
            return true;
        }
    }
    return false;
}

tn_str peers_forwarded(const struct peers *p, tn_str list)
{
    tn_str found = {NULL, 0};
    /* from the right: what our proxies added comes last, what the client invented comes first */
    while (list.n > 0) {
        size_t at = list.n;
        while (at > 0 && list.s[at - 1] != ',') {
            at--;
        }
        tn_str item = text_trim((tn_str){list.s + at, list.n - at});
        list.n = at > 0 ? at - 1 : 0;
        struct key k;
        bool v4, proxy = false;
        if (!key_parse(item, &k, &v4)) {
            break;
        }
        found = item;
        for (size_t i = 0; i < p->nnets && !proxy; i++) {
            proxy = net_has(&p->nets[i], &k);
        }
        if (!proxy) {
            break;
        }
    }
    return found;
}

size_t peers_text(const struct sockaddr *sa, char ret[PEER_TEXT])
{
    const void *bytes = sa->sa_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)sa)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
    if (inet_ntop(sa->sa_family, bytes, ret, PEER_TEXT) == NULL) {
        ret[0] = '\0';
    }
    if (strncmp(ret, "::ffff:", 7) == 0 && strchr(ret, '.') != NULL) {
        memmove(ret, ret + 7, strlen(ret + 7) + 1);
    }
    return strlen(ret);
}

uint32_t peers_connections(const struct http_conf *conf)
{
    struct rlimit rl;
    uint64_t limit = (uint64_t)conf->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY &&
        limit + SPARE_FDS > rl.rlim_cur) {
        limit = rl.rlim_cur > SPARE_FDS * 2 ? rl.rlim_cur - SPARE_FDS : rl.rlim_cur / 2;
        fe_host->log(
            fe_host->ctx, TN_LOG_WARNING,
            "http: at most %llu connections instead of %lld: the limit of open files is %llu "
            "(LimitNOFILE, ulimit -n)",
            (unsigned long long)limit, (long long)conf->max_connections,
            (unsigned long long)rl.rlim_cur);
    }
    return (uint32_t)limit;
}
