/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients' requests become transactions and reads, and what became of them becomes answers: strong_clients.c with a machine
 * that writes down what it is given. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "actors/coordinator/io.h"
#include "proto/client.pb-c.h"

#define MS     1000000ull
#define SECOND 1000000000ull

/* ---- the world around it ---- */

static struct coordinator_io io;
static struct counter_block counters;
static struct shm_layout *layout;
static struct commit_event event; /* the newest */
static struct commit_operation operations[COMMIT_OPERATIONS_MAX];
static uint32_t event_count, answer_count, read_adds, write_adds;
static struct coordinator_answer answer; /* the newest */
static char value[64];
static size_t value_size;
static int room, reused;
static uint64_t waited_ms;
static uint32_t in_doubt_count;
static struct commit_in_doubt in_doubt;
static Godwit__Client__Answer *told;

void strong_step(struct coordinator_io *p, struct commit_event e)
{
	cr_assert_eq(p, &io);
	event = e;
	event_count++;
	for (uint32_t i = 0; e.type == COMMIT_EVENT_TRANSACTION && i < e.transaction.count; i++)
		operations[i] = e.transaction.operations[i];
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

void gate_reason_put(const struct coordinator_io *p, struct coordinator_answer *from)
{
	cr_assert(p == &io && from);
}

uint64_t io_waited_ms(const struct coordinator_io *p)
{
	cr_assert_eq(p, &io);
	return waited_ms;
}

int io_keyspace(const struct topology *topology, struct request_bytes name)
{
	for (uint32_t i = 0; i < topology->keyspace_count; i++)
		if (strlen(topology->keyspaces[i].name) == name.size &&
		    !memcmp(topology->keyspaces[i].name, name.bytes, name.size))
			return (int)i;
	return -1;
}

uint64_t commit_token(const struct commit *c)
{
	cr_assert_eq(c, io.strong.machine);
	return 4711;
}

void replies_add(struct replies *replies, const struct coordinator_answer *from)
{
	cr_assert_eq(replies, &io.replies);
	answer = *from;
	answer_count++;
}

void replies_add_value(struct replies *replies, const struct coordinator_answer *from, const uint8_t *bytes, size_t size)
{
	replies_add(replies, from);
	cr_assert_lt(size, sizeof value);
	memcpy(value, bytes ? bytes : (const uint8_t *)"", size);
	value_size = size;
}

void replies_add_message(struct replies *replies, uint64_t route, const struct Godwit__Client__Answer *from)
{
	static uint8_t bytes[1u << 20];
	cr_assert_eq(replies, &io.replies);
	cr_assert_eq(route, 8);
	size_t size = godwit__client__answer__get_packed_size(from);
	cr_assert_lt(size, sizeof bytes);
	godwit__client__answer__pack(from, bytes);
	if (told)
		godwit__client__answer__free_unpacked(told, NULL);
	told = godwit__client__answer__unpack(NULL, size, bytes);
	cr_assert(told);
}

void histogram_add(struct histogram_block *histogram, uint64_t v)
{
	cr_assert_eq(v, 5000);
	read_adds += histogram == &counters.histograms[HISTOGRAM_strong_read_us];
	write_adds += histogram == &counters.histograms[HISTOGRAM_strong_write_us];
}

uint32_t commit_in_doubt(const struct commit *c, struct commit_in_doubt *out, uint32_t most)
{
	cr_assert_eq(c, (struct commit *)&event);
	for (uint32_t i = 0; i < in_doubt_count && i < most; i++) {
		out[i] = in_doubt;
		out[i].id.hlc += i;
	}
	return in_doubt_count;
}

static void begin(void)
{
	struct topology *t = &io.process.topology;
	io.process.counters = &counters;
	io.now.monotonic_ns = 100 * SECOND;
	t->keyspace_count = 3;
	static const struct {
		const char *name;
		enum level level;
		enum acknowledge acknowledge;
	} keyspaces[] = {{"weak", LEVEL_EVENTUAL, ACKNOWLEDGE_ONE}, {"strong", LEVEL_STRONG, ACKNOWLEDGE_QUORUM},
	    {"all", LEVEL_STRONG, ACKNOWLEDGE_ALL}};
	for (int i = 0; i < 3; i++) {
		strcpy(t->keyspaces[i].name, keyspaces[i].name);
		t->keyspaces[i].level = keyspaces[i].level;
		t->keyspaces[i].acknowledge = keyspaces[i].acknowledge;
	}
	io.strong.wanted = true;
	io.strong.machine = (struct commit *)&event;
	layout = aligned_alloc(4096, (sizeof *layout + 4095) / 4096 * 4096);
	cr_assert(layout);
	memset(layout, 0, offsetof(struct shm_layout, inbound_bytes));
	io.process.shm.layout = layout;
	t->region_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		t->regions[i].id = i + 1;
		snprintf(t->regions[i].name, sizeof t->regions[i].name, "r%u", i + 1);
	}
}

