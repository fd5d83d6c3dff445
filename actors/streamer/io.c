/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/io.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/streamer/inbox.h"
#include "actors/streamer/message.h"
#include "actors/streamer/outbox.h"
#include "actors/streamer/streamer.h"
#include "base/crash_point.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"

#define DELIVER_MAX 16384u /* records moved into the ring a turn */
#define ROUNDS_MAX  4u     /* frames sent to each subscriber a turn */
#define PENDING_MAX 64u
#define RETRY_NS    (1 * STREAMER_MS) /* after a full ring or a full socket */
#define HIGH_WATER  256u
/* A subscriber that runs into its socket's limit at a full window would only mean that the limit is too small. */
#define MESSAGE_MAX_BYTES ((int64_t)PEER_MESSAGE_MAX)

struct flags {
	uint32_t linger_us;
};
static const struct option option_table[] = {
    {"linger-us", 0, OPTION_U32, offsetof(struct flags, linger_us), 0, 1000000, "MICROSECONDS",
        "how long a small frame waits for more records when one was just sent"},
    {0},
};

struct subscriber {
	uint8_t identity[IDENTITY_SIZE_MAX];
	uint32_t identity_size;
	uint32_t allowance_too_small; /* the next frame does not fit into this much credit */
	uint64_t retry_ns;            /* its socket was full */
};

struct streamer_io {
	struct process process;
	struct flags flags;
	struct streamer machine;
	struct peer_rules rules;
	uint64_t fingerprint;
	struct text definition; /* of the topology */
	struct inbox inbox;
	struct outbox outbox;
	void *server;
	void *peers[REGIONS_MAX];
	struct subscriber subscribers[REGIONS_MAX];
	uint64_t now_ns;
	uint64_t applied_lsn;  /* as last looked at */
	struct store_id store; /* for whose peers shared memory was put in order */
	uint64_t ring_full_ns; /* not to be tried again before */
	uint64_t send_deadline_ns;
	bool send_again;
	/* The message being handled, for effects that answer it. */
	const struct message *message;
	const struct frame *frame;
	const char *held_name;
	/* Events that arose while effects were applied. */
	bool stepping;
	uint32_t pending_count;
	struct streamer_event pending[PENDING_MAX];
	struct streamer_effects effects;
	uint8_t out[PEER_MESSAGE_MAX];
};

static const char *peer_name(const struct streamer_io *io, uint8_t peer)
{
	const struct region *region = topology_region_by_id(&io->process.topology, peer);
	return region ? region->name : "unknown";
}

static const char *link_state_text(enum link_state state)
{
	static const char *const texts[] = {"down", "subscribed", "refused", "needs_resync"};
	return state <= LINK_NEEDS_RESYNC ? texts[state] : "unknown";
}

/* ---- effects -------------------------------------------------------------------------------------------------------- */

static void io_feed(struct streamer_io *io, struct streamer_event event);

static void apply_publish(struct streamer_io *io, const struct streamer_effect *effect)
{
	struct shm_link *link = &io->process.shm.layout->links[effect->peer];
	bool inbound = effect->kind == STREAMER_PUBLISH_INBOUND;
	if (inbound)
		atomic_store_explicit(&link->inbound_code, effect->code, memory_order_relaxed);
	atomic_store_explicit(inbound ? &link->inbound : &link->outbound, (uint32_t)effect->state, memory_order_release);
	enum log_level level = LOG_LEVEL_INFO;
	if (effect->state == LINK_NEEDS_RESYNC || effect->code == ERR_REGION_REUSED || effect->code == ERR_CORRUPT)
		level = LOG_LEVEL_ERROR;
	else if (effect->state != LINK_SUBSCRIBED)
		level = LOG_LEVEL_WARN;
	logline(level, inbound ? "inbound_stream" : "outbound_stream", "peer=%s state=%s code=%s reason=\"%s\"",
	    peer_name(io, effect->peer), link_state_text(effect->state), error_name(effect->code), error_text(effect->code));
}

