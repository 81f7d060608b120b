/* SPDX-License-Identifier: Apache-2.0 */
/* The little cryptography that Python's standard library lacks here: MD5 of a buffer, AES-256-CBC. */
#include "pyshim/shim.h"

#include <openssl/evp.h>

int crypt_md5(const void *p, size_t n, char out[33])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(p, n, md, &len, EVP_md5(), NULL) || len != 16) {
        PyErr_SetString(PyExc_RuntimeError, "libcrypto has no MD5");
        return -1;
    }
    for (unsigned i = 0; i < 16; i++) {
        out[2 * i] = "0123456789abcdef"[md[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
    }
    out[32] = '\0';
    return 0;
}

/* aes_cbc(encrypt: bool, key: bytes[32], iv: bytes[16], data: bytes) -> bytes. No padding: the data
 * is a multiple of 16 bytes (the forms of the platform pad themselves). */
PyObject *crypt_aes_cbc(PyObject *self, PyObject *args)
{
    int encrypt, n1 = 0, n2 = 0;
    Py_buffer key, iv, data;
    PyObject *ret = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "py*y*y*", &encrypt, &key, &iv, &data)) {
        return NULL;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (key.len != 32 || iv.len != 16 || data.len % 16 != 0 || data.len > INT_MAX - 32) {
        PyErr_SetString(
            PyExc_ValueError,
            "AES-256-CBC needs a key of 32 bytes, an IV of 16 and data in blocks of 16");
        goto undo_ctx;
    }
    ret = PyBytes_FromStringAndSize(NULL, data.len + 16);
    if (ret == NULL) {
        goto undo_ctx;
    }
    unsigned char *out = (unsigned char *)PyBytes_AS_STRING(ret);
    if (ctx == NULL || !EVP_CipherInit_ex(ctx, EVP_aes_256_cbc(), NULL, key.buf, iv.buf, encrypt) ||
        !EVP_CIPHER_CTX_set_padding(ctx, 0) ||
        !EVP_CipherUpdate(ctx, out, &n1, data.buf, (int)data.len) ||
        !EVP_CipherFinal_ex(ctx, out + n1, &n2)) {
        Py_CLEAR(ret);
        PyErr_SetString(PyExc_ValueError, "AES-256-CBC failed");
        goto undo_ctx;
    }
    _PyBytes_Resize(&ret, n1 + n2);
undo_ctx:
    EVP_CIPHER_CTX_free(ctx);
    PyBuffer_Release(&data);
    PyBuffer_Release(&iv);
    PyBuffer_Release(&key);
    return ret;
}
