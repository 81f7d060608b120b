/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of an MQTT server, for the connector and for the trigger. */
#include "mqtt.h"

const tn_host *mq_host;

static const char *const tls_modes[] = {"off", "on", "unverified", NULL};
static const char *const transports[] = {"tcp", "websockets", NULL};
static const char *const protocols[] = {"5", "3.1.1", NULL};

const tn_field mq_fields[] = {
    {TN_FIELD(struct mq_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 255, .doc = "Server."},
    {TN_FIELD(struct mq_conf, port), .dflt = "1883", .min = 1, .max = 65535, .doc = "TCP port."},
    {TN_FIELD(struct mq_conf, user), .max = 256, .doc = "User; empty: none."},
    {TN_FIELD(struct mq_conf, password), .doc = "Password; empty: none is sent."},
    {TN_FIELD(struct mq_conf, client_id), .max = 64,
     .doc =
         "Beginning of the client ids; each connection adds something of its own. Default tenon."},
    {TN_FIELD(struct mq_conf, keepalive), .dflt = "60", .min = 5, .max = 65535,
     .doc = "Seconds without a packet after which the server takes a client for dead (times 1.5)."},
    {TN_FIELD(struct mq_conf, transport), .dflt = "tcp", .choices = transports,
     .doc = "tcp, or websockets."},
    {TN_FIELD(struct mq_conf, path), .dflt = "/mqtt", .min = 1, .max = 1000,
     .doc = "Path of the WebSocket."},
    {TN_FIELD(struct mq_conf, protocol), .dflt = "5", .choices = protocols,
     .doc = "Version of the protocol."},
    {TN_FIELD(struct mq_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc = "on: TLS, and the certificate must be valid for the host; unverified: TLS with any "
            "certificate; off: none."},
    {TN_FIELD(struct mq_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct mq_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct mq_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct mq_conf, will_topic), .max = 65535,
     .doc =
         "Topic of the last will: what the server publishes when a connection is lost. Empty: none."},
    {TN_FIELD(struct mq_conf, will_message), .max = 65535, .doc = "Message of the last will."},
    {TN_FIELD(struct mq_conf, will_qos), .dflt = "0", .min = 0, .max = 2,
     .doc = "QoS of the last will."},
    {TN_FIELD(struct mq_conf, will_retain), .dflt = "false", .doc = "Is the last will retained?"},
    {TN_FIELD(struct mq_conf, max_packet), .dflt = "16M", .min = 65536, .max = 268435455,
     .doc = "Largest packet that is sent or taken, in bytes."},
    {TN_FIELD(struct mq_conf, sub_qos), .dflt = "1", .min = 0, .max = 2,
     .doc = "QoS of topic handlers: 0 at most once, 1 and 2 at least once."},
    {TN_FIELD(struct mq_conf, sub_unacked), .dflt = "1000", .min = 1, .max = 65535,
     .doc =
         "Messages that the server may send to a topic handler before the first is acknowledged (MQTT 5)."},
    {TN_FIELD(struct mq_conf, sub_session), .dflt = "1h", .min = 0, .max = 604800000,
     .doc =
         "How long the server keeps messages for a topic handler that is away (MQTT 5; a server of "
         "3.1.1 decides by itself)."},
    {0},
};
