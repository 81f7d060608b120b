/* SPDX-License-Identifier: Apache-2.0 */
/* Prints size and member offsets of every struct of the contract; test_abi.py compares them with
 * layout.txt. Also what `abidw` looks at: it names every type of the contract. */
#include <stdio.h>
#include <tenon/tenon.h>

#define S(T)    printf("%-18s size %zu\n", #T, sizeof(T))
#define M(T, m) printf("  %-22s %3zu %2zu\n", #m, offsetof(T, m), sizeof(((T *)0)->m))

int main(void)
{
#include "abi_layout.inc"
    return 0;
}
