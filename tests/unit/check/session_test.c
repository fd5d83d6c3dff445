/* SPDX-License-Identifier: Apache-2.0
 *
 * The four session guarantees. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/check/generate.h"

#define OPERATION(session, op, key, value, start, end, more)                                                                   \
	"{\"client\":1,\"session\":\"" session "\",\"op\":\"" op "\",\"key\":\"" key "\",\"value\":" value "," more            \
	"\"outcome\":\"ok\",\"start_ns\":" start ",\"end_ns\":" end "}"
#define PUT(session, key, value, start) OPERATION(session, "put", key, "\"" value "\"", start, start "9", "")
#define PUT_STAMPED(session, key, value, start, hlc)                                                                           \
	OPERATION(session, "put", key, "\"" value "\"", start, start "9", "\"hlc\":" hlc ",\"region_id\":0,")
#define GET(session, key, value, start)  OPERATION(session, "get", key, "\"" value "\"", start, start "9", "")
#define GET_NOTHING(session, key, start) OPERATION(session, "get", key, "null", start, start "9", "")
#define DELETE(session, key, start)      OPERATION(session, "delete", key, "null", start, start "9", "")

struct expected {
	enum verdict verdict;
	const char *text; /* of the first violation */
};

static void session_expect(const char *const *lines, enum verdict verdict, const char *text)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	struct report report = {.count = 0};
	struct error_context error;
	struct history h;
	const struct check *session = NULL;
	history_init(&h, 0);
	for (; *lines; lines++)
		history_line(&h, "%s", *lines);
	options.level = LEVEL_SESSION;
	cr_assert_eq(judge(&h, &options, &report, &error), 0);
	for (uint32_t i = 0; i < report.count; i++)
		if (strcmp(report.checks[i].name, "session") == 0)
			session = &report.checks[i];
	cr_assert(session);
	cr_expect_eq(session->verdict, verdict, "%s: %s", text ? text : "good", session->texts[0] ? session->texts[0] : "");
	if (text && session->texts[0])
		cr_expect_eq(strncmp(session->texts[0], text, strlen(text)), 0, "%s: %s", text, session->texts[0]);
	report_deinit(&report);
	history_deinit(&h);
}

#define FINE(...)         session_expect((const char *const[]){__VA_ARGS__, NULL}, VERDICT_FINE, NULL)
#define BROKEN(text, ...) session_expect((const char *const[]){__VA_ARGS__, NULL}, VERDICT_VIOLATION, text)

/* Times are written so that the end is ten times the start and nine: 1 to 19, 2 to 29, 10 to 109, 11 to 119 overlap. */
Test(check_session, M10_read_your_writes)
{
	FINE(PUT("s", "k", "a", "1"), GET("s", "k", "a", "20"));
	BROKEN("read your writes", PUT("s", "k", "a", "1"), PUT("s", "k", "b", "20"), GET("s", "k", "a", "300"));
	BROKEN("read your writes", PUT("s", "k", "a", "1"), GET_NOTHING("s", "k", "20"));
	FINE(PUT("s", "k", "a", "1"), PUT("t", "k", "b", "1"), GET("s", "k", "b", "20"));
	FINE(PUT("s", "k", "a", "1"), DELETE("t", "k", "1"), GET_NOTHING("s", "k", "20"));
	FINE(PUT("s", "k", "a", "1"), PUT("s", "k", "b", "20"), GET("s", "k", "a", "21")); /* had not been answered yet */
	BROKEN("read your writes", DELETE("t", "k", "1"), GET_NOTHING("s", "k", "20"), PUT("s", "k", "a", "300"),
	    PUT("s", "k", "b", "5000"), GET("s", "k", "a", "70000"));
	BROKEN("read your writes", PUT("s", "k", "a", "1"), DELETE("s", "k", "20"), GET("s", "k", "a", "300"));
	FINE("{\"client\":1,\"session\":\"s\",\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"unknown\",\"start_"
	     "ns\":1}",
	    GET_NOTHING("s", "k", "20"), GET("s", "k", "a", "300"));
}

Test(check_session, monotonic_reads)
{
	FINE(PUT("w", "k", "a", "1"), PUT("w", "k", "b", "20"), GET("s", "k", "a", "21"), GET("s", "k", "b", "300"));
	BROKEN("monotonic reads", PUT("w", "k", "a", "1"), PUT("w", "k", "b", "20"), GET("s", "k", "b", "21"),
	    GET("s", "k", "a", "300"));
	BROKEN("monotonic reads", PUT("w", "k", "a", "1"), GET("s", "k", "a", "21"), GET_NOTHING("s", "k", "300"));
	FINE(PUT("w", "k", "a", "1"), PUT("v", "k", "b", "1"), GET("s", "k", "b", "21"), GET("s", "k", "a", "300"),
	    GET("t", "k", "a", "21"), GET("t", "k", "b", "300"));
	FINE(PUT("w", "k", "a", "1"), PUT("w", "k", "b", "20"), GET("s", "k", "b", "21"), GET("t", "k", "a", "300"));
}

Test(check_session, versions_tell_more)
{
	FINE(PUT_STAMPED("w", "k", "a", "1", "5"), PUT_STAMPED("v", "k", "b", "1", "6"), GET("s", "k", "a", "21"),
	    GET("s", "k", "b", "300"));
	BROKEN("monotonic reads", PUT_STAMPED("w", "k", "a", "1", "5"), PUT_STAMPED("v", "k", "b", "1", "6"),
	    GET("s", "k", "b", "21"), GET("s", "k", "a", "300"));
	BROKEN("read your writes", PUT_STAMPED("v", "k", "a", "1", "5"), PUT_STAMPED("s", "k", "b", "1", "6"),
	    GET("s", "k", "a", "21"));
}

