/* SPDX-License-Identifier: Apache-2.0
 *
 * Transactions: each anomaly of Adya and Elle under its name, and the bank. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/check/generate.h"

/* "ax1" appends 1 to x, "rx12" reads the list 1, 2 there; "wx1" puts, "gx1" gets, "gx" gets nothing, "dx" deletes. */
static void steps_print(const char *steps, char *out, size_t size)
{
	size_t used = 0;
	char copy[128];
	snprintf(copy, sizeof copy, "%s", steps);
	out[0] = 0;
	for (char *step = strtok(copy, " "); step; step = strtok(NULL, " ")) {
		const char *values = step + 2;
		used += (size_t)snprintf(out + used, size - used, "%s{\"op\":\"%s\",\"key\":\"%c\",\"value\":", used ? "," : "",
		    step[0] == 'a'   ? "append"
		    : step[0] == 'w' ? "put"
		    : step[0] == 'd' ? "delete"
		                     : "get",
		    step[1]);
		if (step[0] == 'r') {
			used += (size_t)snprintf(out + used, size - used, "[");
			for (; *values; values++)
				used += (size_t)snprintf(out + used, size - used, "%c%s", *values, values[1] ? "," : "");
			used += (size_t)snprintf(out + used, size - used, "]}");
		} else
			used += (size_t)snprintf(out + used, size - used, *values ? "%s}" : "null}", values);
	}
}

static void transaction(struct history *h, const char *outcome, int start, int end, const char *steps)
{
	char text[2048];
	steps_print(steps, text, sizeof text);
	history_line(h, "{\"client\":%u,\"op\":\"txn\",\"ops\":[%s],\"outcome\":\"%s\",\"start_ns\":%d,\"end_ns\":%d}",
	    h->count, text, outcome, start, end);
}

/* The first finding of the check begins with text; NULL: fine. */
static void finding_expect(struct history *h, enum level level, const char *name, const char *text)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	struct report report = {.count = 0};
	struct error_context error;
	options.level = level;
	options.bank_prefix = "account/";
	cr_assert_eq(judge(h, &options, &report, &error), 0, "%s", error.text);
	for (uint32_t i = 0; i < report.count; i++) {
		const struct check *check = &report.checks[i];
		if (strcmp(check->name, name) != 0)
			continue;
		const char *found = check->texts[0];
		cr_expect_eq(check->verdict, text ? VERDICT_VIOLATION : VERDICT_FINE, "%s wanted, found: %s",
		    text ? text : "fine", found ? found : "fine");
		cr_expect(!text || (found && strncmp(found, text, strlen(text)) == 0), "%s wanted, found: %s", text,
		    found ? found : "fine");
	}
	report_deinit(&report);
}

/* All at the same time, so that only what they saw counts. */
#define TOGETHER(name, ...)                                                                                                    \
	do {                                                                                                                   \
		static const char *const all[] = {__VA_ARGS__};                                                                \
		struct history h;                                                                                              \
		history_init(&h, 0);                                                                                           \
		for (size_t i = 0; i < sizeof all / sizeof *all; i++)                                                          \
			transaction(&h, "ok", 1, 100, all[i]);                                                                 \
		finding_expect(&h, LEVEL_STRONG, "transactions", name);                                                        \
		history_deinit(&h);                                                                                            \
	} while (0)

Test(check_transactions, lists)
{
	TOGETHER(NULL, "ax1 ay1", "rx1 ry1", "rx ry", "ax2 rx12");
	TOGETHER("G0", "ax1 ay1", "ax2 ay2", "rx12 ry21");
	TOGETHER("G1c", "ax1 ry2", "ay2 rx1");
	TOGETHER("G1b", "ax1 ax2", "rx1", "rx12");
	TOGETHER("G-single", "ax1 ay1", "rx1 ry", "ry1");            /* read skew */
	TOGETHER("G-single", "rx ax1", "rx ax2", "rx12");            /* lost update */
	TOGETHER("G2", "rx ay1", "ry ax1", "rx1 ry1");               /* write skew */
	TOGETHER("G2", "rx ay1", "ry ax1");                          /* though nobody saw what they wrote */
	TOGETHER("incompatible order", "ax1", "ax2", "rx12", "rx2"); /* two orders */
	TOGETHER("list x holds 1 twice", "ax1", "rx11");
	TOGETHER("torn: list x holds a part", "ax1 ax2", "rx2");
	TOGETHER("torn: list x holds a part", "ax1 ax2", "ax3", "rx132");
	TOGETHER("internal", "ax1 rx");
	TOGETHER("internal", "rx ax1 rx2", "ax2");
	TOGETHER(NULL, "rx ax1 rx1 ax2 rx12");
	TOGETHER("G-single", "ax1 az1", "rx1 ay1", "ry1 rz az2", "rz12"); /* a long one with one overtaken read */
}

Test(check_transactions, registers)
{
	TOGETHER(NULL, "wx1 wy1", "gx1 gy1", "gx gy", "gx1 wx2");
	TOGETHER("G1c", "wx1 gy2", "wy2 gx1");
	TOGETHER("G1b", "wx1 wx2", "gx1");
	TOGETHER("internal", "wx1 gx2", "wx2");
	TOGETHER("internal", "gx wx1 dx gx1");
	TOGETHER(NULL, "gx wx1 dx gx wx2 gx2");
	TOGETHER("G2", "wx1", "gx1 wx2", "gx1 wx3"); /* lost update: which of the two came first is not known */
	TOGETHER("G2", "gx wy1", "gy wx1");
	TOGETHER("G-single", "wx1 wy1", "gx1 gy");
}

