/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors, LEB128 and version vectors. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "base/varint.h"
#include "tests/unit/core/sample.h"

Test(core_error, table)
{
	cr_assert_str_eq(error_name(ERR_NO_QUORUM), "NO_QUORUM");
	cr_assert_str_eq(error_name(ERR_OK), "OK");
	cr_assert_str_eq(error_name(12345), "INVALID_CODE");
	cr_assert_str_eq(error_text(ERR_NOT_FOUND), "no such key");
	cr_assert_eq(error_exit_code(0), 0);
	cr_assert_eq(error_exit_code(ERR_NOT_FOUND), 1);
	cr_assert_eq(error_exit_code(ERR_USAGE), 2);
	cr_assert_eq(error_exit_code(ERR_UNREACHABLE), 5);
	cr_assert_eq(error_exit_code(12345), 4, "a code that nobody knows says nothing about the outcome");
	/* No code twice, none but OK at or above 0. */
	static const int codes[] = {
#define X(name, value, exit_code, outcome, text) value,
	    ERROR_TABLE(X)
#undef X
	};
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		cr_assert(i == 0 ? codes[i] == 0 : codes[i] < 0);
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(codes[i], codes[j]);
	}
}

Test(core_error, context)
{
	struct error_context e;
	cr_assert_eq(error_set(&e, ERR_IO, "cannot read %s: %d", "file", 7), ERR_IO);
	cr_assert_str_eq(e.text, "cannot read file: 7");
	cr_assert_eq(error_set(NULL, ERR_FULL, "nobody reads this"), ERR_FULL);
	char large[1000];
	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = 0;
	error_set(&e, ERR_IO, "%s", large);
	cr_assert_eq(strlen(e.text), sizeof e.text - 1);
}

Test(core_varint, borders_round_trip)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		for (int off = -1; off <= 1; off++) {
			uint64_t value = (1ull << bit) + (uint64_t)off, back;
			uint8_t bytes[VARINT_SIZE_MAX];
			size_t n = varint_encode(value, bytes);
			cr_assert_eq(n, varint_size(value));
			cr_assert_eq(varint_decode(bytes, n, &back), (long)n);
			cr_assert_eq(back, value);
			for (size_t cut = 0; cut < n; cut++)
				cr_assert_eq(varint_decode(bytes, cut, &back), ERR_MALFORMED);
		}
	}
}

Test(core_varint, one_encoding_a_number)
{
	uint64_t value;
	cr_assert_eq(varint_decode((const uint8_t *)"\x80\x00", 2, &value), ERR_MALFORMED);
	cr_assert_eq(varint_decode((const uint8_t *)"\xff\x00", 2, &value), ERR_MALFORMED);
	cr_assert_eq(varint_decode((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, &value), 10);
	cr_assert_eq(value, UINT64_MAX);
	cr_assert_eq(varint_decode((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, &value), ERR_MALFORMED);
	cr_assert_eq(varint_decode((const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, &value), ERR_MALFORMED);
}

Test(core_vector, order_and_join)
{
	struct vector a = CONTEXT(1, 2), b = CONTEXT(1, 3), c = CONTEXT(2, 2);
	cr_assert_eq(vector_compare(&a, &a), VECTOR_EQUAL);
	cr_assert_eq(vector_compare(&a, &b), VECTOR_BEFORE);
	cr_assert_eq(vector_compare(&b, &a), VECTOR_AFTER);
	cr_assert_eq(vector_compare(&b, &c), VECTOR_CONCURRENT);
	cr_assert(vector_covers(&b, &a) && vector_covers(&a, &a) && !vector_covers(&a, &b) && !vector_covers(&b, &c));
	vector_join(&b, &c);
	cr_assert(b.sequence[0] == 2 && b.sequence[1] == 3);
	cr_assert(vector_covers_dot(&b, (struct dot){.region = 1, .sequence = 3}));
	cr_assert(!vector_covers_dot(&b, (struct dot){.region = 1, .sequence = 4}));
	/* The last place takes part like the first. */
	struct vector last = {0};
	last.sequence[REGIONS_MAX - 1] = 1;
	cr_assert_eq(vector_compare(&last, &a), VECTOR_CONCURRENT);
}

static struct vector random_vector(uint64_t *seed)
{
	struct vector v = {0};
	for (int i = 0; i < REGIONS_MAX; i++) {
		if (random_next(seed) & 1)
			v.sequence[i] = random_number(seed);
	}
	return v;
}

Test(core_vector, codec_round_trip_and_truncation)
{
	uint64_t seed = 1;
	for (int i = 0; i < 2000; i++) {
		struct vector v = random_vector(&seed), back;
		uint8_t bytes[VECTOR_ENCODED_MAX];
		size_t n = vector_encode(&v, bytes);
		cr_assert_eq(vector_decode(&back, bytes, n), (long)n);
		cr_assert_eq(memcmp(&v, &back, sizeof v), 0);
		for (size_t cut = 0; cut < n; cut++)
			cr_assert_eq(vector_decode(&back, bytes, cut), ERR_MALFORMED);
	}
	struct vector full;
	memset(&full, 0xff, sizeof full);
	uint8_t bytes[VECTOR_ENCODED_MAX];
	cr_assert_eq(vector_encode(&full, bytes), VECTOR_ENCODED_MAX);
}

Test(core_vector, codec_refuses_what_it_would_not_write)
{
	struct vector v;
	static const struct {
		const char *bytes;
		size_t size;
	} refused[] = {{"\x11", 1}, {"\x02\x01\x05\x01\x06", 5}, {"\x02\x02\x05\x01\x06", 5}, {"\x01\x10\x05", 3},
	    {"\x01\x00\x00", 3}, {"\x01\x00\x85\x00", 4}};
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		cr_assert_eq(
		    vector_decode(&v, (const uint8_t *)refused[i].bytes, refused[i].size), ERR_MALFORMED, "case %zu", i);
}

Test(core_vector, text_round_trip)
{
	uint64_t seed = 2;
	char text[VECTOR_TEXT_MAX];
	struct vector v = CONTEXT(12, 0, 7), back;
	vector_format(&v, text);
	cr_assert_str_eq(text, "0:12,2:7");
	v = NOTHING;
	vector_format(&v, text);
	cr_assert_str_eq(text, "-");
	cr_assert_eq(vector_parse(&back, text), 0);
	cr_assert_eq(memcmp(&v, &back, sizeof v), 0);
	memset(&v, 0xff, sizeof v);
	for (int i = 0; i < 200; i++) {
		vector_format(&v, text);
		cr_assert_eq(vector_parse(&back, text), 0);
		cr_assert_eq(memcmp(&v, &back, sizeof v), 0);
		v = random_vector(&seed);
	}
	static const char *const refused[] = {"", "0", "0:", ":1", "0:1,", "0:1,0:2", "16:1", "0:0", "0:-1", "0:+1", " 0:1",
	    "0:1 ", "0:01", "00:1", "0:18446744073709551616", "x", "--", "0:1;1:1", "4294967296:1"};
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		cr_assert_eq(vector_parse(&v, refused[i]), ERR_MALFORMED, "'%s'", refused[i]);
}
