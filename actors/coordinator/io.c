/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/io.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/crash_point.h"
#include "proto/request.h"
#include "runtime/logline.h"

#define OPERATIONS_A_TURN_MAX 8192u
#define RECORDS_A_TURN_MAX    8192u
#define ENTRIES_AN_APPLY_MAX  8192u
#define UNAPPLIED_BYTES_MAX   (1u << 20)
#define UPKEEP_EVERY_NS       1000000000ull
#define FINISH_MAX_NS         5000000000ull

static const struct option coordinator_options_table[] = {
    {"log-segment-mib", 0, OPTION_U32, offsetof(struct coordinator_flags, log_segment_mib), 4, 1024, "MIB",
        "size of a log file"},
    {"log-disk-mib", 0, OPTION_U32, offsetof(struct coordinator_flags, log_disk_mib), 0, UINT32_MAX, "MIB",
        "most that the log may take; 0: the topology's limit"},
    {"snapshot-mib", 0, OPTION_U32, offsetof(struct coordinator_flags, snapshot_mib), 1, UINT32_MAX, "MIB",
        "log between two snapshots"},
    {"map-gib", 0, OPTION_U32, offsetof(struct coordinator_flags, map_gib), 1, 65536, "GIB", "most that the rows may take"},
    {"new-cluster", 0, OPTION_BOOL, offsetof(struct coordinator_flags, is_new_cluster), 0, 0, NULL,
        "this store is the first of its cluster: take writes before a peer was met"},
    {0}};

void io_fail(struct coordinator_io *io, int code, const struct error_context *error)
{
	if (io->failed)
		return;
	io->failed = code;
	logline(LOG_LEVEL_ERROR, "store_failed", "code=%s reason=\"%s\"", error_name(code), error->text);
	loop_stop(io->process.loop, code);
}

static void answers_take(struct coordinator_io *io)
{
	struct coordinator_effects *effects = &io->effects;
	for (uint32_t i = 0; i < effects->answer_count; i++) {
		gate_reason_put(io, &effects->answers[i]);
		replies_add(&io->replies, &effects->answers[i]);
	}
}

/* Hands what the last step wants appended to the log, and tells the machine. */
static int record_append(struct coordinator_io *io)
{
	struct coordinator_effects *effects = &io->effects;
	uint64_t end_lsn = 0;
	bool own = io->machine.pending.what == PENDING_OPERATION;
	int code = 0;
	if (effects->hlc_bound) {
		code = log_append(io->log, LOG_HLC_BOUND, &effects->hlc_bound, sizeof effects->hlc_bound, &end_lsn);
		CRASH_POINT(bound_appended);
	}
	if (!code)
		code = log_append(io->log, LOG_RECORD, effects->record, effects->record_size, &end_lsn);
	if (!code) {
		io->appended_lsn = end_lsn;
		counter_add(io->process.counters, COUNTER_log_bytes_written, effects->record_size);
		pace_gather(&io->pace, effects->record_size, own);
	} else if (code != ERR_OVERLOADED && code != ERR_DISK_FULL) {
		struct error_context error;
		error_set(&error, code, "appending to the log: %s", error_text(code));
		io_fail(io, code, &error);
		code = ERR_OVERLOADED; /* for the machine; nothing leaves this process any more */
	}
	CRASH_POINT(record_appended);
	struct coordinator_event event = {.type = COORDINATOR_APPENDED, .appended = {.code = code, .end_lsn = end_lsn}};
	coordinator_step(&io->machine, &event, effects);
	return code;
}

/* ---- records from other regions ---- */

/* What neither log nor rows could take stays in the ring; the ring's producer holds its peers back by their credit. So does
 * what would let the log run far ahead of the rows: a restart has to apply all of that before it serves. */
static bool inbound_is_held(const struct coordinator_io *io)
{
	return io->log_is_full || io->rows_are_full || io->appended_lsn > io->applied.applied_lsn + UNAPPLIED_BYTES_MAX ||
	       !strong_takes_streams(io);
}

