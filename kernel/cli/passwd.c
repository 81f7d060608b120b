/* SPDX-License-Identifier: Apache-2.0 */
/* tenon passwd: a new password for somebody who has forgotten it, the administrator above all, given by whoever may read
 * the platform's data folder. */
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/cli/cli.h"
#include "kernel/cli/platform.h"
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX  400 /* bytes; the API counts characters */
#define GENERATED     20
#define ADMINISTRATOR "u-admin"

static const char usage[] =
    "usage: tenon passwd [USERNAME] [--generate] [--data DIR] [--listen ADDR:PORT]\n\n"
    "Gives a user of the platform that runs over DIR a new password; without a name the administrator, whatever he is\n"
    "called. Asks twice on a terminal, else reads one line from standard input; --generate makes a password and prints\n"
    "it. The user's sessions end, and a lock after wrong passwords is lifted. Needs to read DIR/localhost-auth-token.\n";

/* One line without its end; 0 after saying what is wrong with it. */
static int read_line(const char *prompt, char *ret, size_t cap)
{
    struct termios as_was, silent;
    int terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &as_was) == 0;
    if (terminal) {
        silent = as_was;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        fputs(prompt, stderr);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    char *line = fgets(ret, (int)cap, stdin);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &as_was);
        fputc('\n', stderr);
    }
    size_t n = line != NULL ? strcspn(ret, "\r\n") : 0;
    int whole = line != NULL && (ret[n] != '\0' || feof(stdin));
    ret[n] = '\0';
    if (n == 0 || !whole || n > PASSWORD_MAX) {
        fprintf(stderr, "tenon passwd: %s\n",
                n == 0 ? "no password was given: type one, or pass it as one line of standard input"
                       : "the password is longer than 400 bytes");
        return 0;
    }
    if (!str_utf8_valid((tn_str){ret, n})) {
        fputs("tenon passwd: the password is not UTF-8\n", stderr);
        return 0;
    }
    return 1;
}

static int read_password(char ret[PASSWORD_MAX + 3])
{
    char again[PASSWORD_MAX + 3];
    if (!read_line("New password: ", ret, sizeof again)) {
        return 0;
    }
    if (!isatty(STDIN_FILENO)) {
        return 1;
    }
    int ok = read_line("Once more: ", again, sizeof again);
    if (ok && strcmp(ret, again) != 0) {
        fputs("tenon passwd: the two are not the same; nothing was changed\n", stderr);
        ok = 0;
    }
    explicit_bzero(again, sizeof again);
    return ok;
}

/* The row of this user name, the administrator's without one. New reference; NULL after saying why. */
static json_t *find(struct platform *p, const char *username)
{
    json_t *j = platform_get(p, "/users/do/list?noPage=true&fields=id,username"), *row;
    json_t *found = NULL;
    size_t i;
    if (!platform_ok(p, j)) {
        json_decref(j);
        return NULL;
    }
    json_array_foreach(json_object_get(j, "data"), i, row)
    {
        if (username != NULL ? strcmp(json_text(row, "username"), username) == 0
                             : strcmp(json_text(row, "id"), ADMINISTRATOR) == 0) {
            found = json_incref(row);
        }
    }
    if (found == NULL) {
        fprintf(stderr,
                "tenon passwd: there is no user \"%s\"; without a name: the administrator\n",
                username != NULL ? username : ADMINISTRATOR);
    }
    json_decref(j);
    return found;
}

static int change(struct platform *p, const char *username, int generate)
{
    char password[PASSWORD_MAX + 3], path[256];
    json_t *user = find(p, username), *j = NULL;
    int ok = user != NULL;
    if (ok && generate) {
        rnd_id(password, GENERATED);
    } else if (ok) {
        ok = read_password(password);
    }
    if (ok) {
        json_t *body = json_pack("{s:{s:s}}", "data", "password", password);
        snprintf(path, sizeof path, "/users/%.100s/do/modify", json_text(user, "id"));
        j = platform_post(p, path, body);
        json_decref(body);
        ok = platform_ok(p, j);
    }
    if (ok && generate) {
        printf("%s\n", password);
    }
    if (ok) {
        fprintf(stderr, "the password of %s is changed; its sessions have ended\n",
                json_text(user, "username"));
    }
    explicit_bzero(password, sizeof password);
    json_decref(j);
    json_decref(user);
    return ok;
}

int cli_passwd(int argc, char **argv)
{
    struct settings s;
    struct platform p;
    const char *username = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    int n = 0, generate = 0, rc = 2;
    for (int i = username != NULL ? 2 : 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--generate") == 0) {
            generate = 1;
        } else {
            argv[n++] = argv[i];
        }
    }
    if (cli_settings(&s, n, argv)) {
        rc = platform_open(&p, "tenon passwd", &s) && change(&p, username, generate) ? 0 : 1;
        platform_close(&p);
    }
    settings_finish(&s);
    return rc;
}