static void apply_held(struct streamer_io *io, const struct streamer_effect *effect)
{
	struct shm_link *link = &io->process.shm.layout->links[effect->peer];
	const char *name = peer_name(io, effect->peer);
	if (effect->kind == STREAMER_PUBLISH_HELD_IN)
		atomic_store_explicit(&link->inbound_held, effect->origins, memory_order_relaxed);
	else
		atomic_store_explicit(&link->outbound_held, effect->origins ? effect->keyspace + 1 : 0, memory_order_relaxed);
	if (!effect->origins) {
		logline(LOG_LEVEL_INFO, "stream_goes_on", "peer=%s", name);
	} else if (effect->kind == STREAMER_PUBLISH_HELD_OUT) {
		logline(LOG_LEVEL_WARN, "stream_held",
		    "to=%s keyspace=%s origins=%u reason=\"its topology defines this keyspace otherwise, or not at all; "
		    "records "
		    "from the first one of it on wait in this log\"",
		    name, io->process.topology.keyspaces[effect->keyspace].name, effect->origins);
	} else {
		struct text keyspace = {0};
		const char *held = io->held_name ? io->held_name : "";
		text_add_json_string(&keyspace, held, strnlen(held, NAME_SIZE_MAX));
		logline(LOG_LEVEL_WARN, "stream_held",
		    "from=%s keyspace=%s origins=%u reason=\"this topology defines this keyspace otherwise, or not at all; "
		    "records "
		    "from the first one of it on wait in its log\"",
		    name, keyspace.bytes ? keyspace.bytes : "", effect->origins);
		text_deinit(&keyspace);
	}
}

static void apply_open(struct streamer_io *io, const struct streamer_effect *effect)
{
	struct subscriber *subscriber = &io->subscribers[effect->peer];
	assert(io->message);
	memcpy(subscriber->identity, io->message->identity, io->message->identity_size);
	subscriber->identity_size = io->message->identity_size;
	subscriber->allowance_too_small = 0;
	subscriber->retry_ns = 0;
	struct error_context error = {0};
	int code = outbox_open(&io->outbox, effect->peer, &effect->vector, effect->origins, effect->keyspaces, &error);
	CRASH_POINT(stream_opened);
	if (!code) {
		io_feed(io, (struct streamer_event){.kind = STREAMER_OPENED, .peer = effect->peer});
		return;
	}
	logline_distinct(LOG_LEVEL_ERROR, "stream_not_opened", effect->peer, "peer=%s code=%s reason=\"%s\"",
	    peer_name(io, effect->peer), error_name(code), error.text);
	io_feed(io, (struct streamer_event){.kind = STREAMER_SEND_FAILED, .peer = effect->peer, .send_failed.code = code});
}

static void apply_send(struct streamer_io *io, const struct streamer_effect *effect)
{
	size_t size = peer_message_pack(&io->rules, effect, io->fingerprint, io->out);
	if (effect->kind == STREAMER_SEND_SUBSCRIBE || effect->kind == STREAMER_SEND_ACKNOWLEDGE) {
		if (effect->kind == STREAMER_SEND_ACKNOWLEDGE)
			CRASH_POINT(acknowledge_unsent);
		int code = socket_send(io->peers[effect->peer], NULL, 0, io->out, size);
		if (effect->kind == STREAMER_SEND_ACKNOWLEDGE)
			CRASH_POINT(acknowledge_sent);
		if (effect->kind != STREAMER_SEND_SUBSCRIBE)
			return; /* a lost acknowledgement is made up for by the next */
		if (code)
			io_feed(io, (struct streamer_event){.kind = STREAMER_NOT_SENT, .peer = effect->peer});
		else if (effect->repeated)
			counter_add(io->process.counters, COUNTER_resubscribes, 1);
		if (!code && effect->why)
			logline(
			    LOG_LEVEL_INFO, "resubscribed", "peer=%s reason=\"%s\"", peer_name(io, effect->peer), effect->why);
		return;
	}
	const uint8_t *identity = io->subscribers[effect->peer].identity;
	uint32_t identity_size = io->subscribers[effect->peer].identity_size;
	if (effect->kind == STREAMER_SEND_REFUSAL && io->message) {
		identity = io->message->identity;
		identity_size = io->message->identity_size;
	}
	if (identity_size == 0)
		return;
	int code = socket_send(io->server, identity, identity_size, io->out, size);
	if (code == ERR_UNREACHABLE && effect->kind == STREAMER_SEND_ALIVE)
		io_feed(
		    io, (struct streamer_event){.kind = STREAMER_SEND_FAILED, .peer = effect->peer, .send_failed.code = code});
}

