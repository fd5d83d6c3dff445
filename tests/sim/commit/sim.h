/* SPDX-License-Identifier: Apache-2.0
 *
 * One to seven regions of the strong commit in one process, on a virtual clock, from one seed. The state machine and the
 * messages' encoding are the object files that ship; log, rows, streams, network, clocks and clients are simulated.
 *
 *   main.c    seeds, workers, exit codes                 client.c   clients: what they ask, repeat, and were told
 *   world.c   the queue of events, network, the phases   shape.c    what the world is like: sizes, clocks, distances
 *   node.c    a region: log, rows, streams, machine      fault.c    what goes wrong, and when
 *   check.c   what must hold of logs and answers         history.c  what must hold of the history, by an oracle of its own
 */
#ifndef GODWIT_TESTS_SIM_COMMIT_SIM_H
#define GODWIT_TESTS_SIM_COMMIT_SIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "commit/commit.h"

#define SIM_REGIONS_MAX  7u
#define SIM_CLIENTS_MAX  96u
#define SIM_KEYS_MAX     2048u
#define SIM_OPS_KEYS     COMMIT_OPERATIONS_MAX
#define SIM_PROBED_AGAIN 20u
#define SIM_PROBED_MAX   12u /* keys that are written from every region in the end */
#define SIM_MS           1000000ull
#define SIM_LIVE_NS      (120ull * 1000000000)
#define SIM_PROBE_NS     (20ull * 1000000000)

/* In what a world may be wide; which of it is, comes from the seed. */
#define SIM_WIDE_TABLE(X)                                                                                                      \
	X(REGIONS, "regions")   /* one, or seven */                                                                            \
	X(MANY, "many")         /* hundreds of keys, up to 256 in a transaction */                                             \
	X(LONG, "long")         /* keys of up to 1,024 bytes */                                                                \
	X(FULL, "full")         /* small tables, so that they fill */                                                          \
	X(LARGE, "large")       /* tables as shipped */                                                                        \
	X(SHORT, "short")       /* clients with 60 ms over a WAN, beside patient ones */                                       \
	X(HOT, "hot")           /* many clients, few keys, several in each transaction */                                      \
	X(ALL_KEYS, "ack-all")  /* keyspaces with ack: all */                                                                  \
	X(LATE, "late")         /* pauses and repeats beyond what is remembered */                                             \
	X(CLOCKS, "clocks")     /* clocks off by up to a year */                                                               \
	X(DOUBT, "doubt")       /* hurried recoveries, one against the other, of coordinators that fall all the time */        \
	X(DAMAGE, "damage")     /* rows that a region cannot read until its next start */                                      \
	X(RESTARTS, "restarts") /* starts one after the other; regions that refuse */                                          \
	X(PROBE, "probe")       /* in the end every key is written from every region */
enum sim_wide_bit {
#define X(name, text) SIM_BIT_##name,
	SIM_WIDE_TABLE(X)
#undef X
	    SIM_WIDE_BITS
};
enum sim_wide {
#define X(name, text) SIM_WIDE_##name = 1 << SIM_BIT_##name,
	SIM_WIDE_TABLE(X)
#undef X
};
#define SIM_WIDE_EVERY ((1u << SIM_WIDE_BITS) - 1)

enum sim_exit { SIM_GOOD = 0, SIM_USAGE = 2, SIM_CRASH = 10, SIM_SAFETY = 11, SIM_LIVENESS = 12 };

struct chance {
	uint64_t state;
};
uint64_t chance_next(struct chance *c);
static inline uint64_t chance_below(struct chance *c, uint64_t n)
{
	return chance_next(c) % n;
}
static inline bool chance_of(struct chance *c, uint32_t per_mille)
{
	return chance_next(c) % 1000 < per_mille;
}

enum sim_event_kind {
	SIM_MESSAGE,
	SIM_STREAM,
	SIM_SYNCED,
	SIM_APPLY,
	SIM_TIMER,
	SIM_PUMP,
	SIM_CLIENT,
	SIM_REQUEST,
	SIM_ANSWER,
	SIM_START,
	SIM_FAULT,
	SIM_CLOCK,
	SIM_TAKE
};
struct sim_event {
	uint64_t time_ns, order;
	enum sim_event_kind kind;
	uint8_t region, peer, origin;
	uint32_t incarnation, client, operation;
	uint64_t sequence, after;
	int64_t skew_ms;             /* CLOCK */
	uint64_t age_ms, arrived_ns; /* REQUEST: as its client says; when it was first there */
	bool moved;
	int code;
	struct commit_id version;
	uint32_t value;
	uint8_t *bytes; /* owned */
	uint32_t size;
};