/* A peer's store that the streamer has met is made known once it is durable; until then nothing is taken from it. */
static void peer_stores_look(struct coordinator_io *io)
{
	const struct rows_meta *meta = rows_meta_now(io->rows);
	struct store_id own, met;
	memcpy(own.bytes, meta->store_id, sizeof own.bytes);
	for (uint8_t id = 0; id < REGIONS_MAX; id++) {
		uint8_t body[LOG_PEER_STORE_SIZE] = {id};
		uint64_t end_lsn;
		if (!(io->machine.options.regions >> id & 1) || id == io->machine.options.region ||
		    (io->peer_stores_logged >> id & 1) || store_id_is_known(&meta->peer_stores[id]) ||
		    !store_seen_read(&io->process.shm.layout->links[id].seen, &own, &met))
			continue;
		memcpy(body + 1, &met, sizeof met);
		int code = log_append(io->log, LOG_PEER_STORE, body, sizeof body, &end_lsn);
		if (code == ERR_OVERLOADED || code == ERR_DISK_FULL)
			return; /* it waits, and so does the stream */
		if (code) {
			struct error_context error;
			error_set(&error, code, "appending to the log: %s", error_text(code));
			io_fail(io, code, &error);
			return;
		}
		io->appended_lsn = end_lsn;
		io->peer_stores_logged |= 1u << id;
		pace_gather(&io->pace, sizeof body, false);
	}
}

static void inbound_dropped(struct coordinator_io *io)
{
	uint32_t origin = io->effects.inbound_origin;
	switch (io->effects.inbound) {
	case ERR_REGION_REUSED:
		logline_distinct(LOG_LEVEL_ERROR, "region_reused", origin,
		    "reason=\"a peer holds records of this region that are not in its log\"");
		return;
	case ERR_MALFORMED:
		logline_distinct(LOG_LEVEL_ERROR, "record_malformed", 0, "reason=\"a record in the ring cannot be read\"");
		return;
	}
}

static void record_ahead_tell(const struct coordinator_io *io)
{
	uint32_t origin = io->effects.inbound_origin;
	const struct region *region = topology_region_by_id(&io->process.topology, (uint8_t)origin);
	logline_distinct(LOG_LEVEL_WARN, "record_ahead", origin,
	    "origin=%s ahead_ms=%llu reason=\"it was stamped by a clock that was ahead; it counts, and moves no clock\"",
	    region ? region->name : "?", (unsigned long long)io->effects.inbound_ahead_ms);
}

/* The wall clock, put right where the majority says that it is behind: what others stamp is then not of the future. */
static uint64_t inbound_wall_ms(const struct coordinator_io *io)
{
	return io->clock.ahead_us < 0 ? io->now.wall_ms + (uint64_t)(-io->clock.ahead_us / 1000) : io->now.wall_ms;
}

static uint32_t inbound_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct coordinator_io *io = self;
	uint32_t kind, size, handled = 0;
	const uint8_t *bytes;
	int code = 0;
	io->now = now;
	while (handled < RECORDS_A_TURN_MAX && !io->failed && !inbound_is_held(io) &&
	       !(code = ring_peek(&io->inbound, &kind, &bytes, &size))) {
		struct coordinator_event event = {
		    .type = COORDINATOR_INBOUND, .now_ms = inbound_wall_ms(io), .inbound = {.bytes = bytes, .size = size}};
		coordinator_step(&io->machine, &event, &io->effects);
		const uint8_t *entry = io->effects.inbound_entry;
		if (io->effects.inbound_ahead_ms)
			record_ahead_tell(io);
		size_t entry_size = io->effects.inbound_entry_size;
		if (!io->effects.record) {
			inbound_dropped(io);
		} else if (record_append(io) < 0) {
			io->log_is_full = true;
			return 0;
		} else if (entry) {
			CRASH_POINT(commit_streamed);
			strong_streamed(io, io->appended_lsn, entry, entry_size);
		}
		CRASH_POINT(inbound_appended);
		ring_release(&io->inbound);
		handled++;
	}
	if (code == ERR_CORRUPT) {
		logline(LOG_LEVEL_ERROR, "ring_corrupt", "reason=\"emptied; the streams begin again\"");
		ring_discard_all(&io->inbound);
	}
	return handled == RECORDS_A_TURN_MAX ? limit : 0;
}

/* ---- writes of clients ---- */

int io_keyspace(const struct topology *topology, struct request_bytes name)
{
	if (!name.size)
		return 0;
	for (uint32_t i = 0; i < topology->keyspace_count; i++) {
		const char *known = topology->keyspaces[i].name;
		if (strlen(known) == name.size && !memcmp(known, name.bytes, name.size))
			return (int)i;
	}
	return -1;
}

uint64_t io_waited_ms(const struct coordinator_io *io)
{
	return (io->now.monotonic_ns - io->socket_empty_ns) / 1000000;
}

