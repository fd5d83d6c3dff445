/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/reconciler/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "actors/reconciler/message.h"
#include "runtime/lend.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"

#define MS                1000000ull
#define ANSWER_TIMEOUT_MS 5000u
#define OPEN_AGAIN_MS     500u
#define QUESTIONS_A_TURN  4u /* each may look at PAGE_EXAMINED_MAX rows */
/* Of answers that a region has not taken. It asks one thing at a time; whoever asks on without reading is not answered. */
#define UNSENT_MAX (2u * RECONCILER_MESSAGE_MAX)

struct io_flags {
	uint32_t compare_ms;
};
static const struct option io_options[] = {
    {"compare-ms", 0, OPTION_U32, offsetof(struct io_flags, compare_ms), 10, 3600000, "MS", "pause between comparisons (2000)"},
    {0},
};

struct reconciler_io;
struct peer_socket {
	struct reconciler_io *io;
	const struct region *region;
	void *socket;
};
struct reconciler_io {
	struct process process;
	struct io_flags flags;
	struct reconciler machine;
	struct rows *rows; /* NULL until there is a store */
	struct rows_view *view;
	uint64_t open_again_ns;
	void *router;
	struct peer_socket peers[REGIONS_MAX];   /* by id */
	struct lend_budget answers[REGIONS_MAX]; /* by id of who asked */
	struct page_buffer page;
	struct packer packer;
	struct reconciler_row peer_rows[PAGE_ROWS_MAX];
	struct digest own_buckets[DIGEST_BUCKETS], peer_buckets[DIGEST_BUCKETS];
};

static void io_refused(struct reconciler_io *p, const char *user, int code)
{
	counter_add(p->process.counters, COUNTER_frames_refused, 1);
	logline_distinct(LOG_LEVEL_WARN, "peer_message_refused", logline_subject(user ? user : "") + (uint64_t)-code,
	    "from=%s code=%s", user ? user : "-", error_name(code));
}

static void io_told(struct reconciler_io *p, const char *peer, const struct reconciler_effects *effects)
{
	for (uint32_t i = 0; i < effects->told_count; i++) {
		const struct reconciler_row *row = &effects->told[i];
		struct text key = {0};
		/* A key of 1 KiB would not leave room for the rest of the line. */
		text_add_json_string(&key, row->key, row->key_size < 200 ? row->key_size : 200);
		struct digest d = row_digest(effects->told_keyspace, row->key, row->key_size, NULL, 0);
		logline_distinct(LOG_LEVEL_ERROR, "row_diverges", d.low, "keyspace=%s key=%s%s peer=%s",
		    p->process.topology.keyspaces[effects->told_keyspace].name, key.bytes, row->key_size < 200 ? "" : "...",
		    peer);
		text_deinit(&key);
	}
}

static void io_step(struct reconciler_io *p, const struct reconciler_event *event)
{
	struct reconciler_effects effects;
	for (uint32_t id = 0; id < REGIONS_MAX; id++)
		p->machine.peers[id].apart =
		    atomic_load_explicit(&p->process.shm.layout->links[id].keyspaces_other, memory_order_acquire);
	reconciler_step(&p->machine, event, &effects);
	if (effects.told_count)
		io_told(p, p->peers[event->peer].region->name, &effects);
	counter_add(p->process.counters, COUNTER_comparisons, effects.comparisons);
	for (uint32_t i = 0; i < effects.ask_count; i++) {
		const struct reconciler_ask *ask = &effects.asks[i];
		pack_ask(&p->packer, ask);
		if (socket_send(p->peers[ask->peer].socket, NULL, 0, p->packer.bytes, p->packer.size) == 0) {
			counter_add(p->process.counters, COUNTER_frames_sent, 1);
			counter_add(p->process.counters, COUNTER_bytes_sent, p->packer.size);
			continue;
		}
		struct reconciler_event lost = {
		    .kind = RECONCILER_NOT_SENT, .now_ns = event->now_ns, .peer = ask->peer, .number = ask->number};
		struct reconciler_effects none;
		reconciler_step(&p->machine, &lost, &none); /* asks nothing */
	}
}

/* The coordinator makes the store; until then there is nothing to compare, nor to answer with. */
static bool io_open_rows(struct reconciler_io *p, uint64_t now_ns)
{
	if (p->view)
		return true;
	if (now_ns < p->open_again_ns)
		return false;
	p->open_again_ns = now_ns + OPEN_AGAIN_MS * MS;
	char dir[300];
	struct error_context error = {0};
	snprintf(dir, sizeof(dir), "%s/rows", p->process.region_dir);
	struct rows_options options = {.dir = dir, .read_only = true, .region = p->process.region->id};
	int rc = rows_open(&p->rows, &options, &error);
	if (rc == 0) {
		rc = rows_view_new(p->rows, &p->view, &error);
		if (rc != 0) {
			rows_close(p->rows);
			p->view = NULL;
		}
	}
	if (rc != 0 && rc != ERR_UNREACHABLE)
		logline_distinct(LOG_LEVEL_ERROR, "rows_not_opened", 0, "code=%s reason=\"%s\"", error_name(rc), error.text);
	return rc == 0;
}

