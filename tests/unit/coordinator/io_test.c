/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's loop callbacks around the machine that ships: io.c with a log that is an array, rows that are a position,
 * and sockets that are lists. loop_run is the test: it calls what the loop would. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/coordinator/io.h"
#include "base/text.h"
#include "proto/client.pb-c.h"
#include "runtime/logline.h"

#define OWN     3u
#define PEER    5u
#define MS      1000000ull
#define SECOND  1000000000ull
#define NOW_MS  1900000000000ull
#define ENTRIES 64u

/* ---- the world around it ---- */

static struct coordinator_io *io; /* coordinator_main's own */
static struct shm_layout *layout;
static struct counter_block *counters;
static struct loop_actor actor;
static int (*command)(void *, const char *, const char *, struct text *, struct error_context *);
static loop_drain *inbox_drain, *log_drain, *socket_drain;
static struct clock_now now;
static void (*script)(void);
static struct ring producer;

static struct {
	enum log_type type;
	uint8_t bytes[2048];
	size_t size;
	uint64_t end_lsn;
} entries[ENTRIES];
static uint32_t entry_count, entries_applied, flushes;
static uint64_t strong_waits;
static char region_dir[64];
static uint64_t end_lsn, durable_lsn, apply_upto;
static int append_code, completed_code, apply_code;
static bool buffered;
static struct vector applied;
static struct rows_meta meta;
static struct row row;
static uint32_t views;
static bool row_is_there;

static uint8_t request_bytes[8][4096];
static size_t request_sizes[8];
static uint32_t request_count, request_at, closed;
static int receive_code;

static struct coordinator_answer answers[ENTRIES];
static uint32_t answer_count, sends, strong_sends, rings, upkeeps, room_checks, looks, streamed, snapshots, errors_logged;
static bool strong_deletes;
static int stopped, refused, strong_starts_code;
static bool streams_are_taken = true, strong_takes;
static uint64_t strong_deadline = LOOP_NEVER;
static char told[128];
static uint8_t transaction[256]; /* an entry of the strong commit */
static size_t transaction_size;

int process_start(struct process *p, enum actor role, const struct option *table, void *values, int argc, char **argv,
    const struct loop_actor *loop_actor,
    int (*commands)(void *, const char *, const char *, struct text *, struct error_context *))
{
	(void)argc;
	(void)argv;
	cr_assert(role == ACTOR_COORDINATOR && table && values);
	io = loop_actor->self;
	actor = *loop_actor;
	command = commands;
	p->shm.layout = layout;
	p->counters = counters = &layout->counters[ACTOR_COORDINATOR];
	p->topology.region_count = 2;
	p->topology.regions[0].id = OWN;
	p->topology.regions[1].id = PEER;
	p->region = &p->topology.regions[0];
	p->topology.keyspace_count = 2;
	strcpy(p->topology.keyspaces[0].name, "default");
	strcpy(p->topology.keyspaces[1].name, "other");
	strcpy(p->region_dir, region_dir);
	return 0;
}

const struct region *topology_region_by_id(const struct topology *topology, uint32_t id)
{
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (topology->regions[i].id == id)
			return &topology->regions[i];
	return NULL;
}

void process_ready(struct process *p)
{
	cr_assert_eq(atomic_load(&p->shm.layout->coordinator.ready), 1);
}

int process_fail(struct process *p, int code, const struct error_context *error)
{
	(void)p;
	(void)error;
	return code;
}

static bool are_closed; /* its sockets */
static uint32_t budgets_ended;
int process_run(struct process *p)
{
	(void)p;
	are_closed = true;
	return stopped;
}

void lend_budget_deinit(struct lend_budget *budget)
{
	cr_assert(are_closed && budget, "libzmq may still give something back");
	budgets_ended++;
}

void process_ipc(const struct process *p, const char *name, char out[static 256])
{
	(void)p;
	snprintf(out, 256, "ipc %s", name);
}

int loop_add_inbox(struct loop *loop, loop_drain *drain, void *self)
{
	(void)loop;
	cr_assert_eq(self, io);
	inbox_drain = drain;
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, loop_drain *drain, void *self)
{
	(void)loop;
	cr_assert(fd == 99 && self == io);
	log_drain = drain;
	return 0;
}

int loop_add_socket(struct loop *loop, void *socket, loop_drain *drain, void *self)
{
	(void)loop;
	cr_assert(socket == request_bytes && self == io);
	socket_drain = drain;
	return 0;
}

int loop_run(struct loop *loop)
{
	(void)loop;
	script();
	return 0;
}

void loop_stop(struct loop *loop, int code)
{
	(void)loop;
	stopped = code;
}

struct clock_now clock_read(void)
{
	return now;
}

int socket_bind(void **socket, void *context, int type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	(void)context;
	(void)options;
	(void)error;
	cr_assert_eq(type, ZMQ_DEALER);
	cr_assert_str_eq(endpoint, "ipc coordinator.ipc");
	*socket = request_bytes;
	return 0;
}

int socket_receive(void *socket, struct message *message, bool forwarded)
{
	cr_assert(socket == request_bytes && forwarded);
	int code = receive_code;
	receive_code = 0;
	if (code)
		return code;
	if (request_at == request_count)
		return ERR_EMPTY;
	zmq_msg_init_size(&message->body, request_sizes[request_at]);
	memcpy(zmq_msg_data(&message->body), request_bytes[request_at], request_sizes[request_at]);
	message->identity[0] = 'a';
	message->identity_size = 1;
	request_at++;
	return 0;
}

