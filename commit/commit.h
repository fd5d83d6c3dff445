/* SPDX-License-Identifier: Apache-2.0
 *
 * The strong commit of one region as a pure step: coordinator of its own clients' transactions, participant and acceptor of
 * all, recoverer of those whose coordinator fell silent. docs/spec/README.md states the rules; this states the machine.
 *
 *   TRANSACTION, READ, MESSAGE, STREAMED, TIMER ... --> commit_step --> appends, sends, answers, in the order to do them
 *                                                  ^
 *   DURABLE(ticket), APPLIED(ticket) --------------+   what waited for its entry: votes, promises, answers
 *
 * What the port does:
 *  1. Effects in their order, and before the next event. Each APPEND is one log entry (head, then body); it takes the next
 * ticket, 1, 2, 3, ... counted by commit_ticket(). A streamed one also gets the region's next dot and travels on its stream.
 * The log must take it: room is asked for ahead (REFUSE); if the log refuses all the same, the process stops as for a failed
 * sync.
 *  2. No send waits for the disk: whatever depends on an entry is emitted only after DURABLE for its ticket. Sends may be lost.
 *  3. DURABLE when a group is synced, with its highest ticket; APPLIED when the rows hold the log up to a ticket. Between the
 * two a row that `lookup` gives may be older than what the machine knows; never newer than DURABLE.
 *  4. An inbound stream record that is a COMMIT: append it to the log, then step STREAMED: it takes the next ticket. Not while
 *     commit_streams_room() is false, which only the disk and the rows can cause.
 *  5. At start: apply the log to the rows to its end, commit_init with the stored bound, step REPLAY for every strong entry
 * still in the log, oldest first, then START. forgotten_hlc: 0 when the log still has its first entry, else what
 * commit_newest_hlc told when the first one replayed was appended, or later.
 *  6. `more`: step CONTINUE at once, as often as it says so. timer_ns: step TIMER then (0: not needed).
 *  7. The log is not cut behind commit_oldest_lsn(). */
#ifndef GODWIT_COMMIT_COMMIT_H
#define GODWIT_COMMIT_COMMIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/commit_entry.h"

#define COMMIT_HOLDS_MAX   8u
#define COMMIT_EFFECTS_MAX 256u
#define COMMIT_SCRATCH     (96u * 1024)
/* A piece of work begins when so much is free, and adds no more than that before it asks again (state.h). */
#define COMMIT_WORK_EFFECTS 24u
#define COMMIT_WORK_SCRATCH (40u * 1024)

/* The row as applied. Must give the same until the next APPLIED is stepped. False: the row is there and cannot be read, so this
 * region has no say about its key: it takes no transaction that touches it, votes on none, tells nobody what it holds (B2). */
typedef bool commit_lookup(void *user, uint16_t keyspace, const uint8_t *key, uint32_t key_size, struct commit_row *row);

enum commit_message_type {
	COMMIT_PREPARE = 1,
	COMMIT_VOTE,
	COMMIT_WITHDRAW, /* the coordinator's ABORT, not yet on a majority */
	COMMIT_WITHDRAWN,
	COMMIT_DECIDED,
	COMMIT_RECOVER,
	COMMIT_PROMISED,
	COMMIT_ACCEPT,
	COMMIT_ACCEPTED,
	COMMIT_BLOCKED, /* accepting COMMIT has to wait: see holds */
	COMMIT_FETCH,   /* what is this transaction? */
	COMMIT_KNOWN,   /* this */
	COMMIT_ASK,     /* a strong read's question */
	COMMIT_TOLD,
	COMMIT_MESSAGE_TYPES
};
enum commit_vote { COMMIT_NONE, COMMIT_YES, COMMIT_NO, COMMIT_ABSTAIN };

/* What a region knows of a row below a transaction in question. */
struct commit_seen {
	struct commit_id stamp, version;
	bool live;
};
struct commit_message {
	uint8_t type, vote, decision, accepted_value;
	int16_t reason; /* of NO: an ERR_ code */
	bool is_final;  /* the condition can never hold again */
	bool coordinates, withdrawn, dead, forgotten, committed;
	bool blank;                       /* PROMISED: the sender promises, and knows nothing else of it */
	struct commit_id id, version;     /* version: of NO the row's stamp or the duplicate's; of TOLD the row's */
	uint64_t ballot, accepted_ballot; /* VOTE: ballot is how long PREPARE waited there for keys, in nanoseconds */
	/* ASK, TOLD: which; VOTE: of NO which request, of CHECK_FAILED which operation, of YES since when requests wait here
	 * for the keys (as in a body), of DECIDED after a commit since when they wait anywhere, 0: none */
	uint64_t read;
	uint16_t voters; /* PROMISED, ACCEPT: of a value accepted for COMMIT, the regions whose YES was seen */
	const uint8_t *body;
	uint32_t body_size;
	uint32_t seen_count; /* one an operation, or 0 */
	const struct commit_seen *seen;
	uint32_t hold_count;
	struct commit_id holds[COMMIT_HOLDS_MAX]; /* ACCEPT: those to pass over */
	uint16_t keyspace;
	uint32_t key_size, value_size;
	const uint8_t *key, *value;
	bool live;
	struct vector assigned; /* PROMISED: all that the sender's log holds */
};

