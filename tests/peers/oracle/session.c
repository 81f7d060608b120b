/* SPDX-License-Identifier: Apache-2.0 */
/* Servers, sessions, transactions, and what goes wrong with them. A server is the folder of its port in shared memory: the
 * database in it, and files whose presence is a fault. */
#include "oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS 2000000

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool control(const struct server *server, const char *name, char *ret, size_t cap)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", server->folder, name);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return false;
    }
    size_t n = ret != NULL ? fread(ret, 1, cap - 1, f) : 0;
    if (ret != NULL) {
        ret[n] = '\0';
    }
    fclose(f);
    return true;
}

int interrupted(struct svc *svc)
{
    if (atomic_exchange(&svc->stop, false)) {
        return 1013;
    }
    if (svc->deadline_ns != 0 && now_ns() > svc->deadline_ns) {
        return 3156;
    }
    if (svc->server->gone || access(svc->server->folder, F_OK) != 0 ||
        control(svc->server, "down", NULL, 0)) {
        svc->server->gone = true;
        return 3113;
    }
    return 0;
}

static int tell(struct error *e, int code)
{
    return fail(e, code, "%s",
                code == 1013   ? "user requested cancel of current operation"
                : code == 3156 ? "OCI call timed out"
                : code == 3114 ? "not connected to ORACLE"
                               : "end-of-file on communication channel");
}

int nap(struct svc *svc, double seconds)
{
    uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < until) {
        int code = interrupted(svc);
        if (code != 0) {
            return code;
        }
        nanosleep(&(struct timespec){0, STEP_NS}, NULL);
    }
    return 0;
}

void busy(const struct svc *svc, bool on)
{
    char path[256];
    snprintf(path, sizeof path, "%s/busy.%d.%p", svc->server->folder, (int)getpid(),
             (const void *)svc);
    if (on) {
        FILE *f = fopen(path, "we");
        if (f != NULL) {
            fclose(f);
        }
    } else {
        unlink(path);
    }
}

int begin_call(struct svc *svc, struct error *e)
{
    int code = svc->server->gone ? 3114 : 0;
    svc->deadline_ns = svc->call_timeout != 0 ? now_ns() + svc->call_timeout * 1000000ull : 0;
    code = code == 0 ? interrupted(svc) : code;
    while (code == 0 && control(svc->server, "hang", NULL, 0)) {
        code = nap(svc, 0.01);
    }
    return code != 0 ? tell(e, code) : OK;
}

/* ---- connecting -------------------------------------------------------------------------------------- */

bool descriptor_part(const char *text, const char *name, char *ret, size_t cap)
{
    char key[64];
    snprintf(key, sizeof key, "(%s=", name);
    const char *p = strcasestr(text, key);
    if (p == NULL) {
        return false;
    }
    p += strlen(key);
    p += *p == '"';
    snprintf(ret, cap, "%.*s", (int)strcspn(p, ")\""), p);
    return true;
}

/* host[:port][/service] */
static bool easy(const char *text, char *host, size_t hcap, char *port, size_t pcap, char *service,
                 size_t scap)
{
    size_t h = strcspn(text, ":/");
    const char *p = text + h;
    snprintf(host, hcap, "%.*s", (int)h, text);
    if (*p == ':') {
        snprintf(port, pcap, "%.*s", (int)strcspn(p + 1, "/"), p + 1);
        p += 1 + strcspn(p + 1, "/");
    }
    if (*p == '/') {
        snprintf(service, scap, "%s", p + 1);
    }
    return strchr(text, '/') != NULL;
}

static int listener(struct server *s, struct error *e, const char *proto, const char *sid,
                    const char *descriptor)
{
    char text[64] = "";
    if (access(s->folder, F_OK) != 0 || control(s, "down", NULL, 0)) {
        return fail(e, 12541, "TNS:no listener");
    }
    bool tls = control(s, "tls", NULL, 0);
    if (strcasecmp(proto, "TCPS") == 0) {
        if (tls_handshake(e, descriptor) != OK) {
            return FAILED;
        }
    } else if (tls) {
        return fail(e, 12547, "TNS:lost contact");
    }
    if (control(s, "refuse", text, sizeof text)) {
        return fail(e, atoi(text), "as the test wants it");
    }
    if (sid[0] != '\0' && strcasecmp(sid, "XE") != 0) {
        return fail(e, 12505,
                    "TNS:listener does not currently know of SID given in connect descriptor");
    }
    if (sid[0] == '\0' && strcasecmp(s->service, "tenon") != 0) {
        return fail(
            e, 12514,
            "TNS:listener does not currently know of service requested in connect descriptor");
    }
    return OK;
}