void message_close(struct message *message)
{
	zmq_msg_close(&message->body);
	closed++;
}

int replies_init(struct replies *replies, void *socket, struct counter_block *block)
{
	(void)replies;
	cr_assert(socket == request_bytes && block == counters);
	return 0;
}

void replies_deinit(struct replies *replies)
{
	(void)replies;
}

uint64_t replies_route(struct replies *replies, const uint8_t *identity, uint32_t size)
{
	(void)replies;
	cr_assert(size == 1 && identity[0] == 'a');
	return 8;
}

void replies_add(struct replies *replies, const struct coordinator_answer *answer)
{
	cr_assert(replies == &io->replies && answer_count < ENTRIES);
	answers[answer_count++] = *answer;
}

void replies_send(struct replies *replies)
{
	(void)replies;
	sends++;
}

int log_append(struct log *log, enum log_type type, const void *bytes, size_t size, uint64_t *end)
{
	(void)log;
	if (append_code)
		return append_code;
	cr_assert(entry_count < ENTRIES && size <= sizeof entries[0].bytes);
	entries[entry_count].type = type;
	entries[entry_count].size = size;
	memcpy(entries[entry_count].bytes, bytes, size);
	end_lsn += 100;
	*end = entries[entry_count++].end_lsn = end_lsn;
	return 0;
}

void log_flush(struct log *log)
{
	(void)log;
	flushes++;
}

int log_fd(const struct log *log)
{
	(void)log;
	return 99;
}

int log_completed(struct log *log, uint64_t *lsn, struct error_context *error)
{
	(void)log;
	(void)error;
	*lsn = durable_lsn;
	return completed_code;
}

uint64_t log_take_sync_us(struct log *log)
{
	(void)log;
	return 0;
}

uint64_t log_sync_count(const struct log *log)
{
	(void)log;
	return flushes;
}

uint64_t log_buffered_bytes(const struct log *log)
{
	(void)log;
	return buffered ? 1 : 0;
}

int rows_apply_log(struct rows *rows, struct log_reader *reader, uint64_t limit_lsn, uint32_t entries_max, uint64_t now_ms,
    void (*on_record)(void *, const struct record *, enum row_change), void *self, struct apply_result *result,
    struct error_context *error)
{
	(void)rows;
	(void)reader;
	(void)error;
	cr_assert(entries_max && now_ms == now.wall_ms && limit_lsn == io->durable_lsn);
	if (apply_code)
		return apply_code;
	*result = (struct apply_result){.applied_lsn = io->applied.applied_lsn};
	for (; entries_applied < entry_count && entries[entries_applied].end_lsn <= limit_lsn &&
	       entries[entries_applied].end_lsn <= apply_upto;
	     entries_applied++) {
		struct record record;
		result->applied_lsn = entries[entries_applied].end_lsn;
		if (entries[entries_applied].type != LOG_RECORD)
			continue;
		cr_assert_gt(record_decode(&record, entries[entries_applied].bytes, entries[entries_applied].size), 0);
		applied.sequence[record.dot.region] = record.dot.sequence;
		result->records++;
		on_record(self, &record, ROW_REPLACED);
	}
	result->applied = applied;
	return 0;
}

const struct rows_meta *rows_meta_now(const struct rows *rows)
{
	(void)rows;
	return &meta;
}

int rows_view_begin(struct rows_view *view, struct error_context *error)
{
	(void)view;
	(void)error;
	views++;
	return 0;
}

void rows_view_end(struct rows_view *view)
{
	(void)view;
	views--;
}

int rows_get(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct row *out)
{
	(void)view;
	cr_assert(keyspace == 1 && (key_size == 1 || key_size == KEY_SIZE_MAX) && key[0] == 'k');
	*out = row;
	return row_is_there ? 0 : ERR_NOT_FOUND;
}

int store_start(struct coordinator_io *p, struct error_context *error)
{
	(void)error;
	struct coordinator_options options = {.region = OWN,
	    .regions = 1u << OWN | 1u << PEER,
	    .keyspace_count = 2,
	    .keyspaces = {{LEVEL_EVENTUAL, ACKNOWLEDGE_ONE}, {LEVEL_EVENTUAL, ACKNOWLEDGE_ONE}},
	    .clock_drift_max_ms = 500,
	    .reply_cache_answers = 1024};
	struct vector none = {0};
	p->is_founded = true; /* nobody has to be met first */
	return coordinator_init(&p->machine, &options, &none, &none, 0);
}

void store_damage_log(const struct coordinator_io *p, uint64_t writes)
{
	(void)p, (void)writes;
}

void store_stop(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
}

void upkeep(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	upkeeps++;
}

void upkeep_room_check(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	room_checks++;
}

int upkeep_snapshot_start(struct coordinator_io *p, struct error_context *error)
{
	(void)error;
	cr_assert_eq(p, io);
	snapshots++;
	return 0;
}

int strong_start(struct coordinator_io *p, uint64_t floor, struct error_context *error)
{
	(void)p;
	(void)floor;
	(void)error;
	return strong_starts_code;
}

void strong_stop(struct coordinator_io *p)
{
	(void)p;
}

void strong_applied(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
}

void strong_apply_begin(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
}

void strong_durable(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
}

uint64_t strong_waiting(const struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	return strong_waits;
}

uint64_t strong_deadline_ns(const struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	return strong_deadline;
}

bool strong_operation(struct coordinator_io *p, uint64_t route, uint64_t client_id, const struct request_operation *operation)
{
	(void)operation;
	cr_assert(p == io && route == 8 && client_id == 77);
	return strong_takes;
}

