/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/io.h"
#include "base/bytes.h"
#include "base/crash_point.h"
#include "commit/message.h"
#include "core/version.h"
#include "runtime/logline.h"

#define ENVELOPE_VERSION 6u /* the oldest understood */
#define HIGH_WATER       256u
/* A region that answered neither a heartbeat (each 100 ms) nor us for so long, and two round trips, is not counted on. A hint:
 * it refuses what could not succeed before it is begun, for then the refusal is certain. */
#define SILENCE_MAX_NS 250000000ull
#define START_TRUST_NS 2000000000ull
/* Between two times that a peer is told that its start was not met. */
#define ASK_NS 100000000ull

/* ---- out ---- */

void strong_envelope_begin(const struct coordinator_io *io, uint8_t to, enum strong_envelope kind, uint8_t *out)
{
	uint32_t newest = kind == STRONG_MESSAGES ? io->strong.peers[to].newest : 0;
	out[0] = (uint8_t)version_agree(ENVELOPE_VERSION, newest);
	out[1] = io->process.region->id;
	out[2] = to;
	out[3] = (uint8_t)kind;
	bytes_put_u64(out + 4, io->strong.fingerprint);
	memcpy(out + 12, rows_meta_now(io->rows)->store_id, STORE_ID_SIZE);
	bytes_put_u64(out + STRONG_NONCE_AT, starts_last(&io->starts.own).nonce);
	out[STRONG_NEWEST_AT] = (uint8_t)(ENVELOPE_VERSION + version_ahead());
}

bool strong_envelope_send(struct coordinator_io *io, uint8_t to, const uint8_t *bytes, size_t size)
{
	struct counter_block *counters = io->process.counters;
	if (lend_within(&io->unsent[to], io->strong.peers[to].socket, NULL, 0, bytes, size) < 0) {
		counter_add(counters, COUNTER_queue_refused, 1);
		return false;
	}
	counter_add(counters, COUNTER_frames_sent, 1);
	counter_add(counters, COUNTER_bytes_sent, size);
	return true;
}

/* A peer that is away or does not read loses it: the machine asks again. */
static void batch_send(struct coordinator_io *io, uint8_t to)
{
	struct strong_peer *peer = &io->strong.peers[to];
	if (peer->size)
		strong_envelope_send(io, to, peer->batch, peer->size);
	peer->size = 0;
}

void strong_send(struct coordinator_io *io, uint32_t to, const struct commit_message *message)
{
	size_t size = commit_message_size(message);
	assert(size <= STRONG_MESSAGE_MAX);
	for (uint8_t id = 0; id < REGIONS_MAX; id++) {
		struct strong_peer *peer = &io->strong.peers[id];
		if (!(to & 1u << id) || !peer->socket)
			continue;
		if (!peer->size) {
			strong_envelope_begin(io, id, STRONG_MESSAGES, peer->batch);
			peer->size = STRONG_ENVELOPE_SIZE;
		}
		uint8_t *out = peer->batch + peer->size;
		bytes_put_u16(out, (uint16_t)size);
		bytes_put_u16(out + 2, (uint16_t)(size >> 16));
		long encoded = commit_message_encode(message, out + 4, size);
		assert(encoded == (long)size);
		peer->size += 4 + size;
		if (peer->size >= STRONG_BATCH_MAX)
			batch_send(io, id);
	}
}

void strong_send_all(struct coordinator_io *io)
{
	bool any = false;
	for (uint8_t id = 0; id < REGIONS_MAX; id++) {
		if (!io->strong.peers[id].size)
			continue;
		if (any)
			CRASH_POINT(commit_part_sent);
		batch_send(io, id);
		any = true;
	}
	if (any)
		CRASH_POINT(commit_sent);
}

/* ---- in ---- */

static void refuse(struct coordinator_io *io, const char *user, int code, const char *why)
{
	uint64_t subject = (uint64_t)-code;
	for (const char *c = user ? user : ""; *c; c++)
		subject = subject * 31 + (uint8_t)*c;
	counter_add(io->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "commit_message_refused", subject, "from=%s code=%s reason=\"%s\"", user ? user : "-",
	    error_name(code), why);
}

