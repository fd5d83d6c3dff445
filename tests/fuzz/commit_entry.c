/* SPDX-License-Identifier: Apache-2.0
 *
 * What the strong commit writes: an entry, a body and a row are within their limits and written again to the same bytes;
 * versions as bytes and as text; applying a commit to a row gives a row, and once more changes nothing. Input: u8 what | bytes.
 */
#include "core/commit_entry.h"
#include "base/bytes.h"
#include "base/error.h"
#include "core/row.h"
#include "tests/fuzz/fuzz.h"

static void check_name(struct commit_id id)
{
	CHECK(id.region < REGIONS_MAX);
}

static void check_operation(const struct commit_operation *o)
{
	CHECK(o->kind >= COMMIT_PUT && o->kind <= COMMIT_CHECK && o->condition <= COMMIT_IF_VERSION);
	CHECK(o->kind != COMMIT_CHECK || o->condition != COMMIT_ALWAYS);
	CHECK(o->keyspace < KEYSPACES_MAX && o->key_size > 0 && o->key_size <= KEY_SIZE_MAX);
	CHECK(o->value_size <= VALUE_SIZE_MAX && (o->kind == COMMIT_PUT || !o->value_size));
	CHECK(o->kind != COMMIT_CHECK || !o->share);
	check_name(o->expected);
	bytes_touch(o->key, o->key_size);
	bytes_touch(o->value, o->value_size);
}

static void check_row(const struct commit_row *row)
{
	struct commit_row back;
	size_t size = commit_row_size(row);
	uint8_t *bytes = malloc(size);
	if (bytes == NULL)
		abort();
	commit_row_encode(row, bytes);
	CHECK(commit_row_decode(&back, bytes, size) == 0);
	CHECK(commit_id_equal(back.stamp, row->stamp) && commit_id_equal(back.version, row->version) &&
	      back.version.share == row->version.share && commit_id_equal(back.previous, row->previous));
	CHECK(back.live == row->live && back.value_size == (row->live ? row->value_size : 0));
	CHECK(!back.value_size || memcmp(back.value, row->value, back.value_size) == 0);
	CHECK(row_bytes_are_deleted(bytes, size) == !row->live);
	free(bytes);
}

/* Writes the body once more while walking it; a row takes each operation as if it were its own. */
static void body_walk(const struct commit_body *body, const struct commit_head *head)
{
	struct commit_request_name name;
	struct commit_operation operation;
	struct commit_row row = {0};
	CHECK(body->request_count > 0 && body->request_count <= COMMIT_REQUESTS_MAX);
	CHECK(body->operation_count > 0 && body->operation_count <= COMMIT_OPERATIONS_MAX && body->size <= COMMIT_BODY_MAX);
	uint8_t *again = malloc(body->size);
	if (again == NULL)
		abort();
	uint8_t *out = commit_body_begin(again, body->ack_all, body->born, body->since, body->request_count);
	uint32_t at = body->requests_at;
	for (uint32_t i = 0; i < body->request_count; i++) {
		commit_body_request(body, &at, &name);
		out = commit_request_name_put(out, &name);
	}
	bytes_put_u16(out, (uint16_t)body->operation_count);
	out += 2;
	CHECK(at + 2 == body->operations_at && out == again + body->operations_at);
	at = body->operations_at;
	for (uint32_t i = 0; i < body->operation_count; i++) {
		uint32_t before = at;
		commit_body_operation(body, &at, &operation);
		check_operation(&operation);
		CHECK(operation.share < body->request_count);
		CHECK(commit_operation_size(&operation) == at - before);
		out = commit_operation_put(out, &operation);
		struct commit_id id = head ? head->id : operation.expected;
		struct commit_id previous = head && head->previous_count ? head->previous[i] : operation.expected;
		commit_row_apply(&row, id, previous, &operation);
		CHECK(!commit_row_apply(&row, id, previous, &operation));
		check_row(&row);
	}
	CHECK(at == body->size && out == again + body->size && memcmp(again, body->bytes, body->size) == 0);
	free(again);
}

static void entry(const uint8_t *bytes, size_t size)
{
	static struct commit_head head;
	static uint8_t again[COMMIT_HEAD_MAX];
	struct commit_body body;
	int code = commit_entry_open(bytes, size, &head, &body);
	CHECK(code == 0 || code == ERR_MALFORMED);
	if (code)
		return;
	check_name(head.id);
	CHECK(head.value <= COMMIT_COMMITTED && head.previous_count <= COMMIT_OPERATIONS_MAX);
	for (uint32_t i = 0; i < head.previous_count; i++)
		check_name(head.previous[i]);
	size_t head_size = commit_head_put(again, &head, body.bytes != NULL);
	CHECK(head_size + body.size == size && memcmp(again, bytes, head_size) == 0);
	if (!body.bytes)
		return;
	CHECK(body.bytes == bytes + head_size && (!head.previous_count || head.previous_count == body.operation_count));
	body_walk(&body, &head);
}

static void body_alone(const uint8_t *bytes, size_t size)
{
	struct commit_body body;
	int code = commit_body_open(&body, bytes, size);
	CHECK(code == 0 || code == ERR_MALFORMED);
	if (code == 0)
		body_walk(&body, NULL);
}

static void row(const uint8_t *bytes, size_t size)
{
	struct commit_row row;
	int code = commit_row_decode(&row, bytes, size);
	CHECK(code == 0 || code == ERR_MALFORMED);
	if (code)
		return;
	CHECK(commit_row_is(bytes, size) && commit_row_size(&row) == size && row.value_size <= VALUE_SIZE_MAX);
	uint8_t *again = malloc(size);
	if (again == NULL)
		abort();
	commit_row_encode(&row, again);
	CHECK(memcmp(again, bytes, size) == 0);
	free(again);
	check_row(&row);
}

static void version(const uint8_t *bytes, size_t size)
{
	uint8_t again[COMMIT_VERSION_SIZE];
	char text[COMMIT_VERSION_TEXT_MAX], *given = malloc(size + 1);
	struct commit_id id, back;
	if (given == NULL)
		abort();
	if (commit_version_decode(&id, bytes, size) == 0) {
		check_name(id);
		commit_version_encode(id, again);
		CHECK(size == sizeof again && memcmp(again, bytes, size) == 0);
		commit_version_format(id, text);
		CHECK(commit_version_parse(&back, text) == 0 && commit_id_equal(id, back) && id.share == back.share);
	}
	if (size)
		memcpy(given, bytes, size);
	given[size] = 0;
	if (commit_version_parse(&id, given) == 0) {
		check_name(id);
		commit_version_format(id, text);
		CHECK(commit_version_parse(&back, text) == 0 && commit_id_equal(id, back) && id.share == back.share);
	}
	free(given);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	unsigned what = (unsigned)input_number(&in, 1) & 3;
	size_t part_size;
	uint8_t *part = input_bytes(&in, input_left(&in), &part_size);
	switch (what) {
	case 0:
		entry(part, part_size);
		break;
	case 1:
		body_alone(part, part_size);
		break;
	case 2:
		row(part, part_size);
		break;
	default:
		version(part, part_size);
	}
	free(part);
	return 0;
}
