/* SPDX-License-Identifier: Apache-2.0 */
/* Handles, descriptors, attributes, errors and keys of threads. */
#include "oci.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UTF8_ID 873

int fail(struct error *e, int code, const char *fmt, ...)
{
    char text[500];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (e != NULL) {
        e->f.code = code;
        snprintf(e->f.text, sizeof e->f.text, "ORA-%05d: %s\n", code, text);
    }
    return FAILED;
}

/* ---- the library ------------------------------------------------------------------------------------- */

OCI(void, OCIClientVersion, (int *a, int *b, int *c, int *d, int *e))
{
    *a = 19, *b = 21, *c = *d = *e = 0;
}

OCI(void, OCIThreadProcessInit, (void))
{
}

OCI(int, OCIEnvNlsCreate,
    (void **env, uint32_t mode, void *ctx, void *a, void *r, void *f, size_t extra, void **mem,
     uint16_t charset, uint16_t ncharset))
{
    (void)mode, (void)ctx, (void)a, (void)r, (void)f, (void)extra, (void)mem, (void)ncharset;
    struct env *made = *env = calloc(1, sizeof *made);
    if (made != NULL) {
        pthread_mutex_init(&made->mutex, NULL);
    }
    return *env != NULL && charset == UTF8_ID ? OK : FAILED;
}

OCI(int, OCINlsNumericInfoGet, (void *env, void *err, int32_t *ret, uint16_t item))
{
    (void)env, (void)err, (void)item;
    *ret = 4; /* bytes of a character */
    return OK;
}

OCI(int, OCINlsCharSetConvert,
    (void *env, void *err, uint16_t to, void *dst, size_t cap, uint16_t from, const void *src,
     size_t n, size_t *ret))
{
    (void)env, (void)err, (void)to, (void)from;
    *ret = n < cap ? n : cap;
    memcpy(dst, src, *ret);
    return OK;
}

/* ---- threads ----------------------------------------------------------------------------------------- */

OCI(int, OCIThreadKeyInit, (void *env, void *err, void **key, void (*destroy)(void *)))
{
    pthread_key_t *k = malloc(sizeof *k);
    (void)env, (void)err;
    if (k == NULL || pthread_key_create(k, destroy) != 0) {
        free(k);
        return FAILED;
    }
    *key = k;
    return OK;
}

OCI(int, OCIThreadKeyDestroy, (void *env, void *err, void **key))
{
    (void)env, (void)err;
    pthread_key_delete(*(pthread_key_t *)*key);
    free(*key);
    *key = NULL;
    return OK;
}

OCI(int, OCIThreadKeyGet, (void *env, void *err, void *key, void **ret))
{
    (void)env, (void)err;
    *ret = pthread_getspecific(*(pthread_key_t *)key);
    return OK;
}

OCI(int, OCIThreadKeySet, (void *env, void *err, void *key, void *value))
{
    (void)env, (void)err;
    return pthread_setspecific(*(pthread_key_t *)key, value) == 0 ? OK : FAILED;
}

/* ---- allocation -------------------------------------------------------------------------------------- */

static size_t handle_size(uint32_t type)
{
    switch (type) {
    case HT_ERROR:
        return sizeof(struct error);
    case HT_SVC:
        return sizeof(struct svc);
    case HT_STMT:
        return sizeof(struct stmt);
    case HT_SERVER:
        return sizeof(struct server);
    case HT_SESSION:
        return sizeof(struct session);
    default:
        return 64;
    }
}

static void link_error(struct env *env, struct error *e)
{
    pthread_mutex_lock(&env->mutex);
    e->env = env;
    e->next = env->first;
    e->back = &env->first;
    if (e->next != NULL) {
        e->next->back = &e->next;
    }
    env->first = e;
    pthread_mutex_unlock(&env->mutex);
}

static void free_error(struct error *e)
{
    struct env *env = e->env;
    pthread_mutex_lock(&env->mutex);
    *e->back = e->next;
    if (e->next != NULL) {
        e->next->back = e->back;
    }
    pthread_mutex_unlock(&env->mutex);
    free(e->batch);
    free(e);
}

static void free_env(struct env *env)
{
    while (env->first != NULL) {
        free_error(env->first);
    }
    pthread_mutex_destroy(&env->mutex);
    free(env);
}

