/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes between regions' coordinators: strong_peers.c and strong_starts.c with sockets that are lists, and a machine that
 * only writes down what it is given. This is region 3; 2 and 5 are the others. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/io.h"
#include "base/bytes.h"
#include "commit/message.h"
#include "runtime/logline.h"
#include "tests/unit/core/commit_sample.h"

#define MS          1000000ull
#define SECOND      1000000000ull
#define FINGERPRINT 0x1122334455667788ull
#define OWN_NONCE   77u
#define MESSAGES    64u

/* ---- the world around it ---- */

static struct coordinator_io io;
static struct shm_layout *layout;
static struct counter_block counters;
static struct rows_meta meta;
static uint32_t warnings, informed;
static uint8_t version; /* of the envelope */

static struct {
	void *socket;
	size_t size;
	uint8_t bytes[STRONG_BATCH_MAX + STRONG_MESSAGE_MAX + STRONG_ENVELOPE_SIZE];
	char identity[8];
} sent[4];
static uint32_t sent_count;
static int send_code;

static struct {
	const char *user;
	size_t size;
	uint8_t bytes[4096];
	int code;
} inbox[8];
static uint32_t inbox_count, inbox_at, closed;

static struct commit_event events[MESSAGES];
static struct commit_id ids[MESSAGES];
static uint32_t event_count;
static int room, reused, failed, refusals_updated;

static enum starts_verdict verdict;
static struct start kept;
static uint8_t kept_of;
static int keep_code;

static char bound[128], connected[REGIONS_MAX][128];
static uint32_t connects;
static int serve_code, key_code, bind_code, connect_code, add_code, answers_code;
static loop_drain *drain, *answers_drain;
static void *answering; /* a connection that this region has made, on which the inbox's messages come */

int socket_send(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	cr_assert_eq(identity_size, socket == &inbox ? 4 : 0);
	cr_assert_lt(sent_count, 4);
	snprintf(sent[sent_count].identity, sizeof sent[0].identity, "%.*s", (int)identity_size, (const char *)identity);
	sent[sent_count].socket = socket;
	sent[sent_count].size = size;
	memcpy(sent[sent_count++].bytes, bytes, size);
	return send_code;
}

/* As runtime/lend.c does it, with nothing ever taken. */
int lend_within(
    struct lend_budget *budget, void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	if (budget->unsent_bytes + size > budget->bytes_max)
		return ERR_OVERLOADED;
	int code = socket_send(socket, identity, identity_size, bytes, size);
	if (!code)
		budget->unsent_bytes += size;
	return code;
}

int socket_receive(void *socket, struct message *message, bool forwarded)
{
	cr_assert(!forwarded);
	if (inbox_at == inbox_count || socket != (answering ? answering : &inbox))
		return ERR_EMPTY;
	if (inbox[inbox_at].code)
		return inbox[inbox_at++].code;
	memcpy(message->identity, "them", 4);
	message->identity_size = answering ? 0 : 4;
	zmq_msg_init_size(&message->body, inbox[inbox_at].size);
	memcpy(zmq_msg_data(&message->body), inbox[inbox_at].bytes, inbox[inbox_at].size);
	inbox_at++;
	return 0;
}

const char *message_user(struct message *message)
{
	(void)message;
	return inbox[inbox_at - 1].user;
}

void message_close(struct message *message)
{
	zmq_msg_close(&message->body);
	closed++;
}

int socket_bind(void **socket, void *context, int type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	(void)context;
	(void)error;
	cr_assert(type == ZMQ_ROUTER && options->own == &io.process.keys && options->high_water);
	strcpy(bound, endpoint);
	*socket = &inbox;
	return bind_code;
}

int process_connect(struct process *p, void **socket, const struct region *region, enum service service,
    const struct socket_options *options, _Atomic uint32_t *refusal, struct error_context *error)
{
	(void)error;
	cr_assert(p == &io.process && options->high_water && !refusal);
	if (key_code)
		return key_code;
	snprintf(connected[connects], sizeof connected[0], "%u to %u, %u, %u", p->region->id, region->id, service,
	    p->flags.link_base);
	*socket = connected[connects++];
	return connect_code;
}

int process_serve_curve(struct process *p, bool clients, struct error_context *error)
{
	(void)error;
	cr_assert(p == &io.process && !clients);
	return serve_code;
}

int process_listens(const struct process *p, enum service service, char out[static 128], struct error_context *error)
{
	(void)error;
	snprintf(out, 128, "tcp://%s:%u", p->region->host, p->region->port + service);
	return 0;
}

int loop_add_socket(struct loop *loop, void *socket, loop_drain *added, void *self)
{
	(void)loop;
	cr_assert(self == &io);
	*(socket == &inbox ? &drain : &answers_drain) = added;
	return socket == &inbox ? add_code : answers_code;
}

struct clock_now clock_read(void)
{
	return io.now;
}

const struct region *topology_region_by_id(const struct topology *topology, uint32_t id)
{
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (topology->regions[i].id == id)
			return &topology->regions[i];
	return NULL;
}

void topology_endpoint(
    const struct topology *topology, uint32_t from, uint32_t to, uint32_t service, uint16_t base, char out[static 128])
{
	(void)topology;
	snprintf(out, 128, "%u to %u, %u, %u", from, to, service, base);
}

const struct rows_meta *rows_meta_now(const struct rows *rows)
{
	(void)rows;
	return &meta;
}