/* 0, with the view begun and what it stands for; the caller ends it. */
static int io_view(struct reconciler_io *p, uint64_t now_ns, struct vector *applied)
{
	if (!io_open_rows(p, now_ns))
		return ERR_UNREACHABLE;
	struct error_context error = {0};
	struct rows_meta meta;
	int rc = rows_view_begin(p->view, &error);
	if (rc == 0) {
		rc = rows_view_meta(p->view, &meta);
		if (rc == 0)
			*applied = meta.applied;
		else
			rows_view_end(p->view);
	}
	if (rc != 0)
		logline_distinct(
		    LOG_LEVEL_ERROR, "rows_not_read", (uint64_t)-rc, "code=%s reason=\"%s\"", error_name(rc), error.text);
	return rc;
}

static int io_answer(struct reconciler_io *p, const Godwit__Peer__DigestRequest *request, uint32_t from,
    struct message *message, uint64_t now_ns)
{
	uint8_t mask[RECONCILER_MASK_SIZE];
	struct vector applied;
	uint64_t live_rows = 0;
	int rc = request_check(request, &p->process.topology, mask);
	if (rc != 0)
		return rc;
	uint16_t keyspace = (uint16_t)request->keyspace;
	if (io_view(p, now_ns, &applied) != 0)
		return 0; /* told already, and the peer's question will time out */
	if (request->bucket == -1)
		rc = rows_view_digests(p->view, keyspace, p->own_buckets, &live_rows);
	else
		rc = page_read(&p->page, p->view, keyspace, mask, request->after.data, (uint32_t)request->after.len);
	rows_view_end(p->view);
	if (rc != 0) {
		logline_distinct(LOG_LEVEL_ERROR, "rows_not_read", (uint64_t)-rc, "code=%s", error_name(rc));
		return 0;
	}
	p->packer.to = from;
	if (request->bucket == -1)
		pack_digests(&p->packer, request, &applied, p->own_buckets, live_rows);
	else
		pack_page(&p->packer, request, &applied, &p->page.page);
	/* A peer that is gone again, or does not read, asks again by itself. */
	int sent = lend_within(
	    &p->answers[from], p->router, message->identity, message->identity_size, p->packer.bytes, p->packer.size);
	if (sent == 0) {
		counter_add(p->process.counters, COUNTER_frames_sent, 1);
		counter_add(p->process.counters, COUNTER_bytes_sent, p->packer.size);
	} else if (sent == ERR_OVERLOADED) {
		counter_add(p->process.counters, COUNTER_queue_refused, 1);
	}
	return 0;
}

static int io_reply(struct reconciler_io *p, uint32_t peer, const Godwit__Peer__DigestReply *reply, uint64_t now_ns)
{
	const struct reconciler_peer *open = reconciler_open(&p->machine, peer, reply->number);
	if (!open)
		return 0; /* the answer to a question given up meanwhile */
	struct vector own_applied, peer_applied;
	struct reconciler_event event = {.kind = open->sweeping ? RECONCILER_ROWS : RECONCILER_DIGESTS,
	    .now_ns = now_ns,
	    .peer = peer,
	    .number = reply->number,
	    .own_applied = &own_applied,
	    .peer_applied = &peer_applied,
	    .own_buckets = p->own_buckets,
	    .peer_buckets = p->peer_buckets};
	if (reply->keyspace != open->keyspace)
		return ERR_MALFORMED;
	int rc = open->sweeping
	             ? reply_read_page(reply, open->after, open->after_size, &peer_applied, p->peer_rows, &event.peer_page)
	             : reply_read_digests(reply, &peer_applied, p->peer_buckets);
	if (rc != 0)
		return rc;
	if (io_view(p, now_ns, &own_applied) != 0)
		return 0;
	uint64_t live_rows;
	rc = open->sweeping ? page_read(&p->page, p->view, open->keyspace, open->mask, open->after, open->after_size)
	                    : rows_view_digests(p->view, open->keyspace, p->own_buckets, &live_rows);
	rows_view_end(p->view);
	if (rc != 0) {
		logline_distinct(LOG_LEVEL_ERROR, "rows_not_read", (uint64_t)-rc, "code=%s", error_name(rc));
		return 0;
	}
	event.own = p->page.page;
	io_step(p, &event);
	return 0;
}

