/* SPDX-License-Identifier: Apache-2.0 */
/* run() of the managed routes that wait for a task or act on a running one. */
#pragma once
#include "api.h"

void task_wait_run(struct api_req *r);
void task_result_run(struct api_req *r);
void task_events_run(struct api_req *r);
void task_why_run(struct api_req *r);
void task_cancel_run(struct api_req *r);
void func_result_run(struct api_req *r);
