/* SPDX-License-Identifier: Apache-2.0
 *
 * The router's port alone: rows are a real store that another process has written; around it is tests/unit/shell. */
#include "actors/router/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/router/clients.h"
#include "actors/router/router.h"
#include "proto/client.pb-c.h"
#include "tests/unit/shell/shell.h"
#include "tests/unit/store/support.h"

#define ROWS   300u
#define LARGES 70u
#define LARGE  (40u * 1024) /* of the rows "large-.." */

static struct place place;
static uint8_t big[MESSAGE_SIZE_MAX];

static void row_make(uint32_t number, struct write *out)
{
	static char key[24], large[LARGE + 1];
	memset(large, 'v', LARGE);
	snprintf(key, sizeof key, number < ROWS ? "%06u" : "large-%u", number < ROWS ? number : number - ROWS);
	out->key = key;
	out->value = number < ROWS ? key : large;
}
static void setup(void)
{
	shell_setup();
	place_make(&place);
	place_fill(&place, ROWS + LARGES, row_make);
	snprintf(shell.region_dir, sizeof shell.region_dir, "%s", place.dir);
	shell.shm.layout->coordinator.epoch = 1;
	shell.shm.layout->coordinator.ready = 1;
	shell.rights_user = "app";
	shell.rights = rights_all;
}
static void teardown(void)
{
	shell_teardown();
	place_remove(&place);
}
TestSuite(io, .init = setup, .fini = teardown);

static void run(void (*script)(void))
{
	cr_assert(shell_run(router_main, "router", script) == 0 && shell.opened == 2);
}

/* ---- requests and answers ---- */

static Godwit__Client__Operation operations[2100], *list[2100];
static uint32_t operation_count;
static Godwit__Client__Operation *add(uint64_t number, uint32_t kind, const char *key)
{
	Godwit__Client__Operation *o = list[operation_count] = &operations[operation_count];
	operation_count++;
	godwit__client__operation__init(o);
	o->number = number;
	o->kind = (Godwit__Client__Kind)kind;
	o->key = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)key, .len = strlen(key)};
	return o;
}
/* What was added, as one message. */
static size_t request(char client, const char *user, uint32_t protocol)
{
	Godwit__Client__Request request = GODWIT__CLIENT__REQUEST__INIT;
	request.protocol = protocol;
	request.client_id = 77;
	request.operations = list;
	request.n_operations = operation_count;
	operation_count = 0;
	size_t size = godwit__client__request__get_packed_size(&request);
	uint8_t *bytes = malloc(size);
	godwit__client__request__pack(&request, bytes);
	shell_arrives(SHELL_SERVER, 0, client, user, bytes, size);
	free(bytes);
	return size;
}
static void get(char client, uint64_t number, const char *key)
{
	add(number, ROUTER_GET, key);
	request(client, "app", PROTOCOL_VERSION);
}
static void put(char client, uint64_t number, size_t value_size)
{
	add(number, ROUTER_PUT, "k")->value = (ProtobufCBinaryData){.data = big, .len = value_size};
	request(client, "app", PROTOCOL_VERSION);
}
/* Of all messages to this client: the answers with that number; the last of them is `answer`. */
static struct {
	int code;
	char reason[200], value[16];
	size_t value_size, rows;
} answer;
static uint32_t answers(char client, uint64_t number)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++) {
		if (shell.sent[i].socket != SHELL_SERVER || shell.sent[i].identity != client)
			continue;
		Godwit__Client__Answers *all = godwit__client__answers__unpack(NULL, shell.sent[i].size, shell.sent[i].bytes);
		cr_assert(all && all->protocol == PROTOCOL_VERSION);
		for (size_t a = 0; a < all->n_answers; a++) {
			const Godwit__Client__Answer *it = all->answers[a];
			if (it->number != number)
				continue;
			count++;
			answer.code = it->code;
			answer.rows = it->n_rows;
			answer.value_size = it->value.len;
			snprintf(answer.reason, sizeof answer.reason, "%s", it->reason);
			snprintf(answer.value, sizeof answer.value, "%.*s", (int)(it->value.len < 15 ? it->value.len : 15),
			    (const char *)it->value.data);
		}
		godwit__client__answers__free_unpacked(all, NULL);
	}
	return count;
}
static uint32_t refused(char client, uint64_t number, int code)
{
	const uint32_t count = answers(client, number);
	cr_assert(!count || answer.code == code, "%d", answer.code);
	return count;
}
static uint32_t empty_messages(char client)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++)
		count += shell.sent[i].socket == SHELL_SERVER && shell.sent[i].identity == client && shell.sent[i].size <= 2;
	return count;
}
static uint32_t to_coordinator(void)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++)
		count += shell.sent[i].socket == SHELL_IPC;
	return count;
}

