/* SPDX-License-Identifier: Apache-2.0 */
/* YAML files to items, by libyaml's events. What configuration does not need is refused by name:
 * tags, aliases (the road to the billion-laughs bomb), merge keys, several documents. */
#include "kernel/conf/conf.h"

#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/map.h"
#include "kernel/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#define YAML_BYTES_MAX (1u << 20)
#define YAML_DEPTH_MAX 16
#define YAML_FILES_MAX 256
#define YAML_KEY_MAX   256

struct reader {
    yaml_parser_t parser;
    struct conf *c;
    struct conf_problems *p;
    const char *name;
    struct map seen; /* keys of this text, for duplicates; the value is the line */
    bool stop;
};

static void where_of(const struct reader *r, size_t line, char *out, size_t cap)
{
    snprintf(out, cap, "%s:%zu", r->name, line);
}

/* A problem at the line (1-based) of the event. */
#define PROBLEM(r, event, key, ...)                                                                \
    do {                                                                                           \
        char at_[PATH_MAX + 32];                                                                   \
        where_of((r), (event)->start_mark.line + 1, at_, sizeof at_);                              \
        conf_problem((r)->p, at_, (key), __VA_ARGS__);                                             \
    } while (0)

static bool next(struct reader *r, yaml_event_t *event)
{
    if (!r->stop && yaml_parser_parse(&r->parser, event)) {
        return true;
    }
    if (!r->stop) {
        char at[PATH_MAX + 32];
        where_of(r, r->parser.problem_mark.line + 1, at, sizeof at);
        conf_problem(r->p, at, NULL, "not valid YAML: %s%s%s",
                     r->parser.problem != NULL ? r->parser.problem : "unreadable",
                     r->parser.context != NULL ? " " : "",
                     r->parser.context != NULL ? r->parser.context : "");
    }
    r->stop = true;
    memset(event, 0, sizeof *event);
    return false;
}

static tn_str scalar_text(const yaml_event_t *event)
{
    return (tn_str){(const char *)event->data.scalar.value, event->data.scalar.length};
}

static bool scalar_plain(const yaml_event_t *event)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool scalar_null(const yaml_event_t *event)
{
    tn_str s = scalar_text(event);
    return scalar_plain(event) && (s.n == 0 || str_is(s, "~") || str_ieq(s, str_of("null")));
}

/* Reads over the rest of a node whose first event was `first`. */
static void skip(struct reader *r, yaml_event_type_t first)
{
    int depth = first == YAML_MAPPING_START_EVENT || first == YAML_SEQUENCE_START_EVENT;
    yaml_event_t event;
    while (depth > 0 && next(r, &event)) {
        yaml_event_type_t t = event.type;
        depth += t == YAML_MAPPING_START_EVENT || t == YAML_SEQUENCE_START_EVENT;
        depth -= t == YAML_MAPPING_END_EVENT || t == YAML_SEQUENCE_END_EVENT;
        yaml_event_delete(&event);
    }
}

/* Whether the node may stand here; if not, the problem is reported and the node read over. */
static bool acceptable(struct reader *r, const yaml_event_t *event, const char *key, unsigned depth)
{
    const char *bad = NULL;
    if (event->type == YAML_ALIAS_EVENT) {
        PROBLEM(r, event, key, "aliases are not supported here; write the value of \"*%s\" out",
                (const char *)event->data.alias.anchor);
        return false;
    }
    if ((event->type == YAML_SCALAR_EVENT && event->data.scalar.tag != NULL) ||
        (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.tag != NULL) ||
        (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.tag != NULL)) {
        bad = "tags (\"!...\") are not supported; remove it";
    } else if (event->type == YAML_SCALAR_EVENT &&
               memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL) {
        bad = "a NUL character is not allowed";
    } else if (depth > YAML_DEPTH_MAX) {
        bad = "nested too deeply (at most 16 levels)";
    }
    if (bad != NULL) {
        PROBLEM(r, event, key, "%s", bad);
        skip(r, event->type);
    }
    return bad == NULL;
}

static bool json_number(tn_str s)
{
    double f;
    if (!str_to_f64(s, &f) || s.s[0] == '+' || s.s[0] == '.') {
        return false;
    }
    size_t digit = s.s[0] == '-';
    return digit < s.n && s.s[digit] != '.' && s.s[s.n - 1] != '.' &&
           !(s.s[digit] == '0' && digit + 1 < s.n && s.s[digit + 1] >= '0' &&
             s.s[digit + 1] <= '9') &&
           memmem(s.s, s.n, ".e", 2) == NULL && memmem(s.s, s.n, ".E", 2) == NULL;
}

static void scalar_json(const yaml_event_t *event, struct buf *out)
{
    tn_str s = scalar_text(event);
    if (scalar_null(event)) {
        buf_adds(out, "null");
    } else if (scalar_plain(event) && (str_is(s, "true") || str_is(s, "false") || json_number(s))) {
        buf_addstr(out, s);
    } else {
        buf_quote(out, s);
    }
}

