/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin descriptor and the one symbol that a plugin exports. */
#ifndef TENON_PLUGIN_H
#define TENON_PLUGIN_H

#include <tenon/config.h>
#include <tenon/host.h>
#include <tenon/types.h>

/* tn_plugin.kind */
#define TN_KIND_CONNECTOR 1 /* ops: tn_connector_ops */
#define TN_KIND_AUTH      2 /* ops: tn_auth_ops */
#define TN_KIND_TRIGGER   3 /* ops: tn_trigger_ops */
#define TN_KIND_FRONTEND  4 /* ops: tn_frontend_ops */
#define TN_KIND_API       5 /* ops: tn_api_ops */
#define TN_KINDS          6

/* tn_plugin.flags */
#define TN_P_THREAD_SAFE (1u << 0) /* ops may be called from several threads with one instance */

/* Life: load() once per process image, before any fork, no connections, no threads; attach() per
 * configured instance after the fork, with its parsed configuration; detach() undoes attach().
 * The kernel allocates and zeroes `conf` (conf_size) and `inst` (inst_size) and keeps both until
 * after detach(); `conf` is read-only for the plugin. Any of the three may be NULL. A live plugin
 * is never dlclose()d. Every table is static const data of the plugin. */
typedef struct tn_plugin {
    uint32_t magic;                 /* TN_MAGIC */
    uint16_t abi_major, abi_minor;  /* TN_ABI_MAJOR, TN_ABI_MINOR at the plugin's build */
    uint32_t size;                  /* sizeof(tn_plugin) at the plugin's build */
    uint16_t kind, flags;           /* TN_KIND_*, TN_P_* */
    const char *name;               /* [a-z][a-z0-9_]{0,31}, unique within the kind */
    const char *version;            /* of the plugin, e.g. "1.0.0" */
    const char *summary;            /* one line */
    uint64_t caps;                  /* TN_CAP_* of the kind */
    const tn_field *config;         /* ends with a row of NULL name; NULL = none */
    uint32_t conf_size, inst_size;  /* bytes, at most 64 KiB and 16 MiB */
    tn_rc (*load)(const tn_host *, tn_err *);
    tn_rc (*attach)(void *inst, const void *conf, tn_err *);
    void (*detach)(void *inst);
    const void *ops;                /* table of the kind, its first member is uint32_t size */
} tn_plugin;

typedef const tn_plugin *(*tn_entry)(void);
#define TN_ENTRY "tn_plugin_v1"

/* Defines the entry symbol: TN_PLUGIN(.kind = TN_KIND_CONNECTOR, .name = "mem", ...) */
#define TN_PLUGIN(...)                                                                            \
    TN_EXPORT const tn_plugin *tn_plugin_v1(void);                                                \
    const tn_plugin *tn_plugin_v1(void)                                                           \
    {                                                                                             \
        static const tn_plugin plugin_ = {.magic = TN_MAGIC,                                      \
                                          .abi_major = TN_ABI_MAJOR,                              \
                                          .abi_minor = TN_ABI_MINOR,                              \
                                          .size = sizeof(tn_plugin),                              \
                                          __VA_ARGS__};                                           \
        return &plugin_;                                                                          \
    }

/* What a library of the plugin reads from the environment in its constructors, before load(): set in every process that opens
 * plugins, where the environment has no such name. TN_ENVIRONMENT("NAME=value"); NAME of [A-Z0-9_], not LD_*. Read from the file:
 * 1 KiB in all. */
#define TN_ENVIRONMENT_SECTION ".tenon.env"
#define TN_ENVIRONMENT(text)                                                                      \
    __attribute__((used, section(TN_ENVIRONMENT_SECTION))) static const char tn_environment_[] = text

#endif