static void operation_take(struct coordinator_io *io, uint64_t route, uint64_t client_id, const struct request_operation *o)
{
	enum { KIND_PUT = 1, KIND_DELETE = 2 };
	if (strong_operation(io, route, client_id, o))
		return;
	struct coordinator_event event = {.type = COORDINATOR_OPERATION,
	    .now_ms = io->now.wall_ms,
	    .now_ns = io->now.monotonic_ns,
	    .operation = {.route = route,
	        .client_id = client_id,
	        .number = o->number,
	        .settled = o->settled,
	        .age_ms = o->age_ms ? o->age_ms + io_waited_ms(io) : 0,
	        .keyspace = io_keyspace(&io->process.topology, o->keyspace),
	        .tombstone = o->kind == KIND_DELETE,
	        .moved = o->moved,
	        .conditional = o->condition != 0,
	        .key = o->key.bytes,
	        .key_size = o->key.size,
	        .value = o->value.bytes,
	        .value_size = o->value.size,
	        .context = o->context.bytes,
	        .context_size = o->context.size,
	        .arrived_ns = io->now.monotonic_ns}};
	struct coordinator_operation *op = &event.operation;
	if (o->kind != KIND_PUT && o->kind != KIND_DELETE) {
		struct coordinator_answer answer = {.route = route,
		    .number = o->number,
		    .code = ERR_UNSUPPORTED,
		    .reason = "the coordinator takes writes only"};
		replies_add(&io->replies, &answer);
		return;
	}
	struct row row;
	bool viewing = false;
	if (op->context_size && op->keyspace >= 0 && op->key_size && op->key_size <= KEY_SIZE_MAX) {
		viewing = rows_view_begin(io->view, NULL) == 0;
		if (viewing && rows_get(io->view, (uint16_t)op->keyspace, op->key, op->key_size, &row) == 0)
			op->row = &row;
	}
	coordinator_step(&io->machine, &event, &io->effects);
	if (io->effects.record)
		record_append(io);
	if (viewing)
		rows_view_end(io->view);
	answers_take(io);
}

/* Returns the number of operations. */
static uint32_t request_take(struct coordinator_io *io, struct message *message)
{
	struct request request;
	struct request_operation operation;
	uint64_t route = replies_route(&io->replies, message->identity, message->identity_size);
	int code = request_open(&request, message_bytes(message), message_size(message));
	if (!code && !version_is_understood(request.protocol, PROTOCOL_VERSION))
		code = ERR_WRONG_VERSION;
	if (!code && request.operation_count > REQUEST_OPERATIONS_MAX)
		code = ERR_MALFORMED;
	while (!code && !io->failed && !(code = request_next(&request, &operation)))
		operation_take(io, route, request.client_id, &operation);
	if (code == ERR_MALFORMED || code == ERR_WRONG_VERSION) {
		struct coordinator_answer answer = {.route = route, .code = code};
		replies_add(&io->replies, &answer);
		counter_add(io->process.counters, COUNTER_frames_refused, 1);
	}
	return request.operation_count;
}

static uint32_t socket_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct coordinator_io *io = self;
	uint32_t operations = 0;
	io->now = now;
	io->socket_left = true;
	gate_look(io);
	strong_peers_look(io);
	if (!io->rows_are_full)
		upkeep_room_check(io);
	for (uint32_t handled = 0; handled < limit; handled++) {
		struct message message;
		int code = socket_receive(io->socket, &message, true);
		if (code == ERR_MALFORMED) {
			counter_add(io->process.counters, COUNTER_frames_refused, 1);
			continue;
		}
		if (code) {
			io->socket_left = false;
			return handled;
		}
		counter_add(io->process.counters, COUNTER_bytes_received, message_size(&message));
		operations += request_take(io, &message);
		message_close(&message);
		if (operations >= OPERATIONS_A_TURN_MAX || io->failed)
			break;
	}
	return limit;
}

/* ---- durable, applied, answered ---- */

static uint32_t log_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct coordinator_io *io = self;
	struct error_context error = {0};
	uint64_t durable_lsn;
	(void)now;
	(void)limit;
	int code = log_completed(io->log, &durable_lsn, &error);
	uint64_t sync_us = log_take_sync_us(io->log);
	if (sync_us)
		histogram_add(&io->process.counters->histograms[HISTOGRAM_sync_us], sync_us);
	if (code < 0) {
		io_fail(io, code, &error);
		return 0;
	}
	if (durable_lsn > io->durable_lsn) {
		io->durable_lsn = durable_lsn;
		io->changed = true;
	}
	io->log_is_full = false;
	return 0;
}

