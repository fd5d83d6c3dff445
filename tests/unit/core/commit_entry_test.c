/* SPDX-License-Identifier: Apache-2.0
 *
 * The encodings of the strong commit: what goes in comes out, what was not written by them is refused, nothing crashes; and the
 * one merge, which must not care about order. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/error.h"
#include "tests/unit/core/commit_sample.h"
#include "tests/unit/core/sample.h"

#define OPERATIONS 6u
#define REQUESTS   4u

/* A transaction with all that is in it. */
struct transaction {
	struct commit_head head;
	bool ack_all, has_body;
	uint64_t born, since;
	uint32_t request_count, operation_count;
	struct commit_request_name requests[REQUESTS];
	struct commit_operation operations[OPERATIONS];
};

static uint8_t filler[2048];

static struct commit_id random_id(uint64_t *seed)
{
	return (struct commit_id){.hlc = random_number(seed), .region = (uint8_t)random_below(seed, REGIONS_MAX)};
}

static struct commit_operation random_operation(uint64_t *seed)
{
	struct commit_operation o = {.kind = (uint8_t)(COMMIT_PUT + random_below(seed, 3)),
	    .condition = (uint8_t)random_below(seed, 3),
	    .keyspace = (uint16_t)random_below(seed, KEYSPACES_MAX),
	    .key = filler + random_below(seed, 8),
	    .key_size = 1 + random_below(seed, random_below(seed, 8) ? 20 : KEY_SIZE_MAX),
	    .value = filler};
	if (o.kind == COMMIT_PUT)
		o.value_size = random_below(seed, 100);
	if (o.kind == COMMIT_CHECK && o.condition == COMMIT_ALWAYS)
		o.condition = COMMIT_IF_ABSENT;
	if (o.condition == COMMIT_IF_VERSION) {
		o.expected = random_id(seed);
		o.expected.share = (uint16_t)random_next(seed);
	}
	return o;
}

static void random_transaction(struct transaction *t, uint64_t *seed)
{
	memset(t, 0, sizeof *t);
	for (size_t i = 0; i < 64; i++)
		filler[i] = (uint8_t)random_next(seed);
	t->head.id = random_id(seed);
	t->head.ballot = random_number(seed);
	t->head.value = (uint8_t)random_below(seed, 3);
	t->head.own_lock = random_below(seed, 2);
	t->head.voters = (uint16_t)(random_below(seed, 2) * random_below(seed, 65536));
	t->has_body = random_below(seed, 4);
	t->ack_all = random_below(seed, 2);
	t->born = random_number(seed);
	t->since = random_number(seed);
	t->request_count = 1 + random_below(seed, REQUESTS);
	t->operation_count = 1 + random_below(seed, OPERATIONS);
	for (uint32_t i = 0; i < t->request_count; i++)
		t->requests[i] = (struct commit_request_name){random_number(seed), random_number(seed), random_number(seed)};
	for (uint32_t i = 0; i < t->operation_count; i++) {
		t->operations[i] = random_operation(seed);
		if (t->operations[i].kind != COMMIT_CHECK)
			t->operations[i].share = (uint16_t)random_below(seed, t->request_count);
	}
	t->head.previous_count = random_below(seed, 2) ? t->operation_count : 0;
	for (uint32_t i = 0; i < t->head.previous_count; i++)
		t->head.previous[i] = random_id(seed);
}

static size_t body_write(const struct transaction *t, uint8_t *out)
{
	uint8_t *at = commit_body_begin(out, t->ack_all, t->born, t->since, t->request_count);
	cr_assert_eq((size_t)(at - out), COMMIT_BODY_BEGIN_SIZE);
	for (uint32_t i = 0; i < t->request_count; i++)
		at = commit_request_name_put(at, &t->requests[i]);
	bytes_put_u16(at, (uint16_t)t->operation_count);
	at += 2;
	for (uint32_t i = 0; i < t->operation_count; i++) {
		uint8_t *end = commit_operation_put(at, &t->operations[i]);
		cr_assert_eq((size_t)(end - at), commit_operation_size(&t->operations[i]));
		at = end;
	}
	return (size_t)(at - out);
}

static size_t entry_write(const struct transaction *t, uint8_t *out)
{
	size_t size = commit_head_put(out, &t->head, t->has_body);
	cr_assert_leq(size, COMMIT_HEAD_MAX);
	return size + (t->has_body ? body_write(t, out + size) : 0);
}

