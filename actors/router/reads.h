/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads from the mapped rows and from shared memory. One view of the rows serves all reads of a drained batch. */
#ifndef GODWIT_ACTORS_ROUTER_READS_H
#define GODWIT_ACTORS_ROUTER_READS_H
#include <stdbool.h>
#include <stdint.h>

#include "actors/router/output.h"
#include "actors/router/router.h"
#include "runtime/topology.h"
#include "shm/layout.h"
#include "store/rows.h"

#define READS_ANSWER_SIZE_MAX (1024u * 1024) /* of rows in one answer; a single row may be larger */
#define READS_CONFLICTS_MAX   256u           /* in one answer */

struct reads {
	const struct topology *topology;
	const struct region *region;
	const struct shm_layout *shm;
	char rows_dir[320];
	struct rows *rows; /* NULL until the coordinator has made them */
	struct rows_view *view;
	uint64_t epoch; /* of the coordinator that had them when they were opened */
	bool viewing;
	uint64_t now_ns;
	struct output body; /* of an answer with lists */
	char damage[640];   /* the damaged row met last, in words */
};

void reads_init(struct reads *reads, const struct topology *topology, const struct region *region, const struct shm_layout *shm,
    const char *region_dir);
void reads_deinit(struct reads *reads);
/* Answers one operation that is not a write: appends the answer to `out`. */
void reads_answer(struct reads *reads, const struct request_operation *operation, uint64_t now_ns, struct output *out);
/* Lets go of the view; values that answers have borrowed are gone. */
void reads_end(struct reads *reads);

#endif