static void record_applied(void *self, const struct record *record, enum row_change change)
{
	struct coordinator_io *io = self;
	(void)change;
	if (record->dot.region == io->machine.options.region)
		return;
	uint64_t written_ms = hlc_milliseconds(record->hlc);
	uint64_t lag_ms = io->now.wall_ms > written_ms ? io->now.wall_ms - written_ms : 0;
	histogram_add(&io->process.counters->histograms[HISTOGRAM_replication_lag_us], lag_ms * 1000);
}

static void answers_release(struct coordinator_io *io)
{
	struct counter_block *counters = io->process.counters;
	struct coordinator_event event = {
	    .type = COORDINATOR_APPLIED, .applied = {.lsn = io->applied.applied_lsn, .vector = &io->applied.applied}};
	uint64_t now_ns = clock_read().monotonic_ns;
	do {
		coordinator_step(&io->machine, &event, &io->effects);
		answers_take(io);
		for (uint32_t i = 0; i < io->effects.answer_count; i++)
			histogram_add(&counters->histograms[HISTOGRAM_acknowledge_us],
			    (now_ns - io->effects.answers[i].arrived_ns) / 1000);
	} while (io->effects.more);
}

static bool apply_is_behind(const struct coordinator_io *io)
{
	return io->applied.applied_lsn < io->durable_lsn && io->apply_idle_lsn != io->durable_lsn && !io->apply_is_blocked;
}

static void apply(struct coordinator_io *io)
{
	struct counter_block *counters = io->process.counters;
	struct error_context error = {0};
	struct apply_result result;
	uint64_t start_ns = clock_read().monotonic_ns;
	strong_apply_begin(io);
	int code = rows_apply_log(
	    io->rows, io->reader, io->durable_lsn, ENTRIES_AN_APPLY_MAX, io->now.wall_ms, record_applied, io, &result, &error);
	if (code == ERR_DISK_FULL) {
		/* Parked answers wait; tried again once a second. */
		logline_distinct(LOG_LEVEL_ERROR, "rows_full", 0, "reason=\"%s\"", error.text);
		io->rows_are_full = io->apply_is_blocked = io->apply_was_full = true;
		io->deletes_taken = false;
		gate_update(io);
		return;
	}
	if (code == ERR_OVERLOADED) {
		/* No descriptor for the next segment: nothing was changed. The same, and writes are refused once the log has no
		 * room to go on. */
		logline_distinct(LOG_LEVEL_ERROR, "apply_delayed", 0, "reason=\"%s\"", error.text);
		io->apply_is_blocked = true;
		return;
	}
	if (code < 0) {
		io_fail(io, code, &error);
		return;
	}
	io->apply_is_blocked = io->apply_was_full = false;
	if (result.applied_lsn == io->applied.applied_lsn)
		io->apply_idle_lsn = io->durable_lsn;
	io->applied = result;
	io->changed = true;
	if (result.damaged)
		store_damage_log(io, result.damaged);
	histogram_add(&counters->histograms[HISTOGRAM_apply_us], (clock_read().monotonic_ns - start_ns) / 1000);
	histogram_add(&counters->histograms[HISTOGRAM_group_records], result.records);
	counter_add(counters, COUNTER_apply_groups, 1);
	counter_add(counters, COUNTER_records_applied, result.records);
	counter_add(counters, COUNTER_conflicts, result.conflicts);
	answers_release(io);
	strong_applied(io);
}

static void io_persist(void *self, struct clock_now now)
{
	struct coordinator_io *io = self;
	io->now = now;
	if (io->failed)
		return;
	peer_stores_look(io);
	gate_look(io);
	strong_durable(io);
	strong_tick(io);
	/* First, so that the disk works while the rows are written. */
	uint64_t waiting = coordinator_parked_count(&io->machine) + strong_waiting(io);
	if (pace_is_due(&io->pace, waiting, now.monotonic_ns)) {
		log_flush(io->log);
		pace_flushed(&io->pace, waiting, now.monotonic_ns);
	}
	if (now.monotonic_ns >= io->upkeep_at_ns) {
		io->upkeep_at_ns = now.monotonic_ns + UPKEEP_EVERY_NS;
		io->log_is_full = false;
		io->apply_is_blocked = false;
		upkeep(io);
	}
	if (apply_is_behind(io)) {
		CRASH_POINT(durable_unapplied);
		apply(io);
		CRASH_POINT(applied_unpublished);
	}
}