static bool names_equal(struct commit_id a, struct commit_id b)
{
	return commit_id_equal(a, b) && a.share == b.share;
}

static void operations_equal(const struct commit_operation *a, const struct commit_operation *b)
{
	cr_assert(a->kind == b->kind && a->condition == b->condition && a->keyspace == b->keyspace);
	cr_assert_eq(a->share, b->share);
	cr_assert(a->key_size == b->key_size && a->value_size == b->value_size);
	cr_assert(!memcmp(a->key, b->key, a->key_size) && (!a->value_size || !memcmp(a->value, b->value, a->value_size)));
	cr_assert(names_equal(a->expected, b->expected));
}

static void body_check(const struct commit_body *body, const struct transaction *t)
{
	cr_assert(body->ack_all == t->ack_all && body->born == t->born && body->since == t->since);
	cr_assert(body->request_count == t->request_count && body->operation_count == t->operation_count);
	uint32_t at = body->requests_at;
	for (uint32_t i = 0; i < body->request_count; i++) {
		struct commit_request_name name;
		commit_body_request(body, &at, &name);
		cr_assert(name.client_id == t->requests[i].client_id && name.number == t->requests[i].number &&
		          name.after == t->requests[i].after);
	}
	cr_assert_eq(at + 2, body->operations_at);
	at = body->operations_at;
	for (uint32_t i = 0; i < body->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(body, &at, &operation);
		operations_equal(&operation, &t->operations[i]);
	}
	cr_assert_eq(at, body->size);
}

static void head_check(const struct commit_head *head, const struct commit_head *expected)
{
	cr_assert(names_equal(head->id, expected->id) && head->ballot == expected->ballot);
	cr_assert(head->value == expected->value && head->own_lock == expected->own_lock && head->voters == expected->voters);
	cr_assert_eq(head->previous_count, expected->previous_count);
	for (uint32_t i = 0; i < head->previous_count; i++)
		cr_assert(names_equal(head->previous[i], expected->previous[i]));
}

/* The entry once more from what was read of it. */
static size_t entry_again(const struct commit_head *head, const struct commit_body *body, uint8_t *out)
{
	size_t size = commit_head_put(out, head, body->bytes != NULL);
	if (!body->bytes)
		return size;
	uint8_t *at = commit_body_begin(out + size, body->ack_all, body->born, body->since, body->request_count);
	uint32_t from = body->requests_at;
	for (uint32_t i = 0; i < body->request_count; i++) {
		struct commit_request_name name;
		commit_body_request(body, &from, &name);
		at = commit_request_name_put(at, &name);
	}
	bytes_put_u16(at, (uint16_t)body->operation_count);
	at += 2;
	from = body->operations_at;
	for (uint32_t i = 0; i < body->operation_count; i++) {
		struct commit_operation operation;
		commit_body_operation(body, &from, &operation);
		at = commit_operation_put(at, &operation);
	}
	return (size_t)(at - out);
}

