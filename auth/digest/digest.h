/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this plugin share (RFC 7616). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tenon/types.h>

/* ---- hash.c --------------------------------------------------------------------------------------- */
enum algorithm { ALG_SHA256, ALG_MD5, ALGS };
#define HEX_MAX 64
extern const char *const algorithm_names[ALGS];
/* Hash of the parts, joined by ':', as lower-case hex with NUL. False when the library fails. */
bool hash_hex(enum algorithm alg, const tn_str *parts, size_t n, char ret[HEX_MAX + 1]);
bool hash_mac(const uint8_t key[32], const void *data, size_t n, uint8_t ret[32]);
/* Constant time; lengths may leak. */
bool hash_equal(tn_str a, tn_str b);

/* ---- header.c ------------------------------------------------------------------------------------- */
#define HEADER_MAX   8192
#define USERNAME_MAX 256
enum directive {
    D_USERNAME,
    D_USERNAME_EXT,
    D_REALM,
    D_NONCE,
    D_URI,
    D_RESPONSE,
    D_ALGORITHM,
    D_CNONCE,
    D_OPAQUE,
    D_QOP,
    D_NC,
    D_USERHASH,
    DIRECTIVES
};
struct digest_header {
    tn_str value[DIRECTIVES]; /* unquoted; absent when not given */
    char text[HEADER_MAX];    /* where they lie */
};
/* Parses what follows "Digest ". TN_E_INVAL with a reason: a form that is wrong, a directive that is
 * given twice. Directives that RFC 7616 does not know are skipped. */
tn_rc header_parse(tn_str credentials, struct digest_header *ret, const char **ret_why);
/* The user name of username or username* (RFC 8187), at most USERNAME_MAX bytes; false: neither, both
 * or a form that is wrong. */
bool header_username(const struct digest_header *h, char out[USERNAME_MAX], tn_str *ret);

/* ---- nonce.c -------------------------------------------------------------------------------------- */
#define NONCE_LEN 48 /* hex of 8 bytes time and 16 bytes of its HMAC */
#define NONCES    1024
struct nonce_use {
    uint64_t stamp; /* 0: free */
    uint32_t top;   /* the highest nc seen */
    uint64_t seen;  /* bit i: top - i */
};
/* A nonce tells when it was made and that we made it, so that only those that were used well need a
 * place here. When the table is full the oldest goes, and with it everything older becomes stale: no
 * count is ever accepted twice. */
struct nonces {
    uint8_t key[32];
    uint64_t last;  /* stamps are unique */
    uint64_t floor; /* older ones are stale unless they are in the table */
    uint64_t life_us;
    struct nonce_use *used; /* NONCES of them, made when first needed */
};
enum nonce_state { NONCE_GOOD, NONCE_STALE, NONCE_FOREIGN };
bool nonce_make(struct nonces *n, uint64_t now_us, char ret[NONCE_LEN + 1]);
enum nonce_state nonce_check(const struct nonces *n, uint64_t now_us, tn_str nonce,
                             uint64_t *ret_stamp);
enum nonce_count { COUNT_NEW, COUNT_SEEN, COUNT_STALE };
/* Remembers this count of a good nonce. */
enum nonce_count nonce_use(struct nonces *n, uint64_t now_us, uint64_t stamp, uint32_t nc);
