/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the strong commit's state machine. All memory is taken in commit_new; a step takes blobs from the arena.
 *
 *   table.c        arena, keys, transactions, what was decided       wait.c      clients' requests, who waits for a key
 *   batch.c        which of them share a transaction
 *   participant.c  votes, locks, decisions that arrive               read.c      strong reads
 *   decide.c       coordinator of a transaction                      replay.c    start from the log
 *   recover.c      ballots                                           commit.c    the step, what waits for the disk
 *   choose.c       what to propose, of the replies alone             timers.c    what time brings about
 *                                                                    timing.c    when to look: hints
 */
#ifndef GODWIT_COMMIT_STATE_H
#define GODWIT_COMMIT_STATE_H
#include <assert.h>

#include "base/broken.h"
#include "commit/commit.h"
#include "core/hlc.h"
#include "core/reply_cache.h"

#define NOBODY          UINT32_MAX
#define ANSWER_REFUSED  16 /* state in the memory of answers: sequence is minus the code */
#define BALLOT_WITHDRAW 1u /* the coordinator's ABORT; real ballots start at REGIONS_MAX */
#define KEY_INLINE      40u
#define REPLY_HOLDS_MAX COMMIT_HOLDS_MAX
#define RESEND_NS_MIN   100000000ull

/* The budget of one piece of work: a message, an action, one turn of a queue or of a sweep. It begins when room() says so, with
 * COMMIT_WORK_EFFECTS and COMMIT_WORK_SCRATCH free. Whatever may go on for long (what to settle, whom to withdraw, whom to ask
 * about) asks room() at each turn and leaves the rest for later, see later_*() below; so a piece needs no more than one turn of
 * one loop and what lies outside of its loops. The most of each:
 *
 *   one turn         withdraw: ACCEPT, WITHDRAW · settle: COMMIT · confirm: ASK · fetch: FETCH           2 effects, 1 entry
 *   outside of them  a timer: three entries of carry_on(), two of withdraw(), one of recover(),
 *                    and the message that goes with it                                                   8 effects, 6 entries
 *   scratch          two messages with something about each operation, an entry for each of the above, a key
 *
 * The machine counts the most that a piece has added (commit_counts); all tests and simulators look at that. The other bounds
 * hold by construction: `wakes` and the list of what is being applied have each key once, the list of what is left for later
 * each transaction once, and no more blobs can be freed than the arena has blocks. For actions see tables_init. */
#define SEEN_SCRATCH  (COMMIT_OPERATIONS_MAX * sizeof(struct commit_seen))
#define ENTRY_SCRATCH (48u + COMMIT_OPERATIONS_MAX * 9u)
static_assert(8 + 2 * 2 <= COMMIT_WORK_EFFECTS && 2 * COMMIT_WORK_EFFECTS <= COMMIT_EFFECTS_MAX, "effects of a piece of work");
static_assert(
    2 * SEEN_SCRATCH + 7 * ENTRY_SCRATCH + KEY_SIZE_MAX <= COMMIT_WORK_SCRATCH && 2 * COMMIT_WORK_SCRATCH <= COMMIT_SCRATCH,
    "scratch of a piece of work");

#define ARENA_BLOCK 256u
struct arena {
	uint8_t *bytes;
	uint64_t size;
	uint32_t free[40]; /* by order: first block / 256; NOBODY */
	uint8_t *orders;   /* by block: 0 not a start, else order + 1, with 0x80 when free */
	uint64_t used;
};
/* Zeroed, and in memory only as far as they are used; NULL when there are none. */
void *pages_take(size_t size);
void pages_give(void *pages, size_t size);          /* pages may be NULL */
int arena_init(struct arena *arena, uint64_t size); /* a power of two, 4096 or more: 0 or ERR_NO_MEMORY */
void arena_deinit(struct arena *arena);
void *arena_take(struct arena *arena, size_t size); /* NULL when there is no room */
void arena_give(struct arena *arena, void *memory);

