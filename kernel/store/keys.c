/* SPDX-License-Identifier: Apache-2.0 */
/* The installation's key: where it lives, that it is the right one, and what is sealed with it. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/store/keys_int.h"
#include "kernel/store/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES  32
#define SEALED_MAX (64u << 20) /* bytes of one secret */
#define NONCE      crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG        crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SENTINEL   "key.sentinel"
#define VARIANT    sodium_base64_VARIANT_ORIGINAL

/* On a page of its own: locked into memory, in no core dump, gone in a forked child. */
struct secret_page {
    uint8_t master[KEY_BYTES];
    uint8_t seal[KEY_BYTES];
};

struct keys {
    struct secret_page *secret;
    size_t page;
    char id[9]; /* 8 hexadecimal digits, public */
    struct password_gate gate;
};

/* ---- derivation ------------------------------------------------------------------------------ */

/* BLAKE2b keyed with the master key. The label keeps our own uses apart from those of callers. */
static void derive(const struct keys *k, const char *label, const char *purpose, uint8_t *ret,
                   size_t n)
{
    crypto_generichash_state st;
    crypto_generichash_init(&st, k->secret->master, KEY_BYTES, n);
    crypto_generichash_update(&st, (const unsigned char *)label, strlen(label) + 1);
    crypto_generichash_update(&st, (const unsigned char *)purpose, strlen(purpose));
    crypto_generichash_final(&st, ret, n);
    sodium_memzero(&st, sizeof st);
}

void keys_derive(struct keys *k, const char *purpose, uint8_t ret[32])
{
    derive(k, "tenon derive 1", purpose, ret, KEY_BYTES);
}

/* ---- sealing --------------------------------------------------------------------------------- */

/* What the tag covers beside the text: its place, and which key. */
static char *bound(const char *id, tn_str aad, size_t *ret_n)
{
    size_t n = aad.n + 1 + strlen(id);
    char *p = malloc(n + 1);
    if (p) {
        if (aad.n) {
            memcpy(p, aad.s, aad.n);
        }
        p[aad.n] = '\0';
        memcpy(p + aad.n + 1, id, strlen(id) + 1);
        *ret_n = n;
    }
    return p;
}

static tn_rc no_memory(tn_err *err)
{
    return err_set(err, TN_E_NOMEM, "no memory for a secret");
}

tn_rc keys_seal(struct keys *k, tn_str plain, tn_str aad, struct buf *ret, tn_err *err)
{
    if (plain.n > SEALED_MAX) {
        return err_set(err, TN_E_LIMIT, "a secret may have at most %u bytes", SEALED_MAX);
    }
    tn_rc rc = no_memory(err);
    size_t n = NONCE + plain.n + TAG, naad = 0;
    size_t text = sodium_base64_ENCODED_LEN(n, VARIANT);
    char *with = bound(k->id, aad, &naad);
    uint8_t *blob = malloc(n);
    unsigned long long len = 0;
    size_t before = ret->len;
    if (with && blob) {
        rnd_bytes(blob, NONCE);
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            blob + NONCE, &len, (const unsigned char *)(plain.n ? plain.s : ""), plain.n,
            (const unsigned char *)with, naad, NULL, blob, k->secret->seal);
        buf_printf(ret, "tn1:%s:", k->id);
        char *to = buf_reserve(ret, text);
        if (to && !ret->failed) {
            sodium_bin2base64(to, text, blob, n, VARIANT);
            ret->len += text - 1; /* text counts the NUL */
            rc = TN_OK;
        }
    }
    if (rc) {
        ret->len = before;
    }
    free(with);
    free(blob);
    return rc;
}

/* The parts of "tn1:<key id>:<base64>". */
static tn_rc split(tn_str sealed, tn_str *ret_id, tn_str *ret_blob, tn_err *err)
{
    const char *second = sealed.n > 4 ? memchr(sealed.s + 4, ':', sealed.n - 4) : NULL;
    if (!str_prefix(sealed, "tn1:") || !second) {
        return err_set(err, TN_E_INVAL, "this is not a sealed secret (tn1:<key>:<text>)");
    }
    *ret_id = (tn_str){sealed.s + 4, (size_t)(second - sealed.s) - 4};
    *ret_blob = (tn_str){second + 1, sealed.n - (size_t)(second + 1 - sealed.s)};
    return TN_OK;
}

