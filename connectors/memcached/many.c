/* SPDX-License-Identifier: Apache-2.0 */
/* Methods for many keys at once, for servers as a whole, and meta commands. */
#include "memcached.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BATCH_KEYS 100 /* of one get; so many requests fit into the socket's buffer */

/* ---- keys of a call ---------------------------------------------------------------------------------- */

struct keys { /* prefix + key, and the server of each */
    struct one_key {
        char s[MC_KEY_MAX];
        uint8_t n, skip; /* bytes; bytes of the prefix */
        uint32_t server;
    } * k;
    uint32_t n;
};

static tn_rc keys_of(struct mc_call *k, const tn_val *list, const tn_val *prefix, struct keys *ret)
{
    if (list->type != TN_T_LIST) {
        return mc_host->fail(k->err, TN_E_INVAL, "a list of keys is needed");
    }
    struct keys all = {calloc((size_t)list->n + 1, sizeof *all.k), list->n};
    tn_rc rc = all.k != NULL ? TN_OK : mc_host->fail(k->err, TN_E_NOMEM, "no memory for the keys");
    for (uint32_t i = 0; rc == TN_OK && i < all.n; i++) {
        tn_str key;
        rc = mc_key_with(prefix, &list->u.list[i], all.k[i].s, &key, k->err);
        if (rc == TN_OK) {
            all.k[i].n = (uint8_t)key.n;
            all.k[i].skip = prefix->type == TN_T_NULL ? 0 : (uint8_t)prefix->n;
            rc = mc_node_for(k->c, key, k->deadline_ns, &all.k[i].server, k->err);
        }
    }
    if (rc != TN_OK) {
        free(all.k);
        return rc;
    }
    *ret = all;
    return TN_OK;
}

/* The next up to BATCH_KEYS keys of this server from *at on. */
static uint32_t batch(const struct keys *all, uint32_t server, uint32_t *at, uint32_t *which)
{
    uint32_t n = 0;
    for (; *at < all->n && n < BATCH_KEYS; ++*at) {
        if (all->k[*at].server == server) {
            which[n++] = *at;
        }
    }
    return n;
}

/* Which of the keys a value is for: the next one, as servers answer in the order of the keys; a proxy in front of several
 * may mix them. n: it was not asked for, or has had its answer. */
static uint32_t whose(const struct keys *all, const uint32_t *which, uint32_t n, const bool *had,
                      tn_str key, uint32_t from)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (from + i) % n;
        const struct one_key *k = &all->k[which[at]];
        if (!had[at] && k->n == key.n && memcmp(k->s, key.s, key.n) == 0) {
            return at;
        }
    }
    return n;
}

/* The values of one get; the server leaves out what it does not have. */
static tn_rc read_batch(struct mc_call *k, struct mc_node *node, const struct keys *all,
                        const uint32_t *which, uint32_t n)
{
    tn_rc decoded = TN_OK;
    bool had[BATCH_KEYS] = {false};
    for (uint32_t at = 0;;) {
        tn_str line = {NULL, 0};
        struct mc_head h;
        const char *s = NULL;
        tn_rc rc = mc_line(node, k->deadline_ns, &line, k->err);
        if (rc != TN_OK || mc_is(line, "END")) {
            return rc != TN_OK ? rc : decoded;
        }
        if (!mc_head(line, &h)) { /* nobody knows what of the reply still comes */
            return mc_broken(mc_unexpected(line, k->err), k->err);
        }
        at = whose(all, which, n, had, h.key, at);
        if (at == n) {
            return mc_broken(mc_host->fail(k->err, TN_E_UNAVAIL,
                                           "the server answers for a key that was not asked for"),
                             k->err);
        }
        const struct one_key *key = &all->k[which[at]];
        had[at] = true;
        at = (at + 1) % n;
        tn_err own = TN_ERR_INIT;
        rc = mc_block(node, h.bytes, k->deadline_ns, &s, k->err);
        if (rc != TN_OK) {
            return rc;
        }
        tape_key(k->out, key->s + key->skip, (size_t)(key->n - key->skip));
        rc = mc_decode(h.flags, s, h.bytes, node->max, k->out, &own);
        if (rc != TN_OK && decoded == TN_OK) { /* the rest of the reply is read all the same */
            decoded = mc_host->fail(k->err, rc, "%.*s: %.300s", (int)key->n, key->s, own.msg);
        }
    }
}

