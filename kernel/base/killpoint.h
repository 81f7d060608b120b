/* SPDX-License-Identifier: Apache-2.0 */
/* Kill points: places where a test build can be told to die without a word. */
#pragma once

#ifdef TN_TEST_BUILD
/* TENON_TEST_KILLPOINT=name:n:FILE: the n-th time that a process passes the point `name`, it removes
 * FILE and kills itself. Without FILE nothing happens, so a restarted process lives. */
void killpoint(const char *name);
#define TN_KILLPOINT(name) killpoint(name)
#else
#define TN_KILLPOINT(name) ((void)0)
#endif
