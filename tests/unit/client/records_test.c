/* SPDX-License-Identifier: Apache-2.0
 *
 * The readers of `godwit load`: what they take, and what they refuse with which line. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd/godwit/json.h"
#include "cmd/godwit/records.h"

static int file_of(const void *bytes, size_t size)
{
	int fd = memfd_create("records", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Reads all of it into one line: "key|value;key|value", or "LINE-OF-THE-MISTAKE: ..." behind what came before. */
static char *all_of(const char *text, size_t size, enum record_format format, const char *key_field)
{
	static char out[4096];
	struct error_context error = {{0}};
	struct input_record record;
	struct records *records;
	int fd = file_of(text, size), code = records_open(&records, fd, "f", format, key_field, &error);
	size_t used = 0;
	out[0] = 0;
	while (!code && (code = records_next(records, &record, &error)) == 0)
		used += (size_t)snprintf(out + used, sizeof out - used, "%.*s|%.*s;", (int)record.key_size,
		    (const char *)record.key, (int)record.value_size, (const char *)record.value);
	if (code != ERR_EMPTY)
		snprintf(out + used, sizeof out - used, "%s", error.text);
	records_close(records);
	close(fd);
	return out;
}
#define ALL(text, format, key) all_of(text, sizeof(text) - 1, format, key)

Test(records, tsv)
{
	cr_assert_str_eq(ALL("a\t1\nb\t2", FORMAT_TSV, NULL), "a|1;b|2;");
	cr_assert_str_eq(ALL("a\t\r\n", FORMAT_TSV, NULL), "a|;");
	cr_assert_str_eq(ALL("a\\tb\tx\\ny\\\\z\n", FORMAT_TSV, NULL), "a\tb|x\ny\\z;");
	cr_assert_str_eq(ALL("", FORMAT_TSV, NULL), "");
	cr_assert_str_eq(ALL("a\t1\n\nb\t2\n", FORMAT_TSV, NULL), "a|1;f:2: no tab between key and value");
	cr_assert(strstr(ALL("a\t1\t2\n", FORMAT_TSV, NULL), "f:1: more than one tab"));
	cr_assert(strstr(ALL("a\t1\nb\tx\\q\n", FORMAT_TSV, NULL), "f:2: a backslash"));
	cr_assert(strstr(ALL("a\tx\\", FORMAT_TSV, NULL), "f:1: a backslash"));
	cr_assert(strstr(ALL("a\t1\n", FORMAT_TSV, "Package"), "first column"));
}

#define MARK "\xef\xbb\xbf" /* of UTF-8 */

Test(records, E13c_a_mark_in_front_of_a_file_is_no_part_of_the_first_key)
{
	cr_assert_str_eq(ALL(MARK "a\t1\r\nb\t2\r\n", FORMAT_TSV, NULL), "a|1;b|2;");
	cr_assert_str_eq(ALL(MARK "a\t1\n" MARK "b\t2\n", FORMAT_GUESS, NULL), "a|1;" MARK "b|2;", "in front only");
	cr_assert_str_eq(ALL(MARK MARK "a\t1\n", FORMAT_TSV, NULL), MARK "a|1;", "one only");
	cr_assert_str_eq(ALL(MARK "{\"key\":\"a\",\"value\":\"1\"}\r\n", FORMAT_GUESS, NULL), "a|1;");
	cr_assert_str_eq(ALL(MARK "Package: a\nVersion: 1\nArchitecture: all\n", FORMAT_GUESS, NULL),
	    "a=1:all|Package: a\nVersion: 1\nArchitecture: all\n;");
	cr_assert_str_eq(ALL(MARK, FORMAT_TSV, NULL), "");
	cr_assert_str_eq(ALL("\xef\xbb", FORMAT_TSV, NULL), "f:1: no tab between key and value");
	cr_assert(strstr(ALL("\xff\xfe"
	                     "a\0\t\0"
	                     "1\0\n\0",
	                     FORMAT_TSV, NULL),
	    "f:1: the file is UTF-16"));
	cr_assert(strstr(ALL("\xfe\xff\0a\0\t\0"
	                     "1\0\n",
	                     FORMAT_TSV, NULL),
	    "f:1: the file is UTF-16"));
}

