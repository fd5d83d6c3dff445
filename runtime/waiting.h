/* SPDX-License-Identifier: Apache-2.0
 *
 * What a command that waits for regions says meanwhile, and when. */
#ifndef GODWIT_RUNTIME_WAITING_H
#define GODWIT_RUNTIME_WAITING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/vector.h"
#include "runtime/topology.h"

#define BEHIND_TEXT_MAX 256u

struct waiting {
	uint64_t started_ns, told_ns; /* CLOCK_MONOTONIC */
};
/* Is it time to say something? After a second and a half for the first time, then every two seconds. */
bool waiting_is_due(struct waiting *waiting, uint64_t now_ns);
/* Which regions have not applied what another has: "ap lacks 12 writes of us and 3 of eu". Both by place in the topology;
 * `known`: a mask of those whose vector there is. Empty when none lacks anything. */
void behind_write(const struct topology *topology, uint32_t known, const struct vector applied[static REGIONS_MAX],
    char out[static BEHIND_TEXT_MAX]);

#endif