/* ---- reads ---- */

static void reads(void)
{
	cr_assert_not(shell.actor.has_work(shell.actor.self));
	get('a', 5, "000001");
	get('b', 5, "000002");
	get('c', 6, "nothing");
	cr_assert_eq(shell_drain(SHELL_SERVER, 2), 2, "a limit is kept");
	const uint64_t received = shell_count(COUNTER_bytes_received);
	cr_assert_gt(received, 2 * 10);
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 1);
	cr_assert_gt(shell_count(COUNTER_bytes_received), received);
	cr_assert(shell.actor.has_work(shell.actor.self) && shell.sent_count == 0);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), LOOP_NEVER);
	shell_turn(1);
	cr_assert(answers('a', 5) == 1 && answer.code == 0 && strcmp(answer.value, "000001") == 0);
	cr_assert(answers('b', 5) == 1 && answer.code == 0 && strcmp(answer.value, "000002") == 0);
	cr_assert_eq(refused('c', 6, ERR_NOT_FOUND), 1);
	cr_assert_eq(shell.sent_count, 3);
	cr_assert_eq(shell_count(COUNTER_reads), 3);
	uint64_t sent = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++)
		sent += shell.sent[i].size;
	cr_assert_eq(shell_count(COUNTER_bytes_sent), sent);
	cr_assert_eq(shell_count(COUNTER_memory_bytes), 3 * CLIENTS_MESSAGE_COST + sent, "given back, and not yet collected");
	cr_assert(to_coordinator() == 0 && shell_count(COUNTER_frames_refused) == 0 && shell_count(COUNTER_queue_refused) == 0);
	cr_assert_not(shell.actor.has_work(shell.actor.self));
	shell_turn(1);
	cr_assert_eq(shell_count(COUNTER_memory_bytes), 0);
}
Test(io, F24_each_client_gets_its_answers)
{
	run(reads);
}

static void repeats(void)
{
	for (uint64_t i = 5; i <= 7; i++)
		add(i, ROUTER_GET, "000001");
	request('a', "app", PROTOCOL_VERSION);
	for (uint64_t i = 6; i <= 8; i++)
		add(i, ROUTER_GET, "000001");
	request('a', "app", PROTOCOL_VERSION);
	get('b', 6, "000001");
	get('a', 4, "000001"); /* below all that wait: no repeat */
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 4);
	shell_turn(1);
	shell_turn(1);
	for (uint64_t i = 4; i <= 8; i++)
		cr_assert_eq(answers('a', i), 1, "%u of %u", answers('a', i), (unsigned)i);
	cr_assert_eq(answers('b', 6), 1);
	/* What was answered is answered again. */
	shell_forget();
	get('a', 6, "000001");
	shell_drain(SHELL_SERVER, 8);
	shell_turn(1);
	cr_assert_eq(answers('a', 6), 1);
}
Test(io, F24_a_repeat_of_what_waits_is_answered_once)
{
	run(repeats);
}

static void large(void)
{
	static char keys[LARGES][16];
	for (uint32_t i = 0; i < LARGES; i++) {
		snprintf(keys[i], sizeof keys[i], "large-%u", i);
		add(1 + i, ROUTER_GET, keys[i]);
	}
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	for (int i = 0; i < 4; i++)
		shell_turn(1);
	uint32_t whole = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++) {
		cr_assert_lt(shell.sent[i].size, 1024u * 1024 + 2 * LARGE, "%zu bytes in one message", shell.sent[i].size);
		if (shell.sent[i].size > CLIENTS_SMALL) {
			cr_assert(i + 1 < shell.sent_count && shell.sent[i + 1].size <= 2, "what shows that it has left");
			whole++;
		}
	}
	cr_assert(whole >= 2 && whole <= 3, "%u messages", whole);
	for (uint32_t i = 0; i < LARGES; i++)
		cr_assert(answers('a', 1 + i) == 1 && answer.code == 0 && answer.value_size == LARGE);
}
Test(io, F24_large_answers_leave_in_pieces)
{
	run(large);
}

