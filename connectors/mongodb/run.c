/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: BSON from Python goes out as it is, the reply comes back as it is. */
#include "mongodb.h"
#include "common/label.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The third argument of run(). */
#define F_READ        1 /* goes where reads go, and is asked again when the line broke */
#define F_WRITE       2 /* is asked again when the server can tell that it was not done */
#define F_BOUND       4 /* the server stops working on it at the deadline */
#define F_REPLY       8 /* a refusal of the server is a reply, too */
/* Of a read: who may answer, other than the configuration says; 0: nothing was said. */
#define F_MODE(flags) ((flags) >> 4 & 7)

#define COMMAND_MAX (48u << 20) /* longest message of the protocol */

/* ---- cursors that are open --------------------------------------------------------------------------- */

static void forget(struct mg_conn *c, int64_t id)
{
    for (uint32_t i = 0; i < c->ncursors; i++) {
        if (c->cursors[i].id == id) {
            c->cursors[i] = c->cursors[--c->ncursors];
            return;
        }
    }
}

/* A reply may open a cursor or tell that it is at its end; `more` is the id in a getMore. */
static void notice(struct mg_conn *c, const bson_t *reply, int64_t more, uint32_t server)
{
    bson_iter_t it, cursor;
    uint32_t n;
    if (!bson_iter_init_find(&it, reply, "cursor") || bson_iter_type(&it) != BSON_TYPE_DOCUMENT ||
        !bson_iter_recurse(&it, &cursor) || !bson_iter_find(&cursor, "id")) {
        if (more != 0) {
            forget(c, more); /* the server does not know it any more */
        }
        return;
    }
    int64_t id = bson_iter_as_int64(&cursor);
    if (more != 0 && id != more) {
        forget(c, more);
    }
    if (id == 0 || id == more || c->ncursors == MG_CURSORS_MAX ||
        !bson_iter_recurse(&it, &cursor) || !bson_iter_find(&cursor, "ns") ||
        bson_iter_type(&cursor) != BSON_TYPE_UTF8) {
        return;
    }
    struct mg_cursor *slot = &c->cursors[c->ncursors];
    const char *ns = bson_iter_utf8(&cursor, &n), *dot = strchr(ns, '.');
    if (n < sizeof slot->ns && strlen(ns) == n && dot != NULL && dot != ns) {
        memcpy(slot->ns, ns, n + 1);
        slot->id = id;
        slot->server = server;
        c->ncursors++;
    }
}

void mg_close_cursors(struct mg_conn *c)
{
    while (c->ncursors != 0 && c->why.rc == TN_OK) {
        struct mg_cursor *slot = &c->cursors[--c->ncursors];
        char *dot = strchr(slot->ns, '.');
        bson_t command = BSON_INITIALIZER, ids, opts = BSON_INITIALIZER;
        *dot = '\0';
        BSON_APPEND_UTF8(&command, "killCursors", dot + 1);
        BSON_APPEND_ARRAY_BEGIN(&command, "cursors", &ids);
        BSON_APPEND_INT64(&ids, "0", slot->id);
        bson_append_array_end(&command, &ids);
        if (slot->server != 0) {
            BSON_APPEND_INT32(&opts, "serverId", (int32_t)slot->server);
        }
        mongoc_client_command_with_opts(c->client, slot->ns, &command, NULL, &opts, NULL, NULL);
        bson_destroy(&command);
        bson_destroy(&opts);
    }
    c->ncursors = 0;
}

/* ---- one command ------------------------------------------------------------------------------------- */

/* What takes a `comment`, and since which version of the protocol (9: MongoDB 4.4). A getMore has that of its cursor. */
static const struct {
    const char *name;
    int32_t wire;
} commented[] = {{"find", 0},   {"aggregate", 0},     {"insert", 9}, {"update", 9},
                 {"delete", 9}, {"findAndModify", 9}, {"count", 9},  {"distinct", 9}};

static int32_t wire_of(const mongoc_server_description_t *d)
{
    bson_iter_t it;
    return bson_iter_init_find(&it, mongoc_server_description_hello_response(d), "maxWireVersion")
               ? (int32_t)bson_iter_as_int64(&it)
               : 0;
}

/* Of the server that is written to; asked for once, from what libmongoc knows. */
static int32_t wire(struct mg_conn *c)
{
    bson_error_t error;
    if (c->wire == 0) {
        mongoc_server_description_t *d = mongoc_client_select_server(c->client, true, NULL, &error);
        c->wire = d != NULL ? wire_of(d) : 0;
        if (d != NULL) {
            mongoc_server_description_destroy(d);
        }
    }
    return c->wire;
}

