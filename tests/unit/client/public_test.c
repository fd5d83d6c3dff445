/* SPDX-License-Identifier: Apache-2.0
 *
 * include/godwit.h: what a region gets of each call, what comes back, and what each code says about a write. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "tests/unit/client/fake_region.h"

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

static struct reaction say_phase(struct fake_region *f, const struct seen *seen)
{
	(void)seen;
	return f->phase < 0 ? (struct reaction){ANSWER_CODE, f->phase} : (struct reaction){ANSWER_OK, 0};
}

static struct reaction say_nothing(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_NOTHING, 0};
}

/* Each code, whatever the table says today: to change one of these changes what applications do after it. */
Test(public, outcome_of_every_code)
{
	static const int unknown[] = {GW_UNKNOWN, GW_EXPIRED, GW_IO, GW_CORRUPT, GW_SYNC_FAILED};
	static const int codes[] = {
#define X(name, value, exit_code, outcome, text) value,
	    ERROR_TABLE(X)
#undef X
	};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		enum gw_outcome expected = codes[i] == GW_OK ? GW_OUTCOME_APPLIED : GW_OUTCOME_REFUSED;
		for (size_t j = 0; j < sizeof unknown / sizeof *unknown; j++)
			if (codes[i] == unknown[j])
				expected = GW_OUTCOME_UNKNOWN;
		cr_assert_eq(gw_outcome(codes[i]), expected, "%s", gw_error_name(codes[i]));
		int exit_code = error_exit_code(codes[i]);
		cr_assert((exit_code == 0) == (expected == GW_OUTCOME_APPLIED));
		cr_assert(exit_code != 4 || expected == GW_OUTCOME_UNKNOWN, "%s", gw_error_name(codes[i]));
		cr_assert(exit_code > 3 || expected != GW_OUTCOME_UNKNOWN, "%s", gw_error_name(codes[i]));
	}
	cr_assert_eq(gw_outcome(1), GW_OUTCOME_UNKNOWN, "no code at all");
	cr_assert_eq(gw_outcome(-9999), GW_OUTCOME_UNKNOWN, "of a later release");
}

/* A region says the code to a write, and to a read: it comes back as it is, and is certain or not as the header says. */
Test(public, codes_of_a_region_come_back_with_their_outcome, .fini = stop)
{
	static const int codes[] = {GW_CHECK_FAILED, GW_CONTEXT_AHEAD, GW_DISK_FULL, GW_DRAINING, GW_NO_QUORUM, GW_UNKNOWN,
	    GW_CLOCK_AHEAD, GW_NEEDS_RESYNC, GW_REGION_REUSED, GW_UNSUPPORTED, GW_EXPIRED, GW_NOT_MET, GW_NOT_PERMITTED};
	struct gw_result result;
	fake_start(&fake, say_phase);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		bool is_unknown = codes[i] == GW_UNKNOWN || codes[i] == GW_EXPIRED;
		fake.phase = codes[i];
		cr_assert_eq(gw_put(c, gw_text("k"), gw_text("v"), NULL, &result), codes[i]);
		cr_assert_eq(gw_outcome(result.code), is_unknown ? GW_OUTCOME_UNKNOWN : GW_OUTCOME_REFUSED);
		cr_assert_eq(gw_delete(c, gw_text("k"), NULL, NULL), codes[i]);
	}
	fake.phase = GW_NOT_FOUND;
	cr_assert_eq(gw_get(c, gw_text("k"), NULL, &result), GW_NOT_FOUND);
	cr_assert_neq(gw_outcome(result.code), GW_OUTCOME_APPLIED);
	gw_close(c);
}

Test(public, no_answer_is_unknown_to_a_write_and_unreachable_to_a_read, .fini = stop)
{
	struct gw_result result;
	const struct gw_write_options soon = {.timeout_ms = 300};
	const struct gw_read_options read_soon = {.timeout_ms = 300};
	fake_start(&fake, say_nothing);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(gw_put(c, gw_text("k"), gw_text("v"), &soon, &result), GW_UNKNOWN);
	cr_assert(*result.reason && result.answered_ns - result.submitted_ns < 3000000000u);
	cr_assert_eq(gw_get(c, gw_text("k"), &read_soon, &result), GW_UNREACHABLE);
	gw_close(c);
}