/* Whom it is from, or -1. */
static int envelope_check(struct coordinator_io *io, const char *user, const uint8_t *bytes, size_t size)
{
	const struct process *p = &io->process;
	if (size < STRONG_ENVELOPE_SIZE || bytes[3] > STRONG_KNOWN) {
		refuse(io, user, ERR_MALFORMED, "it cannot be read");
		return -1;
	}
	if (!version_is_understood(bytes[0], ENVELOPE_VERSION)) {
		refuse(io, user, ERR_WRONG_VERSION, "another version");
		return -1;
	}
	const struct region *region = bytes[1] < REGIONS_MAX ? topology_region_by_id(&p->topology, bytes[1]) : NULL;
	if (!region || region == p->region || !user || strcmp(user, region->name) || bytes[2] != p->region->id) {
		refuse(io, user, ERR_MALFORMED, "not from who it says, or not to this region");
		return -1;
	}
	if (bytes_get_u64(bytes + 4) != io->strong.fingerprint) {
		refuse(io, user, ERR_CONFIGURATION, "another cluster or topology");
		return -1;
	}
	io->strong.peers[region->id].newest = bytes[STRONG_NEWEST_AT];
	const struct store_id *known = &rows_meta_now(io->rows)->peer_stores[region->id];
	if (!store_id_is_known(known))
		return -1; /* the streams meet first; until then it counts as lost */
	if (memcmp(known->bytes, bytes + 12, STORE_ID_SIZE)) {
		refuse(io, user, ERR_REGION_REUSED, "a wiped or restored region has no vote under its old id");
		return -1;
	}
	return region->id;
}

/* Does the peer's topology have all keyspaces that the message is about as this region's has? As its streamer told this
 * region's last; until then, or otherwise, this region has no say about them: its peer does not count it, and goes on with a
 * majority without it. */
static bool is_agreed(const struct coordinator_io *io, uint8_t from, const struct commit_message *message, uint64_t *other)
{
	const struct shm_link *link = &io->process.shm.layout->links[from];
	uint64_t keyspaces = message->type == COMMIT_ASK ? 1ull << message->keyspace : 0;
	struct commit_body body;
	if (message->body && commit_body_open(&body, message->body, message->body_size) == 0)
		keyspaces |= commit_body_keyspaces(&body);
	*other = keyspaces & ~atomic_load_explicit(&link->keyspaces_same, memory_order_relaxed);
	return !*other;
}

static void not_agreed(struct coordinator_io *io, const char *user, uint8_t from, uint64_t keyspaces)
{
	uint32_t id = (uint32_t)__builtin_ctzll(keyspaces);
	const char *name = io->process.topology.keyspaces[id].name;
	counter_add(io->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "commit_not_agreed", (uint64_t)id << 8 | from,
	    "from=%s keyspace=%u name=%s reason=\"the topologies differ in this keyspace; no vote on it\"", user, id,
	    *name ? name : "-");
}

static void messages_take(struct coordinator_io *io, const char *user, uint8_t from, const uint8_t *bytes, size_t size)
{
	struct strong *strong = &io->strong;
	for (size_t at = STRONG_ENVELOPE_SIZE; at < size && !io->failed;) {
		struct commit_message message;
		size_t left = size - at;
		uint32_t length = left >= 4 ? bytes_get_u16(bytes + at) | (uint32_t)bytes_get_u16(bytes + at + 2) << 16 : 0;
		if (left < 4 || length > left - 4 ||
		    commit_message_decode(&message, strong->seen, bytes + at + 4, length) < 0) {
			refuse(io, user, ERR_MALFORMED, "a message in it cannot be read");
			return;
		}
		uint64_t other;
		if (!is_agreed(io, from, &message, &other)) {
			not_agreed(io, user, from, other);
			at += 4 + length;
			continue;
		}
		/* Without room nothing may be promised; what is dropped is asked for again. */
		if (strong_room(io)) {
			counter_add(io->process.counters, COUNTER_queue_refused, 1);
			return;
		}
		strong_step(
		    io, (struct commit_event){.type = COMMIT_EVENT_MESSAGE, .message = {.from = from, .message = &message}});
		at += 4 + length;
	}
}

/* ---- in, of any kind ---- */

