/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a Redis server, for the connector and for the trigger. */
#include "redis.h"

const tn_host *rd_host; /* set once by load() */

static const char *const tls_modes[] = {"off", "on", "unverified", NULL};
static const char *const auth_types[] = {"default", "aliyun", NULL};

const tn_field rd_fields[] = {
    {TN_FIELD(struct rd_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 255, .doc = "Server."},
    {TN_FIELD(struct rd_conf, port), .dflt = "6379", .min = 1, .max = 65535, .doc = "TCP port."},
    {TN_FIELD(struct rd_conf, database), .dflt = "0", .min = 0, .max = 1000000,
     .doc = "Number of the database."},
    {TN_FIELD(struct rd_conf, user), .max = 256, .doc = "User of an ACL; empty: the default user."},
    {TN_FIELD(struct rd_conf, password), .doc = "Password; empty: none is sent."},
    {TN_FIELD(struct rd_conf, auth_type), .dflt = "default", .choices = auth_types,
     .doc = "aliyun: the password is sent as user:password."},
    {TN_FIELD(struct rd_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; off: none."},
    {TN_FIELD(struct rd_conf, use_ssl), .dflt = "false",
     .doc = "The same as tls: on, as the original spells it."},
    {TN_FIELD(struct rd_conf, use_tls), .dflt = "false",
     .doc = "The same as tls: on, as the original spells it."},
    {TN_FIELD(struct rd_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct rd_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct rd_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct rd_conf, application), .dflt = "tenon", .min = 1, .max = 63,
     .doc = "Name of the connections in CLIENT LIST; no blanks."},
    {TN_FIELD(struct rd_conf, max_result), .dflt = "64M", .min = 65536, .max = 4294967296,
     .doc = "Largest reply in memory, in bytes."},
    {TN_FIELD(struct rd_conf, ts_min_interval), .dflt = "60", .min = 1, .max = 86400,
     .doc = "Seconds between two points of a series of ts_add()."},
    {TN_FIELD(struct rd_conf, ts_max_age), .dflt = "86400", .min = 1, .max = 315360000,
     .doc = "Seconds until a series to which nothing was added disappears."},
    {TN_FIELD(struct rd_conf, ts_max_period), .dflt = "259200", .min = 1, .max = 315360000,
     .doc = "Seconds after which points of a series are dropped."},
    {0},
};