void strong_peers_look(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	looks++;
}

void strong_refuse(struct coordinator_io *p, int code, bool takes_deletes)
{
	cr_assert_eq(p, io);
	refused = code;
	strong_deletes = takes_deletes;
}

void strong_send_all(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	strong_sends++;
}

void strong_streamed(struct coordinator_io *p, uint64_t lsn, const uint8_t *entry, size_t size)
{
	cr_assert(p == io && lsn == end_lsn && size == transaction_size && !memcmp(entry, transaction, size));
	streamed++;
}

bool strong_takes_streams(const struct coordinator_io *p)
{
	cr_assert_eq(p, io);
	return streams_are_taken;
}

void strong_tick(struct coordinator_io *p)
{
	cr_assert_eq(p, io);
}

void doorbell_ring(struct doorbell *bell)
{
	rings += bell == &io->process.bells[ACTOR_STREAMER];
}

void logline(enum log_level level, const char *event, const char *format, ...)
{
	(void)event;
	(void)format;
	errors_logged += level == LOG_LEVEL_ERROR;
}

void logline_distinct(enum log_level level, const char *event, uint64_t subject, const char *format, ...)
{
	(void)event;
	(void)subject;
	(void)format;
	errors_logged += level == LOG_LEVEL_ERROR;
}

void text_add(struct text *out, const char *format, ...)
{
	va_list arguments;
	(void)out;
	va_start(arguments, format);
	vsnprintf(told, sizeof told, format, arguments);
	va_end(arguments);
}

static void transaction_make(void)
{
	static struct commit_head head = {.id = {.hlc = (uint64_t)NOW_MS << 16, .region = PEER}, .previous_count = 1};
	struct commit_request_name name = {.client_id = 9, .number = 3};
	struct commit_operation o = {.kind = COMMIT_PUT, .key = (const uint8_t *)"k", .key_size = 1};
	uint8_t *out = transaction + commit_head_put(transaction, &head, true);
	out = commit_body_begin(out, false, 1, 2, 1);
	out = commit_request_name_put(out, &name);
	*out++ = 1;
	*out++ = 0;
	transaction_size = (size_t)(commit_operation_put(out, &o) - transaction);
}

static void begin(void)
{
	layout = aligned_alloc(4096, (sizeof *layout + 4095) / 4096 * 4096);
	cr_assert(layout);
	memset(layout, 0, sizeof *layout);
	transaction_make();
	ring_create(&layout->inbound, SHM_INBOUND_RING_SIZE);
	cr_assert_eq(ring_attach(&producer, &layout->inbound, layout->inbound_bytes, SHM_INBOUND_RING_SIZE), 0);
	now = (struct clock_now){.monotonic_ns = 100 * SECOND, .wall_ms = NOW_MS};
	apply_upto = UINT64_MAX;
	memset(meta.store_id, 3, sizeof meta.store_id);
}

static void end(void)
{
	free(layout);
}

TestSuite(io, .init = begin, .fini = end);

/* Runs a script as the loop. Returns what the process ends with. */
static int run(void (*what)(void))
{
	char path[sizeof region_dir + 16];
	strcpy(region_dir, "/tmp/godwit-port-XXXXXX");
	cr_assert(mkdtemp(region_dir));
	script = what;
	are_closed = false;
	budgets_ended = 0;
	int code = coordinator_main(0, NULL);
	cr_assert(!are_closed || budgets_ended == REGIONS_MAX);
	snprintf(path, sizeof path, "%s/refused", region_dir);
	unlink(path);
	rmdir(region_dir);
	return code;
}

/* ---- what the scripts do ---- */

static Godwit__Client__Operation put_of(uint64_t number, const char *key)
{
	Godwit__Client__Operation o = GODWIT__CLIENT__OPERATION__INIT;
	o.number = number;
	o.kind = GODWIT__CLIENT__KIND__PUT;
	o.key = (ProtobufCBinaryData){.len = strlen(key), .data = (uint8_t *)(uintptr_t)key};
	o.value = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)(uintptr_t) "v"};
	return o;
}

static void request_of(uint32_t protocol, Godwit__Client__Operation *operation)
{
	Godwit__Client__Request r = GODWIT__CLIENT__REQUEST__INIT;
	r.protocol = protocol;
	r.client_id = 77;
	r.operations = &operation;
	r.n_operations = 1;
	request_sizes[request_count] = godwit__client__request__pack(&r, request_bytes[request_count]);
	request_count++;
}

static void take(void)
{
	socket_drain(io, now, 8);
	request_count = request_at = 0;
}

static void put(uint64_t number)
{
	Godwit__Client__Operation o = put_of(number, "k");
	request_of(1, &o);
	take();
}

/* All that is appended is on the disk. */
static void durable(void)
{
	durable_lsn = end_lsn;
	log_drain(io, now, 1);
}

static void record_push(uint8_t region, uint64_t sequence, bool is_transaction)
{
	uint8_t bytes[512];
	struct record r = {.dot = {.region = region, .sequence = sequence}, .hlc = hlc_pack(NOW_MS, 0)};
	if (is_transaction) {
		r.flags = RECORD_TRANSACTION;
		r.entry = transaction;
		r.entry_size = (uint32_t)transaction_size;
	} else {
		r.context.sequence[region] = sequence - 1;
		r.key = (const uint8_t *)"k";
		r.key_size = 1;
	}
	long size = record_encode(&r, bytes, sizeof bytes);
	cr_assert_gt(size, 0);
	cr_assert_eq(ring_push(&producer, 0, bytes, (uint32_t)size), 0);
}

