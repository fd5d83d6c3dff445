/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoding of records and rows: what goes in comes out, what was not written by it is refused, and nothing crashes. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "tests/unit/core/commit_sample.h"
#include "tests/unit/core/sample.h"

static uint8_t filler[4096];

static struct record random_record(uint64_t *seed)
{
	struct record r = {.dot = {.region = (uint8_t)random_below(seed, REGIONS_MAX), .sequence = random_number(seed)},
	    .hlc = random_next(seed),
	    .client_id = random_number(seed),
	    .request = random_number(seed),
	    .key = filler,
	    .key_size = 1 + random_below(seed, random_below(seed, 8) ? 40 : KEY_SIZE_MAX),
	    .keyspace = (uint16_t)random_below(seed, KEYSPACES_MAX)};
	if (!r.dot.sequence)
		r.dot.sequence = 1;
	for (int i = 0; i < REGIONS_MAX; i++) {
		if (!random_below(seed, 3))
			r.context.sequence[i] = random_number(seed);
	}
	if (vector_covers_dot(&r.context, r.dot))
		r.context.sequence[r.dot.region] = r.dot.sequence - 1;
	if (random_below(seed, 4)) {
		r.value = filler + 1;
		r.value_size = random_below(seed, 200);
	} else {
		r.flags = RECORD_TOMBSTONE;
	}
	for (size_t i = 0; i < 256; i++)
		filler[i] = (uint8_t)random_next(seed);
	return r;
}

static void records_equal(const struct record *a, const struct record *b)
{
	cr_assert(a->dot.region == b->dot.region && a->dot.sequence == b->dot.sequence && a->hlc == b->hlc);
	cr_assert(
	    a->client_id == b->client_id && a->request == b->request && a->keyspace == b->keyspace && a->flags == b->flags);
	cr_assert(a->key_size == b->key_size && a->value_size == b->value_size);
	cr_assert_eq(memcmp(&a->context, &b->context, sizeof a->context), 0);
	cr_assert_eq(memcmp(a->key, b->key, a->key_size), 0);
	cr_assert(!a->value_size || !memcmp(a->value, b->value, a->value_size));
}

