/* SPDX-License-Identifier: Apache-2.0 */
/* tenon-worker: the zygote and its forks, with every language this build knows. */
#include "kernel/worker/worker.h"
#include <string.h>

int main(int argc, char **argv)
{
    static const struct lang_host *const langs[] = {&lang_python, &lang_echo, NULL};
    if (argc > 1 && strcmp(argv[1], "--doctor") == 0) {
        return worker_doctor(argc - 2, argv + 2, langs[0]);
    }
    return zygote_main(argc - 1, argv + 1, langs);
}