static void end(void)
{
	if (told)
		godwit__client__answer__free_unpacked(told, NULL);
	free(layout);
}

TestSuite(clients, .init = begin, .fini = end);

static struct request_bytes text(const char *of)
{
	return (struct request_bytes){(const uint8_t *)of, strlen(of)};
}

static struct request_operation request(uint32_t kind)
{
	return (struct request_operation){.number = 3,
	    .settled = 2,
	    .kind = kind,
	    .keyspace = text("strong"),
	    .key = text("key"),
	    .value = text(kind == GODWIT__CLIENT__KIND__PUT ? "value" : "")};
}

/* Taken: 1 event; refused: its code; neither: 1. */
static int run(const struct request_operation *o)
{
	event_count = answer_count = 0;
	if (!strong_operation(&io, 8, 9, o))
		return 1;
	cr_assert_eq(event_count + answer_count, 1);
	if (answer_count)
		cr_assert(answer.route == 8 && answer.number == 3);
	return answer_count ? answer.code : 0;
}

/* ---- what is taken ---- */

Test(clients, a_write_is_a_transaction_of_one_step)
{
	struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(event.type, COMMIT_EVENT_TRANSACTION);
	cr_assert(event.transaction.route == 8 && event.transaction.client_id == 9 && event.transaction.number == 3);
	cr_assert(event.transaction.settled == 2 && event.transaction.age_ms == 0 && !event.transaction.moved);
	cr_assert(event.transaction.arrived_ns == io.now.monotonic_ns && !event.transaction.ack_all);
	cr_assert_eq(event.transaction.count, 1);
	const struct commit_operation *c = &operations[0];
	cr_assert(c->kind == COMMIT_PUT && c->condition == COMMIT_ALWAYS && c->keyspace == 1);
	cr_assert(c->key_size == 3 && !memcmp(c->key, "key", 3) && c->value_size == 5 && !memcmp(c->value, "value", 5));
	o = request(GODWIT__CLIENT__KIND__DELETE);
	o.keyspace = text("all");
	o.moved = true;
	cr_assert_eq(run(&o), 0);
	cr_assert(operations[0].kind == COMMIT_DELETE && operations[0].keyspace == 2 && operations[0].value_size == 0);
	cr_assert(event.transaction.ack_all && event.transaction.moved);
}

Test(clients, B08_waiting_here_counts_to_the_age_of_a_repeat)
{
	struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
	waited_ms = 40;
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(event.transaction.age_ms, 0, "the first time");
	o.age_ms = 2;
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(event.transaction.age_ms, 42);
}

Test(clients, a_read)
{
	struct request_operation o = request(GODWIT__CLIENT__KIND__GET);
	o.keyspace = text("all");
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(event.type, COMMIT_EVENT_READ);
	cr_assert(event.read.route == 8 && event.read.number == 3 && event.read.keyspace == 2);
	cr_assert(event.read.key_size == 3 && !memcmp(event.read.key, "key", 3));
	cr_assert(event.read.arrived_ns == io.now.monotonic_ns);
	cr_assert_eq(event.read.deadline_ns, io.now.monotonic_ns + 4900 * MS);
	static uint8_t long_key[KEY_SIZE_MAX + 1];
	o.key = (struct request_bytes){long_key, KEY_SIZE_MAX};
	cr_assert_eq(run(&o), 0);
	o.key.size++;
	cr_assert_eq(run(&o), ERR_KEY_TOO_LARGE);
	o.key.size--;
	room = ERR_DISK_FULL;
	cr_assert_eq(run(&o), ERR_DISK_FULL);
	cr_assert_eq(counter_get(&counters, COUNTER_writes_refused), 2);
}