Test(records, jsonl)
{
	cr_assert_str_eq(
	    ALL("{\"key\":\"a\",\"value\":\"1\"}\n\n{ \"value\" : {\"x\": [1, 2]} , \"key\" : 7 }\n", FORMAT_JSONL, NULL),
	    "a|1;7|{\"x\": [1, 2]};");
	cr_assert_str_eq(
	    ALL("{\"key\":\"\\u00e9\\ud83d\\ude00\\n\",\"value\":\"\\\"\",\"version\":\"0:1\"}", FORMAT_JSONL, NULL),
	    "\xc3\xa9\xf0\x9f\x98\x80\n|\";");
	cr_assert_str_eq(ALL("{\"key_base64\":\"YWI=\",\"value_base64\":\"YQ==\"}", FORMAT_JSONL, NULL), "ab|a;");
	cr_assert_str_eq(ALL("{\"id\":\"x\",\"a\":1}\n", FORMAT_JSONL, "id"), "x|{\"id\":\"x\",\"a\":1};");
	cr_assert_str_eq(ALL("{\"key\":\"a\",\"value\":null}\n", FORMAT_JSONL, NULL), "a|null;");
}

Test(records, jsonl_mistakes_are_told_with_their_line)
{
	static const char *const bad[] = {"[1]", "{\"key\":\"a\"}", "{\"value\":\"a\"}", "{\"key\":\"a\",\"value\":\"b\"} x",
	    "{\"key\":\"a\",\"value\":\"b\"", "{\"key\":\"a\",\"value\":01}", "{\"key\":\"a\",\"value\":tru}",
	    "{\"key\":null,\"value\":1}", "{\"key\":{},\"value\":1}", "{\"key\":\"a\",\"key\":\"b\",\"value\":1}",
	    "{\"key\":\"\\ud800\",\"value\":1}", "{\"key\":\"\\ud83d\\u0041\",\"value\":1}",
	    "{\"key\":\"\\ud83dxude00\",\"value\":1}", "{\"key\":\"\\ude00\",\"value\":1}",
	    "{\"key\":\"\\ud83d\\u\",\"value\":1}", "{\"key\":\"\\x\",\"value\":1}", "{\"key\":\"a\tb\",\"value\":1}",
	    "{\"key\":\"\xff\",\"value\":1}", "{\"key\":\"a\",\"value_base64\":\"Y\"}", "{\"key\":\"a\",\"value\":1,}",
	    "{\"key\" \"a\"}", "{key:1}", "{", "nonsense", "{\"key\":\"a\",\"value\":1.}", "{\"key\":\"a\",\"value\":-}",
	    "{\"key\":\"a\",\"value\":[1,]}"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[256];
		int size = snprintf(
		    text, sizeof text, "{\"key\":\"ok\",\"value\":\"1\"}\n%s\n{\"key\":\"behind\",\"value\":\"1\"}\n", bad[i]);
		const char *got = all_of(text, (size_t)size, FORMAT_JSONL, NULL);
		cr_assert(strncmp(got, "ok|1;f:2: ", 10) == 0, "%s: %s", bad[i], got);
	}
}

Test(records, json_nesting_is_bounded)
{
	static char deep[4096];
	strcpy(deep, "{\"key\":\"a\",\"value\":");
	for (int i = 0; i < 1000; i++)
		strcat(deep, "[");
	cr_assert(strstr(all_of(deep, strlen(deep), FORMAT_JSONL, NULL), "f:1: nested too deep"));
}

