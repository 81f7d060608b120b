/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of all apis in one tree of path segments; literal beats ":name" beats "*". */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"
#include <stdlib.h>

#define MAX_METHODS 8
#define MAX_DEPTH   24

struct target {
    const tn_route *route;
    struct hub_plugin *api;
    tn_str method;
};
struct child {
    tn_str name; /* of the route; s == NULL: free */
    struct node *node;
};
struct node {
    struct child *children;   /* literal segments, open addressing, at least half of it free */
    unsigned nchildren, mask; /* mask: slots - 1, 0 = none yet */
    struct node *param;       /* ":name" */
    struct target here[MAX_METHODS]; /* the path ends here */
    struct target rest[MAX_METHODS]; /* "*" below here */
    unsigned nhere, nrest;
};
struct prefix {
    const char *text;
    struct hub_plugin *api;
};
struct router {
    struct node root;
    struct prefix *prefixes;
    size_t nprefixes;
};

static void node_free(struct node *n);

static void node_finish(struct node *n)
{
    for (unsigned i = 0; n->children != NULL && i <= n->mask; i++) {
        node_free(n->children[i].node);
    }
    free(n->children);
    node_free(n->param);
}

static void node_free(struct node *n)
{
    if (n != NULL) {
        node_finish(n);
        free(n);
    }
}

/* The slot of a segment, or the free one where it would be. Only routes fill the table and nobody outside
 * chooses them, so a hash that looks at three letters is good enough; half of the slots are free, so every
 * search ends soon. */
static struct child *child_slot(const struct node *n, tn_str name)
{
    unsigned h = (unsigned)name.n;
    if (name.n > 0) {
        const unsigned char *p = (const unsigned char *)name.s;
        h += p[0] * 31u + p[name.n / 2] * 7u + p[name.n - 1] * 131u;
    }
    for (unsigned i = (h ^ h >> 6) & n->mask;; i = (i + 1) & n->mask) {
        struct child *c = &n->children[i];
        if (c->name.s == NULL || (c->name.n == name.n && memcmp(c->name.s, name.s, name.n) == 0)) {
            return c;
        }
    }
}

static struct node *child_get(const struct node *n, tn_str name)
{
    return n->nchildren > 0 ? child_slot(n, name)->node : NULL;
}

/* `name` lives as long as the routes. */
static int child_add(struct node *n, tn_str name, struct node *child)
{
    if (n->children == NULL || (n->nchildren + 1) * 2 > n->mask + 1) {
        unsigned cap = n->children != NULL ? (n->mask + 1) * 2 : 4;
        struct node wide = {.children = calloc(cap, sizeof *wide.children), .mask = cap - 1};
        if (wide.children == NULL) {
            return -1;
        }
        for (unsigned i = 0; n->children != NULL && i <= n->mask; i++) {
            if (n->children[i].name.s != NULL) {
                *child_slot(&wide, n->children[i].name) = n->children[i];
            }
        }
        free(n->children);
        n->children = wide.children;
        n->mask = wide.mask;
    }
    *child_slot(n, name) = (struct child){name, child};
    n->nchildren++;
    return 0;
}

tn_rc router_create(struct router **ret, tn_err *err)
{
    struct router *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_set(err, TN_E_NOMEM, "no memory for the router");
    }
    *ret = r;
    return TN_OK;
}

void router_destroy(struct router *r)
{
    if (r != NULL) {
        node_finish(&r->root);
        free(r->prefixes);
        free(r);
    }
}

static tn_rc target_add(struct target *set, unsigned *n, const tn_route *route,
                        struct hub_plugin *api, tn_err *err)
{
    for (unsigned i = 0; i < *n; i++) {
        if (strcmp(set[i].route->method, route->method) == 0) {
            return err_set(err, TN_E_INVAL, "route %s %s: registered twice, by %s and %s",
                           route->method, route->path, set[i].api->plug->desc.name,
                           api->plug->desc.name);
        }
    }
    if (*n == MAX_METHODS) {
        return err_set(err, TN_E_LIMIT, "route %s %s: more than %d methods on one path",
                       route->method, route->path, MAX_METHODS);
    }
    set[(*n)++] = (struct target){route, api, str_of(route->method)};
    return TN_OK;
}

