/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into the host: whether the namespace of a script waits for its next call (pyshim/keep.c). */
#include "pyshim/shim.h"

#include "kernel/base/str.h"
#include "tests/pyshim/driver.h"

int is_kept(const char *script)
{
    const struct script *s = map_get(&shim.scripts, str_of(script));
    return s != NULL && s->kept != NULL;
}
