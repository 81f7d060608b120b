/* SPDX-License-Identifier: Apache-2.0 */
/* Reaches every type of the contract from one exported symbol, so that abidw records all of them. */
#include <tenon/tenon.h>

struct abi_surface {
    tn_plugin *plugin;
    tn_host *host;
    tn_connector_ops *connector;
    tn_auth_ops *auth;
    tn_trigger_ops *trigger;
    tn_frontend_ops *frontend;
    tn_api_ops *api;
    tn_entry entry;
    tn_secret *secret;
    tn_dur *dur;
    tn_bytes *bytes;
};
TN_EXPORT uint32_t abi_surface(const struct abi_surface *surface);
uint32_t abi_surface(const struct abi_surface *surface)
{
    return surface->plugin->magic;
}
