/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says of encryption before anybody signs in. */
#pragma once
#include <tenon/tenon.h>

enum ss_prelogin { SS_NO_ANSWER, SS_NO_TLS, SS_HAS_TLS };
/* Asks on a fresh connection, which is of no use afterwards. */
enum ss_prelogin ss_prelogin_ask(const tn_host *host, int fd, uint64_t deadline_ns);
/* The options of an answer, n bytes. */
enum ss_prelogin ss_prelogin_read(const unsigned char *options, size_t n);