static void apply_take(struct streamer_io *io, const struct streamer_effect *effect)
{
	struct error_context error = {0};
	assert(io->frame);
	int code = inbox_take(&io->inbox, effect->peer, io->frame, effect->origins, &error);
	if (code) {
		counter_add(io->process.counters, COUNTER_frames_refused, 1);
		logline_distinct(LOG_LEVEL_ERROR, "frame_refused", effect->peer, "peer=%s code=%s reason=\"%s\"",
		    peer_name(io, effect->peer), error_name(code), error.text);
		io_feed(io, (struct streamer_event){.kind = STREAMER_FRAME_BAD, .peer = effect->peer});
		return;
	}
	CRASH_POINT(frame_taken);
	counter_add(io->process.counters, COUNTER_frames_received, 1);
	counter_add(io->process.counters, COUNTER_bytes_received, io->frame->payload_size);
}

static void io_apply(struct streamer_io *io, const struct streamer_effect *effect)
{
	switch (effect->kind) {
	case STREAMER_SEND_SUBSCRIBE:
	case STREAMER_SEND_ACKNOWLEDGE:
	case STREAMER_SEND_ALIVE:
	case STREAMER_SEND_REFUSAL:
		apply_send(io, effect);
		break;
	case STREAMER_OPEN_STREAM:
		apply_open(io, effect);
		break;
	case STREAMER_CLOSE_STREAM:
		outbox_close(&io->outbox, effect->peer);
		io->subscribers[effect->peer].identity_size = 0;
		break;
	case STREAMER_TAKE_FRAME:
		apply_take(io, effect);
		break;
	case STREAMER_REFUSE_FRAME:
		counter_add(io->process.counters, COUNTER_frames_refused, 1);
		logline_distinct(LOG_LEVEL_ERROR, "frame_refused", effect->peer, "peer=%s code=%s reason=\"beyond its credit\"",
		    peer_name(io, effect->peer), error_name(effect->code));
		break;
	case STREAMER_DROP_FRAMES:
		inbox_drop(&io->inbox, effect->peer);
		break;
	case STREAMER_PUBLISH_INBOUND:
	case STREAMER_PUBLISH_OUTBOUND:
		apply_publish(io, effect);
		break;
	case STREAMER_PUBLISH_ACKED: {
		struct shm_link *link = &io->process.shm.layout->links[effect->peer];
		vector_slot_write(&link->acked, &effect->vector);
		atomic_store_explicit(&link->acked_tag, shm_store_tag(&io->store), memory_order_release);
		atomic_store_explicit(&link->acked_at_ns, io->now_ns, memory_order_release);
		break;
	}
	case STREAMER_PUBLISH_REUSED:
		atomic_store_explicit(
		    &io->process.shm.layout->links[effect->peer].reused, effect->reused, memory_order_release);
		if (effect->reused)
			logline(LOG_LEVEL_ERROR, "region_reused",
			    "peer=%s reason=\"it holds other records of this region than this region does: wiped or restored\"",
			    peer_name(io, effect->peer));
		break;
	case STREAMER_PUBLISH_HELD_IN:
	case STREAMER_PUBLISH_HELD_OUT:
		apply_held(io, effect);
		break;
	case STREAMER_PUBLISH_SEEN:
		store_seen_write(&io->process.shm.layout->links[effect->peer].seen, &io->store, &effect->store);
		doorbell_ring(&io->process.bells[ACTOR_COORDINATOR]);
		break;
	}
}

/* Steps the machine and applies what it wants; events that arise from that are stepped behind it, not inside. */
static void io_feed(struct streamer_io *io, struct streamer_event event)
{
	assert(io->pending_count < PENDING_MAX);
	event.now_ns = io->now_ns;
	io->pending[io->pending_count++] = event;
	if (io->stepping)
		return;
	io->stepping = true;
	for (uint32_t i = 0; i < io->pending_count; i++) {
		event = io->pending[i];
		streamer_step(&io->machine, &event, &io->effects);
		for (uint32_t j = 0; j < io->effects.count; j++)
			io_apply(io, &io->effects.items[j]);
	}
	io->pending_count = 0;
	io->stepping = false;
}

/* ---- messages ------------------------------------------------------------------------------------------------------- */

static void message_refuse(struct streamer_io *io, const char *from, int code, const struct error_context *error)
{
	counter_add(io->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "message_refused", (uint64_t)-code, "from=%s code=%s reason=\"%s\"", from,
	    error_name(code), error->text);
}

