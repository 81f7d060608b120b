/* SPDX-License-Identifier: Apache-2.0 */
/* Reading cron expressions into bit masks. */
#include "expr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SEC, MIN, HOUR, DOM, MON, DOW, FIELDS };

/* A field of the text: its range and the names that stand for numbers. */
static const struct field_rule {
    const char *what;
    uint8_t min, max;
    uint8_t count;           /* so many different values are the same as "*" */
    const char *const names; /* three letters each, the first is `min` of the field */
    uint8_t first_name;
} rules[FIELDS] = {
    [SEC] = {"second", 0, 59, 60, NULL, 0},
    [MIN] = {"minute", 0, 59, 60, NULL, 0},
    [HOUR] = {"hour", 0, 23, 24, NULL, 0},
    [DOM] = {"day", 1, 31, 31, NULL, 0},
    [MON] = {"month", 1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1},
    [DOW] = {"weekday", 0, 7, 7, "sunmontuewedthufrisat", 0},
};

static const struct {
    const char *name, *expr;
} aliases[] = {
    {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

/* What one field has collected. */
struct collect {
    uint64_t bits;
    bool any;  /* "*" or "?" stood in the list */
    bool last; /* day: "L" */
    uint8_t nth[5], last_dow;
    uint64_t plain; /* weekday: values without # or L */
};

struct parse {
    char *why;
    size_t why_cap;
    const struct field_rule *rule;
    tn_str text; /* the whole field */
};

static tn_rc refuse(const struct parse *p, const char *fmt, ...) TN_PRINTF(2, 3);
static tn_rc refuse(const struct parse *p, const char *fmt, ...)
{
    char reason[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    snprintf(p->why, p->why_cap, "%s field \"%.*s\": %s", p->rule->what, (int)p->text.n, p->text.s,
             reason);
    return TN_E_INVAL;
}

static tn_str cut(tn_str s, size_t from, size_t to)
{
    return (tn_str){s.s + from, to - from};
}

static bool is(tn_str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.s, word, s.n) == 0;
}

static size_t find(tn_str s, char c)
{
    const char *p = s.n > 0 ? memchr(s.s, c, s.n) : NULL;
    return p != NULL ? (size_t)(p - s.s) : s.n;
}

/* Digits only; 0..999999999. */
static bool number(tn_str s, uint32_t *ret)
{
    uint32_t v = 0;
    if (s.n == 0 || s.n > 9) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.s[i] < '0' || s.s[i] > '9') {
            return false;
        }
        v = v * 10 + (uint32_t)(s.s[i] - '0');
    }
    *ret = v;
    return true;
}

/* A number or a name, inside the field's range. */
static tn_rc value(const struct parse *p, tn_str s, uint32_t *ret)
{
    const struct field_rule *r = p->rule;
    uint32_t v;
    if (number(s, &v)) {
        if (v < r->min || v > r->max) {
            return refuse(p, "%u is not within %u..%u", v, r->min, r->max);
        }
        *ret = v;
        return TN_OK;
    }
    if (r->names != NULL && s.n == 3) {
        for (uint32_t i = 0; r->names[i * 3] != '\0'; i++) {
            if (strncasecmp(r->names + i * 3, s.s, 3) == 0) {
                *ret = i + r->first_name;
                return TN_OK;
            }
        }
    }
    return refuse(p, "\"%.*s\" is no number within %u..%u%s", (int)(s.n < 40 ? s.n : 40), s.s,
                  r->min, r->max, r->names != NULL ? " and no name of three letters" : "");
}

/* "low-high", "low-high/step", "low/step", "*" "/step". */
static tn_rc range(const struct parse *p, tn_str item, struct collect *c)
{
    const struct field_rule *r = p->rule;
    size_t slash = find(item, '/'), dash = find(item, '-');
    tn_str base = cut(item, 0, slash);
    uint32_t low = r->min, high = r->max, step = 1;
    if (slash < item.n && (!number(cut(item, slash + 1, item.n), &step) || step == 0)) {
        return refuse(p, "the step after \"/\" must be a number from 1");
    }
    if (dash < slash) {
        tn_str to = cut(item, dash + 1, slash);
        tn_rc rc = value(p, cut(item, 0, dash), &low);
        if (rc == TN_OK && r == &rules[DOM] && is(to, "L")) {
            high = 31;
        } else if (rc == TN_OK) {
            rc = value(p, to, &high);
        }
        if (rc != TN_OK) {
            return rc;
        }
        if (r == &rules[DOW] && high == 0 && low > 0) {
            high = 7; /* fri-sun */
        }
        if (low > high) {
            return refuse(p, "the range \"%.*s\" runs backwards", (int)base.n, base.s);
        }
    } else if (!is(base, "*")) {
        tn_rc rc = value(p, base, &low);
        if (rc != TN_OK) {
            return rc;
        }
    }
    for (uint32_t v = low; v <= high; v += step) {
        c->bits |= 1ull << v;
        c->plain |= 1ull << v;
    }
    return TN_OK;
}

/* "5#2" and "L5" of the weekday field. */
static tn_rc weekday_of_month(const struct parse *p, tn_str item, struct collect *c)
{
    size_t hash = find(item, '#');
    uint32_t day, n;
    tn_rc rc;
    if (hash < item.n) {
        rc = value(p, cut(item, 0, hash), &day);
        if (rc != TN_OK) {
            return rc;
        }
        if (!number(cut(item, hash + 1, item.n), &n) || n < 1 || n > 5) {
            return refuse(p, "after \"#\" comes 1 to 5: which one of the month");
        }
        c->nth[n - 1] |= (uint8_t)(1u << (day % 7));
    } else {
        if (!number(cut(item, 1, item.n), &day) || day > 7) {
            return refuse(p, "after \"L\" comes a weekday within 0..7");
        }
        c->last_dow |= (uint8_t)(1u << (day % 7));
    }
    c->bits |= 1ull << (day % 7);
    return TN_OK;
}