/* get_multi(keys, key_prefix): {key: value} of those that there are */
tn_rc mc_get_multi(struct mc_call *k)
{
    struct keys all;
    tn_rc rc = keys_of(k, &k->a[0], &k->a[1], &all);
    if (rc != TN_OK) {
        return rc;
    }
    tape_map(k->out);
    for (uint32_t s = 0; rc == TN_OK && s < k->c->inst->ring.n; s++) {
        uint32_t which[BATCH_KEYS], n, at = 0;
        while (rc == TN_OK && (n = batch(&all, s, &at, which)) != 0) {
            struct message_buf *b = mc_request(k->c);
            struct mc_node *node = NULL;
            rc = mc_node_ready(k->c, s, k->deadline_ns, &node, k->err);
            if (rc != TN_OK) {
                break;
            }
            message_puts(b, "get");
            for (uint32_t i = 0; i < n; i++) {
                message_puts(b, " ");
                message_put(b, all.k[which[i]].s, all.k[which[i]].n);
            }
            message_puts(b, "\r\n");
            rc = mc_send(node, b, k->deadline_ns, k->err);
            k->c->fresh = false;
            rc = rc == TN_OK ? read_batch(k, node, &all, which, n) : rc;
            rc = mc_node_judge(k->c, node, rc, k->err);
        }
    }
    tape_end(k->out);
    free(all.k);
    return rc;
}

/* delete_multi(keys, key_prefix): how many there were */
tn_rc mc_delete_multi(struct mc_call *k)
{
    struct keys all;
    int64_t gone = 0;
    tn_rc rc = keys_of(k, &k->a[0], &k->a[1], &all);
    if (rc != TN_OK) {
        return rc;
    }
    for (uint32_t s = 0; rc == TN_OK && s < k->c->inst->ring.n; s++) {
        uint32_t which[BATCH_KEYS], n, at = 0;
        while (rc == TN_OK && (n = batch(&all, s, &at, which)) != 0) {
            struct message_buf *b = mc_request(k->c);
            struct mc_node *node = NULL;
            rc = mc_node_ready(k->c, s, k->deadline_ns, &node, k->err);
            if (rc != TN_OK) {
                break;
            }
            for (uint32_t i = 0; i < n; i++) {
                message_puts(b, "delete ");
                message_put(b, all.k[which[i]].s, all.k[which[i]].n);
                message_puts(b, "\r\n");
            }
            rc = mc_send(node, b, k->deadline_ns, k->err);
            k->c->fresh = false;
            for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
                tn_str line = {NULL, 0};
                rc = mc_line(node, k->deadline_ns, &line, k->err);
                if (rc == TN_OK && !mc_is(line, "DELETED") && !mc_is(line, "NOT_FOUND")) {
                    rc = mc_broken(mc_unexpected(line, k->err), k->err);
                }
                gone += rc == TN_OK && mc_is(line, "DELETED");
            }
            rc = mc_node_judge(k->c, node, rc, k->err);
        }
    }
    tape_int(k->out, gone);
    free(all.k);
    return rc;
}

/* ---- servers ----------------------------------------------------------------------------------------- */

/* A request to every server; `each` reads its reply. */
static tn_rc to_all(struct mc_call *k, const char *request,
                    tn_rc (*each)(struct mc_call *, struct mc_node *))
{
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < k->c->inst->ring.n; i++) {
        const struct mc_server *server = &k->c->inst->ring.server[i];
        struct mc_node *node = NULL;
        char name[300];
        rc = mc_node_ready(k->c, i, k->deadline_ns, &node, k->err);
        if (rc != TN_OK) {
            return rc;
        }
        message_puts(mc_request(k->c), request);
        rc = mc_send(node, &k->c->out, k->deadline_ns, k->err);
        int n = snprintf(name, sizeof name, "%s:%u", server->host, server->port);
        tape_key(k->out, name, (size_t)n);
        rc = rc == TN_OK ? each(k, node) : rc;
        rc = mc_node_judge(k->c, node, rc, k->err);
    }
    k->c->fresh = false;
    return rc;
}

