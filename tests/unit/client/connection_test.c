/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection against a region that loses, repeats, refuses and garbles. B08: a repeat carries the same number. B17:
 * "failed" is said only when it is certain. */
#include <criterion/criterion.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "proto/request.h"
#include "tests/unit/client/fake_region.h"
#include "tests/unit/client/short.h"

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct fake_region fake;
static void stop(void)
{
	fake_stop(&fake);
}

static struct reaction say_ok(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_OK, 0};
}

static struct reaction say_nothing(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_NOTHING, 0};
}

static struct reaction lose_first_copy(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return (struct reaction){seen->copy == 1 ? ANSWER_NOTHING : ANSWER_OK, 0};
}

static struct reaction garble_first_copy(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return (struct reaction){seen->copy == 1 ? ANSWER_GARBAGE : ANSWER_OK, 0};
}

static struct reaction say_twice(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_TWICE, 0};
}

static struct reaction other_version(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_PROTOCOL, 0};
}

/* The first copy's answer is lost, each repeat is refused: the first may have been applied. */
static struct reaction lose_then_overloaded(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return seen->copy == 1 ? (struct reaction){ANSWER_NOTHING, 0} : (struct reaction){ANSWER_CODE, ERR_OVERLOADED};
}

static struct reaction lose_then_too_large(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return seen->copy == 1 ? (struct reaction){ANSWER_NOTHING, 0} : (struct reaction){ANSWER_CODE, ERR_UNKNOWN_KEYSPACE};
}

/* The first two numbers are refused, the third goes through. */
static struct reaction overloaded_twice(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return seen->number <= 2 ? (struct reaction){ANSWER_CODE, ERR_OVERLOADED} : (struct reaction){ANSWER_OK, 0};
}

static struct reaction draining(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_CODE, ERR_DRAINING};
}

Test(connection, put_and_get, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 0, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "hello", 5, &result), 0, "%s", result.reason);
	cr_assert_eq(result.number, 1);
	cr_assert_eq(result.hlc, 1u << 16);
	cr_assert_eq(result.version_size, 3);
	cr_assert_eq(memcmp(result.version, "\x01\x00\x07", 3), 0);
	cr_assert_eq(memcmp(result.value, "hello", 5), 0); /* the fake echoes */
	cr_assert_eq(client_get(c, "prices", "k", 1, &result), 0);
	cr_assert_eq(fake.seen[1].settled, 0, "reads carry nothing for the coordinator");
	cr_assert_eq(client_delete(c, NULL, "k", 1, &result), 0);
	cr_assert_eq(fake.seen[2].settled, 2);
	cr_assert_neq(fake.seen[0].client_id, 0);
	cr_assert_eq(fake.seen[0].client_id, fake.seen[2].client_id);
	cr_assert_eq(fake_copies(&fake, 1), 1);
	gw_close(c);
}

Test(connection, b08_lost_answer_is_asked_for_again_with_the_same_number, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, lose_first_copy);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	uint64_t started_ms = now_ms();
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0, "%s", result.reason);
	cr_assert_geq(now_ms() - started_ms, 450);
	cr_assert_leq(now_ms() - started_ms, 1500);
	cr_assert_eq(fake.seen_count, 2);
	cr_assert_eq(fake.seen[0].number, fake.seen[1].number);
	cr_assert_str_eq(fake.seen[1].key, "k");
	cr_assert_str_eq(fake.seen[1].value, "v");
	cr_assert_eq(fake.seen[0].age_ms, 0);
	cr_assert(
	    fake.seen[1].age_ms >= 450 && fake.seen[1].age_ms <= now_ms() - started_ms + 1, "%d ms", (int)fake.seen[1].age_ms);
	gw_close(c);
}

struct times {
	uint64_t answered_ns[2];
	uint32_t count;
};

static void note_time_slowly(void *context, const struct client_result *result)
{
	struct times *times = context;
	times->answered_ns[times->count++] = result->answered_ns;
	usleep(30000);
}

/* A history in which an answer seems older than it is shows violations that never were. */
Test(connection, an_answer_is_not_older_than_its_receipt, .fini = stop)
{
	struct times times = {{0}, 0};
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 0, 0, 0);
	struct client_operation put = {.kind = CLIENT_PUT, .key = "k", .key_size = 1, .value = "v", .value_size = 1};
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(client_submit(c, &put), 0);
		for (int tries = 0; tries < 100 && fake.seen_count <= (uint32_t)i; tries++) {
			gw_flush(c); /* not connected yet: later */
			usleep(10000);
		}
	}
	usleep(50000); /* both answers are here */
	while (times.count < 2)
		client_poll(c, 1000, note_time_slowly, &times);
	cr_assert_geq(times.answered_ns[1] - times.answered_ns[0], 30000000);
	gw_close(c);
}

