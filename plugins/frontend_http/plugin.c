/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_http: the plugin's descriptor and its configuration table. */
#include "fe.h"
#include <tenon/plugin.h>

const tn_field fe_fields[] = {
    HTTP_FIELDS,
    {TN_FIELD(struct fe_conf, connection_memory), .dflt = "18k", .min = 4096, .max = 1 << 22,
     .flags = TN_F_RESTART,
     .doc = "Memory of one connection for the request head and the answer's headers."},
    {.name = NULL},
};

TN_PLUGIN(.kind = TN_KIND_FRONTEND, .name = "http", .version = "1.0.0",
          .summary = "HTTP/1.1 server on libmicrohttpd", .config = fe_fields,
          .conf_size = sizeof(struct fe_conf), .inst_size = sizeof(struct server),
          .load = engine_load, .attach = engine_attach, .detach = engine_detach, .ops = &engine_ops)