static tn_rc read_stats(struct mc_call *k, struct mc_node *node)
{
    tn_rc rc;
    tn_str line;
    tape_map(k->out);
    for (;;) {
        rc = mc_line(node, k->deadline_ns, &line, k->err);
        if (rc != TN_OK || mc_is(line, "END") || mc_is(line, "RESET")) {
            break;
        }
        bool some = mc_begins(line, "STAT ");
        const char *name = some ? line.s + 5 : line.s;
        const char *blank = some ? memchr(name, ' ', line.n - 5) : NULL;
        if (blank == NULL) { /* nobody knows what of the reply still comes */
            return mc_broken(mc_unexpected(line, k->err), k->err);
        }
        tape_key(k->out, name, (size_t)(blank - name));
        tape_str(k->out, blank + 1, line.n - 5 - (size_t)(blank + 1 - name));
        if (k->out->rc != TN_OK) { /* a server that never ends */
            return mc_broken(tape_judge(k->out, mc_host, k->err), k->err);
        }
    }
    tape_end(k->out);
    return rc;
}

/* stats(section): {server: {name: text}} */
tn_rc mc_stats(struct mc_call *k)
{
    char request[64] = "stats\r\n";
    const tn_val *section = &k->a[0];
    if (section->type != TN_T_NULL) {
        bool ok = section->type == TN_T_STR && section->n > 0 && section->n < 40;
        for (uint32_t i = 0; ok && i < section->n; i++) {
            ok = (section->u.s[i] >= 'a' && section->u.s[i] <= 'z') || section->u.s[i] == '_';
        }
        if (!ok) {
            return mc_host->fail(k->err, TN_E_INVAL,
                                 "a section of stats is a word, such as items, slabs, settings");
        }
        snprintf(request, sizeof request, "stats %.*s\r\n", (int)section->n, section->u.s);
    }
    if (strstr(request, "detail") != NULL) {
        return mc_host->fail(k->err, TN_E_UNSUPP, "stats detail is not available");
    }
    tape_map(k->out);
    tn_rc rc = to_all(k, request, read_stats);
    tape_end(k->out);
    return rc;
}

static tn_rc read_version(struct mc_call *k, struct mc_node *node)
{
    tn_str line = {NULL, 0};
    tn_rc rc = mc_line(node, k->deadline_ns, &line, k->err);
    if (rc == TN_OK && !mc_begins(line, "VERSION ")) {
        return mc_unexpected(line, k->err);
    }
    if (rc == TN_OK) {
        tape_str(k->out, line.s + 8, line.n - 8);
    }
    return rc;
}

/* version(): {server: text} */
tn_rc mc_version(struct mc_call *k)
{
    tape_map(k->out);
    tn_rc rc = to_all(k, "version\r\n", read_version);
    tape_end(k->out);
    return rc;
}

static tn_rc read_ok(struct mc_call *k, struct mc_node *node)
{
    tn_str line = {NULL, 0};
    tn_rc rc = mc_line(node, k->deadline_ns, &line, k->err);
    tape_bool(k->out, true);
    return rc == TN_OK && !mc_is(line, "OK") ? mc_unexpected(line, k->err) : rc;
}

/* flush_all(delay): {server: True} */
tn_rc mc_flush(struct mc_call *k)
{
    char request[64];
    int64_t delay = 0;
    tn_rc rc = mc_number(&k->a[0], "delay (seconds)", 0, 0, UINT32_MAX, &delay, k->err);
    if (rc == TN_OK) {
        snprintf(request, sizeof request, "flush_all %lld\r\n", (long long)delay);
        tape_map(k->out);
        rc = to_all(k, request, read_ok);
        tape_end(k->out);
    }
    return rc;
}

/* ---- meta commands ----------------------------------------------------------------------------------- */

#define FLAGS_MAX 32

/* The flags of a request behind the key: words of one letter and an argument. */
static tn_rc put_flags(struct mc_call *k, const tn_val *flags)
{
    if (flags->type == TN_T_NULL) {
        return TN_OK;
    }
    if (flags->type != TN_T_LIST || flags->n > FLAGS_MAX) {
        return mc_host->fail(k->err, TN_E_INVAL, "flags must be a list of up to %d words",
                             FLAGS_MAX);
    }
    for (uint32_t i = 0; i < flags->n; i++) {
        const tn_val *f = &flags->u.list[i];
        bool ok = f->type == TN_T_STR && f->n > 0 && f->n <= 64;
        for (uint32_t j = 0; ok && j < f->n; j++) {
            ok = f->u.s[j] > 0x20 && f->u.s[j] < 0x7f;
        }
        /* q leaves out replies and k and O shift what comes back; nobody could tell whose reply it is */
        if (!ok || strchr("qkO", f->u.s[0]) != NULL) {
            return mc_host->fail(k->err, ok ? TN_E_UNSUPP : TN_E_INVAL,
                                 "flag %u is not allowed: a word of a letter and its argument is "
                                 "needed, not q, k or O",
                                 i);
        }
        message_puts(&k->c->out, " ");
        message_put(&k->c->out, f->u.s, f->n);
    }
    return TN_OK;
}

