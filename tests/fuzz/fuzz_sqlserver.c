/* SPDX-License-Identifier: Apache-2.0 */
/* What a statement leaves in a session of SQL Server: the answer comes back for any bytes, and neither a comment in front
 * nor the case of letters changes it. And what a server says before the sign-in, which may be any bytes, too. */
#include "connectors/sqlserver/prelogin.h"
#include "connectors/sqlserver/state.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char note[] = "/* set.script.f /* ; */ */ ";
    size_t more = sizeof note - 1;
    char *text = malloc(n + more + 1);
    if (text == NULL || n > 65536) {
        free(text);
        return 0;
    }
    memcpy(text, data, n);
    ss_prelogin_read(data, n);
    bool leaves = ss_leaves_state(text, n);
    memcpy(text, note, more);
    memcpy(text + more, data, n);
    if (ss_leaves_state(text, n + more) != leaves) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        char c = (char)data[i];
        text[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    if (ss_leaves_state(text, n) != leaves) {
        abort();
    }
    free(text);
    return 0;
}
