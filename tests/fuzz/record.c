/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: what is taken is encoded to the same bytes again, and peeking agrees with decoding. */
#include "core/record.h"
#include "base/error.h"
#include "core/commit_entry.h"
#include "tests/fuzz/fuzz.h"

static void check_write(const struct record *record)
{
	CHECK(record->key_size > 0 && record->key_size <= KEY_SIZE_MAX && record->value_size <= VALUE_SIZE_MAX);
	CHECK(record->keyspace < KEYSPACES_MAX && (!(record->flags & RECORD_TOMBSTONE) || !record->value_size));
	CHECK(!record->entry && !record->entry_size);
	bytes_touch(record->key, record->key_size);
	bytes_touch(record->value, record->value_size);
}

static void check_transaction(const struct record *record)
{
	static struct commit_head head;
	struct commit_body body;
	CHECK(record->flags == RECORD_TRANSACTION && !record->keyspace && !record->client_id && !record->request);
	CHECK(!record->key && !record->value && !record->key_size && !record->value_size);
	CHECK(commit_entry_open(record->entry, record->entry_size, &head, &body) == 0 && body.bytes);
	CHECK(head.id.hlc == record->hlc && head.previous_count == body.operation_count);
}

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
	if (record.flags & RECORD_TRANSACTION)
		check_transaction(&record);
	else
		check_write(&record);
	uint8_t *again = malloc((size_t)read);
	if (again == NULL)
		abort();
	CHECK(record_encode(&record, again, (size_t)read) == read && memcmp(again, bytes, (size_t)read) == 0);
	CHECK(record_encode(&record, again, (size_t)read - 1) == ERR_FULL);
	free(again);
	return 0;
}