Test(connection, repeats_grow_apart, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, say_nothing);
	struct gw_connection *c = fake_connect(&fake, 2300, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_UNKNOWN_OUTCOME);
	cr_assert_eq(fake_copies(&fake, 1), 3, "at 0, 500 and 1500 ms, not %u", fake_copies(&fake, 1));
	gw_close(c);
}

Test(connection, b17_deadline_of_a_write_is_unknown_and_of_a_read_unreachable, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, say_nothing);
	struct gw_connection *c = fake_connect(&fake, 300, 0, 0);
	uint64_t started_ms = now_ms();
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_UNKNOWN_OUTCOME);
	cr_assert_leq(now_ms() - started_ms, 600);
	cr_assert(strstr(result.reason, "mars") != NULL, "%s", result.reason);
	cr_assert_eq(client_get(c, NULL, "k", 1, &result), ERR_UNREACHABLE);
	cr_assert_eq(gw_pending(c), 0);
	gw_close(c);
}

Test(connection, b17_write_that_never_left_is_certainly_not_applied, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, say_ok);
	struct gw_connection *right = fake_connect(&fake, 300, 0, 0);
	strcpy(fake.endpoint, "tcp://127.0.0.1:1"); /* nobody listens there */
	struct gw_connection *c = fake_connect(&fake, 300, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_UNREACHABLE);
	cr_assert(strstr(result.reason, "no connection") != NULL, "%s", result.reason);
	cr_assert_eq(fake.seen_count, 0);
	gw_close(c);
	gw_close(right);
}

Test(connection, b17_refusal_of_a_repeat_says_nothing_about_the_first_copy, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, lose_then_overloaded);
	struct gw_connection *c = fake_connect(&fake, 1200, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_UNKNOWN_OUTCOME, "%s", gw_error_name(result.code));
	for (uint32_t i = 0; i < fake.seen_count; i++)
		cr_assert_eq(fake.seen[i].number, 1, "never written under another number");
	gw_close(c);
}

static struct reaction too_old_to_tell(struct fake_region *region, const struct seen *seen)
{
	region->token = seen->number == 1 ? 1000 * seen->copy : seen->number == 3 ? 3000 : 0;
	if (seen->number == 1 && seen->token >= 1000)
		return (struct reaction){ANSWER_OK, 0};
	if (seen->number == 3 && seen->copy == 1)
		return (struct reaction){ANSWER_NOTHING, 0};
	return (struct reaction){ANSWER_CODE, ERR_EXPIRED};
}

/* The first write of a connection knows nothing of the region's clock; what is told then is said with all that follow. */
Test(connection, a5_what_came_too_late_to_be_told_is_sent_as_new, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, too_old_to_tell);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0, "%s", gw_error_name(result.code));
	cr_assert(fake.seen_count == 2 && fake.seen[0].token == 0);
	cr_assert(fake.seen[1].number == 1 && fake.seen[1].token == 1000 && fake.seen[1].age_ms == 0);
	/* Without a word of the clock it is an outcome that nobody knows. */
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_EXPIRED);
	cr_assert(fake.seen_count == 3 && fake.seen[2].token == 2000);
	/* And when there was another copy. Each says what was known before the first. */
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_EXPIRED);
	cr_assert(fake.seen_count == 5 && fake.seen[3].token == 2000 && fake.seen[4].token == 2000 && fake.seen[4].age_ms);
	gw_close(c);
}

Test(connection, refusal_that_every_copy_meets_is_certain, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, lose_then_too_large);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_UNKNOWN_KEYSPACE);
	cr_assert_str_eq(result.reason, "the script says so");
	gw_close(c);
}

Test(connection, overloaded_is_written_again_under_a_new_number, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, overloaded_twice);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0);
	cr_assert_eq(result.number, 3);
	cr_assert_eq(fake_copies(&fake, 1), 1);
	gw_close(c);
}

static int codes[64];
static uint32_t results;
static void note(void *context, const struct client_result *result)
{
	(void)context;
	codes[results++ % 64] = result->code;
}

Test(connection, pipelined_refusals_are_passed_on, .fini = stop)
{
	fake_start(&fake, overloaded_twice);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	for (int i = 0; i < 3; i++)
		cr_assert_eq(client_submit(c, &o), 0);
	while (gw_pending(c))
		client_poll(c, 100, note, NULL);
	cr_assert_eq(results, 3);
	cr_assert_eq(codes[0], ERR_OVERLOADED);
	cr_assert_eq(codes[1], ERR_OVERLOADED);
	cr_assert_eq(codes[2], 0);
	gw_close(c);
}