void logline(enum log_level level, const char *event, const char *format, ...)
{
	(void)event;
	(void)format;
	warnings += level == LOG_LEVEL_WARN;
	informed += level == LOG_LEVEL_INFO;
}

void logline_distinct(enum log_level level, const char *event, uint64_t subject, const char *format, ...)
{
	(void)level;
	(void)event;
	(void)subject;
	(void)format;
}

void strong_step(struct coordinator_io *p, struct commit_event event)
{
	cr_assert_eq(p, &io);
	cr_assert_lt(event_count, MESSAGES);
	if (event.type == COMMIT_EVENT_MESSAGE)
		ids[event_count] = event.message.message->id;
	events[event_count++] = event;
}

int strong_room(const struct coordinator_io *p)
{
	cr_assert_eq(p, &io);
	return room;
}

bool gate_is_reused(const struct coordinator_io *p)
{
	cr_assert_eq(p, &io);
	return reused;
}

void io_fail(struct coordinator_io *p, int code, const struct error_context *error)
{
	(void)error;
	p->failed = failed = code;
}

void gate_update(struct coordinator_io *p)
{
	cr_assert_eq(p, &io);
	refusals_updated++;
}

struct start starts_last(const struct start_history *history)
{
	return (struct start){.number = history->first + history->count - 1, .nonce = history->nonces[history->count - 1]};
}

enum starts_verdict starts_compare(const struct start *known, const struct start_history *history)
{
	cr_assert(known >= io.starts.peers && history->count);
	return verdict;
}

int starts_keep(struct starts *starts, uint8_t region, struct start met, struct error_context *error)
{
	(void)error;
	cr_assert_eq(starts, &io.starts);
	kept = met;
	kept_of = region;
	return keep_code;
}

static void begin(void)
{
	struct topology *t = &io.process.topology;
	static const uint8_t numbers[] = {2, 3, 5};
	layout = aligned_alloc(4096, (sizeof *layout + 4095) / 4096 * 4096);
	cr_assert(layout);
	memset(layout, 0, offsetof(struct shm_layout, inbound_bytes));
	io.process.shm.layout = layout;
	io.process.counters = &counters;
	t->region_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		t->regions[i].id = numbers[i];
		snprintf(t->regions[i].name, sizeof t->regions[i].name, "r%u", numbers[i]);
		strcpy(t->regions[i].host, "10.0.0.1");
		t->regions[i].port = 7000;
	}
	io.process.region = &t->regions[1];
	io.machine.options.regions = 1u << 2 | 1u << 3 | 1u << 5;
	io.now.monotonic_ns = 100 * SECOND;
	io.starts.own = (struct start_history){.first = 4, .count = 2, .nonces = {76, OWN_NONCE}};
	io.starts.peers[2] = (struct start){.number = 9, .nonce = 22};
	io.starts.peers[5] = (struct start){.number = 9, .nonce = 55};
	io.strong.machine = (struct commit *)&inbox;
	io.strong.fingerprint = FINGERPRINT;
	io.strong.reachable = io.machine.options.regions;
	memset(meta.store_id, 3, sizeof meta.store_id);
	memset(&meta.peer_stores[2], 2, STORE_ID_SIZE);
	memset(&meta.peer_stores[5], 5, STORE_ID_SIZE);
	struct error_context error;
	cr_assert_eq(strong_connect(&io, &error), 0);
	uint8_t own[STRONG_ENVELOPE_SIZE];
	strong_envelope_begin(&io, 2, STRONG_MESSAGES, own);
	version = own[0];
}

static void end(void)
{
	strong_disconnect(&io);
	free(layout);
}

TestSuite(peers, .init = begin, .fini = end);

/* What region `from` would send. */
static size_t envelope(uint8_t *out, uint8_t from, enum strong_envelope kind)
{
	const uint8_t head[] = {version, from, 3, (uint8_t)kind};
	memcpy(out, head, 4);
	bytes_put_u64(out + 4, FINGERPRINT);
	memset(out + 12, from, STORE_ID_SIZE);
	bytes_put_u64(out + STRONG_NONCE_AT, io.starts.peers[from].nonce);
	out[STRONG_NEWEST_AT] = version;
	return STRONG_ENVELOPE_SIZE;
}

static size_t message_put(uint8_t *out, uint64_t hlc)
{
	struct commit_message m = {.type = COMMIT_FETCH, .id = {.hlc = hlc, .region = 5}};
	size_t size = commit_message_size(&m);
	bytes_put_u16(out, (uint16_t)size);
	bytes_put_u16(out + 2, 0);
	cr_assert_eq(commit_message_encode(&m, out + 4, size), (long)size);
	return 4 + size;
}

static void receive(const char *user, const uint8_t *bytes, size_t size)
{
	inbox_count = 1;
	inbox_at = event_count = sent_count = closed = 0;
	inbox[0].user = user;
	inbox[0].size = size;
	inbox[0].code = 0;
	memcpy(inbox[0].bytes, bytes, size);
	cr_assert_eq(drain(&io, io.now, 100), 1);
	cr_assert_eq(closed, 1);
}

static uint64_t refused(void)
{
	return counter_get(&counters, COUNTER_frames_refused);
}

/* ---- in ---- */

