/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a Kafka connector; plugins/trigger_kafka reads the same. */
#include "kafka.h"

static const char *const tls_modes[] = {"on", "unverified", NULL};
static const char *const securities[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL", NULL};
static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL};
static const char *const compressions[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const acks[] = {"all", "1", "0", NULL};

static const char *const offsets[] = {"smallest", "earliest", "beginning", "largest",
                                      "latest",   "end",      "error",     NULL};

const tn_field kafka_fields[] = {
    {TN_FIELD(struct kafka_conf, servers), .dflt = "127.0.0.1:9092", .min = 1, .max = 8192,
     .doc = "Brokers to begin with: host:port, with commas between, or a list."},
    {TN_FIELD(struct kafka_conf, group_id), .max = 249,
     .doc = "Consumer group of subscriptions; publishing does not use it."},
    {TN_FIELD(struct kafka_conf, kafka_sub_offset), .dflt = "end", .choices = offsets,
     .doc =
         "Where a group without a position begins: smallest, earliest, beginning: with all that "
         "is kept; largest, latest, end: with what is sent since the connector was saved; error: "
         "not at all."},
    {TN_FIELD(struct kafka_conf, session_timeout), .dflt = "6s", .min = 1000, .max = 1800000,
     .doc =
         "A topic handler that the group hears nothing of for so long is taken for dead, and its "
         "partitions go to others; the brokers say what is possible."},
    {TN_FIELD(struct kafka_conf, security_protocol), .dflt = "PLAINTEXT", .choices = securities,
     .doc = "Whether the connection is encrypted (SSL) and signed in to (SASL)."},
    {TN_FIELD(struct kafka_conf, sasl_mechanisms), .dflt = "PLAIN", .choices = mechanisms,
     .doc = "How a password is proved."},
    {TN_FIELD(struct kafka_conf, user), .max = 256, .doc = "User of SASL."},
    {TN_FIELD(struct kafka_conf, password), .doc = "Password of SASL."},
    {TN_FIELD(struct kafka_conf, tls), .dflt = "on", .choices = tls_modes,
     .doc = "With SSL: on: the certificate must be valid for the host; unverified: any will do."},
    {TN_FIELD(struct kafka_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct kafka_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct kafka_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct kafka_conf, application), .dflt = "tenon", .min = 1, .max = 63,
     .doc = "Name of the client (client.id) in the brokers' logs and quotas."},
    {TN_FIELD(struct kafka_conf, compression), .dflt = "none", .choices = compressions,
     .doc = "How messages are packed."},
    {TN_FIELD(struct kafka_conf, acks), .dflt = "all", .choices = acks,
     .doc = "Who must have a message before publish() returns: all in-sync replicas (and each "
            "message once), 1: the leader, 0: nobody."},
    {TN_FIELD(struct kafka_conf, timeout), .dflt = "10", .min = 1, .max = 600,
     .doc = "Longest time of one operation in seconds."},
    {TN_FIELD(struct kafka_conf, max_message), .dflt = "1000000", .min = 1000, .max = 1000000000,
     .doc = "Largest message in bytes, before it is packed."},
    {0},
};