/* One node as JSON text. *flat: it stays true while only scalars without ',' were seen; they are
 * joined in `joined` (NULL below the first level). */
static void node_json(struct reader *r, yaml_event_t *event, const char *key, unsigned depth,
                      struct buf *out, struct buf *joined, bool *flat)
{
    if (!acceptable(r, event, key, depth)) {
        buf_adds(out, "null");
        return;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        scalar_json(event, out);
        return;
    }
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    yaml_event_type_t end = is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    yaml_event_t item;
    buf_addc(out, is_map ? '{' : '[');
    for (unsigned i = 0; next(r, &item); i++) {
        bool done = item.type == end;
        if (!done) {
            buf_adds(out, i == 0 ? "" : is_map && i % 2 == 1 ? ":" : ",");
            if (is_map && i % 2 == 0) {
                if (item.type == YAML_SCALAR_EVENT) {
                    buf_quote(out, scalar_text(&item));
                } else {
                    PROBLEM(r, &item, key, "a key must be plain text");
                    skip(r, item.type);
                    buf_printf(out, "\"%u\"", i);
                }
            } else {
                node_json(r, &item, key, depth + 1, out, NULL, NULL);
                if (joined != NULL) {
                    *flat = *flat && item.type == YAML_SCALAR_EVENT &&
                            memchr(item.data.scalar.value, ',', item.data.scalar.length) == NULL;
                    buf_adds(joined, i == 0 ? "" : ",");
                    buf_addstr(joined, *flat ? scalar_text(&item) : (tn_str){"", 0});
                }
            }
        }
        yaml_event_delete(&item);
        if (done) {
            break;
        }
    }
    buf_addc(out, is_map ? '}' : ']');
}

static void put(struct reader *r, const yaml_event_t *event, const char *key, const char *value,
                char *joined_take, bool null)
{
    char at[PATH_MAX + 32];
    where_of(r, event->start_mark.line + 1, at, sizeof at);
    tn_rc rc = conf_set(r->c, key, value, at);
    if (rc != TN_OK) {
        conf_problem(r->p, at, key, rc == TN_E_LIMIT ? "too many settings" : "out of memory");
        free(joined_take);
        r->stop = true;
        return;
    }
    struct conf_item *it = (struct conf_item *)conf_get(r->c, key);
    it->joined = joined_take;
    it->null = null;
}

static void put_list(struct reader *r, yaml_event_t *event, const char *key, unsigned depth)
{
    struct buf json = BUF_INIT(YAML_BYTES_MAX * 8), joined = BUF_INIT(YAML_BYTES_MAX * 2);
    bool flat = true;
    node_json(r, event, key, depth, &json, &joined, &flat);
    if (!r->stop && !json.failed) {
        put(r, event, key, json.data, flat && !joined.failed ? buf_take(&joined, NULL) : NULL,
            false);
    }
    buf_finish(&joined);
    buf_finish(&json);
}

static void read_map(struct reader *r, const char *prefix, unsigned depth);

static void read_value(struct reader *r, yaml_event_t *event, const char *key, unsigned depth)
{
    if (!acceptable(r, event, key, depth)) {
        return;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT: {
        bool null = scalar_null(event);
        put(r, event, key, null ? "" : (const char *)event->data.scalar.value, NULL, null);
        break;
    }
    case YAML_SEQUENCE_START_EVENT:
        put_list(r, event, key, depth);
        break;
    case YAML_MAPPING_START_EVENT:
        read_map(r, key, depth);
        break;
    default:
        break;
    }
}

/* "prefix.name" into out; false when it is no usable key (reported). */
static bool make_key(struct reader *r, const yaml_event_t *event, const char *prefix, char *out)
{
    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.length == 0) {
        PROBLEM(r, event, *prefix != '\0' ? prefix : NULL, "a key must be plain text");
        return false;
    }
    tn_str name = scalar_text(event);
    if (str_is(name, "<<") && scalar_plain(event)) {
        PROBLEM(r, event, "<<", "merge keys are not supported; write the values out");
        return false;
    }
    int n = snprintf(out, YAML_KEY_MAX, "%s%s%.*s", prefix, *prefix != '\0' ? "." : "",
                     (int)(name.n < YAML_KEY_MAX ? name.n : YAML_KEY_MAX), name.s);
    if (n < 0 || n >= YAML_KEY_MAX || memchr(name.s, '\0', name.n) != NULL) {
        PROBLEM(r, event, NULL, "a key is too long (at most %d bytes)", YAML_KEY_MAX - 1);
        return false;
    }
    return true;
}