Test(peers, messages_of_a_peer_reach_the_machine_in_order)
{
	uint8_t bytes[1024];
	size_t size = envelope(bytes, 5, STRONG_MESSAGES);
	for (uint64_t hlc = 1; hlc <= 3; hlc++)
		size += message_put(bytes + size, hlc);
	io.strong.peers[5].is_older = true;
	receive("r5", bytes, size);
	cr_assert_eq(event_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		cr_assert(events[i].type == COMMIT_EVENT_MESSAGE && events[i].message.from == 5);
		cr_assert_eq(ids[i].hlc, i + 1);
	}
	cr_assert_eq(io.strong.peers[5].heard_ns, io.now.monotonic_ns);
	cr_assert(!io.strong.peers[5].is_older);
	cr_assert_eq(io.strong.peers[2].heard_ns, 0);
	cr_assert_eq(refused(), 0);
	cr_assert_eq(counter_get(&counters, COUNTER_frames_received), 1);
	cr_assert_eq(counter_get(&counters, COUNTER_bytes_received), size);
}

Test(peers, T39_whoever_is_not_the_region_it_says_is_refused)
{
	uint8_t good[1024], bytes[1024];
	size_t size = envelope(good, 5, STRONG_MESSAGES);
	size += message_put(good + size, 1);
	struct {
		const char *user;
		size_t at;
		uint8_t value;
		bool is_counted;
	} wrong[] = {
	    {"r5", 0, (uint8_t)(version - 1), true},                                    /* another version */
	    {"r5", 0, (uint8_t)(version + 2), true}, {"r5", 1, 2, true},                /* from another than the key says */
	    {"r2", 1, 5, true}, {"r5", 1, 4, true},                                     /* there is none */
	    {"r5", 1, 200, true}, {"r3", 1, 3, true},                                   /* from this region itself */
	    {NULL, 1, 5, true}, {"r5", 2, 5, true},                                     /* to another */
	    {"r5", 3, 3, true},                                                         /* no such kind */
	    {"r5", 4, 1, true},                                                         /* another topology */
	    {"r5", 11, 1, true}, {"r5", 12, 9, true},                                   /* another store */
	    {"r5", 12 + STORE_ID_SIZE - 1, 9, true}, {"r5", STRONG_NONCE_AT, 9, false}, /* another start: lost */
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		uint64_t before = refused();
		memcpy(bytes, good, size);
		bytes[wrong[i].at] = wrong[i].value;
		receive(wrong[i].user, bytes, size);
		cr_assert_eq(event_count, 0, "row %zu", i);
		cr_assert_eq(refused() - before, wrong[i].is_counted, "row %zu", i);
		cr_assert_eq(io.strong.peers[5].heard_ns, 0, "row %zu", i);
	}
	uint64_t before = refused();
	receive("r5", good, STRONG_ENVELOPE_SIZE - 1);
	cr_assert_eq(refused(), before + 1);
	receive("r5", good, STRONG_ENVELOPE_SIZE);
	cr_assert_eq(refused(), before + 1);
	cr_assert_eq(event_count, 0);
	/* Whose store no stream has met yet counts as lost. */
	memset(&meta.peer_stores[5], 0, STORE_ID_SIZE);
	memset(good + 12, 0, STORE_ID_SIZE);
	receive("r5", good, size);
	cr_assert_eq(event_count, 0);
	cr_assert_eq(refused(), before + 1);
}

Test(peers, a_message_cut_short_is_refused_and_what_came_before_it_counts)
{
	uint8_t bytes[1024];
	size_t first = envelope(bytes, 5, STRONG_MESSAGES);
	size_t second = first + message_put(bytes + first, 1), size = second + message_put(bytes + second, 2);
	for (size_t cut = first + 1; cut < size; cut++) {
		uint64_t before = refused();
		receive("r5", bytes, cut);
		cr_assert_eq(event_count, cut >= second, "cut at %zu", cut);
		cr_assert_eq(refused() - before, cut != second, "cut at %zu", cut);
	}
	uint64_t before = refused();
	bytes[second + 2] = 1; /* a length that goes far beyond */
	receive("r5", bytes, size);
	cr_assert_eq(event_count, 1);
	bytes[second + 2] = 0;
	bytes[second + 4] = 255; /* no such type */
	receive("r5", bytes, size);
	cr_assert_eq(event_count, 1);
	cr_assert_eq(refused(), before + 2);
}

Test(peers, nothing_is_taken_without_room_or_say)
{
	uint8_t bytes[1024];
	size_t size = envelope(bytes, 5, STRONG_MESSAGES);
	size += message_put(bytes + size, 1);
	room = ERR_DISK_FULL;
	receive("r5", bytes, size);
	cr_assert_eq(event_count, 0);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
	room = 0;
	reused = true; /* others take this region for a wiped one */
	receive("r5", bytes, size);
	cr_assert_eq(event_count, 0);
	reused = false;
	io.strong.machine = NULL;
	receive("r5", bytes, size);
	cr_assert_eq(event_count, 0);
	cr_assert_eq(refused(), 0);
}

Test(peers, a_turn_takes_so_many_messages)
{
	uint8_t bytes[1024];
	size_t size = envelope(bytes, 5, STRONG_MESSAGES);
	size += message_put(bytes + size, 1);
	for (inbox_count = 0; inbox_count < 4; inbox_count++) {
		inbox[inbox_count].user = "r5";
		inbox[inbox_count].size = size;
		inbox[inbox_count].code = inbox_count == 1 ? ERR_MALFORMED : 0;
		memcpy(inbox[inbox_count].bytes, bytes, size);
	}
	cr_assert_eq(drain(&io, io.now, 3), 3);
	cr_assert_eq(event_count, 2);
	cr_assert_eq(refused(), 1, "the one with too many parts");
	cr_assert_eq(drain(&io, io.now, 3), 1);
	cr_assert_eq(event_count, 3);
	inbox_at = 0;
	io.failed = ERR_IO;
	cr_assert_eq(drain(&io, io.now, 3), 0);
	cr_assert_eq(event_count, 3);
}

