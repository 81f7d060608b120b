/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile server of MongoDB's protocol may say, through our stream and libmongoc up to the reply that a script gets.
 * Input: a byte that chooses where its bytes begin, one for the size of the pieces in which they come, then the bytes; or a
 * document. Whatever comes, nobody ends the process, how it is cut must not matter, and a reply that is given out can be
 * walked to its last value within the bound of nesting. */
#include "connectors/mongodb/mongodb.h"
#include "tests/fuzz/wire.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
const tn_plugin *tn_plugin_v1(void);

enum { M_RUN = 1 };
enum { DOCUMENT, HELLO, FIRST, REPLY, MESSAGE, OLD_MESSAGE, PACKED, KINDS };
enum { OP_REPLY = 1, OP_COMPRESSED = 2012, OP_MSG = 2013 };

/* ---- the server -------------------------------------------------------------------------------------- */

tn_rc stream_write(struct stream *s, const void *p, size_t n, uint64_t deadline_ns, tn_err *err)
{
    (void)s, (void)p, (void)n, (void)deadline_ns, (void)err;
    return TN_OK;
}

tn_rc stream_read(struct stream *s, void *p, size_t cap, uint64_t deadline_ns, size_t *ret_n,
                  tn_err *err)
{
    (void)s, (void)deadline_ns;
    *ret_n = wire_take(p, cap);
    return *ret_n != 0 ? TN_OK : err_set(err, TN_E_UNAVAIL, "the server closed the connection");
}

static struct {
    uint8_t p[1 << 17];
    size_t n;
} said;

static void put(const void *p, size_t n)
{
    if (n > sizeof said.p - said.n) {
        abort();
    }
    memcpy(said.p + said.n, p, n);
    said.n += n;
}

static void put32(uint32_t v)
{
    const uint8_t le[] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    put(le, sizeof le);
}

