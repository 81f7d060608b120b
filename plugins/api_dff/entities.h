/* SPDX-License-Identifier: Apache-2.0 */
/* Stored entities of the DFF vocabulary. */
#pragma once
#include <tenon/entity.h>

extern const tn_entity api_entities[];
extern const tn_migration api_migrations[];
