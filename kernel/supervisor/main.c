/* SPDX-License-Identifier: Apache-2.0 */
/* tenond. */
#include "kernel/supervisor/supervisor.h"

int main(int argc, char **argv)
{
    return supervisor_main(argc - 1, argv + 1);
}
