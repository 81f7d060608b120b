/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets leave the environment once they are read: what a script starts inherits the environment, and
 * /proc shows the one a process began with. */
#include "kernel/base/str.h"
#include "kernel/conf/settings.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

/* By its name; the settings and the tables of plugins that are not loaded cannot be asked here. */
static bool names_secret(tn_str name)
{
    static const char *const words[] = {"PASSWORD", "SECRET", "TOKEN", "KEY", "PRIVATE"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (memmem(name.s, name.n, words[i], strlen(words[i])) != NULL) {
            return str_prefix(name, "TENON_") || str_prefix(name, "DFF_");
        }
    }
    return false;
}

void settings_hide_environment(void)
{
    for (char **e = environ; e != NULL && *e != NULL;) {
        tn_str rest = str_of(*e), name;
        str_split(&rest, '=', &name);
        char key[256];
        if (rest.s == NULL || name.n >= sizeof key || !names_secret(name)) {
            e++;
            continue;
        }
        memcpy(key, name.s, name.n);
        key[name.n] = '\0';
        explicit_bzero(*e + name.n + 1, rest.n); /* /proc/PID/environ shows this very memory */
        unsetenv(key);                           /* the list moves up: e is the next one */
    }
}
