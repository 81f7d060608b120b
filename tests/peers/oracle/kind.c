/* SPDX-License-Identifier: Apache-2.0 */
/* What the columns of a query are: by the declaration of a column, by a cast, by what is bound, at last by the first value. */
#include "oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    struct kind kind;
} words[] = {
    {"VARCHAR2", {.type = T_CHR, .size = 4000}},
    {"VARCHAR", {.type = T_CHR, .size = 4000}},
    {"NVARCHAR2", {.type = T_CHR, .size = 2000, .national = true}},
    {"NCHAR", {.type = T_AFC, .size = 1, .national = true}},
    {"CHAR", {.type = T_AFC, .size = 1}},
    {"NUMBER", {.type = T_NUM, .scale = -127}},
    {"INTEGER", {.type = T_NUM, .precision = 38}},
    {"SMALLINT", {.type = T_NUM, .precision = 38}},
    {"FLOAT", {.type = T_NUM, .precision = 126, .scale = -127}},
    {"REAL", {.type = T_NUM, .precision = 63, .scale = -127}},
    {"BINARY_FLOAT", {.type = T_IBFLOAT}},
    {"BINARY_DOUBLE", {.type = T_IBDOUBLE}},
    {"DATE", {.type = T_DAT}},
    {"RAW", {.type = T_BIN, .size = 2000}},
    {"LONG RAW", {.type = T_LBI}},
    {"LONG", {.type = T_LNG}},
    {"CLOB", {.type = T_CLOB}},
    {"NCLOB", {.type = T_CLOB, .national = true}},
    {"BLOB", {.type = T_BLOB}},
    {"JSON", {.type = T_JSON}},
    {"ROWID", {.type = T_RDD}},
};

bool kind_of_text(const char *decl, struct kind *ret)
{
    size_t best = 0;
    decl += strspn(decl, " \"");
    if (strncmp(decl, "TIMESTAMP", 9) == 0) {
        bool zone = strstr(decl, "TIME ZONE") != NULL;
        *ret = (struct kind){.type = !zone                   ? T_STAMP
                                     : strstr(decl, "LOCAL") ? T_LTZ
                                                             : T_STAMP_TZ,
                             .scale = 6};
        return true;
    }
    if (strncmp(decl, "INTERVAL", 8) == 0) {
        *ret = (struct kind){.type = strstr(decl, "YEAR") != NULL ? T_YM : T_DS};
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word);
        if (n > best && strncmp(decl, words[i].word, n) == 0) {
            best = n;
            *ret = words[i].kind;
        }
    }
    const char *p = strchr(decl, '(');
    if (best != 0 && p != NULL) {
        int a = 0, b = 0;
        int n = sscanf(p, "(%d , %d", &a, &b);
        if (ret->type == T_NUM) {
            ret->precision = (int16_t)a;
            ret->scale = (int8_t)(ret->precision == 126 ? -127 : n == 2 ? b : 0);
            ret->scale = strncmp(decl, "FLOAT", 5) == 0 ? -127 : ret->scale;
        } else {
            ret->size = (uint16_t)a;
        }
    }
    return best != 0;
}

static struct kind of_bind(const struct bind *b)
{
    struct kind k = {.type = b->type, .size = (uint16_t)(b->size > 32767 ? 32767 : b->size)};
    switch (b->type) {
    case T_VNU:
    case T_INT:
        return (struct kind){.type = T_NUM, .scale = -127};
    case T_BDOUBLE:
        return (struct kind){.type = T_IBDOUBLE};
    case T_ODT:
        return (struct kind){.type = T_DAT};
    case T_CHR:
        return b->in != NULL ? (struct kind){.type = T_CLOB} : k;
    case T_BIN:
        return b->in != NULL ? (struct kind){.type = T_BLOB} : k;
    default:
        return k;
    }
}