/* Each look at the clock takes 2 ms, so that a scan is cut after every slice. */
static void long_scan(void)
{
	add(1, ROUTER_SCAN, "0")->limit = ROWS;
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	shell.clock_step_ns = 2 * MS;
	uint32_t turns = 0;
	while (answers('a', 1) == 0) {
		cr_assert_lt(turns++, 200);
		cr_assert(shell.actor.has_work(shell.actor.self));
		shell_turn(50);
		if (shell.now.monotonic_ns < 1000000 * MS + 300 * MS)
			cr_assert_eq(empty_messages('a'), 0, "it is too early to tell");
	}
	cr_assert(turns > 10 && answer.code == 0 && answer.rows == ROWS);
	const uint64_t waited_ms = (shell.now.monotonic_ns - 1000000 * MS) / MS;
	cr_assert_geq(
	    empty_messages('a'), waited_ms / 600, "%u in %llu ms", empty_messages('a'), (unsigned long long)waited_ms);
	cr_assert_leq(empty_messages('a'), waited_ms / 300);
	shell.clock_step_ns = 0;
	shell_turn(1);
	cr_assert_not(shell.actor.has_work(shell.actor.self));
}
Test(io, F24_who_waits_long_hears_that_it_is_worked_on)
{
	run(long_scan);
}
static void gone(void)
{
	add(1, ROUTER_SCAN, "0")->limit = ROWS;
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	shell.clock_step_ns = 2 * MS;
	shell.send_code[SHELL_SERVER] = ERR_UNREACHABLE;
	for (int i = 0; i < 8 && shell.actor.has_work(shell.actor.self); i++)
		shell_turn(100);
	cr_assert_not(shell.actor.has_work(shell.actor.self), "nobody waits for that any more");
	cr_assert_gt(shell_count(COUNTER_queue_refused), 0);
	/* And one that has more to ask when its answer finds it gone. */
	shell.clock_step_ns = MS;
	for (uint32_t i = 0; i < 4; i++)
		get('b', 1 + i, "000001");
	shell_drain(SHELL_SERVER, 8);
	shell_turn(1);
	cr_assert_not(shell.actor.has_work(shell.actor.self));
	cr_assert_lt(shell_count(COUNTER_reads), 4);
	shell.send_code[SHELL_SERVER] = 0;
	get('b', 9, "000001");
	shell_drain(SHELL_SERVER, 8);
	shell_turn(1);
	cr_assert_eq(answers('b', 9), 1);
}
Test(io, F24_who_is_gone_is_worked_for_no_more)
{
	run(gone);
}

static void many_questions(void)
{
	uint32_t i = 0;
	for (; i < CLIENTS_QUEUED_MESSAGES_MAX; i++) {
		get('a', 1 + i, "000001");
		cr_assert_eq(shell_drain(SHELL_SERVER, 1), 1);
	}
	cr_assert_eq(shell.sent_count, 0);
	add(2000, ROUTER_GET, "000001");
	add(2001, ROUTER_GET, "000001");
	add(2002, ROUTER_PUT, "k");
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(refused('a', 2000, ERR_OVERLOADED) == 1 && refused('a', 2001, ERR_OVERLOADED) == 1);
	cr_assert(strcmp(answer.reason, "too many questions wait for an answer") == 0);
	cr_assert(answers('a', 2002) == 0 && to_coordinator() == 1, "the write has gone on");
	cr_assert_eq(shell_count(COUNTER_queue_refused), 2);
	cr_assert_eq(shell_count(COUNTER_writes_refused), 0);
	/* Another has room. */
	get('b', 1, "000001");
	shell_drain(SHELL_SERVER, 1);
	cr_assert_eq(answers('b', 1), 0);
	for (int t = 0; t < 100 && shell.actor.has_work(shell.actor.self); t++)
		shell_turn(1);
	cr_assert(answers('b', 1) == 1 && answers('a', 1) == 1 && answers('a', CLIENTS_QUEUED_MESSAGES_MAX) == 1);
}
Test(io, F24_questions_that_wait_are_bounded)
{
	run(many_questions);
}

/* ---- writes ---- */