/* A record whose stamp is ahead of this clock is taken and counted. */
static void ahead(void)
{
	now.wall_ms -= 3600000;
	record_push(PEER, 1, false);
	inbox_drain(io, now, 8);
	actor.publish(io, now);
	cr_assert_eq(entry_count, 1);
	cr_assert_eq(counter_get(counters, COUNTER_records_ahead), 1);
	cr_assert_eq(counter_get(counters, COUNTER_records_ahead_ms), 3600000);
}

Test(io, a20_records_from_the_future_are_counted)
{
	cr_assert_eq(run(ahead), 0);
}

/* ---- a write ---- */

static void a_write(void)
{
	uint32_t started = flushes;
	put(1);
	cr_assert_eq(entry_count, 2);
	cr_assert(entries[0].type == LOG_HLC_BOUND && entries[1].type == LOG_RECORD, "the bound of its stamp comes first");
	cr_assert_eq(counter_get(counters, COUNTER_log_bytes_written), entries[1].size);
	actor.persist(io, now);
	cr_assert_eq(flushes, started + 1, "a lone write goes at once");
	log_drain(io, now, 1);
	actor.persist(io, now);
	cr_assert_eq(answer_count, 0, "M1: it is not durable");
	cr_assert(!actor.has_work(io));
	durable();
	cr_assert(actor.has_work(io));
	apply_upto = entries[0].end_lsn;
	actor.persist(io, now);
	cr_assert_eq(answer_count, 0, "it is not in the rows");
	cr_assert(actor.has_work(io));
	apply_upto = UINT64_MAX;
	actor.persist(io, now);
	cr_assert_eq(answer_count, 1);
	cr_assert(answers[0].code == 0 && answers[0].route == 8 && answers[0].number == 1);
	cr_assert_eq(counter_get(counters, COUNTER_records_applied), 1);
	/* The stamps of the next are bounded already. */
	put(2);
	cr_assert_eq(entry_count, 3);
	strong_takes = true;
	put(3);
	cr_assert_eq(entry_count, 3);
	cr_assert_eq(answer_count, 1);
}

Test(io, M1_a_write_is_answered_when_it_is_durable_and_applied)
{
	cr_assert_eq(run(a_write), 0);
}

static void a_failing_log(void)
{
	put(1);
	append_code = ERR_OVERLOADED;
	put(2);
	append_code = ERR_DISK_FULL;
	put(3);
	cr_assert_eq(answer_count, 2);
	cr_assert(answers[0].code == ERR_OVERLOADED && answers[1].code == ERR_DISK_FULL);
	cr_assert_eq(stopped, 0);
	append_code = ERR_IO;
	Godwit__Client__Operation last = put_of(4, "k"), beyond = put_of(5, "k");
	request_of(1, &last);
	request_of(1, &beyond);
	socket_drain(io, now, 8);
	cr_assert(stopped == ERR_IO && request_at == 1, "it goes on after it has failed");
	request_count = request_at = 0;
	durable();
	actor.persist(io, now);
	for (uint32_t i = 0; i < answer_count; i++)
		cr_assert_neq(answers[i].code, 0, "answered by a process that has failed");
	cr_assert(!actor.has_work(io));
}

Test(io, F04_a_log_that_fails_ends_it)
{
	cr_assert_eq(run(a_failing_log), ERR_IO);
}

static void a_failing_sync(void)
{
	put(1);
	completed_code = ERR_IO;
	durable();
	cr_assert_eq(stopped, ERR_IO);
	completed_code = 0;
	durable();
	actor.persist(io, now);
	cr_assert_eq(answer_count, 0, "M15: never tried again");
}

Test(io, M15_a_sync_that_fails_is_not_tried_again)
{
	cr_assert_eq(run(a_failing_sync), ERR_IO);
}

static void full_rows_but_for_deletes(void)
{
	io->rows_are_full = true;
	io->deletes_taken = true;
	gate_update(io);
	cr_assert(refused == ERR_DISK_FULL && strong_deletes && io->machine.takes_deletes);
	io->deletes_taken = false;
	gate_update(io);
	cr_assert(refused == ERR_DISK_FULL && !strong_deletes && !io->machine.takes_deletes);
}

Test(io, E13b_strong_deletes_are_taken_as_eventual_ones_are)
{
	run(full_rows_but_for_deletes);
}

/* The rows have room again, and the strong commit is yet to start: it would wait for ever beside clients who never stop. */
static void writes_wait_for_the_strong_commit(void)
{
	io->rows_are_full = false;
	io->strong.wanted = true;
	gate_update(io);
	cr_assert_eq(io->machine.refusing, ERR_DISK_FULL);
	io->strong.machine = (struct commit *)&answers;
	gate_update(io);
	cr_assert_eq(io->machine.refusing, 0);
	io->strong.machine = NULL;
	io->strong.wanted = false;
	gate_update(io);
	cr_assert_eq(io->machine.refusing, 0);
}

Test(io, F05_writes_wait_until_the_strong_commit_has_started)
{
	run(writes_wait_for_the_strong_commit);
}

