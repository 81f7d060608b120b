/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files without libFuzzer, so that every corpus is a regression test of every
 * variant. Each argument is a file or a folder of files; every input is given in a heap block of exactly its size, so
 * that AddressSanitizer sees a read past the end. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (16 * 1024 * 1024)

static int replay_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || size > INPUT_MAX) {
        fprintf(stderr, "replay: %s: %s\n", path, f == NULL ? strerror(errno) : "over 16 MiB");
        if (f != NULL) {
            fclose(f);
        }
        return -1;
    }
    uint8_t *data = malloc(size > 0 ? size : 1);
    int rc = -1;
    if (data != NULL && fread(data, 1, size, f) == size) {
        /* named before it runs: after a crash the last line says which input it was */
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
        rc = 0;
    } else {
        fprintf(stderr, "replay: %s: cannot read %zu bytes\n", path, size);
    }
    free(data);
    fclose(f);
    return rc;
}

static int replay_folder(const char *path, unsigned *runs)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return -1;
    }
    int rc = 0;
    for (int i = 0; i < n; i++) {
        char file[4096];
        struct stat st;
        int len = snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        if (len > 0 && (size_t)len < sizeof(file) && stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            rc |= replay_file(file, (size_t)st.st_size);
            (*runs)++;
        }
        free(names[i]);
    }
    free(names);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned runs = 0;
    int rc = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) {
            fprintf(stderr, "replay: %s: %s\n", argv[i], strerror(errno));
            rc = -1;
        } else if (S_ISDIR(st.st_mode)) {
            rc |= replay_folder(argv[i], &runs);
        } else {
            rc |= replay_file(argv[i], (size_t)st.st_size);
            runs++;
        }
    }
    printf("%u inputs\n", runs);
    return rc != 0 || runs == 0 ? 1 : 0;
}