OCI(int, OCIHandleAlloc, (const void *parent, void **ret, uint32_t type, size_t extra, void **mem))
{
    (void)extra, (void)mem;
    *ret = calloc(1, handle_size(type));
    if (*ret != NULL && type == HT_ERROR) {
        link_error((struct env *)parent, *ret);
    }
    return *ret != NULL ? OK : FAILED;
}

OCI(int, OCIHandleFree, (void *handle, uint32_t type))
{
    if (type == HT_ERROR || type == HT_ENV) {
        if (type == HT_ERROR) {
            free_error(handle);
        } else {
            free_env(handle);
        }
        return OK;
    }
    if (type == HT_STMT) {
        stmt_finish(handle);
    } else if (type == HT_SVC) {
        sqlite3_close_v2(((struct svc *)handle)->db);
    }
    free(handle);
    return OK;
}

static size_t descriptor_size(uint32_t type)
{
    return type == DT_LOB                   ? sizeof(struct lob)
           : type == DT_ROWID               ? sizeof(struct rowid)
           : type == DT_YM || type == DT_DS ? sizeof(struct span)
                                            : sizeof(struct moment);
}

OCI(int, OCIDescriptorAlloc,
    (const void *parent, void **ret, uint32_t type, size_t extra, void **mem))
{
    (void)parent, (void)extra, (void)mem;
    *ret = calloc(1, descriptor_size(type));
    return *ret != NULL ? OK : FAILED;
}

OCI(int, OCIDescriptorFree, (void *d, uint32_t type))
{
    if (type == DT_LOB) {
        free(((struct lob *)d)->data);
    }
    if (type != DT_PARAM) { /* columns belong to their statement */
        free(d);
    }
    return OK;
}

OCI(int, OCIArrayDescriptorAlloc,
    (const void *parent, void **ret, uint32_t type, uint32_t n, size_t extra, void **mem))
{
    size_t size = descriptor_size(type);
    char *block = calloc(n, size);
    (void)parent, (void)extra, (void)mem;
    for (uint32_t i = 0; block != NULL && i < n; i++) {
        ret[i] = block + i * size;
    }
    return block != NULL ? OK : FAILED;
}

OCI(int, OCIArrayDescriptorFree, (void **d, uint32_t type))
{
    (void)type;
    free(d[0]);
    return OK;
}

/* ---- attributes -------------------------------------------------------------------------------------- */

static int put(void *at, uint32_t *size, const void *value, size_t n)
{
    memcpy(at, value, n);
    if (size != NULL) {
        *size = (uint32_t)n;
    }
    return OK;
}
#define PUT(type, value) put(at, NULL, &(type){(type)(value)}, sizeof(type))

static int of_column(const struct column *c, void *at, uint32_t *size, uint32_t what)
{
    switch (what) {
    case 4: /* NAME */
        *(char **)at = c->name;
        *size = (uint32_t)strlen(c->name);
        return OK;
    case 1: /* DATA_SIZE */
        return PUT(uint16_t, c->kind.size * (c->kind.type == T_BIN  ? 1u
                                             : c->kind.size > 16383 ? 1u
                                                                    : 4u));
    case 286: /* CHAR_SIZE */
        return PUT(uint16_t, c->kind.size);
    case 2:
        return PUT(uint16_t, c->kind.type);
    case 5:
        return PUT(int16_t, c->kind.precision);
    case 6:
        return PUT(int8_t, c->kind.scale);
    case 32: /* CHARSET_FORM */
        return PUT(uint8_t, c->kind.national ? 2 : 1);
    case 7: /* IS_NULL */
        return PUT(uint8_t, 1);
    case 534: /* JSON_COL */
        return PUT(uint8_t, 0);
    default:
        return FAILED;
    }
}

