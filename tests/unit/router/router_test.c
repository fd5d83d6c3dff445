/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/router.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/client.pb-c.h"

#define PROTOCOL 1

static uint64_t random_state = 88172645463325252ull;
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static size_t pack(const uint32_t *kinds, size_t count, uint32_t protocol, uint64_t client_id, uint8_t *out)
{
	static Godwit__Client__Operation operations[8192], *list[8192];
	Godwit__Client__Request request = GODWIT__CLIENT__REQUEST__INIT;
	for (size_t i = 0; i < count; i++) {
		godwit__client__operation__init(&operations[i]);
		operations[i].number = i + 1;
		operations[i].kind = (Godwit__Client__Kind)kinds[i];
		list[i] = &operations[i];
	}
	request.protocol = protocol;
	request.client_id = client_id;
	request.operations = list;
	request.n_operations = count;
	return godwit__client__request__pack(&request, out);
}

static const struct topology no_topology = {.keyspace_count = 1, .keyspaces = {{.name = "default"}}};

Test(router, plan)
{
	static uint8_t bytes[65536];
	static uint32_t kinds[8192];
	struct router_plan plan;
	kinds[0] = kinds[2] = ROUTER_PUT;
	kinds[1] = ROUTER_GET;
	kinds[3] = ROUTER_DELETE;
	size_t size = pack(kinds, 4, PROTOCOL, 9, bytes);
	router_plan(&plan, &no_topology, &rights_all, bytes, size, PROTOCOL);
	cr_assert_eq(plan.code, 0);
	cr_assert_eq(plan.forwarded, 3);
	cr_assert_eq(plan.others, 1);
	cr_assert_eq(plan.request.client_id, 9);
	size = pack(kinds, 4, PROTOCOL + 1, 9, bytes);
	router_plan(&plan, &no_topology, &rights_all, bytes, size, PROTOCOL);
	cr_assert_eq(plan.code, ERR_WRONG_VERSION);
	size = pack(kinds, 4, PROTOCOL, 0, bytes);
	router_plan(&plan, &no_topology, &rights_all, bytes, size, PROTOCOL);
	cr_assert_eq(plan.code, ERR_MALFORMED);
	size = pack(kinds, REQUEST_OPERATIONS_MAX, PROTOCOL, 9, bytes);
	router_plan(&plan, &no_topology, &rights_all, bytes, size, PROTOCOL);
	cr_assert_eq(plan.code, 0);
	size = pack(kinds, REQUEST_OPERATIONS_MAX + 1, PROTOCOL, 9, bytes);
	router_plan(&plan, &no_topology, &rights_all, bytes, size, PROTOCOL);
	cr_assert_eq(plan.code, ERR_MALFORMED);
	router_plan(&plan, &no_topology, &rights_all, (const uint8_t *)"\x1a\x05", 2, PROTOCOL);
	cr_assert_eq(plan.code, ERR_MALFORMED);
	router_plan(&plan, &no_topology, &rights_all, bytes, 0, PROTOCOL);
	cr_assert_eq(plan.code, ERR_WRONG_VERSION);
}

static void topology_make(struct topology *t)
{
	memset(t, 0, sizeof *t);
	t->keyspace_count = 2;
	strcpy(t->keyspaces[0].name, "default");
	strcpy(t->keyspaces[1].name, "orders");
	t->keyspaces[1].level = LEVEL_STRONG;
}