OCI(int, OCIServerAttach, (void *handle, void *err, const char *dblink, int32_t n, uint32_t mode))
{
    struct server *s = handle;
    char text[9000], port[16] = "1521", host[256] = "", sid[64] = "", proto[8] = "TCP",
                     limit[16] = "60";
    (void)mode;
    snprintf(text, sizeof text, "%.*s", n, dblink);
    if (text[0] == '(') {
        descriptor_part(text, "PORT", port, sizeof port);
        descriptor_part(text, "HOST", host, sizeof host);
        descriptor_part(text, "PROTOCOL", proto, sizeof proto);
        descriptor_part(text, "SERVICE_NAME", s->service, sizeof s->service);
        descriptor_part(text, "SID", sid, sizeof sid);
        descriptor_part(text, "CONNECT_TIMEOUT", limit, sizeof limit);
    } else if (!easy(text, host, sizeof host, port, sizeof port, s->service, sizeof s->service)) {
        return fail(err, 12154, "TNS:could not resolve the connect identifier specified");
    }
    if (host[0] == '\0') {
        return fail(err, 12533, "TNS:illegal ADDRESS parameters");
    }
    s->port = atoi(port);
    snprintf(s->folder, sizeof s->folder, "/dev/shm/tenon-oracle-%d", s->port);
    for (uint64_t until = now_ns() + (uint64_t)atoi(limit) * 1000000000;
         control(s, "hang", NULL, 0);) {
        if (now_ns() > until) {
            return fail(err, 12170, "TNS:Connect timeout occurred");
        }
        nanosleep(&(struct timespec){0, STEP_NS}, NULL);
    }
    return listener(s, err, proto, sid, text);
}

OCI(int, OCIServerDetach, (void *server, void *err, uint32_t mode))
{
    (void)server, (void)err, (void)mode;
    return OK;
}

/* SQLite asks this now and then: nonzero stops the statement. */
static int progress(void *arg)
{
    struct svc *svc = arg;
    return atomic_load(&svc->stop) || (svc->deadline_ns != 0 && now_ns() > svc->deadline_ns);
}

static int wait_lock(void *arg, int n)
{
    nanosleep(&(struct timespec){0, STEP_NS}, NULL);
    return !progress(arg) && n < 5000;
}

OCI(int, OCISessionBegin, (void *handle, void *err, void *session, uint32_t cred, uint32_t mode))
{
    struct svc *svc = handle;
    struct session *s = session;
    char path[200], password[256] = "";
    (void)cred, (void)mode;
    control(svc->server, "password", password, sizeof password);
    if (strcasecmp(s->user, "tenon") != 0 || strcmp(s->password, password) != 0) {
        return s->user[0] == '\0' ? fail(err, 1005, "null password given; logon denied")
                                  : fail(err, 1017, "invalid username/password; logon denied");
    }
    memset(s->password, 0, sizeof s->password);
    snprintf(path, sizeof path, "%s/db", svc->server->folder);
    if (sqlite3_open_v2(path, &svc->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        return fail(err, 1034, "ORACLE not available: %s", sqlite3_errmsg(svc->db));
    }
    sqlite3_progress_handler(svc->db, 1000, progress, svc);
    sqlite3_busy_handler(svc->db, wait_lock, svc);
    sql_functions(svc->db, svc);
    return OK;
}

OCI(int, OCISessionEnd, (void *handle, void *err, void *session, uint32_t mode))
{
    struct svc *svc = handle;
    (void)err, (void)session, (void)mode;
    sqlite3_close_v2(svc->db);
    svc->db = NULL;
    return OK;
}

/* ---- calls of a session ------------------------------------------------------------------------------ */

OCI(int, OCIBreak, (void *handle, void *err))
{
    struct svc *svc = handle;
    (void)err;
    atomic_store(&svc->stop, !control(svc->server, "deaf", NULL, 0));
    return OK;
}

OCI(int, OCIPing, (void *handle, void *err, uint32_t mode))
{
    (void)mode;
    return begin_call(handle, err);
}

OCI(int, OCIServerRelease2,
    (void *handle, void *err, char *text, uint32_t cap, uint8_t type, uint32_t *version,
     uint32_t mode))
{
    (void)handle, (void)err, (void)type, (void)mode;
    if (text != NULL) {
        snprintf(text, cap, "a stand-in over SQLite %s", sqlite3_libversion());
    }
    *version = 19u << 24 | 21u << 16;
    return OK;
}

int end_work(struct svc *svc, struct error *e, bool keep)
{
    if (svc->db != NULL && !sqlite3_get_autocommit(svc->db) &&
        sqlite3_exec(svc->db, keep ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK) {
        return fail(e, 600, "%s: %s", keep ? "commit" : "rollback", sqlite3_errmsg(svc->db));
    }
    return OK;
}

OCI(int, OCITransCommit, (void *handle, void *err, uint32_t flags))
{
    (void)flags;
    return begin_call(handle, err) == OK ? end_work(handle, err, true) : FAILED;
}

OCI(int, OCITransRollback, (void *handle, void *err, uint32_t flags))
{
    (void)flags;
    return begin_call(handle, err) == OK ? end_work(handle, err, false) : FAILED;
}
