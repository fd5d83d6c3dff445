/* SPDX-License-Identifier: Apache-2.0
 *
 * What is written by hand in client/wire.c, held against the generated code. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "client/wire.h"

Test(wire, request_is_what_the_generated_code_reads)
{
	uint8_t encoded[2][512], message[2048], *at = message;
	struct client_operation put = {.kind = CLIENT_PUT,
	    .keyspace = "prices",
	    .key = "key",
	    .key_size = 3,
	    .value = "value\0x",
	    .value_size = 7,
	    .version = "\x01\x00\x05",
	    .version_size = 3,
	    .condition = GW_IF_VERSION,
	    .expected = "\xfe expected",
	    .expected_size = 10,
	    .timeout_ms = 70000};
	struct client_operation scan = {.kind = CLIENT_SCAN,
	    .key = "p",
	    .key_size = 1,
	    .after = "px",
	    .after_size = 2,
	    .limit = 1000,
	    .limit_id = 1ull << 40,
	    .timeout_ms = 5,
	    .level = GW_LEVEL_EVENTUAL};
	size_t first = wire_operation_encode(&put, 300, encoded[0]),
	       second = wire_operation_encode(&scan, UINT64_MAX, encoded[1]);
	cr_assert_leq(first, wire_operation_size_max(&put));
	cr_assert_leq(second, wire_operation_size_max(&scan));
	wire_request_header(1, 0x1122334455667788, at);
	struct wire_tail repeat = {.settled = 299, .age_ms = 1234, .moved = true, .token = 7ull << 57}, fresh = {0};
	at = wire_request_operation(at + WIRE_REQUEST_HEADER_SIZE, encoded[0], first, &repeat);
	at = wire_request_operation(at, encoded[1], second, &fresh);
	cr_assert_eq((size_t)(at - message), WIRE_REQUEST_HEADER_SIZE + wire_request_operation_size(first, &repeat) +
	                                         wire_request_operation_size(second, &fresh));

	Godwit__Client__Request *r = godwit__client__request__unpack(NULL, (size_t)(at - message), message);
	cr_assert_not_null(r);
	cr_assert_eq(r->protocol, 1);
	cr_assert_eq(r->client_id, 0x1122334455667788);
	cr_assert_eq(r->n_operations, 2);
	const Godwit__Client__Operation *o = r->operations[0];
	cr_assert(o->number == 300 && o->kind == GODWIT__CLIENT__KIND__PUT && o->settled == 299 && o->age_ms == 1234);
	cr_assert_eq(o->token, 7ull << 57);
	cr_assert(o->moved && o->timeout_ms == 70000 && o->level == 0 && o->n_steps == 0);
	cr_assert(o->condition == GODWIT__CLIENT__CONDITION__IF_VERSION && o->expected.len == 10 &&
	          memcmp(o->expected.data, "\xfe expected", 10) == 0);
	cr_assert_str_eq(o->keyspace, "prices");
	cr_assert(o->key.len == 3 && o->value.len == 7 && memcmp(o->value.data, "value\0x", 7) == 0 && o->context.len == 3);
	o = r->operations[1];
	cr_assert(o->number == UINT64_MAX && o->kind == GODWIT__CLIENT__KIND__SCAN && o->settled == 0 && o->age_ms == 0);
	cr_assert(!o->moved && o->timeout_ms == 0 && o->condition == 0 && o->level == GODWIT__CLIENT__LEVEL__EVENTUAL);
	cr_assert(o->limit == 1000 && o->limit_id == 1ull << 40 && o->after.len == 2 && o->keyspace[0] == 0);
	godwit__client__request__free_unpacked(r, NULL);
}

Test(wire, transaction_is_what_the_generated_code_reads)
{
	static char value[200000];
	memset(value, 'v', sizeof value);
	struct client_operation steps[] = {{.kind = CLIENT_PUT,
	                                       .keyspace = "orders",
	                                       .key = "a",
	                                       .key_size = 1,
	                                       .value = value,
	                                       .value_size = sizeof value,
	                                       .condition = GW_IF_ABSENT},
	    {.kind = CLIENT_DELETE, .key = "b\0c", .key_size = 3},
	    {.kind = CLIENT_CHECK,
	        .keyspace = "k",
	        .key = "d",
	        .key_size = 1,
	        .condition = GW_IF_VERSION,
	        .expected = "\xfe\0x",
	        .expected_size = 3}};
	struct client_operation transaction = {
	    .kind = CLIENT_TRANSACTION, .steps = steps, .step_count = 3, .timeout_ms = 30000};
	uint8_t *encoded = malloc(wire_operation_size_max(&transaction));
	size_t size = wire_operation_encode(&transaction, 8, encoded);
	cr_assert_leq(size, wire_operation_size_max(&transaction));
	Godwit__Client__Operation *o = godwit__client__operation__unpack(NULL, size, encoded);
	cr_assert_not_null(o);
	cr_assert(o->number == 8 && o->kind == GODWIT__CLIENT__KIND__TRANSACTION && o->timeout_ms == 30000);
	cr_assert_eq(o->n_steps, 3);
	const Godwit__Client__Step *step = o->steps[0];
	cr_assert(step->kind == GODWIT__CLIENT__KIND__PUT && step->condition == GODWIT__CLIENT__CONDITION__IF_ABSENT);
	cr_assert_str_eq(step->keyspace, "orders");
	cr_assert(step->key.len == 1 && step->value.len == sizeof value && memcmp(step->value.data, value, sizeof value) == 0);
	cr_assert_eq(step->expected.len, 0);
	step = o->steps[1];
	cr_assert(step->kind == GODWIT__CLIENT__KIND__DELETE && step->keyspace[0] == 0 && step->condition == 0);
	cr_assert(step->key.len == 3 && memcmp(step->key.data, "b\0c", 3) == 0 && step->value.len == 0);
	step = o->steps[2];
	cr_assert(step->kind == GODWIT__CLIENT__KIND__CHECK && step->condition == GODWIT__CLIENT__CONDITION__IF_VERSION);
	cr_assert(step->expected.len == 3 && memcmp(step->expected.data, "\xfe\0x", 3) == 0);
	/* The generated code would have written the same. */
	uint8_t *again = malloc(size);
	cr_assert_eq(godwit__client__operation__get_packed_size(o), size);
	godwit__client__operation__pack(o, again);
	cr_assert_eq(memcmp(again, encoded, size), 0);
	free(again);
	free(encoded);
	godwit__client__operation__free_unpacked(o, NULL);
}