/* A copy in memory of exactly that size, so that a sanitizer sees each byte read beyond it. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	cr_assert(copy);
	memcpy(copy, bytes, size);
	return copy;
}

Test(core_record, golden_bytes)
{
	struct record r = sample_write(2, 300, CONTEXT(5, 0, 299), 0x1122334455667788, "hello");
	r.client_id = 9;
	r.request = 128;
	static const uint8_t expected[] = {0, 2, 1, 0, 0xac, 0x02, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 2, 0, 5, 2,
	    0xab, 0x02, 9, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x01, 3, 'k', 'e', 'y', 5, 'h', 'e', 'l', 'l', 'o'};
	uint8_t bytes[100];
	cr_assert_eq(record_encode(&r, bytes, sizeof bytes), (long)sizeof expected);
	cr_assert_eq(memcmp(bytes, expected, sizeof expected), 0);
}

Test(core_record, round_trip_exact_capacity_and_each_truncation)
{
	uint64_t seed = setting("GODWIT_SEED", 1);
	for (int i = 0; i < 2000; i++) {
		static uint8_t bytes[8192];
		struct record r = random_record(&seed), back;
		long n = record_encode(&r, bytes, sizeof bytes);
		cr_assert(n > 0);
		cr_assert_eq(record_encode(&r, bytes, (size_t)n), n);
		cr_assert_eq(record_encode(&r, bytes, (size_t)n - 1), ERR_FULL);
		cr_assert_eq(record_decode(&back, bytes, (size_t)n), n);
		records_equal(&r, &back);
		cr_assert_eq(record_decode(&back, bytes, sizeof bytes), n, "what follows is not its business");
		struct dot dot;
		cr_assert_eq(record_peek(bytes, (size_t)n, &dot), 0);
		cr_assert(dot.region == r.dot.region && dot.sequence == r.dot.sequence);
		size_t step = 1 + (size_t)n / 64;
		for (size_t cut = 0; cut < (size_t)n; cut += cut < 200 ? 1 : step) {
			uint8_t *copy = exact_copy(bytes, cut);
			cr_assert_eq(record_decode(&back, copy, cut), ERR_MALFORMED);
			record_peek(copy, cut, &dot);
			free(copy);
		}
	}
}

Test(core_record, largest_record_fits)
{
	uint8_t *value = calloc(1, VALUE_SIZE_MAX), *bytes = malloc(RECORD_ENCODED_MAX);
	struct record r = {.dot = {.region = 15, .sequence = UINT64_MAX},
	                  .hlc = UINT64_MAX,
	                  .client_id = UINT64_MAX,
	                  .request = UINT64_MAX,
	                  .key = filler,
	                  .key_size = KEY_SIZE_MAX,
	                  .value = value,
	                  .value_size = VALUE_SIZE_MAX,
	                  .keyspace = KEYSPACES_MAX - 1},
	              back;
	memset(&r.context, 0xff, sizeof r.context);
	r.context.sequence[15]--;
	long n = record_encode(&r, bytes, RECORD_ENCODED_MAX);
	cr_assert(n > 0);
	cr_assert_eq(record_decode(&back, bytes, (size_t)n), n);
	records_equal(&r, &back);
	free(value);
	free(bytes);
}

/* Byte offsets as in golden_bytes. */
Test(core_record, refuses_each_bad_field)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *what;
	} bad[] = {{0, 2, "unknown flag"}, {0, 1, "tombstone with a value"}, {1, 16, "region"}, {2, 64, "keyspace"},
	    {3, 1, "keyspace, high byte"}, {4, 0, "sequence 0"}, {5, 0, "over-long sequence"}, {14, 17, "vector pairs"},
	    {17, 0, "vector order"}, {18, 0xac, "context covers the dot"}, {29, 0, "over-long request"}, {30, 0, "empty key"},
	    {34, 6, "value beyond the end"}};
	struct record r = sample_write(2, 300, CONTEXT(5, 0, 299), 1, "hello"), back;
	r.request = 128;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint8_t bytes[100];
		long n = record_encode(&r, bytes, sizeof bytes);
		bytes[bad[i].at] = bad[i].value;
		cr_assert_eq(record_decode(&back, bytes, (size_t)n), ERR_MALFORMED, "%s", bad[i].what);
	}
	/* A key of 1025 and a value of 1 MiB + 1 bytes, all there. */
	static uint8_t large[VALUE_SIZE_MAX + 4096];
	long n = record_encode(&r, large, 100);
	cr_assert_eq(n, 40);
	large[30] = 0x81;
	large[31] = 0x08;
	cr_assert_eq(record_decode(&back, large, sizeof large), ERR_MALFORMED, "key of 1025 bytes");
	record_encode(&r, large, 100);
	memcpy(large + 34, "\x81\x80\x40", 3);
	cr_assert_eq(record_decode(&back, large, sizeof large), ERR_MALFORMED, "value of 1 MiB + 1 bytes");
	memcpy(large + 34, "\x80\x80\x40", 3);
	cr_assert_eq(record_decode(&back, large, sizeof large), 37 + (long)VALUE_SIZE_MAX);
}

/* What still decodes after flips must be what the encoder writes for it: one encoding a record. */
Test(core_record, random_bit_flips_never_crash_and_stay_canonical)
{
	uint64_t seed = setting("GODWIT_SEED", 2);
	for (int i = 0; i < 100000; i++) {
		static uint8_t bytes[8192], again[8192];
		struct record r = random_record(&seed), back;
		long n = record_encode(&r, bytes, sizeof bytes);
		for (uint32_t flips = 1 + random_below(&seed, 3); flips; flips--)
			bytes[random_below(&seed, (uint32_t)n)] ^= (uint8_t)(1u << random_below(&seed, 8));
		uint8_t *copy = exact_copy(bytes, (size_t)n);
		long m = record_decode(&back, copy, (size_t)n);
		cr_assert(m == ERR_MALFORMED || (m > 0 && m <= n));
		if (m > 0) {
			cr_assert_eq(record_encode(&back, again, sizeof again), m);
			cr_assert_eq(memcmp(again, copy, (size_t)m), 0);
		}
		free(copy);
	}
}

/* ---- transactions ---- */

static const struct commit_id sample_id = {.hlc = 0x1122334455667788, .region = 4};

static struct record transaction_sample(uint8_t *entry, size_t size)
{
	return (struct record){.dot = {.region = 2, .sequence = 300},
	    .hlc = sample_id.hlc,
	    .flags = RECORD_TRANSACTION,
	    .entry = entry,
	    .entry_size = (uint32_t)size};
}

static size_t two_operations(uint8_t *entry, const struct commit_id *previous)
{
	const struct commit_operation operations[] = {commit_write(1, "one", "hello"), commit_check(2, "two", sample_id)};
	return commit_entry_sample(entry, sample_id, previous, operations, 2);
}

