/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin's code may write to the pipe of its probe: a report is a problem, or four texts that are what they claim to be; an
 * answer that is whole does not change by what comes behind it. Input: the bytes of the pipe. */
#include "kernel/plug/probe.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void judge(const struct plug_report *r)
{
    const char *const texts[] = {r->name, r->version, r->summary, r->about};
    if (r->problem != NULL) {
        if (r->problem[0] == '\0' || strlen(r->problem) > 480) {
            abort();
        }
        return;
    }
    for (size_t i = 0; i < 4; i++) {
        if (texts[i] == NULL || !str_utf8_valid((tn_str){texts[i], strlen(texts[i])})) {
            abort();
        }
    }
    json_t *about = json_loads(r->about, 0, NULL);
    if (!json_is_object(about) || r->name[0] == '\0' || strlen(r->name) > 32 || r->kind == 0 ||
        r->kind >= TN_KINDS) {
        abort();
    }
    json_decref(about);
}

static void take(const struct answer *a, const tn_str texts[4])
{
    struct plug_report r = {.path = "x.so"};
    take_answer(&r, a, texts);
    judge(&r);
    free(r.problem);
    free(r.name);
    free(r.version);
    free(r.summary);
    free(r.about);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct probe p = {.in = BUF_INIT(PROBE_BYTES)};
    struct answer first = {0}, a;
    tn_str texts[4] = {{NULL, 0}}, again[4];
    size_t whole = 0;
    char *copy = malloc(n > 0 ? n : 1); /* exactly as long as it is */
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data, n);
    for (size_t k = 1; k <= n && whole == 0; k++) {
        p.in.data = copy;
        p.in.len = k;
        whole = parse_answer(&p.in, &first, texts) ? k : 0;
        if (whole == 0 && (k < 64 || k == n) && where_it_was(&p)[0] == '\0') {
            abort();
        }
    }
    if (whole != 0) {
        p.in.len = n;
        if (!parse_answer(&p.in, &a, again) || memcmp(&a, &first, sizeof a) != 0 ||
            memcmp(again, texts, sizeof texts) != 0) {
            abort();
        }
        take(&a, again);
    }
    free(copy);
    return 0;
}
