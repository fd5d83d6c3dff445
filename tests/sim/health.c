/* SPDX-License-Identifier: Apache-2.0
 *
 * Monitors: what their port does, and what their figures must be. The simulator knows when each record was applied where, and
 * which links and processes have been alive since when; a monitor only guesses (T55). */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/monitor/heartbeat.h"

#define TOLERANCE_MS 1000u
/* After so long without a way there and back, a peer must count as down: what was under way has arrived, and been published. */
#define LATE_NS (SIM_DOWN_NS + 800 * SIM_MS)
/* After so long with one, it must count as up: several questions, since one may be lost. */
#define SOON_NS (3500 * SIM_MS)

static struct monitor_effects effects;

static const char *name_of(const struct sim_node *node)
{
	return sim_names[node->region];
}

void health_start(struct sim *sim, struct sim_node *node)
{
	struct monitor_options options = {.region = node->region,
	    .peers = node->peers,
	    .interval_ns = SIM_HEARTBEAT_NS,
	    .down_after_ns = SIM_DOWN_NS,
	    .lag_max_ms = SIM_LAG_MAX_MS,
	    .drain_ms = 2 * SIM_LAG_MAX_MS};
	for (uint32_t p = 0; p < sim->regions; p++)
		options.behind_since_ns[p] = monitor_behind_since(node->health[p].lag_ms, node->health[p].sampled_ns);
	monitor_init(&node->monitor, &options);
	node_wake(sim, node, ACTOR_MONITOR, SIM_MS / 10);
}

static bool alive_for(const struct sim *sim, const struct sim_process *process, uint64_t duration_ns)
{
	return process->up && process->changed_ns + duration_ns <= sim->now_ns;
}

static bool cut_for(const struct sim *sim, const struct sim_link *link, bool cut, uint64_t duration_ns)
{
	return link->cut == cut && link->changed_ns + duration_ns <= sim->now_ns;
}

static void check_state(struct sim *sim, struct sim_node *node, uint8_t p)
{
	enum region_state state = node->monitor.peer[p].state;
	const struct sim_process *own = &node->processes[ACTOR_MONITOR], *other = &sim->nodes[p].processes[ACTOR_MONITOR];
	const struct sim_link *there = &sim->links[node->region][p], *back = &sim->links[p][node->region];
	bool counts_as_up = region_is_heard(state);
	bool gone = cut_for(sim, there, true, LATE_NS) || cut_for(sim, back, true, LATE_NS) ||
	            (!other->up && other->changed_ns + LATE_NS <= sim->now_ns);
	if (gone && counts_as_up && alive_for(sim, own, LATE_NS))
		sim_fail(sim, SIM_SAFETY, "%s takes %s for %s, long after it was cut off (T55)", name_of(node), sim_names[p],
		    region_state_name(state));
	if (!counts_as_up && cut_for(sim, there, false, SOON_NS) && cut_for(sim, back, false, SOON_NS) &&
	    alive_for(sim, own, SOON_NS) && alive_for(sim, other, SOON_NS))
		sim_fail(sim, SIM_SAFETY, "%s takes %s for %s, though nothing is between them (T55)", name_of(node),
		    sim_names[p], region_state_name(state));
}

static void check_lag(struct sim *sim, struct sim_node *node, uint8_t p)
{
	const struct lag *lag = &node->monitor.peer[p].lag;
	const struct sim_write *writes = sim->writes[node->region];
	uint64_t published = node->published.sequence[node->region], acked = node->acked[p].sequence[node->region];
	uint64_t there = sim->nodes[p].disk.kept.sequence[node->region], since_ns = node->processes[ACTOR_MONITOR].changed_ns;
	if (node->wiped || sim->nodes[p].wiped)
		return;
	if (acked >= published) {
		if (lag->ms || lag->records)
			sim_fail(sim, SIM_SAFETY, "%s tells a lag of %llu ms, %llu records of %s, which has caught up (T55)",
			    name_of(node), (unsigned long long)lag->ms, (unsigned long long)lag->records, sim_names[p]);
		return;
	}
	if (lag->records != published - acked)
		sim_fail(sim, SIM_SAFETY, "%s tells a lag of %llu records of %s, not %llu (T55)", name_of(node),
		    (unsigned long long)lag->records, sim_names[p], (unsigned long long)(published - acked));
	/* Against the time since which the oldest record not acknowledged was there to be seen. After a lost machine, or for
	 * what happened before it, a monitor knows only that there is a lag. */
	const struct sim_write *oldest = &writes[acked], *surely = &writes[node->acked_most[p]];
	uint64_t seen_ms = (sim->now_ns - oldest->seen_ns) / SIM_MS, surely_ms = (sim->now_ns - surely->seen_ns) / SIM_MS;
	if (node->acked_most[p] < published && surely->seen_ns >= node->memory_ns && lag->ms + TOLERANCE_MS < surely_ms)
		sim_fail(sim, SIM_SAFETY,
		    "%s tells a lag of %llu ms of %s, and has seen for %llu ms what is missing there (T55)", name_of(node),
		    (unsigned long long)lag->ms, sim_names[p], (unsigned long long)surely_ms);
	/* What a monitor finds when it starts may be told as old as what the one before it knew of. */
	if (oldest->seen_ns >= since_ns + SIM_MS && lag->ms > seen_ms + TOLERANCE_MS)
		sim_fail(sim, SIM_SAFETY, "%s tells a lag of %llu ms of %s, which is %llu ms (T55)", name_of(node),
		    (unsigned long long)lag->ms, sim_names[p], (unsigned long long)seen_ms);
	/* And against the truth, which is at most smaller than what was acknowledged. */
	if (there < published && writes[there].published_ns >= since_ns) {
		uint64_t true_ms = (sim->now_ns - writes[there].published_ns) / SIM_MS;
		if (lag->ms + TOLERANCE_MS < true_ms)
			sim_fail(sim, SIM_SAFETY, "%s tells a lag of %llu ms of %s, in truth it is %llu ms (T55)",
			    name_of(node), (unsigned long long)lag->ms, sim_names[p], (unsigned long long)true_ms);
	}
}