/* The calling function, for currentOp, the profiler and the log of slow operations. */
static void put_comment(struct mg_conn *c, const bson_t *command, bson_t *opts)
{
    char label[LABEL_MAX];
    bson_iter_t it;
    const char *name = bson_iter_init(&it, command) && bson_iter_next(&it) ? bson_iter_key(&it)
                                                                           : "";
    for (size_t i = 0; i < sizeof commented / sizeof *commented; i++) {
        if (strcmp(name, commented[i].name) == 0 && !bson_has_field(command, "comment") &&
            (commented[i].wire == 0 || wire(c) >= commented[i].wire) &&
            label_caller(mg_host, label) != 0) {
            BSON_APPEND_UTF8(opts, "comment", label);
        }
    }
}

/* The server stops when we stop listening, or sooner when the script says so. It refuses a command with two limits, so one that
 * comes too late is left out: the command is then in *room. */
static const bson_t *bounded(const bson_t *command, int left_ms, bson_t *room, bson_t *opts)
{
    int64_t limit = left_ms > 200 ? left_ms - 50 : left_ms; /* time for its answer */
    bson_iter_t it;
    bool has = bson_iter_init_find(&it, command, "maxTimeMS");
    int64_t own = has ? bson_iter_as_int64(&it) : 0;
    if ((own > 0 && own <= limit) || own < 0 || (has && !BSON_ITER_HOLDS_NUMBER(&it))) {
        return command; /* what is no limit is refused by the server */
    }
    BSON_APPEND_INT64(opts, "maxTimeMS", limit);
    if (!has) {
        return command;
    }
    bson_copy_to_excluding_noinit(command, room, "maxTimeMS", NULL);
    return room;
}

static tn_rc options(struct mg_conn *c, uint32_t server, bson_t *opts, tn_err *err)
{
    bson_error_t error;
    if (server != 0) {
        BSON_APPEND_INT32(opts, "serverId", (int32_t)server);
    }
    if (c->session != NULL && !mongoc_client_session_append(c->session, opts, &error)) {
        return mg_fail(c, &error, err);
    }
    return TN_OK;
}

/* In the order of pymongo's modes. NULL: as the configuration says. */
static mongoc_read_prefs_t *own_prefs(uint32_t flags)
{
    static const mongoc_read_mode_t modes[] = {0,
                                               MONGOC_READ_PRIMARY,
                                               MONGOC_READ_PRIMARY_PREFERRED,
                                               MONGOC_READ_SECONDARY,
                                               MONGOC_READ_SECONDARY_PREFERRED,
                                               MONGOC_READ_NEAREST};
    uint32_t i = F_MODE(flags);
    return i != 0 && i < sizeof modes / sizeof *modes ? mongoc_read_prefs_new(modes[i]) : NULL;
}

/* Which server answers, so that a cursor can be read on. */
static tn_rc choose(struct mg_conn *c, uint32_t flags, const mongoc_read_prefs_t *prefs,
                    uint32_t *server, tn_err *err)
{
    bson_error_t error;
    mongoc_server_description_t *d = mongoc_client_select_server(c->client, !(flags & F_READ),
                                                                 prefs, &error);
    if (d == NULL) {
        return mg_fail(c, &error, err);
    }
    *server = mongoc_server_description_id(d);
    mongoc_server_description_destroy(d);
    return TN_OK;
}

static bool transmit(struct mg_conn *c, const char *db, const bson_t *command, uint32_t flags,
                     const mongoc_read_prefs_t *prefs, const bson_t *opts, bson_t *reply,
                     bson_error_t *error)
{
    if (flags & F_READ) {
        return mongoc_client_read_command_with_opts(c->client, db, command, prefs, opts, reply,
                                                    error);
    }
    return flags & F_WRITE
               ? mongoc_client_write_command_with_opts(c->client, db, command, opts, reply, error)
               : mongoc_client_command_with_opts(c->client, db, command, NULL, opts, reply, error);
}

static int64_t more_of(const bson_t *command)
{
    bson_iter_t it;
    return bson_iter_init(&it, command) && bson_iter_next(&it) &&
                   strcmp(bson_iter_key(&it), "getMore") == 0
               ? bson_iter_as_int64(&it)
               : 0;
}

