/* SPDX-License-Identifier: Apache-2.0
 *
 * Which regions of the topology are of this machine, and which keys they need to start. Masks are of places in the topology. */
#ifndef GODWIT_CMD_GODWIT_HOSTS_H
#define GODWIT_CMD_GODWIT_HOSTS_H
#include "cmd/godwit/cli.h"

uint32_t hosts_regions_local(const struct cli *cli);
/* Of those, the ones to start: on one of several hosts, the regions whose secret it has; otherwise all of the machine. */
uint32_t hosts_regions_held(const struct cli *cli, uint32_t local);
/* Are the keys there that these regions need, or can be made here? Changes nothing. */
int hosts_keys_look(const struct cli *cli, uint32_t mask, struct error_context *error);
/* Makes all keys where all regions are of one machine; elsewhere refuses what is missing. */
int hosts_keys_prepare(struct cli *cli, uint32_t mask, struct error_context *error);

#endif