/* What its topology shares with this one, for the stream to it and for the coordinator's votes; what differs is told (G20). */
static void topologies_compare(struct streamer_io *io, struct peer_message *message)
{
	static const char *const effects[] = {[TOPOLOGY_SAME] = "",
	    [TOPOLOGY_ROLLS] = "nothing stops",
	    [TOPOLOGY_HOLDS] = "records and votes of such a keyspace wait",
	    [TOPOLOGY_APART] = "nothing is exchanged"};
	struct topology_agreement agreement;
	if (message->event.kind != STREAMER_SUBSCRIBE)
		return;
	struct shm_link *link = &io->process.shm.layout->links[message->event.peer];
	topology_agree(io->definition.bytes, message->definition, &agreement);
	message->event.subscribe.keyspaces = ~agreement.other;
	atomic_store_explicit(&link->keyspaces_same, agreement.same, memory_order_relaxed);
	atomic_store_explicit(&link->keyspaces_other, agreement.other, memory_order_release);
	if (agreement.worst == TOPOLOGY_SAME)
		return;
	logline_distinct(agreement.worst == TOPOLOGY_APART ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "topology_differs",
	    logline_subject(agreement.what) + message->event.peer, "peer=%s reason=\"%s\" effect=\"%s\"",
	    peer_name(io, message->event.peer), agreement.what, effects[agreement.worst]);
}

/* Who the key belongs to has to be who the message says that it is from. */
static int server_check_user(struct streamer_io *io, struct message *message, uint8_t peer, struct error_context *error)
{
	const char *user = message_user(message);
	if (!user || strcmp(user, peer_name(io, peer)) != 0)
		return error_set(error, ERR_MALFORMED, "the key of %s is used in the name of %s", user ? user : "nobody",
		    peer_name(io, peer));
	return 0;
}

static void server_handle(struct streamer_io *io, struct message *message)
{
	struct peer_message parsed;
	struct error_context error = {0};
	int code = peer_message_parse(&parsed, &io->rules, true, message_bytes(message), message_size(message), &error);
	if (code == 0) {
		code = server_check_user(io, message, parsed.event.peer, &error);
		if (code == 0) {
			io->rules.newest[parsed.event.peer] = parsed.newest;
			topologies_compare(io, &parsed);
			io_feed(io, parsed.event);
		}
		peer_message_close(&parsed);
	}
	if (code == 0)
		return;
	const char *user = message_user(message);
	message_refuse(io, user ? user : "nobody", code, &error);
	/* Only these two can be told apart by a peer that speaks some other version or of another cluster. */
	if (code == ERR_WRONG_VERSION || code == ERR_CONFIGURATION) {
		struct streamer_effect refusal = {.kind = STREAMER_SEND_REFUSAL, .code = code};
		size_t size = peer_message_pack(&io->rules, &refusal, io->fingerprint, io->out);
		socket_send(io->server, message->identity, message->identity_size, io->out, size);
	}
}

static uint32_t server_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct streamer_io *io = self;
	uint32_t count = 0;
	io->now_ns = now.monotonic_ns;
	for (; count < limit; count++) {
		struct message message;
		int code = socket_receive(io->server, &message, false);
		if (code == ERR_MALFORMED) {
			struct error_context error = {0};
			error_set(&error, code, "a message of the wrong number of parts");
			message_refuse(io, "unknown", code, &error);
			continue;
		}
		if (code)
			break;
		io->message = &message;
		server_handle(io, &message);
		io->message = NULL;
		message_close(&message);
	}
	return count;
}

static void peer_handle(struct streamer_io *io, uint8_t peer, struct message *message)
{
	struct peer_message parsed;
	struct error_context error = {0};
	int code = peer_message_parse(&parsed, &io->rules, false, message_bytes(message), message_size(message), &error);
	if (code == 0 && parsed.event.peer != peer) {
		peer_message_close(&parsed);
		code = error_set(&error, ERR_MALFORMED, "it calls itself %s", peer_name(io, parsed.event.peer));
	}
	if (code) {
		message_refuse(io, peer_name(io, peer), code, &error);
		/* As good as a refusal: what it answers in another version or of another cluster is no service. */
		if (code == ERR_WRONG_VERSION || code == ERR_CONFIGURATION)
			io_feed(io, (struct streamer_event){.kind = STREAMER_REFUSAL,
			                .peer = peer,
			                .refusal = {.epoch = io->machine.inbound[peer].epoch, .code = code}});
		return;
	}
	io->rules.newest[peer] = parsed.newest;
	io->frame = &parsed.frame;
	io->held_name = parsed.held_name;
	io_feed(io, parsed.event);
	io->held_name = NULL;
	io->frame = NULL;
	peer_message_close(&parsed);
}

