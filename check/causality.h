/* SPDX-License-Identifier: Apache-2.0
 *
 * What happened before what, as sessions could tell: the order within a session, and every read behind the write that it saw;
 * both together and on and on ("co", causal order). Bouajjani, Enea, Guerraoui, Hamza, "On Verifying Causal Consistency", 2017.
 *
 * A session that had several operations under way at once is cut into lanes, within which one follows the other. Co is kept as
 * one vector for each operation: of each lane, how many of its operations come before. Lanes without writes have no place in
 * it, because only writes are asked for. A write whose outcome is unknown comes after what its session had done before, and
 * before nothing but what saw it; if nobody did, it is left out. */
#ifndef GODWIT_CHECK_CAUSALITY_H
#define GODWIT_CHECK_CAUSALITY_H
#include "check/keyed.h"
#include "check/verdict.h"

#define NO_NODE             UINT32_MAX
#define NO_LANE             UINT32_MAX
#define CAUSALITY_BYTES_MAX (4ull << 30)

struct node {
	uint32_t operation;    /* in the history */
	uint32_t first, count; /* in touches */
	uint32_t session;
	uint32_t lane, index; /* index from 1 */
	uint32_t column;      /* of its lane in the vectors; NO_LANE when that has no write */
	int64_t start_ns, end_ns;
};
/* What an operation did to one key. */
struct touch {
	uint32_t key;
	uint32_t reads;  /* a value, VALUE_ABSENT, or REGISTER_ANY */
	uint32_t writes; /* a value, VALUE_ABSENT, or REGISTER_NOTHING */
	uint32_t source; /* node that wrote what was read; NO_NODE if none or unknown (absent) */
};
/* One write of a key, or one read of it that saw a value; in the order of (lane, index). */
struct key_entry {
	uint32_t lane, index, node, touch;
};
struct key_lists {
	uint32_t *first; /* per key, and one more */
	struct key_entry *entries;
};
struct causality {
	const struct history *history;
	const struct keyed *keyed;
	struct node *nodes; /* by session, then by start */
	uint32_t node_count;
	struct touch *touches;
	uint32_t *node_of;       /* per operation of the history */
	uint32_t *session_first; /* per session and one more: its nodes */
	uint32_t *lane_first;    /* per session and one more: its lanes */
	uint32_t *lane_nodes;    /* nodes by lane, then by index */
	uint32_t *lane_start;    /* per lane and one more: its part of lane_nodes */
	uint32_t *lane_columns;  /* per lane */
	bool *lane_unknown;      /* per lane: its only operation is unknown, and before none of its session */
	uint32_t lane_count, column_count;
	struct key_lists writes, reads;
	struct key_lists removals;   /* those writes that remove the key, by start */
	int64_t *unknown_removal_ns; /* per key: start of the first removal whose outcome is unknown */
	uint32_t *order;             /* nodes in an order that respects co; those of a cycle are missing */
	uint32_t ordered_count;
	uint32_t *vectors; /* column_count for each node */
};

/* TOO_HARD when the vectors would take more than CAUSALITY_BYTES_MAX. deinit in both cases. */
enum verdict causality_init(struct causality *causality, const struct history *history, const struct keyed *keyed);
void causality_deinit(struct causality *causality);
/* Whether node a, which writes, is before node b. */
bool causality_before(const struct causality *causality, uint32_t a, uint32_t b);
/* Whether one write of a key is newer than another: of a higher version where both tell theirs (the last writer wins, and what
 * replaces a write has a higher HLC), else after it in causal order. */
bool causality_newer(const struct causality *causality, uint32_t newer, uint32_t old);
/* How many of a lane, which has writes, come before the node. */
uint32_t causality_known(const struct causality *causality, uint32_t node, uint32_t lane);
/* The same, by session order alone and in a lane of the node's own session. */
uint32_t causality_session_known(const struct causality *causality, uint32_t node, uint32_t lane);
/* A node directly before this one that is not done; there must be one. */
uint32_t causality_left_before(const struct causality *causality, uint32_t node, const bool *done);
/* The removal of a key that may explain why a reader saw nothing: the last one that started before the reader ended, or NULL.
 * The ones before it stand before it; the list begins at *first. */
const struct key_entry *causality_removals(
    const struct causality *causality, uint32_t key, uint32_t reader, const struct key_entry **first);
/* The last entry of a key in a lane with an index up to `index`; NULL if none. Entries of a lane stand together. */
const struct key_entry *key_entry_last(const struct key_entry *first, const struct key_entry *end, uint32_t index);
/* Behind the entries of the same lane. */
const struct key_entry *key_entry_lane_end(const struct key_entry *first, const struct key_entry *end);

#endif
