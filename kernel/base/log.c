/* SPDX-License-Identifier: Apache-2.0 */
/* The one sink for text: level, one write(2) a line. Forms are in log_form.c, masking in log_mask.c. */
#include "kernel/base/log.h"

#include "kernel/base/buf.h"
#include "kernel/base/clock.h"
#include "kernel/base/log_form.h"
#include "kernel/base/log_mask.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_TEXT_MAX (1u << 20)  /* bytes of a message that are looked at */
#define LOG_LINE_MAX (64u << 10) /* bytes of a line */
#define JOURNAL      "/run/systemd/journal/socket"

enum { FORM_TEXT, FORM_JSON, FORM_JOURNAL };
static _Atomic int log_fd = -1;
static _Atomic int log_limit = TN_LOG_INFO;
static _Atomic int line_form = FORM_TEXT;
static _Atomic int journal_fd = -1;
static char log_area[32] = "tenon"; /* written once, before threads start */

void log_open(const char *area, int level, int fd)
{
    snprintf(log_area, sizeof log_area, "%s", area);
    atomic_store(&log_limit, level);
    atomic_store(&log_fd, fd);
    if (fd >= 0 && atomic_load(&line_form) == FORM_JOURNAL) {
        atomic_store(&line_form, FORM_TEXT); /* a worker: the journal's socket was closed */
        atomic_store(&journal_fd, -1);
    }
}

void log_level(int level)
{
    atomic_store(&log_limit, level);
}

/* Is standard error a stream of the journal? systemd says so as "device:inode". */
static bool stderr_is_journal(void)
{
    const char *said = getenv("JOURNAL_STREAM");
    unsigned long long dev = 0, ino = 0;
    struct stat st;
    return said != NULL && sscanf(said, "%llu:%llu", &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_form(const char *name, const char *journal)
{
    int form = strcmp(name, "json") == 0                          ? FORM_JSON
               : strcmp(name, "journal") == 0                     ? FORM_JOURNAL
               : strcmp(name, "auto") == 0 && stderr_is_journal() ? FORM_JOURNAL
                                                                  : FORM_TEXT;
    int fd = form == FORM_JOURNAL ? log_journal_open(journal != NULL ? journal : JOURNAL) : -1;
    int old = atomic_exchange(&journal_fd, fd);
    if (old >= 0) {
        close(old);
    }
    atomic_store(&line_form, form == FORM_JOURNAL && fd < 0 ? FORM_TEXT : form);
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
    tn_str shown = buf_str(&text);
    while (shown.n != 0 && shown.s[shown.n - 1] == '\n') {
        shown.n--;
    }
    if (log_mask_any() && log_mask_apply(shown, &masked)) {
        shown = buf_str(&masked);
    }
    size_t fits = str_utf8_cut(shown, LOG_LINE_MAX); /* after masking: no half secret is left */
    const struct log_event e = {.wall_us = clock_wall_us(),
                                .level = level,
                                .area = log_area,
                                .pid = (long)getpid(),
                                .message = {shown.s, fits},
                                .more = shown.n - fits};
    int form = atomic_load_explicit(&line_form, memory_order_relaxed);
    if (form != FORM_JOURNAL || !log_to_journal(atomic_load(&journal_fd), &e)) {
        (form == FORM_JSON ? log_as_json : log_as_text)(&line, &e);
        if (line.data != NULL && line.len != 0) {
            write_line(&line);
        }
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

void log_from(int level, const char *who, const char *fmt, va_list ap)
{
    char text[2048];
    vsnprintf(text, sizeof text, fmt, ap);
    log_at(level, "%s: %s", who, text);
}

void log_env(void *ctx, int level, const char *fmt, ...)
{
    va_list ap;
    (void)ctx;
    va_start(ap, fmt);
    log_vat(level, fmt, ap);
    va_end(ap);
}