struct peer_source {
	struct streamer_io *io;
	uint8_t peer;
};

static uint32_t peer_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct peer_source *source = self;
	struct streamer_io *io = source->io;
	uint32_t count = 0;
	io->now_ns = now.monotonic_ns;
	for (; count < limit; count++) {
		struct message message;
		int code = socket_receive(io->peers[source->peer], &message, false);
		if (code == ERR_MALFORMED) {
			struct error_context error = {0};
			error_set(&error, code, "a message of the wrong number of parts");
			message_refuse(io, peer_name(io, source->peer), code, &error);
			continue;
		}
		if (code)
			break;
		peer_handle(io, source->peer, &message);
		message_close(&message);
	}
	return count;
}

/* ---- a turn --------------------------------------------------------------------------------------------------------- */

/* What an earlier life of the data directory has left. */
static void links_put_in_order(struct streamer_io *io, const struct store_id *store)
{
	static const struct vector nothing = {{0}};
	if (store_id_is_equal(&io->store, store))
		return;
	io->store = *store;
	for (uint32_t peer = 0; peer < REGIONS_MAX; peer++) {
		struct shm_link *link = &io->process.shm.layout->links[peer];
		if (atomic_load_explicit(&link->acked_tag, memory_order_relaxed) == shm_store_tag(store))
			continue;
		vector_slot_write(&link->acked, &nothing);
		atomic_store_explicit(&link->acked_at_ns, 0, memory_order_relaxed);
		atomic_store_explicit(&link->acked_tag, shm_store_tag(store), memory_order_release);
	}
}

static void io_look(struct streamer_io *io)
{
	const struct shm_coordinator *coordinator = &io->process.shm.layout->coordinator;
	struct streamer_event event = {.kind = STREAMER_LOCAL};
	/* The vector is published before the LSN: read in the other order, it covers every record up to that LSN. Only those
	 * are sent, so no peer ever holds more of this region than it says of itself. */
	io->applied_lsn = atomic_load_explicit(&coordinator->applied_lsn, memory_order_acquire);
	event.local.coordinator_epoch = atomic_load_explicit(&coordinator->epoch, memory_order_acquire);
	event.local.ready = atomic_load_explicit(&coordinator->ready, memory_order_acquire) != 0;
	vector_slot_read(&coordinator->applied, &event.local.applied);
	store_table_read(&coordinator->stores, event.local.stores);
	if (event.local.ready)
		links_put_in_order(io, &event.local.stores[io->machine.region]);
	io_feed(io, event);
}

static void io_tick(void *self, struct clock_now now)
{
	struct streamer_io *io = self;
	io->now_ns = now.monotonic_ns;
	io_look(io);
	io_feed(io, (struct streamer_event){.kind = STREAMER_TICK});
}

static void io_publish(void *self, struct clock_now now)
{
	struct streamer_io *io = self;
	io->now_ns = now.monotonic_ns;
	struct inbox_delivery delivery = {0};
	if (inbox_is_empty(&io->inbox) || !io->machine.ready || io->now_ns < io->ring_full_ns)
		return;
	int code = inbox_deliver(&io->inbox, &io->machine.applied, DELIVER_MAX, &delivery);
	io->ring_full_ns = code == ERR_FULL ? io->now_ns + RETRY_NS : 0;
	if (code && code != ERR_FULL) {
		logline(LOG_LEVEL_ERROR, "ring_broken", "code=%s", error_name(code));
		loop_stop(io->process.loop, error_exit_code(code));
		return;
	}
	if (delivery.pushed)
		doorbell_ring(&io->process.bells[ACTOR_COORDINATOR]);
	counter_add(io->process.counters, COUNTER_records_received, delivery.pushed);
	counter_add(io->process.counters, COUNTER_records_duplicate, delivery.skipped);
	for (uint8_t peer = 0; peer < REGIONS_MAX; peer++)
		if (delivery.delivered[peer])
			io_feed(io, (struct streamer_event){.kind = STREAMER_DELIVERED,
			                .peer = peer,
			                .delivered.raw_size = (uint32_t)delivery.delivered[peer]});
}

