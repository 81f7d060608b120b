/* SPDX-License-Identifier: Apache-2.0 */
/* The anchor of single queries: a client library alone, one connection, one thread, the answer read.
 *
 *   bare_query postgresql HOST PORT USER PASSWORD SECONDS    SELECT 1 by PQexec
 *   bare_query mysql      HOST PORT USER PASSWORD SECONDS    SELECT 1 by mysql_query, mysql_store_result
 *   bare_query redis      HOST PORT KEY  ""       SECONDS    GET KEY by redisCommand
 *
 * Prints how many a second. */
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bare_query: %s: %s\n", what, why);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *pg_open(char **v)
{
    const char *const keys[] = {"host", "port", "user", "password", "dbname", NULL};
    const char *const values[] = {v[2], v[3], v[4], v[5], "postgres", NULL};
    PGconn *c = PQconnectdbParams(keys, values, 0);
    if (PQstatus(c) != CONNECTION_OK) {
        fail("postgresql", PQerrorMessage(c));
    }
    return c;
}

static void pg_one(void *conn, char **v)
{
    (void)v;
    PGresult *r = PQexec(conn, "SELECT 1");
    if (PQntuples(r) != 1 || strcmp(PQgetvalue(r, 0, 0), "1") != 0) {
        fail("postgresql", PQerrorMessage(conn));
    }
    PQclear(r);
}

static void *my_open(char **v)
{
    MYSQL *c = mysql_init(NULL);
    if (!mysql_real_connect(c, v[2], v[4], v[5], NULL, (unsigned)atoi(v[3]), NULL, 0)) {
        fail("mysql", mysql_error(c));
    }
    return c;
}

static void my_one(void *conn, char **v)
{
    (void)v;
    MYSQL_RES *r = mysql_query(conn, "SELECT 1") ? NULL : mysql_store_result(conn);
    MYSQL_ROW row = r ? mysql_fetch_row(r) : NULL;
    if (row == NULL || strcmp(row[0], "1") != 0) {
        fail("mysql", mysql_error(conn));
    }
    mysql_free_result(r);
}

static void *redis_open(char **v)
{
    redisContext *c = redisConnect(v[2], atoi(v[3]));
    if (c == NULL || c->err) {
        fail("redis", c ? c->errstr : "no memory");
    }
    return c;
}

static void redis_one(void *conn, char **v)
{
    redisReply *r = redisCommand(conn, "GET %s", v[4]);
    if (r == NULL || r->type != REDIS_REPLY_STRING) {
        fail("redis", r ? "no string" : ((redisContext *)conn)->errstr);
    }
    freeReplyObject(r);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void *(*open)(char **v);
        void (*one)(void *conn, char **v);
    } kinds[] = {{"postgresql", pg_open, pg_one},
                 {"mysql", my_open, my_one},
                 {"redis", redis_open, redis_one}};
    for (size_t i = 0; argc == 7 && i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(argv[1], kinds[i].name) == 0) {
            void *conn = kinds[i].open(argv);
            double start = now(), end = start + atof(argv[6]), at = start;
            long n = 0;
            for (; at < end; at = now()) {
                for (int k = 0; k < 100; k++, n++) {
                    kinds[i].one(conn, argv);
                }
            }
            printf("%.0f\n", (double)n / (at - start));
            return 0;
        }
    }
    fprintf(stderr,
            "usage: bare_query postgresql|mysql|redis HOST PORT USER|KEY PASSWORD SECONDS\n");
    return 2;
}
