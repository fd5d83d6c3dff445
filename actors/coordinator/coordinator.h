/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's state machine: numbers its region's writes, stamps them, takes in the records of other regions in sequence,
 * remembers requests, and holds answers back until what they answer is durable and in the rows.
 *
 * One event in, effects out; no clock, file, socket or allocation in a step. A step that wants something appended says so in
 * its effects (`hlc_bound` first, then `record`); io.c hands both to the log and reports with APPENDED before any other
 * event. Only then is the number taken: a log that refuses leaves no gap. The same file runs in the simulator.
 *
 *   OPERATION --> refused, repeated: an answer           INBOUND --> dropped: effects.inbound
 *            \--> record --> APPENDED --> parked                \--> record --> APPENDED
 *                                          |
 *   APPLIED(lsn) --------------------------+--> answers, in the order of the log
 *
 * Strong transactions are another machine's (commit/commit.h); here they only take a number of their region's stream. */
#ifndef GODWIT_ACTORS_COORDINATOR_COORDINATOR_H
#define GODWIT_ACTORS_COORDINATOR_COORDINATOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/dotted.h"
#include "core/hlc.h"
#include "core/record.h"
#include "core/reply_cache.h"
#include "core/row.h"
#include "core/vector.h"
#include "runtime/topology.h"

#define COORDINATOR_PARKED_MAX  65536u
#define COORDINATOR_ANSWERS_MAX 128u
#define COORDINATOR_KEY_SLOTS   65536u
/* For so long a repeat may have been under way since its age was told. */
#define COORDINATOR_AGE_SLACK_MS 3000u

struct coordinator_keyspace {
	enum level level;
	enum acknowledge acknowledge;
};

struct coordinator_options {
	uint8_t region;
	uint32_t regions; /* bit mask of the ids in the topology */
	uint32_t keyspace_count;
	struct coordinator_keyspace keyspaces[KEYSPACES_MAX];
	uint64_t clock_drift_max_ms;
	uint32_t reply_cache_answers; /* power of two; 0: REPLY_CACHE_ANSWERS */
	uint64_t started_ns;          /* monotonic: what the memory is refilled with counts as of then */
};

/* One client's write, decoded. Everything is borrowed for the step, or until APPENDED. */
struct coordinator_operation {
	uint64_t route; /* whom to answer; means something to io.c only */
	uint64_t client_id, number, settled;
	uint64_t age_ms; /* of a repeat: since it was first sent; 0: sent for the first time */
	int keyspace;    /* -1: there is none of that name */
	bool tombstone;
	bool moved;       /* a repeat that was first sent to another region */
	bool conditional; /* compare and set */
	const uint8_t *key, *value, *context;
	size_t key_size, value_size, context_size;
	const struct row *row; /* with a context only: the row as applied; NULL when there is none */
	uint64_t arrived_ns;   /* comes back with the answer */
};

enum coordinator_event_type {
	COORDINATOR_OPERATION,
	COORDINATOR_INBOUND,  /* one record from another region */
	COORDINATOR_APPENDED, /* what became of the last effects' record */
	COORDINATOR_APPLIED,  /* the rows hold the log up to lsn */
	COORDINATOR_REFUSE,   /* from now on writes are refused with `code`; 0: taken again */
	COORDINATOR_COMMIT,   /* a strong transaction that goes out on this region's stream */
};

struct coordinator_event {
	enum coordinator_event_type type;
	uint64_t now_ms;    /* wall clock: OPERATION, INBOUND */
	bool takes_deletes; /* REFUSE: but not deletes, which make room */
	uint64_t now_ns;    /* monotonic: OPERATION */
	union {
		struct coordinator_operation operation;
		struct {
			const uint8_t *bytes;
			size_t size;
		} inbound;
		struct {
			int code;
			uint64_t end_lsn;
		} appended;
		struct {
			uint64_t lsn;
			const struct vector *vector;
		} applied;
		int refuse;
		struct {
			const uint8_t *entry; /* a COMMIT entry, head and body */
			size_t size;
			uint64_t hlc;
		} commit;
	};
};

