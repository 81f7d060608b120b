/* SPDX-License-Identifier: Apache-2.0 */
/* What the libraries of a plugin read in their constructors: dlopen() runs those before any code of the plugin, so it is read
 * from the file itself, a section with texts "NAME=value" (TN_ENVIRONMENT of kernel/abi). */
#include "kernel/plug/plug_int.h"

#include <ctype.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTIONS_MAX 256
#define TEXT_MAX     1024

static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
    return at < INT64_MAX && pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

/* Only what is not there yet, and nothing that is the linker's. */
static void set_one(char *text)
{
    char *eq = strchr(text, '=');
    size_t n = 0;
    while (isupper((unsigned char)text[n]) || isdigit((unsigned char)text[n]) || text[n] == '_') {
        n++;
    }
    if (eq != NULL && n > 0 && text + n == eq && strncmp(text, "LD_", 3) != 0) {
        *eq = '\0';
        setenv(text, eq + 1, 0);
    }
}

static void take_section(int fd, const ElfW(Shdr) * section)
{
    char text[TEXT_MAX + 1];
    if (section->sh_type != SHT_PROGBITS || section->sh_size > TEXT_MAX ||
        !read_at(fd, text, section->sh_size, section->sh_offset)) {
        return;
    }
    text[section->sh_size] = '\0';
    for (char *at = text; at < text + section->sh_size;) {
        char *next = at + strlen(at) + 1;
        set_one(at);
        at = next;
    }
}

void plug_environment(const char *path)
{
    static const char wanted[] = TN_ENVIRONMENT_SECTION;
    char name[sizeof wanted];
    ElfW(Ehdr) file;
    ElfW(Shdr) names, section;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return; /* the probe says so */
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_at(fd, &file, sizeof file, 0) &&
        memcmp(file.e_ident, ELFMAG, SELFMAG) == 0 && file.e_shentsize == sizeof section &&
        file.e_shnum <= SECTIONS_MAX &&
        read_at(fd, &names, sizeof names, file.e_shoff + file.e_shstrndx * sizeof names)) {
        for (unsigned i = 0; i < file.e_shnum; i++) {
            if (read_at(fd, &section, sizeof section, file.e_shoff + i * sizeof section) &&
                read_at(fd, name, sizeof name, names.sh_offset + section.sh_name) &&
                memcmp(name, wanted, sizeof wanted) == 0) {
                take_section(fd, &section);
            }
        }
    }
    close(fd);
}