static tn_rc open_blob(struct keys *k, const uint8_t *blob, size_t n, tn_str aad, struct buf *ret,
                       tn_err *err)
{
    unsigned long long len = 0;
    size_t naad = 0;
    char *with = bound(k->id, aad, &naad);
    char *to = buf_reserve(ret, n - NONCE - TAG + 1);
    if (!with || !to) {
        free(with);
        return no_memory(err);
    }
    int bad = crypto_aead_xchacha20poly1305_ietf_decrypt(
        (unsigned char *)to, &len, NULL, blob + NONCE, n - NONCE, (const unsigned char *)with, naad,
        blob, k->secret->seal);
    free(with);
    if (bad) {
        return err_set(err, TN_E_DENIED,
                       "a sealed secret was changed, or belongs to another row or installation");
    }
    ret->len += len;
    ret->data[ret->len] = '\0';
    return TN_OK;
}

tn_rc keys_unseal(struct keys *k, tn_str sealed, tn_str aad, struct buf *ret, tn_err *err)
{
    tn_str id = {NULL, 0}, text = {NULL, 0};
    size_t n = 0;
    tn_rc rc = split(sealed, &id, &text, err);
    if (rc) {
        return rc;
    }
    if (!str_is(id, k->id)) {
        return err_set(
            err, TN_E_DENIED,
            "a secret was sealed with key %.*s, this installation has key %s; restore the "
            "master.key that belongs to this database, or enter the secret again",
            id.n > 16 ? 16 : (int)id.n, id.s, k->id);
    }
    uint8_t *blob = malloc(text.n / 4 * 3 + 4);
    if (!blob) {
        return no_memory(err);
    }
    const char *end = NULL;
    if (text.n > 2 * (size_t)SEALED_MAX ||
        sodium_base642bin(blob, text.n / 4 * 3 + 4, text.s, text.n, NULL, &n, &end, VARIANT) != 0 ||
        end != text.s + text.n || n < NONCE + TAG) {
        rc = err_set(err, TN_E_INVAL, "a sealed secret is cut or not base64");
    } else {
        rc = open_blob(k, blob, n, aad, ret, err);
    }
    free(blob);
    return rc;
}

/* ---- the file -------------------------------------------------------------------------------- */

static tn_rc read_key(const char *path, uint8_t key[KEY_BYTES], tn_err *err)
{
    struct stat st;
    uint8_t more;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return err_sys(err, errno, "cannot open the key file %s", path);
    }
    tn_rc rc = TN_OK;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        rc = err_set(err, TN_E_CONFIG, "the key file %s is not a regular file", path);
    } else if ((st.st_mode & 07177) != 0) {
        rc = err_set(
            err, TN_E_CONFIG,
            "the key file %s has mode %04o; others may have read it: chmod 600 %s, and think "
            "about new secrets",
            path, (unsigned)(st.st_mode & 07777), path);
    } else if (st.st_uid != geteuid()) {
        rc = err_set(err, TN_E_CONFIG, "the key file %s belongs to uid %u, not to ours (%u)", path,
                     (unsigned)st.st_uid, (unsigned)geteuid());
    } else if (st.st_size != KEY_BYTES || fd_read_full(fd, key, KEY_BYTES) != KEY_BYTES ||
               fd_read_full(fd, &more, 1) != 0) {
        rc = err_set(err, TN_E_CONFIG,
                     "the key file %s has %lld bytes, not %d: restore it from a backup", path,
                     (long long)st.st_size, KEY_BYTES);
    }
    close(fd);
    return rc;
}

static tn_rc make_key(const char *path, uint8_t key[KEY_BYTES], tn_err *err)
{
    rnd_bytes(key, KEY_BYTES);
    if (fd_write_file(path, key, KEY_BYTES, 0600) < 0) {
        return err_sys(err, errno, "cannot write the key file %s", path);
    }
    log_info("store: made a new key in %s; keep a copy of it apart from the database", path);
    return TN_OK;
}