/* For what a place is taken. Work that frees places never waits for one, so each kind leaves some of the keys' places to those
 * below (tables_init): what is begun waits or is refused; messages of recoveries and withdrawals, which bring transactions not
 * known here, go on; a commit by stream needs places for its keys alone, and gives them back when it is in the rows.
 * Transactions are counted apart: those that came as new, and those that recoveries and withdrawals brought (place_is_left). */
enum claim { CLAIM_NEW, CLAIM_RECOVERY, CLAIM_COMMIT, CLAIM_REPLAY = CLAIM_COMMIT, CLAIMS };

struct operation_state {
	uint32_t key;
	uint32_t next; /* holder of the same key: transaction << 8 | operation */
	struct commit_id previous;
};

struct reply { /* to RECOVER */
	bool here, yes, coordinates, withdrawn, dead, forgotten, committed;
	uint8_t accepted_value;
	uint64_t accepted_ballot;
	uint16_t voters; /* of its accepted value */
	uint32_t hold_count;
	struct commit_id holds[REPLY_HOLDS_MAX];
};
struct recovery {
	uint32_t transaction;
	uint64_t begun_ns;
	struct reply replies[REGIONS_MAX];
	struct vector assigned;    /* of all who replied */
	uint32_t blanks;           /* regions that promised and have no say */
	uint32_t seen_count;       /* operations known when the look began */
	struct commit_seen seen[]; /* newest of all replies, one an operation */
};
enum phase { PHASE_NONE, PHASE_PROMISING, PHASE_ACCEPTING };

struct transaction {
	struct commit_id id;
	struct commit_body body;
	struct operation_state *operations; /* one blob with the body's bytes; NULL: unknown */
	uint64_t serial;                    /* of this use of the slot; 0: free */
	uint32_t newer, older;              /* list of all */
	uint32_t hash_next;
	bool coordinating, waiting, holding, voted, logged, committing, withdrawn, decided_known, noted, sent, urgent;
	bool forgot_abort, forgot_commit; /* it may have been decided here before it was met (again) */
	bool body_logged;
	bool begun;        /* CLAIM_NEW */
	bool blank;        /* the body is not known: it found no room, or a row of its keys cannot be read */
	bool left, yields; /* in the list of what is left for later; withdraw it then */
	uint32_t left_newer, left_older;
	uint8_t accepted_value;
	uint64_t promised, accepted_ballot;
	uint16_t voters; /* regions that are known to have voted YES, by a value that was accepted */
	uint64_t since_ns, touched_ns, next_ns, first_lsn, hold_serial;
	uint64_t waited_ns; /* before the vote */
	/* Waiting for a key. */
	uint32_t wait_key, wait_next;
	/* Coordinator. */
	uint32_t yes, no, withdrawn_by, yes_messages;
	uint32_t requests; /* list */
	uint64_t behind;   /* since when the oldest request waits for its keys in another region, as votes tell; 0: none */
	int16_t reason;
	bool reason_final;
	uint32_t blamed; /* CHECK_FAILED: the operation */
	/* Recoverer. */
	enum phase phase;
	uint8_t proposed;
	uint32_t promises, accepts, attempts;
	uint64_t ballot;
	struct recovery *recovery;
	uint64_t looked_ns; /* when it had one of the places for looks */
	uint32_t over_count;
	struct commit_id over[COMMIT_HOLDS_MAX];
};