/* After MAPPING_START up to and with its end. */
static void read_map(struct reader *r, const char *prefix, unsigned depth)
{
    yaml_event_t name, value;
    while (next(r, &name)) {
        if (name.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&name);
            return;
        }
        char key[YAML_KEY_MAX];
        bool good = make_key(r, &name, prefix, key);
        if (name.type != YAML_SCALAR_EVENT) {
            skip(r, name.type);
        }
        if (!next(r, &value)) {
            yaml_event_delete(&name);
            return;
        }
        size_t line = name.start_mark.line + 1;
        void *before = good ? map_get(&r->seen, str_of(key)) : NULL;
        if (before != NULL) {
            PROBLEM(r, &name, key, "appears twice, first in line %zu; keep one", (size_t)before);
            good = false;
        } else if (good) {
            map_put(&r->seen, str_of(key), (void *)line, NULL);
        }
        if (good) {
            read_value(r, &value, key, depth + 1);
        } else {
            skip(r, value.type);
        }
        yaml_event_delete(&value);
        yaml_event_delete(&name);
    }
}

tn_rc conf_read_text(struct conf *c, const char *name, tn_str text, struct conf_problems *p)
{
    struct reader r = {.c = c, .p = p, .name = name};
    unsigned before = p != NULL ? p->errors : 0;
    if (text.n > YAML_BYTES_MAX) {
        conf_problem(p, name, NULL, "has %zu bytes; at most %u are read", text.n, YAML_BYTES_MAX);
        return TN_E_CONFIG;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        return TN_E_NOMEM;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.s, text.n);
    map_init(&r.seen);
    unsigned documents = 0;
    yaml_event_t event;
    for (bool done = false; !done && next(&r, &event);) {
        switch (event.type) {
        case YAML_STREAM_END_EVENT:
            done = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents == 2) {
                PROBLEM(&r, &event, NULL, "a second document (\"---\"); one file holds one");
                r.stop = true;
            }
            break;
        case YAML_MAPPING_START_EVENT:
            if (acceptable(&r, &event, NULL, 0)) {
                read_map(&r, "", 0);
            }
            break;
        case YAML_SCALAR_EVENT:
            if (scalar_null(&event)) {
                break;
            }
            /* fall through */
        case YAML_SEQUENCE_START_EVENT:
        case YAML_ALIAS_EVENT:
            PROBLEM(&r, &event, NULL, "the file must be a mapping of keys to values (key: value)");
            skip(&r, event.type);
            break;
        default:
            break;
        }
        yaml_event_delete(&event);
    }
    map_finish(&r.seen, NULL);
    yaml_parser_delete(&r.parser);
    return p != NULL && p->errors > before ? TN_E_CONFIG : r.stop ? TN_E_CONFIG : TN_OK;
}

static tn_rc read_one(struct conf *c, const char *path, struct conf_problems *p, tn_err *err)
{
    char *text = NULL;
    size_t n = 0;
    if (fd_read_file(path, YAML_BYTES_MAX, &text, &n) < 0) {
        return errno == EFBIG ? err_set(err, TN_E_LIMIT, "%s is larger than 1 MiB", path)
                              : err_sys(err, errno, "cannot read %s", path);
    }
    conf_read_text(c, path, (tn_str){text, n}, p);
    explicit_bzero(text, n);
    free(text);
    return TN_OK;
}

static int is_yaml(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".yaml") == 0;
}

static tn_rc read_folder(struct conf *c, const char *folder, struct conf_problems *p, tn_err *err)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, is_yaml, alphasort);
    if (n < 0) {
        return err_sys(err, errno, "cannot list %s", folder);
    }
    tn_rc rc = n <= YAML_FILES_MAX
                   ? TN_OK
                   : err_set(err, TN_E_LIMIT, "%s holds %d files; at most %d are read", folder, n,
                             YAML_FILES_MAX);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (rc == TN_OK) {
            rc = len > 0 && (size_t)len < sizeof path
                     ? read_one(c, path, p, err)
                     : err_set(err, TN_E_LIMIT, "a path in %s is too long", folder);
        }
        free(names[i]);
    }
    free(names);
    return rc;
}

tn_rc conf_read_file(struct conf *c, const char *path, struct conf_problems *p, tn_err *err)
{
    tn_rc rc = read_one(c, path, p, err);
    if (rc != TN_OK) {
        return rc;
    }
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int stem = slash != NULL ? (int)(slash - path) + 1 : 0;
    struct stat st;
    int n = snprintf(folder, sizeof folder, "%s.d", path);
    if (n > 0 && (size_t)n < sizeof folder && stat(folder, &st) == 0 && S_ISDIR(st.st_mode)) {
        return read_folder(c, folder, p, err);
    }
    n = snprintf(folder, sizeof folder, "%.*sconf.d", stem, path);
    if (n > 0 && (size_t)n < sizeof folder && stat(folder, &st) == 0 && S_ISDIR(st.st_mode)) {
        return read_folder(c, folder, p, err);
    }
    return TN_OK;
}