static tn_rc talk(struct mg_conn *c, const char *db, const bson_t *command, uint32_t flags,
                  uint32_t server, uint64_t deadline_ns, struct mg_reply *r, tn_err *err)
{
    bson_t opts = BSON_INITIALIZER, room = BSON_INITIALIZER;
    bson_error_t error = {0};
    const char *why;
    bool cursors = (flags & F_READ) != 0 && server == 0;
    mongoc_read_prefs_t *own = own_prefs(flags);
    const mongoc_read_prefs_t *prefs = own != NULL ? own : mongoc_client_get_read_prefs(c->client);
    tn_rc rc = cursors ? choose(c, flags, prefs, &server, err) : TN_OK;
    rc = rc == TN_OK ? options(c, server, &opts, err) : rc;
    if (rc == TN_OK) {
        int left = net_left_ms(mg_host, deadline_ns);
        command = flags & F_BOUND && left > 0 ? bounded(command, left, &room, &opts) : command;
        put_comment(c, command, &opts);
        bool ok = transmit(c, db, command, flags, prefs, &opts, &r->doc, &error);
        bool refusal = !ok && error.domain == MONGOC_ERROR_SERVER;
        ok |= error.domain ==
              MONGOC_ERROR_WRITE_CONCERN; /* done, and Python says what is missing */
        if (!ok && !(refusal && bson_has_field(&r->doc, "ok"))) {
            rc = mg_fail(c, &error, err);
        } else if (refusal) {
            tn_err judged = TN_ERR_INIT;
            rc = mg_fail(c, &error, &judged) == TN_E_UNAVAIL || !(flags & F_REPLY) ? judged.rc
                                                                                   : TN_OK;
            if (rc != TN_OK && err != NULL) {
                *err = judged;
            }
        }
    }
    if (rc == TN_OK && !mg_sound(&r->doc, &why)) {
        rc = mg_host->fail(err, TN_E_REMOTE, "the reply of the server cannot be read: %s", why);
    }
    if (rc == TN_OK) {
        r->server = server;
        r->conn = c->serial;
        notice(c, &r->doc, more_of(command), server);
    }
    mongoc_read_prefs_destroy(own);
    bson_destroy(&opts);
    bson_destroy(&room);
    return rc;
}

static tn_rc take_command(const tn_val *v, bson_t *ret, tn_err *err)
{
    const char *why = "it is no document";
    if (v->type != TN_T_BYTES || v->n > COMMAND_MAX) {
        return mg_host->fail(err, v->type != TN_T_BYTES ? TN_E_INVAL : TN_E_LIMIT,
                             v->type != TN_T_BYTES ? "a command must be BSON"
                                                   : "a command of %u bytes is larger than 48 MiB",
                             v->n);
    }
    if (!bson_init_static(ret, v->u.b, v->n) || !mg_sound(ret, &why)) {
        return mg_host->fail(err, TN_E_INVAL, "the command cannot be sent: %s", why);
    }
    return TN_OK;
}

static bool is_int(const tn_val *v)
{
    return v->type == TN_T_INT && v->u.i >= 0 && v->u.i <= INT32_MAX;
}

tn_rc mg_run(struct mg_conn *c, const tn_args *a, uint64_t deadline_ns, struct mg_reply **ret,
             tn_err *err)
{
    const tn_val *db = &a->pos[0];
    char name[64];
    bson_t command;
    if (a->npos < 5 || db->type != TN_T_STR || db->n == 0 || db->n >= sizeof name ||
        memchr(db->u.s, '\0', db->n) != NULL || !is_int(&a->pos[2]) || !is_int(&a->pos[3]) ||
        !is_int(&a->pos[4])) {
        return mg_host->fail(
            err, TN_E_INVAL,
            "run(db, command, flags, server, conn): the name of a database has 1 to 63 "
            "bytes, and none of them is NUL");
    }
    memcpy(name, db->u.s, db->n);
    name[db->n] = '\0';
    tn_rc rc = take_command(&a->pos[1], &command, err);
    if (rc != TN_OK) {
        return rc;
    }
    if (a->pos[4].u.i != 0 && a->pos[4].u.i != c->serial) {
        return mg_host->fail(
            err, TN_E_INVAL,
            "this cursor belongs to another connection; a cursor is read by the thread "
            "that made it, in the call that made it");
    }
    struct mg_reply *r = aligned_alloc(_Alignof(struct mg_reply),
                                       sizeof *r); /* a bson_t wants 128 */
    if (r == NULL) {
        return mg_host->fail(err, TN_E_NOMEM, "no memory for the reply");
    }
    bson_init(&r->doc); /* libmongoc initialises it once more, in every case */
    rc = talk(c, name, &command, (uint32_t)a->pos[2].u.i, (uint32_t)a->pos[3].u.i, deadline_ns, r,
              err);
    if (rc != TN_OK) {
        mg_reply_free(r);
        return rc;
    }
    *ret = r;
    return TN_OK;
}

void mg_reply_free(struct mg_reply *reply)
{
    if (reply != NULL) {
        bson_destroy(&reply->doc);
        free(reply);
    }
}