static void full_rows(void)
{
	put(1);
	durable();
	apply_code = ERR_DISK_FULL;
	actor.persist(io, now);
	cr_assert(io->rows_are_full && io->apply_is_blocked);
	cr_assert_eq(io->machine.refusing, ERR_DISK_FULL);
	cr_assert_eq(refused, ERR_DISK_FULL);
	cr_assert_eq(answer_count, 0);
	cr_assert(!actor.has_work(io));
	apply_code = 0;
	actor.persist(io, now);
	cr_assert_eq(answer_count, 0, "not before the next second");
	now.monotonic_ns += SECOND;
	actor.persist(io, now);
	cr_assert_eq(answer_count, 1);
	cr_assert_eq(answers[0].code, 0);
	apply_code = ERR_CORRUPT;
	io->rows_are_full = false;
	gate_update(io);
	put(2);
	durable();
	actor.persist(io, now);
	cr_assert_eq(stopped, ERR_CORRUPT);
	cr_assert_eq(answer_count, 1);
}

Test(io, F04_full_rows_refuse_and_come_back)
{
	cr_assert_eq(run(full_rows), ERR_CORRUPT);
}

/* ---- requests ---- */

static void bad_requests(void)
{
	Godwit__Client__Operation o = put_of(1, "k");
	request_of(2, &o);
	take();
	cr_assert(answer_count == 1 && answers[0].code == ERR_WRONG_VERSION && answers[0].number == 0);
	request_sizes[0] = 1;
	request_bytes[0][0] = 0xff;
	request_count = 1;
	take();
	cr_assert(answer_count == 2 && answers[1].code == ERR_MALFORMED);
	cr_assert_eq(counter_get(counters, COUNTER_frames_refused), 2);
	o.kind = GODWIT__CLIENT__KIND__GET;
	request_of(1, &o);
	take();
	cr_assert(answer_count == 3 && answers[2].code == ERR_UNSUPPORTED && answers[2].number == 1 && answers[2].reason);
	cr_assert_eq(counter_get(counters, COUNTER_frames_refused), 2);
	receive_code = ERR_MALFORMED;
	put(2);
	cr_assert_eq(counter_get(counters, COUNTER_frames_refused), 3);
	cr_assert_eq(entry_count, 2, "what comes behind it is taken");
	o = put_of(3, "k");
	o.keyspace = (char *)(uintptr_t) "nobody's";
	request_of(1, &o);
	take();
	cr_assert(answer_count == 4 && answers[3].code == ERR_UNKNOWN_KEYSPACE);
	o.keyspace = (char *)(uintptr_t) "othe";
	o.number = 4;
	request_of(1, &o);
	take();
	cr_assert(answer_count == 5 && answers[4].code == ERR_UNKNOWN_KEYSPACE);
	o.keyspace = (char *)(uintptr_t) "other";
	o.number = 5;
	o.kind = GODWIT__CLIENT__KIND__DELETE;
	o.value.len = 0;
	request_of(1, &o);
	take();
	struct record record;
	cr_assert_eq(entry_count, 3);
	cr_assert_gt(record_decode(&record, entries[2].bytes, entries[2].size), 0);
	cr_assert(record.keyspace == 1 && (record.flags & RECORD_TOMBSTONE) && record.client_id == 77 && record.request == 5);
	cr_assert_eq(closed, 7);
	o.condition = GODWIT__CLIENT__CONDITION__IF_ABSENT;
	o.number = 6;
	request_of(1, &o);
	take();
	cr_assert(answer_count == 6 && answers[5].code == ERR_UNSUPPORTED);
}

Test(io, bad_requests_are_answered)
{
	cr_assert_eq(run(bad_requests), 0);
}

/* A keyspace goes by its whole name; without one it is the first. */
Test(io, a20_a_keyspace_goes_by_its_name)
{
	static struct topology topology = {.keyspace_count = 2, .keyspaces = {{.name = "default"}, {.name = "other"}}};
	static const struct {
		const char *name;
		int id;
	} names[] = {{"", 0}, {"default", 0}, {"other", 1}, {"othe", -1}, {"others", -1}, {"Other", -1}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct request_bytes name = {(const uint8_t *)names[i].name, strlen(names[i].name)};
		cr_assert_eq(io_keyspace(&topology, name), names[i].id, "%s", names[i].name);
	}
}

/* A repeat's age is as of its sending, and it may have waited here since the socket was last seen empty. */
static void ages(void)
{
	Godwit__Client__Operation o = put_of(1, "k");
	o.age_ms = 1;
	take();
	actor.send(io, now);
	now.monotonic_ns += 3 * SECOND;
	actor.persist(io, now);
	request_of(1, &o);
	request_of(1, &o);
	socket_drain(io, now, 1);
	cr_assert_eq(io_waited_ms(io), 3000);
	actor.send(io, now); /* not all was taken */
	now.monotonic_ns += SECOND;
	socket_drain(io, now, 8);
	cr_assert_eq(io_waited_ms(io), 4000);
	actor.send(io, now);
	cr_assert_eq(io_waited_ms(io), 0);
}

Test(io, A5_waiting_here_counts_to_the_age)
{
	cr_assert_eq(run(ages), 0);
}