static void subscriber_failed(struct streamer_io *io, uint8_t peer, int code, const struct error_context *error)
{
	if (code == ERR_CORRUPT)
		logline_distinct(LOG_LEVEL_ERROR, "log_unreadable", peer, "peer=%s code=%s reason=\"%s\"", peer_name(io, peer),
		    error_name(code), error->text);
	io_feed(io, (struct streamer_event){.kind = STREAMER_SEND_FAILED, .peer = peer, .send_failed.code = code});
}

static int subscriber_send_frame(struct streamer_io *io, uint8_t peer, const struct outbox_frame *frame)
{
	struct subscriber *subscriber = &io->subscribers[peer];
	const struct streamer_outbound *out = &io->machine.outbound[peer];
	size_t size = peer_message_pack_frame(&io->rules, peer, out->epoch, out->number + 1, &frame->frame, io->out);
	CRASH_POINT(frame_built);
	int code = socket_send(io->server, subscriber->identity, subscriber->identity_size, io->out, size);
	if (code)
		return code;
	CRASH_POINT(frame_sent);
	struct counter_block *counters = io->process.counters;
	counter_add(counters, COUNTER_frames_sent, 1);
	counter_add(counters, COUNTER_bytes_raw, frame->frame.raw_size);
	counter_add(counters, COUNTER_bytes_sent, frame->frame.payload_size);
	io_feed(io, (struct streamer_event){.kind = STREAMER_SENT, .peer = peer, .sent.raw_size = frame->frame.raw_size});
	return 0;
}

/* Sends at most one frame; true when something moved. */
static bool subscriber_turn(struct streamer_io *io, uint8_t peer)
{
	struct subscriber *subscriber = &io->subscribers[peer];
	struct outbox_stream *stream = &io->outbox.streams[peer];
	if (!stream->open || io->applied_lsn <= stream->lsn)
		return false;
	if (io->now_ns < subscriber->retry_ns) {
		io->send_deadline_ns = subscriber->retry_ns;
		return false;
	}
	uint32_t allowance = streamer_allowance(&io->machine, peer, io->now_ns, io->applied_lsn - stream->lsn);
	if (allowance <= subscriber->allowance_too_small) {
		uint64_t linger_ns = streamer_linger_until(&io->machine, peer);
		if (linger_ns > io->now_ns && linger_ns < io->send_deadline_ns)
			io->send_deadline_ns = linger_ns;
		return false;
	}
	const struct outbox_frame *frame;
	struct error_context error = {0};
	int code = outbox_frame(&io->outbox, peer, io->applied_lsn, &frame, &error);
	if (code == ERR_EMPTY)
		return false;
	if (code == 0 && frame->records && frame->frame.raw_size > allowance) {
		subscriber->allowance_too_small = allowance;
		return false;
	}
	if (code == 0 && frame->records)
		code = subscriber_send_frame(io, peer, frame);
	if (code == ERR_OVERLOADED) {
		subscriber->retry_ns = io->now_ns + RETRY_NS;
		io->send_deadline_ns = subscriber->retry_ns;
		return false;
	}
	if (code) {
		subscriber_failed(io, peer, code, &error);
		return false;
	}
	subscriber->allowance_too_small = 0;
	outbox_advance(&io->outbox, peer, frame);
	if (frame->held)
		io_feed(io,
		    (struct streamer_event){.kind = STREAMER_HELD, .peer = peer, .held = {frame->held, frame->held_keyspace}});
	atomic_store_explicit(&io->process.shm.layout->links[peer].sent_lsn, stream->lsn, memory_order_relaxed);
	return true;
}

static void io_send(void *self, struct clock_now now)
{
	struct streamer_io *io = self;
	io->now_ns = now.monotonic_ns;
	io->send_deadline_ns = LOOP_NEVER;
	bool moved = true;
	/* One frame each in turn: subscribers at the same place then share it. */
	for (uint32_t round = 0; round < ROUNDS_MAX && moved; round++) {
		moved = false;
		for (uint8_t peer = 0; peer < REGIONS_MAX; peer++)
			moved = subscriber_turn(io, peer) || moved;
	}
	io->send_again = moved;
	counter_set(io->process.counters, COUNTER_memory_bytes, io->inbox.bytes);
}