/* A copy in memory of exactly that size, so that a sanitizer sees each byte read beyond it. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	cr_assert(copy);
	if (size)
		memcpy(copy, bytes, size);
	return copy;
}

Test(core_commit_entry, golden_bytes)
{
	const struct commit_id version = {.hlc = 0x0102030405060708, .region = 3, .share = 2};
	const struct commit_operation operations[] = {commit_write(1, "k", "v"), commit_check(2, "c", version)};
	const struct commit_id previous[] = {{.hlc = 9, .region = 1}, {0}};
	static const uint8_t expected[] = {8, 7, 6, 5, 4, 3, 2, 1, 4, /* id */
	    0, 0, 0, 0, 0, 0, 0, 0,                                   /* ballot */
	    2, 2, 2, 0,                                               /* committed; a body follows; two previous */
	    9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,     /* */
	    2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,     /* version, not all, born, since */
	    1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* request */
	    2, 0, 1, 0, 1, 0, 0, 0, 1, 0, 'k', 1, 0, 0, 0, 'v',                           /* put */
	    3, 2, 2, 0, 0, 0, 1, 0, 'c', 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 3, 2, 0};    /* check */
	uint8_t bytes[256];
	size_t size =
	    commit_entry_sample(bytes, (struct commit_id){.hlc = 0x0102030405060708, .region = 4}, previous, operations, 2);
	cr_assert_eq(size, sizeof expected);
	cr_assert_eq(memcmp(bytes, expected, size), 0);

	static const uint8_t row_bytes[] = {
	    0xff, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0xaa, 0, 0, 0, 0, 0, 0, 0, 2, 8, 7, 6, 5, 4, 3, 2, 1, 3, 2, 0, 1, 'v'};
	const struct commit_row row = {.stamp = {.hlc = 0xaa, .region = 2},
	    .version = version,
	    .previous = previous[0],
	    .live = true,
	    .value = (const uint8_t *)"v",
	    .value_size = 1};
	cr_assert_eq(commit_row_size(&row), sizeof row_bytes);
	commit_row_encode(&row, bytes);
	cr_assert_eq(memcmp(bytes, row_bytes, sizeof row_bytes), 0);

	static const uint8_t version_bytes[] = {0xfe, 8, 7, 6, 5, 4, 3, 2, 1, 3, 2, 0};
	cr_assert_eq(sizeof version_bytes, COMMIT_VERSION_SIZE);
	commit_version_encode(version, bytes);
	cr_assert_eq(memcmp(bytes, version_bytes, sizeof version_bytes), 0);
}

Test(core_commit_entry, round_trip_and_each_truncation)
{
	uint64_t seed = setting("GODWIT_SEED", 11);
	for (int i = 0; i < 2000; i++) {
		static uint8_t bytes[32768];
		static struct transaction t;
		static struct commit_head head;
		struct commit_body body;
		random_transaction(&t, &seed);
		size_t size = entry_write(&t, bytes);
		cr_assert_eq(commit_entry_open(bytes, size, &head, &body), 0);
		head_check(&head, &t.head);
		cr_assert_eq(body.bytes != NULL, t.has_body);
		if (t.has_body)
			body_check(&body, &t);
		size_t step = 1 + size / 128;
		for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : step) {
			uint8_t *copy = exact_copy(bytes, cut);
			cr_assert_eq(commit_entry_open(copy, cut, &head, &body), ERR_MALFORMED, "%zu of %zu bytes", cut, size);
			free(copy);
		}
		bytes[size] = 0;
		cr_assert_eq(commit_entry_open(bytes, size + 1, &head, &body), ERR_MALFORMED, "left-over byte");
	}
}

/* What still opens after one byte was changed must be what the writer writes for it: one encoding an entry. */
Test(core_commit_entry, each_damaged_byte_is_refused_or_canonical)
{
	uint64_t seed = setting("GODWIT_SEED", 12);
	uint32_t opened = 0, refused = 0;
	for (int i = 0; i < 150; i++) {
		static uint8_t bytes[32768], again[32768];
		static struct transaction t;
		static struct commit_head head;
		struct commit_body body;
		random_transaction(&t, &seed);
		size_t size = entry_write(&t, bytes);
		uint8_t *copy = exact_copy(bytes, size);
		for (size_t at = 0; at < size; at += at < 400 ? 1 : 1 + random_below(&seed, 40)) {
			for (uint32_t change = 0; change < 9; change++) {
				copy[at] = (uint8_t)(bytes[at] ^ (change < 8 ? 1u << change : 1 + random_below(&seed, 255)));
				int code = commit_entry_open(copy, size, &head, &body);
				cr_assert(code == 0 || code == ERR_MALFORMED);
				cr_assert(code || (entry_again(&head, &body, again) == size && !memcmp(again, copy, size)),
				    "byte %zu", at);
				opened += !code;
				refused += code != 0;
			}
			copy[at] = bytes[at];
		}
		free(copy);
	}
	cr_assert(opened > 10000 && refused > 10000, "%u opened, %u refused", opened, refused);
}

static int head_open(const struct commit_head *head, size_t *size)
{
	static uint8_t bytes[COMMIT_HEAD_MAX + 64];
	static struct commit_head back;
	struct commit_body body;
	*size = commit_head_put(bytes, head, false);
	return commit_entry_open(bytes, *size, &back, &body);
}

