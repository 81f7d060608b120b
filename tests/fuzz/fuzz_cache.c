/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of scripts: any commands in any order leave it whole and within its bounds, each gets exactly one reply, and what was
 * counted for keys is given back with them. Input: commands, a line each, words between blanks; "~" lets a second pass, a line
 * that begins with "*" is a request as it came, with \n for line ends. */
#include "kernel/hub/cache_int.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MEMORY    (1u << 20)
#define WORDS_MAX 32
#define LINES_MAX 200

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_cache: %s\n", what);
        abort();
    }
}

/* "SET a b" as an array of bulk strings. */
static void request(struct buf *out, tn_str line)
{
    tn_str words[WORDS_MAX], rest = line;
    size_t n = 0;
    while (n < WORDS_MAX && str_split(&rest, ' ', &words[n])) {
        n++;
    }
    buf_printf(out, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "$%zu\r\n", words[i].n);
        buf_addstr(out, words[i]);
        buf_adds(out, "\r\n");
    }
}

static void as_it_came(struct buf *out, tn_str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.s[i] == '\\' && i + 1 < line.n && line.s[i + 1] == 'n') {
            buf_adds(out, "\r\n");
            i++;
        } else {
            buf_addc(out, line.s[i]);
        }
    }
}

static void run(struct cache_db *db, tn_str text, int64_t now_ms)
{
    struct buf out = BUF_INIT(64u << 20);
    char *exact = malloc(text.n > 0 ? text.n : 1); /* the sanitizer sees a read beyond it */
    must(exact != NULL, "no memory");
    memcpy(exact, text.s, text.n);
    cache_db_run(db, (tn_str){exact, text.n}, now_ms, &out);
    tn_str reply = buf_str(&out);
    must(db->block_ms >= 0 || resp_reply_size(reply) == reply.n, "not exactly one reply");
    must(db->used <= 2 * MEMORY, "far beyond its memory");
    for (size_t i = 0; i < reply.n && i < 64; i++) { /* whatever is cut off is no reply yet */
        must(resp_reply_size((tn_str){reply.s, i}) == 0, "half a reply");
    }
    buf_finish(&out);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct cache_db *db = cache_db_create(MEMORY);
    tn_str rest = {(const char *)data, n}, line;
    int64_t now_ms = 1700000000000;
    for (int i = 0; i < LINES_MAX && str_split(&rest, '\n', &line); i++) {
        struct buf text = BUF_INIT(0);
        if (line.n == 1 && line.s[0] == '~') {
            now_ms += 1000;
            continue;
        }
        (line.n > 0 && line.s[0] == '*' ? as_it_came : request)(&text, line);
        run(db, buf_str(&text), now_ms);
        buf_finish(&text);
    }
    tn_str name;
    void *e;
    resp_reply_size((tn_str){(const char *)data, n}); /* as a server could send it */
    while (db->keys.used > 0) {
        size_t at = 0;
        must(map_next(&db->keys, &at, &name, &e), "a key that cannot be found");
        key_del(db, e);
    }
    must(db->used == 0 && db->due.n == 0, "memory or a time is left of keys that have gone");
    cache_db_destroy(db);
    return 0;
}
