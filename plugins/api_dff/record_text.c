/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a record, reduced to what a record may hold (spec 3.6). */
#include "call_out.h"
#include "mask.h"
#include "record.h"

#include <stdlib.h>

#define JSON_MAX ((size_t)64 << 10) /* of arguments, of a result */

/* Bytes of the first `chars` characters. */
static size_t head_bytes(tn_str s, size_t chars)
{
    size_t i = 0;
    while (i < s.n) {
        if (((unsigned char)s.s[i] & 0xC0) != 0x80 && chars-- == 0) {
            break;
        }
        i++;
    }
    return i;
}

/* Where the last `chars` characters begin. */
static size_t tail_start(tn_str s, size_t chars)
{
    size_t i = s.n;
    while (i > 0 && chars > 0) {
        i--;
        chars -= ((unsigned char)s.s[i] & 0xC0) != 0x80;
    }
    return i;
}

/* Every line cut to `max` characters. */
static void cut_lines(struct str *out, tn_str logs, size_t max)
{
    while (logs.n > 0) {
        const char *eol = memchr(logs.s, '\n', logs.n);
        tn_str line = {logs.s, eol != NULL ? (size_t)(eol - logs.s) : logs.n};
        size_t keep = line.n <= max ? line.n : head_bytes(line, max);
        str_add(out, line.s, keep);
        if (keep < line.n) {
            str_puts(out, "...");
        }
        size_t step = line.n + (eol != NULL);
        if (eol != NULL && step < logs.n) {
            str_char(out, '\n');
        }
        logs = (tn_str){logs.s + step, logs.n - step};
    }
}

void record_logs(struct str *out, tn_str logs)
{
    size_t line = (size_t)api_setting_int("_TASK_RECORD_PRINT_LOG_LINE_LIMIT", 3000);
    size_t head = (size_t)api_setting_int("_TASK_RECORD_PRINT_LOG_TOTAL_LIMIT_HEAD", 20000);
    size_t tail = (size_t)api_setting_int("_TASK_RECORD_PRINT_LOG_TOTAL_LIMIT_TAIL", 30000);
    struct str b = {0};
    cut_lines(&b, logs, line);
    tn_str all = str_view(&b);
    size_t chars = utf8_chars(all);
    if (chars > head + tail) {
        struct str cut = {0};
        size_t first = head_bytes(all, head), last = tail_start(all, tail);
        str_add(&cut, all.s, first);
        str_printf(&cut, "\n\n... (%zu characters of the log are left out here) ...\n\n",
                   chars - head - tail);
        str_add(&cut, all.s + last, all.n - last);
        add_quote(out, str_view(&cut));
        str_free(&cut);
    } else {
        add_quote(out, all);
    }
    str_free(&b);
}

/* Could a member be named so? Nearly never, and only then the arguments are parsed. */
static bool may_hold_secrets(tn_str json)
{
    for (size_t i = 0; i + 4 < json.n; i++) {
        char c = (char)(json.s[i] | 0x20);
        if (json.s[i] == '\\') {
            return true; /* a name may be written with escapes */
        }
        if ((c == 'p' || c == 's' || c == 't' || c == 'a') &&
            mask_word((tn_str){json.s + i, json.n - i < 11 ? json.n - i : 11})) {
            return true;
        }
    }
    return false;
}

void record_args(struct str *out, tn_str json)
{
    if (json.n > JSON_MAX || !may_hold_secrets(json)) {
        record_json(out, json);
        return;
    }
    json_t *v = json_loadb(json.s, json.n, 0, NULL);
    mask_json(v);
    char *text = v != NULL ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    if (text != NULL) {
        str_puts(out, text);
    } else { /* numbers beyond 64 bits: rather nothing than a password */
        add_lit(out, "\"(arguments with names of secrets are not kept)\"");
    }
    free(text);
}

void record_json(struct str *out, tn_str json)
{
    if (json.n == 0) {
        add_lit(out, "null");
    } else if (json.n > JSON_MAX) {
        str_printf(out, "\"(%zu bytes, too large for a record)\"", json.n);
    } else {
        add(out, json);
    }
}
