/* SPDX-License-Identifier: Apache-2.0 */
/* tenon plugins: what was found, what was refused and why, and how it is configured. */
#include "kernel/cli/cli.h"
#include "kernel/conf/settings.h"
#include "kernel/plug/plug.h"
#include <stdio.h>
#include <string.h>

int cli_plugins(int argc, char **argv)
{
    struct settings s;
    struct conf_problems problems = {.text = BUF_INIT(1u << 20)};
    struct plug_registry reg = {0};
    struct buf out = BUF_INIT(64u << 20);
    tn_err err = TN_ERR_INIT;
    int mode = 0, n = 1, rc = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--schema") == 0 || strcmp(argv[i], "--json") == 0) {
            mode = 1;
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            printf(
                "usage: tenon plugins [--schema | --json] [--plugins FOLDERS]\n\n"
                "Lists the plugins that were found and those that were refused with the reason.\n"
                "--json, --schema: as JSON with the configuration schema of each.\n");
            return 0;
        } else {
            argv[n++] = argv[i];
        }
    }
    if (settings_load(&s, NULL, n - 1, argv + 1, &problems)) {
        fprintf(stderr, "%s",
                problems.text.data ? problems.text.data : "configuration is unusable\n");
        rc = problems.usage != 0 ? 2 : 1;
    } else if (plug_discover(&reg, s.plugins, &err)) {
        fprintf(stderr, "tenon plugins: %s\n", err.msg);
    } else {
        plug_print(&reg, mode, &out);
        fputs(out.data ? out.data : "", stdout);
        rc = out.failed != 0;
    }
    buf_finish(&out);
    plug_registry_finish(&reg);
    buf_finish(&problems.text);
    settings_finish(&s);
    return rc;
}