Test(check_session, monotonic_writes)
{
	BROKEN("monotonic writes", PUT("w", "x", "a", "1"), PUT("w", "y", "b", "20"), GET("s", "y", "b", "300"),
	    GET_NOTHING("s", "x", "5000"));
	FINE(PUT("w", "x", "a", "1"), PUT("w", "y", "b", "20"), GET("s", "y", "b", "300"), GET("s", "x", "a", "5000"));
	FINE(PUT("w", "x", "a", "1"), PUT("w", "y", "b", "2"), GET("s", "y", "b", "300"),
	    GET_NOTHING("s", "x", "5000")); /* at once */
}

Test(check_session, writes_follow_reads)
{
	BROKEN("writes follow reads", PUT("u", "x", "a", "1"), GET("w", "x", "a", "20"), PUT("w", "y", "b", "300"),
	    GET("s", "y", "b", "5000"), GET_NOTHING("s", "x", "70000"));
	FINE(PUT("u", "x", "a", "1"), GET("w", "x", "a", "20"), PUT("w", "y", "b", "300"), GET("s", "y", "b", "5000"),
	    GET("s", "x", "a", "70000"));
}

/* F24: a stamp that equals one before it in causal order does not win: it must be above. */
Test(check_stamps, F24_stamps_rise_along_causal_order)
{
	static const struct {
		const char *first, *second;
		bool other_session, has_read;
		enum verdict verdict;
	} all[] = {{"100", "101", false, false, VERDICT_FINE}, {"100", "100", false, false, VERDICT_VIOLATION},
	    {"100", "99", false, false, VERDICT_VIOLATION}, {"100", "100", true, false, VERDICT_FINE},
	    {"100", "99", true, false, VERDICT_FINE}, {"100", "100", true, true, VERDICT_VIOLATION},
	    {"100", "101", true, true, VERDICT_FINE}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		struct judge_options options = JUDGE_OPTIONS_DEFAULT;
		struct history h;
		options.level = LEVEL_CAUSAL;
		history_init(&h, 0);
		history_line(&h,
		    "{\"client\":1,\"session\":\"a\",\"op\":\"put\",\"key\":\"x\",\"value\":\"1\",\"outcome\":\"ok\","
		    "\"start_ns\":1,\"end_ns\":2,\"hlc\":%s,\"region_id\":0,\"sequence\":1}",
		    all[i].first);
		if (all[i].has_read)
			history_line(&h,
			    "{\"client\":2,\"session\":\"b\",\"op\":\"get\",\"key\":\"x\",\"value\":\"1\",\"outcome\":"
			    "\"ok\",\"start_ns\":3,\"end_ns\":4}");
		history_line(&h,
		    "{\"client\":%d,\"session\":\"%s\",\"op\":\"put\",\"key\":\"y\",\"value\":\"2\",\"outcome\":\"ok\","
		    "\"start_ns\":5,\"end_ns\":6,\"hlc\":%s,\"region_id\":0,\"sequence\":2}",
		    all[i].other_session ? 2 : 1, all[i].other_session ? "b" : "a", all[i].second);
		cr_expect_eq(judged(&h, &options, "stamps"), all[i].verdict, "case %zu", i);
		history_deinit(&h);
	}
}

static uint32_t broken_count(struct replicas_plan plan, uint64_t first, uint64_t seeds, enum level level, const char *check)
{
	uint32_t broken = 0;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct judge_options options = JUDGE_OPTIONS_DEFAULT;
		struct history h;
		history_init(&h, 0);
		generate_replicas(seed, &plan, &h);
		options.level = level;
		broken += judged(&h, &options, check) == VERDICT_VIOLATION;
		history_deinit(&h);
	}
	return broken;
}

Test(check_session, replicas_with_and_without_tokens)
{
	struct replicas_plan plan = {
	    .operations = 300, .keys = 6, .sessions = 8, .regions = 3, .delete_percent = 10, .has_versions = true};
	cr_expect_eq(broken_count(plan, 0, 300, LEVEL_SESSION, "session"), 0);
	cr_expect_eq(broken_count(plan, 0, 100, LEVEL_CAUSAL, "causal"), 0);
	cr_expect_eq(broken_count(plan, 0, 100, LEVEL_CAUSAL, "stamps"), 0);
	plan.has_versions = false;
	cr_expect_eq(broken_count(plan, 300, 300, LEVEL_SESSION, "session"), 0);
	plan.token_off = true;
	uint32_t without_versions = broken_count(plan, 0, 50, LEVEL_SESSION, "session");
	plan.has_versions = true;
	uint32_t with_versions = broken_count(plan, 0, 50, LEVEL_SESSION, "session");
	cr_expect_gt(without_versions, 40, "M10 shows in %u of 50", without_versions);
	cr_expect_gt(with_versions, 45, "M10 shows in %u of 50", with_versions);
	uint32_t stamps = broken_count(plan, 0, 50, LEVEL_SESSION, "stamps");
	cr_expect_gt(stamps, 5, "stamps that do not rise along a session show in %u of 50", stamps);
}

Test(check_session, M11_replicas_without_the_gate)
{
	struct replicas_plan plan = {.operations = 3000, .keys = 4, .sessions = 8, .regions = 4, .gate_off = true};
	uint32_t plain = broken_count(plan, 0, 20, LEVEL_CAUSAL, "causal");
	plan.has_versions = true;
	uint32_t causal = broken_count(plan, 0, 20, LEVEL_CAUSAL, "causal"),
	         session = broken_count(plan, 0, 20, LEVEL_SESSION, "session");
	cr_expect(plain > 0 && causal > 10 && session > 7, "M11 shows in %u, %u and %u of 20", plain, causal, session);
}