/* A write with a context is judged by the row as it is. */
static void contexts(void)
{
	uint8_t bytes[VECTOR_ENCODED_MAX];
	struct vector seen = {.sequence = {[PEER] = 4}};
	row.context.sequence[PEER] = 4;
	for (int there = 0; there < 2; there++) {
		Godwit__Client__Operation o = put_of(1 + (uint64_t)there, "k");
		row_is_there = there;
		o.keyspace = (char *)(uintptr_t) "other";
		o.context = (ProtobufCBinaryData){.len = vector_encode(&seen, bytes), .data = bytes};
		request_of(1, &o);
		take();
		cr_assert_eq(views, 0, "a view that stays open pins its pages");
		cr_assert_eq(answer_count, 1, "ahead of this region, unless the row says so itself");
	}
	cr_assert_eq(answers[0].code, ERR_CONTEXT_AHEAD);
	cr_assert_eq(entry_count, 2);
	/* Of the longest key, too. */
	char longest[KEY_SIZE_MAX + 1];
	memset(longest, 'k', KEY_SIZE_MAX);
	longest[KEY_SIZE_MAX] = 0;
	Godwit__Client__Operation long_one = put_of(9, longest);
	long_one.keyspace = (char *)(uintptr_t) "other";
	long_one.context = (ProtobufCBinaryData){.len = vector_encode(&seen, bytes), .data = bytes};
	request_of(1, &long_one);
	take();
	cr_assert(answer_count == 1 && entry_count == 3);
	/* No row is looked for in a keyspace that is not there (rows_get() knows one only). */
	Godwit__Client__Operation o = put_of(3, "k");
	o.keyspace = (char *)(uintptr_t) "nobody's";
	o.context = (ProtobufCBinaryData){.len = vector_encode(&seen, bytes), .data = bytes};
	request_of(1, &o);
	take();
	cr_assert_eq(answers[1].code, ERR_UNKNOWN_KEYSPACE);
}

Test(io, a_context_is_judged_by_the_row)
{
	cr_assert_eq(run(contexts), 0);
}

/* ---- records of other regions ---- */

static void inbound(void)
{
	record_push(PEER, 1, false);
	record_push(PEER, 1, false); /* again */
	record_push(PEER, 2, true);
	record_push(PEER, 4, false); /* a gap */
	record_push(OWN, 9, false);  /* of this region, which has never made it */
	cr_assert(actor.has_work(io));
	inbox_drain(io, now, 8);
	cr_assert_eq(entry_count, 2);
	cr_assert_eq(streamed, 1);
	cr_assert(!actor.has_work(io));
	actor.publish(io, now);
	cr_assert_eq(counter_get(counters, COUNTER_records_received), 2);
	cr_assert_eq(counter_get(counters, COUNTER_records_duplicate), 1);
	cr_assert_eq(counter_get(counters, COUNTER_records_out_of_order), 1);
	cr_assert_eq(errors_logged, 1);
	cr_assert_eq(answer_count, 0);
}

Test(io, inbound_records_are_appended_in_sequence)
{
	cr_assert_eq(run(inbound), 0);
}

static void held(void)
{
	record_push(PEER, 1, false);
	for (int why = 0; why < 3; why++) {
		io->rows_are_full = why == 0;
		streams_are_taken = why != 1;
		io->appended_lsn = why == 2 ? io->applied.applied_lsn + (1u << 20) + 1 : 0;
		cr_assert(!actor.has_work(io), "%d", why);
		inbox_drain(io, now, 8);
		cr_assert_eq(entry_count, 0, "%d", why);
	}
	io->appended_lsn = io->applied.applied_lsn + (1u << 20);
	cr_assert(actor.has_work(io));
	/* The log refuses: what it did not take stays in the ring until something became durable. */
	append_code = ERR_OVERLOADED;
	inbox_drain(io, now, 8);
	cr_assert_eq(entry_count, 0);
	cr_assert(!actor.has_work(io));
	append_code = 0;
	inbox_drain(io, now, 8);
	cr_assert_eq(entry_count, 0);
	log_drain(io, now, 1);
	cr_assert(actor.has_work(io));
	inbox_drain(io, now, 8);
	cr_assert_eq(entry_count, 1);
	cr_assert(!actor.has_work(io));
}

Test(io, F26_what_is_not_taken_stays_in_the_ring)
{
	cr_assert_eq(run(held), 0);
}

/* However much is in the ring, a turn ends. */
static void a_full_ring(void)
{
	enum { TURN = 8192 };
	record_push(PEER, 1, false);
	inbox_drain(io, now, 8);
	for (uint32_t i = 0; i <= TURN; i++)
		record_push(PEER, 1, false);
	cr_assert_eq(inbox_drain(io, now, 8), 8, "there is more");
	cr_assert(actor.has_work(io));
	cr_assert_eq(io->machine.counts.records_duplicate, TURN);
	cr_assert_eq(inbox_drain(io, now, 8), 0);
	cr_assert(!actor.has_work(io));
	cr_assert_eq(io->machine.counts.records_duplicate, TURN + 1);
}

Test(io, F26_a_turn_takes_so_many_records)
{
	cr_assert_eq(run(a_full_ring), 0);
}

/* The end of a segment is durable and holds nothing: that is no work. */
static void nothing_to_apply(void)
{
	put(1);
	durable();
	actor.persist(io, now);
	durable_lsn = end_lsn + 50;
	log_drain(io, now, 1);
	cr_assert(actor.has_work(io));
	actor.persist(io, now);
	cr_assert(!actor.has_work(io));
	put(2);
	durable_lsn = end_lsn;
	log_drain(io, now, 1);
	cr_assert(actor.has_work(io));
}

Test(io, the_end_of_a_segment_is_no_work)
{
	cr_assert_eq(run(nothing_to_apply), 0);
}