Test(connection, other_refusals_end_a_blocking_call_at_once, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, draining);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_DRAINING);
	cr_assert_eq(fake.seen_count, 1);
	gw_close(c);
}

Test(connection, duplicated_answers_count_once, .fini = stop)
{
	fake_start(&fake, say_twice);
	struct gw_connection *c = fake_connect(&fake, 3000, 16, 4);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	for (int i = 0; i < 200; i++) {
		while (client_submit(c, &o) == ERR_FULL)
			client_poll(c, 100, note, NULL);
	}
	while (gw_pending(c))
		client_poll(c, 100, note, NULL);
	cr_assert_eq(results, 200);
	gw_close(c);
}

Test(connection, garbage_is_not_an_answer, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, garble_first_copy);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0);
	cr_assert_eq(fake_copies(&fake, 1), 2);
	gw_close(c);
}

Test(connection, wrong_version_is_a_refusal, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, other_version);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_WRONG_VERSION);
	cr_assert(strstr(result.reason, "version 99") != NULL, "%s", result.reason);
	gw_close(c);
}

static struct reaction refuse_whole_message(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_CODE_OF_NONE, ERR_MALFORMED};
}

Test(connection, a_message_refused_as_a_whole_is_not_waited_for, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, refuse_whole_message);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	uint64_t start_ms = now_ms();
	cr_assert_eq(client_get(c, NULL, "k", 1, &result), ERR_MALFORMED);
	cr_assert(strstr(result.reason, "the script says so") != NULL, "%s", result.reason);
	/* Nobody says which message it was. */
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_UNKNOWN_OUTCOME);
	cr_assert_leq(now_ms() - start_ms, 2000);
	gw_close(c);
}

Test(connection, no_message_has_more_operations_than_a_region_reads, .fini = stop)
{
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 5000, 65536, 65536);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	for (uint32_t i = 0; i < 5000; i++)
		cr_assert_eq(client_submit(c, &o), 0);
	uint64_t start_ms = now_ms();
	while (gw_pending(c) && now_ms() - start_ms < 4000)
		client_poll(c, 10, note, NULL);
	cr_assert_leq(fake.operations_most, REQUEST_OPERATIONS_MAX);
	cr_assert_gt(fake.operations_most, 256);
	gw_close(c);
}

static struct reaction lose_two_copies(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return (struct reaction){seen->copy <= 2 ? ANSWER_NOTHING : ANSWER_OK, 0};
}

Test(connection, what_was_sent_goes_out_again_after_a_lost_connection, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, lose_two_copies);
	struct gw_connection *c = fake_connect(&fake, 5000, 0, 0);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	cr_assert_eq(client_submit(c, &o), 0);
	while (fake.seen_count < 2)
		client_poll(c, 1, note, NULL);
	uint64_t dropped_ms = now_ms(); /* by waiting, the third copy would go out a second from here */
	fake_drop_connections(&fake);
	while (gw_pending(c))
		client_poll(c, 10, note, NULL);
	cr_assert_eq(results, 1);
	cr_assert_eq(codes[0], 0);
	cr_assert_eq(fake_copies(&fake, 1), 3);
	cr_assert_leq(now_ms() - dropped_ms, 850, "sooner than by waiting: %lu ms", now_ms() - dropped_ms);
	cr_assert_neq(client_put(c, NULL, "k", 1, "v", 1, &result), ERR_USAGE);
	gw_close(c);
}

static struct reaction lose_then_check_failed(struct fake_region *f, const struct seen *seen)
{
	return (struct reaction){seen->copy < (uint32_t)f->phase ? ANSWER_NOTHING : ANSWER_CODE, ERR_CHECK_FAILED};
}

/* F24: a failed check of a repeat is an answer on the connection that had the first copy; after another one has been made, the
 * region may have been restarted in between, and the first copy may be what the check found. */
Test(connection, F24_a_failed_check_after_a_reconnect_is_not_final, .fini = stop)
{
	fake_start(&fake, lose_then_check_failed);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	struct client_operation o = {
	    .kind = CLIENT_PUT, .key = "k", .key_size = 1, .value = "v", .value_size = 1, .condition = GW_IF_ABSENT};
	struct client_result result;
	fake.phase = 2;
	cr_assert_eq(client_call(c, &o, &result), ERR_CHECK_FAILED, "one connection: %s", gw_error_name(result.code));
	cr_assert_eq(fake.seen_count, 2);
	/* Two more copies on the new one: what counts is where the first went. */
	fake.phase = 4;
	cr_assert_eq(client_submit(c, &o), 0);
	while (fake.seen_count < 3)
		client_poll(c, 1, note, NULL);
	fake_drop_connections(&fake);
	while (gw_pending(c))
		client_poll(c, 10, note, NULL);
	cr_assert_eq(results, 1);
	cr_assert_eq(codes[0], ERR_UNKNOWN_OUTCOME, "%s", gw_error_name(codes[0]));
	cr_assert_geq(fake_copies(&fake, 2), 4);
	/* A new request on the new connection is as certain as ever. */
	fake.phase = 1;
	cr_assert_eq(client_call(c, &o, &result), ERR_CHECK_FAILED);
	gw_close(c);
}