/* Of two ages as in a body's `since`; 0: nobody waits. */
static inline uint64_t older_of(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* Who of two goes first where they meet: whose request has waited longer, however often it began again under a new name. Never
 * a matter of safety: a coordinator may withdraw at any time, and a vote may wait for ever. */
static inline bool goes_first(const struct transaction *a, const struct transaction *b)
{
	if (a->body.since != b->body.since)
		return a->body.since < b->body.since;
	return commit_id_compare(a->id, b->id) < 0;
}

static inline struct commit_id newer_of(struct commit_id a, struct commit_id b)
{
	return commit_id_compare(a, b) < 0 ? b : a;
}

/* Somebody saw that the operation replaces this stamp, or a newer one. */
static inline void previous_raise(struct transaction *t, uint32_t operation, struct commit_id stamp)
{
	t->operations[operation].previous = newer_of(t->operations[operation].previous, stamp);
}

/* Somebody else may decide it: no vote under the coordinator's own ballot any more. */
static inline bool is_promised(const struct transaction *t)
{
	return !BROKEN(M5) && (t->promised || t->accepted_ballot);
}

/* All that is here of it is that somebody asked, after this region may have forgotten it. It holds nothing; who does will see
 * to it. */
static inline bool is_echo(const struct transaction *t)
{
	return (t->forgot_abort || t->forgot_commit) && !t->voted && !t->coordinating &&
	       t->accepted_value != COMMIT_COMMITTED && !t->decided_known;
}

/* In recovery, and no more than that here: in the way of new votes, so that it is not outrun, but of nothing else. */
static inline bool holds_by_promise(const struct transaction *t)
{
	return t->holding && !t->voted && !t->coordinating && t->accepted_value != COMMIT_COMMITTED && !t->decided_known;
}

/* h is a later transaction of t's coordinator on a key of both. That one frees a lock only with a decision, and has it in its
 * log before others hear of t: t is decided, and h in nobody's way. */
static inline bool went_on(const struct transaction *h, const struct transaction *t)
{
	return h->id.region == t->id.region && commit_id_compare(h->id, t->id) > 0;
}

enum request_state { REQUEST_FREE, REQUEST_WAITING, REQUEST_ACTIVE, REQUEST_GATHERING, REQUEST_CONFIRMING, REQUEST_DELAYED };
/* A key of a request, referenced for as long as that lives, and its place in the queue there. */
struct request_key {
	uint32_t key, next, previous; /* request << 8 | operation */
};
struct request {
	enum request_state state;
	bool answered, ack_all, duplicate;
	bool rides;     /* ACTIVE: not in the body, since its condition fails on what the body writes */
	bool uncertain; /* an earlier copy may have been taken that is not remembered here: by another region, before a restart
	                 */
	bool expired;   /* somebody may have committed and forgotten it: sent before that */
	uint64_t route, client_id, number, after, deadline_ns, arrived_ns, not_before_ns;
	uint64_t since; /* a reading of the clock of strong stamps, which wrong wall clocks only put ahead, for all alike */
	uint64_t order; /* of arrival */
	struct request_key *keys; /* one blob in the arena with the operations, encoded */
	uint8_t *operations;
	uint32_t operations_size, operation_count;
	uint32_t next, transaction;
	bool queued;    /* in the queues of its keys */
	uint32_t alone; /* the operation whose key it waits for and no other; NOBODY: all of them */
	uint32_t newer, older;
	uint32_t attempts, refusals; /* begun again, and for how many of these it was to wait */
	uint32_t confirm_at;         /* operation whose key is being read */
	struct commit_id duplicate_of;
	struct commit_id version; /* GATHERING: committed under this name, in the logs of `has` for all that is known here */
	uint32_t has;
};

struct key {
	uint64_t hash;
	uint16_t keyspace;
	uint16_t size;
	bool used;
	uint32_t references;
	uint32_t chain;
	uint8_t inline_bytes[KEY_INLINE];
	uint8_t *bytes;        /* inline_bytes, or this slot's place in long_keys */
	struct commit_row row; /* newest committed; value not kept */
	bool damaged;          /* the store could not read it, and row says nothing */
	uint64_t apply_ticket; /* of its newest commit; until that is applied it is in a list in this order */
	uint32_t apply_newer, apply_older;
	uint32_t holders;                     /* transaction << 8 | operation */
	uint32_t prepare_first;               /* transactions waiting, in the order of goes_first */
	uint32_t request_first, request_last; /* in order of arrival: request << 8 | operation */
	uint64_t batch;                       /* the batch that has it, and where */
	uint32_t batch_place;
	uint32_t read_first, read_last; /* questions that wait, in the order in which they came */
	bool waking, applying;
};

/* Another region wants this key and will come. A hint: a newer one takes the place of an older one with the same hash. */
#define CONTENDERS 1024u
struct contender {
	uint64_t key_hash, since, until_ns;
};

struct read { /* asked by a client of this region (or by the machine for a request) */
	bool used;
	uint64_t route, number, deadline_ns, arrived_ns, id, next_ns;
	uint32_t key, replies, request;
	bool have, live;
	struct commit_id version;
	uint8_t *value;
	uint32_t value_size;
	uint32_t newer, older;
};
struct waiting_read { /* asked by any region, held back by what is undecided here */
	bool used;
	uint8_t from;
	uint64_t read, incarnation, serial, touched_ns; /* touched: last asked */
	uint32_t key, next, previous;                   /* on the key */
	uint32_t newer, older;                          /* of all, by when they were last asked */
	uint32_t chain;
};

enum action_type {
	ACTION_VOTE,
	ACTION_PROMISED,
	ACTION_ACCEPTED,
	ACTION_WITHDRAWN,
	ACTION_OWN_WITHDRAWN,
	ACTION_COMMITTED, /* answers and tells */
	ACTION_ABORTED,
	ACTION_DECIDED, /* tell one region */
	ACTION_ANSWER,
	ACTION_PREPARED, /* the coordinator's own lock is durable: send */
	ACTION_RECOVER,
	ACTION_OWN_ACCEPTED,
	ACTION_REFUSED, /* a NO or ABSTAIN: it tells of rows that may not be on disk yet */
};
struct action { /* waits for a ticket */
	uint64_t ticket, serial, ballot;
	enum action_type type;
	uint32_t to;
	uint32_t transaction;
	struct commit_id id;
	struct commit_answer answer; /* REFUSED: code, version, number (which request or operation), is_read (final) */
	uint8_t vote;
};
/* The last decisions of one kind. Apart, because who forgets an ABORT has to say so, while a forgotten COMMIT shows in the
 * rows: no row of its keys is older. */
struct decided {
	struct commit_id id;
	uint64_t next;
};
struct decisions {
	struct decided *list;
	uint64_t count, *buckets;
};
struct history {
	uint64_t key_hash, next;
	struct commit_id id, previous;
	bool writes, live;
};

/* Being put together; nothing of it outlives the step. */
struct batch_key {
	uint32_t key;
	bool written, closed;              /* closed: somebody who cannot join waits first for it */
	struct commit_operation operation; /* bytes of the requests */
};
struct batch {
	uint64_t serial, above, since;
	size_t size; /* of the body */
	bool ack_all;
	uint32_t key_count, member_count, rider_count;
	struct batch_key keys[COMMIT_OPERATIONS_MAX];
	uint32_t members[COMMIT_REQUESTS_MAX], riders[COMMIT_REQUESTS_MAX];
};

struct commit {
	struct commit_options options;
	uint32_t n, quorum, others;
	struct hlc clock;
	uint64_t born;
	uint64_t now_ns, now_ms, started_ns;
	uint64_t round_trip_ns[REGIONS_MAX]; /* smoothed: PREPARE to vote, disk included; see round_trip_note */
	struct contender contenders[CONTENDERS];
	uint32_t peers;                /* that seem to be there */
	uint64_t gone_ns[REGIONS_MAX]; /* since when one does not */
	int refusing;
	bool takes_deletes; /* all the same */
	bool started;
	struct reply_cache reply_cache;
	struct arena arena, spare; /* spare: for CLAIM_RECOVERY, when the other is full */
	/* Looks when the arena is full. One that lasts gives its place to another. */
	uint8_t *looks;
	uint32_t *looks_free;
	uint32_t look_count, look_free_count;
	uint64_t look_ends_ns; /* none of them gives way before */
	void **freed;          /* given back when the next step begins */
	uint32_t freed_count;

	struct transaction *transactions;
	uint32_t transaction_slots, transaction_touched; /* beyond the touched ones none was ever used */
	uint32_t begun_count;                            /* those that came as new */
	uint32_t transaction_free, transaction_newest, transaction_oldest, transaction_count;
	uint32_t *transaction_buckets;
	uint64_t serial;
	struct request *requests;
	uint32_t request_free, request_newest, request_oldest, request_count;
	uint32_t queued_keys; /* of all requests that wait */
	uint64_t request_order;
	struct batch batch;
	uint32_t request_gathering; /* list by `next` */
	struct key *keys;
	uint8_t *long_keys; /* KEY_SIZE_MAX a slot: a key that has a slot has room for its bytes */
	uint32_t *key_buckets;
	uint32_t key_free, key_count, held_keys;
	uint32_t keys_left[CLAIMS]; /* to others */
	bool replay_failed;
	struct read *reads;
	uint32_t read_free, read_newest, read_oldest;
	uint64_t read_id;
	struct waiting_read *waiting_reads;
	uint32_t waiting_read_free, waiting_read_count, waiting_read_newest, waiting_read_oldest;
	uint32_t *waiting_read_buckets, waiting_read_bucket_count;

	struct action *actions;
	uint64_t action_head, action_tail;
	uint32_t action_capacity, action_reserve;
	uint32_t apply_oldest, apply_newest; /* keys */
	uint32_t left_oldest, left_newest;   /* transactions */
	uint64_t ticket, durable, durable_lsn, applied;
	struct decisions committed, aborted;
	uint64_t decided_hlc[REGIONS_MAX]; /* the latest of each region's that was decided */
	struct history *history;
	uint64_t history_count;
	uint64_t *history_buckets;
	uint32_t memory_size;
	uint64_t forgotten_abort_hlc, forgotten_commit_hlc; /* decisions up to here may not be remembered */
	uint64_t newest_hlc;

	uint32_t *wakes; /* keys to look at; ring, each key at most once */
	uint64_t wake_head, wake_tail;
	uint64_t timer_at_ns;
	uint32_t timer_place; /* a sweep under way */
	enum { SWEEP_NONE, SWEEP_TRANSACTIONS, SWEEP_REQUESTS, SWEEP_READS } sweep;
	struct commit_counts counts;
	struct commit_effects *out;          /* of this step */
	uint32_t work_effects, work_scratch; /* where the piece of work under way began */
	struct commit_head head;             /* scratch of entries */
	uint8_t *body;                       /* scratch of a new body, COMMIT_BODY_MAX */
};

/* For what one event leaves to be done once the disk has it, beside what nothing can hold back (tables_init). */
static inline bool actions_have_room(const struct commit *c)
{
	return c->action_tail - c->action_head + c->action_reserve <= c->action_capacity;
}

static inline uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Four of the longest round trips seen: what was lost is asked again before others have to wait for it. */
static inline uint64_t resend_ns(const struct commit *c)
{
	uint64_t after_ns = RESEND_NS_MIN;
	for (uint32_t r = 0; r < REGIONS_MAX; r++)
		after_ns = later_of(after_ns, 4 * c->round_trip_ns[r]);
	return after_ns < c->options.resend_ns ? after_ns : c->options.resend_ns;
}

/* Of a request sent first after the clock read that: may its answer be forgotten here? Whatever commits it has a later stamp,
 * since begin() sees to that in all regions; and no clock but the one that the stamps are is asked. */
static inline bool is_forgotten(const struct commit *c, uint64_t after)
{
	return c->reply_cache.complete_hlc && after <= c->reply_cache.complete_hlc;
}

/* table.c */
int tables_init(struct commit *c);
void tables_free(struct commit *c);
/* Room for a look at t, all zero; NULL: none now. */
struct recovery *look_take(struct commit *c, struct transaction *t);
void look_give(struct commit *c, struct recovery *look);
void blob_give(struct commit *c, void *blob); /* now */
void blob_free(struct commit *c, void *blob); /* after this step's effects are done */
struct transaction *transaction_find(const struct commit *c, struct commit_id id);
/* NULL when there is no room. bytes may be NULL: the body is not known. */
struct transaction *transaction_new(
    struct commit *c, struct commit_id id, const uint8_t *bytes, uint32_t size, enum claim claim);
/* True: the body is known (now). A look at t that began without the body ends: it has no room for what others saw. */
bool transaction_learn(struct commit *c, struct transaction *t, const uint8_t *bytes, uint32_t size, enum claim claim);
void transaction_free(struct commit *c, struct transaction *t);
static inline uint32_t transaction_index(const struct commit *c, const struct transaction *t)
{
	return (uint32_t)(t - c->transactions);
}
/* NOBODY when there is no room. */
uint32_t key_take(struct commit *c, uint16_t keyspace, const uint8_t *key, uint32_t size, enum claim claim);
uint64_t key_hash(const struct commit *c, uint16_t keyspace, const uint8_t *key, uint32_t size);
void key_give(struct commit *c, uint32_t key);
void key_load(struct commit *c, struct key *key);
void hold(struct commit *c, struct transaction *t);
void unhold(struct commit *c, struct transaction *t);
void wake(struct commit *c, uint32_t key);
/* The key's newest commit has the last ticket. False: it was in the list before. */
bool apply_add(struct commit *c, uint32_t key);
void apply_remove(struct commit *c, uint32_t key);
uint8_t decided_find(const struct commit *c, struct commit_id id);
void decided_add(struct commit *c, struct commit_id id, uint8_t value);
void history_add(struct commit *c, uint64_t key_hash, struct commit_id id, struct commit_id previous, bool writes, bool live);
struct proof {
	bool dead;      /* a commit above it replaced one below it: it never commits */
	bool committed; /* it is there, or a commit names it as what it replaced */
	bool forgotten; /* the row has gone past it, and what lies directly above is not known */
};
/* What is known of the row just below `id`; adds to the proof. A commit that does not know what it replaced names itself. */
void history_below(
    const struct commit *c, const struct key *key, struct commit_id id, struct commit_seen *seen, struct proof *proof);
/* Is the commit known here that replaced this version, with none between them that could have? */
bool history_replaced(const struct commit *c, const struct key *key, struct commit_id version);
/* To be called when a transaction was just met: was it decided here, perhaps, and forgotten since? From then on it is in the
 * table, where a decision would find it. */
void transaction_met(const struct commit *c, struct transaction *t);
/* Looks again, since more may be known of it now. */
bool commit_may_be_forgotten(const struct commit *c, struct transaction *t);

/* commit.c */
struct commit_effect *effect_add(struct commit *c, enum commit_effect_type type);
void *scratch_take(struct commit *c, size_t size);
struct commit_message *message_send(struct commit *c, uint32_t to, enum commit_message_type type, struct commit_id id);
uint64_t append(struct commit *c, enum commit_entry type, struct transaction *t, uint64_t ballot, uint8_t value, bool with_body,
    bool streamed);
struct action *later(struct commit *c, enum action_type type, struct transaction *t, struct commit_id id);
void answer_later(struct commit *c, struct request *r, int code, const char *reason, struct commit_id version);
void previous_put(struct commit *c, const struct transaction *t, struct commit_message *m);
/* For one more piece of work, which begins if it says so. */
bool room(struct commit *c);
/* For when there is no room; `more` says that something is left. yields: t is to be withdrawn, else settled if it can be. */
void leave_for_later(struct commit *c, struct transaction *t, bool yields);
void left_remove(struct commit *c, struct transaction *t);
bool rows_are_durable(const struct commit *c, const struct transaction *t); /* the rows of t's keys, as they are known here */
uint64_t stamp_take(struct commit *c, uint64_t above);
uint64_t stamp_now(const struct commit *c); /* a reading of the same clock: gives nothing out */

/* participant.c */
/* Whether it is decided here; if so the decision goes to that region. */
bool decided_tell(struct commit *c, uint8_t to, struct commit_id id);
void participant_prepare(struct commit *c, uint8_t from, const struct commit_message *m);
void participant_try(struct commit *c, struct transaction *t);
void participant_withdraw(struct commit *c, uint8_t from, const struct commit_message *m);
void participant_decided(struct commit *c, uint8_t from, const struct commit_message *m);
struct repeat {
	bool done;      /* one of t's requests is committed, under this name */
	bool forgotten; /* or may have been */
	uint32_t request;
	struct commit_id version;
};
/* started: long before perhaps, so that its client may have given it up. */
struct repeat repeat_find(struct commit *c, const struct transaction *t, bool started);
/* The first transaction that stands in the way of t on one of its keys; NULL. What is known to be committed is noted first. */
struct transaction *conflict(
    struct commit *c, struct transaction *t, bool accepting, const struct commit_message *m, uint32_t *key);
/* Notes what is known to be committed on the key, as far as there is room; the rest is left for later, and in the way. */
void settle_known(struct commit *c, uint32_t key);
/* The same on all of t's keys. True: nothing is left. */
bool settle_all(struct commit *c, const struct transaction *t);
/* h makes way, now or, when there is no room, later. True: now, so that holders have changed perhaps. */
bool make_way(struct commit *c, struct transaction *h);
/* Decides here. The entry is appended; locks go; whoever waits is woken. */
void decide(struct commit *c, struct transaction *t, uint8_t value, bool streamed, bool in_log);
bool withdraw(struct commit *c, struct transaction *t, int16_t reason, bool final);
void withdraw_send(struct commit *c, const struct transaction *t);
void tell_decided(struct commit *c, uint8_t to, struct commit_id id);
void wait_on(struct commit *c, struct transaction *t, uint32_t key);
uint32_t wait_remove(struct commit *c, struct transaction *t);
void wait_off(struct commit *c, struct transaction *t);
void streamed(struct commit *c, const uint8_t *bytes, size_t size);
/* Shows a commit: rows, history, requests. applied: the rows hold it already. */
void commit_rows(
    struct commit *c, const struct commit_body *body, struct commit_id id, const struct commit_id *previous, bool applied);
/* Of NO: why, whether for good, and which operation is to blame; stamp: of the row that it is too late for. */
struct check {
	int16_t reason;
	bool final;
	uint32_t operation;
	struct commit_id stamp;
};
enum commit_vote check_rows(struct commit *c, struct transaction *t, struct check *check);

/* decide.c */
void coordinator_vote(struct commit *c, uint8_t from, const struct commit_message *m);
void coordinator_withdrawn(struct commit *c, uint8_t from, const struct commit_message *m);
void coordinator_try(struct commit *c, struct transaction *t);
bool coordinator_is_hopeless(const struct commit *c, const struct transaction *t);
void coordinator_send(struct commit *c, struct transaction *t);
void coordinator_finish(struct commit *c, struct transaction *t, uint8_t value);
uint32_t votes_needed(const struct commit *c, const struct transaction *t);
static const char commit_not_everywhere[] = "committed, but not yet known to be in all regions";
void requests_gathered(struct commit *c, uint8_t region, struct commit_id id); /* `region` has this COMMIT on its disk */
void gathering_timer(struct commit *c, struct request *r, bool is_late);

/* choose.c */
struct evidence {                   /* all that a choice rests on */
	uint32_t regions, promises; /* bit masks: all, and those who have replied */
	uint8_t coordinator;
	uint32_t needed;              /* YES votes besides the coordinator's COMMIT */
	bool is_known;                /* the body is */
	bool is_caught_up, is_broken; /* nobody has committed it; a condition does not hold any more */
	const struct reply *replies;  /* by region */
};
enum choice {
	CHOICE_NONE,  /* not yet */
	CHOICE_KNOWN, /* it is committed: nothing is left to decide */
	CHOICE_ABORT,
	CHOICE_ACCEPTED, /* COMMIT, since that was accepted */
	CHOICE_COMMIT,   /* since it may have been committed; when nothing that cannot be passed over is in the way */
};
enum choice choose(const struct evidence *evidence);
bool needs_abort_of(const struct commit *c, const struct transaction *b, const struct transaction *t);
bool is_over(const struct transaction *t, struct commit_id id);
uint16_t voters_of(const struct transaction *t);
void over_take(const struct commit *c, struct transaction *t);
bool condition_is_broken(const struct transaction *t);

/* recover.c */
void recover(struct commit *c, struct transaction *t);
void recover_asked(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_promised(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_accept(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_accepted(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_blocked(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_known(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_fetch(struct commit *c, uint8_t from, const struct commit_message *m);
void recover_promise_send(struct commit *c, struct transaction *t, uint8_t to);
void recover_own(struct commit *c, struct transaction *t);
void recover_accept_own(struct commit *c, struct transaction *t);
void recover_end(struct commit *c, struct transaction *t);
uint64_t ballot_next(const struct commit *c, uint64_t above);

/* timers.c */
void timer_begin(struct commit *c);                /* starts a sweep if one is due */
void sweep_drain(struct commit *c);                /* as far as there is room */
void timer_pull(struct commit *c, uint64_t at_ns); /* a sweep no later than that */

/* timing.c */
void peers_take(struct commit *c, uint32_t peers);
void look_plan(struct commit *c, struct transaction *t);
void look_again(struct commit *c, struct transaction *t);
void look_first(struct commit *c, struct transaction *b);
void look_behind(struct commit *c, const struct transaction *t);
void round_trip_note(struct commit *c, uint8_t from, uint64_t took_ns, uint64_t waited_ns);
/* `region` wants t's keys, since then, and cannot have them now. */
void contender_note(struct commit *c, const struct transaction *t, uint8_t region, uint64_t since);
void next_note(struct commit *c, const struct transaction *t, uint64_t since);
bool contender_goes_first(const struct commit *c, const struct key *key, uint64_t since);
uint64_t grace_ns(const struct commit *c); /* before what was begun here gives way to what goes first */

/* wait.c */
void request_take(struct commit *c, const struct commit_event *e);
void request_retry(struct commit *c, struct request *r, uint64_t delay_ns);
uint64_t request_pause_ns(struct request *r); /* before it is begun again: longer each time */
void request_end(struct commit *c, struct request *r, int code, const char *reason, struct commit_id version);
void request_unlink(struct commit *c, struct request *r);   /* out of all queues; whoever is behind it is not woken */
void request_unwait(struct commit *c, struct request *r);   /* they are */
void request_with_all(struct commit *c, struct request *r); /* it waits for all of its keys again */
void request_timer(struct commit *c, struct request *r);
void request_confirm(struct commit *c, struct request *r);
void request_confirmed(struct commit *c, struct request *r, bool live);
void requests_learn(struct commit *c, const struct commit_body *body, struct commit_id id);

/* batch.c */
void requests_run(struct commit *c, uint32_t key);

/* read.c */
void read_take(struct commit *c, const struct commit_event *e);
bool read_confirm(struct commit *c, struct request *r, const struct commit_operation *operation);
void read_asked(struct commit *c, uint8_t from, const struct commit_message *m);
void read_told(struct commit *c, uint8_t from, const struct commit_message *m);
void read_timer(struct commit *c, struct read *r);
bool reads_expire(struct commit *c);
void reads_run(struct commit *c, uint32_t key);

/* replay.c */
void replay(struct commit *c, const struct commit_event *e);
void start(struct commit *c);

#endif