/* The sentinel tells a key that is merely valid from the one that the secrets were sealed with. */
static tn_rc check_sentinel(struct keys *k, struct store *s, tn_err *err)
{
    const tn_str aad = TN_STR("tn_meta|value|" SENTINEL);
    struct buf sealed = BUF_INIT(0), plain = BUF_INIT(0);
    tn_err why = TN_ERR_INIT;
    tn_rc rc = meta_get(s, SENTINEL, &sealed, &why);
    if (rc == TN_E_NOTFOUND) {
        rc = keys_seal(k, TN_STR("tenon"), aad, &sealed, err);
        rc = rc ? rc : meta_put(s, SENTINEL, buf_str(&sealed), err);
    } else if (rc) {
        rc = err_set(err, rc, "%s", why.msg);
    } else if ((rc = keys_unseal(k, buf_str(&sealed), aad, &plain, &why)) ||
               !str_is(buf_str(&plain), "tenon")) {
        rc = err_set(
            err, TN_E_CONFIG,
            "master.key is not the key of this database (%s). Put the right master.key back, "
            "or delete row '" SENTINEL "' of table tn_meta: then every stored secret has to be "
            "entered again",
            why.msg);
    }
    buf_finish(&sealed);
    buf_finish(&plain);
    return rc;
}

static tn_rc load_key(struct keys *k, const char *data, struct store *s, tn_err *err)
{
    char path[PATH_MAX];
    struct buf sealed = BUF_INIT(0);
    tn_err why = TN_ERR_INIT;
    if (snprintf(path, sizeof path, "%s/master.key", data) >= (int)sizeof path) {
        return err_set(err, TN_E_LIMIT, "the path of the data folder is too long: %s", data);
    }
    if (access(path, F_OK) == 0 || errno != ENOENT) {
        return read_key(path, k->secret->master, err);
    }
    /* A new key for a database that has secrets would only hide that the old one is lost. */
    tn_rc rc = s ? meta_get(s, SENTINEL, &sealed, &why) : TN_E_NOTFOUND;
    buf_finish(&sealed);
    if (rc == TN_OK) {
        return err_set(
            err, TN_E_CONFIG,
            "%s is missing, but the database has secrets that were sealed with it: put it "
            "back from a backup, or delete row '" SENTINEL "' of table tn_meta and enter every "
            "secret again",
            path);
    }
    return rc == TN_E_NOTFOUND ? make_key(path, k->secret->master, err)
                               : err_set(err, rc, "%s", why.msg);
}

tn_rc keys_open(const char *data, struct store *s, struct keys **ret, tn_err *err)
{
    uint8_t id[16]; /* BLAKE2b's shortest; 4 bytes of it are shown */
    if (sodium_init() < 0) {
        return err_set(err, TN_E_INTERNAL, "libsodium cannot be initialised");
    }
    struct keys *k = calloc(1, sizeof *k);
    if (!k) {
        return no_memory(err);
    }
    password_gate_init(&k->gate);
    k->page = (size_t)sysconf(_SC_PAGESIZE);
    k->secret = mmap(NULL, k->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (k->secret == MAP_FAILED) {
        k->secret = NULL;
        keys_close(k);
        return no_memory(err);
    }
    if (mlock(k->secret, k->page) < 0) {
        log_warn("store: the key cannot be locked in memory (%s); swap may see it, raise "
                 "LimitMEMLOCK",
                 strerror(errno));
    }
    madvise(k->secret, k->page, MADV_DONTDUMP);
    madvise(k->secret, k->page, MADV_WIPEONFORK);
    tn_rc rc = load_key(k, data, s, err);
    if (rc == TN_OK) {
        derive(k, "tenon seal 1", "", k->secret->seal, KEY_BYTES);
        derive(k, "tenon key id 1", "", id, sizeof id);
        sodium_bin2hex(k->id, sizeof k->id, id, 4);
        mprotect(k->secret, k->page, PROT_READ);
        rc = s ? check_sentinel(k, s, err) : TN_OK;
    }
    if (rc) {
        keys_close(k);
        return rc;
    }
    *ret = k;
    return TN_OK;
}

void keys_close(struct keys *k)
{
    if (!k) {
        return;
    }
    if (k->secret) {
        mprotect(k->secret, k->page, PROT_READ | PROT_WRITE);
        sodium_memzero(k->secret, sizeof *k->secret);
        munmap(k->secret, k->page);
    }
    password_gate_finish(&k->gate);
    free(k);
}

/* ---- passwords ------------------------------------------------------------------------------- */

tn_rc keys_password_hash(struct keys *k, tn_str password, struct buf *ret, tn_err *err)
{
    return password_hash(&k->gate, password, ret, err);
}

tn_rc keys_password_verify(struct keys *k, tn_str password, tn_str phc, tn_err *err)
{
    return password_verify(&k->gate, password, phc, err);
}