/* ---- shared memory ---- */

static void counts_publish(struct coordinator_io *io)
{
	const struct coordinator_counts *now = &io->machine.counts;
	struct coordinator_counts *then = &io->published;
	struct counter_block *counters = io->process.counters;
	counter_add(counters, COUNTER_writes, now->writes - then->writes);
	counter_add(counters, COUNTER_writes_refused, now->writes_refused - then->writes_refused);
	counter_add(counters, COUNTER_writes_repeated, now->writes_repeated - then->writes_repeated);
	counter_add(counters, COUNTER_queue_refused, now->queue_refused - then->queue_refused);
	counter_add(counters, COUNTER_records_received, now->records_received - then->records_received);
	counter_add(counters, COUNTER_records_duplicate, now->records_duplicate - then->records_duplicate);
	counter_add(counters, COUNTER_records_out_of_order, now->records_out_of_order - then->records_out_of_order);
	counter_add(counters, COUNTER_records_ahead, now->records_ahead - then->records_ahead);
	counter_set(counters, COUNTER_records_ahead_ms, now->records_ahead_ms);
	counter_add(counters, COUNTER_frames_refused, now->malformed - then->malformed);
	*then = *now;
}

static void io_publish(void *self, struct clock_now now)
{
	struct coordinator_io *io = self;
	struct shm_coordinator *shm = &io->process.shm.layout->coordinator;
	(void)now;
	counts_publish(io);
	if (!io->changed || io->failed)
		return;
	io->changed = false;
	const struct rows_meta *meta = rows_meta_now(io->rows);
	struct store_id stores[REGIONS_MAX];
	memcpy(stores, meta->peer_stores, sizeof stores);
	memcpy(&stores[io->machine.options.region], meta->store_id, sizeof stores[0]);
	store_table_write(&shm->stores, stores);
	vector_slot_write(&shm->applied, &io->applied.applied);
	atomic_store_explicit(&shm->applied_lsn, io->applied.applied_lsn, memory_order_release);
	atomic_store_explicit(&shm->durable_lsn, io->durable_lsn, memory_order_release);
	atomic_store_explicit(&shm->hlc, io->machine.clock.last, memory_order_relaxed);
	atomic_store_explicit(&shm->refusing, (uint32_t)io->machine.refusing, memory_order_relaxed);
	uint64_t log_syncs = log_sync_count(io->log);
	counter_add(io->process.counters, COUNTER_log_syncs, log_syncs - io->log_syncs);
	io->log_syncs = log_syncs;
	counter_set(io->process.counters, COUNTER_memory_bytes, log_buffered_bytes(io->log));
	doorbell_ring(&io->process.bells[ACTOR_STREAMER]);
}

static void io_send(void *self, struct clock_now now)
{
	struct coordinator_io *io = self;
	if (!io->socket_left)
		io->socket_empty_ns = now.monotonic_ns;
	if (io->replies.message_count)
		CRASH_POINT(applied_unanswered);
	/* What is queued was applied before the failure, or refused for certain. */
	strong_send_all(io);
	replies_send(&io->replies);
}

static uint64_t io_deadline(void *self)
{
	const struct coordinator_io *io = self;
	uint64_t flush_ns = pace_deadline_ns(&io->pace);
	uint64_t timer_ns = strong_deadline_ns(io);
	uint64_t first_ns = flush_ns < io->upkeep_at_ns ? flush_ns : io->upkeep_at_ns;
	return timer_ns < first_ns ? timer_ns : first_ns;
}

static bool io_has_work(void *self)
{
	struct coordinator_io *io = self;
	uint32_t kind, size;
	const uint8_t *bytes;
	if (io->failed)
		return false;
	if (apply_is_behind(io))
		return true;
	return !inbound_is_held(io) && ring_peek(&io->inbound, &kind, &bytes, &size) != ERR_EMPTY;
}

/* ---- commands, start, end ---- */

static int io_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	struct coordinator_io *io = self;
	(void)argument;
	if (!strcmp(command, "drain") || !strcmp(command, "undrain")) {
		io->draining = command[0] == 'd';
		gate_update(io);
		text_add(out, "{\"refusing\": \"%s\"}", error_name(io->machine.refusing));
		return 0;
	}
	if (!strcmp(command, "snapshot")) {
		int code = upkeep_snapshot_start(io, error);
		if (!code)
			text_add(out, "{\"snapshot\": \"started\"}");
		return code;
	}
	return ERR_UNSUPPORTED;
}

