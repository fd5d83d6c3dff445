/* SPDX-License-Identifier: Apache-2.0
 *
 * Three or five regions of the strong commit in one process, on a virtual clock, from one seed. The state machine and the
 * messages' encoding are the object files that ship; log, rows, streams, network, clocks and clients are simulated.
 *
 *   main.c    seeds, workers, exit codes                 client.c  clients: what they ask, repeat, and were told
 *   world.c   the queue of events, network, the phases   check.c   what must hold, by an oracle of its own
 *   node.c    a region: log, rows, streams, machine      fault.c   what goes wrong, and when
 */
#ifndef GODWIT_TESTS_SIM_COMMIT_SIM_H
#define GODWIT_TESTS_SIM_COMMIT_SIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actors/coordinator/commit/commit.h"

#define SIM_REGIONS_MAX 5u
#define SIM_CLIENTS     8u
#define SIM_KEYS_MAX    12u
#define SIM_OPS_KEYS    4u
#define SIM_MS          1000000ull
#define SIM_LIVE_NS     (120ull * 1000000000)

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
	SIM_FAULT
};
struct sim_event {
	uint64_t time_ns, order;
	enum sim_event_kind kind;
	uint8_t region, peer, origin;
	uint32_t incarnation, client, operation;
	uint64_t sequence, after;
	int code;
	bool moved; /* to a copy that says so */
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
	uint8_t *bytes;
	uint32_t size;
};
struct sim_row {
	struct commit_row row;
	uint32_t value;
};
struct sim_node {
	uint8_t region;
	bool up, lost;
	uint32_t incarnation;
	uint64_t paused_until_ns;
	int64_t skew_ms;
	struct sim_entry *entries;
	uint64_t count, capacity, durable, syncing, applied, base;
	struct vector sequences; /* of each origin, in the log */
	uint64_t oldest;         /* entry that the machine needed, as it said when its log was durable last */
	uint64_t mark, mark_hlc; /* a start need not read what is before; stamps up to there are then forgotten */
	struct sim_row rows[SIM_KEYS_MAX];
	bool damaged[SIM_KEYS_MAX]; /* until the next start, which makes the rows anew (B2) */
	uint32_t value_scratch[SIM_KEYS_MAX];
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
	uint32_t count;
	struct sim_access accesses[SIM_OPS_KEYS];
	uint64_t start_ns, end_ns, deadline_ns, after;
	uint32_t copies, regions;
	struct commit_id version; /* of an ok one; of a read what it saw */
	uint32_t read_value;
	int code;
};
struct sim_client {
	uint64_t id, number, after;
	uint8_t region;
	uint32_t open; /* operation + 1 */
	uint32_t left;
	struct commit_id seen[SIM_KEYS_MAX];
	uint32_t seen_value[SIM_KEYS_MAX];
};
struct sim_decision {
	struct commit_id id;
	uint8_t value;
	uint8_t *body;
	uint32_t size;
};

struct sim {
	uint64_t seed;
	bool trace, calm;
	bool hot; /* no faults: blind writes of one key from all three regions, an ocean apart */
	struct chance chance;
	uint64_t now_ns, order, wall_ms;
	struct sim_event *queue;
	uint32_t queue_count, queue_capacity;
	uint32_t n, keys, wanted, issued, losses_left;
	struct sim_node nodes[SIM_REGIONS_MAX];
	struct sim_link links[SIM_REGIONS_MAX][SIM_REGIONS_MAX];
	struct sim_client clients[SIM_CLIENTS];
	struct sim_operation *operations;
	uint32_t operation_count;
	struct sim_decision *decisions;
	uint32_t decision_count, decision_capacity;
	uint32_t fault_gap_ms, late_sync, lose_after_ok, think_ms, blind;
	uint32_t memory; /* what a region remembers */
	bool forgets;    /* little, and starts read only the end of the log */
	bool damages;    /* rows */
	struct {
		uint64_t crashes, machine_crashes, losses, cuts, pauses, messages, ok, refused, failed, unknown, reads, repeats,
		    recovered, over;
	} counts;
};

/* main.c */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void sim_fail(struct sim *sim, enum sim_exit code, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *sim_id(struct commit_id id); /* "12345.6@2"; a few at a time */

/* world.c */
void sim_run(struct sim *sim, uint64_t seed, uint32_t operations, bool trace);
void sim_run_hot(struct sim *sim, uint64_t seed, uint32_t operations, bool trace); /* prints its figures */
void sim_release(struct sim *sim);
void sim_push(struct sim *sim, uint64_t time_ns, struct sim_event event);
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
void node_request(struct sim *sim, struct sim_node *node, uint32_t operation, bool moved);
void node_peers(struct sim *sim, struct sim_node *node, uint32_t mask);
void node_free(struct sim_node *node);

/* client.c */
void client_turn(struct sim *sim, uint32_t client);
void client_answer(struct sim *sim, const struct sim_event *event);
bool clients_idle(const struct sim *sim);

/* fault.c */
void fault_draw(struct sim *sim);
void fault_draw_hot(struct sim *sim);
void fault_next(struct sim *sim);
void fault_end(struct sim *sim);

/* check.c */
void check_entry(struct sim *sim, struct sim_node *node, const struct sim_entry *entry);
void check_acknowledged(struct sim *sim, uint32_t operation, struct commit_id id);
bool check_quiet(struct sim *sim);
void check_end(struct sim *sim);

#endif
