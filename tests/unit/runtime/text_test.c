/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/logline.h"
#include "tests/unit/runtime/fixture.h"

static void json(const char *bytes, size_t size, const char *expected)
{
	struct text t = {0};
	text_add_json_string(&t, bytes, size);
	cr_expect_str_eq(t.bytes, expected);
	text_deinit(&t);
}
#define JSON(literal, expected) json(literal, sizeof literal - 1, expected)

Test(text, json_escapes)
{
	JSON("", "\"\"");
	JSON("plain", "\"plain\"");
	JSON("a\"b\\c\n\t\r\x01\x7f", "\"a\\\"b\\\\c\\n\\t\\u000d\\u0001\\u007f\"");
	JSON("z\0z", "\"z\\u0000z\"");
	JSON("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa6\"");
}

Test(text, bytes_that_are_not_utf8)
{
	JSON("\xff", "\"\\u00ff\"");
	JSON("\xc0\x80", "\"\\u00c0\\u0080\"");            /* overlong */
	JSON("\xe0\x80\xaf", "\"\\u00e0\\u0080\\u00af\""); /* overlong */
	JSON("\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""); /* surrogate */
	JSON("\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"");
	JSON("a\xe2\x82", "\"a\\u00e2\\u0082\""); /* cut off */
	JSON("\xc3(", "\"\\u00c3(\"");
}

Test(text, grows)
{
	struct text t = {0};
	for (int i = 0; i < 10000; i++)
		text_add(&t, "%d,", i);
	cr_assert_eq(t.size, 48890);
	cr_assert_eq(strlen(t.bytes), t.size);
	text_clear(&t);
	text_add(&t, "%s", "again");
	cr_assert_str_eq(t.bytes, "again");
	text_deinit(&t);
}

/* What a block of log lines writes. */
static int stderr_capture(void)
{
	FILE *file = tmpfile();
	cr_assert(file != NULL);
	dup2(fileno(file), STDERR_FILENO);
	return fileno(file);
}
static uint32_t captured(int fd, char *out, size_t size)
{
	ssize_t got = pread(fd, out, size - 1, 0);
	cr_assert_geq(got, 0);
	out[got] = 0;
	uint32_t lines = 0;
	for (char *c = out; *c; c++)
		lines += *c == '\n';
	return lines;
}

Test(logline, one_line_whatever_comes_in)
{
	static char out[8192];
	int fd = stderr_capture();
	char large[3000];
	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = 0;
	logline_init("eu-west-1", "streamer", NULL);
	logline(LOG_LEVEL_WARN, "peer_refused", "peer=%u reason=\"%s\"", 2u, "a\nforged line\x1b[2J\xff\xc3\xa9");
	logline(LOG_LEVEL_DEBUG, "unseen", "x=%d", 1);
	logline(LOG_LEVEL_INFO, "large", "text=%s", large);
	cr_assert_eq(captured(fd, out, sizeof out), 2, "%s", out);
	cr_assert(
	    strstr(out, "Z warn eu-west-1/streamer peer_refused peer=2 reason=\"a\\x0aforged line\\x1b[2J\\xff\xc3\xa9\"\n"),
	    "%s", out);
	cr_assert_leq(strlen(strchr(out, '\n') + 1), 1024);
}

Test(logline, repeats_are_told_once_and_counted)
{
	static char out[8192];
	struct pump pump;
	pump_start(&pump);
	int fd = stderr_capture();
	logline_init("r", "a", pump.counters);
	for (uint32_t i = 0; i < 50; i++)
		logline_distinct(LOG_LEVEL_WARN, "refused", i % 2, "peer=%u", i % 2);
	cr_assert_eq(captured(fd, out, sizeof out), 2, "%s", out);
	cr_assert_eq(counter_get(pump.counters, COUNTER_errors), 50);
	/* More than are kept: the oldest are forgotten, nothing overflows. */
	for (uint32_t i = 0; i < 1000; i++)
		logline_distinct(LOG_LEVEL_DEBUG, "other", i, "peer=%u", i);
	cr_assert_eq(counter_get(pump.counters, COUNTER_errors), 1050);
	pump_stop(&pump);
}

Test(logline, levels)
{
	cr_assert_eq(logline_parse_level("warn"), LOG_LEVEL_WARN);
	cr_assert_eq(logline_parse_level("loud"), -1);
	logline_set_level(LOG_LEVEL_ERROR);
	cr_assert_str_eq(logline_level_name(), "error");
}