Test(public, a_region_gets_what_the_options_say, .fini = stop)
{
	struct gw_result result;
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(gw_put(c, gw_text("k"), gw_text("value"), NULL, &result), GW_OK);
	cr_assert(result.kind == GW_PUT && !*result.reason && result.hlc == 1 << 16 && !result.user);
	cr_assert(result.version.size == 3 && result.value.size == 5);
	const struct gw_write_options conditional = {
	    .keyspace = "orders", .timeout_ms = 1500, .condition = GW_IF_VERSION, .expected = gw_text("expected")};
	cr_assert_eq(gw_put(c, gw_text("k"), gw_text("v"), &conditional, NULL), GW_OK, "without a result");
	const struct gw_write_options beside = {.keyspace = "prices", .seen = gw_text("seen")};
	cr_assert_eq(gw_delete(c, gw_text("d"), &beside, &result), GW_OK);
	cr_assert_eq(result.kind, GW_DELETE);
	const struct gw_read_options weak = {.keyspace = "orders", .timeout_ms = 700, .level = GW_LEVEL_STALE};
	cr_assert_eq(gw_get(c, gw_text("g"), &weak, &result), GW_OK);
	cr_assert_eq(result.kind, GW_GET);
	const struct seen *seen = fake.seen;
	cr_assert(seen[0].kind == CLIENT_PUT && seen[0].timeout_ms == 4000 && !seen[0].condition && !*seen[0].keyspace);
	cr_assert(strcmp(seen[1].keyspace, "orders") == 0 && seen[1].timeout_ms == 1500 && seen[1].condition == GW_IF_VERSION);
	cr_assert(strcmp(seen[1].expected, "expected") == 0 && !*seen[1].context);
	cr_assert(seen[2].kind == CLIENT_DELETE && strcmp(seen[2].context, "seen") == 0 && !*seen[2].expected);
	cr_assert(strcmp(seen[2].keyspace, "prices") == 0 && strcmp(seen[2].key, "d") == 0);
	cr_assert(seen[3].kind == CLIENT_GET && seen[3].level == GW_LEVEL_STALE && seen[3].timeout_ms == 700);
	cr_assert_eq(gw_put(c, gw_data(NULL, 0), gw_text("v"), NULL, &result), GW_KEY_TOO_LARGE);
	cr_assert(result.code == GW_KEY_TOO_LARGE && *result.reason);
	gw_close(c);
}

struct taken {
	uint32_t count, kinds[16];
	void *users[4];
};
static void take(void *context, const struct gw_result *result)
{
	struct taken *taken = context;
	taken->users[taken->count++] = result->user;
	taken->kinds[result->kind]++;
}

Test(public, pipelined_calls_give_one_result_each_with_their_user, .fini = stop)
{
	struct taken taken = {0};
	int users[3];
	const struct gw_write_options wrong = {.condition = GW_IF_VERSION};
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 4000, 3, 0);
	cr_assert_eq(gw_submit_put(c, gw_text("a"), gw_text("1"), &wrong, NULL), GW_MALFORMED, "no result of it");
	cr_assert_eq(gw_submit_put(c, gw_text("a"), gw_text("1"), NULL, &users[0]), GW_OK);
	cr_assert_eq(gw_submit_delete(c, gw_text("b"), NULL, &users[1]), GW_OK);
	cr_assert_eq(gw_submit_get(c, gw_text("c"), NULL, &users[2]), GW_OK);
	cr_assert_eq(gw_submit_get(c, gw_text("d"), NULL, NULL), GW_FULL);
	cr_assert_eq(gw_put(c, gw_text("a"), gw_text("1"), NULL, NULL), GW_USAGE, "a blocking call in between");
	while (gw_pending(c))
		gw_poll(c, 1000, take, &taken);
	cr_assert_eq(taken.count, 3);
	cr_assert(taken.kinds[GW_PUT] == 1 && taken.kinds[GW_DELETE] == 1 && taken.kinds[GW_GET] == 1);
	for (int i = 0; i < 3; i++)
		cr_assert(taken.users[0] == &users[i] || taken.users[1] == &users[i] || taken.users[2] == &users[i]);
	gw_close(c);
}

/* Another page of rows comes to where the last one was. */
static void scan_another(struct gw_connection *c)
{
	struct gw_scan *scan;
	struct gw_row row;
	const struct gw_scan_options options = {.page_rows = 4};
	cr_assert_eq(gw_scan_begin(c, gw_text("q/"), &options, &scan), GW_OK);
	cr_assert_eq(gw_scan_next(scan, &row), GW_OK);
	gw_scan_free(scan);
}

