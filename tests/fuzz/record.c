/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: what is taken is encoded to the same bytes again, and peeking agrees with decoding. */
#include "core/record.h"
#include "core/error.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct record record;
	struct dot dot;
	long read = record_decode(&record, bytes, size);
	int peeked = record_peek(bytes, size, &dot);
	CHECK(peeked == 0 || (peeked == ERR_MALFORMED && read == ERR_MALFORMED));
	if (read < 0)
		return 0;
	CHECK(read > 0 && (size_t)read <= size);
	CHECK(dot.region == record.dot.region && dot.sequence == record.dot.sequence);
	CHECK(record.dot.region < REGIONS_MAX && record.dot.sequence > 0 && !vector_covers_dot(&record.context, record.dot));
	CHECK(record.key_size > 0 && record.key_size <= KEY_SIZE_MAX && record.value_size <= VALUE_SIZE_MAX);
	CHECK(record.keyspace < KEYSPACES_MAX && (!(record.flags & RECORD_TOMBSTONE) || !record.value_size));
	bytes_touch(record.key, record.key_size);
	bytes_touch(record.value, record.value_size);
	uint8_t *again = malloc((size_t)read);
	if (again == NULL)
		abort();
	CHECK(record_encode(&record, again, (size_t)read) == read && memcmp(again, bytes, (size_t)read) == 0);
	CHECK(record_encode(&record, again, (size_t)read - 1) == ERR_FULL);
	free(again);
	return 0;
}