/* {"code": "HD", "flags": ["t60"], "value": bytes} of a reply. */
static tn_rc read_meta(struct mc_call *k, struct mc_node *node)
{
    tn_str line = {NULL, 0};
    const char *s = NULL;
    char copy[1024];
    size_t bytes = 0, at = 2;
    tn_rc rc = mc_line(node, k->deadline_ns, &line, k->err);
    if (rc != TN_OK) {
        return rc;
    }
    static const char *const codes[] = {"HD", "VA", "EN", "NS", "EX", "NF", "MN", "ME"};
    bool known = false;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        known |= mc_begins(line, codes[i]);
    }
    if (!known || line.n >= sizeof copy || (line.n > 2 && line.s[2] != ' ')) {
        return mc_unexpected(line, k->err);
    }
    memcpy(copy, line.s, line.n);
    copy[line.n] = '\0';
    if (mc_begins(line, "VA")) {
        char *end;
        bytes = strtoul(copy + 2, &end, 10);
        if (end == copy + 2 || copy[3] < '0' || copy[3] > '9') {
            return mc_unexpected(line, k->err);
        }
        at = (size_t)(end - copy);
        rc = mc_block(node, bytes, k->deadline_ns, &s, k->err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    tape_map(k->out);
    tape_key(k->out, "code", 4);
    tape_text(k->out, TN_T_STR, 0, copy, 2);
    tape_key(k->out, "flags", 5);
    tape_list(k->out);
    for (const char *p = copy + at; *p != '\0';) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (n != 0) {
            tape_str(k->out, p, n);
        }
        p += n;
    }
    tape_end(k->out);
    tape_key(k->out, "value", 5);
    if (s != NULL) {
        tape_text(k->out, TN_T_BYTES, 0, s, bytes);
    } else {
        tape_null(k->out);
    }
    tape_end(k->out);
    return TN_OK;
}

/* meta(command, key, flags, value): mg, ms, md, ma */
tn_rc mc_meta(struct mc_call *k)
{
    static const char *const verbs[] = {"mg", "ms", "md", "ma"};
    const tn_val *command = &k->a[0], *value = &k->a[3];
    struct message_buf *b = mc_request(k->c), data = {NULL, 0, 0, false};
    struct mc_node *node = NULL;
    const char *verb = NULL;
    uint32_t i = 0, flags = 0;
    tn_str key;
    for (size_t v = 0; v < 4; v++) {
        if (command->type == TN_T_STR && command->n == 2 &&
            strncasecmp(command->u.s, verbs[v], 2) == 0) {
            verb = verbs[v];
        }
    }
    if (verb == NULL) {
        return mc_host->fail(k->err, TN_E_INVAL, "meta() knows mg, ms, md and ma");
    }
    tn_rc rc = mc_key(&k->a[1], &key, k->err);
    rc = rc == TN_OK ? mc_node_for(k->c, key, k->deadline_ns, &i, k->err) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    node = &k->c->node[i];
    bool stores = strcmp(verb, "ms") == 0;
    if (stores && value->type != TN_T_STR && value->type != TN_T_BYTES) {
        return mc_host->fail(k->err, TN_E_INVAL, "ms needs a value: a text or bytes");
    }
    message_puts(b, verb);
    message_puts(b, " ");
    message_put(b, key.s, key.n);
    if (stores) {
        rc = mc_encode(value, 0, &data, &flags, k->err);
        message_puts(b, " ");
        message_put_int(b, (int64_t)data.n);
    }
    rc = rc == TN_OK ? put_flags(k, &k->a[2]) : rc;
    message_puts(b, "\r\n");
    if (stores) {
        message_put(b, data.s, data.n);
        message_puts(b, "\r\n");
    }
    free(data.s);
    if (rc == TN_OK) {
        rc = mc_send(node, b, k->deadline_ns, k->err);
        k->c->fresh = false;
        rc = rc == TN_OK ? read_meta(k, node) : rc;
        rc = mc_node_judge(k->c, node, rc, k->err);
    }
    return rc;
}