static uint32_t rows_left(struct gw_connection *c, struct gw_scan *scan, uint32_t from)
{
	struct gw_row row;
	int code;
	char key[16];
	while ((code = gw_scan_next(scan, &row)) == GW_OK) {
		snprintf(key, sizeof key, "p/%02u", from);
		scan_another(c);
		cr_assert(row.key.size == 4 && memcmp(row.key.data, key, 4) == 0, "row %u", from);
		cr_assert(row.value.size == 4 && memcmp(row.value.data, key, 4) == 0 && row.version.size == 3);
		cr_assert(row.hlc == 100 + from && row.siblings == 1);
		from++;
	}
	cr_assert_eq(code, GW_EMPTY, "%s", gw_scan_reason(scan));
	cr_assert_eq(gw_scan_next(scan, &row), GW_EMPTY, "and stays there");
	return from;
}

Test(public, a_scan_goes_on_over_pages, .fini = stop)
{
	struct gw_scan *scan;
	const struct gw_scan_options options = {.keyspace = "orders", .level = GW_LEVEL_EVENTUAL, .page_rows = 4};
	const struct gw_scan_options later = {.after = gw_text("p/06")};
	fake_start(&fake, say_ok);
	fake.rows = 10;
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(gw_scan_begin(c, gw_text("p/"), &options, &scan), GW_OK);
	cr_assert_eq(fake.seen_count, 0);
	cr_assert_eq(rows_left(c, scan, 0), 10);
	gw_scan_free(scan);
	gw_scan_free(NULL);
	cr_assert_eq(fake.seen_count, 10 + 3, "three pages");
	cr_assert(fake.seen[0].kind == CLIENT_SCAN && fake.seen[0].limit == 4 && fake.seen[0].level == GW_LEVEL_EVENTUAL);
	cr_assert(strcmp(fake.seen[0].keyspace, "orders") == 0 && !*fake.seen[0].after);
	cr_assert(fake.seen[5].kind == CLIENT_SCAN && strcmp(fake.seen[5].after, "p/03") == 0);
	cr_assert_eq(gw_scan_begin(c, gw_text("p/"), &later, &scan), GW_OK);
	cr_assert_eq(rows_left(c, scan, 7), 10);
	cr_assert_eq(fake.seen[13].limit, 1000);
	gw_scan_free(scan);
	fake.rows = 0;
	cr_assert_eq(gw_scan_begin(c, gw_text("p/"), NULL, &scan), GW_OK);
	cr_assert_eq(rows_left(c, scan, 0), 0);
	gw_scan_free(scan);
	gw_close(c);
}

Test(public, a_scan_that_fails_goes_on_where_it_was, .fini = stop)
{
	struct gw_scan *scan;
	struct gw_row row;
	const struct gw_scan_options options = {.page_rows = 4};
	fake_start(&fake, say_phase);
	fake.rows = 6;
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(gw_scan_begin(c, gw_text("p/"), &options, &scan), GW_OK);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(gw_scan_next(scan, &row), GW_OK);
	fake.phase = GW_NEEDS_RESYNC;
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(gw_scan_next(scan, &row), GW_NEEDS_RESYNC);
		cr_assert_str_eq(gw_scan_reason(scan), "the script says so");
	}
	fake.phase = 0;
	cr_assert_eq(rows_left(c, scan, 4), 6);
	cr_assert_str_eq(gw_scan_reason(scan), "");
	gw_scan_free(scan);

	/* A region that gives the same page again and again would keep a scan busy for ever. */
	fake.rows_again = true;
	cr_assert_eq(gw_scan_begin(c, gw_text("p/"), &options, &scan), GW_OK);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(gw_scan_next(scan, &row), GW_OK);
	cr_assert_eq(gw_scan_next(scan, &row), GW_MALFORMED);
	gw_scan_free(scan);
	gw_close(c);
}

Test(public, a_scan_that_cannot_be_meant_is_refused)
{
	static char large[1025];
	char name[65];
	struct gw_scan *scan;
	memset(name, 'k', sizeof name);
	name[64] = 0;
	const struct gw_scan_options keyspace = {.keyspace = name}, after = {.after = gw_data(large, sizeof large)};
	const struct gw_scan_options level = {.level = (enum gw_level)6};
	cr_assert_eq(gw_scan_begin(NULL, gw_data(large, sizeof large), NULL, &scan), GW_KEY_TOO_LARGE);
	cr_assert_eq(gw_scan_begin(NULL, gw_text(""), &after, &scan), GW_KEY_TOO_LARGE);
	cr_assert_eq(gw_scan_begin(NULL, gw_text(""), &keyspace, &scan), GW_UNKNOWN_KEYSPACE);
	cr_assert_eq(gw_scan_begin(NULL, gw_text(""), &level, &scan), GW_USAGE);
	cr_assert_null(scan);
}