Test(records, base64)
{
	struct text out = {0};
	cr_assert(base64_decode("AP8=", 4, &out) && out.size == 2 && memcmp(out.bytes, "\0\xff", 2) == 0);
	cr_assert(base64_decode("", 0, &out) && out.size == 0);
	cr_assert(base64_decode("Zm9vYmFy", 8, &out) && strcmp(out.bytes, "foobar") == 0);
	static const char *const bad[] = {"A", "AA", "A===", "====", "AA=A", "AA==AAAA", "A A=", "AAA\n"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_not(base64_decode(bad[i], strlen(bad[i]), &out), "%s", bad[i]);
	text_deinit(&out);
}

Test(records, deb822)
{
	cr_assert_str_eq(ALL("Package: hello\nVersion: 2.10-3\nArchitecture: amd64\nDescription: x\n more\n .\n end\n\n\n \t\n"
	                     "package:  zlib\nVERSION: 1:1.2\nArchitecture:\tall\n",
	                     FORMAT_DEB822, NULL),
	    "hello=2.10-3:amd64|Package: hello\nVersion: 2.10-3\nArchitecture: amd64\nDescription: x\n more\n .\n end\n;"
	    "zlib=1:1.2:all|package:  zlib\nVERSION: 1:1.2\nArchitecture:\tall\n;");
	cr_assert_str_eq(ALL("Name: a\nX: 1\n\nName: b\n", FORMAT_DEB822, "Name"), "a|Name: a\nX: 1\n;b|Name: b\n;");
	cr_assert_str_eq(ALL("# comment\nName: a\n", FORMAT_DEB822, "Name"), "a|Name: a\n;");
	cr_assert_str_eq(ALL("", FORMAT_DEB822, NULL), "");
	cr_assert_str_eq(ALL("\n\n", FORMAT_DEB822, NULL), "");
}

Test(records, deb822_mistakes_are_told_with_their_line)
{
	cr_assert_str_eq(
	    ALL("Name: a\n\n\nOther: b\n", FORMAT_DEB822, "Name"), "a|Name: a\n;f:4: a paragraph without the field Name");
	cr_assert_str_eq(
	    ALL("Package: a\nVersion: 1\n", FORMAT_DEB822, NULL), "f:1: a paragraph without the field Architecture");
	cr_assert(strstr(ALL(" continued\n", FORMAT_DEB822, "Name"), "f:1: a continuation of nothing"));
	cr_assert(strstr(ALL("Name: a\nnonsense\n", FORMAT_DEB822, "Name"), "f:2: not \"Field: value\""));
	cr_assert(strstr(ALL("Name: a\nName: b\n", FORMAT_DEB822, "Name"), "f:2: a field of the key, twice"));
	cr_assert(strstr(ALL("Name: a\nA b: c\n", FORMAT_DEB822, "Name"), "f:2: a blank in the name"));
	cr_assert(strstr(ALL("Name:\n", FORMAT_DEB822, "Name"), "f:1: a paragraph without the field Name"));
}

Test(records, format_is_guessed)
{
	cr_assert_str_eq(ALL("{\"key\":\"a\",\"value\":\"1\"}", FORMAT_GUESS, NULL), "a|1;");
	cr_assert_str_eq(ALL("a\t1\n", FORMAT_GUESS, NULL), "a|1;");
	cr_assert_str_eq(ALL("Name: a\n", FORMAT_GUESS, "Name"), "a|Name: a\n;");
	cr_assert(strstr(ALL("what is this\n", FORMAT_GUESS, NULL), "--format"));
}

Test(records, lines_longer_than_the_buffer)
{
	size_t size = 3 * 1024 * 1024;
	char *text = malloc(size);
	struct error_context error = {{0}};
	struct input_record record;
	struct records *records;
	memset(text, 'x', size);
	memcpy(text, "a\t", 2);
	text[size / 2] = '\n';
	memcpy(text + size / 2 + 1, "b\t", 2);
	int fd = file_of(text, size);
	cr_assert_eq(records_open(&records, fd, "f", FORMAT_TSV, NULL, &error), 0);
	cr_assert_eq(records_next(records, &record, &error), 0);
	cr_assert_eq(record.value_size, size / 2 - 2);
	cr_assert_eq(records_next(records, &record, &error), 0);
	cr_assert(record.line == 2 && record.index == 1 && record.key[0] == 'b');
	cr_assert_eq(record.value_size, size - size / 2 - 3);
	cr_assert_eq(records_bytes_read(records), size);
	cr_assert_eq(records_next(records, &record, &error), ERR_EMPTY);
	records_close(records);
	close(fd);
	free(text);
}

Test(records, line_without_an_end_is_refused)
{
	size_t size = RECORDS_LINE_SIZE_MAX * 3ul;
	char *text = malloc(size);
	struct error_context error = {{0}};
	struct input_record record;
	struct records *records;
	memset(text, 'x', size);
	int fd = file_of(text, size);
	cr_assert_eq(records_open(&records, fd, "f", FORMAT_TSV, NULL, &error), 0);
	cr_assert_eq(records_next(records, &record, &error), ERR_MALFORMED);
	cr_assert(strstr(error.text, "f:1: a line longer"), "%s", error.text);
	records_close(records);
	close(fd);
	free(text);
}
