/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection that leaves its region with writes on their way. What had been sent may have been applied there: the next region
 * is told so, and none of its refusals is taken for the fate of the first copy. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/unit/client/fake_region.h"
#include "tests/unit/client/short.h"

static struct fake_region mars, venus;
static int codes[64];
static uint32_t results;

static void note(void *context, const struct client_result *result)
{
	(void)context;
	codes[result->number % 64] = result->code;
	results++;
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

static struct reaction answer_phase(struct fake_region *f, const struct seen *seen)
{
	(void)seen;
	return (struct reaction){ANSWER_CODE, f->phase};
}

static struct reaction other_version(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_PROTOCOL, 0};
}

static struct reaction lose_first_copy(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	return (struct reaction){seen->copy == 1 ? ANSWER_NOTHING : ANSWER_OK, 0};
}

static void stop(void)
{
	fake_stop(&mars);
	fake_stop(&venus);
}

/* Two regions, and a connection to the first. */
static struct gw_connection *begin(struct reaction (*at_mars)(struct fake_region *, const struct seen *),
    struct reaction (*at_venus)(struct fake_region *, const struct seen *), uint32_t timeout_ms)
{
	fake_start(&mars, at_mars);
	fake_start(&venus, at_venus);
	fake_know(&mars, &venus, "venus");
	results = 0;
	return fake_connect(&mars, timeout_ms, 0, 1);
}

static void submit(struct gw_connection *c, enum client_kind kind)
{
	struct client_operation o = {.kind = kind, .key = "k", .key_size = 1};
	cr_assert_eq(client_submit(c, &o), 0);
}

static void until_seen(struct gw_connection *c, const struct fake_region *f, uint32_t count)
{
	for (int i = 0; i < 5000 && f->seen_count < count; i++)
		client_poll(c, 1, note, NULL);
	cr_assert_geq(f->seen_count, count);
}

static void move(struct gw_connection *c)
{
	char error[320];
	cr_assert_eq(gw_move(c, venus.endpoint, "venus", error), 0, "%s", error);
}

static void drain(struct gw_connection *c)
{
	while (gw_pending(c))
		client_poll(c, 20, note, NULL);
}

Test(move, what_was_sent_goes_to_the_next_region_under_its_number, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, say_ok, 5000);
	submit(c, CLIENT_PUT);
	submit(c, CLIENT_DELETE);
	submit(c, CLIENT_GET);
	until_seen(c, &mars, 3);
	usleep(30000);
	move(c);
	submit(c, CLIENT_PUT); /* never sent to mars */
	drain(c);
	cr_assert_eq(results, 4);
	cr_assert_eq(venus.seen_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const struct seen *seen = &venus.seen[i];
		bool write_sent_before = i < 2;
		cr_assert_eq(seen->number, i + 1);
		cr_assert_eq(seen->client_id, mars.seen[0].client_id);
		cr_assert_eq(seen->moved, write_sent_before, "operation %u", i);
		cr_assert(write_sent_before ? seen->age_ms >= 30 && seen->age_ms < 5000 : seen->age_ms == 0, "operation %u: %d",
		    i, (int)seen->age_ms);
		cr_assert_eq(codes[i + 1], 0);
	}
	cr_assert(!mars.seen[0].moved && mars.seen[0].age_ms == 0);
	cr_assert_eq(mars.seen_count, 3);
	gw_close(c);
}

Test(move, what_never_left_is_not_said_to_have_moved, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, say_ok, 5000);
	submit(c, CLIENT_PUT);
	move(c);
	drain(c);
	cr_assert_eq(mars.seen_count, 0);
	cr_assert_eq(venus.seen_count, 1);
	cr_assert(!venus.seen[0].moved && venus.seen[0].age_ms == 0);
	gw_close(c);
}

/* A repeat inside the next region is still one whose first copy went elsewhere. */
Test(move, once_moved_is_always_moved, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, lose_first_copy, 5000);
	submit(c, CLIENT_PUT);
	until_seen(c, &mars, 1);
	move(c);
	drain(c);
	cr_assert_eq(venus.seen_count, 2);
	cr_assert(venus.seen[0].moved && venus.seen[1].moved);
	cr_assert_gt(venus.seen[1].age_ms, venus.seen[0].age_ms);
	cr_assert_eq(codes[1], 0);
	submit(c, CLIENT_PUT); /* in the same slot */
	drain(c);
	cr_assert_eq(venus.seen[2].number, 2);
	cr_assert(!venus.seen[2].moved && !venus.seen[3].moved && venus.seen[3].age_ms > 0);
	gw_close(c);
}

