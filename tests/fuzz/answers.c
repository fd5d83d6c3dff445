/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers as the client reads them: by hand, so the generated code is the judge. */
#include "client/wire.h"
#include "core/error.h"
#include "tests/fuzz/fuzz.h"

static void check_bytes(ProtobufCBinaryData bytes, ProtobufCBinaryData expected)
{
	CHECK(bytes.len == expected.len && (bytes.len == 0 || memcmp(bytes.data, expected.data, bytes.len) == 0));
}

static void check_answer(const Godwit__Client__Answer *answer, const Godwit__Client__Answer *expected)
{
	CHECK(answer->number == expected->number && answer->code == expected->code && answer->hlc == expected->hlc);
	CHECK(answer->siblings == expected->siblings && answer->more == expected->more);
	CHECK(strcmp(answer->reason, expected->reason) == 0);
	check_bytes(answer->value, expected->value);
	check_bytes(answer->version, expected->version);
	CHECK(answer->n_rows == expected->n_rows && answer->n_conflicts == expected->n_conflicts);
	CHECK(!answer->digests == !expected->digests && !answer->region == !expected->region);
	for (size_t i = 0; i < answer->n_rows; i++)
		check_bytes(answer->rows[i]->key, expected->rows[i]->key);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct arena arena;
	struct wire_answers answers;
	const Godwit__Client__Answer *answer;
	Godwit__Client__Answers *expected = godwit__client__answers__unpack(NULL, size, bytes);
	int code = wire_answers_start(&answers, bytes, size);
	CHECK(code == 0 || (code == ERR_MALFORMED && !expected));
	if (expected)
		CHECK(answers.protocol == expected->protocol);
	size_t count = 0;
	while (code == 0 && (code = wire_answers_next(&answers, &arena, &answer)) == 0) {
		CHECK(!expected || count < expected->n_answers);
		if (expected)
			check_answer(answer, expected->answers[count]);
		bytes_touch(answer->value.data, answer->value.len);
		bytes_touch(answer->version.data, answer->version.len);
		bytes_touch(answer->reason, strlen(answer->reason));
		count++;
	}
	CHECK(code == ERR_EMPTY || code == ERR_MALFORMED || code == ERR_NO_MEMORY);
	CHECK(!expected || (code == ERR_EMPTY && count == expected->n_answers));
	if (expected)
		godwit__client__answers__free_unpacked(expected, NULL);
	arena_reset(&arena);
	return 0;
}
