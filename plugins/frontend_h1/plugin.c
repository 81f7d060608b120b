/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_h1: the plugin's descriptor and its configuration table. */
#include "plugins/frontend_h1/h1.h"
#include <tenon/plugin.h>

static const tn_field fields[] = {HTTP_FIELDS, {.name = NULL}};

TN_PLUGIN(.kind = TN_KIND_FRONTEND, .name = "h1", .version = "1.0.0",
          .summary = "HTTP/1.1 server of our own", .config = fields,
          .conf_size = sizeof(struct http_conf), .inst_size = sizeof(struct server),
          .load = engine_load, .attach = engine_attach, .detach = engine_detach, .ops = &engine_ops)