/* Of a start that was not met: its sender is told, not more often than it can matter. */
Test(peers, another_start_is_told_that_it_was_not_met)
{
	uint8_t bytes[1024];
	size_t size = envelope(bytes, 5, STRONG_MESSAGES);
	bytes_put_u64(bytes + STRONG_NONCE_AT, 56);
	size += message_put(bytes + size, 1);
	receive("r5", bytes, size);
	cr_assert_eq(sent_count, 1);
	cr_assert_eq(sent[0].socket, io.strong.peers[5].socket);
	cr_assert_eq(sent[0].size, STRONG_ENVELOPE_SIZE + 9);
	cr_assert_eq(sent[0].bytes[3], STRONG_KNOWN);
	cr_assert_eq(bytes_get_u64(sent[0].bytes + STRONG_ENVELOPE_SIZE), 56);
	cr_assert_eq(sent[0].bytes[STRONG_ENVELOPE_SIZE + 8], STRONG_UNMET);
	io.now.monotonic_ns += 100 * MS - 1;
	receive("r5", bytes, size);
	cr_assert_eq(sent_count, 0);
	io.now.monotonic_ns++;
	receive("r5", bytes, size);
	cr_assert_eq(sent_count, 1);
	io.now.monotonic_ns += SECOND;
	io.strong.peers[5].is_older = true;
	receive("r5", bytes, size);
	cr_assert_eq(sent_count, 0);
	cr_assert_eq(event_count, 0);
}

/* ---- out ---- */

static struct commit_message fetch(uint64_t hlc)
{
	return (struct commit_message){.type = COMMIT_FETCH, .id = {.hlc = hlc, .region = 3}};
}

Test(peers, all_of_a_turn_goes_in_one_message_to_each)
{
	struct commit_message m = fetch(1);
	strong_send(&io, 1u << 2 | 1u << 5 | 1u << 7, &m);
	m = fetch(2);
	strong_send(&io, 1u << 5, &m);
	cr_assert_eq(sent_count, 0);
	strong_send_all(&io);
	cr_assert_eq(sent_count, 2);
	static const uint8_t to[] = {2, 5};
	for (uint32_t i = 0; i < 2; i++) {
		const uint8_t *b = sent[i].bytes;
		size_t one = commit_message_size(&m);
		cr_assert_eq(sent[i].socket, io.strong.peers[to[i]].socket);
		cr_assert(b[0] == version && b[1] == 3 && b[2] == to[i] && b[3] == STRONG_MESSAGES);
		cr_assert_eq(bytes_get_u64(b + 4), FINGERPRINT);
		cr_assert(b[12] == 3 && b[12 + STORE_ID_SIZE - 1] == 3);
		cr_assert_eq(bytes_get_u64(b + STRONG_NONCE_AT), OWN_NONCE);
		cr_assert_eq(sent[i].size, STRONG_ENVELOPE_SIZE + (i + 1) * (4 + one));
		cr_assert_eq(bytes_get_u16(b + STRONG_ENVELOPE_SIZE), one);
	}
	cr_assert_eq(counter_get(&counters, COUNTER_frames_sent), 2);
	cr_assert_eq(counter_get(&counters, COUNTER_bytes_sent), sent[0].size + sent[1].size);
	strong_send_all(&io);
	cr_assert_eq(sent_count, 2);
}

Test(peers, a_batch_is_bounded)
{
	static uint8_t body[100000];
	struct commit_message m = {
	    .type = COMMIT_PREPARE, .id = {.hlc = 1, .region = 3}, .body = body, .body_size = sizeof body};
	for (uint32_t i = 0; i < 2; i++)
		strong_send(&io, 1u << 5, &m);
	cr_assert_eq(sent_count, 0);
	strong_send(&io, 1u << 5, &m);
	cr_assert_eq(sent_count, 1);
	cr_assert_eq(sent[0].size, STRONG_ENVELOPE_SIZE + 3 * (4 + commit_message_size(&m)));
	size_t size = sent[0].bytes[STRONG_ENVELOPE_SIZE + 2] << 16 | bytes_get_u16(sent[0].bytes + STRONG_ENVELOPE_SIZE);
	cr_assert_eq(size, commit_message_size(&m));
	strong_send_all(&io);
	cr_assert_eq(sent_count, 1);
	cr_assert_eq(io.strong.peers[5].size, 0);
}

Test(peers, what_a_peer_does_not_take_is_lost_and_counted)
{
	struct commit_message m = fetch(1);
	send_code = ERR_OVERLOADED;
	strong_send(&io, 1u << 5, &m);
	strong_send_all(&io);
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
	cr_assert_eq(counter_get(&counters, COUNTER_frames_sent), 0);
	cr_assert_eq(io.strong.peers[5].size, 0);
}

/* E10: in bytes, whatever the number of messages: a peer that does not read costs so much memory and no more. */
Test(peers, E10_what_a_peer_does_not_read_is_bounded_in_bytes)
{
	static uint8_t bytes[2000];
	uint64_t fits = STRONG_UNSENT_MAX / sizeof bytes;
	io.unsent[5].unsent_bytes = (fits - 1) * sizeof bytes;
	cr_assert(strong_envelope_send(&io, 5, bytes, sizeof bytes));
	cr_assert(!strong_envelope_send(&io, 5, bytes, sizeof bytes), "beyond it");
	cr_assert_eq(counter_get(&counters, COUNTER_queue_refused), 1);
	cr_assert(strong_envelope_send(&io, 2, bytes, sizeof bytes), "another peer has its own");
}

