/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of settings_load(): the names of DataFlux Func (spec 6.3) beside our own, and what follows at the end. */
#pragma once
#include "kernel/conf/settings.h"

/* Takes one value of a known or CUSTOM_ key (without "DFF_"): checked, remembered in s->dff, and set
 * as an item of c where one of our settings stands for it. Unknown keys are ignored. */
void settings_dff_take(struct settings *s, struct conf *c, const char *key, const char *value,
                       const char *where, struct conf_problems *p);
/* WEB_BIND and WEB_PORT make one setting of ours: call after the keys of one source. */
void settings_dff_listen(struct settings *s, struct conf *c);
/* Writes what our settings say back to the keys that mean the same. */
void settings_dff_reflect(struct settings *s);
/* Fills in defaults that depend on other things; registers secrets with log_mask(). */
void settings_derive(struct settings *s);
