/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/monitor/io.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "actors/monitor/heartbeat.h"
#include "actors/monitor/monitor.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"

#define HIGH_WATER       64u
#define LOAD_INTERVAL_NS (1000 * MONITOR_MS)

struct flags {
	uint32_t interval_ms, down_after_ms;
};
static const struct option option_table[] = {
    {"interval-ms", 0, OPTION_U32, offsetof(struct flags, interval_ms), 10, 10000, "MILLISECONDS", "between two heartbeats"},
    {"down-after-ms", 0, OPTION_U32, offsetof(struct flags, down_after_ms), 100, 600000, "MILLISECONDS",
        "a peer that has not answered for so long is down"},
    {0},
};

struct monitor_io {
	struct process process;
	struct flags flags;
	struct monitor machine;
	struct heartbeat_rules rules;
	struct monitor_effects effects;
	void *server;
	void *peers[REGIONS_MAX];
	struct clock_now now;
	struct {
		uint64_t at_ns, cpu_us;
		uint32_t percent;
	} load;
	const struct message *message; /* being handled: a reply goes to whoever sent it */
};

static const char *peer_name(const struct monitor_io *io, uint8_t peer)
{
	const struct region *region = topology_region_by_id(&io->process.topology, peer);
	return region ? region->name : "unknown";
}

/* ---- effects -------------------------------------------------------------------------------------------------------- */

static void apply_send(struct monitor_io *io, const struct monitor_effect *effect)
{
	uint8_t bytes[HEARTBEAT_SIZE_MAX];
	size_t size = heartbeat_pack(&io->rules, &io->machine, effect, io->now.wall_ms, bytes);
	int code = effect->reply ? socket_send(io->server, io->message->identity, io->message->identity_size, bytes, size)
	                         : socket_send(io->peers[effect->peer], NULL, 0, bytes, size);
	if (code == 0) /* otherwise nobody is connected, and no answer will say so */
		counter_add(io->process.counters, COUNTER_heartbeats_sent, 1);
}

static void apply_publish(struct monitor_io *io, uint8_t p)
{
	struct shm_peer *published = &io->process.shm.layout->peers[p];
	const struct monitor_peer *peer = &io->machine.peer[p];
	atomic_store_explicit(&published->state, (uint32_t)peer->state, memory_order_relaxed);
	atomic_store_explicit(&published->load_percent, peer->load_percent, memory_order_relaxed);
	atomic_store_explicit(&published->round_trip_us, peer->round_trip_us, memory_order_relaxed);
	atomic_store_explicit(&published->lag_records, peer->lag.records, memory_order_relaxed);
	atomic_store_explicit(&published->lag_bytes, peer->lag.bytes, memory_order_relaxed);
	atomic_store_explicit(&published->lag_ms, peer->lag.ms, memory_order_relaxed);
	atomic_store_explicit(&published->clock_offset_us, skew_range_middle_us(&peer->clock), memory_order_relaxed);
	atomic_store_explicit(&published->answered_at_ns, peer->answered_ns, memory_order_relaxed);
	atomic_store_explicit(&published->sampled_at_ns, io->now.monotonic_ns, memory_order_release);
}

static void io_feed(struct monitor_io *io, struct monitor_event event)
{
	event.now_ns = io->now.monotonic_ns;
	event.now_wall_ms = io->now.wall_ms;
	monitor_step(&io->machine, &event, &io->effects);
	for (uint32_t i = 0; i < io->effects.count; i++) {
		const struct monitor_effect *effect = &io->effects.items[i];
		const struct monitor_peer *peer = &io->machine.peer[effect->peer];
		switch (effect->kind) {
		case MONITOR_SEND:
			apply_send(io, effect);
			break;
		case MONITOR_PUBLISH:
			apply_publish(io, effect->peer);
			break;
		case MONITOR_CHANGED:
			logline(peer->state == REGION_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "peer_state",
			    "peer=%s state=%s lag_ms=%llu round_trip_us=%llu", peer_name(io, effect->peer),
			    region_state_name(peer->state), (unsigned long long)peer->lag.ms,
			    (unsigned long long)peer->round_trip_us);
			break;
		}
	}
}

/* ---- messages ------------------------------------------------------------------------------------------------------- */

static void message_refuse(struct monitor_io *io, const char *from, int code, const struct error_context *error)
{
	counter_add(io->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "message_refused", (uint64_t)-code, "from=%s code=%s reason=\"%s\"", from,
	    error_name(code), error->text);
}