static int io_start(struct coordinator_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	struct shm_layout *shm = p->shm.layout;
	int code = ring_attach(&io->inbound, &shm->inbound, shm->inbound_bytes, SHM_INBOUND_RING_SIZE);
	if (code)
		return error_set(error, code, "the inbound ring in shared memory is damaged; stop and start the region");
	atomic_store(&shm->coordinator.ready, 0);
	code = store_start(io, error);
	if (code)
		return code;
	/* Vectors first, the epoch last: who sees the new epoch subscribes from these vectors. */
	io->changed = true;
	io_publish(io, clock_read());
	ring_discard_all(&io->inbound);
	CRASH_POINT(ring_discarded);
	atomic_fetch_add(&shm->coordinator.epoch, 1);
	CRASH_POINT(epoch_raised);

	char endpoint[256];
	process_ipc(p, "coordinator.ipc", endpoint);
	/* A DEALER that binds: what the router forwards arrives as [client][Request], as the client sent it. */
	io->socket_empty_ns = clock_read().monotonic_ns;
	code = socket_bind(&io->socket, p->context, ZMQ_DEALER, endpoint, NULL, error);
	if (!code)
		code = replies_init(&io->replies, io->socket, p->counters);
	if (!code)
		code = loop_add_inbox(p->loop, inbound_drain, io);
	if (!code)
		code = loop_add_fd(p->loop, log_fd(io->log), log_drain, io);
	if (!code)
		code = loop_add_socket(p->loop, io->socket, socket_drain, io);
	if (!code)
		code = strong_start(io, io->commit_floor, error);
	if (!code)
		code = gate_start(io, error);
	if (code && !error->text[0])
		error_set(error, code, "starting the coordinator's loop");
	return code;
}

/* Writes taken before the end was asked for are finished: synced, applied, answered. */
static void io_finish(struct coordinator_io *io)
{
	uint64_t end_ns = clock_read().monotonic_ns + FINISH_MAX_NS;
	struct pollfd wait = {.fd = log_fd(io->log), .events = POLLIN};
	for (struct clock_now now = clock_read(); !io->failed && now.monotonic_ns < end_ns; now = clock_read()) {
		/* Asked before the completions are taken: when nothing was left then, they are the last. */
		bool syncing = log_buffered_bytes(io->log) > 0;
		log_flush(io->log);
		log_drain(io, now, 1);
		io_persist(io, now);
		io_publish(io, now);
		io_send(io, now);
		if (io->apply_is_blocked || (!syncing && !apply_is_behind(io)))
			break;
		if (!apply_is_behind(io))
			poll(&wait, 1, 100);
	}
}

int coordinator_main(int argc, char **argv)
{
	static struct coordinator_io io = {
	    .flags = {.log_segment_mib = LOG_SEGMENT_SIZE_DEFAULT >> 20, .snapshot_mib = 512, .map_gib = 64}};
	const struct loop_actor actor = {.self = &io,
	    .persist = io_persist,
	    .publish = io_publish,
	    .send = io_send,
	    .deadline_ns = io_deadline,
	    .has_work = io_has_work};
	int exit_code =
	    process_start(&io.process, ACTOR_COORDINATOR, coordinator_options_table, &io.flags, argc, argv, &actor, io_command);
	if (exit_code)
		return exit_code < 0 ? 0 : exit_code;
	struct error_context error = {0};
	int code = io_start(&io, &error);
	if (code)
		return process_fail(&io.process, code, &error);
	atomic_store(&io.process.shm.layout->coordinator.ready, 1);
	process_ready(&io.process);
	code = loop_run(io.process.loop);
	io_finish(&io);
	atomic_store(&io.process.shm.layout->coordinator.ready, 0);
	strong_stop(&io);
	store_stop(&io);
	replies_deinit(&io.replies);
	coordinator_deinit(&io.machine);
	loop_stop(io.process.loop, io.failed ? io.failed : code);
	exit_code = process_run(&io.process);
	/* Now that its sockets are closed. */
	for (uint8_t id = 0; id < REGIONS_MAX; id++)
		lend_budget_deinit(&io.unsent[id]);
	return exit_code;
}
