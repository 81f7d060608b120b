/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: argon2id in PHC string form (RFC 9106), the same time whether a user exists or not. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/keys_int.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* OWASP's minimum: 19 MiB, two passes, one lane. */
#define MEMORY  (19u * 1024 * 1024)
#define PASSES  2
#define RUNNING 2

/* A hash from elsewhere must not be able to ask for more than this. */
#define MEMORY_MAX_KB (256u * 1024)
#define PASSES_MAX    10

/* Of a random password that nobody kept, with the parameters above. */
static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$TaMm2jK8CScZJrGNqYhrKQ$"
                             "WQGzOOWK03oZq7KaXGKE8JY+VjrkNBLM6/GA2IdGMvQ";

void password_gate_init(struct password_gate *g)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->free, NULL);
    g->running = 0;
}

void password_gate_finish(struct password_gate *g)
{
    pthread_cond_destroy(&g->free);
    pthread_mutex_destroy(&g->lock);
}

static void enter(struct password_gate *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->running >= RUNNING) {
        pthread_cond_wait(&g->free, &g->lock);
    }
    g->running++;
    pthread_mutex_unlock(&g->lock);
}

static void leave(struct password_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->running--;
    pthread_cond_signal(&g->free);
    pthread_mutex_unlock(&g->lock);
}

tn_rc password_hash(struct password_gate *g, tn_str password, struct buf *ret, tn_err *err)
{
    char phc[crypto_pwhash_STRBYTES];
    if (password.n < 1 || password.n > PASSWORD_MAX) {
        return err_set(err, TN_E_INVAL, "a password must have 1 to %d bytes, not %zu", PASSWORD_MAX,
                       password.n);
    }
    enter(g);
    int bad = crypto_pwhash_str(phc, password.s, password.n, PASSES, MEMORY);
    leave(g);
    if (bad || buf_adds(ret, phc) < 0) {
        return err_set(err, TN_E_NOMEM, "no memory to hash a password (%u MiB)", MEMORY >> 20);
    }
    return TN_OK;
}

/* An argon2id string whose parameters we are ready to pay for. */
static int acceptable(tn_str phc, char text[crypto_pwhash_STRBYTES])
{
    unsigned memory, passes, lanes;
    int end = 0;
    if (!phc.s || phc.n == 0 || phc.n >= crypto_pwhash_STRBYTES || memchr(phc.s, '\0', phc.n)) {
        return 0;
    }
    memset(text, 0, crypto_pwhash_STRBYTES);
    memcpy(text, phc.s, phc.n);
    return sscanf(text, "$argon2id$v=19$m=%6u,t=%3u,p=%2u$%n", &memory, &passes, &lanes, &end) ==
               3 &&
           end > 0 && memory <= MEMORY_MAX_KB && passes <= PASSES_MAX && lanes == 1;
}

tn_rc password_verify(struct password_gate *g, tn_str password, tn_str phc, tn_err *err)
{
    char text[crypto_pwhash_STRBYTES];
    /* Whatever is wrong with the question, the work is done: the time tells nothing. */
    int real = acceptable(phc, text) && password.n >= 1 && password.n <= PASSWORD_MAX;
    if (!real) {
        memset(text, 0, sizeof text);
        memcpy(text, nobody, sizeof nobody);
    }
    size_t n = password.n > PASSWORD_MAX ? PASSWORD_MAX : password.n;
    enter(g);
    int same = crypto_pwhash_str_verify(text, n ? password.s : "", n) == 0;
    leave(g);
    if (real && same) {
        return TN_OK;
    }
    return err_set(err, TN_E_DENIED, "the user name or the password is wrong");
}
