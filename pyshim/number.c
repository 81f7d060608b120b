/* SPDX-License-Identifier: Apache-2.0 */
/* Floats as JavaScript prints them (ECMA-262 Number::toString): callers of the original see these. */
#include "pyshim/shim.h"

#include <math.h>
#include <string.h>

/* Shortest digits of v > 0 and the position of the point after the first `*ret_point` digits. */
static int shortest(double v, char *digits, size_t cap, int *ret_n, int *ret_point)
{
    char *text = PyOS_double_to_string(v, 'r', 0, 0, NULL);
    int n = 0, point = -1, e = 0;
    if (text == NULL) {
        return -1;
    }
    for (const char *p = text; *p; p++) {
        if (*p == '.') {
            point = n;
        } else if (*p == 'e') {
            e = atoi(p + 1);
            break;
        } else if ((size_t)n < cap) {
            digits[n++] = *p;
        }
    }
    PyMem_Free(text);
    point = (point < 0 ? n : point) + e;
    int lead = 0;
    while (lead < n - 1 && digits[lead] == '0') {
        lead++;
    }
    memmove(digits, digits + lead, (size_t)(n - lead));
    n -= lead;
    point -= lead;
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    *ret_n = n;
    *ret_point = point;
    return 0;
}

static void zeros(struct buf *out, int n)
{
    for (; n > 0; n--) {
        buf_addc(out, '0');
    }
}

int number_out(struct buf *out, double v)
{
    char d[40];
    int n, point;
    if (v == floor(v) && fabs(v) < 1e15) {
        return buf_addi(out, (int64_t)v); /* 30.0 -> 30, -0.0 -> 0 */
    }
    if (v < 0) {
        buf_addc(out, '-');
        v = -v;
    }
    if (shortest(v, d, sizeof(d), &n, &point) < 0) {
        return -1;
    }
    if (point > 0 && point <= 21) {
        if (n <= point) {
            buf_add(out, d, (size_t)n);
            zeros(out, point - n);
        } else {
            buf_add(out, d, (size_t)point);
            buf_addc(out, '.');
            buf_add(out, d + point, (size_t)(n - point));
        }
    } else if (point > -6 && point <= 0) {
        buf_adds(out, "0.");
        zeros(out, -point);
        buf_add(out, d, (size_t)n);
    } else {
        buf_addc(out, d[0]);
        if (n > 1) {
            buf_addc(out, '.');
            buf_add(out, d + 1, (size_t)(n - 1));
        }
        buf_printf(out, "e%c%d", point - 1 < 0 ? '-' : '+', abs(point - 1));
    }
    return out->failed ? -1 : 0;
}
