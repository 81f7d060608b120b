/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of prepared statements: each value in its own type, beside the statement. */
#include "mysql_conn.h"

#include "common/civil.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 65 /* of a DECIMAL at most */

static void set_clock(MYSQL_TIME *t, int64_t us)
{
    t->hour = (unsigned)(us / 3600000000);
    t->minute = (unsigned)(us / 60000000 % 60);
    t->second = (unsigned)(us / 1000000 % 60);
    t->second_part = (unsigned long)(us % 1000000);
}

static void set_date(MYSQL_TIME *t, int64_t days)
{
    int64_t y;
    int m, d;
    civil_date(days, &y, &m, &d);
    t->year = (unsigned)y;
    t->month = (unsigned)m;
    t->day = (unsigned)d;
}

static enum enum_field_types set_time(const tn_val *v, MYSQL_TIME *t)
{
    const int64_t day = 86400000000;
    switch (v->type) {
    case TN_T_DATE:
        set_date(t, v->u.i);
        t->time_type = MYSQL_TIMESTAMP_DATE;
        return MYSQL_TYPE_DATE;
    case TN_T_TIME: {
        int64_t days = v->u.i / day - (v->u.i % day < 0);
        set_date(t, days);
        set_clock(t, v->u.i - days * day);
        t->time_type = MYSQL_TIMESTAMP_DATETIME;
        return MYSQL_TYPE_DATETIME;
    }
    default: { /* a clock, or a length of time */
        int64_t us = v->u.i < 0 ? -v->u.i : v->u.i;
        t->neg = v->u.i < 0;
        t->day = (unsigned)(us / day); /* the protocol has days and hours apart */
        set_clock(t, us % day);
        t->time_type = MYSQL_TIMESTAMP_TIME;
        return MYSQL_TYPE_TIME;
    }
    }
}

/* What the server would turn into something else without a word: it has no such value. */
static tn_rc check(int i, const tn_val *v, const MYSQL_TIME *t, tn_err *err)
{
    const char *what = NULL;
    const int64_t longest = 3020399999999; /* 838:59:59.999999 */
    if (v->type == TN_T_FLOAT && !isfinite(v->u.f)) {
        what = isnan(v->u.f) ? "NaN" : "infinity";
    } else if (v->type == TN_T_DECIMAL && memchr(v->u.s, 'n', v->n) != NULL) { /* Infinity */
        what = "infinity";
    } else if (v->type == TN_T_DECIMAL && memchr(v->u.s, 'N', v->n) != NULL) { /* NaN, sNaN */
        what = "NaN";
    } else if (v->type == TN_T_SPAN && (v->u.i > longest || v->u.i < -longest)) {
        what = "a time longer than 838:59:59";
    } else if (v->type == TN_T_TIME && (t->year < 1 || t->year > 9999)) {
        what = "a moment that is not in the years 1 to 9999 in UTC";
    }
    return what == NULL
               ? TN_OK
               : my_host->fail(err, TN_E_INVAL, "parameter %d is %s, which MySQL does not have",
                               i + 1, what);
}

static tn_rc bind_one(MYSQL_BIND *b, MYSQL_TIME *t, const tn_val *v, tn_err *err)
{
    switch (v->type) {
    case TN_T_NULL:
        b->buffer_type = MYSQL_TYPE_NULL;
        return TN_OK;
    case TN_T_BOOL:
    case TN_T_INT:
        b->buffer_type = MYSQL_TYPE_LONGLONG;
        b->buffer = (void *)&v->u.i;
        return TN_OK;
    case TN_T_FLOAT:
        b->buffer_type = MYSQL_TYPE_DOUBLE;
        b->buffer = (void *)&v->u.f;
        return TN_OK;
    case TN_T_STR:
    case TN_T_DECIMAL:
    case TN_T_BYTES:
        b->buffer_type = v->type == TN_T_STR     ? MYSQL_TYPE_STRING
                         : v->type == TN_T_BYTES ? MYSQL_TYPE_BLOB
                         : v->n <= DIGITS        ? MYSQL_TYPE_NEWDECIMAL
                                                 : MYSQL_TYPE_STRING; /* else it would be cut */
        b->buffer = (void *)(v->n != 0 ? v->u.s : "");
        b->buffer_length = v->n;
        return TN_OK;
    case TN_T_DATE:
    case TN_T_TIME:
    case TN_T_CLOCK:
    case TN_T_SPAN:
        b->buffer_type = set_time(v, t);
        b->buffer = t;
        return TN_OK;
    default:
        return my_host->fail(err, TN_E_INVAL, "a value of type %u cannot be a parameter", v->type);
    }
}

tn_rc my_bind(const struct sql_text *t, struct my_params *ret, tn_err *err)
{
    struct my_params p = {.n = t->nbinds};
    p.binds = calloc(t->nbinds + 1, sizeof *p.binds);
    p.times = calloc(t->nbinds + 1, sizeof *p.times);
    tn_rc rc = p.binds && p.times ? TN_OK
                                  : my_host->fail(err, TN_E_NOMEM, "no memory for the parameters");
    for (uint32_t i = 0; rc == TN_OK && i < t->nbinds; i++) {
        rc = bind_one(&p.binds[i], &p.times[i], t->binds[i], err);
        rc = rc == TN_OK ? check((int)i, t->binds[i], &p.times[i], err) : rc;
    }
    if (rc != TN_OK) {
        my_params_finish(&p);
        return rc;
    }
    *ret = p;
    return TN_OK;
}

void my_params_finish(struct my_params *p)
{
    free(p->binds);
    free(p->times);
    *p = (struct my_params){.n = 0};
}