/* from: the name that the connection has proved. Questions come on the server socket, answers on our own connections. */
static void message_handle(struct monitor_io *io, struct message *message, const char *from, bool answers)
{
	struct monitor_event event;
	struct error_context error = {0};
	int code = heartbeat_parse(&event, &io->rules, message_bytes(message), message_size(message), &error);
	if (code == 0 && (!from || strcmp(from, peer_name(io, event.peer)) != 0))
		code = error_set(&error, ERR_MALFORMED, "it calls itself %s", peer_name(io, event.peer));
	if (code == 0 && event.heartbeat.reply != answers)
		code = error_set(&error, ERR_MALFORMED, "a heartbeat in the wrong direction");
	if (code) {
		message_refuse(io, from ? from : "nobody", code, &error);
		return;
	}
	counter_add(io->process.counters, COUNTER_heartbeats_received, 1);
	io->rules.newest[event.peer] = event.heartbeat.newest;
	io->message = message;
	io_feed(io, event);
	io->message = NULL;
}

static uint32_t socket_drain(struct monitor_io *io, void *socket, const char *peer, uint32_t limit)
{
	uint32_t count = 0;
	for (; count < limit; count++) {
		struct message message;
		int code = socket_receive(socket, &message, false);
		if (code == ERR_MALFORMED) {
			struct error_context error = {0};
			error_set(&error, code, "a message of the wrong number of parts");
			message_refuse(io, peer ? peer : "unknown", code, &error);
			continue;
		}
		if (code)
			break;
		message_handle(io, &message, peer ? peer : message_user(&message), peer != NULL);
		message_close(&message);
	}
	return count;
}

static uint32_t server_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct monitor_io *io = self;
	io->now = now;
	return socket_drain(io, io->server, NULL, limit);
}

struct peer_source {
	struct monitor_io *io;
	uint8_t peer;
};

static uint32_t peer_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct peer_source *source = self;
	source->io->now = now;
	return socket_drain(source->io, source->io->peers[source->peer], peer_name(source->io, source->peer), limit);
}

/* ---- a turn --------------------------------------------------------------------------------------------------------- */

/* Processor time of this region's actors, as a share of the machine. */
static uint32_t load_measure(struct monitor_io *io)
{
	const struct shm_layout *layout = io->process.shm.layout;
	uint64_t now_ns = io->now.monotonic_ns;
	if (io->load.at_ns && now_ns < io->load.at_ns + LOAD_INTERVAL_NS)
		return io->load.percent;
	uint64_t cpu_us = 0;
	for (uint32_t actor = 0; actor < ACTORS; actor++)
		cpu_us += counter_get(&layout->counters[actor], COUNTER_cpu_us);
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t available_us = (now_ns - io->load.at_ns) / 1000 * (uint64_t)(processors > 0 ? processors : 1);
	if (io->load.at_ns && cpu_us >= io->load.cpu_us && available_us) {
		uint64_t percent = (cpu_us - io->load.cpu_us) * 100 / available_us;
		io->load.percent = percent > 100 ? 100 : (uint32_t)percent;
	}
	io->load.at_ns = now_ns;
	io->load.cpu_us = cpu_us;
	return io->load.percent;
}

static void io_look(struct monitor_io *io)
{
	const struct shm_layout *layout = io->process.shm.layout;
	struct monitor_event local = {.kind = MONITOR_LOCAL};
	local.local.durable_lsn = atomic_load_explicit(&layout->coordinator.durable_lsn, memory_order_acquire);
	local.local.hlc = atomic_load_explicit(&layout->coordinator.hlc, memory_order_relaxed);
	local.local.load_percent = load_measure(io);
	vector_slot_read(&layout->coordinator.applied, &local.local.applied);
	io_feed(io, local);
	/* Behind the own vector: a lag is then at most told too small, and never below zero. */
	for (uint8_t peer = 0; peer < REGIONS_MAX; peer++) {
		if (!(io->machine.peers >> peer & 1))
			continue;
		struct vector acked;
		if (!atomic_load_explicit(&layout->links[peer].acked_at_ns, memory_order_acquire))
			continue; /* not since this store is served */
		vector_slot_read(&layout->links[peer].acked, &acked);
		struct monitor_event event = {.kind = MONITOR_ACKED, .peer = peer};
		event.acked.sequence = acked.sequence[io->machine.region];
		event.acked.sent_lsn = atomic_load_explicit(&layout->links[peer].sent_lsn, memory_order_relaxed);
		io_feed(io, event);
	}
}