Test(core_commit_entry, caps_of_a_head)
{
	static struct commit_head head = {.id = {.hlc = 1, .region = REGIONS_MAX - 1}};
	size_t size;
	cr_assert_eq(head_open(&head, &size), 0);
	head.id.region = REGIONS_MAX;
	cr_assert_eq(head_open(&head, &size), ERR_MALFORMED);
	head.id.region = 0;
	head.value = COMMIT_COMMITTED + 1;
	cr_assert_eq(head_open(&head, &size), ERR_MALFORMED);
	head.value = COMMIT_ABORTED;
	head.previous_count = COMMIT_OPERATIONS_MAX;
	cr_assert_eq(head_open(&head, &size), 0);
	cr_assert_leq(size, COMMIT_HEAD_MAX);
	/* A row with such a name in it could not be read again. */
	head.previous[COMMIT_OPERATIONS_MAX - 1].region = REGIONS_MAX;
	cr_assert_eq(head_open(&head, &size), ERR_MALFORMED);
	/* One more, all there. */
	static uint8_t bytes[COMMIT_HEAD_MAX + 64];
	static struct commit_head back;
	struct commit_body body;
	head.previous[COMMIT_OPERATIONS_MAX - 1].region = 0;
	commit_head_put(bytes, &head, false);
	bytes_put_u16(bytes + 19, COMMIT_OPERATIONS_MAX + 1);
	cr_assert_eq(commit_entry_open(bytes, size + 9, &back, &body), ERR_MALFORMED);
	bytes_put_u16(bytes + 19, COMMIT_OPERATIONS_MAX);
	bytes[18] = 8;
	cr_assert_eq(commit_entry_open(bytes, size, &back, &body), ERR_MALFORMED, "unknown flag");
}

Test(core_commit_entry, previous_names_are_none_or_one_an_operation)
{
	const struct commit_operation operations[] = {commit_write(1, "a", "1"), commit_write(1, "b", NULL)};
	for (uint32_t count = 0; count < 4; count++) {
		static uint8_t bytes[1024];
		static struct commit_head head, back;
		struct commit_body body;
		head = (struct commit_head){.id = {.hlc = 1}, .previous_count = count};
		size_t size = commit_head_put(bytes, &head, true);
		size += commit_body_sample(bytes + size, NULL, 0, operations, 2);
		cr_assert_eq(commit_entry_open(bytes, size, &back, &body), count == 0 || count == 2 ? 0 : ERR_MALFORMED);
	}
}

static int operation_open(struct commit_operation operation)
{
	static uint8_t bytes[VALUE_SIZE_MAX + 4096];
	struct commit_body body;
	return commit_body_open(&body, bytes, commit_body_sample(bytes, NULL, 0, &operation, 1));
}

