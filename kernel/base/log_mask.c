/* SPDX-License-Identifier: Apache-2.0 */
/* The registered secrets and their disguises: JSON-escaped, URL-encoded, base64.
 *
 * Patterns hang in 256 lists by their first byte. Lists only grow and nodes never change, so readers
 * take no lock (a lock would be inherited in any state by a forking script), and text without a
 * matching first byte costs one load a byte. */
#include "kernel/base/log_mask.h"

#include "kernel/base/log.h"
#include "kernel/base/str.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MASK_MIN   6           /* shorter texts would blank out ordinary words */
#define MASK_MAX   (16u << 10) /* bytes of one secret */
#define MASK_COUNT 16384       /* patterns */

struct pattern {
    struct pattern *next;
    size_t n;
    char text[];
};
static _Atomic(struct pattern *) heads[256];
static _Atomic unsigned count;

bool log_mask_any(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed) != 0;
}

static bool is_pattern(const char *text, size_t n)
{
    const struct pattern *p = atomic_load_explicit(&heads[(unsigned char)text[0]],
                                                   memory_order_acquire);
    while (p != NULL && (p->n != n || memcmp(p->text, text, n) != 0)) {
        p = p->next;
    }
    return p != NULL;
}

static void add_pattern(const char *text, size_t n)
{
    if (n < MASK_MIN || atomic_load(&count) >= MASK_COUNT || is_pattern(text, n)) {
        return;
    }
    struct pattern *p = malloc(sizeof *p + n);
    if (p == NULL) {
        return;
    }
    p->n = n;
    memcpy(p->text, text, n);
    _Atomic(struct pattern *) *head = &heads[(unsigned char)text[0]];
    p->next = atomic_load(head);
    while (!atomic_compare_exchange_weak(head, &p->next, p)) {}
    atomic_fetch_add(&count, 1);
}

/* RFC 3986: everything but unreserved characters as %XX. `plus`: blanks as '+' (form encoding). */
static void add_url(tn_str s, const char *hex, bool plus)
{
    struct buf b = BUF_INIT(MASK_MAX * 3);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.s[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
            (c != '\0' && strchr("-._~", c) != NULL)) {
            buf_addc(&b, (char)c);
        } else if (c == ' ' && plus) {
            buf_addc(&b, '+');
        } else {
            buf_add(&b, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
        }
    }
    if (!b.failed) {
        add_pattern(b.data, b.len);
    }
    buf_finish(&b);
}

/* JSON with nothing but ASCII, as many writers make it; only what is not ASCII differs from buf_quote().
 * Surrogate pairs for what is beyond 16 bits. */
static void add_ascii_json(tn_str s)
{
    struct buf quoted = BUF_INIT(MASK_MAX * 6), b = BUF_INIT(MASK_MAX * 6);
    buf_quote(&quoted, s);
    for (size_t i = 0; i < quoted.len && !quoted.failed;) {
        const unsigned char *p = (const unsigned char *)quoted.data + i;
        int step = *p < 0x80 ? 1 : str_utf8_step(quoted.data + i, quoted.len - i);
        unsigned c = step == 2   ? (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu)
                     : step == 3 ? (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu)
                     : step == 4 ? (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 |
                                       (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu)
                                 : 0;
        if (c == 0) {
            buf_addc(&b, (char)*p);
        } else if (c < 0x10000) {
            buf_printf(&b, "\\u%04x", c);
        } else {
            buf_printf(&b, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF));
        }
        i += step > 0 ? (size_t)step : 1;
    }
    if (!b.failed && b.len > 2) {
        add_pattern(b.data + 1, b.len - 2);
    }
    buf_finish(&quoted);
    buf_finish(&b);
}

/* The characters of base64 that depend on s alone when `lead` bytes (0..2) stand before it: so
 * "user:secret" in an Authorization header is found too. */
static void add_base64(tn_str s, size_t lead, const char *letters)
{
    struct buf b = BUF_INIT(MASK_MAX * 2);
    size_t first = (lead * 8 + 5) / 6, end = (lead + s.n) * 8 / 6;
    for (size_t i = first; i < end; i++) {
        unsigned six = 0;
        for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
            unsigned char byte = (unsigned char)s.s[bit / 8 - lead];
            six = six << 1 | ((byte >> (7 - bit % 8)) & 1u);
        }
        buf_addc(&b, letters[six]);
    }
    if (!b.failed) {
        add_pattern(b.data, b.len);
    }
    buf_finish(&b);
}

void log_mask(tn_str secret)
{
    static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (secret.s == NULL || secret.n < MASK_MIN || secret.n > MASK_MAX ||
        is_pattern(secret.s, secret.n)) { /* itself is added last: then all its forms are there */
        return;
    }
    struct buf json = BUF_INIT(MASK_MAX * 6);
    if (buf_quote(&json, secret) == 0) {
        add_pattern(json.data + 1, json.len - 2);
    }
    buf_finish(&json);
    add_ascii_json(secret);
    add_url(secret, "0123456789ABCDEF", false);
    add_url(secret, "0123456789abcdef", false);
    add_url(secret, "0123456789ABCDEF", true);
    for (size_t lead = 0; lead < 3; lead++) {
        add_base64(secret, lead, std);
        add_base64(secret, lead, url);
    }
    add_pattern(secret.s, secret.n);
}

/* Bytes of the longest pattern at the start of s, 0 = none. */
static size_t match(tn_str s)
{
    size_t best = 0;
    const struct pattern *p = atomic_load_explicit(&heads[(unsigned char)s.s[0]],
                                                   memory_order_acquire);
    for (; p != NULL; p = p->next) {
        if (p->n > best && p->n <= s.n && memcmp(p->text, s.s, p->n) == 0) {
            best = p->n;
        }
    }
    return best;
}

bool log_mask_apply(tn_str text, struct buf *out)
{
    size_t copied = 0, i = 0;
    while (i < text.n) {
        size_t n = match((tn_str){text.s + i, text.n - i});
        if (n == 0) {
            i++;
            continue;
        }
        buf_add(out, text.s + copied, i - copied);
        buf_add(out, "*****", 5);
        i += n;
        copied = i;
    }
    if (copied != 0) {
        buf_add(out, text.s + copied, text.n - copied);
    }
    return copied != 0;
}
