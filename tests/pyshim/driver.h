/* SPDX-License-Identifier: Apache-2.0 */
/* The modes of the driver besides running case files. */
#pragma once
int driver_main(int argc, char **argv);
int bench(void);                 /* microseconds per call */
int is_kept(const char *script); /* its next call begins with the namespace of the last */
int zygote_prepare(void);        /* before the fork; 0 or -1 with a line on stderr */