Test(router, check)
{
	static struct topology topology;
	topology_make(&topology);
	static uint8_t large[KEY_SIZE_MAX + 1];
	const struct {
		uint32_t kind, limit;
		size_t key_size;
		const char *keyspace;
		int code;
	} rows[] = {
	    {ROUTER_GET, 0, 1, "", 0},
	    {ROUTER_GET, 0, 1, "default", 0},
	    {ROUTER_GET, 0, 0, "", ERR_KEY_TOO_LARGE},
	    {ROUTER_GET, 0, KEY_SIZE_MAX, "", 0},
	    {ROUTER_GET, 0, KEY_SIZE_MAX + 1, "", ERR_KEY_TOO_LARGE},
	    {ROUTER_GET, 0, 1, "defaul", ERR_UNKNOWN_KEYSPACE},
	    {ROUTER_GET, 0, 1, "defaults", ERR_UNKNOWN_KEYSPACE},
	    {ROUTER_SCAN, 0, 0, "", 0},
	    {ROUTER_BUCKET, 255, 0, "", 0},
	    {ROUTER_BUCKET, 255, 0, "orders", 0},
	    {ROUTER_BUCKET, 256, 0, "", ERR_MALFORMED},
	    {ROUTER_DIGESTS, 0, 0, "orders", 0},
	    {ROUTER_DIGESTS, 0, 0, "", 0},
	    {ROUTER_REGION, 0, 0, "unused", 0},
	    {ROUTER_CONFLICTS, 0, 0, "", 0},
	    {0, 0, 1, "", ERR_UNSUPPORTED},
	    {ROUTER_IN_DOUBT + 1, 0, 1, "", ERR_UNSUPPORTED},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct request_operation operation = {.kind = rows[i].kind,
		    .limit = rows[i].limit,
		    .key = {large, rows[i].key_size},
		    .keyspace = {(const uint8_t *)rows[i].keyspace, strlen(rows[i].keyspace)}};
		uint16_t keyspace;
		const char *reason;
		cr_expect_eq(router_check(&topology, &operation, &keyspace, &reason), rows[i].code, "row %zu", i);
	}
}

/* What only a majority can answer is sent on; whoever asks for less is answered from the rows; what cannot be done is refused.
 */
