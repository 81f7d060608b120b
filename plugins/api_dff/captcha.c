/* SPDX-License-Identifier: Apache-2.0 */
/* Captchas: four digits drawn as strokes, kept 300 s in a bounded table, good for one use. */
#include "guard.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SLOTS  4096
#define TTL_NS (300ull * 1000000000)

static struct captcha {
    char key[33]; /* md5 of category and token */
    char digits[5];
    bool used;
    uint64_t until;
} slots[SLOTS];
static unsigned next_slot;
static pthread_mutex_t captcha_mutex = PTHREAD_MUTEX_INITIALIZER;

static void key_of(tn_str category, tn_str token, char ret[33])
{
    struct str b = {0};
    str_text(&b, category);
    str_char(&b, '\n');
    str_text(&b, token);
    md5_hex(str_view(&b).s, b.n, ret);
    str_free(&b);
}

static struct captcha *find(const char *key)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].until != 0 && strcmp(slots[i].key, key) == 0) {
            return &slots[i];
        }
    }
    return NULL;
}

const char *captcha_check(tn_str category, tn_str token, tn_str answer)
{
    if (api.dev) {
        return NULL;
    }
    if (answer.n == 0) {
        return "Please input captcha";
    }
    char key[33];
    key_of(category, token, key);
    pthread_mutex_lock(&captcha_mutex);
    const char *problem = NULL;
    struct captcha *c = find(key);
    if (c == NULL || api.host->now_ns() > c->until) {
        problem = "Can not found captcha token";
    } else if (c->used) {
        problem = "This captcha token is already used";
    } else {
        c->used = true;
        if (!api.host->auth->equal(c->digits, 4, answer.s, answer.n)) {
            problem = "Invalid captcha";
        }
    }
    pthread_mutex_unlock(&captcha_mutex);
    return problem;
}

/* Digits as polylines on a 4 x 6 grid. */
static const char *const strokes[10] = {
    "0,1 1,0 3,0 4,1 4,5 3,6 1,6 0,5 0,1",
    "1,1 2,0 2,6 1,6 3,6",
    "0,1 1,0 3,0 4,1 4,2 0,6 4,6",
    "0,0 4,0 2,2 4,3 4,5 3,6 1,6 0,5",
    "3,6 3,0 0,4 4,4",
    "4,0 0,0 0,3 3,3 4,4 4,5 3,6 0,6",
    "4,0 2,0 0,2 0,5 1,6 3,6 4,5 4,4 3,3 0,3",
    "0,0 4,0 1,6",
    "1,3 0,2 0,1 1,0 3,0 4,1 4,2 3,3 1,3 0,4 0,5 1,6 3,6 4,5 4,4 3,3",
    "4,3 1,3 0,2 0,1 1,0 3,0 4,1 4,3 3,6 1,6",
};

static void draw_digit(struct str *svg, int digit, int at, const uint8_t *noise)
{
    int x0 = 12 + at * 26 + noise[0] % 5, y0 = 6 + noise[1] % 8, scale = 4;
    str_printf(svg,
               "<polyline fill=\"none\" stroke=\"#%02x%02x%02x\" stroke-width=\"2\" transform=\""
               "rotate(%d %d %d)\" points=\"",
               32 + noise[2] % 96, 32 + noise[3] % 96, 32 + noise[4] % 96,
               (int)(noise[5] % 31) - 15, x0 + 8, y0 + 12);
    for (const char *p = strokes[digit]; *p != '\0'; p++) {
        if (p[1] == ',') {
            int wobble = noise[6 + (unsigned)(p[0] + p[2]) % 8] % 3 - 1;
            str_printf(svg, "%d,%d ", x0 + (p[0] - '0') * scale + wobble,
                       y0 + (p[2] - '0') * scale - wobble);
            p += 2;
        }
    }
    str_puts(svg, "\"/>");
}

void captcha_make(tn_str category, tn_str token, struct str *svg)
{
    uint8_t noise[4 + 4 * 14 + 16];
    struct captcha c = {.until = api.host->now_ns() + TTL_NS};
    api.host->auth->random(noise, sizeof noise);
    key_of(category, token, c.key);
    for (int i = 0; i < 4; i++) {
        c.digits[i] = (char)('0' + noise[i] % 10);
    }
    pthread_mutex_lock(&captcha_mutex);
    struct captcha *slot = find(c.key);
    if (slot == NULL) {
        slot = &slots[next_slot++ % SLOTS];
    }
    *slot = c;
    pthread_mutex_unlock(&captcha_mutex);
    str_puts(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"120\" height=\"40\" "
                  "viewBox=\"0 0 120 40\"><rect width=\"120\" height=\"40\" fill=\"#f4f4f4\"/>");
    for (int i = 0; i < 4; i++) {
        draw_digit(svg, c.digits[i] - '0', i, noise + 4 + 14 * i);
    }
    const uint8_t *n = noise + 4 + 56;
    for (int i = 0; i < 4; i++, n += 4) {
        str_printf(svg, "<path d=\"M%d %d Q60 %d %d %d\" fill=\"none\" stroke=\"#999\"/>",
                   n[0] % 20, n[1] % 40, n[2] % 40, 100 + n[3] % 20, n[2] % 40);
    }
    str_puts(svg, "</svg>");
}