/* ---- who is there ---- */

static bool seen(uint8_t id)
{
	event_count = 0;
	io.strong.reachable = 0; /* so that it tells */
	strong_peers_look(&io);
	cr_assert_eq(event_count, 1);
	cr_assert_eq(events[0].type, COMMIT_EVENT_PEERS);
	cr_assert(events[0].peers & 1u << 3, "itself");
	cr_assert_eq(events[0].peers & ~(1u << 2 | 1u << 3 | 1u << 5), 0);
	return events[0].peers & 1u << id;
}

Test(peers, who_answers_is_reachable)
{
	struct shm_peer *peer = &layout->peers[5];
	struct shm_link *link = &layout->links[5];
	uint64_t start_ns = io.now.monotonic_ns;
	io.now.monotonic_ns = start_ns + 2 * SECOND - 1;
	cr_assert(seen(5), "trusted for a while after the start");
	io.now.monotonic_ns++;
	cr_assert(!seen(5));
	/* Heard by heartbeat or by messages, whichever was later. */
	atomic_store(&peer->answered_at_ns, io.now.monotonic_ns);
	io.now.monotonic_ns += 250 * MS;
	cr_assert(seen(5) && !seen(2));
	io.now.monotonic_ns++;
	cr_assert(!seen(5));
	io.strong.peers[5].heard_ns = atomic_load(&peer->answered_at_ns) + 1;
	cr_assert(seen(5));
	io.now.monotonic_ns += 2 * 30 * MS;
	cr_assert(!seen(5));
	atomic_store(&peer->round_trip_us, 30000);
	cr_assert(seen(5));
	/* Another store under its id. */
	atomic_store(&link->inbound, LINK_REFUSED);
	atomic_store(&link->inbound_code, ERR_REGION_REUSED);
	cr_assert(!seen(5));
	atomic_store(&link->inbound_code, ERR_CONFIGURATION);
	cr_assert(seen(5));
	atomic_store(&link->inbound, LINK_SUBSCRIBED);
	atomic_store(&link->inbound_code, ERR_REGION_REUSED);
	cr_assert(seen(5));
	io.strong.peers[5].is_older = true;
	cr_assert(!seen(5));
}

/* A14: a coordinator that died is looked for when its silence is too long, and not when a timer happens to be due. */
Test(peers, A14_the_loop_wakes_when_a_silence_is_too_long)
{
	struct shm_peer *peer = &layout->peers[5];
	uint64_t start_ns = io.now.monotonic_ns;
	cr_assert_eq(strong_peers_deadline_ns(&io), start_ns + 2 * SECOND, "trusted for a while after the start");
	io.now.monotonic_ns += 2 * SECOND;
	io.strong.peers[2].heard_ns = io.now.monotonic_ns + 10 * MS;
	atomic_store(&peer->answered_at_ns, io.now.monotonic_ns);
	cr_assert_eq(strong_peers_deadline_ns(&io), io.now.monotonic_ns + 250 * MS + 1);
	atomic_store(&peer->round_trip_us, 30000);
	cr_assert_eq(strong_peers_deadline_ns(&io), io.now.monotonic_ns + 260 * MS + 1);
	io.now.monotonic_ns += 260 * MS;
	strong_peers_look(&io);
	cr_assert_eq(event_count, 0, "not yet");
	io.now.monotonic_ns++;
	strong_peers_look(&io);
	cr_assert(event_count == 1 && events[0].peers == (1u << 3 | 1u << 5));
	cr_assert_eq(strong_peers_deadline_ns(&io), io.now.monotonic_ns + 50 * MS, "who is gone needs no look");
	io.now.monotonic_ns += 50 * MS;
	strong_peers_look(&io);
	cr_assert_eq(strong_peers_deadline_ns(&io), LOOP_NEVER);
}

Test(peers, the_machine_is_told_of_changes_only)
{
	strong_peers_look(&io);
	cr_assert_eq(event_count, 0, "all are there at the start");
	io.now.monotonic_ns += 2 * SECOND;
	strong_peers_look(&io);
	cr_assert_eq(event_count, 1);
	cr_assert_eq(events[0].peers, 1u << 3);
	cr_assert_eq(warnings, 1, "the quorum is lost");
	cr_assert_eq(informed, 0);
	strong_peers_look(&io);
	cr_assert_eq(event_count, 1);
	io.strong.peers[2].heard_ns = io.now.monotonic_ns;
	strong_peers_look(&io);
	cr_assert_eq(events[1].peers, 1u << 2 | 1u << 3);
	cr_assert_eq(informed, 1, "it is there again");
	io.strong.peers[5].heard_ns = io.now.monotonic_ns;
	strong_peers_look(&io);
	cr_assert_eq(event_count, 3);
	cr_assert(informed == 1 && warnings == 1);
	io.strong.machine = NULL;
	io.now.monotonic_ns += SECOND;
	strong_peers_look(&io);
	cr_assert_eq(event_count, 3);
}

