/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the stand-in for Oracle's client library share. Numbers are those of the OCI manual. */
#pragma once
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

/* An exported function, declared and begun. */
#define OCI(type, name, args)                                                                      \
    __attribute__((visibility("default"))) type name args;                                         \
    type name args

enum { OK = 0, WITH_INFO = 1, FAILED = -1, INVALID_HANDLE = -2, NO_DATA = 100, CONTINUE = -24200 };
enum { HT_ENV = 1, HT_ERROR, HT_SVC, HT_STMT, HT_BIND, HT_DEFINE, HT_PARAM, HT_SERVER, HT_SESSION };
enum {
    DT_LOB = 50,
    DT_PARAM = 53,
    DT_ROWID = 54,
    DT_YM = 62,
    DT_DS = 63,
    DT_STAMP = 68,
    DT_TZ,
    DT_LTZ
};
enum { /* SQLT_ */
       T_CHR = 1,
       T_NUM = 2,
       T_INT = 3,
       T_VNU = 6,
       T_LNG = 8,
       T_DAT = 12,
       T_BFLOAT = 21,
       T_BDOUBLE = 22,
       T_BIN = 23,
       T_LBI = 24,
       T_AFC = 96,
       T_IBFLOAT = 100,
       T_IBDOUBLE = 101,
       T_RDD = 104,
       T_CLOB = 112,
       T_BLOB = 113,
       T_RSET = 116,
       T_JSON = 119,
       T_ODT = 156,
       T_STAMP = 187,
       T_STAMP_TZ = 188,
       T_YM = 189,
       T_DS = 190,
       T_LTZ = 232,
       T_BOL = 252
};
enum { /* statements */
       S_SELECT = 1,
       S_UPDATE,
       S_DELETE,
       S_INSERT,
       S_CREATE,
       S_DROP,
       S_ALTER,
       S_BEGIN,
       S_DECLARE,
       S_CALL,
       S_EXPLAIN = 15,
       S_MERGE = 16,
       S_ROLLBACK = 17,
       S_COMMIT = 21
};

struct failure {
    int code;
    uint32_t row; /* of an array */
    char text[600];
};
/* An environment takes the handles of errors with it when it goes: ODPI-C frees none of them. */
struct env {
    pthread_mutex_t mutex;
    struct error *first;
};
struct error {
    struct env *env;
    struct error *next, **back;
    struct failure f;
    struct failure *batch;
    uint32_t nbatch;
};
struct server {
    char folder[128], service[64];
    int port;
    bool gone;
};
struct session {
    char user[128], password[256], module[65], action[65], client[65];
    char date_format[64]; /* what ALTER SESSION has set */
};
struct svc {
    struct server *server;
    struct session *session;
    sqlite3 *db;
    uint32_t call_timeout, cache;
    uint64_t deadline_ns; /* of the call under way */
    atomic_bool stop;
    bool changed; /* a transaction is open */
};
/* What a column or a value is. */
struct kind {
    uint16_t type;
    int16_t precision;
    int8_t scale;
    uint16_t size; /* bytes or characters */
    bool national;
};
struct bind {
    struct stmt *stmt;
    struct bind *next;
    uint32_t pos; /* 0: by name */
    char name[129];
    char *at;
    int64_t size;
    uint16_t type;
    int16_t *ind;
    uint32_t *lens;
    uint16_t *codes;
    void *in_ctx, *out_ctx;
    int32_t (*in)(void *, void *, uint32_t, uint32_t, void **, uint32_t *, uint8_t *, void **);
    int32_t (*out)(void *, void *, uint32_t, uint32_t, void **, uint32_t **, uint8_t *, void **,
                   uint16_t **);
    uint32_t returned;
};
struct define {
    char *at;
    uint64_t size;
    uint16_t type;
    int16_t *ind;
    uint32_t *lens;
    uint16_t *codes;
    void *ctx;
    int32_t (*more)(void *, void *, uint32_t, void **, uint32_t **, uint8_t *, void **,
                    uint16_t **);
};
struct column {
    char *name;
    struct kind kind;
};
struct stmt {
    struct svc *svc;
    char *text; /* Oracle's, and what SQLite gets */
    char *lite;
    uint16_t kind;
    bool returning, described;
    sqlite3_stmt *s;
    bool pending; /* a row has been stepped to and not been read */
    bool done;
    struct bind *binds;
    uint32_t nbinds; /* placeholders in the text */
    char (*names)[129];
    struct define *defines;
    struct column *cols;
    uint32_t ncols;
    uint32_t fetched;
    uint64_t rows;
    uint32_t nerrors;
};
struct moment { /* a timestamp */
    int16_t year;
    uint8_t month, day, hour, minute, second;
    uint32_t nano;
    int8_t tz_hour, tz_minute;
};
struct span {
    int32_t days, hours, minutes, seconds, nanos; /* or years, months */
};
struct date { /* OCIDate */
    int16_t year;
    uint8_t month, day, hour, minute, second;
};
struct lob {
    char *data;
    size_t n;
    bool temporary, binary;
};
struct rowid {
    char text[24];
};

/* ---- handles.c ---- */
int fail(struct error *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- session.c ---- */
uint64_t now_ns(void);
/* 0, or the code with which a call ends now: the server has gone, was told to stop, or time is up. */
int interrupted(struct svc *svc);
/* A call begins: a server that is gone or hangs shows itself. */
int begin_call(struct svc *svc, struct error *e);
void busy(const struct svc *svc,
          bool on);                       /* a file tells the tests that a statement is under way */
int nap(struct svc *svc, double seconds); /* 0, or the code that ended it */
int end_work(struct svc *svc, struct error *e, bool keep);
bool control(const struct server *server, const char *name, char *ret, size_t cap);
/* (NAME=value) or (NAME="value") of a descriptor. */
bool descriptor_part(const char *text, const char *name, char *ret, size_t cap);

/* ---- tls.c ---- */
/* Whether the listener of a descriptor that says TCPS is the right one. */
int tls_handshake(struct error *e, const char *descriptor);

/* ---- sql.c ---- */
uint16_t statement_kind(const char *text);
/* Oracle's text as SQLite's: *ret_names placeholders in order. NULL: no memory. */
char *rewrite(struct stmt *st);
int sql_failure(struct svc *svc, struct error *e, const char *text);
void sql_functions(sqlite3 *db, struct svc *svc);

/* ---- kind.c ---- */
void describe(struct stmt *st);
bool kind_of_text(const char *decl, struct kind *ret);

/* ---- value.c ---- */
void number_from_text(const char *text, uint8_t out[22]);
void number_to_text(const uint8_t in[22], char text[200]);
void bind_value(sqlite3_stmt *s, int i, const struct bind *b, uint32_t row);
/* A value of the current row, or of any expression, into the program's memory. 0 or the code of an error. */
int deliver(struct define *d, const struct kind *kind, sqlite3_value *v, uint32_t row);
int deliver_bind(struct bind *b, sqlite3_value *v);

/* ---- block.c ---- */
int run_block(struct stmt *st, struct error *e);

/* ---- stmt.c ---- */
void stmt_finish(struct stmt *st);
int stmt_open(struct stmt *st, struct error *e); /* prepares `lite` */
struct bind *stmt_bind(struct stmt *st, const char *name, uint32_t pos);