static void envelope_take(struct coordinator_io *io, const char *user, struct message *message)
{
	const uint8_t *bytes = message_bytes(message);
	size_t size = message_size(message);
	int from = envelope_check(io, user, bytes, size);
	if (from < 0)
		return;
	struct strong_peer *peer = &io->strong.peers[from];
	uint64_t nonce = bytes_get_u64(bytes + STRONG_NONCE_AT), now_ns = io->now.monotonic_ns;
	if (bytes[3] != STRONG_MESSAGES) {
		if (!(bytes[3] == STRONG_STARTS
		            ? strong_starts_take(io, (uint8_t)from, bytes, size, message->identity, message->identity_size)
		            : strong_known_take(io, (uint8_t)from, bytes, size)))
			refuse(io, user, ERR_MALFORMED, "what it says of starts cannot be read");
		return;
	}
	if (nonce != io->starts.peers[from].nonce) {
		/* Of a start that is over, or of one that was not met: it counts as lost. */
		if (!peer->is_older && now_ns >= peer->asked_ns + ASK_NS) {
			peer->asked_ns = now_ns;
			strong_known_tell(io, (uint8_t)from, nonce, STRONG_UNMET);
		}
		return;
	}
	peer->heard_ns = now_ns;
	peer->is_older = false;
	/* A region that others take for another one has no say. */
	if (!gate_is_reused(io))
		messages_take(io, user, (uint8_t)from, bytes, size);
}

static uint32_t peers_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct coordinator_io *io = self;
	uint32_t handled = 0;
	io->now = now;
	for (; handled < limit && !io->failed; handled++) {
		struct message message;
		int code = socket_receive(io->strong.socket, &message, false);
		if (code == ERR_MALFORMED) {
			refuse(io, NULL, code, "a message of the wrong number of parts");
			continue;
		}
		if (code)
			break;
		counter_add(io->process.counters, COUNTER_frames_received, 1);
		counter_add(io->process.counters, COUNTER_bytes_received, message_size(&message));
		if (io->strong.machine)
			envelope_take(io, message_user(&message), &message);
		message_close(&message);
	}
	return handled;
}

/* On a connection that this region has made; the other side has proved its key. Only that this start is an older one comes
 * this way. */
static void answer_take(struct coordinator_io *io, const struct region *region, const uint8_t *bytes, size_t size)
{
	int from = envelope_check(io, region->name, bytes, size);
	if (from >= 0 && (bytes[3] != STRONG_KNOWN || !strong_known_take(io, (uint8_t)from, bytes, size)))
		refuse(io, region->name, ERR_MALFORMED, "an answer that cannot be read");
}

static uint32_t answers_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct coordinator_io *io = self;
	uint32_t handled = 0;
	io->now = now;
	for (uint32_t i = 0; i < io->process.topology.region_count; i++) {
		const struct region *region = &io->process.topology.regions[i];
		void *socket = io->strong.peers[region->id].socket;
		struct message message;
		int code;
		while (socket && handled < limit && (code = socket_receive(socket, &message, false)) != ERR_EMPTY) {
			handled++;
			if (code == ERR_MALFORMED) {
				refuse(io, region->name, code, "an answer of the wrong number of parts");
				continue;
			}
			if (code)
				break;
			answer_take(io, region, message_bytes(&message), message_size(&message));
			message_close(&message);
		}
	}
	return handled;
}

/* ---- who is there ---- */

/* Until when it seems to be there, if nothing more is heard of it. */
static uint64_t heard_until_ns(const struct coordinator_io *io, uint8_t id)
{
	const struct shm_peer *peer = &io->process.shm.layout->peers[id];
	uint64_t trusted_ns = io->strong.started_ns + START_TRUST_NS - 1;
	uint64_t answered_ns = atomic_load_explicit(&peer->answered_at_ns, memory_order_relaxed);
	uint64_t round_trip_ns = atomic_load_explicit(&peer->round_trip_us, memory_order_relaxed) * 1000;
	uint64_t heard_ns = io->strong.peers[id].heard_ns;
	if (heard_ns < answered_ns)
		heard_ns = answered_ns;
	uint64_t until_ns = heard_ns + SILENCE_MAX_NS + 2 * round_trip_ns;
	return until_ns > trusted_ns ? until_ns : trusted_ns;
}

