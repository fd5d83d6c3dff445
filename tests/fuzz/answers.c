/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers as the client reads them: by hand, so the generated code is the judge: what it would have written itself is taken,
 * and what both take means the same. */
#include "base/error.h"
#include "client/wire.h"
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
	CHECK(answer->n_in_doubt == expected->n_in_doubt);
	CHECK(!answer->digests == !expected->digests && !answer->region == !expected->region);
	for (size_t i = 0; i < answer->n_rows; i++)
		check_bytes(answer->rows[i]->key, expected->rows[i]->key);
}

static bool is_canonical(const Godwit__Client__Answers *answers, const uint8_t *bytes, size_t size)
{
	size_t unknown = answers->base.n_unknown_fields;
	for (size_t i = 0; i < answers->n_answers; i++)
		unknown += answers->answers[i]->base.n_unknown_fields;
	if (unknown || godwit__client__answers__get_packed_size(answers) != size)
		return false;
	uint8_t *again = malloc(size + 1);
	if (again == NULL)
		abort();
	bool same = godwit__client__answers__pack(answers, again) == size && memcmp(again, bytes, size) == 0;
	free(again);
	return same;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct arena arena;
	struct wire_answers answers;
	const Godwit__Client__Answer *answer;
	Godwit__Client__Answers *expected = godwit__client__answers__unpack(NULL, size, bytes);
	int code = wire_answers_start(&answers, bytes, size);
	bool canonical = expected && is_canonical(expected, bytes, size);
	CHECK(code == 0 || (code == ERR_MALFORMED && !canonical));
	if (expected && code == 0)
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
	CHECK(!canonical || (code == ERR_EMPTY && count == expected->n_answers));
	if (expected)
		godwit__client__answers__free_unpacked(expected, NULL);
	arena_reset(&arena);
	return 0;
}
