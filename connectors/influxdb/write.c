/* SPDX-License-Identifier: Apache-2.0 */
/* Writing points: lines in batches of a few megabytes, packed, with what was written before an error. */
#include "common/args.h"
#include "common/gzip.h"
#include "influx.h"

#include <inttypes.h>
#include <string.h>

#define GZIP_FROM 1024 /* bytes; less is not worth packing */

static int given(const tn_val *v)
{
    return v != NULL && v->type == TN_T_STR && v->n != 0;
}

static void put_param(struct grow *url, const char *name, const tn_val *chosen,
                      const char *otherwise)
{
    if (given(chosen) || (otherwise != NULL && otherwise[0] != '\0')) {
        grow_printf(url, "%c%s=", memchr(url->s, '?', url->n) == NULL ? '?' : '&', name);
        http_escape(url,
                    given(chosen) ? (tn_str){chosen->u.s, chosen->n}
                                  : (tn_str){otherwise, strlen(otherwise)},
                    "");
    }
}

/* The unit of times, NULL when the text is none. */
static const char *precision_of(const struct ix_conn *c, const struct ix_target *to)
{
    static const char *const names[] = {"n", "ns", "u", "us", "ms", "s", "m", "h"};
    const char *text = given(to->precision) ? to->precision->u.s : c->inst->conf->precision;
    size_t n = given(to->precision) ? to->precision->n : strlen(text);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0) {
            return names[i];
        }
    }
    return NULL;
}

static tn_rc put_url(struct ix_conn *c, const struct ix_target *to, const char *precision,
                     struct grow *url, tn_err *err)
{
    const struct ix_conf *conf = c->inst->conf;
    const char *database = ix_database(c);
    if (c->inst->v2) {
        const char *bucket = conf->bucket != NULL && conf->bucket[0] != '\0' ? conf->bucket
                                                                             : database;
        grow_printf(url, "%s/api/v2/write", c->inst->base.s);
        put_param(url, "org", NULL, conf->org);
        put_param(url, "bucket", to->database, bucket);
        put_param(url, "precision", NULL,
                  precision[0] == 'n'   ? "ns"
                  : precision[0] == 'u' ? "us"
                                        : precision);
    } else {
        if (!given(to->database) && (database == NULL || database[0] == '\0')) {
            return ix_host->fail(
                err, TN_E_INVAL,
                "no database: name one in the call, by switch_database(), or in the connector");
        }
        grow_printf(url, "%s/write", c->inst->base.s);
        put_param(url, "db", to->database, database);
        put_param(url, "rp", to->retention_policy, conf->retention_policy);
        put_param(url, "consistency", NULL, conf->consistency);
        put_param(url, "precision", NULL,
                  strcmp(precision, "ns") == 0   ? "n"
                  : strcmp(precision, "us") == 0 ? "u"
                                                 : precision);
    }
    return url->rc == TN_OK ? TN_OK : ix_host->fail(err, TN_E_NOMEM, "no memory for a URL");
}

struct batch {
    struct ix_conn *c;
    struct grow url, lines;
    uint64_t deadline_ns, points, written; /* in the batch; before it */
    bool timed; /* all have a time: written twice they are the same points */
};

/* Says how much was written, because that is what a script needs to know to go on. */
static tn_rc told(struct batch *b, tn_rc rc, tn_err *err)
{
    if (b->written != 0 && err != NULL) {
        tn_err was = *err;
        ix_host->fail(
            err, rc, "%.300s; the %" PRIu64 " points before this batch of %" PRIu64 " were written",
            was.msg, b->written, b->points);
        err->native = was.native;
        err->flags = was.flags;
    }
    return rc;
}

