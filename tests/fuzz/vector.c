/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors and the numbers in them: one value has one encoding, as bytes and as text. */
#include "core/vector.h"
#include "base/error.h"
#include "base/varint.h"
#include "tests/fuzz/fuzz.h"

static void check_one(const struct vector *v)
{
	uint8_t encoded[VECTOR_ENCODED_MAX];
	char text[VECTOR_TEXT_MAX];
	struct vector again;
	size_t size = vector_encode(v, encoded);
	CHECK(vector_decode(&again, encoded, size) == (long)size && memcmp(&again, v, sizeof again) == 0);
	vector_format(v, text);
	CHECK(vector_parse(&again, text) == 0 && memcmp(&again, v, sizeof again) == 0);
	CHECK(vector_compare(v, &again) == VECTOR_EQUAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct vector a, b;
	uint64_t number;
	uint8_t encoded[VECTOR_ENCODED_MAX];
	long read = varint_decode(bytes, size, &number);
	CHECK(read == ERR_MALFORMED || (read > 0 && (size_t)read <= size && varint_encode(number, encoded) == (size_t)read &&
	                                   memcmp(encoded, bytes, (size_t)read) == 0));
	read = vector_decode(&a, bytes, size);
	if (read < 0) {
		CHECK(read == ERR_MALFORMED);
	} else {
		CHECK(vector_encode(&a, encoded) == (size_t)read && memcmp(encoded, bytes, (size_t)read) == 0);
		check_one(&a);
		if (vector_decode(&b, bytes + read, size - (size_t)read) > 0) {
			struct vector ab = a, ba = b;
			vector_join(&ab, &b);
			vector_join(&ba, &a);
			CHECK(vector_compare(&ab, &ba) == VECTOR_EQUAL && vector_covers(&ab, &a) && vector_covers(&ab, &b));
			CHECK((vector_compare(&a, &b) == VECTOR_BEFORE) == (vector_compare(&b, &a) == VECTOR_AFTER));
		}
	}
	char *text = malloc(size + 1);
	if (text == NULL)
		abort();
	if (size)
		memcpy(text, bytes, size);
	text[size] = 0;
	if (vector_parse(&a, text) == 0)
		check_one(&a);
	free(text);
	return 0;
}
