/* SPDX-License-Identifier: Apache-2.0 */
/* tenon-worker: the zygote and its forks, with every language this build knows. */
#include "kernel/worker/worker.h"

int main(int argc, char **argv)
{
    static const struct lang_host *const langs[] = {&lang_python, &lang_echo, NULL};
    return zygote_main(argc - 1, argv + 1, langs);
}
