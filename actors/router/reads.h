/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads from the mapped rows and from shared memory. One view of the rows serves all reads of a turn.
 *
 * A scan, or a question for a bucket, may have to look at every row there is. It is answered in slices: what its time did not
 * suffice for is kept as a `reads_question`, with the view that it began with, so that an answer shows one state of the rows,
 * and goes on from there when it is asked again. There are READS_QUESTIONS_MAX of them at most, each of which pins the pages of
 * its view and holds up to READS_ANSWER_SIZE_MAX and one row; and for READS_QUESTION_NS at most, so that what a long reader
 * costs the writer is bounded. */
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
#define READS_QUESTIONS_MAX   8u
#define READS_QUESTION_NS     10000000000ull

struct reads_view {
	struct rows_view *view; /* NULL: not yet made */
	uint32_t questions;     /* that hold it */
	bool is_open;
};

struct reads_question {
	bool is_used;
	uint32_t view;
	struct output body;          /* of the answer so far */
	uint8_t after[KEY_SIZE_MAX]; /* the last row looked at */
	size_t after_size;
	uint32_t count;
	uint64_t began_ns;
};

struct reads {
	const struct topology *topology;
	const struct region *region;
	const struct shm_layout *shm;
	char rows_dir[320];
	struct rows *rows;                                /* NULL until the coordinator has made them */
	struct reads_view views[READS_QUESTIONS_MAX + 1]; /* one more than questions: there is always one for what comes */
	uint32_t current;                                 /* the view of this turn; READS_QUESTIONS_MAX + 1: none */
	struct rows_view *view;                           /* in use for the operation at hand */
	struct reads_question questions[READS_QUESTIONS_MAX];
	uint32_t question_count;
	uint64_t epoch; /* of the coordinator that had them when they were opened */
	uint64_t now_ns, until_ns;
	struct output body; /* of an answer with lists */
	char damage[640];   /* the damaged row met last, in words */
};

void reads_init(struct reads *reads, const struct topology *topology, const struct region *region, const struct shm_layout *shm,
    const char *region_dir);
void reads_deinit(struct reads *reads);
enum reads_outcome {
	READS_ANSWERED, /* the answer is in `out`, *question is NULL */
	READS_CUT,      /* *question holds how far it came: ask again with it */
	READS_NO_PLACE, /* it is long, and may not be held now: ask again when it may */
};
/* Answers one operation that is not a write, or works on it until until_ns (of CLOCK_MONOTONIC; a few rows longer, so that each
 * slice gets somewhere). *question: NULL, or what the same operation was given before. may_hold: it may take one of the places.
 */
enum reads_outcome reads_answer(struct reads *reads, const struct request_operation *operation, uint64_t now_ns,
    uint64_t until_ns, bool may_hold, struct reads_question **question, struct output *out);
/* Gives a question up. NULL is none. */
void reads_give_up(struct reads *reads, struct reads_question *question);
/* The end of a turn: later reads see newer rows. */
void reads_end(struct reads *reads);

#endif