struct sim_entry {
	enum commit_entry type;
	bool streamed;
	uint8_t origin;
	uint64_t sequence;
	struct commit_id id;
	bool gives; /* with a majority of these its transaction is committed, or may be */
	uint8_t *bytes;
	uint32_t size;
};
struct sim_row {
	struct commit_row row;
	uint32_t value;
	uint8_t *bytes; /* owned: the value as it is read, value_size of the shape */
	bool damaged;   /* until the next start, which makes the rows anew (B2) */
};
struct sim_node {
	uint8_t region;
	bool up, lost;
	uint32_t incarnation;
	uint64_t paused_until_ns, disk_until_ns;
	int64_t skew_ms;
	struct sim_entry *entries;
	uint64_t count, capacity, durable, syncing, applied, base;
	struct vector sequences;             /* of each origin, in the log */
	uint64_t oldest;                     /* entry that the machine needed, as it said when its log was durable last */
	uint64_t mark, mark_hlc;             /* a start need not read what is before; stamps up to there are then forgotten */
	uint32_t *streamed[SIM_REGIONS_MAX]; /* by origin: the entry of each sequence, from 1 on */
	uint32_t streamed_capacity[SIM_REGIONS_MAX];
	struct sim *sim;
	struct sim_row *rows; /* one a key */
	struct commit *machine;
	struct commit_effects *effects;
	uint64_t timer_ns;
};
struct sim_link {
	bool cut;
	uint32_t loss, duplicate, reorder;
	uint64_t delay_ns, jitter_ns, last_ns;
};

enum sim_kind { SIM_PUT, SIM_DELETE, SIM_CAS, SIM_ABSENT, SIM_TXN, SIM_READ };
enum sim_outcome { SIM_OPEN, SIM_OK, SIM_REFUSED, SIM_CHECK_FAILED, SIM_UNKNOWN };
struct sim_access {
	uint32_t key, value; /* value 0: none */
	uint8_t kind, condition;
	struct commit_id expected;
	uint32_t expected_value;
};
struct sim_operation {
	uint32_t client;
	uint64_t number;
	enum sim_kind kind;
	enum sim_outcome outcome;
	bool ack_all;
	bool probe;
	uint32_t count;
	struct sim_access *accesses; /* owned */
	uint64_t start_ns, end_ns, deadline_ns, timeout_ns, after;
	uint32_t copies, regions;
	struct commit_id version; /* of an ok one; of a read what it saw */
	uint32_t read_value;
	int code;
};
struct sim_seen {
	struct commit_id id;
	uint32_t value;
};
struct sim_client {
	uint64_t id, number, after;
	uint8_t region;
	bool impatient, probes;
	uint32_t open; /* operation + 1 */
	uint32_t probed, again;
	struct sim_seen *seen;          /* one a key */
	uint32_t *operations, capacity; /* by number, from 1 on */
};
struct sim_decision {
	struct commit_id id;
	uint8_t value;
	uint8_t *body;
	uint32_t size;
};

struct sim_flags { /* from the command line; 0: from the seed */
	uint32_t wide, regions, keys, txn_keys, clients, impatient, operations;
	bool trace, hot, local, clock;
};
struct sim_shape {
	uint32_t wide; /* what this world is wide in */
	uint32_t n, keys, clients, impatient, txn_keys;
	uint32_t fault_gap_ms, late_sync, lose_after_ok, think_ms, blind, losses;
	bool forgets;      /* little, and starts read only the end of the log */
	uint32_t all_keys; /* of a hundred: how many keys are in a keyspace with ack: all */
	uint32_t transactions, requests, reads, table_keys, memory;
	uint64_t arena, pause_ms, patience_ms, in_doubt_ms, resend_ms;
	uint32_t lost_decisions; /* per mille of DECIDED, besides what the links lose */
	uint64_t clock_ms;       /* how far clocks are off at most */
	uint8_t clocks;          /* how many regions' clocks may be */
	uint32_t value_size;     /* of every value: a number, and zeros behind it */
	uint16_t key_sizes[SIM_KEYS_MAX];
	bool key_all[SIM_KEYS_MAX];
};

