/* SPDX-License-Identifier: Apache-2.0
 *
 * What the regions hold in the end, and whether there was enough to judge at all. */
#include <criterion/criterion.h>

#include "tests/unit/check/generate.h"

#define MS(ms) ms "000000"
#define WRITE(op, value, region, start, end, more)                                                                             \
	"{\"client\":1,\"op\":\"" op "\",\"key\":\"k\"," value "\"region\":\"" region "\"," more                               \
	"\"outcome\":\"ok\",\"start_ns\":" start ",\"end_ns\":" end "}"
#define PUT(value, region, start, end) WRITE("put", "\"value\":\"" value "\",", region, start, end, "")

static enum verdict final_verdict(struct history *h, enum level level, const char *first, const char *second)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	struct final_state finals[2] = {{0}, {0}};
	if (first)
		final_line(&finals[0], h, "us", "k", first);
	if (second)
		final_line(&finals[1], h, "eu", "k", second);
	options.level = level;
	options.finals = finals;
	options.final_count = 2;
	enum verdict verdict = judged(h, &options, "final");
	final_state_deinit(&finals[0]);
	final_state_deinit(&finals[1]);
	return verdict;
}

Test(check_final, T45_acknowledged_writes_stay)
{
	struct history h;
	history_init(&h, 0);
	history_line(&h, PUT("a", "us", MS("1"), MS("2")));
	history_line(&h, PUT("b", "us", MS("3"), MS("4")));
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", "b"), VERDICT_FINE);
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "a", "a"), VERDICT_VIOLATION, "replaced in its own region");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, NULL, NULL), VERDICT_VIOLATION, "lost");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", "a"), VERDICT_VIOLATION, "regions differ");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", NULL), VERDICT_VIOLATION, "regions differ");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "c", "c"), VERDICT_VIOLATION, "nobody wrote it");
	history_line(
	    &h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"c\",\"outcome\":\"fail\",\"start_ns\":1,\"end_ns\":2}");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "c", "c"), VERDICT_VIOLATION, "it failed, B17");
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"d\",\"outcome\":\"unknown\",\"start_ns\":1}");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "d", "d"), VERDICT_FINE, "may happen any time");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", "b"), VERDICT_FINE);
	history_deinit(&h);
}

Test(check_final, other_regions_and_clocks)
{
	struct history h;
	history_init(&h, 0);
	history_line(&h, PUT("a", "us", MS("1"), MS("2")));
	history_line(&h, PUT("b", "eu", MS("100"), MS("101")));
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "a", "a"), VERDICT_FINE, "clocks may differ by that much");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", "b"), VERDICT_FINE);
	cr_expect_eq(final_verdict(&h, LEVEL_SESSION, "a", "a"), VERDICT_VIOLATION, "one session");
	cr_expect_eq(final_verdict(&h, LEVEL_STRONG, "a", "a"), VERDICT_VIOLATION, "real time counts");
	history_line(&h, PUT("c", "ap", MS("700"), MS("701")));
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "a", "a"), VERDICT_VIOLATION, "no clock is that wrong");
	history_deinit(&h);
}

Test(check_final, T18_T19_deletes)
{
	struct history h;
	history_init(&h, 0);
	history_line(&h, PUT("a", "us", MS("1"), MS("2")));
	history_line(&h, WRITE("delete", "", "us", MS("3"), MS("4"), ""));
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, NULL, NULL), VERDICT_FINE);
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "a", "a"), VERDICT_VIOLATION, "comes back");
	history_line(&h, PUT("b", "us", MS("5"), MS("6")));
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, NULL, NULL), VERDICT_VIOLATION, "written again after the delete");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", "b"), VERDICT_FINE);
	history_deinit(&h);
}

Test(check_final, T01_the_winner_is_known)
{
	struct history h;
	history_init(&h, 0);
	history_line(&h, WRITE("put", "\"value\":\"a\",", "us", MS("1"), MS("2"), "\"hlc\":7,\"region_id\":0,\"sequence\":1,"));
	history_line(&h, WRITE("put", "\"value\":\"b\",", "eu", MS("1"), MS("2"), "\"hlc\":7,\"region_id\":1,\"sequence\":1,"));
	history_line(
	    &h, WRITE("put", "\"value\":\"c\",", "ap", MS("900"), MS("901"), "\"hlc\":6,\"region_id\":2,\"sequence\":1,"));
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "b", "b"), VERDICT_FINE, "equal stamps: the higher region");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "a", "a"), VERDICT_VIOLATION);
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "c", "c"), VERDICT_VIOLATION, "later, and of a lower stamp");
	history_line(&h, "{\"client\":9,\"op\":\"put\",\"key\":\"k\",\"value\":\"d\",\"outcome\":\"unknown\",\"start_ns\":1}");
	cr_expect_eq(final_verdict(&h, LEVEL_EVENTUAL, "d", "d"), VERDICT_FINE, "nobody knows its stamp");
	history_deinit(&h);
}