static struct kind of_value(sqlite3_value *v)
{
    int n = sqlite3_value_bytes(v);
    switch (sqlite3_value_type(v)) {
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        return (struct kind){.type = T_NUM, .scale = -127};
    case SQLITE_BLOB:
        return n > 2000 ? (struct kind){.type = T_BLOB}
                        : (struct kind){.type = T_BIN, .size = 2000};
    case SQLITE_TEXT:
        return n > 4000 ? (struct kind){.type = T_CLOB}
                        : (struct kind){.type = T_CHR, .size = 4000};
    default:
        return (struct kind){.type = T_CHR};
    }
}

/* ---- the list of a SELECT ---------------------------------------------------------------------------- */

/* Item i of the text that SQLite got; false: there is a *, or it is no plain SELECT. */
static bool item(const char *sql, uint32_t i, char *ret, size_t cap)
{
    int depth = 0;
    const char *p = sql + strspn(sql, " ("), *from;
    if (strncmp(p, "SELECT ", 7) != 0) {
        return false;
    }
    p += 7;
    from = p + strspn(p, " ");
    for (;; p++) {
        if (*p == '\'' || *p == '"') {
            char q = *p++;
            while (*p != '\0' && *p != q) {
                p++;
            }
        }
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
        bool end = *p == '\0' || (depth == 0 && strncmp(p, " FROM ", 6) == 0);
        if (end || (*p == ',' && depth == 0)) {
            snprintf(ret, cap, "%.*s", (int)(p - from), from);
            if (strcmp(ret, "*") == 0 || strstr(ret, ".*") != NULL) {
                return false;
            }
            if (i-- == 0 || end) {
                return !end || i == UINT32_MAX;
            }
            from = p + 1 + strspn(p + 1, " ");
        }
    }
}

static bool of_item(struct stmt *st, uint32_t i, struct kind *ret)
{
    char text[400];
    unsigned place = 0;
    if (!item(st->lite, i, text, sizeof text)) {
        return false;
    }
    if (sscanf(text, "?%u", &place) == 1 && place >= 1 && place <= st->nbinds &&
        strspn(text + 1, "0123456789") == strcspn(text + 1, " ")) {
        struct bind *b = stmt_bind(st, st->names[place - 1], place);
        if (b != NULL) {
            *ret = of_bind(b);
        }
        return b != NULL;
    }
    if (strncmp(text, "ORA_CAST(", 9) == 0) {
        char *last = NULL;
        for (char *p = text; (p = strstr(p, ",'")) != NULL; p += 2) {
            last = p;
        }
        return last != NULL && kind_of_text(last + 2, ret);
    }
    static const struct {
        const char *begin, *type;
    } begins[] = {
        {"TO_CLOB(", "CLOB"}, {"TO_BLOB(", "BLOB"}, {"HEXTORAW(", "RAW(2000)"}, {"ROWID", "ROWID"}};
    for (size_t k = 0; k < sizeof begins / sizeof *begins; k++) {
        if (strncmp(text, begins[k].begin, strlen(begins[k].begin)) == 0) {
            return kind_of_text(begins[k].type, ret);
        }
    }
    return false;
}

void describe(struct stmt *st)
{
    if (st->described || st->s == NULL) {
        return;
    }
    st->ncols = (uint32_t)sqlite3_column_count(st->s);
    st->cols = calloc(st->ncols + 1, sizeof *st->cols);
    st->described = st->cols != NULL;
    for (uint32_t i = 0; st->described && i < st->ncols; i++) {
        const char *name = sqlite3_column_name(st->s, (int)i),
                   *decl = sqlite3_column_decltype(st->s, (int)i);
        st->cols[i].name = strdup(name != NULL ? name : "");
        if (!(decl != NULL && kind_of_text(decl, &st->cols[i].kind)) &&
            !of_item(st, i, &st->cols[i].kind)) {
            st->cols[i].kind = st->pending ? of_value(sqlite3_column_value(st->s, (int)i))
                                           : (struct kind){.type = T_CHR, .size = 4000};
        }
    }
}