static size_t sample(uint8_t *bytes)
{
	Godwit__Client__Answers answers = GODWIT__CLIENT__ANSWERS__INIT;
	static Godwit__Client__Answer plain = GODWIT__CLIENT__ANSWER__INIT, refused = GODWIT__CLIENT__ANSWER__INIT,
	                              rows = GODWIT__CLIENT__ANSWER__INIT;
	static Godwit__Client__Row row = GODWIT__CLIENT__ROW__INIT;
	Godwit__Client__Answer *list[] = {&plain, &refused, &rows};
	Godwit__Client__Row *row_list[] = {&row};
	plain.number = 1000000;
	plain.value = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "value"};
	plain.version = (ProtobufCBinaryData){3, (uint8_t *)(uintptr_t) "\x01\x00\x05"};
	plain.hlc = 0x123456789abcdef0;
	plain.more = true;
	plain.siblings = 3;
	refused.number = 2;
	refused.code = ERR_OVERLOADED;
	refused.reason = (char *)(uintptr_t) "full";
	rows.number = 3;
	row.key = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "k"};
	row.hlc = 9;
	rows.rows = row_list;
	rows.n_rows = 1;
	answers.protocol = 1;
	answers.answers = list;
	answers.n_answers = 3;
	size_t size = godwit__client__answers__pack(&answers, bytes);
	rows.rows = NULL;
	rows.n_rows = 0;
	return size;
}

