/* SPDX-License-Identifier: Apache-2.0 */
/* The one sink for text: level, line form, one write(2) a line. Masking is in log_mask.c. */
#include "kernel/base/log.h"

#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/log_mask.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_TEXT_MAX (1u << 20)  /* bytes of a message that are looked at */
#define LOG_LINE_MAX (64u << 10) /* bytes of a line */

static _Atomic int log_fd = -1;
static _Atomic int log_limit = TN_LOG_INFO;
static char log_area[32] = "tenon"; /* written once, before threads start */

void log_open(const char *area, int level, int fd)
{
    snprintf(log_area, sizeof log_area, "%s", area);
    atomic_store(&log_limit, level);
    atomic_store(&log_fd, fd);
}

void log_level(int level)
{
    atomic_store(&log_limit, level);
}

static const char *level_name(int level)
{
    static const char *const names[] = {"ALERT",   "ALERT",  "ALERT", "ERROR",
                                        "WARNING", "NOTICE", "INFO",  "DEBUG"};
    return level < 0 || level > 7 ? "DEBUG" : names[level];
}

/* Appends s with control characters (C0, DEL, C1) and bytes that are not UTF-8 escaped, so that no
 * message can start a line of its own or talk to a terminal. */
static void add_escaped(struct buf *line, tn_str s)
{
    size_t clean = 0, i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.s[i];
        int step = c < 0x80 ? 1 : str_utf8_step(s.s + i, s.n - i);
        int c1 = step == 2 && c == 0xC2 && (unsigned char)s.s[i + 1] < 0xA0;
        if (step > 0 && !c1 && c >= 0x20 && c != 0x7F) {
            i += (size_t)step;
            continue;
        }
        buf_add(line, s.s + clean, i - clean);
        if (c == '\n' || c == '\r' || c == '\t') {
            buf_addc(line, '\\');
            buf_addc(line, c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        } else if (c1) {
            buf_printf(line, "\\u%04x", (unsigned char)s.s[i + 1]);
            i++;
        } else {
            buf_printf(line, "\\x%02x", c);
        }
        i++;
        clean = i;
    }
    buf_add(line, s.s + clean, i - clean);
}

static void write_line(const struct buf *line)
{
    int fd = atomic_load(&log_fd);
    ssize_t put;
    do { /* one write, so that lines of several processes never mix; a full pipe loses the line */
        put = write(fd < 0 ? STDERR_FILENO : fd, line->data, line->len);
    } while (put < 0 && errno == EINTR);
}

void log_vat(int level, const char *fmt, va_list ap)
{
    if (level > atomic_load_explicit(&log_limit, memory_order_relaxed)) {
        return;
    }
    int saved = errno;
    struct buf text = BUF_INIT(LOG_TEXT_MAX), masked = BUF_INIT(LOG_TEXT_MAX * 2);
    struct buf line = BUF_INIT(LOG_LINE_MAX * 8);
    if (buf_vprintf(&text, fmt, ap) < 0) {
        buf_clear(&text);
        buf_printf(&text, "(a message too long for the log, format \"%.200s\")", fmt);
    }
    char when[32];
    clock_iso(clock_wall_us(), when);
    buf_printf(&line, "%s %s %s[%ld] ", when, level_name(level), log_area, (long)getpid());
    tn_str shown = buf_str(&text);
    while (shown.n != 0 && shown.s[shown.n - 1] == '\n') {
        shown.n--;
    }
    if (log_mask_any() && log_mask_apply(shown, &masked)) {
        shown = buf_str(&masked);
    }
    size_t fits = str_utf8_cut(shown, LOG_LINE_MAX); /* after masking: no half secret is left */
    add_escaped(&line, (tn_str){shown.s, fits});
    if (fits < shown.n) {
        buf_printf(&line, " ... (%zu more bytes)", shown.n - fits);
    }
    buf_addc(&line, '\n');
    if (line.data != NULL && line.len != 0) {
        write_line(&line);
    }
    buf_finish(&line);
    buf_finish(&masked);
    buf_finish(&text);
    errno = saved;
}

void log_at(int level, const char *fmt, ...)
{
    if (level > atomic_load_explicit(&log_limit, memory_order_relaxed)) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    log_vat(level, fmt, ap);
    va_end(ap);
}
