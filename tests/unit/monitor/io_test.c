/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor's io.c around the machine that ships, with shared memory as it is and sockets that are lists: process_run is the
 * test. This region is 0, its peers 1 and 2. */
#include "actors/monitor/io.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/monitor/heartbeat.h"
#include "proto/peer.pb-c.h"
#include "runtime/logline.h"
#include "runtime/process.h"
#include "runtime/socket.h"
#include "tests/unit/shell/ahead.h"

#define MS     1000000ull
#define SECOND 1000000000ull

static struct shm_layout *shm;
static struct counter_block *counters;
static struct loop_actor actor;
static int (*command)(void *, const char *, const char *, struct text *, struct error_context *);
static struct clock_now now;
static void (*script)(void);
static int sockets[3]; /* by peer; [0] is the server's */
static loop_drain *drains[3];
static void *selves[3];
static struct {
	int to; /* socket */
	char identity;
	uint8_t bytes[HEARTBEAT_SIZE_MAX];
	size_t size;
} sent[64];
static uint32_t sent_count, opened, received_open;
static int send_code;
static struct {
	int code;
	uint8_t bytes[HEARTBEAT_SIZE_MAX];
	size_t size;
	const char *user;
} inbox[8];
static uint32_t inbox_count, inbox_at;
static const char *user;

struct clock_now clock_read(void)
{
	return now;
}
const struct region *topology_region_by_id(const struct topology *topology, uint32_t id)
{
	return id < topology->region_count ? &topology->regions[id] : NULL;
}
int loop_add_socket(struct loop *loop, void *socket, loop_drain *drain, void *self)
{
	(void)loop;
	const long place = (int *)socket - sockets;
	drains[place] = drain;
	selves[place] = self;
	return 0;
}
int socket_bind(void **socket, void *context, int type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	(void)context, (void)error, (void)options;
	cr_assert(type == ZMQ_ROUTER && strcmp(endpoint, "tcp://127.0.0.1:7002") == 0, "%s", endpoint);
	*socket = &sockets[0];
	opened++;
	return 0;
}
int process_connect(struct process *p, void **socket, const struct region *peer, enum service service,
    const struct socket_options *options, _Atomic uint32_t *key_refusal, struct error_context *error)
{
	(void)error;
	cr_assert(service == SERVICE_HEALTH && peer->id >= 1 && peer->id <= 2 && peer == &p->topology.regions[peer->id]);
	cr_assert(options->message_size_max == HEARTBEAT_SIZE_MAX && key_refusal == &shm->peers[peer->id].key_refusal);
	*socket = &sockets[peer->id];
	opened++;
	return 0;
}
int socket_send(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	if (send_code)
		return send_code;
	cr_assert(sent_count < 64 && size <= HEARTBEAT_SIZE_MAX);
	sent[sent_count].to = (int)((int *)socket - sockets);
	sent[sent_count].identity = identity_size ? (char)identity[0] : 0;
	memcpy(sent[sent_count].bytes, bytes, size);
	sent[sent_count++].size = size;
	return 0;
}
int socket_receive(void *socket, struct message *message, bool forwarded)
{
	(void)socket;
	cr_assert_not(forwarded);
	if (inbox_at == inbox_count)
		return ERR_EMPTY;
	const uint32_t at = inbox_at++;
	if (inbox[at].code)
		return inbox[at].code;
	message->identity_size = 1;
	message->identity[0] = 'i';
	zmq_msg_init_size(&message->body, inbox[at].size);
	memcpy(zmq_msg_data(&message->body), inbox[at].bytes, inbox[at].size);
	user = inbox[at].user;
	received_open++;
	return 0;
}
void message_close(struct message *message)
{
	zmq_msg_close(&message->body);
	received_open--;
}
const char *message_user(struct message *message)
{
	(void)message;
	return user;
}
void logline(enum log_level level, const char *event, const char *format, ...)
{
	(void)level, (void)event, (void)format;
}
void logline_distinct(enum log_level level, const char *event, uint64_t key, const char *format, ...)
{
	(void)level, (void)event, (void)key, (void)format;
}
void text_add(struct text *text, const char *format, ...)
{
	text->bytes = (char *)(uintptr_t)format;
}
int process_listens(const struct process *p, enum service service, char out[static 128], struct error_context *error)
{
	(void)p, (void)error;
	cr_assert_eq(service, SERVICE_HEALTH);
	strcpy(out, "tcp://127.0.0.1:7002");
	return 0;
}
int process_serve_curve(struct process *p, bool clients, struct error_context *error)
{
	(void)p, (void)error;
	cr_assert_not(clients);
	return 0;
}
void process_ready(struct process *p)
{
	(void)p;
	cr_assert_eq(opened, 3);
}
int process_fail(struct process *p, int code, const struct error_context *error)
{
	(void)p;
	cr_assert_fail("%d: %s", code, error->text);
	return 1;
}
int process_start(struct process *p, enum actor which, const struct option *own_table, void *own_values, int argc, char **argv,
    const struct loop_actor *loop_actor,
    int (*commands)(void *, const char *, const char *, struct text *, struct error_context *))
{
	static const char *const names[] = {"us", "eu", "ap"};
	(void)own_table, (void)own_values, (void)argc, (void)argv;
	cr_assert_eq(which, ACTOR_MONITOR);
	p->topology.region_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		strcpy(p->topology.regions[i].name, names[i]);
		strcpy(p->topology.regions[i].host, "127.0.0.1");
		p->topology.regions[i].port = 7000;
		p->topology.regions[i].id = i;
	}
	strcpy(p->topology.cluster, "demo");
	p->topology.max_lag_ms = 5000;
	p->topology.drain_factor = 2;
	p->region = &p->topology.regions[0];
	p->shm.layout = shm;
	p->counters = counters;
	actor = *loop_actor;
	command = commands;
	return 0;
}
int process_run(struct process *p)
{
	(void)p;
	script();
	return 0;
}