Test(core_commit_entry, caps_of_an_operation)
{
	static uint8_t large[VALUE_SIZE_MAX + 1];
	const struct commit_id version = {.hlc = 1, .region = REGIONS_MAX - 1, .share = 0xffff};
	struct commit_operation put = commit_write(KEYSPACES_MAX - 1, "k", "v"), check = commit_check(0, "k", version), o;
	cr_assert_eq(operation_open(put), 0);
	cr_assert_eq(operation_open(check), 0);
#define REFUSED(from, field, number)                                                                                           \
	do {                                                                                                                   \
		o = from;                                                                                                      \
		o.field = number;                                                                                              \
		cr_assert_eq(operation_open(o), ERR_MALFORMED, #from " with " #field " " #number);                             \
	} while (0)
	REFUSED(put, kind, 0);
	REFUSED(put, kind, COMMIT_CHECK + 1);
	REFUSED(put, kind, COMMIT_DELETE); /* with a value */
	REFUSED(put, condition, COMMIT_IF_VERSION + 1);
	REFUSED(put, keyspace, KEYSPACES_MAX);
	REFUSED(put, share, 1); /* of a second request, where there is one */
	REFUSED(check, share, 1);
	REFUSED(put, key_size, 0);
	REFUSED(check, condition, COMMIT_ALWAYS);
	REFUSED(check, expected.region, REGIONS_MAX);
	put.key = put.value = large;
	put.key_size = KEY_SIZE_MAX;
	put.value_size = VALUE_SIZE_MAX;
	cr_assert_eq(operation_open(put), 0);
	REFUSED(put, key_size, KEY_SIZE_MAX + 1);
	REFUSED(put, value_size, VALUE_SIZE_MAX + 1);
#undef REFUSED
}

Test(core_commit_entry, caps_of_a_body)
{
	static struct commit_operation operations[COMMIT_OPERATIONS_MAX + 1];
	static struct commit_request_name names[COMMIT_REQUESTS_MAX + 1];
	static uint8_t large[VALUE_SIZE_MAX], bytes[COMMIT_BODY_MAX + 4096];
	struct commit_body body;
	for (uint32_t i = 0; i <= COMMIT_OPERATIONS_MAX; i++)
		operations[i] = commit_write(1, "key", "value");
#define OPEN(requests, count) commit_body_open(&body, bytes, commit_body_sample(bytes, names, requests, operations, count))
	cr_assert_eq(OPEN(COMMIT_REQUESTS_MAX, COMMIT_OPERATIONS_MAX), 0);
	cr_assert_eq(OPEN(COMMIT_REQUESTS_MAX + 1, 1), ERR_MALFORMED);
	cr_assert_eq(OPEN(1, COMMIT_OPERATIONS_MAX + 1), ERR_MALFORMED);
	cr_assert_eq(OPEN(0, 1), ERR_MALFORMED);
	cr_assert_eq(OPEN(1, 0), ERR_MALFORMED);
	/* Each operation within its limits, all together one byte too much. */
	for (uint32_t i = 0; i < 2; i++) {
		operations[i].value = large;
		operations[i].value_size = VALUE_SIZE_MAX / 2;
	}
	size_t size = commit_body_sample(bytes, names, 1, operations, COMMIT_OPERATIONS_MAX);
	operations[2].value = large;
	operations[2].value_size = (uint32_t)(COMMIT_BODY_MAX - size) + 5;
	cr_assert_eq(commit_body_sample(bytes, names, 1, operations, COMMIT_OPERATIONS_MAX), COMMIT_BODY_MAX);
	cr_assert_eq(OPEN(1, COMMIT_OPERATIONS_MAX), 0);
	operations[2].value_size++;
	cr_assert_eq(OPEN(1, COMMIT_OPERATIONS_MAX), ERR_MALFORMED);
#undef OPEN
	operations[2].value_size--;
	size = commit_body_sample(bytes, names, 1, operations, 1);
	bytes[0] = 1;
	cr_assert_eq(commit_body_open(&body, bytes, size), ERR_MALFORMED, "the version before");
	bytes[0] = 2;
	bytes[1] = 2;
	cr_assert_eq(commit_body_open(&body, bytes, size), ERR_MALFORMED, "neither all nor a majority");
}

/* ---- rows ---- */

static struct commit_row random_row(uint64_t *seed)
{
	struct commit_row row = {.stamp = random_id(seed), .version = random_id(seed), .previous = random_id(seed)};
	row.version.share = (uint16_t)random_next(seed);
	row.live = random_below(seed, 3);
	row.value = row.live ? filler : NULL;
	row.value_size = row.live ? random_below(seed, 60) : 0;
	return row;
}

Test(core_commit_row, round_trip_truncations_and_damage)
{
	uint64_t seed = setting("GODWIT_SEED", 13);
	for (int i = 0; i < 5000; i++) {
		uint8_t bytes[256], again[256];
		struct commit_row row = random_row(&seed), back;
		size_t size = commit_row_size(&row);
		commit_row_encode(&row, bytes);
		cr_assert(commit_row_is(bytes, size));
		cr_assert_eq(commit_row_decode(&back, bytes, size), 0);
		cr_assert(names_equal(back.stamp, row.stamp) && names_equal(back.version, row.version) &&
		          names_equal(back.previous, row.previous) && back.live == row.live);
		cr_assert_eq(back.value_size, row.value_size);
		cr_assert(!row.value_size || !memcmp(back.value, row.value, row.value_size));
		uint8_t *copy = exact_copy(bytes, size);
		for (size_t at = 0; at < size; at++) {
			copy[at] ^= (uint8_t)(1 + random_below(&seed, 255));
			int code = commit_row_decode(&back, copy, size);
			cr_assert(code == 0 || code == ERR_MALFORMED);
			if (!code) {
				cr_assert_eq(commit_row_size(&back), size);
				commit_row_encode(&back, again);
				cr_assert_eq(memcmp(again, copy, size), 0, "byte %zu", at);
			}
			copy[at] = bytes[at];
		}
		free(copy);
		for (size_t cut = 0; cut < COMMIT_ROW_OVERHEAD; cut++) {
			copy = exact_copy(bytes, cut);
			cr_assert_eq(commit_row_decode(&back, copy, cut), ERR_MALFORMED);
			free(copy);
		}
	}
}

Test(core_commit_row, refuses_what_it_would_not_write)
{
	static uint8_t bytes[COMMIT_ROW_OVERHEAD + VALUE_SIZE_MAX + 1];
	const struct commit_row deleted = {.stamp = {.hlc = 1}, .version = {.hlc = 1}};
	struct commit_row back;
	commit_row_encode(&deleted, bytes);
	cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD), 0);
	cr_assert(!back.live && !back.value_size);
	cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD + 1), ERR_MALFORMED, "deleted, with a value");
	bytes[COMMIT_ROW_OVERHEAD - 1] = 1;
	cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD), 0, "an empty value is a value");
	cr_assert(back.live && back.value);
	cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD + VALUE_SIZE_MAX), 0);
	cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD + VALUE_SIZE_MAX + 1), ERR_MALFORMED);
	static const size_t regions[] = {9, 18, 27};
	for (size_t i = 0; i < 3; i++) {
		bytes[regions[i]] = REGIONS_MAX;
		cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD), ERR_MALFORMED, "region at %zu", regions[i]);
		bytes[regions[i]] = REGIONS_MAX - 1;
		cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD), 0);
	}
	bytes[0] = 0xfe;
	cr_assert_eq(commit_row_decode(&back, bytes, COMMIT_ROW_OVERHEAD), ERR_MALFORMED);
}