static bool inbox_can_move(const struct streamer_io *io)
{
	return !inbox_is_empty(&io->inbox) && io->machine.ready && io->ring_full_ns == 0;
}

static uint64_t io_deadline(void *self)
{
	struct streamer_io *io = self;
	if (io->send_again || inbox_can_move(io))
		return 0;
	uint64_t deadline_ns = streamer_deadline_ns(&io->machine);
	if (io->send_deadline_ns < deadline_ns)
		deadline_ns = io->send_deadline_ns;
	if (io->ring_full_ns && io->ring_full_ns < deadline_ns)
		deadline_ns = io->ring_full_ns;
	return deadline_ns;
}

static bool io_has_work(void *self)
{
	struct streamer_io *io = self;
	const struct shm_coordinator *coordinator = &io->process.shm.layout->coordinator;
	return io->send_again || inbox_can_move(io) ||
	       atomic_load_explicit(&coordinator->applied_lsn, memory_order_acquire) != io->applied_lsn ||
	       atomic_load_explicit(&coordinator->epoch, memory_order_acquire) != io->machine.coordinator_epoch;
}

/* ---- admin ---------------------------------------------------------------------------------------------------------- */

static void streams_json(const struct streamer_io *io, struct text *out)
{
	const struct streamer *s = &io->machine;
	char vector[VECTOR_TEXT_MAX];
	const char *comma = "";
	text_add(out, "{\"draining\":%s,\"streams\":[", s->draining ? "true" : "false");
	for (uint8_t peer = 0; peer < REGIONS_MAX; peer++) {
		if (!(s->peers >> peer & 1))
			continue;
		const struct streamer_inbound *in = &s->inbound[peer];
		const struct streamer_outbound *outbound = &s->outbound[peer];
		text_add(out, "%s{\"peer\":", comma);
		text_add_json_string(out, peer_name(io, peer), strlen(peer_name(io, peer)));
		text_add(out, ",\"version\":%u", version_agree(PROTOCOL_VERSION, io->rules.newest[peer]));
		text_add(out,
		    ",\"inbound\":{\"state\":\"%s\",\"code\":\"%s\",\"epoch\":%llu,\"origins\":%u,\"frames\":%llu,"
		    "\"received_bytes\":%llu,\"waiting_bytes\":%llu,\"credit\":%llu}",
		    link_state_text(in->state), error_name(in->code), (unsigned long long)in->epoch, in->origins,
		    (unsigned long long)in->number, (unsigned long long)in->received_bytes,
		    (unsigned long long)(in->received_bytes - in->delivered_bytes), (unsigned long long)in->credit);
		vector_format(&outbound->acked, vector);
		text_add(out,
		    ",\"outbound\":{\"state\":\"%s\",\"code\":\"%s\",\"epoch\":%llu,\"origins\":%u,\"frames\":%llu,"
		    "\"sent_bytes\":%llu,\"credit\":%llu,\"lsn\":%llu,\"acked\":\"%s\"}}",
		    link_state_text(outbound->state), error_name(outbound->code), (unsigned long long)outbound->epoch,
		    io->outbox.streams[peer].origins, (unsigned long long)outbound->number,
		    (unsigned long long)outbound->sent_bytes, (unsigned long long)outbound->credit,
		    (unsigned long long)io->outbox.streams[peer].lsn, vector);
		comma = ",";
	}
	text_add(out, "]}");
}

static int io_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	struct streamer_io *io = self;
	(void)argument;
	if (strcmp(command, "drain") == 0) {
		/* What is durable still goes out; no more is taken in than the credit that was given already. */
		io_feed(io, (struct streamer_event){.kind = STREAMER_DRAIN});
		text_add(out, "{\"draining\":true}");
		return 0;
	}
	if (strcmp(command, "streams") == 0) {
		streams_json(io, out);
		return 0;
	}
	return error_set(error, ERR_UNSUPPORTED, "the streamer has no command %s; it knows drain and streams", command);
}

/* ---- start ---------------------------------------------------------------------------------------------------------- */

static int io_connect(struct streamer_io *io, const struct region *region, struct error_context *error)
{
	static struct peer_source sources[REGIONS_MAX];
	struct process *p = &io->process;
	const struct socket_options options = {.high_water = HIGH_WATER, .message_size_max = MESSAGE_MAX_BYTES};
	int code = process_connect(p, &io->peers[region->id], region, SERVICE_STREAM, &options, NULL, error);
	if (code)
		return code;
	sources[region->id] = (struct peer_source){.io = io, .peer = region->id};
	return loop_add_socket(p->loop, io->peers[region->id], peer_drain, &sources[region->id]);
}