static void setup(void)
{
	shm = aligned_alloc(4096, (sizeof *shm + 4095) / 4096 * 4096);
	memset(shm, 0, sizeof *shm);
	counters = &shm->counters[ACTOR_MONITOR];
	now = (struct clock_now){.monotonic_ns = 1000 * SECOND, .wall_ms = 1700000000000};
}
static void teardown(void)
{
	cr_assert_eq(received_open, 0, "a message was not closed");
	free(shm);
}
TestSuite(io, .init = setup, .fini = teardown);

static void run(void (*what)(void))
{
	char *arguments[] = {(char *)(uintptr_t) "monitor", NULL};
	script = what;
	cr_assert_eq(monitor_main(1, arguments), 0);
}
static void turn(uint64_t after_ms)
{
	now.monotonic_ns += after_ms * MS;
	now.wall_ms += after_ms;
	sent_count = 0;
	actor.tick(actor.self, now);
}
/* What a region would have sent. */
static void from(uint8_t region, const char *name, bool reply, uint64_t number, uint64_t sent_ns, uint32_t load)
{
	struct heartbeat_rules rules = {.cluster = "demo", .region = region, .peers = 7u & ~(1u << region)};
	static struct monitor other;
	struct monitor_effect effect = {.kind = MONITOR_SEND, .reply = reply, .number = number, .sent_ns = sent_ns};
	other = (struct monitor){.region = region, .load_percent = load};
	inbox[inbox_count].size = heartbeat_pack(&rules, &other, &effect, now.wall_ms, inbox[inbox_count].bytes);
	inbox[inbox_count++].user = name;
}
static uint32_t drain(int socket, uint32_t limit)
{
	const uint32_t count = drains[socket](selves[socket], now, limit);
	if (inbox_at == inbox_count)
		inbox_at = inbox_count = 0;
	return count;
}
static const struct monitor_event *heard_by_peer(uint32_t at, uint8_t peer)
{
	static struct monitor_event event;
	struct heartbeat_rules rules = {.cluster = "demo", .region = peer, .peers = 7u & ~(1u << peer)};
	struct error_context error;
	cr_assert_eq(heartbeat_parse(&event, &rules, sent[at].bytes, sent[at].size, &error), 0, "%s", error.text);
	return &event;
}