static tn_rc flush(struct batch *b, tn_err *err)
{
    struct grow packed = {0}, headers = {0};
    struct http_reply r = {.status = 0};
    const struct grow *body = &b->lines;
    if (b->lines.n == 0) {
        return TN_OK;
    }
    tn_rc rc = http_header(ix_host, &headers, TN_STR("Content-Type"),
                           TN_STR("text/plain; charset=utf-8"), err);
    if (rc == TN_OK && b->c->inst->conf->gzip && b->lines.n >= GZIP_FROM) {
        rc = gzip_put(ix_host, &packed, b->lines.s, b->lines.n, err);
        grow_text(&headers, "Content-Encoding: gzip\r\n");
        body = &packed;
    }
    const struct http_req req = {.method = "POST",
                                 .url = b->url.s,
                                 .headers = &headers,
                                 .body = body->s,
                                 .body_len = body->n,
                                 .flags = b->timed ? HTTP_REPEATABLE : 0,
                                 .deadline_ns = b->deadline_ns};
    rc = rc == TN_OK ? http_send(b->c->http, &req, &r, err) : rc;
    rc = rc == TN_OK && r.status >= 300 ? ix_refused(&r, err) : rc;
    rc = rc == TN_OK ? TN_OK : told(b, rc, err);
    b->written += b->points;
    b->points = 0;
    b->timed = true;
    grow_clear(&b->lines);
    http_reply_free(&r);
    grow_free(&headers);
    grow_free(&packed);
    return rc;
}

static tn_rc start(struct batch *b, struct ix_conn *c, const struct ix_target *to,
                   uint64_t deadline_ns, const char **ret_precision, tn_err *err)
{
    *b = (struct batch){.c = c, .deadline_ns = deadline_ns, .timed = true};
    *ret_precision = precision_of(c, to);
    return *ret_precision != NULL
               ? put_url(c, to, *ret_precision, &b->url, err)
               : ix_host->fail(err, TN_E_INVAL, "precision is n, u, ms, s, m or h");
}

static void finish(struct batch *b)
{
    grow_free(&b->lines);
    grow_free(&b->url);
}

tn_rc ix_write(struct ix_conn *c, const struct ix_target *to, const tn_val *points,
               uint64_t deadline_ns, tn_err *err)
{
    struct batch b;
    const char *precision;
    uint32_t n = points->type == TN_T_LIST ? points->n : 1;
    tn_rc rc = start(&b, c, to, deadline_ns, &precision, err);
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        const tn_val *v = points->type == TN_T_LIST ? &points->u.list[i] : points;
        tn_err why = TN_ERR_INIT;
        if (v->type != TN_T_MAP) {
            rc = ix_host->fail(err, TN_E_INVAL,
                               "point %u is no dict of measurement, tags, fields and time", i);
            break;
        }
        const tn_val *time_ = args_member(v, "time");
        const struct ix_point p = {args_member(v, "measurement"), args_member(v, "tags"),
                                   args_member(v, "fields"),
                                   time_ != NULL ? time_ : args_member(v, "timestamp")};
        rc = ix_line(ix_host, &b.lines, &p, precision, &why);
        if (rc != TN_OK) {
            ix_host->fail(err, rc, "point %u: %s", i, why.msg);
            rc = told(&b, rc, err);
            break;
        }
        b.points++;
        b.timed &= p.time != NULL && p.time->type != TN_T_NULL;
        if (b.lines.n >= (size_t)c->inst->conf->batch.n) {
            rc = flush(&b, err);
        }
    }
    rc = rc == TN_OK ? flush(&b, err) : rc;
    finish(&b);
    return rc;
}

tn_rc ix_write_lines(struct ix_conn *c, const struct ix_target *to, const tn_val *lines,
                     uint64_t deadline_ns, tn_err *err)
{
    struct batch b;
    const char *precision;
    uint32_t n = lines->type == TN_T_LIST ? lines->n : 1;
    tn_rc rc = start(&b, c, to, deadline_ns, &precision, err);
    b.timed = false;
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        const tn_val *v = lines->type == TN_T_LIST ? &lines->u.list[i] : lines;
        if (v->type != TN_T_STR) {
            rc = ix_host->fail(err, TN_E_INVAL, "lines are texts of the line protocol");
            break;
        }
        grow_put(&b.lines, v->u.s, v->n);
        if (v->n != 0 && v->u.s[v->n - 1] != '\n') {
            grow_char(&b.lines, '\n');
        }
        b.points++;
        if (b.lines.rc != TN_OK) {
            rc = ix_host->fail(err, b.lines.rc, "no memory for the lines");
        } else if (b.lines.n >= (size_t)c->inst->conf->batch.n) {
            rc = flush(&b, err);
            b.timed = false;
        }
    }
    rc = rc == TN_OK ? flush(&b, err) : rc;
    finish(&b);
    return rc;
}
