/* SPDX-License-Identifier: Apache-2.0 */
/* The list of servers, and which of them has a key: by the remainder of a CRC as python-memcached does it, or by
 * ketama's ring with weights as libmemcached does it, so that other programs find what scripts have put. */
#include "memcached.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#define WEIGHT_MAX 1000
#define PER_SERVER 160 /* points of a server of average weight; four of each MD5 */

/* ---- the list ---------------------------------------------------------------------------------------- */

/* A number up to max behind p; *ret_end: what follows. */
static bool number(const char *p, unsigned long max, unsigned long *ret, const char **ret_end)
{
    char *end;
    if (*p < '0' || *p > '9') {
        return false;
    }
    *ret = strtoul(p, &end, 10);
    *ret_end = end;
    return *ret >= 1 && *ret <= max;
}

/* One of "host", "host:port", "host:port:weight"; an address of IPv6 in brackets when more follows. */
static bool parse(const char *p, size_t n, struct mc_server *ret)
{
    char text[300];
    unsigned long port = 11211, weight = 1;
    if (n == 0 || n >= sizeof text) {
        return false;
    }
    memcpy(text, p, n);
    text[n] = '\0';
    const char *host = text, *rest;
    size_t nhost, colons = 0;
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL) {
            return false;
        }
        host = text + 1;
        nhost = (size_t)(close - host);
        rest = close + 1;
    } else {
        nhost = strcspn(text, ":");
        for (size_t i = 0; i < n; i++) {
            colons += text[i] == ':';
        }
        nhost = colons > 2 ? n : nhost; /* an address of IPv6 and nothing else */
        rest = text + nhost;
    }
    if (nhost == 0 || nhost >= sizeof ret->host || (*rest != '\0' && *rest != ':')) {
        return false;
    }
    if (*rest == ':' && !number(rest + 1, 65535, &port, &rest)) {
        return false;
    }
    if (*rest == ':' && !number(rest + 1, WEIGHT_MAX, &weight, &rest)) {
        return false;
    }
    memcpy(ret->host, host, nhost);
    ret->host[nhost] = '\0';
    ret->port = (uint16_t)port;
    ret->weight = (uint32_t)weight;
    return *rest == '\0';
}

static tn_rc parse_all(struct mc_ring *r, const char *servers, tn_err *err)
{
    for (const char *p = servers; *p != '\0';) {
        p += strspn(p, ", \t\r\n");
        size_t n = strcspn(p, ", \t\r\n");
        if (n == 0) {
            break;
        }
        if (r->n == MC_SERVERS_MAX) {
            return mc_host->fail(err, TN_E_CONFIG, "servers: more than %d", MC_SERVERS_MAX);
        }
        if (!parse(p, n, &r->server[r->n])) {
            return mc_host->fail(err, TN_E_CONFIG,
                                 "servers: `%.*s` is none; expected host, host:port or "
                                 "host:port:weight (weight 1 to %d)",
                                 (int)(n < 100 ? n : 100), p, WEIGHT_MAX);
        }
        r->n++;
        p += n;
    }
    return r->n != 0 ? TN_OK : mc_host->fail(err, TN_E_CONFIG, "servers: there is none");
}

/* ---- where keys are ---------------------------------------------------------------------------------- */

static uint32_t word(const unsigned char *md, int i)
{
    md += 4 * i;
    return (uint32_t)md[3] << 24 | (uint32_t)md[2] << 16 | (uint32_t)md[1] << 8 | md[0];
}

static bool md5(const void *p, size_t n, unsigned char md[EVP_MAX_MD_SIZE])
{
    return EVP_Digest(p, n, md, NULL, EVP_md5(), NULL) == 1;
}

static int by_place(const void *a, const void *b)
{
    const struct mc_point *x = a, *y = b;
    return x->at != y->at ? (x->at > y->at) - (x->at < y->at)
                          : (x->server > y->server) - (x->server < y->server);
}