/* Two of five are no majority, three are. */
Test(peers, the_quorum_of_five_is_three)
{
	io.machine.options.regions |= 1u << 7 | 1u << 9;
	io.strong.reachable = io.machine.options.regions;
	io.now.monotonic_ns += 2 * SECOND;
	io.strong.peers[2].heard_ns = io.now.monotonic_ns;
	io.strong.peers[5].heard_ns = io.now.monotonic_ns;
	strong_peers_look(&io);
	cr_assert(event_count == 1 && warnings == 0);
	io.strong.peers[5].heard_ns = 0;
	strong_peers_look(&io);
	cr_assert(event_count == 2 && warnings == 1);
	io.strong.peers[5].heard_ns = io.now.monotonic_ns;
	strong_peers_look(&io);
	cr_assert(event_count == 3 && informed == 1);
}

Test(peers, connections)
{
	cr_assert_str_eq(bound, "tcp://10.0.0.1:7003");
	cr_assert_eq(connects, 2);
	cr_assert_str_eq(connected[0], "3 to 2, 3, 0");
	cr_assert_str_eq(connected[1], "3 to 5, 3, 0");
	int *codes[] = {&serve_code, &bind_code, &add_code, &key_code, &connect_code, &answers_code};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		struct error_context error;
		strong_disconnect(&io);
		memset(io.strong.peers, 0, sizeof io.strong.peers);
		connects = 0;
		*codes[i] = ERR_IO;
		cr_assert_eq(strong_connect(&io, &error), ERR_IO, "%zu", i);
		*codes[i] = 0;
		cr_assert_eq(connects, i >= 4);
	}
}

/* ---- starts ---- */

static size_t starts_put(uint8_t *bytes, uint64_t first, uint32_t count, uint64_t last)
{
	size_t size = envelope(bytes, 5, STRONG_STARTS);
	bytes_put_u64(bytes + size, first);
	for (uint32_t i = 0; i < count; i++)
		bytes_put_u64(bytes + size + 8 + 8 * (size_t)i, i + 1 == count ? last : 1000 + i);
	return size + 8 + 8 * (size_t)count;
}

Test(peers, T39_a_later_start_is_kept_and_an_older_copy_has_no_vote)
{
	uint8_t bytes[STRONG_ENVELOPE_SIZE + 8 + 8 * (STARTS_KEPT + 2)];
	size_t size = starts_put(bytes, 8, 3, 56);
	bytes_put_u64(bytes + STRONG_NONCE_AT, 56);
	struct {
		enum starts_verdict verdict;
		enum strong_known told;
		uint8_t kept;
	} rows[] = {{STARTS_SAME, STRONG_MET, 0}, {STARTS_LATER, STRONG_MET, 5}, {STARTS_OLDER, STRONG_OLDER, 0}};
	for (uint32_t i = 0; i < 3; i++) {
		verdict = rows[i].verdict;
		kept_of = 0;
		receive("r5", bytes, size);
		cr_assert_eq(kept_of, rows[i].kept);
		cr_assert_eq(io.strong.peers[5].is_older, rows[i].verdict == STARTS_OLDER);
		cr_assert_eq(sent_count, 1);
		/* An older copy may be another process than the one at its region's address: it hears on the connection that it
		 * made. */
		cr_assert(sent[0].socket == (rows[i].verdict == STARTS_OLDER ? (void *)&inbox : connected[1]));
		cr_assert_str_eq(sent[0].identity, rows[i].verdict == STARTS_OLDER ? "them" : "");
		cr_assert_eq(bytes_get_u64(sent[0].bytes + STRONG_ENVELOPE_SIZE), 56);
		cr_assert_eq(sent[0].bytes[STRONG_ENVELOPE_SIZE + 8], rows[i].told);
	}
	cr_assert(kept.number == 10 && kept.nonce == 56);
	cr_assert_eq(refused(), 0);
	/* What cannot be kept is not called met. */
	verdict = STARTS_LATER;
	keep_code = ERR_IO;
	receive("r5", bytes, size);
	cr_assert_eq(failed, ERR_IO);
	cr_assert_eq(sent_count, 0);
}

Test(peers, starts_that_cannot_be_read_are_refused)
{
	uint8_t bytes[STRONG_ENVELOPE_SIZE + 8 + 8 * (STARTS_KEPT + 2)];
	verdict = STARTS_LATER;
	struct {
		uint64_t first, last;
		uint32_t count;
		int more;
		bool good;
	} rows[] = {
	    {8, 55, 1, 0, true}, {8, 55, STARTS_KEPT, 0, true}, {8, 55, STARTS_KEPT + 1, 0, false}, {8, 55, 1, -8, false},
	    {8, 55, 2, -1, false}, {8, 55, 2, 1, false}, {0, 55, 2, 0, false}, {1, 55, 2, 0, true},
	    {UINT64_MAX, 55, 1, 0, true}, {UINT64_MAX, 55, 2, 0, false},
	    {8, 56, 2, 0, false}, /* its last is not the one that speaks */
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t before = refused();
		size_t size = starts_put(bytes, rows[i].first, rows[i].count, rows[i].last);
		receive("r5", bytes, (size_t)((long)size + rows[i].more));
		cr_assert_eq(refused() - before, !rows[i].good, "row %zu", i);
		cr_assert_eq(sent_count, rows[i].good, "row %zu", i);
	}
}

static size_t known_put(uint8_t *bytes, uint64_t nonce, uint8_t known)
{
	size_t size = envelope(bytes, 5, STRONG_KNOWN);
	bytes_put_u64(bytes + size, nonce);
	bytes[size + 8] = known;
	return size + 9;
}

