/* SPDX-License-Identifier: Apache-2.0 */
/* A SQLite VFS that fails on demand: the n-th operation of chosen kinds, once or from then on. */
#pragma once
#include "kernel/plug/plug.h"

#define FAULT_WRITE (1u << 0)
#define FAULT_SYNC  (1u << 1)
#define FAULT_OPEN  (1u << 2)
#define FAULT_TRUNC (1u << 3)
#define FAULT_READ  (1u << 4)

/* Becomes the default VFS of the SQLite library that the plugin is linked with. Once per
 * process. */
void faulty_install(struct plug *plug);
/* at: the n-th (1 = next) of the kinds fails; forever: and all after it; code: SQLITE_FULL ... or 0
 * = the I/O error of the operation. at == 0: nothing fails. Also restarts the counting. */
void faulty_arm(unsigned kinds, int at, int forever, int code);
int faulty_count(void); /* operations of the armed kinds since */
