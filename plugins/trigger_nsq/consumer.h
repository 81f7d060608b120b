/* SPDX-License-Identifier: Apache-2.0 */
/* What main.c (life), nodes.c (which nsqd), link.c (one nsqd) and flow.c (messages) share. One thread uses all of it. */
#pragma once
#include "connectors/nsq/nsq.h"

#define LINKS_MAX   64
#define PENDING_MAX 16384 /* a power of two, above what the kernel lets wait */
#define ID_SIZE     16

struct link { /* to one nsqd */
    struct nsq_conn c;
    struct nsq_node node;
    uint64_t number; /* never used again */
    uint64_t heard_ns;
    int64_t rdy;           /* told it last; -1: nothing yet */
    struct message_buf in; /* what came and is no whole frame yet */
    size_t skip;           /* of a message that is too large: bytes still to come */
    bool gone;             /* dropped by the next look at it */
};
struct pending { /* a message that was delivered */
    char id[ID_SIZE];
    uint64_t link, since_ns;
    bool settled; /* its fate is known */
};
struct consumer {
    struct nsq nsq;
    const struct nsq_conf *conf;
    const tn_sub_info *info;
    tn_sub *sub;
    struct link *link[LINKS_MAX];
    uint32_t nlinks;
    uint64_t links_made;
    uint64_t look_at_ns;     /* when nodes are looked for again */
    uint32_t look_from;      /* with which of them a look begins */
    uint32_t missed;         /* looks in a row after which one could not be reached */
    uint64_t first, next;    /* numbers of the messages, which are their tags */
    struct pending *pending; /* number % PENDING_MAX */
    bool full;               /* there was no room: nothing may be sent to us */
    uint64_t full_until_ns;  /* tried again then at the latest */
    bool told;               /* consuming() was said */
    char topic[NSQ_NAME_MAX], channel[NSQ_NAME_MAX];
    char about[204]; /* the function, for nsqd's list of clients */
    tn_err *err;
};

bool consumer_stops(const struct consumer *c); /* stop_fd is readable */

/* ---- nodes.c ---- */
/* Connects to nodes that are new, when it is time. An error only when there is no connection at all. */
tn_rc nodes_look(struct consumer *c);

/* ---- link.c ---- */
tn_rc link_make(struct consumer *c, const struct nsq_node *node, tn_err *err);
void link_end(struct link *l, bool polite);
struct link *link_by(struct consumer *c, uint64_t number);
/* A command about a message: "FIN", "TOUCH", or with ms >= 0 "REQ"; written by link_flush(). */
void link_say(struct link *l, const char *word, const char id[ID_SIZE], int ms);
void link_flush(struct link *l);
/* Divides max_in_flight among the nodes; 0 for all while there is no room. */
void links_ready(struct consumer *c, bool on);
/* Reads what is there and hands on what is whole; an error ends this connection. */
tn_rc link_take(struct consumer *c, struct link *l, tn_err *err);

/* ---- flow.c ---- */
/* body.n may be more than body.s has: then it is too large, and only counted. */
tn_rc flow_deliver(struct consumer *c, struct link *l, const char id[ID_SIZE], tn_str body);
/* What became of messages. */
void flow_settle(struct consumer *c);
/* nsqd gives a message to somebody else when it hears nothing about it for so long. */
void flow_touch(struct consumer *c);
