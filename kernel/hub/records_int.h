/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of records among themselves share. */
#pragma once
#include "kernel/base/list.h"
#include "kernel/hub/hub.h"
#include "kernel/store/side.h"

#define RECORDS_ENTITIES 16
#define RECORDS_CHUNK    500 /* rows that one transaction removes at most */

struct record_group;
/* One row that waits. */
struct record {
    struct list link;     /* all that wait, in the order they came */
    struct list of_group; /* the same of one group */
    const tn_entity *entity;
    uint32_t limit;
    uint32_t group_n; /* bytes of text that name the group; the row follows */
    size_t n;         /* bytes of the row */
    char text[];
};

struct records {
    struct hub *hub;
    struct side *side;
    const tn_entity *entities[RECORDS_ENTITIES]; /* immutable once the apis are loaded */
    unsigned nentities;
    pthread_t thread;
    int started;
    int vacuumed;         /* the thread's: pages went in this cleaning run */
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake, flushed;
    struct list rows;
    struct map groups; /* name of entity, NUL, group -> struct record_group */
    size_t bytes;      /* of what waits */
    size_t n;
    uint64_t wanted, done; /* tickets of flush() */
    int closing;
    uint64_t written, dropped, refused, pruned;
};

/* ---- records_write.c, the records' thread ---------------------------------------------------------- */
/* Writes and frees all rows, in batches, and removes what is too much in their groups. */
void records_write(struct records *x, struct list *rows);

/* ---- records_clean.c, the records' thread ---------------------------------------------------------- */
/* One short step of a cleaning run: what is too old, too much, and then pages of the file. False: the
 * run is over. *step starts at 0. */
int records_clean(struct records *x, unsigned *step);