Test(peers, what_a_peer_knows_of_this_start)
{
	uint8_t bytes[128];
	struct strong_peer *peer = &io.strong.peers[5];
	io.strong.starts_at_ns = LOOP_NEVER;
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_MET));
	cr_assert_eq(peer->knows_us, STRONG_MET);
	cr_assert_eq(peer->start_at_ns, LOOP_NEVER);
	cr_assert_eq(io.strong.starts_at_ns, 0);
	cr_assert_eq(refusals_updated, 0);
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_OLDER));
	cr_assert_eq(peer->knows_us, STRONG_OLDER);
	cr_assert_eq(peer->start_at_ns, io.now.monotonic_ns + 2 * SECOND);
	cr_assert_eq(io.strong.older_for, 1u << 5);
	cr_assert_eq(refusals_updated, 1);
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_OLDER));
	cr_assert_eq(refusals_updated, 1, "nothing has changed");
	/* Of an earlier start: it has not met this one. */
	receive("r5", bytes, known_put(bytes, OWN_NONCE - 1, STRONG_OLDER));
	cr_assert_eq(peer->knows_us, STRONG_UNMET);
	cr_assert_eq(peer->start_at_ns, 0);
	cr_assert_eq(io.strong.older_for, 0);
	cr_assert_eq(refusals_updated, 2);
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_UNMET));
	cr_assert_eq(peer->start_at_ns, 0);
	/* An older copy says nothing that counts. */
	peer->is_older = true;
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_OLDER));
	cr_assert_eq(io.strong.older_for, 0);
	cr_assert_eq(refused(), 0);
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_OLDER + 1));
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_MET) - 1);
	receive("r5", bytes, known_put(bytes, OWN_NONCE, STRONG_MET) + 1);
	cr_assert_eq(refused(), 3);
}

Test(peers, T39_a_copy_that_runs_beside_its_region_hears_that_it_is_one)
{
	uint8_t bytes[128];
	uint64_t before = refused();
	answering = connected[1];
	io.strong.starts_at_ns = LOOP_NEVER;
	sent_count = inbox_at = closed = 0;
	inbox_count = 4;
	for (uint32_t i = 0; i < inbox_count; i++) {
		inbox[i].size = known_put(bytes, OWN_NONCE, STRONG_OLDER);
		inbox[i].code = i == 0 ? ERR_MALFORMED : 0;
		if (i == 1)
			bytes[3] = STRONG_STARTS; /* of no use there */
		if (i == 2)
			bytes[1] = 2; /* that is who answers on the other connection */
		memcpy(inbox[i].bytes, bytes, inbox[i].size);
	}
	cr_assert_eq(answers_drain(&io, io.now, 100), 4);
	cr_assert_eq(closed, 3);
	cr_assert_eq(refused() - before, 3);
	cr_assert_eq(sent_count, 0);
	cr_assert_eq(io.strong.older_for, 1u << 5);
	cr_assert_eq(refusals_updated, 1);
	inbox_at = 0;
	cr_assert_eq(answers_drain(&io, io.now, 2), 2, "no more than it may");
	answering = NULL;
}

Test(peers, this_start_is_shown_until_it_is_known)
{
	uint64_t now_ns = io.now.monotonic_ns;
	struct strong_peer *peer = &io.strong.peers[5];
	io.strong.peers[2].start_at_ns = LOOP_NEVER; /* knows it */
	io.strong.starts_at_ns = 0;
	strong_starts_show(&io);
	cr_assert_eq(sent_count, 1);
	const uint8_t *b = sent[0].bytes;
	cr_assert_eq(sent[0].socket, peer->socket);
	cr_assert(b[2] == 5 && b[3] == STRONG_STARTS);
	cr_assert_eq(sent[0].size, STRONG_ENVELOPE_SIZE + 8 + 2 * 8);
	cr_assert_eq(bytes_get_u64(b + STRONG_ENVELOPE_SIZE), 4);
	cr_assert_eq(bytes_get_u64(b + STRONG_ENVELOPE_SIZE + 8), 76);
	cr_assert_eq(bytes_get_u64(b + STRONG_ENVELOPE_SIZE + 16), OWN_NONCE);
	cr_assert_eq(io.strong.starts_at_ns, now_ns + 250 * MS);
	io.now.monotonic_ns = now_ns + 250 * MS - 1;
	strong_starts_show(&io);
	cr_assert_eq(sent_count, 1);
	io.now.monotonic_ns++;
	send_code = ERR_OVERLOADED; /* it is not there */
	strong_starts_show(&io);
	cr_assert_eq(sent_count, 2);
	cr_assert_eq(io.strong.starts_at_ns, io.now.monotonic_ns + 100 * MS);
	send_code = 0;
	peer->knows_us = STRONG_OLDER;
	io.now.monotonic_ns += 100 * MS;
	strong_starts_show(&io);
	cr_assert_eq(sent_count, 3);
	cr_assert_eq(io.strong.starts_at_ns, io.now.monotonic_ns + 2 * SECOND);
	io.starts.own.count = STARTS_KEPT;
	io.now.monotonic_ns += 2 * SECOND;
	strong_starts_show(&io);
	cr_assert_eq(sent[3].size, STRONG_ENVELOPE_SIZE + 8 + 8 * STARTS_KEPT);
	sent_count = 3;
	/* The earlier of two. */
	io.strong.peers[2].start_at_ns = io.now.monotonic_ns + SECOND;
	io.strong.starts_at_ns = 0;
	strong_starts_show(&io);
	cr_assert_eq(sent_count, 3);
	cr_assert_eq(io.strong.starts_at_ns, io.now.monotonic_ns + SECOND);
}