static int of_stmt(struct stmt *s, void *at, uint32_t what)
{
    switch (what) {
    case 24: /* STMT_TYPE */
        return PUT(uint16_t, s->kind);
    case 218: /* STMT_IS_RETURNING */
        return PUT(uint8_t, s->returning);
    case 18: /* PARAM_COUNT */
        describe(s);
        return PUT(uint32_t, s->ncols);
    case 190: /* BIND_COUNT */
        return PUT(uint32_t, s->nbinds);
    case 197: /* ROWS_FETCHED */
        return PUT(uint32_t, s->fetched);
    case 457: /* UB8_ROW_COUNT */
        return PUT(uint64_t, s->rows);
    case 73: /* NUM_DML_ERRORS */
        return PUT(uint32_t, s->nerrors);
    case 129: /* PARSE_ERROR_OFFSET */
        return PUT(uint16_t, 0);
    default:
        return FAILED;
    }
}

OCI(int, OCIAttrGet,
    (const void *handle, uint32_t type, void *at, uint32_t *size, uint32_t what, void *err))
{
    const struct svc *svc = handle;
    (void)err;
    switch (type) {
    case HT_ENV:
        return PUT(uint16_t, UTF8_ID);
    case HT_SERVER: /* SERVER_STATUS, CHARSET_ID */
        return what == 143 ? PUT(uint32_t, ((const struct server *)handle)->gone ? 0 : 1)
                           : PUT(uint16_t, UTF8_ID);
    case HT_SESSION: /* TRANSACTION_IN_PROGRESS: not known here, so say yes */
        return PUT(int, 1);
    case HT_ERROR: /* DML_ROW_OFFSET, ERROR_IS_RECOVERABLE */
        return what == 74 ? PUT(int32_t, ((const struct error *)handle)->f.row) : PUT(int, 0);
    case HT_SVC:
        return what == 531 ? PUT(uint32_t, svc->call_timeout) : PUT(uint32_t, svc->cache);
    case HT_STMT:
        return of_stmt((struct stmt *)handle, at, what);
    case HT_PARAM:
        return of_column(handle, at, size, what);
    case HT_BIND: /* ROWS_RETURNED */
        return PUT(uint32_t, ((const struct bind *)handle)->returned);
    default:
        return FAILED;
    }
}

static void text_attr(char *to, size_t cap, const void *from, uint32_t n)
{
    snprintf(to, cap, "%.*s", (int)n, from != NULL ? (const char *)from : "");
}

OCI(int, OCIAttrSet,
    (void *handle, uint32_t type, void *at, uint32_t size, uint32_t what, void *err))
{
    struct svc *svc = handle;
    struct session *s = handle;
    (void)err;
    if (type == HT_SVC) {
        switch (what) {
        case 6:
            svc->server = at;
            break;
        case 7:
            svc->session = at;
            break;
        case 531:
            svc->call_timeout = *(uint32_t *)at;
            break;
        case 176:
            svc->cache = *(uint32_t *)at;
            break;
        default:
            break;
        }
    } else if (type == HT_SESSION) {
        switch (what) {
        case 22:
            text_attr(s->user, sizeof s->user, at, size);
            break;
        case 23:
            text_attr(s->password, sizeof s->password, at, size);
            break;
        case 366:
            text_attr(s->module, sizeof s->module, at, size);
            break;
        case 367:
            text_attr(s->action, sizeof s->action, at, size);
            break;
        case 278:
            text_attr(s->client, sizeof s->client, at, size);
            break;
        default:
            break;
        }
    }
    return OK;
}

/* ---- errors ------------------------------------------------------------------------------------------ */

OCI(int, OCIErrorGet,
    (void *handle, uint32_t n, char *state, int32_t *code, char *text, uint32_t cap, uint32_t type))
{
    const struct error *e = handle;
    (void)state;
    if (type != HT_ERROR || n != 1) {
        return NO_DATA;
    }
    *code = e->f.code;
    snprintf(text, cap, "%s", e->f.text);
    return OK;
}

OCI(int, OCIParamGet, (const void *handle, uint32_t type, void *err, void **ret, uint32_t pos))
{
    if (type == HT_ERROR) { /* one of a batch, into the handle that the caller has made */
        const struct error *all = handle;
        if (pos >= all->nbatch) {
            return FAILED;
        }
        ((struct error *)*ret)->f = all->batch[pos];
        return OK;
    }
    struct stmt *s = (struct stmt *)handle;
    if (pos < 1 || pos > s->ncols) {
        return fail(err, 24334, "no descriptor for this position");
    }
    *ret = &s->cols[pos - 1];
    return OK;
}