static void peer_stores(void)
{
	struct store_id own, met;
	memcpy(own.bytes, meta.store_id, sizeof own.bytes);
	memset(met.bytes, 5, sizeof met.bytes);
	store_seen_write(&layout->links[PEER].seen, &own, &met);
	store_seen_write(&layout->links[OWN].seen, &own, &met);
	store_seen_write(&layout->links[7].seen, &own, &met); /* not in the topology */
	append_code = ERR_OVERLOADED;
	actor.persist(io, now);
	append_code = ERR_DISK_FULL;
	actor.persist(io, now);
	cr_assert(entry_count == 0 && stopped == 0);
	append_code = 0;
	actor.persist(io, now);
	cr_assert_eq(entry_count, 1);
	cr_assert(entries[0].type == LOG_PEER_STORE && entries[0].size == LOG_PEER_STORE_SIZE);
	cr_assert(entries[0].bytes[0] == PEER && entries[0].bytes[1] == 5);
	cr_assert_eq(io->appended_lsn, end_lsn);
	actor.persist(io, now);
	cr_assert_eq(entry_count, 1, "once");
	io->peer_stores_logged = 0;
	memset(&meta.peer_stores[PEER], 5, sizeof met);
	actor.persist(io, now);
	cr_assert_eq(entry_count, 1, "the rows know it");
	memset(&meta.peer_stores[PEER], 0, sizeof met);
	append_code = ERR_IO;
	actor.persist(io, now);
	cr_assert_eq(stopped, ERR_IO);
}

Test(io, T39_a_peers_store_is_logged_once)
{
	cr_assert_eq(run(peer_stores), ERR_IO);
}

/* What this process knows of who refuses it is gone. */
static void started_anew(void)
{
	struct error_context error = {0};
	io->reused_peers = io->resync_peers = 0;
	gate_update(io);
	cr_assert_eq(gate_start(io, &error), 0, "%s", error.text);
}

static void reused(void)
{
	take();
	cr_assert(!gate_is_reused(io) && room_checks && looks);
	atomic_store(&layout->links[OWN].reused, 1);
	atomic_store(&layout->links[7].reused, 1);
	take();
	cr_assert(!gate_is_reused(io), "nobody who counts");
	atomic_store(&layout->links[PEER].reused, 1);
	put(1);
	cr_assert(gate_is_reused(io));
	cr_assert(answer_count == 1 && answers[0].code == ERR_REGION_REUSED && refused == ERR_REGION_REUSED);
	atomic_store(&layout->links[PEER].reused, 0);
	take();
	cr_assert(gate_is_reused(io), "until that very peer serves it again");
	started_anew();
	cr_assert(gate_is_reused(io) && refused == ERR_REGION_REUSED, "D6: forgotten by the next start");
	meta.store_id[0] ^= 1;
	started_anew();
	cr_assert(!gate_is_reused(io), "of another store");
	meta.store_id[0] ^= 1;
	started_anew();
	atomic_store(&layout->links[PEER].inbound, LINK_SUBSCRIBED);
	put(2);
	cr_assert(!gate_is_reused(io) && refused == 0 && answer_count == 1);
	started_anew();
	cr_assert(!gate_is_reused(io) && !io->resync_peers, "that is kept, too");
	io->strong.older_for = 1;
	cr_assert(gate_is_reused(io));
	io->strong.older_for = 0;
	/* Nor does a region forget that log is missing here. */
	atomic_store(&layout->links[PEER].inbound, LINK_NEEDS_RESYNC);
	take();
	started_anew();
	cr_assert_eq(refused, ERR_NEEDS_RESYNC);
	atomic_store(&layout->links[PEER].inbound, LINK_SUBSCRIBED);
	take();
	cr_assert_eq(refused, 0);
}

Test(io, T39_a_reused_region_takes_no_writes)
{
	cr_assert_eq(run(reused), 0);
}

/* Two others, heard a moment ago, whose clocks are right. */
static void clocks_heard(int64_t behind_us)
{
	static const uint8_t ids[] = {PEER, 7};
	io->process.topology.region_count = 3;
	io->process.topology.regions[2].id = 7;
	io->process.topology.max_clock_drift_ms = 500;
	strcpy(io->process.topology.regions[1].name, "ireland");
	strcpy(io->process.topology.regions[2].name, "mumbai");
	for (size_t i = 0; i < sizeof ids; i++) {
		atomic_store(&layout->peers[ids[i]].answered_at_ns, now.monotonic_ns);
		atomic_store(&layout->peers[ids[i]].clock_offset_us, skew_offset_us(now.wall_ms, now.monotonic_ns) - behind_us);
	}
}

static void clock_ahead(void)
{
	put(1);
	cr_assert(answer_count == 0 && refused == 0, "nobody is heard");
	clocks_heard(0);
	now.wall_ms += 500;
	put(2);
	cr_assert(answer_count == 0 && refused == 0, "the limit itself is allowed");
	now.wall_ms += 39500; /* set in this very turn */
	put(3);
	cr_assert(answer_count == 1 && answers[0].code == ERR_CLOCK_AHEAD && refused == ERR_CLOCK_AHEAD);
	cr_assert(strstr(answers[0].reason, "40000 ms ahead"), "%s", answers[0].reason);
	cr_assert(strstr(answers[0].reason, "ireland") || strstr(answers[0].reason, "mumbai"), "%s", answers[0].reason);
	cr_assert_eq(atomic_load(&layout->coordinator.clock_ahead_ms), 40000);
	cr_assert_eq(atomic_load(&layout->coordinator.clock_heard), 3);
	now.wall_ms -= 40000;
	put(4);
	cr_assert(refused == 0 && answer_count == 1, "at once when it is right again");
	now.wall_ms -= 86400000;
	put(5);
	cr_assert(refused == 0 && answer_count == 1, "behind: it refuses nothing");
	now.wall_ms += 2 * 86400000ull;
	now.monotonic_ns += 3 * SECOND;
	put(6);
	cr_assert(refused == ERR_CLOCK_AHEAD && answer_count == 2, "heard so recently, they count");
	now.monotonic_ns++;
	put(7);
	cr_assert(refused == 0 && answer_count == 2, "alone: nobody says that it is wrong");
}