/* The answer leaves a little before the client gives up. */
Test(clients, deadlines)
{
	struct {
		uint32_t asked_ms, configured_ms, ms;
	} rows[] = {{0, 0, 4900}, {1, 0, 1}, {80, 0, 70}, {792, 0, 693}, {800, 0, 700}, {808, 0, 708}, {600000, 0, 599900},
	    {600001, 0, 599900}, {4000000000u, 0, 599900}, {0, 2000, 1900}, {2001, 2000, 1900}, {1999, 2000, 1899},
	    {1000, 80, 70}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
		io.process.topology.cross_region_timeout_ms = rows[i].configured_ms;
		o.timeout_ms = rows[i].asked_ms;
		cr_assert_eq(run(&o), 0);
		cr_assert_eq(event.transaction.deadline_ns - io.now.monotonic_ns, rows[i].ms * MS, "row %zu", i);
	}
}

Test(clients, the_first_keyspace_may_be_strong)
{
	struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
	io.process.topology.keyspaces[0].level = LEVEL_STRONG;
	o.keyspace = text("weak");
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(operations[0].keyspace, 0);
}

/* ---- what is not ---- */

Test(clients, what_is_for_others)
{
	struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
	o.keyspace = text("weak");
	cr_assert_eq(run(&o), 1);
	o.keyspace = text("nobody's");
	cr_assert_eq(run(&o), 1);
	o = request(GODWIT__CLIENT__KIND__SCAN);
	cr_assert_eq(run(&o), 1);
	cr_assert_eq(answer_count + event_count, 0);
}

Test(clients, a_region_that_cannot_refuses)
{
	struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
	reused = 1;
	cr_assert_eq(run(&o), ERR_REGION_REUSED);
	reused = 0;
	room = ERR_OVERLOADED;
	cr_assert_eq(run(&o), ERR_OVERLOADED);
	room = 0;
	io.strong.machine = NULL;
	cr_assert_eq(run(&o), ERR_DISK_FULL);
	io.strong.wanted = false;
	cr_assert_eq(run(&o), ERR_LEVEL_UNAVAILABLE);
	cr_assert_eq(counter_get(&counters, COUNTER_writes_refused), 4);
}

Test(clients, bad_writes_are_refused)
{
	static uint8_t bytes[VALUE_SIZE_MAX + 1];
	uint8_t version[COMMIT_VERSION_SIZE];
	struct request_operation o = request(GODWIT__CLIENT__KIND__PUT);
	o.key = (struct request_bytes){bytes, KEY_SIZE_MAX};
	o.value = (struct request_bytes){bytes, VALUE_SIZE_MAX};
	cr_assert_eq(run(&o), 0);
	o.key.size++;
	cr_assert_eq(run(&o), ERR_KEY_TOO_LARGE);
	o.key.size--;
	o.value.size++;
	cr_assert_eq(run(&o), ERR_VALUE_TOO_LARGE);
	o = request(GODWIT__CLIENT__KIND__PUT);
	o.context = text("v");
	cr_assert_eq(run(&o), ERR_UNSUPPORTED);
	cr_assert(answer.reason);
	o.context = (struct request_bytes){0};
	o.condition = COMMIT_IF_VERSION + 1;
	cr_assert_eq(run(&o), ERR_MALFORMED);
	o.condition = COMMIT_IF_ABSENT;
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(operations[0].condition, COMMIT_IF_ABSENT);
	o.condition = COMMIT_IF_VERSION;
	cr_assert_eq(run(&o), ERR_MALFORMED);
	cr_assert(answer.reason);
	commit_version_encode((struct commit_id){.hlc = 77, .region = 2, .share = 4}, version);
	o.expected = (struct request_bytes){version, sizeof version};
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(operations[0].condition, COMMIT_IF_VERSION);
	cr_assert(operations[0].expected.hlc == 77 && operations[0].expected.region == 2 && operations[0].expected.share == 4);
}

