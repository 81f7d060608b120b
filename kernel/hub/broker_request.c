/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP request of a call that was submitted without it: told when a script looks at it. */
#include "kernel/base/str.h"
#include "kernel/hub/broker_int.h"
#include <stdlib.h>
#include <string.h>

void call_keep_request(tn_call *c)
{
    if (c->http_text == NULL) {
        return;
    }
    tn_str text = c->http_text(c->user);
    c->http_text = NULL;
    c->http = text.s != NULL ? malloc(text.n + 1) : NULL;
    if (c->http != NULL) {
        memcpy(c->http, text.s, text.n);
        c->http_n = text.n;
    }
}

/* By its task id, not the first one: answers of calls before it may still lie in the ring. */
static tn_call *find(const struct link *l, tn_str task_id)
{
    list_for_each(it, &l->sent) {
        tn_call *c = list_entry(it, tn_call, node);
        if (str_is(task_id, c->task_id)) {
            return c;
        }
    }
    return NULL;
}

void broker_request(struct broker *b, tn_str task_id, void *token)
{
    const struct ask *a = token;
    tn_call *c = a->link != NULL ? find(a->link, task_id) : NULL;
    if (c == NULL) {
        broker_answer(b, token, TN_E_NOTFOUND, TN_STR("the worker does not run this call"));
        return;
    }
    tn_str text = c->http_text != NULL ? c->http_text(c->user) : (tn_str){c->http, c->http_n};
    if (text.s == NULL) {
        broker_answer(b, token, TN_E_NOMEM, TN_STR("no memory for the HTTP request"));
    } else {
        broker_answer(b, token, TN_OK, text);
    }
}
