/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of clients as router and coordinator read them: by hand, so the generated code is the judge. What it would have
 * written itself is taken; what both take means the same (it is laxer with wire types and field numbers that cannot be); the
 * plan counts what is there; what is packed again is what was read. */
#include "proto/request.h"
#include "actors/router/router.h"
#include "proto/client.pb-c.h"
#include "runtime/socket.h"
#include "tests/fuzz/fuzz.h"

static void check_bytes(struct request_bytes bytes, const void *expected, size_t size)
{
	CHECK(bytes.size == size && (size == 0 || memcmp(bytes.bytes, expected, size) == 0));
}

/* The generated code ends text at its first zero. */
static void check_text(struct request_bytes bytes, const char *expected)
{
	size_t size = strlen(expected);
	CHECK(bytes.size >= size && (size == 0 || memcmp(bytes.bytes, expected, size) == 0));
	CHECK(bytes.size == size || bytes.bytes[size] == 0);
}

/* Steps that cannot be read are found by whoever carries them out; where the generated code has read them, they are the same.
 */
static int check_steps(const struct request_operation *o, const Godwit__Client__Operation *expected)
{
	struct request_step step;
	const uint8_t *at = NULL;
	uint32_t count = 0;
	int code;
	for (; (code = request_step_next(o, &at, &step)) == 0; count++) {
		bytes_touch(step.keyspace.bytes, step.keyspace.size);
		bytes_touch(step.key.bytes, step.key.size);
		bytes_touch(step.value.bytes, step.value.size);
		bytes_touch(step.expected.bytes, step.expected.size);
		if (expected == NULL)
			continue;
		CHECK(count < expected->n_steps);
		const Godwit__Client__Step *s = expected->steps[count];
		CHECK(step.kind == (uint32_t)s->kind && step.condition == s->condition);
		check_text(step.keyspace, s->keyspace);
		check_bytes(step.key, s->key.data, s->key.len);
		check_bytes(step.value, s->value.data, s->value.len);
		check_bytes(step.expected, s->expected.data, s->expected.len);
	}
	CHECK(code == ERR_MALFORMED || (code == ERR_EMPTY && count == o->step_count));
	CHECK(count <= o->step_count);
	if (code == ERR_EMPTY)
		CHECK(request_step_next(o, &at, &step) == ERR_EMPTY);
	return code;
}

static void check_operation(const struct request_operation *o, const Godwit__Client__Operation *expected)
{
	CHECK(o->condition == expected->condition && o->level == expected->level);
	CHECK(o->timeout_ms == expected->timeout_ms && o->moved == expected->moved && o->step_count == expected->n_steps);
	check_bytes(o->expected, expected->expected.data, expected->expected.len);
	CHECK(o->number == expected->number && o->settled == expected->settled && o->limit_id == expected->limit_id);
	CHECK(o->kind == (uint32_t)expected->kind && o->limit == expected->limit && o->age_ms == expected->age_ms);
	check_bytes(o->key, expected->key.data, expected->key.len);
	check_bytes(o->value, expected->value.data, expected->value.len);
	check_bytes(o->context, expected->context.data, expected->context.len);
	check_bytes(o->after, expected->after.data, expected->after.len);
	check_text(o->keyspace, expected->keyspace);
}

/* From operations of one request a second one is made, as the router does it. */
static void pack_again(const struct request *request, size_t size)
{
	struct request from = *request, again;
	struct request_operation operation, other;
	size_t capacity = REQUEST_HEADER_SIZE_MAX + size + (size_t)request->operation_count * REQUEST_FIELD_OVERHEAD;
	uint8_t *out = malloc(capacity), header[REQUEST_HEADER_SIZE_MAX];
	if (out == NULL)
		abort();
	size_t at = request_header_encode(request->protocol, request->client_id, header);
	memcpy(out, header, at);
	uint32_t count = 0;
	for (; request_next(&from, &operation) == 0; count++) {
		at += request_operation_encode(&operation, out + at);
		CHECK(at <= capacity);
	}
	CHECK(request_open(&again, out, at) == 0 && again.operation_count == count);
	CHECK(again.protocol == request->protocol && again.client_id == request->client_id);
	from = *request;
	while (request_next(&from, &operation) == 0) {
		CHECK(request_next(&again, &other) == 0);
		check_bytes(other.whole, operation.whole.bytes, operation.whole.size);
	}
	free(out);
}

static void check_plan(const uint8_t *bytes, size_t size)
{
	static struct topology topology = {
	    .region_count = 1, .keyspace_count = 2, .keyspaces = {{.name = "default"}, {.name = "k"}}};
	struct router_plan plan;
	router_plan(&plan, &topology, &rights_all, bytes, size, PROTOCOL_VERSION);
	if (plan.code)
		return;
	CHECK(plan.request.protocol == PROTOCOL_VERSION && plan.forwarded + plan.others == plan.request.operation_count);
	struct request_operation operation;
	uint32_t writes = 0, others = 0;
	while (request_next(&plan.request, &operation) == 0) {
		uint16_t keyspace = 0;
		const char *reason = NULL;
		if (router_is_forwarded(&topology, &operation)) {
			writes++;
			continue;
		}
		others++;
		if (router_check(&topology, &operation, &keyspace, &reason) == 0)
			CHECK(keyspace < topology.keyspace_count);
	}
	CHECK(writes == plan.forwarded && others == plan.others);
}

static bool is_canonical(const Godwit__Client__Request *request, const uint8_t *bytes, size_t size)
{
	size_t unknown = request->base.n_unknown_fields;
	for (size_t i = 0; i < request->n_operations; i++) {
		const Godwit__Client__Operation *o = request->operations[i];
		unknown += o->base.n_unknown_fields;
		for (size_t k = 0; k < o->n_steps; k++)
			unknown += o->steps[k]->base.n_unknown_fields;
	}
	if (unknown || godwit__client__request__get_packed_size(request) != size)
		return false;
	uint8_t *again = malloc(size + 1);
	if (again == NULL)
		abort();
	bool same = godwit__client__request__pack(request, again) == size && memcmp(again, bytes, size) == 0;
	free(again);
	return same;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct request request, whole;
	struct request_operation operation;
	Godwit__Client__Request *expected = godwit__client__request__unpack(NULL, size, bytes);
	int code = request_open(&request, bytes, size);
	CHECK(code == 0 || code == ERR_MALFORMED);
	bool canonical = expected && is_canonical(expected, bytes, size);
	CHECK(code == 0 || !canonical);
	if (expected && code == 0) {
		CHECK(request.protocol == expected->protocol && request.client_id == expected->client_id);
		CHECK(request.operation_count == expected->n_operations);
	}
	whole = request;
	size_t count = 0;
	while (code == 0 && (code = request_next(&request, &operation)) == 0) {
		if (expected)
			check_operation(&operation, expected->operations[count]);
		int steps = check_steps(&operation, expected ? expected->operations[count] : NULL);
		CHECK(!canonical || steps == ERR_EMPTY);
		bytes_touch(operation.key.bytes, operation.key.size);
		bytes_touch(operation.value.bytes, operation.value.size);
		count++;
	}
	CHECK(!canonical || (code == ERR_EMPTY && count == expected->n_operations));
	if (code == ERR_EMPTY)
		pack_again(&whole, size);
	if (expected)
		godwit__client__request__free_unpacked(expected, NULL);
	check_plan(bytes, size);
	return 0;
}