Test(move, away_from_a_region_that_is_gone, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, say_ok, 5000);
	submit(c, CLIENT_PUT);
	until_seen(c, &mars, 1);
	mars.stop = true; /* its thread ends, and with it the connection */
	for (int i = 0; i < 20; i++)
		client_poll(c, 10, note, NULL);
	submit(c, CLIENT_PUT);
	cr_assert_eq(gw_pending(c), 2);
	move(c);
	drain(c);
	cr_assert(codes[1] == 0 && codes[2] == 0);
	cr_assert(venus.seen_count == 2 && venus.seen[0].moved && !venus.seen[1].moved);
	gw_close(c);
}

Test(move, refusal_of_a_moved_copy_says_nothing_about_the_first, .fini = stop)
{
	static const int certain_of_one[] = {
	    ERR_NO_QUORUM, ERR_OVERLOADED, ERR_DRAINING, ERR_DISK_FULL, ERR_NOT_FOUND, ERR_CONTEXT_AHEAD};
	struct gw_connection *c = begin(say_nothing, answer_phase, 400);
	for (uint32_t i = 0; i < sizeof certain_of_one / sizeof *certain_of_one; i++) {
		char error[320];
		uint32_t before = mars.seen_count, answered = venus.seen_count;
		venus.phase = certain_of_one[i];
		cr_assert_eq(gw_move(c, mars.endpoint, "mars", error), 0, "%s", error);
		submit(c, CLIENT_PUT);
		until_seen(c, &mars, before + 1);
		move(c);
		drain(c);
		cr_assert_gt(venus.seen_count, answered);
		cr_assert_eq(codes[(i + 1) % 64], ERR_UNKNOWN_OUTCOME, "%s: %s", error_name(certain_of_one[i]),
		    error_name(codes[(i + 1) % 64]));
	}
	gw_close(c);
}

/* The region knows that there is another copy, and says UNKNOWN by itself when that may be applied. */
Test(move, c5b_a_check_that_failed_is_an_answer, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, answer_phase, 2000);
	venus.phase = ERR_CHECK_FAILED;
	submit(c, CLIENT_PUT);
	until_seen(c, &mars, 1);
	move(c);
	drain(c);
	cr_assert_eq(codes[1], ERR_CHECK_FAILED, "%s", error_name(codes[1]));
	cr_assert(venus.seen_count == 1 && venus.seen[0].moved);
	gw_close(c);
}

/* An eventual keyspace cannot tell. */
Test(move, expired_ends_it_at_once, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, answer_phase, 5000);
	venus.phase = ERR_EXPIRED;
	submit(c, CLIENT_PUT);
	until_seen(c, &mars, 1);
	move(c);
	drain(c);
	cr_assert_eq(codes[1], ERR_EXPIRED);
	cr_assert_eq(error_exit_code(codes[1]), 4, "unknown");
	cr_assert_eq(venus.seen_count, 1);
	gw_close(c);
}

Test(move, a_region_of_another_version_knows_nothing_of_the_first_copies, .fini = stop)
{
	struct gw_connection *c = begin(say_nothing, other_version, 3000);
	submit(c, CLIENT_PUT);
	submit(c, CLIENT_PUT);
	until_seen(c, &mars, 2);
	move(c);
	drain(c);
	cr_assert_eq(codes[1], ERR_UNKNOWN_OUTCOME);
	cr_assert_eq(codes[2], ERR_UNKNOWN_OUTCOME);
	gw_close(c);
}

Test(move, a_move_that_fails_leaves_the_connection_where_it_was, .fini = stop)
{
	char error[320];
	struct client_result result;
	struct gw_connection *c = begin(say_ok, say_ok, 3000);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0);
	cr_assert_neq(gw_move(c, venus.endpoint, "pluto", error), 0);
	cr_assert(strstr(error, "pluto") != NULL, "%s", error);
	cr_assert_neq(gw_move(c, "no endpoint", "venus", error), 0);
	cr_assert_eq(gw_move(c, NULL, "venus", NULL), ERR_USAGE);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0, "%s", result.reason);
	cr_assert_eq(mars.seen_count, 2);
	move(c);
	cr_assert_eq(client_put(c, NULL, "k", 1, "v", 1, &result), 0, "%s", result.reason);
	cr_assert_eq(mars.seen_count, 2);
	cr_assert_eq(venus.seen_count, 1);
	cr_assert(venus.seen[0].number == 3 && !venus.seen[0].moved);
	gw_close(c);
}