/* One message from a socket: from the ROUTER (peer NULL) only questions are taken, from a DEALER only that peer's answers. */
static void io_message(struct reconciler_io *p, const struct peer_socket *peer, struct message *message, uint64_t now_ns)
{
	counter_add(p->process.counters, COUNTER_frames_received, 1);
	counter_add(p->process.counters, COUNTER_bytes_received, message_size(message));
	const char *user = peer ? peer->region->name : message_user(message);
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, message_size(message), message_bytes(message));
	int rc = ERR_MALFORMED;
	if (envelope)
		rc = envelope_check(envelope, &p->process.topology, p->process.region->id, user);
	if (rc == 0) {
		p->packer.newest[envelope->region] = envelope->newest;
		if (!peer && envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_DIGEST_REQUEST)
			rc = io_answer(p, envelope->digest_request, envelope->region, message, now_ns);
		else if (peer && envelope->body_case == GODWIT__PEER__ENVELOPE__BODY_DIGEST_REPLY)
			rc = io_reply(p, peer->region->id, envelope->digest_reply, now_ns);
		else
			rc = ERR_MALFORMED;
	}
	if (rc != 0)
		io_refused(p, user, rc);
	if (envelope)
		godwit__peer__envelope__free_unpacked(envelope, NULL);
}

static uint32_t drain_socket(
    struct reconciler_io *p, void *socket, const struct peer_socket *peer, uint64_t now_ns, uint32_t limit)
{
	uint32_t handled = 0;
	for (; handled < limit; handled++) {
		struct message message;
		int rc = socket_receive(socket, &message, false);
		if (rc == ERR_MALFORMED) {
			io_refused(p, peer ? peer->region->name : NULL, rc);
			continue;
		}
		if (rc != 0)
			break;
		io_message(p, peer, &message, now_ns);
		message_close(&message);
	}
	return handled;
}

static uint32_t drain_router(void *self, struct clock_now now, uint32_t limit)
{
	struct reconciler_io *p = self;
	uint32_t most = limit < QUESTIONS_A_TURN ? limit : QUESTIONS_A_TURN;
	return drain_socket(p, p->router, NULL, now.monotonic_ns, most) == most ? limit : 0;
}

static uint32_t drain_peer(void *self, struct clock_now now, uint32_t limit)
{
	struct peer_socket *peer = self;
	return drain_socket(peer->io, peer->socket, peer, now.monotonic_ns, limit);
}

static void io_tick(void *self, struct clock_now now)
{
	struct reconciler_io *p = self;
	struct reconciler_event event = {.kind = RECONCILER_TICK, .now_ns = now.monotonic_ns};
	if (io_open_rows(p, now.monotonic_ns) && now.monotonic_ns >= reconciler_deadline_ns(&p->machine))
		io_step(p, &event);
}

static void io_publish(void *self, struct clock_now now)
{
	(void)now;
	struct reconciler_io *p = self;
	counter_set(p->process.counters, COUNTER_divergent_rows, reconciler_divergent_rows(&p->machine));
}

static uint64_t io_deadline_ns(void *self)
{
	struct reconciler_io *p = self;
	return p->view ? reconciler_deadline_ns(&p->machine) : p->open_again_ns;
}

static void keyspace_json(struct reconciler_io *p, uint16_t keyspace, uint64_t now_ns, struct text *out)
{
	struct digest total = {0};
	struct vector applied;
	uint64_t live_rows = 0;
	bool held = io_view(p, now_ns, &applied) == 0;
	if (held) {
		held = rows_view_digests(p->view, keyspace, p->own_buckets, &live_rows) == 0;
		rows_view_end(p->view);
	}
	for (uint32_t b = 0; held && b < DIGEST_BUCKETS; b++)
		digest_add(&total, p->own_buckets[b]);
	const char *name = p->process.topology.keyspaces[keyspace].name;
	text_add(out, "{\"keyspace\":");
	text_add_json_string(out, name, strlen(name));
	text_add(out, ",\"digest\":\"%016llx%016llx\",\"rows\":%llu,\"peers\":[", (unsigned long long)total.high,
	    (unsigned long long)total.low, (unsigned long long)live_rows);
	const char *separator = "";
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		if (!p->peers[id].region)
			continue;
		const struct reconciler_comparison *c = &p->machine.peers[id].comparisons[keyspace];
		text_add(out, "%s{\"region\":", separator);
		separator = ",";
		text_add_json_string(out, p->peers[id].region->name, strlen(p->peers[id].region->name));
		text_add(out,
		    ",\"state\":\"%s\",\"divergent_rows\":%llu,\"waits\":%llu,\"age_ms\":", reconciler_verdict_name(c->verdict),
		    (unsigned long long)c->divergent_rows, (unsigned long long)c->waits);
		if (c->compared_ns)
			text_add(out, "%llu}", (unsigned long long)((now_ns - c->compared_ns) / MS));
		else
			text_add(out, "null}");
	}
	text_add(out, "]}");
}