/* The other kind of row never begins with the mark, so the two cannot be taken for each other. */
Test(core_commit_row, the_two_kinds_of_rows_are_told_apart)
{
	uint64_t seed = setting("GODWIT_SEED", 14);
	for (int i = 0; i < 2000; i++) {
		static uint8_t bytes[4096];
		struct row row;
		row_init(&row);
		for (uint32_t r = 0; r < REGIONS_MAX; r++)
			row.context.sequence[r] = random_number(&seed);
		long size = row_encode(&row, bytes, sizeof bytes);
		cr_assert(size > 0 && !commit_row_is(bytes, (size_t)size));
		struct commit_row committed = random_row(&seed);
		commit_row_encode(&committed, bytes);
		cr_assert_eq(row_decode(&row, bytes, commit_row_size(&committed)), ERR_MALFORMED);
		cr_assert_eq(row_bytes_are_deleted(bytes, commit_row_size(&committed)), !committed.live);
	}
}

/* ---- the merge ---- */

#define COMMITS 8u

struct sample_commit {
	struct commit_id id, previous;
	struct commit_operation operation;
	char text[24];
};

/* All of one row, each of another transaction. */
static void commits_make(struct sample_commit commits[static COMMITS], uint64_t *seed)
{
	for (uint32_t i = 0; i < COMMITS; i++) {
		struct sample_commit *c = &commits[i];
		bool again;
		do {
			c->id = (struct commit_id){.hlc = 1 + random_below(seed, 4), .region = (uint8_t)random_below(seed, 4)};
			again = false;
			for (uint32_t j = 0; j < i; j++)
				again |= commit_id_equal(c->id, commits[j].id);
		} while (again);
		c->previous = random_id(seed);
		uint32_t kind = random_below(seed, 4);
		snprintf(c->text, sizeof c->text, "%u of %u", (unsigned)c->id.hlc, c->id.region);
		c->operation = kind == 0   ? commit_check(1, "k", c->previous)
		               : kind == 1 ? commit_write(1, "k", NULL)
		                           : commit_write(1, "k", c->text);
		c->operation.share = kind ? (uint16_t)random_below(seed, 3) : 0;
	}
}

static bool commit_apply(struct commit_row *row, const struct sample_commit *c)
{
	return commit_row_apply(row, c->id, c->previous, &c->operation);
}