static void questions(void)
{
	turn(0);
	cr_assert_eq(sent_count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert(sent[i].to == (int)i + 1 && !sent[i].identity);
		cr_assert_not(heard_by_peer(i, (uint8_t)(i + 1))->heartbeat.reply);
	}
	cr_assert_eq(counter_get(counters, COUNTER_heartbeats_sent), 2);
	const uint64_t number = heard_by_peer(0, 1)->heartbeat.number, sent_ns = heard_by_peer(0, 1)->heartbeat.sent_ns;
	/* Before its time nothing is sent. */
	cr_assert_geq(actor.deadline_ns(actor.self), now.monotonic_ns);
	now.monotonic_ns = actor.deadline_ns(actor.self) - 1;
	turn(0);
	cr_assert_eq(sent_count, 0);
	now.monotonic_ns = sent_ns + 40 * MS;
	from(1, "eu", true, number, sent_ns, 55);
	cr_assert_eq(drain(1, 8), 1);
	cr_assert_eq(counter_get(counters, COUNTER_heartbeats_received), 1);
	cr_assert_eq(shm->peers[1].state, REGION_UP);
	cr_assert_eq(shm->peers[1].round_trip_us, 40000);
	cr_assert_eq(shm->peers[1].load_percent, 55);
	cr_assert_eq(shm->peers[1].answered_at_ns, now.monotonic_ns);
	cr_assert_eq(shm->peers[1].sampled_at_ns, now.monotonic_ns);
	cr_assert_neq(shm->peers[1].clock_offset_us, 0);
	cr_assert_eq(shm->peers[2].state, REGION_UNKNOWN);
	/* What nobody takes is not counted. */
	send_code = ERR_UNREACHABLE;
	turn(5000);
	cr_assert_eq(counter_get(counters, COUNTER_heartbeats_sent), 2);
}
/* The version that a message from here is written in. */
static uint32_t version_of(uint32_t at)
{
	Godwit__Peer__Envelope *envelope = godwit__peer__envelope__unpack(NULL, sent[at].size, sent[at].bytes);
	cr_assert(envelope);
	const uint32_t version = envelope->protocol;
	godwit__peer__envelope__free_unpacked(envelope, NULL);
	return version;
}
static void versions(void)
{
	ahead = 1;
	turn(0);
	cr_assert(sent_count == 2 && version_of(0) == PROTOCOL_VERSION && version_of(1) == PROTOCOL_VERSION);
	sent_count = 0;
	from(1, "eu", false, 17, 1, 0);
	cr_assert_eq(drain(0, 8), 1);
	ahead = 0;
	from(2, "ap", false, 18, 1, 0);
	ahead = 1;
	cr_assert_eq(drain(0, 8), 1);
	cr_assert(sent_count == 2 && version_of(0) == PROTOCOL_VERSION + 1 && version_of(1) == PROTOCOL_VERSION);
	/* Gone back to the older build, a peer is written to in the oldest again. */
	ahead = 0;
	from(1, "eu", false, 19, 1, 0);
	ahead = 1;
	cr_assert_eq(drain(0, 8), 1);
	cr_assert(sent_count == 3 && version_of(2) == PROTOCOL_VERSION);
}
Test(io, G20_a_peer_is_written_to_in_what_it_understands)
{
	run(versions);
}

Test(io, F24_questions_go_out_and_answers_are_published)
{
	run(questions);
}

static void answers(void)
{
	turn(0);
	sent_count = 0;
	from(2, "ap", false, 17, 4711, 0);
	from(1, "eu", false, 18, 4712, 0);
	cr_assert_eq(drain(0, 1), 1, "a limit is kept");
	cr_assert_eq(sent_count, 1);
	cr_assert(sent[0].to == 0 && sent[0].identity == 'i');
	const struct monitor_event *event = heard_by_peer(0, 2);
	cr_assert(event->heartbeat.reply && event->heartbeat.number == 17 && event->heartbeat.sent_ns == 4711);
	cr_assert_eq(drain(0, 8), 1);
	cr_assert_eq(sent_count, 2);
	cr_assert_eq(counter_get(counters, COUNTER_heartbeats_received), 2);
	cr_assert_eq(counter_get(counters, COUNTER_frames_refused), 0);
	/* Another's name, nobody's, an answer where questions come, rubbish, and the wrong number of parts. */
	from(1, "ap", false, 19, 1, 0);
	from(1, NULL, false, 19, 1, 0);
	from(1, "eu", true, 19, 1, 0);
	inbox[inbox_count].size = 3;
	inbox[inbox_count++].user = "eu";
	inbox[inbox_count++].code = ERR_MALFORMED;
	cr_assert_eq(drain(0, 8), 5);
	memset(inbox, 0, sizeof inbox);
	cr_assert_eq(counter_get(counters, COUNTER_frames_refused), 5);
	cr_assert_eq(sent_count, 2, "none is answered");
	from(1, "eu", false, 19, 1, 0); /* a question where answers come */
	cr_assert_eq(drain(1, 8), 1);
	cr_assert_eq(counter_get(counters, COUNTER_frames_refused), 6);
	cr_assert_eq(counter_get(counters, COUNTER_heartbeats_received), 2);
}
Test(io, F24_only_questions_of_who_it_says_it_is_are_answered)
{
	run(answers);
}