static void io_tick(void *self, struct clock_now now)
{
	struct monitor_io *io = self;
	io->now = now;
	if (now.monotonic_ns < monitor_deadline_ns(&io->machine))
		return;
	io_look(io);
	io_feed(io, (struct monitor_event){.kind = MONITOR_TICK});
}

static uint64_t io_deadline(void *self)
{
	struct monitor_io *io = self;
	return monitor_deadline_ns(&io->machine);
}

static int io_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	struct monitor_io *io = self;
	(void)argument;
	if (strcmp(command, "drain") != 0)
		return error_set(error, ERR_UNSUPPORTED, "the monitor has no command %s; it knows drain", command);
	io_feed(io, (struct monitor_event){.kind = MONITOR_DRAIN});
	text_add(out, "{\"draining\":true}");
	return 0;
}

/* ---- start ---------------------------------------------------------------------------------------------------------- */

static int io_connect(struct monitor_io *io, const struct region *region, struct error_context *error)
{
	static struct peer_source sources[REGIONS_MAX];
	struct process *p = &io->process;
	const struct socket_options options = {.high_water = HIGH_WATER, .message_size_max = HEARTBEAT_SIZE_MAX};
	int code = process_connect(
	    p, &io->peers[region->id], region, SERVICE_HEALTH, &options, &p->shm.layout->peers[region->id].key_refusal, error);
	if (code)
		return code;
	sources[region->id] = (struct peer_source){.io = io, .peer = region->id};
	return loop_add_socket(p->loop, io->peers[region->id], peer_drain, &sources[region->id]);
}

static int io_connect_all(struct monitor_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	char endpoint[128];
	int code = process_serve_curve(p, false, error);
	if (!code)
		code = process_listens(p, SERVICE_HEALTH, endpoint, error);
	if (code)
		return code;
	struct socket_options options = {.own = &p->keys, .high_water = HIGH_WATER, .message_size_max = HEARTBEAT_SIZE_MAX};
	code = socket_bind(&io->server, p->context, ZMQ_ROUTER, endpoint, &options, error);
	if (!code)
		code = loop_add_socket(p->loop, io->server, server_drain, io);
	for (uint32_t i = 0; i < p->topology.region_count && !code; i++)
		if (p->topology.regions[i].id != p->region->id)
			code = io_connect(io, &p->topology.regions[i], error);
	return code;
}

static int io_start(struct monitor_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	struct monitor_options options = {.region = p->region->id,
	    .interval_ns = io->flags.interval_ms * MONITOR_MS,
	    .down_after_ns = io->flags.down_after_ms * MONITOR_MS,
	    .lag_max_ms = p->topology.max_lag_ms,
	    .drain_ms = (uint64_t)p->topology.max_lag_ms * p->topology.drain_factor};
	io->now = clock_read();
	for (uint32_t i = 0; i < p->topology.region_count; i++) {
		uint8_t id = p->topology.regions[i].id;
		if (id == p->region->id)
			continue;
		options.peers |= 1u << id;
		/* The figures of the process before us: a peer that was behind then has been since then. */
		const struct shm_peer *published = &p->shm.layout->peers[id];
		uint64_t sampled_ns = atomic_load_explicit(&published->sampled_at_ns, memory_order_acquire);
		uint64_t lag_ms = atomic_load_explicit(&published->lag_ms, memory_order_relaxed);
		options.behind_since_ns[id] = monitor_behind_since(lag_ms, sampled_ns);
	}
	io->rules = (struct heartbeat_rules){.cluster = p->topology.cluster, .region = p->region->id, .peers = options.peers};
	monitor_init(&io->machine, &options);
	return io_connect_all(io, error);
}

int monitor_main(int argc, char **argv)
{
	static struct monitor_io io = {.flags = {.interval_ms = 100, .down_after_ms = 3000}};
	struct loop_actor actor = {.self = &io, .tick = io_tick, .deadline_ns = io_deadline};
	int exit_code = process_start(&io.process, ACTOR_MONITOR, option_table, &io.flags, argc, argv, &actor, io_command);
	if (exit_code)
		return exit_code < 0 ? 0 : exit_code;
	struct error_context error = {0};
	int code = io_start(&io, &error);
	if (code)
		return process_fail(&io.process, code, &error);
	process_ready(&io.process);
	return process_run(&io.process);
}