Test(router, levels_of_reads)
{
	static struct topology topology;
	topology_make(&topology);
	topology.keyspace_count = 3;
	strcpy(topology.keyspaces[2].name, "chain");
	topology.keyspaces[2].level = LEVEL_CAUSAL;
	enum { FORWARDED = 1 };
	static const struct {
		const char *keyspace;
		int get[7], scan[7]; /* by level, STALE, and one beyond */
	} rows[] = {
	    {"default", {0, 0, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, 0, ERR_MALFORMED},
	        {0, 0, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, 0, ERR_MALFORMED}},
	    {"orders", {FORWARDED, 0, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, FORWARDED, 0, ERR_MALFORMED},
	        {ERR_LEVEL_UNAVAILABLE, 0, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, 0,
	            ERR_MALFORMED}},
	    {"chain",
	        {ERR_LEVEL_UNAVAILABLE, 0, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, 0,
	            ERR_MALFORMED},
	        {ERR_LEVEL_UNAVAILABLE, 0, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, ERR_LEVEL_UNAVAILABLE, 0,
	            ERR_MALFORMED}},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (uint32_t level = ROUTER_OWN; level <= ROUTER_STALE + 1; level++)
			for (int scan = 0; scan < 2; scan++) {
				struct request_operation operation = {.kind = scan ? ROUTER_SCAN : ROUTER_GET,
				    .level = level,
				    .key = {(const uint8_t *)"k", 1},
				    .keyspace = {(const uint8_t *)rows[i].keyspace, strlen(rows[i].keyspace)}};
				uint16_t keyspace;
				const char *reason;
				int expected = scan ? rows[i].scan[level] : rows[i].get[level];
				bool forwarded = router_is_forwarded(&topology, &operation);
				cr_expect_eq(forwarded, expected == FORWARDED, "%s level %u", rows[i].keyspace, level);
				if (forwarded)
					continue;
				int code = router_check(&topology, &operation, &keyspace, &reason);
				cr_expect_eq(code, expected, "%s level %u: %d", rows[i].keyspace, level, code);
				cr_expect(code ? reason != NULL : keyspace == i, "%s level %u", rows[i].keyspace, level);
			}
	/* Without a key it is refused here. */
	struct request_operation get = {.kind = ROUTER_GET, .keyspace = {(const uint8_t *)"orders", 6}};
	cr_assert(!router_is_forwarded(&topology, &get));
	static const uint32_t always[] = {ROUTER_PUT, ROUTER_DELETE, ROUTER_TRANSACTION, ROUTER_IN_DOUBT};
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		cr_assert(router_is_forwarded(&topology, &(struct request_operation){.kind = always[i]}));
}

Test(router, committed_row)
{
	uint8_t version[COMMIT_VERSION_SIZE];
	struct commit_id read;
	struct commit_row row = {.stamp = {.hlc = 9, .region = 1},
	    .version = {.hlc = 7, .region = 2, .share = 3},
	    .live = true,
	    .value = (const uint8_t *)"value",
	    .value_size = 5};
	struct answer answer = {.number = 1, .code = -1};
	router_answer_committed(&answer, &row, version);
	cr_assert(answer.code == 0 && answer.siblings == 1 && answer.hlc == 7 && answer.value.size == 5);
	cr_assert_eq(commit_version_decode(&read, answer.version.bytes, answer.version.size), 0);
	cr_assert(commit_id_equal(read, row.version) && read.share == 3, "the version is the write's, not the check's");
	row.live = false;
	router_answer_committed(&answer, &row, version);
	cr_assert(answer.code == ERR_NOT_FOUND && answer.siblings == 0 && answer.value.size == 0);
	cr_assert_eq(answer.version.size, COMMIT_VERSION_SIZE);
}

Test(router, row_with_siblings)
{
	uint32_t priority[REGIONS_MAX] = {0};
	uint8_t version[VECTOR_ENCODED_MAX];
	struct row row;
	row_init(&row);
	row.context.sequence[0] = 4;
	row.sibling_count = 2;
	row.siblings[0] =
	    (struct sibling){.dot = {.region = 0, .sequence = 7}, .hlc = 100, .value = (const uint8_t *)"old", .value_size = 3};
	row.siblings[1] = (struct sibling){
	    .dot = {.region = 2, .sequence = 3}, .hlc = 200, .value = (const uint8_t *)"newer", .value_size = 5};
	struct answer answer = {.number = 1};
	router_answer_row(&answer, &row, STRATEGY_LWW, priority, version);
	cr_assert_eq(answer.code, 0);
	cr_assert_eq(answer.value.size, 5);
	cr_assert_eq(answer.siblings, 2);
	cr_assert_eq(answer.hlc, 200);
	struct vector seen;
	cr_assert_eq(vector_decode(&seen, answer.version.bytes, answer.version.size), (long)answer.version.size);
	cr_assert_eq(seen.sequence[0], 7);
	cr_assert_eq(seen.sequence[2], 3);
	router_answer_row(&answer, &row, STRATEGY_FWW, priority, version);
	cr_assert_eq(answer.value.size, 3);
	/* A tombstone that wins: not found, but with a version, so that the next write replaces it. */
	row.siblings[1].flags = RECORD_TOMBSTONE;
	answer = (struct answer){.number = 1};
	router_answer_row(&answer, &row, STRATEGY_LWW, priority, version);
	cr_assert_eq(answer.code, ERR_NOT_FOUND);
	cr_assert_eq(answer.value.size, 0);
	cr_assert_gt(answer.version.size, 1);
	row.sibling_count = 0;
	router_answer_row(&answer, &row, STRATEGY_LWW, priority, version);
	cr_assert_eq(answer.code, ERR_NOT_FOUND);
}

/* ---- the hand-written encoding against the generated one ---- */

static ProtobufCBinaryData random_bytes(uint8_t *room, size_t most)
{
	size_t size = random_next() % (most + 1);
	for (size_t i = 0; i < size; i++)
		room[i] = (uint8_t)random_next();
	return (ProtobufCBinaryData){.len = size, .data = room};
}

static bool same_bytes(struct request_bytes a, ProtobufCBinaryData b)
{
	return a.size == b.len && (!a.size || !memcmp(a.bytes, b.data, a.size));
}

/* The generated code ends text at its first zero. */
static bool same_text(struct request_bytes a, const char *b)
{
	size_t size = strlen(b);
	return a.size >= size && (!size || !memcmp(a.bytes, b, size)) && (a.size == size || !a.bytes[size]);
}

static bool same_steps(const struct request_operation *o, const Godwit__Client__Operation *g)
{
	struct request_step step;
	const uint8_t *at = NULL;
	bool same = o->step_count == g->n_steps;
	for (size_t i = 0; i < g->n_steps && same; i++) {
		const Godwit__Client__Step *s = g->steps[i];
		same = request_step_next(o, &at, &step) == 0 && step.kind == (uint32_t)s->kind &&
		       step.condition == s->condition && same_text(step.keyspace, s->keyspace) &&
		       same_bytes(step.key, s->key) && same_bytes(step.value, s->value) &&
		       same_bytes(step.expected, s->expected);
	}
	return same && request_step_next(o, &at, &step) == ERR_EMPTY && request_step_next(o, &at, &step) == ERR_EMPTY;
}

/* 0 when each can be read to its end. Steps are looked at only by whoever carries them out. */
static int steps_read(const struct request_operation *o)
{
	struct request_step step;
	const uint8_t *at = NULL;
	uint32_t count = 0;
	int code;
	while (!(code = request_step_next(o, &at, &step)))
		count++;
	cr_assert(code == ERR_MALFORMED || count == o->step_count);
	return code == ERR_EMPTY ? 0 : code;
}

/* Everything that the hand-written decoder takes, the generated one takes, with the same result. */
static int compare(const uint8_t *bytes, size_t size)
{
	struct request request;
	struct request_operation o;
	int code = request_open(&request, bytes, size);
	struct request again = request;
	while (!code && !(code = request_next(&again, &o)))
		code = steps_read(&o);
	if (code == ERR_MALFORMED)
		return code;
	Godwit__Client__Request *generated = godwit__client__request__unpack(NULL, size, bytes);
	cr_assert(generated);
	cr_assert_eq(request.protocol, generated->protocol);
	cr_assert_eq(request.client_id, generated->client_id);
	cr_assert_eq(request.operation_count, generated->n_operations);
	for (size_t i = 0; i < generated->n_operations; i++) {
		const Godwit__Client__Operation *g = generated->operations[i];
		cr_assert_eq(request_next(&request, &o), 0);
		cr_assert(o.number == g->number && o.kind == (uint32_t)g->kind && o.limit == g->limit &&
		          o.limit_id == g->limit_id && o.settled == g->settled && o.age_ms == g->age_ms);
		cr_assert(same_bytes(o.key, g->key) && same_bytes(o.value, g->value) && same_bytes(o.context, g->context) &&
		          same_bytes(o.after, g->after));
		cr_assert(same_text(o.keyspace, g->keyspace));
		cr_assert(o.condition == g->condition && o.level == g->level && o.timeout_ms == g->timeout_ms &&
		          o.moved == g->moved && same_bytes(o.expected, g->expected));
		cr_assert(same_steps(&o, g));
	}
	cr_assert_eq(request_next(&request, &o), ERR_EMPTY);
	godwit__client__request__free_unpacked(generated, NULL);
	return 0;
}

#define STEPS_MOST 3

static void random_steps(Godwit__Client__Operation *operation)
{
	static uint8_t room[3][64];
	static char carts[] = "carts", none[] = "";
	static Godwit__Client__Step steps[4][STEPS_MOST], *lists[4][STEPS_MOST];
	static unsigned turn;
	Godwit__Client__Step **list = lists[++turn % 4];
	operation->steps = list;
	operation->n_steps = random_next() % (STEPS_MOST + 1);
	for (size_t i = 0; i < operation->n_steps; i++) {
		Godwit__Client__Step *step = list[i] = &steps[turn % 4][i];
		godwit__client__step__init(step);
		step->kind = (Godwit__Client__Kind)(random_next() % 14);
		step->keyspace = random_next() & 1 ? carts : none;
		step->key = random_bytes(room[0], 40);
		step->value = random_bytes(room[1], 40);
		step->condition = (uint32_t)random_next() >> random_next() % 32;
		step->expected = random_bytes(room[2], 16);
	}
}

Test(router, requests_decode_as_generated)
{
	static uint8_t room[5][64], bytes[8192];
	static char carts[] = "carts", none[] = "";
	uint32_t accepted = 0;
	for (uint32_t round = 0; round < 20000; round++) {
		Godwit__Client__Request request = GODWIT__CLIENT__REQUEST__INIT;
		Godwit__Client__Operation operations[4], *list[4];
		request.protocol = (uint32_t)(random_next() % 3);
		request.client_id = random_next();
		request.n_operations = random_next() % 4;
		request.operations = list;
		for (size_t i = 0; i < request.n_operations; i++) {
			godwit__client__operation__init(&operations[i]);
			operations[i].number = random_next() >> random_next() % 64;
			operations[i].kind = (Godwit__Client__Kind)(random_next() % 14);
			operations[i].keyspace = random_next() & 1 ? carts : none;
			operations[i].key = random_bytes(room[0], 60);
			operations[i].value = random_bytes(room[1], 60);
			operations[i].context = random_bytes(room[2], 20);
			operations[i].after = random_bytes(room[3], 20);
			operations[i].limit = (uint32_t)random_next() >> random_next() % 32;
			operations[i].limit_id = random_next() >> random_next() % 64;
			operations[i].settled = random_next() >> random_next() % 64;
			operations[i].age_ms = random_next() >> random_next() % 64;
			operations[i].condition = (uint32_t)random_next() >> random_next() % 32;
			operations[i].expected = random_bytes(room[4], 16);
			operations[i].level = (uint32_t)random_next() >> random_next() % 32;
			operations[i].timeout_ms = (uint32_t)random_next() >> random_next() % 32;
			operations[i].moved = random_next() & 1;
			random_steps(&operations[i]);
			list[i] = &operations[i];
		}
		size_t size = godwit__client__request__pack(&request, bytes);
		cr_assert_eq(compare(bytes, size), 0);
		for (uint32_t change = 0; change < 8; change++) {
			if (size && random_next() & 1)
				bytes[random_next() % size] = (uint8_t)random_next();
			size_t cut = random_next() & 3 ? size : size ? random_next() % size : 0;
			accepted += compare(bytes, cut) == 0;
		}
	}
	cr_assert_gt(accepted, 10000);
}

/* A number of 64 bits may take ten bytes; one bit more and the generated code takes `moved` for set, though it is 2^64. */
Test(router, numbers_of_more_than_64_bits_are_refused)
{
	uint8_t bytes[] = {0x1a, 12, 0x80, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1};
	cr_assert_eq(compare(bytes, sizeof bytes), 0);
	bytes[13] = 2;
	cr_assert_eq(compare(bytes, sizeof bytes), ERR_MALFORMED);
	bytes[13] = 0x81;
	cr_assert_eq(compare(bytes, sizeof bytes), ERR_MALFORMED);
}

Test(router, answers_encode_as_generated)
{
	static uint8_t bytes[1024], room[2][100];
	for (uint32_t round = 0; round < 20000; round++) {
		ProtobufCBinaryData value = random_bytes(room[0], 100), version = random_bytes(room[1], 100);
		struct answer answer = {.number = random_next() >> random_next() % 64,
		    .code = -(int)(random_next() % 30),
		    .reason = random_next() & 1 ? "because" : NULL,
		    .value = {value.data, value.len},
		    .version = {version.data, version.len},
		    .hlc = random_next() & 1 ? random_next() : 0,
		    .siblings = (uint32_t)(random_next() % 300)};
		size_t size = answers_header_encode(PROTOCOL, bytes);
		size_t before = size;
		for (int i = 0; i < 2; i++)
			size += answer_encode(&answer, bytes + size);
		cr_assert_leq(size - before, 2 * answer_size_max(&answer));
		Godwit__Client__Answers *answers = godwit__client__answers__unpack(NULL, size, bytes);
		cr_assert(answers && answers->protocol == PROTOCOL && answers->n_answers == 2);
		const Godwit__Client__Answer *g = answers->answers[1];
		cr_assert(g->number == answer.number && g->code == answer.code && g->hlc == answer.hlc &&
		          g->siblings == answer.siblings);
		cr_assert(same_bytes(answer.value, g->value) && same_bytes(answer.version, g->version));
		cr_assert_str_eq(g->reason, answer.reason ? answer.reason : "");
		godwit__client__answers__free_unpacked(answers, NULL);
	}
}

Test(router, repacked_requests_are_whole)
{
	static uint8_t bytes[4096], repacked[4096];
	uint32_t kinds[] = {ROUTER_PUT, ROUTER_GET, ROUTER_PUT};
	struct router_plan plan;
	router_plan(&plan, &no_topology, &rights_all, bytes, pack(kinds, 3, PROTOCOL, 77, bytes), PROTOCOL);
	struct request_operation operation;
	size_t size = request_header_encode(PROTOCOL, plan.request.client_id, repacked);
	while (request_next(&plan.request, &operation) == 0) {
		if (router_is_forwarded(&no_topology, &operation))
			size += request_operation_encode(&operation, repacked + size);
	}
	Godwit__Client__Request *request = godwit__client__request__unpack(NULL, size, repacked);
	cr_assert(request && request->client_id == 77 && request->protocol == PROTOCOL && request->n_operations == 2);
	cr_assert_eq(request->operations[0]->number, 1);
	cr_assert_eq(request->operations[1]->number, 3);
	godwit__client__request__free_unpacked(request, NULL);
}

static struct request_operation operation_of(uint32_t kind, const char *keyspace)
{
	return (struct request_operation){
	    .kind = kind, .keyspace = {.bytes = (const uint8_t *)keyspace, .size = strlen(keyspace)}};
}
static bool may(const struct rights *rights, uint32_t kind, const char *keyspace)
{
	struct request_operation operation = operation_of(kind, keyspace);
	return router_is_permitted(rights, &operation);
}

/* Each kind of operation, and each right that it needs. */
Test(router, G18_rights_of_a_key)
{
	static const uint32_t reads[] = {ROUTER_GET, ROUTER_SCAN, ROUTER_DIGESTS, ROUTER_BUCKET},
	                      writes[] = {ROUTER_PUT, ROUTER_DELETE},
	                      admins[] = {ROUTER_CONFLICTS, ROUTER_CONFLICT, ROUTER_IN_DOUBT};
	struct rights read, write, admin;
	cr_assert(rights_parse("read", "orders", &read, NULL) == 0 && rights_parse("write", "orders", &write, NULL) == 0 &&
	          rights_parse("admin", "orders", &admin, NULL) == 0);
	for (size_t i = 0; i < 4; i++)
		cr_assert(may(&read, reads[i], "orders") && !may(&read, reads[i], "") && !may(&write, reads[i], "orders") &&
		              !may(&admin, reads[i], "orders") && !may(NULL, reads[i], "orders") &&
		              may(&rights_all, reads[i], "x"),
		    "%zu", i);
	for (size_t i = 0; i < 2; i++)
		cr_assert(may(&write, writes[i], "orders") && !may(&write, writes[i], "") && !may(&read, writes[i], "orders") &&
		              !may(&admin, writes[i], "orders") && !may(NULL, writes[i], "orders"),
		    "%zu", i);
	for (size_t i = 0; i < 3; i++)
		cr_assert(may(&admin, admins[i], "") && !may(&read, admins[i], "orders") && !may(&write, admins[i], "orders"),
		    "%zu", i);
	cr_assert(may(&read, ROUTER_REGION, "") && !may(NULL, ROUTER_REGION, ""));
}

/* A transaction is one: a step that is not permitted forbids all of it. In a message, only what is forbidden is taken out. */
Test(router, G18_rights_of_transactions_and_messages)
{
	static uint8_t bytes[4096];
	struct rights rights;
	struct router_plan plan;
	Godwit__Client__Step steps[2], *step_list[] = {&steps[0], &steps[1]};
	Godwit__Client__Operation operation, put, *list[] = {&operation, &put};
	Godwit__Client__Request request = GODWIT__CLIENT__REQUEST__INIT;
	godwit__client__operation__init(&operation);
	godwit__client__operation__init(&put);
	for (int i = 0; i < 2; i++)
		godwit__client__step__init(&steps[i]);
	operation.kind = (Godwit__Client__Kind)ROUTER_TRANSACTION;
	operation.steps = step_list;
	operation.n_steps = 2;
	put.kind = (Godwit__Client__Kind)ROUTER_PUT;
	put.keyspace = (char *)(uintptr_t) "orders";
	request.protocol = PROTOCOL;
	request.client_id = 1;
	request.operations = list;
	request.n_operations = 2;
	static const struct {
		const char *words, *keyspaces, *second;
		uint32_t second_kind, unpermitted;
	} cases[] = {{"write", "orders", "orders", ROUTER_PUT, 0}, {"write", "orders", "ledger", ROUTER_PUT, 1},
	    {"write", "orders", "orders", ROUTER_CHECK, 1}, {"read,write", "orders", "orders", ROUTER_CHECK, 0},
	    {"write", "ledger", "ledger", ROUTER_DELETE, 2}, {"read", "*", "orders", ROUTER_CHECK, 2}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		cr_assert_eq(rights_parse(cases[i].words, cases[i].keyspaces, &rights, NULL), 0);
		steps[0].kind = (Godwit__Client__Kind)ROUTER_PUT;
		steps[0].keyspace = (char *)(uintptr_t) "orders";
		steps[1].kind = (Godwit__Client__Kind)cases[i].second_kind;
		steps[1].keyspace = (char *)(uintptr_t)cases[i].second;
		size_t size = godwit__client__request__pack(&request, bytes);
		router_plan(&plan, &no_topology, &rights, bytes, size, PROTOCOL);
		cr_assert_eq(plan.code, 0);
		cr_assert_eq(plan.unpermitted, cases[i].unpermitted, "%zu: %u", i, plan.unpermitted);
		cr_assert_eq(plan.forwarded, 2 - cases[i].unpermitted);
	}
}