static int io_command(void *self, const char *command, const char *argument, struct text *out, struct error_context *error)
{
	(void)argument;
	(void)error;
	struct reconciler_io *p = self;
	uint64_t now_ns = clock_read().monotonic_ns;
	if (strcmp(command, "drain") == 0) {
		struct reconciler_event event = {.kind = RECONCILER_DRAIN, .now_ns = now_ns};
		io_step(p, &event);
		text_add(out, "{\"draining\":true}");
		return 0;
	}
	if (strcmp(command, "digests") != 0)
		return ERR_UNSUPPORTED;
	text_add(out, "{\"keyspaces\":[");
	for (uint16_t k = 0; k < p->process.topology.keyspace_count; k++) {
		if (!keyspace_is_there(&p->process.topology.keyspaces[k]))
			continue;
		text_add(out, "%s", k ? "," : ""); /* 0 is always there */
		keyspace_json(p, k, now_ns, out);
	}
	text_add(out, "]}");
	return 0;
}

static int io_connect(struct reconciler_io *p, struct error_context *error)
{
	const struct process *process = &p->process;
	const struct topology *topology = &process->topology;
	const struct socket_options options = {
	    .own = &process->keys, .high_water = 64, .message_size_max = RECONCILER_MESSAGE_MAX};
	char endpoint[160];
	for (uint32_t id = 0; id < REGIONS_MAX; id++)
		p->answers[id].bytes_max = UNSENT_MAX;
	int rc = process_serve_curve(&p->process, false, error);
	if (rc == 0)
		rc = process_listens(process, SERVICE_DIGEST, endpoint, error);
	if (rc != 0)
		return rc;
	rc = socket_bind(&p->router, process->context, ZMQ_ROUTER, endpoint, &options, error);
	if (rc == 0)
		rc = loop_add_socket(process->loop, p->router, drain_router, p);
	for (uint32_t i = 0; i < topology->region_count && rc == 0; i++) {
		const struct region *region = &topology->regions[i];
		struct peer_socket *peer = &p->peers[region->id];
		if (region == process->region)
			continue;
		*peer = (struct peer_socket){.io = p, .region = region};
		rc = process_connect(&p->process, &peer->socket, region, SERVICE_DIGEST, &options, NULL, error);
		if (rc == 0)
			rc = loop_add_socket(process->loop, peer->socket, drain_peer, peer);
	}
	return rc;
}

static void io_init_machine(struct reconciler_io *p)
{
	struct reconciler_options options = {.self = p->process.region->id,
	    .keyspace_count = (uint16_t)p->process.topology.keyspace_count,
	    .compare_ns = p->flags.compare_ms * MS,
	    .timeout_ns = ANSWER_TIMEOUT_MS * MS};
	for (uint16_t k = 0; k < options.keyspace_count; k++)
		options.strong[k] = p->process.topology.keyspaces[k].level == LEVEL_STRONG;
	for (uint32_t id = 0; id < REGIONS_MAX; id++)
		if (p->peers[id].region)
			options.peers |= 1u << id;
	if (getrandom(&options.seed, sizeof(options.seed), 0) != sizeof(options.seed))
		options.seed = clock_read().monotonic_ns;
	options.seed >>= 1; /* room to count */
	reconciler_init(&p->machine, &options);
}

int reconciler_main(int argc, char **argv)
{
	struct reconciler_io *p = calloc(1, sizeof(*p));
	if (!p) {
		fprintf(stderr, "godwit-reconciler: %s\n", error_text(ERR_NO_MEMORY));
		return error_exit_code(ERR_NO_MEMORY);
	}
	struct error_context error = {0};
	struct loop_actor actor = {.self = p, .tick = io_tick, .publish = io_publish, .deadline_ns = io_deadline_ns};
	p->flags.compare_ms = 2000;
	int rc = process_start(&p->process, ACTOR_RECONCILER, io_options, &p->flags, argc, argv, &actor, io_command);
	if (rc == 0) {
		int code = io_connect(p, &error);
		if (code == 0) {
			p->packer.topology = &p->process.topology;
			p->packer.self = p->process.region->id;
			io_init_machine(p);
			process_ready(&p->process);
			rc = process_run(&p->process);
		} else {
			rc = process_fail(&p->process, code, &error);
		}
	}
	for (uint32_t id = 0; id < REGIONS_MAX; id++)
		lend_budget_deinit(&p->answers[id]);
	if (p->view)
		rows_view_free(p->view);
	if (p->rows)
		rows_close(p->rows);
	free(p);
	return rc < 0 ? 0 : rc;
}
