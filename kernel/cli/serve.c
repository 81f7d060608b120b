/* SPDX-License-Identifier: Apache-2.0 */
/* tenon serve: checks the configuration, or becomes tenond. */
#include "kernel/cli/cli.h"
#include "kernel/conf/settings.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int validate(int argc, char **argv)
{
    struct settings s;
    struct conf_problems problems = {.text = BUF_INIT(1u << 20)};
    tn_rc rc = settings_load(&s, NULL, argc, argv, &problems);
    tn_rc zone = settings_check_zone(&s, &problems);
    rc = rc ? rc : zone;
    if (problems.text.len) {
        fprintf(stderr, "%s", problems.text.data);
    }
    if (rc) {
        fprintf(stderr, "%u errors, %u warnings\n", problems.errors, problems.warnings);
    } else {
        printf("configuration is valid (%u warnings)\n", problems.warnings);
    }
    buf_finish(&problems.text);
    settings_finish(&s);
    return problems.usage != 0 ? 2 : rc ? 1 : 0;
}

int cli_serve(int argc, char **argv)
{
    char path[4096];
    int test = 0, n = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "--test") == 0) {
            test = 1;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            struct buf b = BUF_INIT(1u << 20);
            conf_help(&b, settings_fields);
            printf("usage: tenon serve [-t] [--SETTING VALUE ...]\n\n"
                   "Runs the platform in the foreground. -t only checks the configuration.\n\n%s",
                   b.data ? b.data : "");
            buf_finish(&b);
            return 0;
        } else {
            argv[n++] = argv[i];
        }
    }
    argv[n] = NULL;
    if (test) {
        return validate(n - 1, argv + 1);
    }
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 8);
    path[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash) {
        fprintf(stderr, "tenon: cannot find its own folder: %s\n", strerror(errno));
        return 1;
    }
    memcpy(slash + 1, "tenond", sizeof "tenond");
    argv[0] = path;
    execv(path, argv);
    fprintf(stderr, "tenon: cannot start %s: %s\n", path, strerror(errno));
    return 1;
}