static void writes(void)
{
	put('a', 5, 100);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(shell.sent_count == 1 && shell.sent[0].socket == SHELL_IPC && shell.sent[0].identity == 'a');
	struct request opened;
	struct request_operation operation;
	cr_assert_eq(request_open(&opened, shell.sent[0].bytes, shell.sent[0].size), 0);
	cr_assert(opened.client_id == 77 && opened.operation_count == 1);
	shell_forget();
	/* Some of each: the coordinator gets its own alone. */
	add(6, ROUTER_GET, "000003");
	add(7, ROUTER_PUT, "k");
	add(8, ROUTER_GET, "000004");
	add(9, ROUTER_DELETE, "k");
	request('b', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(shell.sent_count == 1 && shell.sent[0].socket == SHELL_IPC && shell.sent[0].identity == 'b');
	cr_assert_eq(request_open(&opened, shell.sent[0].bytes, shell.sent[0].size), 0);
	cr_assert(opened.protocol == PROTOCOL_VERSION && opened.client_id == 77 && opened.operation_count == 2);
	cr_assert(request_next(&opened, &operation) == 0 && operation.number == 7);
	cr_assert(request_next(&opened, &operation) == 0 && operation.number == 9 && operation.kind == ROUTER_DELETE);
	shell_turn(1);
	cr_assert(answers('b', 6) == 1 && answers('b', 8) == 1 && strcmp(answer.value, "000004") == 0);
	cr_assert(answers('b', 7) == 0 && answers('b', 9) == 0 && shell_count(COUNTER_reads) == 2);
	shell_forget();
	/* The coordinator's answers, to whom they are for. */
	shell_arrives(SHELL_IPC, 0, 'b', NULL, "\x08\x01", 2);
	shell_arrives(SHELL_IPC, ERR_MALFORMED, 0, NULL, NULL, 0);
	shell_arrives(SHELL_IPC, 0, 'a', NULL, big, CLIENTS_SMALL + 1);
	const uint64_t bytes = shell_count(COUNTER_bytes_sent);
	cr_assert_eq(shell_drain(SHELL_IPC, 1), 1);
	cr_assert_eq(shell_drain(SHELL_IPC, 8), 2);
	cr_assert(shell.sent_count == 3 && shell.sent[0].identity == 'b' && shell.sent[0].socket == SHELL_SERVER);
	cr_assert(shell.sent[0].size == 2 && memcmp(shell.sent[0].bytes, "\x08\x01", 2) == 0);
	cr_assert(shell.sent[1].identity == 'a' && shell.sent[1].size == CLIENTS_SMALL + 1 && shell.sent[2].size <= 2);
	cr_assert_eq(shell_count(COUNTER_bytes_sent) - bytes, 2 + CLIENTS_SMALL + 1 + shell.sent[2].size);
	cr_assert_eq(shell_count(COUNTER_queue_refused), 0);
	/* Who is gone gets nothing, and that is counted. */
	shell.send_code[SHELL_SERVER] = ERR_UNREACHABLE;
	shell_arrives(SHELL_IPC, 0, 'a', NULL, "\x08\x01", 2);
	shell_drain(SHELL_IPC, 1);
	cr_assert_eq(shell_count(COUNTER_queue_refused), 1);
	shell_turn(1);
	cr_assert_eq(shell_count(COUNTER_memory_bytes), 0, "nothing is booked for what did not leave");
}
Test(io, F24_writes_go_to_the_coordinator_and_its_answers_back)
{
	run(writes);
}

static void coordinator_missing(void)
{
	shell.send_code[SHELL_IPC] = ERR_OVERLOADED;
	add(5, ROUTER_PUT, "k");
	add(6, ROUTER_GET, "000001");
	add(7, ROUTER_PUT, "k");
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(refused('a', 5, ERR_OVERLOADED) == 1 && refused('a', 7, ERR_OVERLOADED) == 1);
	cr_assert_eq(strncmp(answer.reason, "the coordinator takes no more", 29), 0);
	cr_assert(shell_count(COUNTER_writes_refused) == 2 && shell_count(COUNTER_queue_refused) == 1);
	shell_turn(1);
	cr_assert(answers('a', 6) == 1 && answer.code == 0, "it reads on");
	cr_assert_eq(answers('a', 5), 1);
}
Test(io, F24_writes_are_refused_while_no_coordinator_takes_them)
{
	run(coordinator_missing);
}

static void forwarded_budget(void)
{
	shell.keeps_lent = true;
	const size_t value = MESSAGE_SIZE_MAX - 4096;
	uint32_t taken = 0;
	while (shell_count(COUNTER_writes_refused) == 0) {
		cr_assert_lt(taken, 18);
		put('a', 1 + taken, value);
		shell_drain(SHELL_SERVER, 1);
		taken += shell_count(COUNTER_writes_refused) == 0;
	}
	cr_assert_eq(taken, 16, "64 MiB are on their way");
	cr_assert_eq(to_coordinator(), 16);
	cr_assert_eq(refused('a', 17, ERR_OVERLOADED), 1);
	shell_turn(1);
	const uint64_t held = shell_count(COUNTER_memory_bytes);
	cr_assert(held > 16 * value && held < 16 * value + 16 * 100 + 4096, "%llu", (unsigned long long)held);
	shell_give_back();
	put('a', 20, value);
	shell_drain(SHELL_SERVER, 1);
	cr_assert_eq(to_coordinator(), 17, "there is room again");
	shell_give_back();
	shell_turn(1);
	cr_assert_eq(shell_count(COUNTER_memory_bytes), 0);
}
Test(io, F24_what_is_on_its_way_to_the_coordinator_is_bounded)
{
	run(forwarded_budget);
}

static void does_not_read(void)
{
	shell.keeps_lent = true;
	uint32_t passed = 0;
	for (; passed < 9; passed++)
		shell_arrives(SHELL_IPC, 0, 'a', NULL, big, 2 * 1024 * 1024);
	shell_drain(SHELL_IPC, 16);
	cr_assert_eq(shell_count(COUNTER_queue_refused), 2, "16 MiB are enough for one");
	const uint32_t before = to_coordinator();
	put('a', 5, 10);
	add(6, ROUTER_GET, "000001");
	request('a', "app", PROTOCOL_VERSION);
	put('b', 5, 10);
	get('b', 6, "000001");
	shell_drain(SHELL_SERVER, 8);
	cr_assert_eq(to_coordinator(), before + 1, "another is not refused");
	cr_assert_eq(shell_count(COUNTER_writes_refused), 1);
	for (int i = 0; i < 4; i++)
		shell_turn(1);
	cr_assert(answers('b', 6) == 1 && shell.actor.has_work(shell.actor.self) == false);
	const uint64_t deadline = shell.actor.deadline_ns(shell.actor.self);
	cr_assert_eq(deadline, shell.now.monotonic_ns + 5 * MS, "whether it reads again is looked at soon");
	shell_give_back();
	shell_turn(5);
	shell_turn(1);
	shell_give_back();
	uint32_t found = 0;
	for (uint32_t i = 0; i < shell.sent_count; i++)
		if (shell.sent[i].identity == 'a' && shell.sent[i].socket == SHELL_SERVER && shell.sent[i].size > 2 &&
		    shell.sent[i].size < 100)
			found++;
	cr_assert_geq(found, 1, "its question was not lost");
	shell_turn(1);
	cr_assert_eq(shell.actor.deadline_ns(shell.actor.self), LOOP_NEVER);
	put('a', 9, 10);
	shell_drain(SHELL_SERVER, 8);
	cr_assert_eq(to_coordinator(), before + 2, "it writes again");
}
Test(io, F24_who_does_not_take_his_answers_keeps_nobody_from_theirs)
{
	run(does_not_read);
}

static void draining(void)
{
	struct text text = {0};
	struct error_context error = {0};
	cr_assert_eq(shell.command(shell.actor.self, "drainage", "", &text, &error), ERR_UNSUPPORTED);
	cr_assert_eq(shell.command(shell.actor.self, "drain", "", &text, &error), 0);
	cr_assert_str_eq(text.bytes, "{\"draining\": true}");
	put('a', 5, 10);
	get('a', 6, "000001");
	shell_drain(SHELL_SERVER, 8);
	shell_turn(1);
	cr_assert(refused('a', 5, ERR_DRAINING) == 1 && to_coordinator() == 0 && shell_count(COUNTER_writes_refused) == 1);
	cr_assert(answers('a', 6) == 1 && answer.code == 0);
	text_clear(&text);
	cr_assert_eq(shell.command(shell.actor.self, "undrain", "", &text, &error), 0);
	cr_assert_str_eq(text.bytes, "{\"draining\": false}");
	text_deinit(&text);
	put('a', 7, 10);
	shell_drain(SHELL_SERVER, 8);
	cr_assert_eq(to_coordinator(), 1);
}
Test(io, F24_a_drained_region_takes_no_writes)
{
	run(draining);
}

/* ---- refusals ---- */

static void not_permitted(void)
{
	struct request opened;
	shell.rights = (struct rights){.read = true, .keyspaces = "default"};
	add(1, ROUTER_PUT, "k");
	add(2, ROUTER_GET, "000001");
	add(3, ROUTER_DELETE, "k");
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	cr_assert(refused('a', 1, ERR_NOT_PERMITTED) == 1 && refused('a', 3, ERR_NOT_PERMITTED) == 1 && answers('a', 2) == 0);
	cr_assert_str_eq(answer.reason, "the key 'app' does not have the right to do this in us");
	cr_assert_eq(to_coordinator(), 0);
	cr_assert_eq(shell_count(COUNTER_frames_refused), 2);
	cr_assert_str_eq(shell_log_text("not_permitted"), "name=app operations=2");
	shell_turn(1);
	cr_assert(answers('a', 2) == 1 && answer.code == 0);
	/* Some writes are permitted. */
	shell_forget();
	shell.rights = (struct rights){.write = true, .keyspaces = "default"};
	add(4, ROUTER_PUT, "k");
	add(5, ROUTER_PUT, "k")->keyspace = (char *)(uintptr_t) "ledger";
	add(6, ROUTER_GET, "000001");
	request('a', "app", PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	cr_assert_eq(to_coordinator(), 1);
	for (uint32_t i = 0; i < shell.sent_count; i++)
		if (shell.sent[i].socket == SHELL_IPC)
			cr_assert(
			    request_open(&opened, shell.sent[i].bytes, shell.sent[i].size) == 0 && opened.operation_count == 1);
	cr_assert(answers('a', 4) == 0 && refused('a', 5, ERR_NOT_PERMITTED) == 1 && refused('a', 6, ERR_NOT_PERMITTED) == 1);
	/* Without rights, or a name. */
	add(7, ROUTER_GET, "000001");
	request('b', NULL, PROTOCOL_VERSION);
	shell_drain(SHELL_SERVER, 1);
	cr_assert_eq(refused('b', 7, ERR_NOT_PERMITTED), 1);
	shell_turn(1);
	cr_assert_eq(answers('b', 7), 1);
	/* A question that waits keeps the rights that its message came with. */
	shell.rights = rights_all;
	get('c', 8, "000001");
	shell_drain(SHELL_SERVER, 1);
	shell.rights = (struct rights){.read = true, .keyspaces = "ledger"};
	get('c', 8, "000001");
	shell_drain(SHELL_SERVER, 1);
	cr_assert_eq(refused('c', 8, ERR_NOT_PERMITTED), 1, "the right is that of now");
	shell_turn(1);
	cr_assert_eq(answers('c', 8), 2);
	cr_assert_eq(answer.code, 0);
}
Test(io, F24_what_is_not_permitted_is_refused_and_told)
{
	run(not_permitted);
}

static void refusals(void)
{
	add(5, ROUTER_GET, "000001");
	request('a', "app", PROTOCOL_VERSION + 1);
	/* A write, and behind it what cannot be read: nothing of it goes on. */
	static const char broken[] = "\x08\x01\x11"
	                             "12345678"
	                             "\x1a\x04\x08\x05\x10\x01"
	                             "\x1a\x01\xff";
	shell_arrives(SHELL_SERVER, 0, 'b', "app", broken, sizeof broken - 1);
	shell_arrives(SHELL_SERVER, ERR_MALFORMED, 0, NULL, NULL, 0);
	get('c', 5, "000001");
	cr_assert_eq(shell_drain(SHELL_SERVER, 8), 4);
	cr_assert_eq(refused('a', 0, ERR_WRONG_VERSION), 1);
	cr_assert_eq(answers('a', 5), 0);
	cr_assert(refused('b', 0, ERR_MALFORMED) == 1 && to_coordinator() == 0);
	cr_assert_eq(shell_count(COUNTER_frames_refused), 3);
	cr_assert_eq(shell_logged("request_refused"), 3);
	shell_turn(1);
	cr_assert(answers('c', 5) == 1 && answers('a', 5) == 0);
	cr_assert_eq(shell_count(COUNTER_queue_refused), 0);
}
Test(io, F24_messages_that_cannot_be_read_are_refused_and_counted)
{
	run(refusals);
}

Test(io, F24_a_router_that_cannot_start_says_why)
{
	shell.connect_code = ERR_UNREACHABLE;
	cr_assert_neq(shell_run(router_main, "router", NULL), 0);
	cr_assert(shell.failed == 1 && shell.fail_code == ERR_UNREACHABLE && shell.ready == 0);
}
