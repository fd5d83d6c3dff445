/* SPDX-License-Identifier: Apache-2.0
 *
 * The reconciler: do two regions that hold the same writes hold the same rows? Pure: events in, effects out.
 *
 * For each peer, one question at a time, one keyspace after the other, then a pause:
 *
 *   ask all buckets ──> vectors differ: no verdict (WAITING); the regions hold different writes, so their rows may differ
 *                   ──> vectors and buckets equal: EQUAL
 *                   ──> vectors equal, buckets not: DIFFERS; then sweep the rows of those buckets, a page at a time, to name
 * the keys, as long as both vectors stay what they were
 *
 * Rows are a pure function of the writes that a vector stands for, so a difference at equal vectors is a fault, whatever its
 * cause. But for strong keyspaces: a commit that a message brought is in the rows before its stream moves the vector. There
 * the verdict is WAITING until RECONCILER_LOOKS_STRONG rounds in a row found the same two vectors equal and buckets that
 * differ; by then the message has reached the peer too, or, if it cannot, a stream that moves the vectors. Keys longer than
 * RECONCILER_KEY_MAX are compared by the sum of all rows that share their first RECONCILER_KEY_MAX bytes. */
#ifndef GODWIT_ACTORS_RECONCILER_RECONCILER_H
#define GODWIT_ACTORS_RECONCILER_RECONCILER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/row.h"
#include "core/vector.h"

#define RECONCILER_NEVER          UINT64_MAX
#define RECONCILER_KEY_MAX        480u
#define RECONCILER_MASK_SIZE      (DIGEST_BUCKETS / 8)
#define RECONCILER_LOOKS_STRONG   3u
#define RECONCILER_TOLD_STEP_MAX  16u /* keys named by one step */
#define RECONCILER_TOLD_SWEEP_MAX 64u /* keys named by one sweep; all are counted */

enum reconciler_verdict {
	RECONCILER_UNKNOWN,
	RECONCILER_EQUAL,
	RECONCILER_DIFFERS,
	RECONCILER_WAITING,
	RECONCILER_UNREACHABLE
};
const char *reconciler_verdict_name(enum reconciler_verdict verdict);

struct reconciler_comparison { /* of one keyspace with one peer */
	enum reconciler_verdict verdict;
	uint64_t divergent_rows; /* found by the last comparison made; until its sweep is done, one for each differing bucket */
	uint64_t compared_ns;    /* of the last verdict EQUAL or DIFFERS; 0 never */
	uint64_t waits;          /* questions without a verdict */
	uint32_t looks;          /* strong: that found buckets to differ while both vectors were `looked_at` */
	struct vector looked_at;
};

struct reconciler_peer {
	bool configured, pending, sweeping;
	uint16_t keyspace;
	uint64_t number; /* of the question */
	uint64_t asked_ns, next_ns;
	struct vector sweep_vector;
	uint8_t mask[RECONCILER_MASK_SIZE];
	uint8_t after[RECONCILER_KEY_MAX];
	uint32_t after_size;
	uint32_t told;
	uint64_t found;
	uint64_t apart; /* set by the port: keyspaces by id that its topology has not, or otherwise; they are not compared */
	struct reconciler_comparison comparisons[KEYSPACES_MAX];
};

struct reconciler_options {
	uint32_t self;
	uint32_t peers; /* bit mask of region ids, without self */
	uint16_t keyspace_count;
	bool strong[KEYSPACES_MAX];
	uint64_t compare_ns; /* pause between two rounds */
	uint64_t timeout_ns; /* for an answer */
	uint64_t seed;       /* questions are numbered from here: answers to an earlier process do not fit */
};
struct reconciler {
	struct reconciler_options options;
	bool draining;
	uint64_t next_number;
	struct reconciler_peer peers[REGIONS_MAX];
};

struct reconciler_row {
	const uint8_t *key; /* borrowed */
	uint32_t key_size;
	struct digest digest;
};
/* Rows of the buckets asked for, in rising order of keys, behind `after`, up to and with `end`; without `more`, to the last. */
struct reconciler_page {
	const struct reconciler_row *rows;
	uint32_t row_count;
	const uint8_t *end;
	uint32_t end_size;
	bool more;
};

enum reconciler_event_kind {
	RECONCILER_TICK,
	RECONCILER_DIGESTS,  /* answer with all buckets, and our own */
	RECONCILER_ROWS,     /* answer with a page, and our own for the same question */
	RECONCILER_NOT_SENT, /* the question could not be sent */
	RECONCILER_DRAIN,    /* ask no more */
};
struct reconciler_event {
	enum reconciler_event_kind kind;
	uint64_t now_ns;
	uint32_t peer;
	uint64_t number;
	const struct vector *own_applied, *peer_applied; /* each of the same moment as what comes with it */
	const struct digest *own_buckets, *peer_buckets;
	struct reconciler_page own, peer_page;
};

struct reconciler_ask {
	uint32_t peer;
	uint64_t number;
	uint16_t keyspace;
	int32_t bucket;      /* -1: all digests; else the first bucket in the mask */
	const uint8_t *mask; /* RECONCILER_MASK_SIZE bytes, or NULL */
	const uint8_t *after;
	uint32_t after_size;
};
struct reconciler_effects {
	uint32_t ask_count;
	struct reconciler_ask asks[REGIONS_MAX];
	uint32_t told_count; /* keys to be named; borrowed from the event */
	struct reconciler_row told[RECONCILER_TOLD_STEP_MAX];
	uint16_t told_keyspace;
	uint32_t comparisons; /* made at equal vectors */
};

void reconciler_init(struct reconciler *r, const struct reconciler_options *options);
void reconciler_step(struct reconciler *r, const struct reconciler_event *event, struct reconciler_effects *effects);
/* The open question to that peer, if it has this number; NULL otherwise. */
const struct reconciler_peer *reconciler_open(const struct reconciler *r, uint32_t peer, uint64_t number);
uint64_t reconciler_deadline_ns(const struct reconciler *r);
/* Over all peers and keyspaces. */
uint64_t reconciler_divergent_rows(const struct reconciler *r);
/* Byte order, a prefix first. */
int reconciler_key_compare(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size);
/* True when the page is one that an honest peer could send: sizes, rising order, behind `after`, up to `end`. */
bool reconciler_page_is_valid(const struct reconciler_page *page, const uint8_t *after, uint32_t after_size);

#endif