static int io_connect_all(struct streamer_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	char endpoint[128];
	int code = process_serve_curve(p, false, error);
	if (!code)
		code = process_listens(p, SERVICE_STREAM, endpoint, error);
	if (code)
		return code;
	struct socket_options options = {.own = &p->keys, .high_water = HIGH_WATER, .message_size_max = MESSAGE_MAX_BYTES};
	code = socket_bind(&io->server, p->context, ZMQ_ROUTER, endpoint, &options, error);
	if (!code)
		code = loop_add_socket(p->loop, io->server, server_drain, io);
	for (uint32_t i = 0; i < p->topology.region_count && !code; i++)
		if (p->topology.regions[i].id != p->region->id)
			code = io_connect(io, &p->topology.regions[i], error);
	return code;
}

static int io_start(struct streamer_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	struct shm_layout *layout = p->shm.layout;
	struct clock_now now = clock_read();
	uint32_t peers = 0;
	for (uint32_t i = 0; i < p->topology.region_count; i++)
		peers |= p->topology.regions[i].id != p->region->id ? 1u << p->topology.regions[i].id : 0;
	io->rules = (struct peer_rules){.cluster = p->topology.cluster, .region = p->region->id, .peers = peers};
	io->fingerprint = topology_base_fingerprint(&p->topology);
	topology_definition(&p->topology, &io->definition);
	io->rules.definition = io->definition.bytes;
	io->rules.keyspaces = p->topology.keyspaces;
	io->now_ns = now.monotonic_ns;
	io->send_deadline_ns = LOOP_NEVER;
	streamer_init(&io->machine, &(struct streamer_options){.region = p->region->id,
	                                .peers = peers,
	                                .fingerprint = io->fingerprint,
	                                .epoch_start = now.wall_ms * STREAMER_MS,
	                                .linger_ns = io->flags.linger_us * 1000ull,
	                                .now_ns = now.monotonic_ns});
	io->inbox.region = p->region->id;
	int code = ring_attach(&io->inbox.ring, &layout->inbound, layout->inbound_bytes, SHM_INBOUND_RING_SIZE);
	if (code)
		return error_set(error, code, "the inbound ring in shared memory is broken");
	for (uint32_t peer = 0; peer < REGIONS_MAX; peer++) { /* what the process before us left says nothing any more */
		atomic_store_explicit(&layout->links[peer].inbound, LINK_DOWN, memory_order_relaxed);
		atomic_store_explicit(&layout->links[peer].outbound, LINK_DOWN, memory_order_relaxed);
		atomic_store_explicit(&layout->links[peer].reused, 0, memory_order_relaxed);
		atomic_store_explicit(&layout->links[peer].outbound_held, 0, memory_order_relaxed);
		atomic_store_explicit(&layout->links[peer].inbound_held, 0, memory_order_relaxed);
	}
	char log_dir[300];
	snprintf(log_dir, sizeof log_dir, "%s/log", p->region_dir);
	code = outbox_init(&io->outbox, log_dir, p->topology.compression);
	if (code)
		return error_set(error, code, "no memory for frames");
	io_look(io);
	return io_connect_all(io, error);
}

int streamer_main(int argc, char **argv)
{
	static struct streamer_io io = {.flags.linger_us = 1000};
	struct loop_actor actor = {.self = &io,
	    .tick = io_tick,
	    .publish = io_publish,
	    .send = io_send,
	    .deadline_ns = io_deadline,
	    .has_work = io_has_work};
	int exit_code = process_start(&io.process, ACTOR_STREAMER, option_table, &io.flags, argc, argv, &actor, io_command);
	if (exit_code)
		return exit_code < 0 ? 0 : exit_code;
	struct error_context error = {0};
	int code = io_start(&io, &error);
	if (code)
		return process_fail(&io.process, code, &error);
	process_ready(&io.process);
	exit_code = process_run(&io.process);
	for (uint8_t peer = 0; peer < REGIONS_MAX; peer++)
		inbox_drop(&io.inbox, peer);
	outbox_deinit(&io.outbox);
	text_deinit(&io.definition);
	return exit_code;
}
