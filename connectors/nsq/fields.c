/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of an NSQ connector; plugins/trigger_nsq reads the same. */
#include "nsq.h"

static const char *const tls_modes[] = {"off", "on", "unverified", NULL};
static const char *const protocols[] = {"http", "https", "tcp", NULL};

const tn_field nsq_fields[] = {
    {TN_FIELD(struct nsq_conf, host), .dflt = "127.0.0.1", .min = 1, .max = 255,
     .doc = "nsqlookupd, which knows the nsqd."},
    {TN_FIELD(struct nsq_conf, port), .dflt = "4161", .min = 1, .max = 65535,
     .doc = "Its HTTP port."},
    {TN_FIELD(struct nsq_conf, protocol), .dflt = "http", .choices = protocols,
     .doc = "How messages go to nsqd: http, https, or tcp: the framed protocol (nsqlookupd is then "
            "asked over http)."},
    {TN_FIELD(struct nsq_conf, timeout), .dflt = "10", .min = 1, .max = 600,
     .doc = "Longest time of one operation in seconds."},
    {TN_FIELD(struct nsq_conf, servers), .max = 8192,
     .doc =
         "Fixed nsqd as host:port, with commas between, or a list; nsqlookupd is then not asked. "
         "Ports of protocol: 4151 for http, 4150 for tcp."},
    {TN_FIELD(struct nsq_conf, refresh), .dflt = "60", .min = 1, .max = 86400,
     .doc = "Seconds after which nsqlookupd is asked again."},
    {TN_FIELD(struct nsq_conf, auth_secret), .doc = "Secret of AUTH (tcp); empty: none is sent."},
    {TN_FIELD(struct nsq_conf, tls), .dflt = "off", .choices = tls_modes,
     .doc =
         "tcp: on: TLS (tls_v1), and the certificate must be valid for the host; unverified: TLS "
         "with any certificate; off: none. https: unverified, or verified."},
    {TN_FIELD(struct nsq_conf, tls_ca), .max = 200000,
     .doc = "Certificates of the authorities to trust, as PEM text or the path of a file; default "
            "those of the system."},
    {TN_FIELD(struct nsq_conf, tls_cert), .max = 200000,
     .doc = "Certificate of the client, as PEM text or the path of a file."},
    {TN_FIELD(struct nsq_conf, tls_key), .doc = "Key of the client's certificate, as PEM text."},
    {TN_FIELD(struct nsq_conf, application), .dflt = "tenon", .min = 1, .max = 63,
     .doc = "Name of the client (client_id) at nsqd."},
    {TN_FIELD(struct nsq_conf, channel), .max = 74,
     .doc = "Channel of topic handlers, which share its messages; default one for each handler."},
    {TN_FIELD(struct nsq_conf, max_in_flight), .dflt = "500", .min = 1, .max = 2500,
     .doc = "Messages of a topic handler that nsqd may have sent and that are not stored yet."},
    {TN_FIELD(struct nsq_conf, msg_timeout), .dflt = "10s", .min = 1000, .max = 900000,
     .doc = "What a topic handler's nsqd hears nothing about for so long, as its hub has died, it "
            "gives to the next one."},
    {TN_FIELD(struct nsq_conf, connect_timeout), .dflt = "3s", .min = 10, .max = 60000,
     .doc = "Longest time for connecting to one server."},
    {TN_FIELD(struct nsq_conf, max_result), .dflt = "16M", .min = 65536, .max = 1073741824,
     .doc = "Largest answer in memory, in bytes."},
    {0},
};