/* What the row must be, said the other way round: by its newest commits. */
static struct commit_row row_expected(const struct sample_commit commits[static COMMITS])
{
	struct commit_row row = {0};
	for (uint32_t i = 0; i < COMMITS; i++) {
		const struct sample_commit *c = &commits[i];
		bool newest = true, newest_write = c->operation.kind != COMMIT_CHECK;
		for (uint32_t j = 0; j < COMMITS; j++) {
			bool above = commits[j].id.hlc > c->id.hlc ||
			             (commits[j].id.hlc == c->id.hlc && commits[j].id.region > c->id.region);
			newest &= !above;
			newest_write &= !above || commits[j].operation.kind == COMMIT_CHECK;
		}
		if (newest) {
			row.stamp = c->id;
			row.previous = c->previous;
		}
		if (newest_write) {
			row.version = c->id;
			row.version.share = c->operation.share;
			row.live = c->operation.kind == COMMIT_PUT;
			row.value = c->operation.value;
			row.value_size = c->operation.value_size;
		}
	}
	return row;
}

Test(core_commit_row, apply_does_not_care_about_order_or_repetition)
{
	uint64_t seed = setting("GODWIT_SEED", 15);
	for (int round = 0; round < 3000; round++) {
		struct sample_commit commits[COMMITS];
		uint8_t expected[128], bytes[128];
		commits_make(commits, &seed);
		struct commit_row row = row_expected(commits);
		size_t size = commit_row_size(&row);
		commit_row_encode(&row, expected);
		for (int way = 0; way < 8; way++) {
			uint32_t order[COMMITS];
			sample_order(random_below(&seed, 40320), COMMITS, order);
			row = (struct commit_row){0};
			for (uint32_t i = 0; i < COMMITS; i++) {
				commit_apply(&row, &commits[order[i]]);
				cr_assert(!commit_apply(&row, &commits[order[i]]), "once more changed something");
				cr_assert(!commit_apply(&row, &commits[order[random_below(&seed, i + 1)]]));
			}
			cr_assert_eq(commit_row_size(&row), size);
			commit_row_encode(&row, bytes);
			cr_assert_eq(memcmp(bytes + COMMIT_ROW_UNDIGESTED, expected + COMMIT_ROW_UNDIGESTED,
			                 size - COMMIT_ROW_UNDIGESTED),
			    0, "round %d", round);
		}
	}
}

Test(core_commit_row, a_check_raises_the_stamp_alone)
{
	struct commit_row row = {0};
	const struct commit_id first = {.hlc = 5, .region = 1}, second = {.hlc = 6}, none = {0};
	const struct commit_operation check = commit_check(1, "k", first);
	struct commit_operation put = commit_write(1, "k", "value");
	put.share = 3;
	cr_assert(commit_row_apply(&row, first, none, &put));
	cr_assert(commit_row_apply(&row, second, first, &check));
	cr_assert(commit_id_equal(row.stamp, second) && commit_id_equal(row.previous, first));
	cr_assert(commit_id_equal(row.version, first) && row.version.share == 3);
	cr_assert(row.live && row.value_size == 5 && row.value == put.value);
	/* A write that comes late, older than the check: it is the version, and not the stamp. */
	row = (struct commit_row){0};
	commit_row_apply(&row, second, first, &check);
	cr_assert(!row.live && !row.version.hlc);
	cr_assert(commit_row_apply(&row, first, none, &put));
	cr_assert(commit_id_equal(row.stamp, second) && commit_id_equal(row.version, first) && row.live);
	cr_assert(commit_id_equal(row.previous, first));
}

/* ---- versions ---- */

Test(core_commit_version, bytes_round_trip_and_damage)
{
	uint64_t seed = setting("GODWIT_SEED", 16);
	uint8_t bytes[COMMIT_VERSION_SIZE + 1] = {0}, again[COMMIT_VERSION_SIZE];
	struct commit_id back;
	for (int i = 0; i < 2000; i++) {
		struct commit_id id = random_id(&seed);
		id.share = (uint16_t)random_next(&seed);
		commit_version_encode(id, bytes);
		cr_assert_eq(commit_version_decode(&back, bytes, COMMIT_VERSION_SIZE), 0);
		cr_assert(names_equal(id, back));
		for (size_t cut = 0; cut < COMMIT_VERSION_SIZE; cut++)
			cr_assert_eq(commit_version_decode(&back, bytes, cut), ERR_MALFORMED);
		cr_assert_eq(commit_version_decode(&back, bytes, COMMIT_VERSION_SIZE + 1), ERR_MALFORMED);
		bytes[random_below(&seed, COMMIT_VERSION_SIZE)] ^= (uint8_t)(1 + random_below(&seed, 255));
		if (commit_version_decode(&back, bytes, COMMIT_VERSION_SIZE) == 0) {
			commit_version_encode(back, again);
			cr_assert_eq(memcmp(bytes, again, sizeof again), 0);
		}
	}
	commit_version_encode((struct commit_id){.hlc = 1, .region = REGIONS_MAX}, bytes);
	cr_assert_eq(commit_version_decode(&back, bytes, COMMIT_VERSION_SIZE), ERR_MALFORMED);
	/* A version of a weak row, an encoded vector, is none of these. */
	uint8_t vector[VECTOR_ENCODED_MAX];
	for (uint32_t count = 0; count < REGIONS_MAX; count++) {
		struct vector v = {0};
		for (uint32_t r = 0; r < count; r++)
			v.sequence[r] = random_next(&seed);
		cr_assert_eq(commit_version_decode(&back, vector, vector_encode(&v, vector)), ERR_MALFORMED);
	}
}