Test(core_record, transaction_golden_bytes_and_peek)
{
	uint8_t entry[256], bytes[300];
	size_t size = two_operations(entry, NULL);
	struct record r = transaction_sample(entry, size), back;
	struct dot dot;
	static const uint8_t front[] = {2, 2, 0, 0, 0xac, 0x02, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
	long n = record_encode(&r, bytes, sizeof bytes);
	cr_assert_eq(n, (long)(sizeof front + size));
	cr_assert_eq(memcmp(bytes, front, sizeof front), 0);
	cr_assert_eq(memcmp(bytes + sizeof front, entry, size), 0);
	cr_assert_eq(record_peek(bytes, 6, &dot), 0);
	cr_assert(dot.region == 2 && dot.sequence == 300);
	/* Nothing of what stood there before is left. */
	memset(&back, 0xff, sizeof back);
	cr_assert_eq(record_decode(&back, bytes, (size_t)n), n);
	cr_assert(back.flags == RECORD_TRANSACTION && back.keyspace == 0 && back.hlc == sample_id.hlc);
	cr_assert(back.dot.region == 2 && back.dot.sequence == 300 && back.entry_size == size);
	cr_assert(back.entry == bytes + sizeof front && !back.client_id && !back.request);
	cr_assert(!back.key && !back.key_size && !back.value && !back.value_size);
	cr_assert_eq(memcmp(&back.context, &(struct vector){0}, sizeof back.context), 0);
	/* And the other way round. */
	r = sample_write(2, 300, NOTHING, 1, "hello");
	n = record_encode(&r, bytes, sizeof bytes);
	cr_assert_eq(record_decode(&back, bytes, (size_t)n), n);
	cr_assert(!back.entry && !back.entry_size && back.key_size == 3);
}

Test(core_record, transaction_exact_capacity_and_each_truncation)
{
	const struct commit_id previous[] = {{.hlc = 7, .region = 15}, {.hlc = 9}};
	uint8_t entry[256], bytes[300];
	struct record r = transaction_sample(entry, two_operations(entry, previous)), back;
	long n = record_encode(&r, bytes, sizeof bytes);
	cr_assert(n > 0);
	cr_assert_eq(record_encode(&r, bytes, (size_t)n), n);
	cr_assert_eq(record_encode(&r, bytes, (size_t)n - 1), ERR_FULL);
	for (size_t cut = 0; cut < (size_t)n; cut++) {
		uint8_t *copy = exact_copy(bytes, cut);
		cr_assert_eq(record_decode(&back, copy, cut), ERR_MALFORMED, "%zu bytes", cut);
		free(copy);
	}
	bytes[n] = 0;
	cr_assert_eq(record_decode(&back, bytes, (size_t)n + 1), ERR_MALFORMED, "it goes to the end");
}

static long transaction_decode(uint8_t *entry, size_t size, uint64_t hlc)
{
	static uint8_t bytes[RECORD_ENCODED_MAX];
	struct record r = transaction_sample(entry, size), back;
	r.hlc = hlc;
	long n = record_encode(&r, bytes, sizeof bytes);
	cr_assert(n > 0);
	return record_decode(&back, bytes, (size_t)n);
}

Test(core_record, transaction_that_cannot_be)
{
	const struct commit_operation operations[] = {commit_write(1, "one", "hello"), commit_write(1, "two", NULL)};
	static struct commit_head head;
	uint8_t entry[512], bytes[600];
	size_t size = two_operations(entry, NULL);
	cr_assert_gt(transaction_decode(entry, size, sample_id.hlc), 0);
	cr_assert_eq(transaction_decode(entry, size, sample_id.hlc + 1), ERR_MALFORMED, "stamp of another transaction");
	/* Without what it replaced, or with the name of one too few or too many. */
	for (uint32_t count = 0; count < 4; count++) {
		head = (struct commit_head){.id = sample_id, .value = COMMIT_COMMITTED, .previous_count = count};
		size = commit_head_put(entry, &head, true);
		size += commit_body_sample(entry + size, NULL, 0, operations, 2);
		long n = transaction_decode(entry, size, sample_id.hlc);
		cr_assert(count == 2 ? n > 0 : n == ERR_MALFORMED, "%u previous names: %ld", count, n);
	}
	head.previous_count = 0;
	size = commit_head_put(entry, &head, false);
	cr_assert_eq(transaction_decode(entry, size, sample_id.hlc), ERR_MALFORMED, "no body");

	struct record r = transaction_sample(entry, two_operations(entry, NULL)), back;
	static const struct {
		size_t at;
		uint8_t value;
		const char *what;
	} bad[] = {{0, 3, "tombstone and transaction"}, {0, 0, "no transaction"}, {0, 4, "unknown flag"}, {1, 16, "region"},
	    {2, 1, "keyspace"}, {4, 0, "sequence 0"}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		long n = record_encode(&r, bytes, sizeof bytes);
		bytes[bad[i].at] = bad[i].value;
		cr_assert_eq(record_decode(&back, bytes, (size_t)n), ERR_MALFORMED, "%s", bad[i].what);
	}
}

Test(core_record, largest_transaction_fits)
{
	static struct commit_operation operations[COMMIT_OPERATIONS_MAX];
	static struct commit_id previous[COMMIT_OPERATIONS_MAX];
	static uint8_t value[VALUE_SIZE_MAX], body[COMMIT_BODY_MAX + 4096], entry[RECORD_ENTRY_MAX];
	for (uint32_t i = 0; i < COMMIT_OPERATIONS_MAX; i++)
		operations[i] = commit_write(1, "key", "v");
	size_t size = commit_body_sample(body, NULL, 0, operations, COMMIT_OPERATIONS_MAX);
	operations[0].value = operations[1].value = value;
	operations[0].value_size = VALUE_SIZE_MAX / 2;
	operations[1].value_size = (uint32_t)(COMMIT_BODY_MAX - size) + 2 - VALUE_SIZE_MAX / 2;
	cr_assert_eq(commit_body_sample(body, NULL, 0, operations, COMMIT_OPERATIONS_MAX), COMMIT_BODY_MAX);
	size = commit_entry_sample(entry, sample_id, previous, operations, COMMIT_OPERATIONS_MAX);
	cr_assert_eq(size, COMMIT_BODY_MAX + COMMIT_HEAD_MAX - 2); /* of a COMMIT no voters are told */
	cr_assert_gt(transaction_decode(entry, size, sample_id.hlc), (long)size);
}

Test(core_record, damaged_transactions_never_crash_and_stay_canonical)
{
	uint64_t seed = setting("GODWIT_SEED", 5);
	uint8_t entry[256], bytes[300], again[300];
	struct record r = transaction_sample(entry, two_operations(entry, NULL)), back;
	long n = record_encode(&r, bytes, sizeof bytes);
	uint32_t taken = 0;
	for (int i = 0; i < 100000; i++) {
		uint8_t *copy = exact_copy(bytes, (size_t)n);
		for (uint32_t flips = 1 + random_below(&seed, 3); flips; flips--)
			copy[random_below(&seed, (uint32_t)n)] ^= (uint8_t)(1u << random_below(&seed, 8));
		long m = record_decode(&back, copy, (size_t)n);
		cr_assert(m == ERR_MALFORMED || (m > 0 && m <= n));
		if (m > 0) {
			cr_assert_eq(record_encode(&back, again, sizeof again), m);
			cr_assert_eq(memcmp(again, copy, (size_t)m), 0);
			taken++;
		}
		free(copy);
	}
	cr_assert_gt(taken, 10000);
}

static void random_row(struct row *row, uint64_t *seed)
{
	row_init(row);
	for (uint32_t writes = random_below(seed, 12); writes; writes--)
		sample_merge(row, random_record(seed));
}

Test(core_row_codec, golden_bytes)
{
	struct row row;
	row_init(&row);
	sample_merge(&row, sample_write(1, 300, CONTEXT(4, 2), 0x0102030405060708, "v"));
	sample_merge(&row, sample_write(0, 5, CONTEXT(0), 9, NULL));
	static const uint8_t expected[] = {
	    2, 0, 4, 1, 2, 2, 1, 0, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xac, 0x02, 8, 7, 6, 5, 4, 3, 2, 1, 1, 'v'};
	uint8_t bytes[64];
	cr_assert_eq(row_encode(&row, bytes, sizeof bytes), (long)sizeof expected);
	cr_assert_eq(memcmp(bytes, expected, sizeof expected), 0);
}

Test(core_row_codec, round_trip_exact_capacity_and_each_truncation)
{
	uint64_t seed = setting("GODWIT_SEED", 3);
	for (int i = 0; i < 2000; i++) {
		static uint8_t bytes[65536], again[65536];
		struct row row, back;
		random_row(&row, &seed);
		long n = row_encode(&row, bytes, sizeof bytes);
		cr_assert(n > 0);
		cr_assert_eq(row_encoded_size(&row), n);
		cr_assert_eq(row_encode(&row, again, (size_t)n - 1), ERR_FULL);
		cr_assert_eq(row_decode(&back, bytes, (size_t)n), 0);
		cr_assert_eq(row_encode(&back, again, (size_t)n), n);
		cr_assert_eq(memcmp(bytes, again, (size_t)n), 0);
		for (size_t cut = 0; cut < (size_t)n; cut += cut < 300 ? 1 : 17) {
			uint8_t *copy = exact_copy(bytes, cut);
			cr_assert_eq(row_decode(&back, copy, cut), ERR_MALFORMED);
			cr_assert_eq(back.sibling_count, 0, "half a row must not be seen");
			free(copy);
		}
		cr_assert_eq(row_decode(&back, bytes, (size_t)n + 1), ERR_MALFORMED, "left-over byte");
	}
}

Test(core_row_codec, refuses_what_it_would_not_write)
{
	/* vector: 1 pair (0:4); then siblings of 12 bytes each: flags, region, sequence, HLC, size 0 */
#define SIBLING(flags, region, sequence) flags, region, sequence, 1, 0, 0, 0, 0, 0, 0, 0, 0
	static const uint8_t good[] = {1, 0, 4, 2, SIBLING(0, 0, 5), SIBLING(0, 1, 1)};
	static const uint8_t swapped[] = {1, 0, 4, 2, SIBLING(0, 1, 1), SIBLING(0, 0, 5)};
	static const uint8_t twice[] = {1, 0, 4, 2, SIBLING(0, 0, 5), SIBLING(0, 0, 5)};
	static const uint8_t covered[] = {1, 0, 4, 2, SIBLING(0, 0, 4), SIBLING(0, 1, 1)};
	static const uint8_t flags[] = {1, 0, 4, 1, SIBLING(2, 0, 5)};
	static const uint8_t region[] = {1, 0, 4, 1, SIBLING(0, 16, 5)};
	static const uint8_t sequence[] = {1, 0, 4, 1, SIBLING(0, 1, 0)};
	static const uint8_t tombstone[] = {1, 0, 4, 1, 1, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 1, 'x'};
	static const uint8_t many[] = {0, SIBLINGS_MAX + 1, SIBLING(0, 0, 5)};
	static const uint8_t eight[] = {0, 8, SIBLING(0, 2, 1), SIBLING(0, 2, 2), SIBLING(0, 2, 3), SIBLING(0, 2, 4),
	    SIBLING(0, 2, 5), SIBLING(0, 2, 6), SIBLING(0, 2, 7), SIBLING(0, 2, 8)};
	static const uint8_t nine[] = {0, 9, SIBLING(0, 2, 1), SIBLING(0, 2, 2), SIBLING(0, 2, 3), SIBLING(0, 2, 4),
	    SIBLING(0, 2, 5), SIBLING(0, 2, 6), SIBLING(0, 2, 7), SIBLING(0, 2, 8), SIBLING(0, 2, 9)};
	struct row row;
	cr_assert_eq(row_decode(&row, good, sizeof good), 0);
	cr_assert_eq(row_decode(&row, eight, sizeof eight), 0);
#define REFUSED(bytes) cr_assert_eq(row_decode(&row, bytes, sizeof bytes), ERR_MALFORMED, #bytes)
	REFUSED(swapped);
	REFUSED(twice);
	REFUSED(covered);
	REFUSED(flags);
	REFUSED(region);
	REFUSED(sequence);
	REFUSED(tombstone);
	REFUSED(many);
	REFUSED(nine);
}

Test(core_row_codec, random_bit_flips_never_crash_and_stay_canonical)
{
	uint64_t seed = setting("GODWIT_SEED", 4);
	for (int i = 0; i < 50000; i++) {
		static uint8_t bytes[65536], again[65536];
		struct row row, back;
		random_row(&row, &seed);
		long n = row_encode(&row, bytes, sizeof bytes);
		for (uint32_t flips = 1 + random_below(&seed, 3); flips; flips--)
			bytes[random_below(&seed, (uint32_t)n)] ^= (uint8_t)(1u << random_below(&seed, 8));
		uint8_t *copy = exact_copy(bytes, (size_t)n);
		int code = row_decode(&back, copy, (size_t)n);
		cr_assert(code == 0 || code == ERR_MALFORMED);
		if (!code) {
			cr_assert_eq(row_encode(&back, again, sizeof again), n);
			cr_assert_eq(memcmp(again, copy, (size_t)n), 0);
		}
		free(copy);
	}
}
