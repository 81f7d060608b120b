/* SPDX-License-Identifier: Apache-2.0 */
/* The Python host on its data files: every case of tests/pyshim/cases is a test. */
#include "tests/pyshim/driver.h"

int main(int argc, char **argv)
{
    return driver_main(argc, argv);
}