static bool is_reachable(const struct coordinator_io *io, uint8_t id)
{
	const struct shm_link *link = &io->process.shm.layout->links[id];
	/* Another store under its id has no vote, however well it answers heartbeats. */
	if (atomic_load_explicit(&link->inbound, memory_order_acquire) == LINK_REFUSED &&
	    atomic_load_explicit(&link->inbound_code, memory_order_relaxed) == ERR_REGION_REUSED)
		return false;
	if (io->strong.peers[id].is_older)
		return false;
	return heard_until_ns(io, id) >= io->now.monotonic_ns;
}

uint64_t strong_peers_deadline_ns(const struct coordinator_io *io)
{
	uint64_t first_ns = LOOP_NEVER;
	for (uint8_t id = 0; id < REGIONS_MAX; id++) {
		if (!io->strong.peers[id].socket || !(io->strong.reachable >> id & 1))
			continue;
		uint64_t gone_ns = heard_until_ns(io, id) + 1;
		first_ns = gone_ns < first_ns ? gone_ns : first_ns;
	}
	return first_ns;
}

void strong_peers_look(struct coordinator_io *io)
{
	struct strong *strong = &io->strong;
	uint32_t reachable = 1u << io->process.region->id;
	if (!strong->machine)
		return;
	for (uint8_t id = 0; id < REGIONS_MAX; id++)
		if (strong->peers[id].socket && is_reachable(io, id))
			reachable |= 1u << id;
	if (reachable == strong->reachable)
		return;
	uint32_t quorum = (uint32_t)__builtin_popcount(io->machine.options.regions) / 2 + 1;
	bool had = (uint32_t)__builtin_popcount(strong->reachable) >= quorum;
	bool has = (uint32_t)__builtin_popcount(reachable) >= quorum;
	if (had && !has)
		logline(LOG_LEVEL_WARN, "quorum_lost", "reachable=%u", (unsigned)__builtin_popcount(reachable));
	if (!had && has)
		logline(LOG_LEVEL_INFO, "quorum_found", "reachable=%u", (unsigned)__builtin_popcount(reachable));
	strong->reachable = reachable;
	strong_step(io, (struct commit_event){.type = COMMIT_EVENT_PEERS, .peers = reachable});
}

/* ---- sockets ---- */

static int peer_connect(struct coordinator_io *io, const struct region *region, struct error_context *error)
{
	struct process *p = &io->process;
	struct strong_peer *peer = &io->strong.peers[region->id];
	peer->batch = malloc(STRONG_BATCH_MAX + STRONG_MESSAGE_MAX + STRONG_ENVELOPE_SIZE);
	if (!peer->batch)
		return error_set(error, ERR_NO_MEMORY, "memory for messages to %s", region->name);
	io->unsent[region->id].bytes_max = STRONG_UNSENT_MAX;
	const struct socket_options options = {.high_water = HIGH_WATER, .reconnect_max_ms = 250};
	int code = process_connect(p, &peer->socket, region, SERVICE_COMMIT, &options, NULL, error);
	return code ? code : loop_add_socket(p->loop, peer->socket, answers_drain, io);
}

int strong_connect(struct coordinator_io *io, struct error_context *error)
{
	struct process *p = &io->process;
	char endpoint[128];
	io->strong.started_ns = clock_read().monotonic_ns;
	int code = process_serve_curve(p, false, error);
	if (!code)
		code = process_listens(p, SERVICE_COMMIT, endpoint, error);
	if (code)
		return code;
	struct socket_options options = {.own = &p->keys, .high_water = HIGH_WATER};
	code = socket_bind(&io->strong.socket, p->context, ZMQ_ROUTER, endpoint, &options, error);
	if (!code)
		code = loop_add_socket(p->loop, io->strong.socket, peers_drain, io);
	for (uint32_t i = 0; i < p->topology.region_count && !code; i++)
		if (p->topology.regions[i].id != p->region->id)
			code = peer_connect(io, &p->topology.regions[i], error);
	return code;
}

void strong_disconnect(struct coordinator_io *io)
{
	for (uint8_t id = 0; id < REGIONS_MAX; id++)
		free(io->strong.peers[id].batch);
}