/* Three seconds after the machine has started, nobody has been heard so recently. */
static void clock_after_boot(void)
{
	clocks_heard(0);
	now.monotonic_ns = SECOND;
	for (size_t id = 0; id < REGIONS_MAX; id++)
		atomic_store(&layout->peers[id].answered_at_ns, 0);
	put(1);
	cr_assert(refused == 0 && answer_count == 0 && atomic_load(&layout->coordinator.clock_heard) == 0);
}

Test(io, a20_who_was_never_heard_has_no_clock)
{
	cr_assert_eq(run(clock_after_boot), 0);
}

Test(io, c5_own_writes_are_refused_while_the_clock_is_ahead)
{
	cr_assert_eq(run(clock_ahead), 0);
}

/* ---- shared memory, time, commands ---- */

static void published(void)
{
	struct vector v;
	cr_assert_eq(rings, 1, "the vectors are told when it starts");
	rings = 0;
	actor.publish(io, now);
	cr_assert_eq(rings, 0, "nothing has changed");
	put(1);
	durable();
	actor.persist(io, now);
	actor.publish(io, now);
	cr_assert_eq(rings, 1);
	struct shm_coordinator *shm = &layout->coordinator;
	cr_assert(atomic_load(&shm->durable_lsn) == 200 && atomic_load(&shm->applied_lsn) == 200);
	cr_assert_eq(atomic_load(&shm->hlc), hlc_pack(NOW_MS, 0));
	vector_slot_read(&shm->applied, &v);
	cr_assert_eq(v.sequence[OWN], 1);
	cr_assert_eq(counter_get(counters, COUNTER_writes), 1);
	cr_assert_eq(counter_get(counters, COUNTER_log_syncs), flushes);
	actor.publish(io, now);
	cr_assert_eq(rings, 1);
	cr_assert_eq(counter_get(counters, COUNTER_writes), 1);
	actor.send(io, now);
	cr_assert(sends == 1 && strong_sends == 1);
	cr_assert_eq(atomic_load(&shm->epoch), 1);
}

Test(io, what_others_see)
{
	cr_assert_eq(run(published), 0);
	cr_assert_eq(atomic_load(&layout->coordinator.ready), 0);
}

static void deadlines(void)
{
	actor.persist(io, now);
	cr_assert_eq(upkeeps, 1);
	cr_assert_eq(actor.deadline_ns(io), now.monotonic_ns + SECOND);
	now.monotonic_ns += SECOND - 1;
	actor.persist(io, now);
	cr_assert_eq(upkeeps, 1);
	now.monotonic_ns++;
	actor.persist(io, now);
	cr_assert_eq(upkeeps, 2);
	strong_deadline = now.monotonic_ns + 5;
	cr_assert_eq(actor.deadline_ns(io), now.monotonic_ns + 5);
	strong_deadline = LOOP_NEVER;
	io->pace = (struct pace){.bytes = 1, .own = true, .flushed_ns = now.monotonic_ns, .most = 50 * 256};
	cr_assert_eq(actor.deadline_ns(io), now.monotonic_ns + PACE_GAP_NS);
	uint32_t started = flushes;
	strong_waits = 49;
	actor.persist(io, now);
	cr_assert_eq(flushes, started, "fewer entries of transactions than lately");
	strong_waits = 50;
	actor.persist(io, now);
	cr_assert_eq(flushes, started + 1);
}

Test(io, when_it_has_to_wake)
{
	cr_assert_eq(run(deadlines), 0);
}

static void commands(void)
{
	struct error_context error;
	cr_assert_eq(command(io, "drain", NULL, NULL, &error), 0);
	cr_assert_eq(io->machine.refusing, ERR_DRAINING);
	cr_assert(strstr(told, error_name(ERR_DRAINING)));
	put(1);
	cr_assert(answer_count == 1 && answers[0].code == ERR_DRAINING);
	io->rows_are_full = true;
	cr_assert_eq(command(io, "undrain", NULL, NULL, &error), 0);
	cr_assert_eq(io->machine.refusing, ERR_DISK_FULL);
	io->rows_are_full = false;
	cr_assert_eq(command(io, "undrain", NULL, NULL, &error), 0);
	put(2);
	cr_assert(answer_count == 1 && entry_count == 2);
	cr_assert(command(io, "snapshot", NULL, NULL, &error) == 0 && snapshots == 1);
	cr_assert_eq(command(io, "dance", NULL, NULL, &error), ERR_UNSUPPORTED);
}

Test(io, commands)
{
	cr_assert_eq(run(commands), 0);
}

static void a_write_at_the_end(void)
{
	put(1);
	durable_lsn = end_lsn;
}

/* Writes taken before the end was asked for are finished. */
Test(io, the_end_finishes_what_was_taken)
{
	cr_assert_eq(run(a_write_at_the_end), 0);
	cr_assert_geq(flushes, 1);
	cr_assert(answer_count == 1 && answers[0].code == 0);
	cr_assert_geq(sends, 1);
	cr_assert_eq(atomic_load(&layout->coordinator.durable_lsn), 200);
}

static void nothing(void) {}

Test(io, what_cannot_start_fails)
{
	strong_starts_code = ERR_CONFIGURATION;
	cr_assert_eq(run(nothing), ERR_CONFIGURATION);
	cr_assert_eq(atomic_load(&layout->coordinator.ready), 0);
}