/* ---- G20: no say on keyspaces that the peer has not as they are here ---- */

static size_t prepare_put(uint8_t *out, uint16_t first, uint16_t second)
{
	static uint8_t body[512];
	const struct commit_operation operations[] = {commit_write(first, "a", "x"), commit_write(second, "b", "y")};
	struct commit_message m = {.type = COMMIT_PREPARE, .id = {.hlc = 9, .region = 5}, .body = body};
	m.body_size = (uint32_t)commit_body_sample(body, NULL, 0, operations, 2);
	size_t size = commit_message_size(&m);
	bytes_put_u16(out, (uint16_t)size);
	bytes_put_u16(out + 2, 0);
	cr_assert_eq(commit_message_encode(&m, out + 4, size), (long)size);
	return 4 + size;
}

static size_t ask_put(uint8_t *out, uint16_t keyspace)
{
	struct commit_message m = {.type = COMMIT_ASK,
	    .id = {.hlc = 9, .region = 5},
	    .keyspace = keyspace,
	    .key = (const uint8_t *)"k",
	    .key_size = 1};
	size_t size = commit_message_size(&m);
	bytes_put_u16(out, (uint16_t)size);
	bytes_put_u16(out + 2, 0);
	cr_assert_eq(commit_message_encode(&m, out + 4, size), (long)size);
	return 4 + size;
}

Test(peers, G20_a_keyspace_that_the_peer_has_otherwise_gets_no_vote_and_the_others_do)
{
	static const struct {
		uint64_t same;
		uint16_t first, second;
		uint32_t taken;
	} cases[] = {
	    {0, 1, 1, 0}, {2, 1, 1, 1}, {2, 1, 4, 0}, {2, 4, 1, 0}, {18, 1, 4, 1}, {~2ull, 1, 1, 0}, {~2ull, 4, 63, 1}};
	struct shm_link *links = layout->links;
	uint8_t bytes[1024];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		atomic_store(&links[5].keyspaces_same, cases[i].same);
		atomic_store(&links[2].keyspaces_same, ~cases[i].same); /* of another peer: says nothing */
		uint64_t before = refused();
		size_t size = envelope(bytes, 5, STRONG_MESSAGES);
		size += prepare_put(bytes + size, cases[i].first, cases[i].second);
		size += message_put(bytes + size, 2); /* about no keyspace */
		receive("r5", bytes, size);
		cr_expect_eq(event_count, cases[i].taken + 1, "%zu", i);
		cr_expect_eq(refused() - before, !cases[i].taken, "%zu", i);
		size = envelope(bytes, 5, STRONG_MESSAGES);
		size += ask_put(bytes + size, cases[i].first);
		receive("r5", bytes, size);
		cr_expect_eq(event_count, cases[i].same >> cases[i].first & 1, "%zu", i);
	}
}

/* Bits and loops begin with it. */
Test(peers, a20_the_first_region_is_a_peer_like_the_others)
{
	struct strong_peer *peers = io.strong.peers;
	peers[0] = peers[2];
	memset(&peers[2], 0, sizeof peers[2]);
	io.unsent[0] = io.unsent[2];
	io.now.monotonic_ns += 2 * SECOND;
	peers[0].heard_ns = io.now.monotonic_ns;
	strong_peers_look(&io);
	cr_assert(event_count == 1 && events[0].peers == (1u << 0 | 1u << 3));
	cr_assert_eq(strong_peers_deadline_ns(&io), io.now.monotonic_ns + 250 * MS + 1);
	const struct commit_message m = {.type = COMMIT_FETCH, .id = {.hlc = 1, .region = 5}};
	sent_count = 0;
	strong_send(&io, 1u << 0, &m);
	strong_send_all(&io);
	cr_assert_eq(sent_count, 1);
}

/* The build of this test understands `version` and the next one (tests/e2e/next_version.c). */
Test(peers, G20_envelopes_in_the_newest_version_that_both_understand)
{
	static const uint8_t told[][2] = {{0, 0}, {1, 1}, {2, 1}, {0, 0}, {9, 1}}; /* above the oldest; it went back once */
	uint8_t bytes[1024];
	struct commit_message m = fetch(1);
	for (uint8_t i = 0; i < sizeof told / sizeof *told; i++) {
		for (uint8_t in = 0; in < 2; in++) {
			size_t size = envelope(bytes, 5, STRONG_MESSAGES);
			bytes[0] = version + in;
			bytes[STRONG_NEWEST_AT] = version + told[i][0];
			size += message_put(bytes + size, 1);
			receive("r5", bytes, size);
			cr_expect_eq(event_count, 1);
		}
		sent_count = 0;
		strong_send(&io, 1u << 2 | 1u << 5, &m);
		strong_send_all(&io);
		cr_assert_eq(sent_count, 2);
		for (uint32_t k = 0; k < 2; k++) {
			cr_expect_eq(sent[k].bytes[0], version + (sent[k].bytes[2] == 5 ? told[i][1] : 0), "%u", i);
			cr_expect_eq(sent[k].bytes[STRONG_NEWEST_AT], version + 1);
		}
		uint8_t start[STRONG_ENVELOPE_SIZE];
		strong_envelope_begin(&io, 5, STRONG_STARTS, start);
		cr_expect_eq(start[0], version, "what opens an exchange is in the oldest");
	}
}