/* ---- transactions ---- */

static uint8_t packed[1u << 20];

/* As the router forwards it. */
static struct request_operation transaction(uint32_t count, const Godwit__Client__Step *steps)
{
	static struct request r;
	static struct request_operation o;
	Godwit__Client__Step *list[COMMIT_OPERATIONS_MAX + 1];
	Godwit__Client__Operation operation = GODWIT__CLIENT__OPERATION__INIT, *all = &operation;
	Godwit__Client__Request message = GODWIT__CLIENT__REQUEST__INIT;
	for (uint32_t i = 0; i < count; i++)
		list[i] = (Godwit__Client__Step *)(uintptr_t)&steps[i];
	operation.number = 3;
	operation.kind = GODWIT__CLIENT__KIND__TRANSACTION;
	operation.steps = list;
	operation.n_steps = count;
	message.protocol = 1;
	message.operations = &all;
	message.n_operations = 1;
	cr_assert_lt(godwit__client__request__get_packed_size(&message), sizeof packed);
	size_t size = godwit__client__request__pack(&message, packed);
	cr_assert_eq(request_open(&r, packed, size), 0);
	cr_assert_eq(request_next(&r, &o), 0);
	return o;
}

static Godwit__Client__Step step(Godwit__Client__Kind kind, const char *keyspace, const char *key)
{
	Godwit__Client__Step s = GODWIT__CLIENT__STEP__INIT;
	s.kind = kind;
	s.keyspace = (char *)(uintptr_t)keyspace;
	s.key = (ProtobufCBinaryData){.len = strlen(key), .data = (uint8_t *)(uintptr_t)key};
	return s;
}