static tn_rc route_add(struct router *r, const tn_route *route, struct hub_plugin *api, tn_err *err)
{
    if (route->path == NULL || route->path[0] != '/' || route->handler == NULL) {
        return err_set(err, TN_E_INVAL,
                       "route %s %s of %s: needs a path that starts with / and a handler",
                       route->method, route->path ? route->path : "(none)", api->plug->desc.name);
    }
    if (route->permission == NULL || route->permission[0] == '\0') {
        return err_set(
            err, TN_E_INVAL,
            "route %s %s of %s: has no permission entry; say \"public\" if that is meant",
            route->method, route->path, api->plug->desc.name);
    }
    struct node *n = &r->root;
    tn_str rest = str_of(route->path + 1), seg;
    unsigned depth = 0, nparams = 0;
    while (str_split(&rest, '/', &seg)) {
        if (++depth > MAX_DEPTH) {
            return err_set(err, TN_E_LIMIT, "route %s: more than %d segments", route->path,
                           MAX_DEPTH);
        }
        if (str_is(seg, "*")) {
            return target_add(n->rest, &n->nrest, route, api, err);
        }
        struct node *next;
        if (seg.n > 0 && seg.s[0] == ':') {
            if (++nparams > 7) {
                return err_set(err, TN_E_LIMIT, "route %s: more than 7 parameters", route->path);
            }
            if (n->param == NULL) {
                n->param = calloc(1, sizeof *n->param);
            }
            next = n->param;
        } else {
            next = child_get(n, seg);
            if (next == NULL) {
                next = calloc(1, sizeof *next);
                if (next != NULL && child_add(n, seg, next) != 0) {
                    node_free(next);
                    next = NULL;
                }
            }
        }
        if (next == NULL) {
            return err_set(err, TN_E_NOMEM, "no memory for route %s", route->path);
        }
        n = next;
    }
    return target_add(n->here, &n->nhere, route, api, err);
}

tn_rc router_add(struct router *r, struct hub_plugin *api, tn_err *err)
{
    const tn_api_ops *ops = api->plug->ops;
    for (const tn_route *route = ops->routes; route != NULL && route->method != NULL; route++) {
        tn_rc rc = route_add(r, route, api, err);
        if (rc != TN_OK) {
            return rc;
        }
    }
    for (const char *const *p = ops->prefixes; p != NULL && *p != NULL; p++) {
        struct prefix *more = realloc(r->prefixes, (r->nprefixes + 1) * sizeof *more);
        if (more == NULL) {
            return err_set(err, TN_E_NOMEM, "no memory for prefix %s", *p);
        }
        r->prefixes = more;
        r->prefixes[r->nprefixes++] = (struct prefix){*p, api};
    }
    return TN_OK;
}

static const struct target *target_find(const struct target *set, unsigned n, tn_str method)
{
    for (unsigned i = 0; i < n; i++) {
        if (str_eq(method, set[i].method)) {
            return &set[i];
        }
    }
    return NULL;
}

static const struct target *walk(const struct node *n, tn_str rest, tn_str method,
                                 struct router_hit *ret, unsigned depth)
{
    if (rest.s == NULL) {
        return target_find(n->here, n->nhere, method);
    }
    if (depth > MAX_DEPTH) {
        return NULL;
    }
    tn_str tail = rest, seg;
    if (!str_split(&tail, '/', &seg)) {
        return target_find(n->here, n->nhere, method);
    }
    const struct target *t = NULL;
    const struct node *child = child_get(n, seg);
    if (child != NULL) {
        t = walk(child, tail, method, ret, depth + 1);
    }
    if (t == NULL && n->param != NULL && seg.n > 0) {
        uint32_t mark = ret->nparams;
        ret->params[ret->nparams++] = seg;
        t = walk(n->param, tail, method, ret, depth + 1);
        if (t == NULL) {
            ret->nparams = mark;
        }
    }
    if (t == NULL) {
        t = target_find(n->rest, n->nrest, method);
        if (t != NULL) {
            ret->params[ret->nparams++] = rest;
        }
    }
    return t;
}

int router_match(const struct router *r, tn_str method, tn_str path, struct router_hit *ret)
{
    ret->nparams = 0;
    ret->route = NULL;
    ret->api = NULL;
    if (path.n > 0 && path.s[0] == '/') {
        tn_str rest = {path.s + 1, path.n - 1};
        const struct target *t = walk(&r->root, rest, method, ret, 0);
        if (t == NULL && str_is(method, "HEAD")) {
            /* RFC 9110 section 9.3.2: as GET, and the frontend leaves the body out. */
            ret->nparams = 0;
            t = walk(&r->root, rest, TN_STR("GET"), ret, 0);
        }
        if (t != NULL) {
            ret->route = t->route;
            ret->api = t->api;
            return 1;
        }
    }
    ret->nparams = 0;
    size_t best = 0;
    for (size_t i = 0; i < r->nprefixes; i++) {
        size_t n = strlen(r->prefixes[i].text);
        if ((ret->api == NULL || n > best) && str_prefix(path, r->prefixes[i].text)) {
            best = n;
            ret->api = r->prefixes[i].api;
        }
    }
    if (ret->api == NULL && r->nprefixes > 0) {
        ret->api = r->prefixes[0].api;
    }
    return 0;
}
