/* SPDX-License-Identifier: Apache-2.0 */
/* Durable tasks: accepted, claimed, run through the broker, ended once. */
#pragma once
#include "kernel/hub/hub.h"
#include "kernel/store/jobs.h"

struct tasks;
/* Opens jobs.db; nothing starts before tasks_start(). */
tn_rc tasks_create(struct hub *h, tn_err *err);
/* After the loop has ended and its helper threads have gone, before the store is closed. */
void tasks_destroy(struct hub *h);
/* The loop turns no more: before the broker goes. */
void tasks_stop(struct hub *h);
void tasks_start(struct hub *h);
/* Starts nothing any more. What runs may end until `grace_ns` from now; then it is ended and queued
 * again without having used an attempt. */
void tasks_drain(struct hub *h, uint64_t grace_ns);
/* Something still runs or waits to be written. */
int tasks_busy(const struct hub *h);
struct jobs *tasks_jobs(const struct hub *h);
extern const tn_host_tasks tasks_ops;
