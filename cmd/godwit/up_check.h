/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be known before regions of this machine are started: `up --check` says it, and `up` and `restart` look at the same
 * before they start or stop anything. */
#ifndef GODWIT_CMD_GODWIT_UP_CHECK_H
#define GODWIT_CMD_GODWIT_UP_CHECK_H
#include "cmd/godwit/hosts.h"

#define SUPERVISOR   "supervisor"
#define LINK_PROGRAM "link"

struct up_plan {
	const struct hosts *hosts;
	uint32_t mask;      /* places in the topology: to be started; 0: no region of this machine has its secret here */
	uint32_t leaving;   /* that are stopped before */
	uint32_t link_base; /* of the emulator, if it is started as well; 0: it is not */
	/* Only looked at: what keeps nobody from starting, and is wrong all the same, is a mistake then. */
	bool is_check;
};
/* Prints every mistake, as cli_fail does, and returns their number. Changes nothing. */
uint32_t up_check(struct cli *cli, const struct up_plan *plan);

/* Does any region but those of the mask run? */
bool up_regions_run(struct cli *cli, uint32_t without);
/* Any region but those in the mask, or the link emulator when nothing is left out. */
bool up_anything_runs(struct cli *cli, uint32_t without);
/* Is the file that is asked for the one that is kept? *kept: its name. */
bool up_topology_is_kept(struct cli *cli, char kept[static 300]);
/* Regions but `leaving` (a mask) that run have to run with this topology. */
int up_topology_fits(struct cli *cli, uint32_t leaving, struct error_context *error);

#endif