static struct reaction take_time(struct fake_region *f, const struct seen *seen)
{
	usleep(150000);
	return say_ok(f, seen);
}

/* F26: answers keep coming, but the last of them later than the time after which a lost operation would be sent again. */
Test(connection, f26_slow_region_is_not_sent_more_work, .fini = stop)
{
	fake_start(&fake, take_time);
	struct gw_connection *c = fake_connect(&fake, 10000, 1024, 1);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	for (int i = 0; i < 8; i++)
		client_submit(c, &o);
	while (gw_pending(c))
		client_poll(c, 10, note, NULL);
	cr_assert_eq(results, 8);
	cr_assert_eq(fake.seen_count, 8);
	gw_close(c);
}

Test(connection, pipeline_is_bounded_and_batches_are, .fini = stop)
{
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 3000, 32, 8);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	for (int i = 0; i < 32; i++)
		cr_assert_eq(client_submit(c, &o), 0);
	cr_assert_eq(client_submit(c, &o), ERR_FULL);
	cr_assert_eq(gw_pending(c), 32);
	while (gw_pending(c))
		client_poll(c, 100, note, NULL);
	cr_assert_eq(results, 32);
	for (uint32_t i = 0; i < fake.seen_count; i++)
		cr_assert_eq(fake.seen[i].number, i + 1);
	gw_close(c);
}

static struct gw_connection *resubmitting;
static uint32_t left;
static void submit_next(void *context, const struct client_result *result)
{
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	(void)context;
	cr_assert_eq(result->code, 0);
	results++;
	if (left) {
		left--;
		cr_assert_eq(client_submit(resubmitting, &o), 0, "a result makes room for the next one");
	}
}

Test(connection, operations_are_submitted_from_results, .fini = stop)
{
	fake_start(&fake, say_ok);
	resubmitting = fake_connect(&fake, 3000, 8, 4);
	struct client_operation o = {.kind = CLIENT_PUT, .key = "k", .key_size = 1};
	left = 500;
	for (int i = 0; i < 8; i++)
		cr_assert_eq(client_submit(resubmitting, &o), 0);
	while (gw_pending(resubmitting))
		client_poll(resubmitting, 100, submit_next, NULL);
	cr_assert_eq(results, 508);
	uint64_t settled = 0;
	for (uint32_t i = 0; i < fake.seen_count; i++)
		settled = fake.seen[i].settled > settled ? fake.seen[i].settled : settled;
	cr_assert_gt(settled, 490, "the region learns which answers it may forget");
	gw_close(resubmitting);
}

Test(connection, mistakes_are_refused_before_anything_is_sent, .fini = stop)
{
	static char large[1024 * 1024 + 1];
	struct client_result result;
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	cr_assert_eq(client_put(c, NULL, "", 0, "v", 1, &result), ERR_KEY_TOO_LARGE);
	cr_assert_eq(client_put(c, NULL, large, 1025, "v", 1, &result), ERR_KEY_TOO_LARGE);
	cr_assert_eq(client_put(c, NULL, "k", 1, large, sizeof large, &result), ERR_VALUE_TOO_LARGE);
	struct client_operation o = {.kind = (enum client_kind)77, .key = "k", .key_size = 1};
	cr_assert_eq(client_submit(c, &o), ERR_USAGE);
	o.kind = 0;
	cr_assert_eq(client_submit(c, &o), ERR_USAGE);
	cr_assert_eq(client_put(c, NULL, large, 1024, large, 1024 * 1024, &result), 0);
	cr_assert_eq(fake.seen_count, 1);
	gw_close(c);
}

Test(connection, bad_options_are_told)
{
	char error[320];
	struct gw_connection *c;
	struct gw_options none = {0};
	cr_assert_eq(gw_connect(&c, &none, error), ERR_USAGE);
	struct gw_options absent = {.endpoint = "tcp://127.0.0.1:1", .key_dir = "/nonexistent", .region = "mars"};
	cr_assert_neq(gw_connect(&c, &absent, error), 0);
	cr_assert_null(c);
	cr_assert(strstr(error, "/nonexistent") != NULL, "%s", error);
	cr_assert_neq(gw_connect(&c, &absent, NULL), 0);
}