static bool add_points(struct mc_ring *r, uint32_t s, uint32_t digests)
{
    const struct mc_server *server = &r->server[s];
    unsigned char md[EVP_MAX_MD_SIZE];
    char name[300];
    for (uint32_t i = 0; i < digests; i++) {
        int n = server->port == 11211
                    ? snprintf(name, sizeof name, "%s-%u", server->host, i)
                    : snprintf(name, sizeof name, "%s:%u-%u", server->host, server->port, i);
        if (!md5(name, (size_t)n, md)) {
            return false;
        }
        for (int k = 0; k < 4; k++) {
            r->points[r->npoints++] = (struct mc_point){word(md, k), s};
        }
    }
    return true;
}

tn_rc mc_ring_init(struct mc_ring *r, const char *servers, bool ketama, tn_err *err)
{
    uint32_t total = 0, room = 0;
    *r = (struct mc_ring){.ketama = ketama};
    tn_rc rc = parse_all(r, servers, err);
    if (rc != TN_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        total += r->server[i].weight;
    }
    room = ketama ? (PER_SERVER + 4) * r->n : total;
    r->points = calloc(room, sizeof *r->points);
    bool ok = r->points != NULL;
    for (uint32_t i = 0; ok && i < r->n; i++) {
        const struct mc_server *s = &r->server[i];
        if (ketama) { /* rounded as libmemcached does it, in single precision */
            float share = (float)s->weight / (float)total;
            float digests = share * (float)PER_SERVER / 4 * (float)r->n + 0.0000000001f;
            ok = add_points(r, i, (uint32_t)digests);
        }
        for (uint32_t k = 0; !ketama && k < s->weight; k++) {
            r->points[r->npoints++] = (struct mc_point){0, i};
        }
    }
    if (!ok || r->npoints == 0) {
        mc_ring_finish(r);
        return mc_host->fail(err, ok ? TN_E_CONFIG : TN_E_NOMEM,
                             ok ? "servers: the weights leave no place for any"
                                : "no memory for the servers");
    }
    if (ketama) {
        qsort(r->points, r->npoints, sizeof *r->points, by_place);
    }
    return TN_OK;
}

void mc_ring_finish(struct mc_ring *r)
{
    free(r->points);
    *r = (struct mc_ring){.n = 0};
}

static uint32_t crc_of(const char *s, size_t n)
{
    uint32_t h = (uint32_t)crc32(0, (const unsigned char *)s, (unsigned)n) >> 16 & 0x7fff;
    return h != 0 ? h : 1;
}

static uint32_t pick_modulo(const struct mc_ring *r, const char *key, size_t n, uint32_t attempt)
{
    uint32_t h = crc_of(key, n);
    for (uint32_t i = 0; i < attempt; i++) {
        char text[32];
        int k = snprintf(text, sizeof text, "%u%u", h, i);
        h = crc_of(text, (size_t)k);
    }
    return r->points[h % r->npoints].server;
}

/* The first point at or behind the key's place; attempts go on to servers that were not met yet. */
static uint32_t pick_ketama(const struct mc_ring *r, const char *key, size_t n, uint32_t attempt)
{
    unsigned char md[EVP_MAX_MD_SIZE] = {0};
    md5(key, n, md);
    uint32_t at = word(md, 0), low = 0, high = r->npoints;
    uint64_t met = 0;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (r->points[mid].at < at) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    for (uint32_t i = 0, others = 0; i < r->npoints; i++) {
        uint32_t s = r->points[(low + i) % r->npoints].server;
        if (!(met >> s & 1) && others++ == attempt) {
            return s;
        }
        met |= (uint64_t)1 << s;
    }
    return r->points[low % r->npoints].server;
}

uint32_t mc_ring_pick(const struct mc_ring *r, const char *key, size_t n, uint32_t attempt)
{
    return r->n == 1   ? 0
           : r->ketama ? pick_ketama(r, key, n, attempt)
                       : pick_modulo(r, key, n, attempt);
}
