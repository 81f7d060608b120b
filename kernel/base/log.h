/* SPDX-License-Identifier: Apache-2.0 */
/* The one sink for text: level, masking of registered secrets, one line per event.
 * Line form: "2026-01-01T00:00:00.000Z LEVEL area[pid] message". Control characters in the message
 * are escaped, so a line cannot be forged. Thread-safe. */
#pragma once
#include <tenon/types.h>
#include <stdarg.h>

void log_open(const char *area, int level, int fd); /* fd stays the caller's; -1 = stderr */
void log_level(int level);
/* How lines are written from now on: "text", "json" (one object a line), "journal" (systemd's native
 * protocol, text when it does not answer), "auto" (journal when standard error is one of its streams).
 * journal: path of its socket, NULL = systemd's. */
void log_form(const char *name, const char *journal);
void log_at(int level, const char *fmt, ...) TN_PRINTF(2, 3);
void log_vat(int level, const char *fmt, va_list ap);
/* "who: text", 2 KiB of it. */
void log_from(int level, const char *who, const char *fmt, va_list ap);
/* For tables that pass a context. */
void log_env(void *ctx, int level, const char *fmt, ...) TN_PRINTF(3, 4);
/* Registers a secret of at least 6 bytes; it and its JSON-escaped, URL-encoded and base64 forms
 * are replaced by ***** in every line. */
void log_mask(tn_str secret);
#define log_alert(...) log_at(TN_LOG_ALERT, __VA_ARGS__)
#define log_error(...) log_at(TN_LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(TN_LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_at(TN_LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(TN_LOG_DEBUG, __VA_ARGS__)