struct sim {
	uint64_t seed;
	bool trace, calm;
	bool hot; /* no faults: blind writes of few keys from all three regions, an ocean apart */
	bool local;
	struct sim_flags flags;
	struct chance chance;
	uint64_t now_ns, order, wall_ms;
	struct sim_event *queue;
	uint32_t queue_count, queue_capacity;
	struct sim_shape shape;
	uint32_t n, keys, wanted, issued, losses_left, client_count;
	struct sim_node nodes[SIM_REGIONS_MAX];
	struct sim_link links[SIM_REGIONS_MAX][SIM_REGIONS_MAX];
	struct sim_client clients[SIM_CLIENTS_MAX + SIM_REGIONS_MAX];
	struct sim_operation *operations;
	uint32_t operation_count, operation_capacity;
	struct sim_decision *decisions;
	uint32_t decision_count, decision_capacity;
	uint32_t *decision_places, decision_place_count;
	uint64_t quiet_ns; /* how long it took after the last fault */
	struct {
		uint64_t crashes, machine_crashes, losses, cuts, pauses, messages, ok, refused, failed, unknown, reads, repeats,
		    recovered, over, probes, clocks;
	} counts;
};

/* main.c */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void sim_fail(struct sim *sim, enum sim_exit code, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *sim_id(struct commit_id id); /* "12345.6@2"; a few at a time */

/* world.c */
void sim_run(struct sim *sim, uint64_t seed, const struct sim_flags *flags);
void sim_run_hot(struct sim *sim, uint64_t seed, const struct sim_flags *flags); /* prints its figures */
void sim_release(struct sim *sim);
void world_begin(struct sim *sim, uint64_t seed, const struct sim_flags *flags, void (*draw)(struct sim *sim));
void world_run(struct sim *sim, uint64_t until_ns);
void world_end(struct sim *sim);
void sim_push(struct sim *sim, uint64_t time_ns, struct sim_event event);
void sim_pause(struct sim *sim, struct sim_node *node, uint64_t until_ns); /* until_ns in the past: it goes on */
void sim_network(struct sim *sim, uint8_t from, uint8_t to, struct sim_event event);

/* node.c */
void node_start(struct sim *sim, struct sim_node *node);
void node_kill(struct sim *sim, struct sim_node *node, bool machine);
void node_lose(struct sim *sim, struct sim_node *node);
void node_message(struct sim *sim, struct sim_node *node, uint8_t from, const uint8_t *bytes, uint32_t size);
void node_stream(struct sim *sim, struct sim_node *node, const struct sim_event *event);
void node_synced(struct sim *sim, struct sim_node *node);
void node_apply(struct sim *sim, struct sim_node *node);
void node_timer(struct sim *sim, struct sim_node *node);
void node_pump(struct sim *sim, struct sim_node *node);
void node_request(struct sim *sim, struct sim_node *node, const struct sim_event *event);
void node_refuse(struct sim *sim, struct sim_node *node, int code);
void node_peers(struct sim *sim, struct sim_node *node, uint32_t mask);
void node_free(struct sim_node *node);

uint32_t key_put(const struct sim *sim, uint32_t key, uint8_t out[KEY_SIZE_MAX]); /* its size */
uint32_t key_of(const uint8_t *key, uint32_t size);

/* shape.c */
void shape_draw(struct sim *sim);
void shape_draw_clock(struct sim *sim);
void shape_draw_hot(struct sim *sim);
void shape_describe(const struct sim *sim, char *out, size_t size);

/* clock.c */
void sim_run_clock(struct sim *sim, uint64_t seed, const struct sim_flags *flags);

/* client.c */
void client_turn(struct sim *sim, uint32_t client);
void client_answer(struct sim *sim, const struct sim_event *event);
bool clients_idle(const struct sim *sim);
void clients_begin(struct sim *sim);
void clients_free(struct sim *sim);
void clients_probe(struct sim *sim); /* every key from every region: each has to succeed */
bool clients_have_probed(const struct sim *sim);

/* fault.c */
void fault_begin(struct sim *sim);
void fault_next(struct sim *sim);
void fault_clock(struct sim *sim, const struct sim_event *event);
void fault_end(struct sim *sim);

/* check.c */
void check_entry(struct sim *sim, struct sim_node *node, const struct sim_entry *entry);
void check_acknowledged(struct sim *sim, uint32_t operation, struct commit_id id);
bool check_quiet(struct sim *sim);
bool check_may_be_stuck(const struct sim *sim);
void check_end(struct sim *sim);

/* history.c */
void history_check(struct sim *sim, bool rows_too);

#endif
