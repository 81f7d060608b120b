/* SPDX-License-Identifier: Apache-2.0 */
/* One value: text to the member that a row names, with its range and choices. */
#include "kernel/conf/conf.h"

#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};
static const struct unit dur_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct unit bytes_units[] = {
    {"", 1},        {"k", 1 << 10},          {"K", 1 << 10},
    {"m", 1 << 20}, {"M", 1 << 20},          {"g", 1 << 30},
    {"G", 1 << 30}, {"t", (int64_t)1 << 40}, {"T", (int64_t)1 << 40},
    {NULL, 0},
};

/* "<digits><unit>"; 0 needs no unit. */
static bool scaled(tn_str text, const struct unit *units, int64_t *ret)
{
    size_t n = 0;
    while (n < text.n && text.s[n] >= '0' && text.s[n] <= '9') {
        n++;
    }
    int64_t v;
    if (!str_to_i64((tn_str){text.s, n}, &v)) {
        return false;
    }
    tn_str unit = {text.s + n, text.n - n};
    for (; units->name != NULL; units++) {
        if (str_is(unit, units->name) || (v == 0 && unit.n == 0)) {
            return !__builtin_mul_overflow(v, units->factor, ret);
        }
    }
    return false;
}

static bool boolean(tn_str text, bool *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (str_ieq(text, str_of(words[i]))) {
            *ret = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static tn_rc check_choice(const tn_field *f, tn_str text, tn_err *err)
{
    char list[256] = "";
    size_t n = 0;
    for (const char *const *c = f->choices; *c != NULL; c++) {
        if (str_is(text, *c)) {
            return TN_OK;
        }
        if (n < sizeof list - 1) {
            int put = snprintf(list + n, sizeof list - n, "%s%s", n != 0 ? ", " : "", *c);
            n += put > 0 ? (size_t)put : 0;
        }
    }
    return err_set(err, TN_E_CONFIG, "\"%.*s\" is not one of: %s", (int)(text.n < 80 ? text.n : 80),
                   text.s, list);
}

static tn_rc check_range(const tn_field *f, int64_t v, const char *shown, const char *unit,
                         tn_err *err)
{
    if ((f->min == 0 && f->max == 0) || (v >= f->min && v <= f->max)) {
        return TN_OK;
    }
    return err_set(err, TN_E_CONFIG, "%s is outside %" PRId64 " to %" PRId64 "%s", shown, f->min,
                   f->max, unit);
}

static tn_rc parse_text(const tn_field *f, tn_str text, char **member, tn_err *err)
{
    if (!str_utf8_valid(text) || memchr(text.n != 0 ? text.s : "", '\0', text.n) != NULL) {
        return err_set(err, TN_E_CONFIG, "is not UTF-8 text");
    }
    if (f->choices != NULL && f->type == TN_C_STR) {
        tn_rc rc = check_choice(f, text, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    size_t chars = str_utf8_len(text);
    if ((f->min != 0 || f->max != 0) && ((int64_t)chars < f->min || (int64_t)chars > f->max)) {
        return err_set(err, TN_E_CONFIG,
                       "has %zu characters; %" PRId64 " to %" PRId64 " are allowed", chars, f->min,
                       f->max);
    }
    if (member == NULL) {
        return TN_OK;
    }
    char *copy = str_dup(text);
    if (copy == NULL) {
        return err_set(err, TN_E_NOMEM, "out of memory");
    }
    if (*member != NULL && f->type == TN_C_SECRET) {
        explicit_bzero(*member, strlen(*member));
    }
    free(*member);
    *member = copy;
    if (f->type == TN_C_SECRET) {
        log_mask(text);
    }
    return TN_OK;
}

tn_rc conf_parse(const tn_field *f, tn_str text, void *out, tn_err *err)
{
    char *member = out != NULL ? (char *)out + f->offset : NULL;
    char shown[96]; /* the value in messages; never used for secrets */
    snprintf(shown, sizeof shown, "\"%.*s\"", (int)(text.n < 80 ? text.n : 80),
             text.n ? text.s : "");
    bool b = false;
    int64_t i = 0;
    double d = 0;
    tn_rc rc = TN_OK;
    switch (f->type) {
    case TN_C_BOOL:
        if (!boolean(text, &b)) {
            return err_set(err, TN_E_CONFIG, "%s is neither true nor false", shown);
        }
        if (member != NULL) {
            memcpy(member, &b, sizeof b);
        }
        return TN_OK;
    case TN_C_INT:
        if (!str_to_i64(text, &i)) {
            return err_set(err, TN_E_CONFIG, "%s is not a whole number", shown);
        }
        rc = check_range(f, i, shown, "", err);
        break;
    case TN_C_FLOAT:
        if (!str_to_f64(text, &d)) {
            return err_set(err, TN_E_CONFIG, "%s is not a number", shown);
        }
        if ((f->min != 0 || f->max != 0) && (d < (double)f->min || d > (double)f->max)) {
            return err_set(err, TN_E_CONFIG, "%s is outside %" PRId64 " to %" PRId64, shown, f->min,
                           f->max);
        }
        if (member != NULL) {
            memcpy(member, &d, sizeof d);
        }
        return TN_OK;
    case TN_C_DUR:
        if (!scaled(text, dur_units, &i)) {
            return err_set(err, TN_E_CONFIG,
                           "%s is not a duration; write a whole number and ms, s, m, h or d",
                           shown);
        }
        rc = check_range(f, i, shown, " ms", err);
        break;
    case TN_C_BYTES:
        if (!scaled(text, bytes_units, &i)) {
            return err_set(
                err, TN_E_CONFIG,
                "%s is not a size; write a whole number of bytes or one with k, M, G or T", shown);
        }
        rc = check_range(f, i, shown, " bytes", err);
        break;
    case TN_C_STR:
    case TN_C_SECRET:
        return parse_text(f, text, (char **)(void *)member, err);
    default:
        return err_set(err, TN_E_INTERNAL, "the table gives unknown type %u to %s", f->type,
                       f->name);
    }
    if (rc == TN_OK && member != NULL) {
        memcpy(member, &i, sizeof i); /* tn_dur and tn_bytes hold just the number */
    }
    return rc;
}