struct coordinator_answer {
	uint64_t route, number, hlc, arrived_ns;
	const char *reason; /* fixed text; NULL: that of the code */
	int code;
	uint32_t siblings; /* of a strong read */
	uint64_t token;    /* of a strong keyspace: commit_token() */
	uint32_t version_size;
	uint8_t version[DOTTED_ENCODED_MAX];
};

struct coordinator_effects {
	uint64_t hlc_bound;    /* not 0: append it as LOG_HLC_BOUND, before the record */
	const uint8_t *record; /* not NULL: append it, then report APPENDED */
	size_t record_size;
	/* After INBOUND without a record: why it was dropped. ERR_NEEDS_RESYNC: out of order;
	 * ERR_REGION_REUSED: a number of this region's own that it never gave out; ERR_MALFORMED; 0: had it already. */
	int inbound;
	uint8_t inbound_origin;
	uint64_t inbound_ahead_ms;    /* with a record: its stamp is of the future, by so much; 0: not beyond the limit */
	const uint8_t *inbound_entry; /* with a record: it is a transaction, and this its COMMIT entry */
	size_t inbound_entry_size;
	bool more; /* APPLIED: there are more answers; the same event again brings them */
	uint32_t answer_count;
	struct coordinator_answer answers[COORDINATOR_ANSWERS_MAX];
};

/* Totals since init. */
struct coordinator_counts {
	uint64_t writes, writes_refused, writes_repeated, queue_refused;
	uint64_t records_received, records_duplicate, records_out_of_order, malformed;
	uint64_t records_ahead, records_ahead_ms; /* of those received: from the future; by how much at the most */
};

struct coordinator_parked {
	uint64_t end_lsn, route, number, sequence, hlc, arrived_ns;
	uint32_t answer; /* its place in the memory of answers */
	uint16_t slot;
	bool has_context, has_version;
	uint8_t version_size;
	uint8_t version[DOTTED_ENCODED_MAX];
};

/* Writes appended and not yet applied, by a hash of the key: more keys in a slot count too many, never too few. */
struct coordinator_slot {
	uint16_t with_context;
	uint32_t any;
};

struct coordinator {
	struct coordinator_options options;
	struct vector assigned; /* all that is appended to the log: own and others' */
	struct vector applied;
	struct hlc clock;
	struct reply_cache reply_cache;
	struct coordinator_parked *parked; /* ring, in the order of the log; free-running positions */
	uint64_t parked_head, parked_tail;
	struct coordinator_slot *slots;
	int refusing;
	bool takes_deletes;
	uint64_t remembered; /* sequence of the newest record that the memory was refilled from */
	bool is_partial;     /* there was more log before what the memory was refilled from */
	struct coordinator_counts counts;
	/* Between a record in the effects and its APPENDED. */
	struct {
		enum { PENDING_NOTHING, PENDING_OPERATION, PENDING_INBOUND, PENDING_COMMIT } what;
		struct dot dot;
		struct hlc clock_before;
		struct coordinator_parked parked;
		uint64_t client_id, ahead_ms;
	} pending;
	uint8_t *scratch; /* RECORD_ENCODED_MAX bytes */
};

/* assigned: what the log holds. stamp_floor: no stamp at or below it is given out again (stored bound, newest of its own). */
int coordinator_init(struct coordinator *c, const struct coordinator_options *options, const struct vector *assigned,
    const struct vector *applied, uint64_t stamp_floor);
void coordinator_deinit(struct coordinator *c);
/* Refills the memory of answers from the log, oldest record first. Records of other regions and without a client are
 * skipped. After coordinator_remember_part (there is more log before the first of them), a client's requests before its first
 * record have an unknown outcome, and so have repeats that were first sent before complete_ns (monotonic): by then all the log
 * that is left out had been written. */
void coordinator_remember_part(struct coordinator *c, uint64_t complete_ns);
void coordinator_remember(struct coordinator *c, const struct record *record);
void coordinator_step(struct coordinator *c, const struct coordinator_event *event, struct coordinator_effects *out);
static inline uint64_t coordinator_parked_count(const struct coordinator *c)
{
	return c->parked_tail - c->parked_head;
}

#endif