Test(core_commit_version, text_round_trip)
{
	static const struct {
		const char *text;
		struct commit_id id;
	} known[] = {{"0.0@0", {0}}, {"1764000000000.3@1/2", {.hlc = 1764000000000ull << 16 | 3, .region = 1, .share = 2}},
	    {"281474976710655.65535@15/65535", {.hlc = UINT64_MAX, .region = 15, .share = 0xffff}},
	    {"1.0@2", {.hlc = 65536, .region = 2}}};
	uint64_t seed = setting("GODWIT_SEED", 17);
	char text[COMMIT_VERSION_TEXT_MAX];
	struct commit_id back;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		commit_version_format(known[i].id, text);
		cr_assert_str_eq(text, known[i].text);
		cr_assert_eq(commit_version_parse(&back, text), 0);
		cr_assert(names_equal(back, known[i].id));
	}
	for (int i = 0; i < 5000; i++) {
		struct commit_id id = random_id(&seed);
		id.share = (uint16_t)(random_next(&seed) >> 48 >> random_below(&seed, 17));
		commit_version_format(id, text);
		cr_assert_eq(commit_version_parse(&back, text), 0, "%s", text);
		cr_assert(names_equal(back, id), "%s", text);
	}
	cr_assert_eq(commit_version_parse(&back, "1.2@3/0"), 0);
	cr_assert_eq(back.share, 0);
}

Test(core_commit_version, bad_texts_are_refused)
{
	static const char *const bad[] = {"", "1", "1.", "1.2", "1.2@", ".2@3", "1.@3", "1.2@16", "1.65536@3", "1.2@3/",
	    "1.2@3/65536", "1.2@3/1/1", "1.2@3/1 ", "1.2@3 ", " 1.2@3", "+1.2@3", "-1.2@3", "1.-2@3", "1. 2@3", "1.2@-3",
	    "1.2@3x", "1..2@3", "1.2@@3", "1,2@3", "0x1.2@3", "1.2@3\n", "1.2@3//1", "281474976710656.0@0",
	    "18446744073709551616.0@0", "99999999999999999999999999999999.0@0", "1.99999999999999999999999999999999@0",
	    "1.2@99999999999999999999999999999999", "1.2@3/99999999999999999999999999999999", "absent", "0:12,2:7", "-"};
	struct commit_id id = {.hlc = 77};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert_eq(commit_version_parse(&id, bad[i]), ERR_MALFORMED, "\"%s\"", bad[i]);
		cr_assert_eq(id.hlc, 77, "touched by \"%s\"", bad[i]);
	}
}

Test(core_commit_version, order_is_by_stamp_then_region)
{
	const struct commit_id low = {.hlc = 1, .region = 9}, middle = {.hlc = 2, .region = 0, .share = 5},
	                       high = {.hlc = 2, .region = 1};
	cr_assert_lt(commit_id_compare(low, middle), 0);
	cr_assert_gt(commit_id_compare(middle, low), 0);
	cr_assert_lt(commit_id_compare(middle, high), 0);
	cr_assert_gt(commit_id_compare(high, middle), 0);
	const struct commit_id shared = {.hlc = 2, .region = 0, .share = 1};
	cr_assert_eq(commit_id_compare(middle, shared), 0, "the share does not order transactions");
	cr_assert(commit_id_equal(middle, shared) && !commit_id_equal(middle, high));
}