Test(wire, answers_are_read_as_the_generated_code_wrote_them)
{
	uint8_t bytes[512];
	size_t size = sample(bytes);
	struct wire_answers answers;
	struct arena arena = {0};
	const Godwit__Client__Answer *a;
	cr_assert_eq(wire_answers_start(&answers, bytes, size), 0);
	cr_assert_eq(answers.protocol, 1);
	cr_assert_eq(wire_answers_next(&answers, &arena, &a), 0);
	cr_assert(a->number == 1000000 && a->code == 0 && a->hlc == 0x123456789abcdef0 && a->more && a->siblings == 3);
	cr_assert(a->value.len == 5 && memcmp(a->value.data, "value", 5) == 0 && a->version.len == 3);
	cr_assert(a->value.data > bytes && a->value.data < bytes + size, "no copy");
	cr_assert_eq(wire_answers_next(&answers, &arena, &a), 0);
	cr_assert_eq(a->code, ERR_OVERLOADED);
	cr_assert_str_eq(a->reason, "full");
	cr_assert_eq(wire_answers_next(&answers, &arena, &a), 0);
	cr_assert(a->number == 3 && a->n_rows == 1 && a->rows[0]->hlc == 9 && a->rows[0]->key.len == 1);
	cr_assert_eq(wire_answers_next(&answers, &arena, &a), ERR_EMPTY);
	arena_deinit(&arena);
}

/* Every cut and every changed byte: read or refused, never beyond the bytes (run under sanitizers). */
Test(wire, damaged_answers_do_no_harm)
{
	uint8_t bytes[512];
	size_t size = sample(bytes);
	struct arena arena = {0};
	for (size_t cut = 0; cut <= size; cut++) {
		for (unsigned flip = 0; flip < 256; flip++) {
			uint8_t *copy = malloc(cut ? cut : 1);
			struct wire_answers answers;
			const Godwit__Client__Answer *a;
			memcpy(copy, bytes, cut);
			if (cut)
				copy[(cut * 7 + flip) % cut] ^= (uint8_t)flip;
			if (wire_answers_start(&answers, copy, cut) == 0)
				while (wire_answers_next(&answers, &arena, &a) == 0)
					;
			arena_reset(&arena);
			free(copy);
		}
	}
	arena_deinit(&arena);
}

Test(wire, arena_is_bounded)
{
	struct arena arena = {0};
	cr_assert_null(arena_take(&arena, ARENA_SIZE_MAX + 1));
	size_t taken = 0;
	while (arena_take(&arena, 1024 * 1024))
		taken++;
	cr_assert_eq(taken, ARENA_SIZE_MAX / (1024 * 1024));
	arena_reset(&arena);
	cr_assert_not_null(arena_take(&arena, 100));
	arena_deinit(&arena);
}

/* Fields that a later version adds, of each type that there is: passed over, and nothing behind them is lost. */
Test(wire, F24_fields_of_later_versions_are_passed_over)
{
	static const struct {
		size_t size;
		uint8_t bytes[16];
	} later[] = {{3, {15 << 3 | 0, 0x80, 0x01}}, {9, {15 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8}},
	    {4, {15 << 3 | 2, 2, 'a', 'b'}}, {5, {15 << 3 | 5, 1, 2, 3, 4}}};
	for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
		for (size_t cut = 0; cut < later[i].size; cut++) {
			uint8_t bytes[512];
			size_t size = sample(bytes);
			struct wire_answers answers;
			struct arena arena = {0};
			const Godwit__Client__Answer *a;
			memcpy(bytes + size, later[i].bytes, later[i].size - cut);
			int code = wire_answers_start(&answers, bytes, size + later[i].size - cut);
			uint32_t count = 0;
			while (!code && (code = wire_answers_next(&answers, &arena, &a)) == 0)
				count++;
			/* One that is cut off is no message. */
			cr_assert_eq(
			    code, cut ? ERR_MALFORMED : ERR_EMPTY, "type %zu cut by %zu: %s", i, cut, error_name(code));
			cr_assert(cut || count == 3, "type %zu: %u answers", i, count);
			arena_deinit(&arena);
		}
}