/* A message whose lengths are right, with `n` bytes where its document is. */
static void put_message(uint32_t op, const void *p, size_t n)
{
    uint32_t head = op == OP_REPLY ? 36 : op == OP_MSG ? 21 : 16;
    put32(head + (uint32_t)n);
    put32(1);
    put32(1);
    put32(op);
    if (op == OP_REPLY) {
        const uint8_t rest[] = {8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
        put(rest, sizeof rest);
    } else if (op == OP_MSG) {
        put("\0\0\0\0", 5); /* no flags; a section of one document */
    }
    put(p, n);
}

/* Bytes as a document: its length and its last byte are right. */
static void put_document(uint32_t op, const uint8_t *data, size_t n)
{
    uint8_t *doc = malloc(n + 5);
    uint32_t size = (uint32_t)n + 5;
    if (doc == NULL) {
        abort();
    }
    memcpy(doc, &size, 4);
    memcpy(doc + 4, data, n);
    doc[n + 4] = 0;
    put_message(op, doc, size);
    free(doc);
}

static void put_hello(void)
{
    bson_t b = BSON_INITIALIZER;
    BSON_APPEND_BOOL(&b, "ismaster", true);
    BSON_APPEND_BOOL(&b, "isWritablePrimary", true);
    BSON_APPEND_INT32(&b, "maxWireVersion", 13);
    BSON_APPEND_INT32(&b, "minWireVersion", 0);
    BSON_APPEND_INT32(&b, "maxBsonObjectSize", 16 << 20);
    BSON_APPEND_INT32(&b, "maxMessageSizeBytes", 48000000);
    BSON_APPEND_INT32(&b, "maxWriteBatchSize", 100000);
    BSON_APPEND_DOUBLE(&b, "ok", 1);
    put_message(OP_REPLY, bson_get_data(&b), b.len);
    bson_destroy(&b);
}

static void put_ok(void)
{
    bson_t b = BSON_INITIALIZER;
    BSON_APPEND_DOUBLE(&b, "ok", 1);
    put_message(OP_MSG, bson_get_data(&b), b.len);
    bson_destroy(&b);
}

/* ---- documents --------------------------------------------------------------------------------------- */

static int deepest;

/* Every value is looked at, so that a sanitizer sees a read beyond the end. */
static bool visit_document(const bson_iter_t *it, const char *key, const bson_t *doc, void *depth);

static const bson_visitor_t visitor = {.visit_document = visit_document,
                                       .visit_array = visit_document};

static bool visit_document(const bson_iter_t *it, const char *key, const bson_t *doc, void *depth)
{
    bson_iter_t inside;
    int next = *(int *)depth + 1;
    (void)it, (void)key;
    deepest = next > deepest ? next : deepest;
    return bson_iter_init(&inside, doc) && bson_iter_visit_all(&inside, &visitor, &next);
}

static void judge(const bson_t *doc)
{
    const char *why = NULL;
    bson_iter_t it;
    int depth = 0;
    if (!mg_sound(doc, &why)) {
        if (why == NULL || why[0] == '\0') {
            abort();
        }
        return;
    }
    deepest = 0;
    if (!bson_iter_init(&it, doc)) {
        abort();
    }
    bson_iter_visit_all(&it, &visitor, &depth);
    if (deepest > MG_DEPTH_MAX) {
        abort();
    }
}

/* ---- one conversation -------------------------------------------------------------------------------- */

static struct {
    tn_rc opened, done;
    uint64_t reply;
} heard;

static tn_rc sink_scalar(tn_sink *sink, const tn_val *v)
{
    bson_t doc;
    (void)sink;
    const tn_val *reply = &v->u.list[0];
    if (!bson_init_static(&doc, reply->u.b, reply->n)) {
        abort();
    }
    judge(&doc);
    for (uint32_t i = 0; i < reply->n; i++) {
        heard.reply = (heard.reply ^ reply->u.b[i]) * 0x100000001B3u;
    }
    return TN_OK;
}

static const tn_sink_ops sink_ops = {.size = sizeof sink_ops, .scalar = sink_scalar};

static void run(const tn_connector_ops *ops, struct mg *inst, void *conn)
{
    static const uint8_t command[] = {15, 0, 0, 0, 0x10, 'p', 'i', 'n', 'g', 0, 1, 0, 0, 0, 0};
    const tn_val a[] = {{.type = TN_T_STR, .n = 1, .u.s = "d"},
                        {.type = TN_T_BYTES, .n = sizeof command, .u.b = command},
                        {.type = TN_T_INT},
                        {.type = TN_T_INT},
                        {.type = TN_T_INT}};
    const tn_args args = {.pos = a, .npos = 5};
    tn_sink sink = {.ops = &sink_ops};
    tn_err err = TN_ERR_INIT;
    tn_result result = {NULL, 0, 0};
    heard.done = ops->invoke(inst, conn, M_RUN, &args, 2000000000u, &result, &err);
    if (heard.done == TN_OK) {
        ops->emit(inst, &result, &sink, &err);
        ops->result_free(inst, &result);
    }
}

static void converse(const uint8_t *data, size_t n, size_t piece, unsigned kind)
{
    const struct mg_conf conf = {.host = "127.0.0.1",
                                 .port = 1,
                                 .application = "t",
                                 .tls = "off",
                                 .auth_mechanism = "default",
                                 .read_preference = "primary",
                                 .compressors = "zlib",
                                 .direct = true,
                                 .max_result = {65536}};
    const tn_plugin *plugin = tn_plugin_v1();
    const tn_connector_ops *ops = plugin->ops;
    struct mg inst = {.conf = NULL};
    tn_err err = TN_ERR_INIT;
    void *conn = NULL;
    said.n = 0;
    if (kind == HELLO) {
        put_document(OP_REPLY, data, n);
        put_ok();
    } else if (kind != FIRST) {
        put_hello();
        put_ok();
    }
    size_t first = said.n; /* what follows is said when it was asked for */
    if (kind == MESSAGE || kind == OLD_MESSAGE) {
        put_document(kind == MESSAGE ? OP_MSG : OP_REPLY, data, n);
    } else if (kind != HELLO) {
        if (kind == PACKED) {
            put_message(OP_COMPRESSED, data, n);
        } else {
            put(data, n);
        }
    }
    wire.s = said.p;
    wire.n = kind == FIRST ? said.n : first;
    wire.piece = piece;
    memset(&heard, 0, sizeof heard);
    if (plugin->attach(&inst, &conf, &err) != TN_OK) {
        abort();
    }
    heard.opened = ops->open(&inst, 2000000000u, &conn, &err);
    if (heard.opened == TN_OK) {
        if (kind != FIRST && kind != HELLO) {
            wire.n += said.n - first;
            run(ops, &inst, conn);
        }
        ops->reset(&inst, conn, &err);
        ops->close(&inst, conn, TN_CLOSE_BROKEN);
    }
    plugin->detach(&inst);
}

static void prepare(void)
{
    static const tn_host host = {.size = sizeof host, .fail = err_set, .now_ns = now_ns};
    static int done;
    if (!done) {
        int fd = open("/dev/null",
                      O_RDWR | O_CLOEXEC); /* what is always ready, for libmongoc's poll() */
        if (fd < 0 || (fd != 0 && dup2(fd, 0) != 0)) {
            abort();
        }
        setenv("MONGOC_DISABLE_SHM", "1", 1);
        done = 1;
    }
    tn_plugin_v1()->load(&host, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2 || n > 60000) {
        return 0;
    }
    prepare();
    unsigned kind = data[0] % KINDS;
    if (kind == DOCUMENT) {
        bson_t doc;
        uint8_t *copy = malloc(n - 1); /* of exactly its size */
        memcpy(copy, data + 2, n - 2);
        if (bson_init_static(&doc, copy, n - 2)) {
            judge(&doc);
        }
        free(copy);
        return 0;
    }
    converse(data + 2, n - 2, SIZE_MAX, kind);
    tn_rc opened = heard.opened, did = heard.done;
    uint64_t reply = heard.reply;
    converse(data + 2, n - 2, (size_t)data[1] + 1, kind);
    if (opened != heard.opened || did != heard.done || reply != heard.reply) {
        abort(); /* how an answer is cut must not matter */
    }
    return 0;
}
