/* SPDX-License-Identifier: Apache-2.0 */
/* multipart/form-data: what is accepted must not depend on how the input is cut. Input: one byte that
 * decides the pieces, the Content-Type up to a line feed, the body. */
#include "plugins/http_common/multipart.c"
#include "plugins/http_common/text.c"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A running hash of everything that was reported. */
struct seen {
    uint64_t hash;
    size_t parts, bytes;
    bool open;
};

static void mix(struct seen *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->hash = (s->hash ^ (uint8_t)p[i]) * 0x100000001B3u;
    }
}

static bool on_begin(void *user, const struct multipart_head *h, struct text_refusal *why)
{
    struct seen *s = user;
    if (s->open || h->name.s == NULL || h->name.n > MP_NAME_MAX) {
        abort();
    }
    for (size_t i = 0; i < h->filename.n; i++) {
        unsigned char c = (unsigned char)h->filename.s[i];
        if (c < 0x20 || c == 0x7F || c == '/' || c == '\\') {
            abort();
        }
    }
    s->open = true;
    mix(s, h->name.s, h->name.n);
    mix(s, h->filename.s, h->filename.n);
    mix(s, h->type.s, h->type.n);
    mix(s, h->encoding.s, h->encoding.n);
    if (++s->parts > 50) {
        *why = (struct text_refusal){413, "enough"};
        return false;
    }
    return true;
}

static bool on_data(void *user, const char *p, size_t n, struct text_refusal *why)
{
    struct seen *s = user;
    (void)why;
    if (!s->open || n == 0) {
        abort();
    }
    s->bytes += n;
    mix(s, p, n);
    return true;
}

static bool on_end(void *user, struct text_refusal *why)
{
    struct seen *s = user;
    (void)why;
    s->open = false;
    mix(s, "|", 1);
    return true;
}

static bool parse(tn_str type, const char *p, size_t n, size_t step, struct seen *s)
{
    static const struct multipart_events events = {on_begin, on_data, on_end};
    struct text_refusal why = {0, NULL};
    *s = (struct seen){.hash = 0xCBF29CE484222325u};
    struct multipart *m = multipart_create(type, &events, s, &why);
    bool ok = m != NULL;
    for (size_t i = 0; ok && i < n; i += step) {
        size_t k = n - i < step ? n - i : step;
        char *exact = malloc(k);
        memcpy(exact, p + i, k);
        ok = multipart_feed(m, exact, k, &why);
        free(exact);
    }
    ok = ok && multipart_finish(m, &why);
    if (!ok && (why.status < 400 || why.text == NULL)) {
        abort();
    }
    multipart_destroy(m);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct seen whole, cut;
    if (n < 2) {
        return 0;
    }
    size_t step = data[0] % 32 + 1u;
    const char *p = (const char *)data + 1;
    const char *nl = memchr(p, '\n', n - 1);
    if (nl == NULL) {
        return 0;
    }
    tn_str type = {p, (size_t)(nl - p)};
    size_t body_n = n - 1 - type.n - 1;
    bool a = parse(type, nl + 1, body_n, body_n > 0 ? body_n : 1, &whole);
    bool b = parse(type, nl + 1, body_n, step, &cut);
    if (a != b || (a && (whole.hash != cut.hash || whole.parts != cut.parts ||
                         whole.bytes != cut.bytes || whole.open || whole.bytes > body_n))) {
        abort();
    }
    return 0;
}
