/* SPDX-License-Identifier: Apache-2.0 */
/* How a log line is written: text for people, JSON for collectors, fields for systemd's journal. */
#include "kernel/base/log_form.h"

#include "kernel/base/clock.h"
#include "kernel/base/str.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

const char *log_level_name(int level)
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

static void add_more(struct buf *line, const struct log_event *e)
{
    if (e->more > 0) {
        buf_printf(line, " ... (%zu more bytes)", e->more);
    }
}

void log_as_text(struct buf *line, const struct log_event *e)
{
    char when[32];
    clock_iso(e->wall_us, when);
    buf_printf(line, "%s %s %s[%ld] ", when, log_level_name(e->level), e->area, e->pid);
    add_escaped(line, e->message);
    add_more(line, e);
    buf_addc(line, '\n');
}

void log_as_json(struct buf *line, const struct log_event *e)
{
    char when[32];
    struct buf text = BUF_INIT(0);
    clock_iso(e->wall_us, when);
    if (str_utf8_valid(e->message)) {
        buf_add(&text, e->message.s, e->message.n);
    } else {
        add_escaped(&text, e->message);
    }
    add_more(&text, e);
    buf_printf(line,
               "{\"time\":\"%s\",\"level\":\"%s\",\"area\":\"%s\",\"pid\":%ld,\"message\":", when,
               log_level_name(e->level), e->area, e->pid);
    buf_quote(line, buf_str(&text));
    buf_adds(line, "}\n");
    buf_finish(&text);
}

/* "NAME\n" <length, 64 bits little endian> text "\n": the form that takes any bytes, see
 * https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ */
static void add_field(struct buf *b, const char *name, tn_str text)
{
    unsigned char len[8];
    for (int i = 0; i < 8; i++) {
        len[i] = (unsigned char)((uint64_t)text.n >> (8 * i));
    }
    buf_adds(b, name);
    buf_addc(b, '\n');
    buf_add(b, len, sizeof len);
    buf_add(b, text.s, text.n);
    buf_addc(b, '\n');
}

bool log_to_journal(int fd, const struct log_event *e)
{
    struct buf b = BUF_INIT(0), text = BUF_INIT(0);
    buf_add(&text, e->message.s, e->message.n);
    add_more(&text, e);
    add_field(&b, "MESSAGE", buf_str(&text));
    buf_printf(&b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=tenon\nSYSLOG_PID=%ld\nTENON_AREA=%s\n",
               e->level < 0 || e->level > 7 ? 7 : e->level, e->pid, e->area);
    ssize_t put = -1;
    if (!b.failed && !text.failed) {
        do { /* never waits: a journal that stands still must not stop the platform */
            put = send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (put < 0 && errno == EINTR);
    }
    buf_finish(&text);
    buf_finish(&b);
    return put >= 0;
}

int log_journal_open(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof a.sun_path) {
        return -1;
    }
    memcpy(a.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}
