/* SPDX-License-Identifier: Apache-2.0 */
/* Reading TZif files. Only offsets matter here: neither names nor the daylight-saving flag. */
#include "common/zone.h"

#include "common/civil.h"
#include "common/footer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 44

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-';
}

tn_rc zone_name_check(tn_str name, char *why, size_t cap)
{
    bool good = name.n > 0 && name.n <= ZONE_NAME_MAX;
    for (size_t i = 0; good && i < name.n; i++) {
        /* a slash stands between two parts; a dot never stands */
        good = name_byte(name.s[i]) ||
               (name.s[i] == '/' && i > 0 && i + 1 < name.n && name.s[i - 1] != '/');
    }
    if (!good) {
        snprintf(why, cap,
                 "time zone \"%.*s\": expected a name like Asia/Shanghai (letters, digits, _ + - "
                 "and /, at most %d bytes)",
                 (int)(name.n < ZONE_NAME_MAX ? name.n : ZONE_NAME_MAX), name.n > 0 ? name.s : "",
                 ZONE_NAME_MAX);
        return TN_E_INVAL;
    }
    return TN_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */
struct head {
    uint8_t version;
    uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const uint8_t *p)
{
    return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool head_read(const uint8_t *p, size_t n, struct head *h)
{
    if (n < HEAD || memcmp(p, "TZif", 4) != 0) {
        return false;
    }
    *h = (struct head){p[4],         be32(p + 20), be32(p + 24), be32(p + 28),
                       be32(p + 32), be32(p + 36), be32(p + 40)};
    /* Counts beyond the file's bound cannot be true; so the sums below cannot overflow. */
    return h->isutcnt < ZONE_FILE_MAX && h->isstdcnt < ZONE_FILE_MAX &&
           h->leapcnt < ZONE_FILE_MAX && h->timecnt < ZONE_FILE_MAX && h->typecnt < ZONE_FILE_MAX &&
           h->charcnt < ZONE_FILE_MAX;
}

static size_t block_size(const struct head *h, size_t time_size)
{
    return h->timecnt * time_size + h->timecnt + h->typecnt * 6ul + h->charcnt +
           h->leapcnt * (time_size + 4) + h->isstdcnt + h->isutcnt;
}

static tn_rc broken(char *why, size_t cap, const char *what)
{
    snprintf(why, cap, "the time zone file is not usable: %s", what);
    return TN_E_INVAL;
}

/* Appends a span; equal offsets are one span. */
static void span_add(struct zone *z, int64_t at, int32_t offset)
{
    if (z->n == 0 || z->spans[z->n - 1].offset != offset) {
        z->spans[z->n++] = (struct zone_span){z->n == 0 ? INT64_MIN : at, offset};
    }
}

/* Transitions that the footer's rule makes after the last one of the file. */
static void footer_spans(struct zone *z, const struct footer *f, int64_t last)
{
    if (!f->has_dst) {
        if (last == INT64_MIN) { /* no transitions: the rule is all there is */
            z->spans[0].offset = f->std;
        }
        return;
    }
    int64_t from = 1970;
    int month, day;
    if (last > 0) {
        civil_date(last / 86400, &from, &month, &day);
    }
    for (int64_t year = from; year <= ZONE_LAST_YEAR;
         year++) { /* from: any number a file may hold */
        int64_t at[2];
        footer_year(f, (int32_t)year, &at[0], &at[1]);
        int first = at[0] < at[1] ? 0 : 1;
        for (int k = 0; k < 2; k++) {
            int which = k == 0 ? first : !first;
            if (at[which] > last) {
                span_add(z, at[which], which == 0 ? f->dst : f->std);
                last = at[which];
            }
        }
    }
}

static tn_rc body_read(const uint8_t *p, size_t n, const struct head *h, size_t time_size,
                       struct zone *z, char *why, size_t cap)
{
    size_t size = block_size(h, time_size);
    if (size > n || h->typecnt == 0 || h->typecnt > 256 || h->charcnt == 0) {
        return broken(why, cap, "it ends too early or has no local time type");
    }
    if (h->leapcnt != 0) {
        return broken(why, cap, "it counts leap seconds (a \"right/\" zone)");
    }
    const uint8_t *index = p + h->timecnt * time_size, *types = index + h->timecnt;
    for (uint32_t i = 0; i < h->typecnt; i++) {
        int32_t offset = (int32_t)be32(types + i * 6ul);
        if (offset < -89999 || offset > 93599) { /* RFC 8536, 3.2 */
            return broken(why, cap, "an offset from UTC is beyond 26 hours");
        }
    }
    int64_t last = INT64_MIN;
    span_add(z, INT64_MIN, (int32_t)be32(types));
    for (uint32_t i = 0; i < h->timecnt; i++) {
        int64_t at = time_size == 8 ? be64(p + i * 8ul) : (int32_t)be32(p + i * 4ul);
        if (index[i] >= h->typecnt || (i > 0 && at <= last)) {
            return broken(why, cap, "its transitions are not in order or name no type");
        }
        last = at;
        /* Sums of times and offsets must stay in range; nothing runs before the year 1800. */
        if (at < -5364662400 || at > 253402300799) {
            if (at > 0) {
                break;
            }
            z->n = 0;
        }
        span_add(z, at, (int32_t)be32(types + index[i] * 6ul));
    }
    if (time_size != 8 || n == size) {
        return TN_OK;
    }
    const uint8_t *foot = p + size, *end = p + n;
    const uint8_t *close = n - size > 1 ? memchr(foot + 1, '\n', (size_t)(end - foot) - 1) : NULL;
    if (foot[0] != '\n' || close == NULL) {
        return broken(why, cap, "its footer is not between two line breaks");
    }
    struct footer f;
    if (close == foot + 1) {
        return TN_OK; /* no rule: the last offset stays */
    }
    if (!footer_parse((tn_str){(const char *)foot + 1, (size_t)(close - foot) - 1}, &f)) {
        return broken(why, cap, "its footer is no POSIX TZ rule");
    }
    footer_spans(z, &f, last);
    return TN_OK;
}

tn_rc zone_parse(const uint8_t *data, size_t n, struct zone **ret, char *why, size_t cap)
{
    struct head h;
    if (n > ZONE_FILE_MAX || !head_read(data, n, &h)) {
        return broken(why, cap, "it is no TZif file");
    }
    size_t time_size = 4, at = HEAD;
    if (h.version >= '2') { /* the 32-bit block comes first and is not needed */
        size_t skip = HEAD + block_size(&h, 4);
        if (skip > n || !head_read(data + skip, n - skip, &h)) {
            return broken(why, cap, "its 64-bit part is missing");
        }
        time_size = 8;
        at = skip + HEAD;
    }
    struct zone *z = calloc(1, sizeof *z);
    if (z != NULL) {
        z->spans = calloc(h.timecnt + 2 + 2ul * (ZONE_LAST_YEAR - 1969), sizeof *z->spans);
    }
    if (z == NULL || z->spans == NULL) {
        free(z);
        snprintf(why, cap, "no memory for a time zone");
        return TN_E_NOMEM;
    }
    tn_rc rc = body_read(data + at, n - at, &h, time_size, z, why, cap);
    if (rc != TN_OK) {
        zone_free(z);
        return rc;
    }
    struct zone_span *fit = realloc(z->spans, z->n * sizeof *fit);
    if (fit != NULL) {
        z->spans = fit;
    }
    *ret = z;
    return TN_OK;
}

/* ---- loading --------------------------------------------------------------------------------- */
tn_rc zone_load(const char *folder, tn_str name, struct zone **ret, char *why, size_t cap)
{
    tn_rc rc = zone_name_check(name, why, cap);
    if (rc != TN_OK) {
        return rc;
    }
    char path[512];
    snprintf(path, sizeof path, "%s/%.*s", folder, (int)name.n, name.s);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) {
            close(fd);
        }
        snprintf(why, cap, "time zone \"%.*s\" is not known: there is no %s/%.*s (package tzdata)",
                 (int)name.n, name.s, folder, (int)name.n, name.s);
        return TN_E_NOTFOUND;
    }
    uint8_t *data = malloc(ZONE_FILE_MAX + 1);
    size_t n = 0;
    rc = data != NULL ? TN_OK : TN_E_NOMEM;
    while (rc == TN_OK && n <= ZONE_FILE_MAX) {
        ssize_t got = read(fd, data + n, ZONE_FILE_MAX + 1 - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    close(fd);
    rc = rc == TN_OK ? zone_parse(data, n, ret, why, cap) : rc;
    free(data);
    if (rc == TN_OK) {
        memcpy((*ret)->name, name.s, name.n);
        (*ret)->name[name.n] = '\0';
    }
    return rc;
}

void zone_free(struct zone *z)
{
    if (z != NULL) {
        free(z->spans);
        free(z);
    }
}

uint32_t zone_find(const struct zone *z, int64_t at)
{
    uint32_t low = 0, high = z->n;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (z->spans[mid].at <= at) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}