static tn_rc list_item(const struct parse *p, tn_str item, struct collect *c)
{
    const struct field_rule *r = p->rule;
    if (item.n == 0) {
        return refuse(p, "an entry of the list is empty");
    }
    if (is(item, "*") || (is(item, "?") && (r == &rules[DOM] || r == &rules[DOW]))) {
        c->any = true;
        return TN_OK;
    }
    if (r == &rules[DOM] && is(item, "L")) {
        c->last = true;
        return TN_OK;
    }
    if (r == &rules[DOW] &&
        (find(item, '#') < item.n || (item.n > 1 && (item.s[0] == 'L' || item.s[0] == 'l')))) {
        return weekday_of_month(p, item, c);
    }
    if (find(item, '-') < item.n || find(item, '/') < item.n) {
        return range(p, item, c);
    }
    uint32_t v;
    tn_rc rc = value(p, item, &v);
    if (rc == TN_OK) {
        c->bits |= 1ull << v;
        c->plain |= 1ull << v;
    }
    return rc;
}

static tn_rc field_parse(struct parse *p, struct collect *c)
{
    tn_str rest = p->text;
    for (bool more = true; more;) {
        size_t comma = find(rest, ',');
        more = comma < rest.n;
        tn_rc rc = list_item(p, cut(rest, 0, comma), c);
        if (rc != TN_OK) {
            return rc;
        }
        rest = more ? cut(rest, comma + 1, rest.n) : rest;
    }
    if (p->rule == &rules[DOW]) { /* 7 is Sunday too */
        uint64_t seven = 1ull << 7;
        c->bits = (c->bits & ~seven) | ((c->bits & seven) >> 7);
        c->plain = (c->plain & ~seven) | ((c->plain & seven) >> 7);
        uint64_t special = c->last_dow;
        for (int i = 0; i < 5; i++) {
            special |= c->nth[i];
        }
        if (special != 0 && (c->any || (c->plain & ~special) != 0)) {
            return refuse(p, "weekdays of the month (5#2, L5) and plain ones cannot be mixed");
        }
        if (special != 0) {
            return TN_OK;
        }
    }
    if (__builtin_popcountll(c->bits) + (c->last ? 1 : 0) >= p->rule->count) {
        c->any = true;
    }
    return TN_OK;
}

/* Fields of the text, at most FIELDS + 1. */
static size_t split(tn_str text, tn_str *ret)
{
    size_t n = 0, i = 0;
    while (i < text.n && n <= FIELDS) {
        while (i < text.n && strchr(" \t\r\n\f\v", text.s[i]) != NULL) {
            i++;
        }
        size_t from = i;
        while (i < text.n && strchr(" \t\r\n\f\v", text.s[i]) == NULL) {
            i++;
        }
        if (i > from) {
            ret[n++] = cut(text, from, i);
        }
    }
    return n;
}

tn_rc expr_parse(tn_str text, struct cron_expr *ret, char *why, size_t why_cap)
{
    tn_str parts[FIELDS + 1];
    struct collect c[FIELDS] = {{0}};
    if (text.n > EXPR_MAX || (text.n > 0 && memchr(text.s, '\0', text.n) != NULL)) {
        snprintf(why, why_cap, "an expression has at most %d bytes and no NUL", EXPR_MAX);
        return TN_E_INVAL;
    }
    size_t n = split(text, parts);
    for (size_t i = 0; n == 1 && i < sizeof aliases / sizeof *aliases; i++) {
        if (is(parts[0], aliases[i].name)) {
            n = split((tn_str){aliases[i].expr, strlen(aliases[i].expr)}, parts);
        }
    }
    if (n == 0 || n > FIELDS) {
        snprintf(why, why_cap, "%s: minute hour day month weekday, or second first",
                 n == 0 ? "the expression is empty" : "more than six fields");
        return TN_E_INVAL;
    }
    size_t first = n == FIELDS ? SEC : MIN;
    for (size_t f = first; f < FIELDS; f++) {
        struct parse p = {why, why_cap, &rules[f],
                          f - first < n ? parts[f - first] : (tn_str){"*", 1}};
        tn_rc rc = field_parse(&p, &c[f]);
        if (rc != TN_OK) {
            return rc;
        }
    }
    const uint64_t all60 = (1ull << 60) - 1;
    *ret = (struct cron_expr){
        .sec = first == MIN ? 1
               : c[SEC].any ? all60
                            : c[SEC].bits,
        .min = c[MIN].any ? all60 : c[MIN].bits,
        .hour = c[HOUR].any ? 0xffffffu : (uint32_t)c[HOUR].bits,
        .dom = c[DOM].any ? 0xfffffffeu : (uint32_t)c[DOM].bits,
        .mon = c[MON].any ? 0x1ffe : (uint16_t)c[MON].bits,
        .dow = c[DOW].any ? 0x7f : (uint8_t)c[DOW].bits,
        .last_dow = c[DOW].last_dow,
        .dom_last = c[DOM].last,
        .dom_any = c[DOM].any,
        .dow_any = c[DOW].any,
        .any_hour = c[HOUR].any,
    };
    memcpy(ret->nth, c[DOW].nth, sizeof ret->nth);
    return TN_OK;
}