static void written(uint64_t sequence, uint64_t lsn)
{
	const struct vector applied = {.sequence = {sequence}};
	vector_slot_write(&shm->coordinator.applied, &applied);
	shm->coordinator.durable_lsn = lsn;
}
static void ack(uint8_t peer, uint64_t sequence, uint64_t sent_lsn)
{
	const struct vector acked = {.sequence = {sequence}};
	vector_slot_write(&shm->links[peer].acked, &acked);
	shm->links[peer].sent_lsn = sent_lsn;
	shm->links[peer].acked_at_ns = 1;
}
static void lag(void)
{
	written(100, 5000);
	turn(0);
	turn(1000);
	cr_assert_eq(shm->peers[1].lag_records, 0, "it has not said what it holds");
	ack(1, 100, 5000);
	written(130, 8000);
	turn(1000);
	turn(2000);
	cr_assert(shm->peers[1].lag_records == 30 && shm->peers[1].lag_bytes == 3000 && shm->peers[1].lag_ms == 2000,
	    "%llu %llu %llu", (unsigned long long)shm->peers[1].lag_records, (unsigned long long)shm->peers[1].lag_bytes,
	    (unsigned long long)shm->peers[1].lag_ms);
	cr_assert_eq(shm->peers[2].lag_records, 0);
	ack(1, 130, 8000);
	turn(1000);
	cr_assert(shm->peers[1].lag_records == 0 && shm->peers[1].lag_bytes == 0 && shm->peers[1].lag_ms == 0);
}
Test(io, F24_lag_is_of_what_a_peer_has_acknowledged)
{
	run(lag);
}

/* The process before this one had left a lag of four seconds. */
static void goes_on(void)
{
	written(100, 5000);
	ack(1, 90, 4000);
	turn(0);
	turn(1000);
	cr_assert_eq(shm->peers[1].lag_records, 10);
	cr_assert_geq(shm->peers[1].lag_ms, 5000);
}
Test(io, F24_a_lag_of_the_process_before_goes_on)
{
	shm->peers[1].sampled_at_ns = now.monotonic_ns;
	shm->peers[1].lag_ms = 4000;
	run(goes_on);
}

static uint32_t told_load(void)
{
	static struct monitor_event event;
	struct heartbeat_rules rules = {.cluster = "demo", .region = 1, .peers = 5};
	struct error_context error;
	cr_assert_gt(sent_count, 0);
	cr_assert_eq(heartbeat_parse(&event, &rules, sent[0].bytes, sent[0].size, &error), 0);
	return event.heartbeat.load_percent;
}
static void load(void)
{
	struct text text = {0};
	struct error_context error;
	const uint64_t processors = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	counter_set(&shm->counters[ACTOR_ROUTER], COUNTER_cpu_us, 7000000);
	turn(0);
	cr_assert_eq(told_load(), 0, "nothing to compare with");
	/* A fifth of the machine over two seconds, by two actors. */
	counter_set(&shm->counters[ACTOR_ROUTER], COUNTER_cpu_us, 7000000 + 300000 * processors);
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_cpu_us, 100000 * processors);
	turn(2000);
	cr_assert_eq(told_load(), 20);
	/* Too soon for another figure. */
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_cpu_us, 900000 * processors);
	turn(600);
	cr_assert_eq(told_load(), 20);
	turn(400);
	cr_assert_eq(told_load(), 80);
	/* A counter that began again is no load, and there is no more than all of it. */
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_cpu_us, 0);
	turn(1000);
	cr_assert_eq(told_load(), 80);
	counter_set(&shm->counters[ACTOR_COORDINATOR], COUNTER_cpu_us, 90000000 * processors);
	turn(1000);
	cr_assert_eq(told_load(), 100);
	turn(1000);
	cr_assert_eq(told_load(), 0);
	cr_assert_eq(command(actor.self, "undrain", "", &text, &error), ERR_UNSUPPORTED);
	turn(1000);
	cr_assert_eq(told_load(), 0);
	cr_assert_eq(command(actor.self, "drain", "", &text, &error), 0);
	cr_assert_str_eq(text.bytes, "{\"draining\":true}");
	turn(1000);
	cr_assert_eq(told_load(), 100, "others send their readers elsewhere");
}
Test(io, F24_load_is_a_share_of_the_machine)
{
	run(load);
}
