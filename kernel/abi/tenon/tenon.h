/* SPDX-License-Identifier: Apache-2.0 */
/* The whole plugin contract.
 *
 * Contract changelog
 *   1.0  first release
 */
#ifndef TENON_TENON_H
#define TENON_TENON_H

#include <tenon/api.h>
#include <tenon/auth.h>
#include <tenon/calls.h>
#include <tenon/config.h>
#include <tenon/connector.h>
#include <tenon/entity.h>
#include <tenon/frontend.h>
#include <tenon/host.h>
#include <tenon/http.h>
#include <tenon/plugin.h>
#include <tenon/schedule.h>
#include <tenon/subscription.h>
#include <tenon/tasks.h>
#include <tenon/trigger.h>
#include <tenon/types.h>
#include <tenon/value.h>

#endif