Test(check_final, replicas_converge_and_ties_must_be_broken)
{
	uint32_t found = 0;
	for (uint64_t seed = 0; seed < 120; seed++) {
		struct final_state finals[3] = {{0}, {0}, {0}};
		struct judge_options options = JUDGE_OPTIONS_DEFAULT;
		struct replicas_plan plan = {.operations = 400,
		    .keys = 12,
		    .sessions = 9,
		    .regions = 3,
		    .delete_percent = 10,
		    .has_versions = seed % 2,
		    .tie_off = seed % 3 == 0,
		    .token_off = seed % 4 == 1,
		    .gate_off = true,
		    .finals = finals};
		struct history h;
		history_init(&h, 0);
		generate_replicas(seed, &plan, &h);
		options.level = LEVEL_EVENTUAL;
		options.finals = finals;
		options.final_count = 3;
		enum verdict verdict = judged(&h, &options, "final");
		if (plan.tie_off)
			found += verdict == VERDICT_VIOLATION;
		else
			cr_assert_eq(verdict, VERDICT_FINE, "seed %llu", (unsigned long long)seed);
		for (int i = 0; i < 3; i++)
			final_state_deinit(&finals[i]);
		history_deinit(&h);
	}
	cr_assert_gt(found, 5, "M6 shows in %u of 40", found);
}

Test(check_values, come_from_somewhere)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	static const struct {
		const char *outcome, *seen;
		int seen_end;
		enum verdict verdict;
	} all[] = {{"ok", "a", 30, VERDICT_FINE}, {"unknown", "a", 30, VERDICT_FINE}, {"fail", "a", 30, VERDICT_VIOLATION},
	    {"ok", "b", 30, VERDICT_VIOLATION}, {"ok", "a", 9, VERDICT_VIOLATION}, {"ok", "a", 10, VERDICT_FINE}};
	options.level = LEVEL_EVENTUAL;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct history h;
		history_init(&h, 0);
		history_line(&h,
		    "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"%s\",\"start_ns\":10,\"end_ns\":"
		    "20}",
		    all[i].outcome);
		history_line(&h,
		    "{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"value\":\"%s\",\"outcome\":\"ok\",\"start_ns\":5,\"end_ns\":%"
		    "d}",
		    all[i].seen, all[i].seen_end);
		cr_expect_eq(judged(&h, &options, "values"), all[i].verdict, "case %zu", i);
		history_deinit(&h);
	}
}

static enum verdict count_verdict(struct history *h, uint64_t ok_min, int64_t fault_start_ns, int64_t fault_end_ns)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	options.ok_min = ok_min;
	options.has_fault = fault_end_ns > 0;
	options.fault_start_ns = fault_start_ns;
	options.fault_end_ns = fault_end_ns;
	return judged(h, &options, "count");
}

Test(check_count, counted_before_judged)
{
	struct history h;
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	history_init(&h, 0);
	cr_expect_eq(judged(&h, &options, NULL), VERDICT_PROVES_NOTHING, "an empty history");
	history_line(&h, PUT("a", "us", "10", "20"));
	cr_expect_eq(count_verdict(&h, 1, 0, 0), VERDICT_PROVES_NOTHING, "nobody looked");
	history_line(&h, "{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"value\":\"a\",\"region\":\"us\",\"outcome\":\"ok\","
	                 "\"start_ns\":30,\"end_ns\":40}");
	cr_expect_eq(count_verdict(&h, 1, 0, 0), VERDICT_FINE);
	cr_expect_eq(count_verdict(&h, 2, 0, 0), VERDICT_PROVES_NOTHING);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"b\",\"region\":\"eu\",\"outcome\":\"fail\","
	                 "\"start_ns\":30,\"end_ns\":40}");
	cr_expect_eq(count_verdict(&h, 1, 0, 0), VERDICT_PROVES_NOTHING, "a region in which everything failed");
	history_line(&h, PUT("c", "eu", "50", "60"));
	cr_expect_eq(count_verdict(&h, 1, 0, 0), VERDICT_FINE);
	cr_expect_eq(count_verdict(&h, 1, 5, 70), VERDICT_PROVES_NOTHING, "nothing after the fault");
	history_line(&h, PUT("d", "us", "80", "90"));
	history_line(&h, PUT("e", "eu", "80", "90"));
	cr_expect_eq(count_verdict(&h, 1, 5, 70), VERDICT_FINE);
	cr_expect_eq(count_verdict(&h, 1, 45, 70), VERDICT_PROVES_NOTHING, "us wrote nothing during the fault");
	/* F24: what began before the fault has ended says nothing about the time after it, and what begins with its end
	 * neither. */
	cr_expect_eq(count_verdict(&h, 1, 5, 79), VERDICT_FINE);
	cr_expect_eq(count_verdict(&h, 1, 5, 80), VERDICT_PROVES_NOTHING, "begun as the fault ended");
	cr_expect_eq(count_verdict(&h, 1, 5, 85), VERDICT_PROVES_NOTHING, "begun during the fault, ended after it");
	/* And what is during it begins and ends within. */
	cr_expect_eq(count_verdict(&h, 1, 10, 60), VERDICT_FINE);
	cr_expect_eq(count_verdict(&h, 1, 11, 60), VERDICT_PROVES_NOTHING, "begun before the fault");
	cr_expect_eq(count_verdict(&h, 1, 10, 59), VERDICT_PROVES_NOTHING, "ended after it");
	history_deinit(&h);
}
