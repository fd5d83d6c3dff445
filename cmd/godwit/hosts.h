/* SPDX-License-Identifier: Apache-2.0
 *
 * Which regions of the topology are of this machine, and which keys they need to start. Masks are of places in the topology. */
#ifndef GODWIT_CMD_GODWIT_HOSTS_H
#define GODWIT_CMD_GODWIT_HOSTS_H
#include "cmd/godwit/cli.h"
#include "runtime/address.h"

#define HOSTS_WAIT_MS 5000u

/* A region's host and the address that it is to be bound to, as the resolver knows them. */
struct host {
	/* The host is known: else why not. */
	bool is_known;
	struct error_context reason;
	/* The host or the address bound is of this machine; of a wildcard only its secret tells. */
	bool is_local;
	/* What it listens on here, numeric; "": nothing, and why. */
	char address[ADDRESS_TEXT_SIZE];
	struct error_context address_reason;
};
struct hosts {
	uint32_t local; /* regions of this machine */
	struct host of[REGIONS_MAX];
};
/* Waits for the resolver, however long it takes. */
void hosts_look_one(const struct cli *cli, const struct region *region, struct host *host);
/* Of all regions at once. A name that the resolver has no answer for after HOSTS_WAIT_MS is not known. */
void hosts_look(const struct cli *cli, struct hosts *hosts);

/* Of the regions of this machine (`local`), the ones to start: on one of several hosts, the regions whose secret it has;
 * otherwise all. */
uint32_t hosts_regions_held(const struct cli *cli, uint32_t local);
/* Are the keys there that these regions of this machine need, or can be made here? Changes nothing. */
int hosts_keys_look(const struct cli *cli, uint32_t local, uint32_t mask, struct error_context *error);
/* Makes all keys where all regions are of one machine; elsewhere refuses what is missing. */
int hosts_keys_prepare(struct cli *cli, uint32_t local, uint32_t mask, struct error_context *error);

#endif