static void feed(struct sim *sim, struct sim_node *node, struct monitor_event *event)
{
	struct heartbeat_rules rules = {.cluster = "sim", .region = node->region, .peers = node->peers};
	uint8_t bytes[HEARTBEAT_SIZE_MAX];
	event->now_ns = sim->now_ns;
	event->now_wall_ms = node_wall_ms(sim, node);
	monitor_step(&node->monitor, event, &effects);
	for (uint32_t i = 0; i < effects.count; i++) {
		const struct monitor_effect *effect = &effects.items[i];
		const struct monitor_peer *peer = &node->monitor.peer[effect->peer];
		switch (effect->kind) {
		case MONITOR_SEND:
			network_send(sim, node->region, effect->peer, SERVICE_HEALTH, !effect->reply, bytes,
			    heartbeat_pack(&rules, &node->monitor, effect, event->now_wall_ms, bytes));
			break;
		case MONITOR_PUBLISH:
			node->health[effect->peer].state = peer->state;
			node->health[effect->peer].lag_records = peer->lag.records;
			node->health[effect->peer].lag_ms = peer->lag.ms;
			node->health[effect->peer].sampled_ns = sim->now_ns;
			if (event->kind == MONITOR_TICK) {
				check_state(sim, node, effect->peer);
				check_lag(sim, node, effect->peer);
			}
			break;
		case MONITOR_CHANGED:
			sim_trace(sim, "%s monitor > %s is %s, lag %llu ms", name_of(node), sim_names[effect->peer],
			    region_state_name(peer->state), (unsigned long long)peer->lag.ms);
			break;
		}
	}
}

void health_turn(struct sim *sim, struct sim_node *node)
{
	struct monitor_event local = {.kind = MONITOR_LOCAL,
	    .local = {.applied = node->published, .hlc = node->disk.hlc, .durable_lsn = node->durable_lsn}};
	struct monitor_event tick = {.kind = MONITOR_TICK};
	uint64_t own = node->published.sequence[node->region];
	feed(sim, node, &local);
	/* A wiped region's records are not those that are known by their numbers. */
	for (uint64_t i = own < sim->write_counts[node->region] ? own : sim->write_counts[node->region]; i > 0; i--) {
		struct sim_write *write = &sim->writes[node->region][i - 1];
		if (write->seen_ns && write->seen_ns >= node->memory_ns)
			break;
		write->seen_ns = sim->now_ns;
	}
	for (uint8_t p = 0; p < sim->regions; p++) {
		if (!(node->peers >> p & 1))
			continue;
		struct monitor_event acked = {.kind = MONITOR_ACKED,
		    .peer = p,
		    .acked = {.sequence = node->acked[p].sequence[node->region], .sent_lsn = node->sent_lsn[p]}};
		feed(sim, node, &acked);
		if (acked.acked.sequence > node->acked_most[p])
			node->acked_most[p] = acked.acked.sequence;
	}
	feed(sim, node, &tick);
	node_wake(sim, node, ACTOR_MONITOR, monitor_deadline_ns(&node->monitor) - sim->now_ns);
}

void health_message(struct sim *sim, struct sim_node *node, bool question, const uint8_t *bytes, uint32_t size)
{
	struct heartbeat_rules rules = {.cluster = "sim", .region = node->region, .peers = node->peers};
	struct monitor_event event;
	struct error_context error;
	if (heartbeat_parse(&event, &rules, bytes, size, &error) != 0 || event.heartbeat.reply == question)
		sim_fail(sim, SIM_SAFETY, "%s cannot read a heartbeat: %s", name_of(node), error.text);
	feed(sim, node, &event);
}

bool health_settled(struct sim *sim)
{
	for (uint32_t r = 0; r < sim->regions; r++) {
		struct sim_node *node = &sim->nodes[r];
		for (uint32_t p = 0; p < sim->regions; p++) {
			if (p == r)
				continue;
			bool behind = node->health[p].lag_ms || node->health[p].lag_records;
			if (node->health[p].sampled_ns + 200 * SIM_MS < sim->now_ns || !node->health[p].sampled_ns ||
			    (behind && check_expects(sim, p, (uint8_t)r)) ||
			    (node->health[p].state != REGION_UP && !(region_is_heard(node->health[p].state) && behind)))
				return false;
		}
	}
	return true;
}
