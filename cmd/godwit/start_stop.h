/* SPDX-License-Identifier: Apache-2.0
 *
 * Regions of this machine as background programs: what `up`, `down` and `restart` have in common. */
#ifndef GODWIT_CMD_GODWIT_START_STOP_H
#define GODWIT_CMD_GODWIT_START_STOP_H
#include "cmd/godwit/hosts.h"

#define READY_WAIT_MS 30000u
#define STOP_WAIT_MS  20000u

struct start_options {
	const char *log_level; /* NULL: the programs' own default */
	uint32_t link_base;    /* of the emulator; 0: the one noted, or the default */
	bool wan, new_cluster;
};

/* The regions that an option names, as a mask of places in the topology. 0, or an exit code with the failure printed. */
int regions_pick(struct cli *cli, const struct option_list *names, uint32_t *mask);

/* From the first look to the last start or stop, one command has the turn. A descriptor to be closed; -1: failure, as code, or
 * 0 when the directory is not there. */
int turn_take(struct cli *cli, int *code, struct error_context *error);

/* Is the emulator needed: does the machine have more than one region? */
bool link_is_needed(const struct hosts *hosts);
/* The ports of the emulator are noted, so that a restart finds those that the others use. */
int link_base_find(struct cli *cli, uint32_t *link_base, bool *is_noted, struct error_context *error);

/* Starts the regions of the mask, and returns when they are ready. Those of `leaving` are stopped first, when all that can be
 * looked at before is right. The exit code, with failures printed. */
int regions_start(
    struct cli *cli, const struct start_options *options, const struct hosts *hosts, uint32_t mask, uint32_t leaving);
/* The exit code, with failures printed; `say`: what became of it, too. */
int region_stop(struct cli *cli, const struct region *region, bool say);

#endif