Test(clients, steps_of_a_transaction)
{
	Godwit__Client__Step steps[3] = {step(GODWIT__CLIENT__KIND__PUT, "strong", "a"),
	    step(GODWIT__CLIENT__KIND__DELETE, "all", "b"), step(GODWIT__CLIENT__KIND__CHECK, "strong", "c")};
	steps[2].condition = GODWIT__CLIENT__CONDITION__IF_ABSENT;
	struct request_operation o = transaction(3, steps);
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(event.transaction.count, 3);
	cr_assert(event.transaction.ack_all, "one keyspace wants it");
	cr_assert(operations[0].kind == COMMIT_PUT && operations[0].keyspace == 1 && operations[0].key[0] == 'a');
	cr_assert(operations[1].kind == COMMIT_DELETE && operations[1].keyspace == 2 && operations[1].key[0] == 'b');
	cr_assert(operations[2].kind == COMMIT_CHECK && operations[2].condition == COMMIT_IF_ABSENT);
	/* Whichever step is bad: none is taken. */
	struct {
		Godwit__Client__Kind kind;
		const char *keyspace;
		int code;
		bool has_reason;
	} bad[] = {{GODWIT__CLIENT__KIND__PUT, "nobody's", ERR_UNKNOWN_KEYSPACE, false},
	    {GODWIT__CLIENT__KIND__PUT, "weak", ERR_LEVEL_UNAVAILABLE, true},
	    {GODWIT__CLIENT__KIND__GET, "strong", ERR_MALFORMED, true},
	    {GODWIT__CLIENT__KIND__TRANSACTION, "strong", ERR_MALFORMED, true},
	    {(Godwit__Client__Kind)100, "strong", ERR_MALFORMED, true}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (uint32_t at = 0; at < 3; at += 2) {
			Godwit__Client__Step before = steps[at];
			steps[at] = step(bad[i].kind, bad[i].keyspace, "a");
			o = transaction(3, steps);
			cr_assert_eq(run(&o), bad[i].code, "row %zu", i);
			cr_assert_eq(answer.reason != NULL, bad[i].has_reason, "row %zu", i);
			steps[at] = before;
		}
}

Test(clients, a_transaction_has_1_to_256_steps)
{
	static Godwit__Client__Step steps[COMMIT_OPERATIONS_MAX + 1];
	static char keys[COMMIT_OPERATIONS_MAX + 1][8];
	for (uint32_t i = 0; i <= COMMIT_OPERATIONS_MAX; i++) {
		snprintf(keys[i], sizeof keys[i], "%u", i);
		steps[i] = step(GODWIT__CLIENT__KIND__PUT, "strong", keys[i]);
	}
	struct request_operation o = transaction(COMMIT_OPERATIONS_MAX, steps);
	cr_assert_eq(run(&o), 0);
	cr_assert_eq(event.transaction.count, COMMIT_OPERATIONS_MAX);
	cr_assert(!event.transaction.ack_all);
	o = transaction(COMMIT_OPERATIONS_MAX + 1, steps);
	cr_assert_eq(run(&o), ERR_MALFORMED);
	cr_assert(answer.reason);
	o = transaction(0, steps);
	cr_assert_eq(run(&o), ERR_MALFORMED);
	/* In a region without strong keyspaces, too. */
	o = transaction(1, steps);
	cr_assert_eq(run(&o), 0);
	io.strong.wanted = false;
	cr_assert_eq(run(&o), ERR_LEVEL_UNAVAILABLE);
}

/* ---- answers ---- */

Test(clients, answers_of_the_machine)
{
	struct commit_answer from = {.route = 8,
	    .number = 3,
	    .arrived_ns = io.now.monotonic_ns - 5 * MS,
	    .version = {.hlc = 77, .region = 2, .share = 4},
	    .value = (const uint8_t *)"value",
	    .value_size = 5,
	    .is_read = true};
	struct commit_id version;
	strong_answer(&io, &from);
	cr_assert(answer.route == 8 && answer.number == 3 && answer.code == 0 && answer.arrived_ns == from.arrived_ns);
	cr_assert_eq(answer.token, 4711, "a client tells the newest reading it had (A5)");
	cr_assert(answer.siblings == 1 && answer.hlc == 77 && value_size == 5 && !memcmp(value, "value", 5));
	cr_assert_eq(commit_version_decode(&version, answer.version, answer.version_size), 0);
	cr_assert(version.hlc == 77 && version.region == 2 && version.share == 4);
	cr_assert_eq(counter_get(&counters, COUNTER_reads), 1);
	cr_assert(read_adds == 1 && write_adds == 0);
	from = (struct commit_answer){.route = 8, .arrived_ns = from.arrived_ns, .code = ERR_NOT_FOUND, .is_read = true};
	strong_answer(&io, &from);
	cr_assert(answer.siblings == 0 && answer.version_size == 0 && answer.code == ERR_NOT_FOUND);
	cr_assert_eq(counter_get(&counters, COUNTER_reads), 2);
	struct {
		int code;
		uint32_t writes, refused;
	} rows[] = {{ERR_OK, 1, 0}, {ERR_NO_QUORUM, 1, 1}, {ERR_CHECK_FAILED, 1, 2}, {ERR_UNKNOWN_OUTCOME, 1, 2}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		from = (struct commit_answer){.route = 8, .arrived_ns = from.arrived_ns, .code = rows[i].code, .reason = "why"};
		strong_answer(&io, &from);
		cr_assert(answer.code == rows[i].code && answer.siblings == 0);
		cr_assert_str_eq(answer.reason, "why");
		cr_assert_eq(counter_get(&counters, COUNTER_writes), rows[i].writes, "row %zu", i);
		cr_assert_eq(counter_get(&counters, COUNTER_writes_refused), rows[i].refused, "row %zu", i);
	}
	cr_assert(read_adds == 2 && write_adds == 1);
}

Test(clients, T53_what_is_in_doubt)
{
	static uint8_t bytes[4096];
	struct commit_request_name name = {.client_id = 9, .number = 3};
	uint8_t *out = commit_body_begin(bytes, false, 1, 2, 1);
	out = commit_request_name_put(out, &name);
	*out++ = 10;
	*out++ = 0;
	for (int i = 0; i < 10; i++) {
		char key[3] = {'k', (char)('0' + i), 0};
		struct commit_operation o = {.kind = COMMIT_PUT, .key = (const uint8_t *)key, .key_size = 2};
		out = commit_operation_put(out, &o);
	}
	cr_assert_eq(commit_body_open(&in_doubt.body, bytes, (size_t)(out - bytes)), 0);
	in_doubt.id = (struct commit_id){.hlc = 77, .region = 2};
	in_doubt.voted = true;
	in_doubt.since_ns = io.now.monotonic_ns - 70 * MS;
	in_doubt_count = 2;
	struct request_operation o = request(GODWIT__CLIENT__KIND__IN_DOUBT);
	cr_assert(strong_operation(&io, 8, 9, &o));
	struct commit_id id;
	cr_assert(told->number == 3 && told->n_in_doubt == 2 && !told->more);
	for (uint32_t i = 0; i < 2; i++) {
		const Godwit__Client__InDoubt *d = told->in_doubt[i];
		cr_assert_eq(commit_version_decode(&id, d->transaction.data, d->transaction.len), 0);
		cr_assert(id.hlc == 77 + i && id.region == 2 && d->voted && !d->coordinating && d->age_ms == 70);
		cr_assert_eq(d->n_keys, 8);
		for (uint32_t k = 0; k < 8; k++)
			cr_assert(d->keys[k]->key.len == 2 && d->keys[k]->key.data[1] == '0' + k);
	}
	/* More than an answer takes; of what is not known here there are no keys. */
	in_doubt.body = (struct commit_body){0};
	in_doubt.voted = false;
	in_doubt.coordinating = true;
	in_doubt_count = 1025;
	cr_assert(strong_operation(&io, 8, 9, &o));
	cr_assert(told->n_in_doubt == 1024 && told->more);
	cr_assert(told->in_doubt[1023]->n_keys == 0 && told->in_doubt[1023]->coordinating && !told->in_doubt[1023]->voted);
	io.strong.machine = NULL;
	cr_assert(strong_operation(&io, 8, 9, &o));
	cr_assert(told->n_in_doubt == 0 && !told->more);
}

/* ---- G20: what a majority has otherwise is refused before it is begun ---- */

Test(clients, G20_a_keyspace_needs_a_majority_that_has_it_as_here)
{
	static const struct {
		uint64_t other[2]; /* in the two other regions */
		int strong, all, read_all;
	} cases[] = {{{0, 0}, 0, 0, 0}, {{2, 0}, 0, 0, 0}, {{2, 2}, ERR_NO_QUORUM, 0, 0}, {{4, 0}, 0, ERR_NO_QUORUM, 0},
	    {{4, 2}, 0, ERR_NO_QUORUM, 0}, {{6, 6}, ERR_NO_QUORUM, ERR_NO_QUORUM, ERR_NO_QUORUM}, {{~6ull, ~6ull}, 0, 0, 0}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		atomic_store(&layout->links[1].keyspaces_other, cases[i].other[0]);
		atomic_store(&layout->links[3].keyspaces_other, cases[i].other[1]);
		struct request_operation put = request(GODWIT__CLIENT__KIND__PUT), get = request(GODWIT__CLIENT__KIND__GET);
		cr_expect_eq(run(&put), cases[i].strong, "%zu", i);
		if (cases[i].strong)
			cr_expect_str_eq(
			    answer.reason, "the topology defines this keyspace otherwise, or not at all, in r1 r3");
		cr_expect_eq(run(&get), cases[i].strong, "%zu", i);
		put.keyspace = get.keyspace = text("all");
		cr_expect_eq(run(&put), cases[i].all, "%zu", i);
		cr_expect_eq(run(&get), cases[i].read_all, "%zu", i);
	}
}

/* Names of 63 bytes: the list of regions is cut off, and the refusal stays one. */
Test(clients, G20_long_names_are_cut_off)
{
	struct topology *topology = &io.process.topology;
	for (uint32_t i = 0; i < topology->region_count; i++)
		memset(topology->regions[i].name, 'n', sizeof topology->regions[i].name - 1);
	atomic_store(&layout->links[1].keyspaces_other, 2);
	atomic_store(&layout->links[3].keyspaces_other, 2);
	struct request_operation put = request(GODWIT__CLIENT__KIND__PUT);
	cr_assert_eq(run(&put), ERR_NO_QUORUM);
	cr_assert_eq(strlen(answer.reason), 159);
	cr_assert_eq(
	    strspn(strstr(answer.reason, " in ") + 4, "n "), 159 - (size_t)(strstr(answer.reason, " in ") + 4 - answer.reason));
}