enum commit_event_type {
	COMMIT_EVENT_TRANSACTION,
	COMMIT_EVENT_READ,
	COMMIT_EVENT_MESSAGE,
	COMMIT_EVENT_DURABLE,
	COMMIT_EVENT_APPLIED,
	COMMIT_EVENT_TIMER,
	COMMIT_EVENT_PEERS,
	COMMIT_EVENT_STREAMED,
	COMMIT_EVENT_REPLAY,
	COMMIT_EVENT_START,
	COMMIT_EVENT_REFUSE,
	COMMIT_EVENT_CONTINUE,
};
struct commit_event {
	enum commit_event_type type;
	uint64_t now_ns; /* monotonic */
	uint64_t now_ms; /* wall clock, for stamps */
	union {
		struct {
			uint64_t route, client_id, number, settled, deadline_ns, arrived_ns;
			uint64_t age_ms; /* of a repeat: since it was first sent; 0: sent for the first time */
			uint64_t after;  /* commit_token() of some region, from before it was first sent; 0: not known */
			bool moved;      /* that was to another region */
			bool ack_all;
			uint32_t count; /* 1 to COMMIT_OPERATIONS_MAX, keys all different */
			const struct commit_operation *operations;
		} transaction;
		struct {
			uint64_t route, number, deadline_ns, arrived_ns;
			uint16_t keyspace;
			uint32_t key_size;
			const uint8_t *key;
		} read;
		struct {
			uint8_t from;                         /* whom the transport says it is from */
			const struct commit_message *message; /* as commit_message_decode() lets it pass */
		} message;
		struct {
			uint64_t ticket, lsn; /* lsn: end of what is durable */
		} durable;
		uint64_t applied; /* ticket */
		uint32_t peers;   /* bit mask of those that seem reachable: a hint */
		struct {
			const uint8_t *bytes; /* a COMMIT entry, head and body */
			size_t size;
		} streamed;
		struct {
			enum commit_entry type;
			const uint8_t *bytes;
			size_t size;
			uint64_t lsn;
			bool streamed;
		} replay;
		struct {
			int code;           /* client transactions are refused with this code; 0: taken again */
			bool takes_deletes; /* but for those that only delete (and check): they free what there is too little of
			                     */
		} refuse;
	};
};

enum commit_effect_type { COMMIT_EFFECT_APPEND, COMMIT_EFFECT_SEND, COMMIT_EFFECT_ANSWER };
struct commit_answer {
	uint64_t route, number, arrived_ns;
	int code;
	const char *reason; /* fixed text, or NULL */
	struct commit_id version;
	const uint8_t *value; /* of a read; borrowed until the next step */
	uint32_t value_size;
	bool is_read;
};
struct commit_effect {
	enum commit_effect_type type;
	union {
		struct {
			enum commit_entry type;
			bool streamed;
			const uint8_t *head, *body; /* borrowed until the next step */
			size_t head_size, body_size;
		} append;
		struct {
			uint32_t to; /* bit mask */
			struct commit_message message;
		} send;
		struct commit_answer answer;
	};
};
struct commit_effects {
	bool more;
	uint64_t timer_ns;
	uint32_t count, scratch_used;
	struct commit_effect effects[COMMIT_EFFECTS_MAX];
	_Alignas(16) uint8_t scratch[COMMIT_SCRATCH];
};

struct commit_options {
	uint8_t region;
	uint32_t regions;     /* bit mask of all configured ones */
	uint64_t incarnation; /* random, another at each start: answers to the one before are not taken for this one's (B27) */
	uint64_t resend_ns;   /* a coordinator asks again, at the latest */
	uint64_t in_doubt_ns; /* a participant starts recovery */
	uint64_t unstreamed_ns; /* a commit known by message has to have come by stream */
	uint64_t carry_lsn;     /* what is undecided for so much of the log is written again at its end; 0: 32 MiB */
	uint32_t transactions, requests, reads, keys, memory; /* capacities; 0: default. keys and memory: powers of two */
	uint64_t arena;                                       /* bytes, a power of two; 0: 256 MiB */
	commit_lookup *lookup;
	void *user;
	const struct vector *assigned; /* borrowed, and as it is at the time of each step: all that this region's log holds */
};
struct commit_counts { /* totals */
	uint64_t commits, aborts, withdrawn, wounded, requeued, shared, recovered, recoveries, reads, reads_waited, noted,
	    rescued;
	uint64_t work_effects, work_scratch; /* not totals: most that one piece of work added */
	uint64_t contradictions;             /* a decision that differs from one known: a broken promise somewhere */
};
struct commit_in_doubt {
	struct commit_id id;
	struct commit_body body; /* bytes NULL: not known here; borrowed until the next step */
	bool voted, coordinating;
	uint64_t since_ns;
};

struct commit;
int commit_new(struct commit **c, const struct commit_options *options, uint64_t stored_bound, uint64_t forgotten_hlc);
void commit_free(struct commit *c);
void commit_step(struct commit *c, const struct commit_event *event, struct commit_effects *out);
uint64_t commit_ticket(const struct commit *c);   /* of the last entry */
bool commit_room(const struct commit *c);         /* for new work: clients' requests, others' PREPAREs */
bool commit_streams_room(const struct commit *c); /* for a commit that comes by stream */
/* After REPLAY: false when the tables did not hold all that was undecided. Such a machine must not be started: it would have
 * forgotten votes and promises. */
bool commit_replayed(const struct commit *c);
uint64_t commit_oldest_lsn(const struct commit *c);
/* For clients: of what is sent after they have it, no answer is forgotten yet. Any region takes another region's. */
uint64_t commit_token(const struct commit *c);
uint64_t commit_newest_hlc(const struct commit *c); /* no transaction known so far has a larger stamp */
const struct commit_counts *commit_counts(const struct commit *c);
uint32_t commit_held_keys(const struct commit *c);
/* Undecided transactions, oldest first; returns how many there are. */
uint32_t commit_in_doubt(const struct commit *c, struct commit_in_doubt *list, uint32_t capacity);

#endif
