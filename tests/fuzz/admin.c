/* SPDX-License-Identifier: Apache-2.0
 *
 * Admin requests and their answers: each request is answered once, with an object of JSON. The file under test is taken in
 * whole, with the ends of its socket and loop in our hands. Input: u8 which side | message. */
#define socket_send answer_caught
#define loop_stop   stop_caught
#include "runtime/admin.c"

#include "cmd/godwit/json.h"
#include "tests/fuzz/fuzz.h"

static uint32_t answers;

static void check_json(const char *json)
{
	static struct json_member member;
	struct json_reader reader;
	json_reader_init(&reader, json, strlen(json));
	while (json_next(&reader, &member))
		;
	CHECK(reader.mistake == NULL);
}

int answer_caught(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	struct error_context error = {0};
	char *json = NULL;
	(void)socket, (void)identity, (void)identity_size;
	answers++;
	int code = admin_read_reply(bytes, size, &json, &error);
	CHECK((code == 0) == (json != NULL) && strcmp(error_name(code), "INVALID_CODE") != 0);
	if (json)
		check_json(json);
	free(json);
	return 0;
}

void stop_caught(struct loop *loop, int code)
{
	(void)loop, (void)code;
}

static int command(void *self, const char *name, const char *argument, struct text *out, struct error_context *error)
{
	(void)self, (void)error;
	if (strcmp(name, "echo") != 0)
		return ERR_UNSUPPORTED;
	text_add(out, "{\"echo\": ");
	text_add_json_string(out, argument, strlen(argument));
	text_add(out, "}");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct counter_block counters;
	struct admin admin = {.options = {.actor = "fuzz", .counters = &counters, .command = command}};
	if (size == 0)
		return 0;
	if (bytes[0] & 1) {
		struct error_context error = {0};
		char *json = NULL;
		int code = admin_read_reply(bytes + 1, size - 1, &json, &error);
		CHECK((code == 0) == (json != NULL));
		free(json);
		return 0;
	}
	answers = 0;
	admin_handle(&admin, bytes + 1, size - 1);
	CHECK(answers == 1);
	return 0;
}