Test(check_transactions, T34_B17_outcomes)
{
	struct history h;
	history_init(&h, 0);
	transaction(&h, "fail", 1, 2, "ax1");
	transaction(&h, "ok", 3, 4, "rx1");
	finding_expect(&h, LEVEL_STRONG, "values", "x = 1 was seen although its write failed"); /* G1a */
	history_deinit(&h);
	history_init(&h, 0); /* one of the unknown was seen, and then half of it was not */
	transaction(&h, "unknown", 1, 2, "ax1 ay1");
	transaction(&h, "unknown", 1, 2, "ax7 ay7");
	transaction(&h, "ok", 3, 4, "rx ry");
	transaction(&h, "ok", 5, 6, "rx1 ry1");
	finding_expect(&h, LEVEL_STRONG, "transactions", NULL);
	transaction(&h, "ok", 5, 6, "rx1 ry");
	finding_expect(&h, LEVEL_STRONG, "transactions", "G-single");
	history_deinit(&h);
}

/* What an unknown transaction had read is not recorded, or is no promise. */
Test(check_transactions, unknown_reads_count_for_nothing)
{
	struct history h;
	history_init(&h, 0);
	transaction(&h, "ok", 1, 2, "wx1");
	transaction(&h, "unknown", 3, 4, "gx wx5");
	transaction(&h, "ok", 5, 6, "gx5");
	finding_expect(&h, LEVEL_STRONG, "linearizability", NULL);
	finding_expect(&h, LEVEL_STRONG, "transactions", NULL);
	history_deinit(&h);
}

Test(check_transactions, real_time)
{
	struct history h;
	history_init(&h, 0);
	transaction(&h, "ok", 1, 2, "ax1");
	transaction(&h, "ok", 3, 4, "rx");
	transaction(&h, "ok", 5, 6, "rx1");
	finding_expect(&h, LEVEL_STRONG, "transactions", "G-single-realtime");
	finding_expect(&h, LEVEL_EVENTUAL, "transactions", NULL); /* serializable */
	history_deinit(&h);
	history_init(&h, 0);
	transaction(&h, "ok", 1, 2, "ax1");
	transaction(&h, "ok", 3, 4, "ax2");
	transaction(&h, "ok", 3, 9, "rx21");
	finding_expect(&h, LEVEL_STRONG, "transactions", "G0-realtime");
	history_deinit(&h);
	history_init(&h, 0); /* an acknowledged append that nobody ever sees */
	transaction(&h, "ok", 1, 2, "ax1");
	transaction(&h, "ok", 3, 4, "ax2");
	transaction(&h, "ok", 5, 6, "rx1");
	finding_expect(&h, LEVEL_STRONG, "transactions", "G-single-realtime");
	history_deinit(&h);
	history_init(&h, 0); /* registers written blindly: read skew shows by time alone */
	transaction(&h, "ok", 1, 2, "wx1 wy1");
	transaction(&h, "ok", 3, 4, "wx2 wy2");
	transaction(&h, "ok", 3, 9, "gx1 gy2");
	finding_expect(&h, LEVEL_STRONG, "transactions", "G-single-realtime");
	history_deinit(&h);
	history_init(&h, 0); /* deleted in between */
	transaction(&h, "ok", 1, 2, "wx1");
	transaction(&h, "ok", 3, 4, "dx");
	transaction(&h, "ok", 5, 6, "gx");
	finding_expect(&h, LEVEL_STRONG, "transactions", NULL);
	history_deinit(&h);
	history_init(&h, 0); /* single operations count as well */
	transaction(&h, "ok", 1, 2, "wx1");
	history_line(
	    &h, "{\"client\":1,\"op\":\"put\",\"key\":\"x\",\"value\":2,\"outcome\":\"ok\",\"start_ns\":3,\"end_ns\":4}");
	transaction(&h, "ok", 5, 6, "gx1");
	finding_expect(&h, LEVEL_STRONG, "transactions", "G-single-realtime");
	finding_expect(&h, LEVEL_STRONG, "linearizability", "key x (3 operations) is not linearizable");
	history_deinit(&h);
}

static void accounts_read(struct history *h, int at, const char *a, const char *b)
{
	history_line(h,
	    "{\"client\":1,\"op\":\"txn\",\"ops\":[{\"op\":\"get\",\"key\":\"account/"
	    "a\",\"value\":%s},{\"op\":\"get\",\"key\":\"account/b\",\"value\":%s}],"
	    "\"outcome\":\"ok\",\"start_ns\":%d,\"end_ns\":%d}",
	    a, b, at, at + 1);
}

Test(check_transactions, bank)
{
	struct history h;
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	options.bank_prefix = "account/";
	history_init(&h, 0);
	transaction(&h, "ok", 1, 2, "wx1");
	cr_expect_eq(judged(&h, &options, "bank"), VERDICT_PROVES_NOTHING);
	accounts_read(&h, 1, "60", "40");
	accounts_read(&h, 3, "\"55/t1\"", "45");
	finding_expect(&h, LEVEL_STRONG, "bank", NULL);
	options.has_bank_total = true;
	options.bank_total = 90;
	cr_expect_eq(judged(&h, &options, "bank"), VERDICT_VIOLATION);
	accounts_read(&h, 5, "55", "40");
	finding_expect(&h, LEVEL_STRONG, "bank", "all accounts together hold 95, not 100");
	history_deinit(&h);
	history_init(&h, 0);
	accounts_read(&h, 1, "60", "\"many\"");
	finding_expect(&h, LEVEL_STRONG, "bank", "an account that holds no number");
	history_deinit(&h);
}
