/* SPDX-License-Identifier: Apache-2.0 */
/* Answers questions about expressions and zones, a line each, for test_*.py:
 *   next TAB expression TAB zone TAB after TAB n   -> n moments, or "! why"
 *   count TAB expression TAB zone TAB after TAB to -> how many
 *   spans TAB zone TAB from TAB to                 -> offset at from, then at:offset of each change */
#include "plugins/trigger_cron/occur.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONES 1024
static struct zone *zones[ZONES];

static const struct zone *zone_of(const char *name, char *why, size_t cap)
{
    size_t i = 0;
    for (; i < ZONES && zones[i] != NULL; i++) {
        if (strcmp(zones[i]->name, name) == 0) {
            return zones[i];
        }
    }
    if (i == ZONES || zone_load("/usr/share/zoneinfo", (tn_str){name, strlen(name)}, &zones[i], why,
                                cap) != TN_OK) {
        return NULL;
    }
    return zones[i];
}

static void next_line(char *const *w, bool count)
{
    char why[400] = "";
    struct cron_expr e;
    int64_t after = strtoll(w[3], NULL, 10), n = strtoll(w[4], NULL, 10);
    if (expr_parse((tn_str){w[1], strlen(w[1])}, &e, why, sizeof why) != TN_OK) {
        printf("! %s\n", why);
        return;
    }
    const struct zone *z = zone_of(w[2], why, sizeof why);
    if (z == NULL) {
        printf("! %s\n", why);
        return;
    }
    if (count) {
        printf("%" PRIu64 "\n", occur_count(&e, z, after, n));
        return;
    }
    for (int64_t i = 0; i < n && occur_next(&e, z, after, &after); i++) {
        printf(i == 0 ? "%" PRId64 : " %" PRId64, after);
    }
    printf("\n");
}

static void spans_line(char *const *w)
{
    char why[400] = "";
    const struct zone *z = zone_of(w[1], why, sizeof why);
    if (z == NULL) {
        printf("! %s\n", why);
        return;
    }
    int64_t from = strtoll(w[2], NULL, 10), to = strtoll(w[3], NULL, 10);
    uint32_t i = zone_find(z, from);
    printf("%d", z->spans[i].offset);
    for (i++; i < z->n && z->spans[i].at < to; i++) {
        printf(" %" PRId64 ":%d", z->spans[i].at, z->spans[i].offset);
    }
    printf("\n");
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t got;
    while ((got = getline(&line, &cap, stdin)) > 0) {
        char *w[6] = {0}, *rest = line;
        line[got - 1] = '\0';
        for (int i = 0; i < 5 && rest != NULL; i++) {
            w[i] = strsep(&rest, "\t");
        }
        if (w[0] != NULL && strcmp(w[0], "spans") == 0 && w[3] != NULL) {
            spans_line(w);
        } else if (w[4] != NULL) {
            next_line(w, strcmp(w[0], "count") == 0);
        } else {
            printf("! unreadable\n");
        }
    }
    free(line);
    for (int i = 0; i < ZONES && zones[i] != NULL; i++) {
        zone_free(zones[i]);
    }
    return 0;
}
