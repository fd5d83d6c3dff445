/* SPDX-License-Identifier: Apache-2.0
 *
 * What is read, and what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check/keyed.h"
#include "tests/unit/check/generate.h"

static int line_add(struct history *history, const char *line, struct error_context *error)
{
	return history_add_line(history, "file", 7, line, strlen(line), error);
}

Test(check_history, reads_what_drivers_write)
{
	struct history h;
	struct error_context error;
	char text[DESCRIPTION_MAX];
	history_init(&h, 0);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"ok\",\"start_ns\":1,\"end_"
	                 "ns\":2,\"colour\":{\"x\":[1]}}");
	history_line(&h,
	    "{\"client\":\"c\",\"session\":\"s\",\"op\":\"cas\",\"key\":\"k\",\"value\":5,\"expect\":\"a\",\"applied\":true,"
	    "\"outcome\":\"ok\","
	    "\"start_ns\":3,\"end_ns\":4,\"hlc\":281474976710656,\"region_id\":2,\"sequence\":9,\"region\":\"us\"}");
	history_line(&h, "{\"client\":1,\"op\":\"get\",\"key_base64\":\"aw==\",\"value_base64\":\"NQ==\",\"outcome\":\"ok\","
	                 "\"start_ns\":5,\"end_ns\":6}");
	history_line(&h, "{\"client\":1,\"op\":\"delete\",\"key\":\"k\",\"outcome\":\"unknown\",\"start_ns\":5}");
	history_line(
	    &h, "{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"value\":null,\"outcome\":\"ok\",\"start_ns\":7,\"end_ns\":8}");
	history_line(&h, "{\"client\":1,\"txn\":\"t1\",\"ops\":[{\"op\":\"get\",\"key\":\"l\",\"value\":[1,\"2\"]},{\"op\":"
	                 "\"append\",\"key\":\"l\",\"value\":3}],"
	                 "\"outcome\":\"ok\",\"start_ns\":7,\"end_ns\":8}");
	cr_assert_eq(line_add(&h, "  \t", &error), 0);
	cr_assert_eq(h.count, 6);
	cr_assert_eq(h.operations[2].key, h.operations[0].key, "base64 of the same key");
	cr_assert_eq(h.operations[2].value, h.operations[1].value, "5 is \"5\"");
	cr_assert_eq(h.operations[0].session, h.operations[2].session, "a client is its own session");
	cr_assert_neq(h.operations[0].session, h.operations[1].session);
	cr_assert_eq(h.operations[3].end_ns, TIME_NEVER);
	cr_assert_eq(h.operations[4].value, VALUE_ABSENT);
	cr_assert(h.operations[1].has_version && h.operations[1].region_id == 2 && h.operations[1].sequence == 9);
	cr_assert_eq(h.operations[5].kind, OPERATION_TRANSACTION);
	cr_assert_eq(h.accesses[0].list_count, 2);
	cr_assert_str_eq(operation_describe(&h, &h.operations[1], text), "test:2 client c: cas k a -> 5 applied ok [3, 4]");
	cr_assert_str_eq(operation_describe(&h, &h.operations[5], text),
	    "test:6 client 1: txn get l = 2 elements, last 2; append l = 3 ok [7, 8]");
	history_deinit(&h);
}

#define GOOD_END "\"start_ns\":1,\"end_ns\":2}"

Test(check_history, refuses_what_cannot_be)
{
	static const struct {
		const char *line, *reason;
	} bad[] = {
	    {"{\"client\":1", "file:7: "},
	    {"[1]", "not a JSON object"},
	    {"{} {}", "file:7: "},
	    {"{\"client\":1,\"client\":2,\"op\":\"get\",\"key\":\"k\",\"outcome\":\"ok\"," GOOD_END, "uplicate"},
	    {"{\"op\":\"get\",\"key\":\"k\",\"outcome\":\"ok\"," GOOD_END, "no \"client\""},
	    {"{\"client\":1,\"key\":\"k\",\"outcome\":\"ok\"," GOOD_END, "no \"op\""},
	    {"{\"client\":1,\"op\":\"got\",\"key\":\"k\",\"outcome\":\"ok\"," GOOD_END, "none of its words"},
	    {"{\"client\":1,\"op\":\"get\",\"key\":\"k\"," GOOD_END, "no \"outcome\""},
	    {"{\"client\":1,\"op\":\"get\",\"outcome\":\"ok\"," GOOD_END, "no \"key\""},
	    {"{\"client\":1,\"op\":\"get\",\"key\":true,\"outcome\":\"ok\"," GOOD_END, "neither text nor"},
	    {"{\"client\":1,\"op\":\"get\",\"key\":1.5,\"outcome\":\"ok\"," GOOD_END, "neither text nor"},
	    {"{\"client\":1,\"op\":\"get\",\"key_base64\":\"a\",\"outcome\":\"ok\"," GOOD_END, "not base64"},
	    {"{\"client\":1,\"op\":\"get\",\"key\":\"a\",\"key_base64\":\"aw==\",\"outcome\":\"ok\"," GOOD_END, "both"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"outcome\":\"ok\"," GOOD_END, "without a \"value\""},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"ok\",\"start_ns\":3,\"end_ns\":2}",
	        "ends before"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"ok\",\"start_ns\":3}", "no \"end_ns\""},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"unknown\",\"end_ns\":3}",
	        "no \"start_ns\""},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"ok\",\"start_ns\":\"1\",\"end_ns\":2}",
	        "whole number"},
	    {"{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"a\",\"expect\":\"b\",\"outcome\":\"ok\"," GOOD_END,
	        "without \"applied\""},
	    {"{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"a\",\"expect\":\"a\",\"applied\":true,\"outcome\":"
	     "\"ok\"," GOOD_END,
	        "changes nothing"},
	    {"{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"a\",\"expect\":\"b\",\"applied\":true,\"outcome\":"
	     "\"fail\"," GOOD_END,
	        "fail, and applied"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"applied\":false,\"outcome\":\"ok\"," GOOD_END,
	        "only a cas"},
	    {"{\"client\":1,\"op\":\"txn\",\"outcome\":\"ok\"," GOOD_END, "without a list"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"ops\":[],\"outcome\":\"ok\"," GOOD_END,
	        "what is not a txn"},
	    {"{\"client\":1,\"op\":\"txn\",\"ops\":[{\"op\":\"cas\",\"key\":\"k\"}],\"outcome\":\"ok\"," GOOD_END,
	        "a step that is not"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":[1],\"outcome\":\"ok\"," GOOD_END, "not a get"},
	    {"{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"value\":[null],\"outcome\":\"ok\"," GOOD_END, "null in a list"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"region_id\":256,\"hlc\":1,\"outcome\":"
	     "\"ok\"," GOOD_END,
	        "above 255"},
	    {"{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"\xff\",\"outcome\":\"ok\"," GOOD_END, "file:7: "},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct history h;
		struct error_context error = {{0}};
		history_init(&h, 0);
		cr_expect_eq(line_add(&h, bad[i].line, &error), ERR_MALFORMED, "%s", bad[i].line);
		cr_expect(
		    strstr(error.text, bad[i].reason) && strstr(error.text, "file:7: "), "%s: %s", bad[i].line, error.text);
		cr_expect_eq(h.count, 0);
		history_deinit(&h);
	}
}

static int keyed_try(const struct history *h, struct error_context *error)
{
	struct keyed keyed;
	int code = keyed_init(&keyed, h, "account/", error);
	keyed_deinit(&keyed);
	return code;
}

Test(check_history, a_value_is_written_once)
{
	struct history h;
	struct error_context error;
	history_init(&h, 0);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"fail\"," GOOD_END);
	history_line(&h, "{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"expect\":\"x\",\"value\":\"a\",\"applied\":false,"
	                 "\"outcome\":\"ok\"," GOOD_END);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"unknown\"," GOOD_END);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"other\",\"value\":\"a\",\"outcome\":\"ok\"," GOOD_END);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"account/1\",\"value\":\"a\",\"outcome\":\"ok\"," GOOD_END);
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"account/1\",\"value\":\"a\",\"outcome\":\"ok\"," GOOD_END);
	cr_assert_eq(keyed_try(&h, &error), 0, "failed ones may be written again, and accounts hold what they hold");
	history_line(&h, "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"a\",\"outcome\":\"ok\"," GOOD_END);
	cr_assert_eq(keyed_try(&h, &error), ERR_MALFORMED);
	cr_assert(strstr(error.text, "test:7: value a is written to k a second time (first in line 3)"), "%s", error.text);
	history_deinit(&h);
}
