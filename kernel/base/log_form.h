/* SPDX-License-Identifier: Apache-2.0 */
/* The three forms of a log line; used by log.c only. */
#pragma once
#include "kernel/base/buf.h"

#include <stdbool.h>

struct log_event {
    int64_t wall_us;
    int level;
    const char *area;
    long pid;
    tn_str message; /* masked and cut */
    size_t more;    /* bytes that were cut off */
};
const char *log_level_name(int level);
/* Append the whole line, with its end. */
void log_as_text(struct buf *line, const struct log_event *e);
void log_as_json(struct buf *line, const struct log_event *e);
/* Sends it to the journal; false: it did not go. */
bool log_to_journal(int fd, const struct log_event *e);
/* A socket of the journal's native protocol; -1: there is none. */
int log_journal_open(const char *path);
