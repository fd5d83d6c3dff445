/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's state machine on whatever requests and received records come: each record it makes can be read, belongs to
 * the next number of its region, and nothing that a peer sends leaves a gap. Strong transactions take numbers in between.
 * Input: steps of u8 what, u8 size, bytes. */
#include "actors/coordinator/coordinator.h"
#include "core/commit_entry.h"
#include "proto/request.h"
#include "tests/fuzz/fuzz.h"

#define NOW_MS 1000000u
#define MEMORY 4096u /* answers; more than an input has operations */

static struct coordinator machine, fresh;
static struct coordinator_effects effects;
static struct row row;
static struct commit_head head;
static uint64_t lsn;

static void check_answers(void)
{
	struct vector version;
	CHECK(effects.answer_count <= COORDINATOR_ANSWERS_MAX);
	for (uint32_t i = 0; i < effects.answer_count; i++) {
		const struct coordinator_answer *answer = &effects.answers[i];
		CHECK(answer->code <= 0 && strcmp(error_name(answer->code), "INVALID_CODE") != 0);
		if (answer->version_size)
			CHECK(vector_decode(&version, answer->version, answer->version_size) == (long)answer->version_size);
	}
}

/* Every third one the log refuses. */
static void append(bool own, uint64_t number)
{
	static uint8_t scratch[RECORD_ENCODED_MAX];
	struct record record;
	CHECK(effects.record_size <= sizeof scratch);
	CHECK(record_decode(&record, effects.record, effects.record_size) == (long)effects.record_size);
	CHECK(own == (record.dot.region == 0));
	CHECK(record.dot.sequence == machine.assigned.sequence[record.dot.region] + 1);
	CHECK(record_encode(&record, scratch, sizeof scratch) == (long)effects.record_size);
	bool taken = number % 3 != 0;
	struct vector before = machine.assigned;
	lsn += effects.record_size;
	struct coordinator_event event = {
	    .type = COORDINATOR_APPENDED, .appended = {.code = taken ? 0 : ERR_OVERLOADED, .end_lsn = lsn}};
	coordinator_step(&machine, &event, &effects);
	CHECK(machine.assigned.sequence[record.dot.region] == before.sequence[record.dot.region] + taken);
	check_answers();
}

static void request_take(const uint8_t *bytes, size_t size, unsigned what)
{
	struct request request;
	struct request_operation o;
	if (request_open(&request, bytes, size) != 0)
		return;
	while (request_next(&request, &o) == 0) {
		struct coordinator_event event = {.type = COORDINATOR_OPERATION,
		    .now_ms = NOW_MS,
		    .operation = {.route = 1,
		        .client_id = request.client_id,
		        .number = o.number,
		        .settled = o.settled,
		        .age_ms = o.age_ms,
		        .keyspace = (int)o.keyspace.size - 1,
		        .tombstone = o.kind == 2,
		        .moved = o.moved,
		        .conditional = o.condition != 0,
		        .key = o.key.bytes,
		        .key_size = o.key.size,
		        .value = o.value.bytes,
		        .value_size = o.value.size,
		        .context = o.context.bytes,
		        .context_size = o.context.size,
		        .row = what & 8 ? &row : NULL}};
		if (event.operation.keyspace >= (int)machine.options.keyspace_count)
			event.operation.keyspace = -1;
		coordinator_step(&machine, &event, &effects);
		check_answers();
		if (effects.record)
			append(true, o.number);
	}
}

static void inbound_take(const uint8_t *bytes, size_t size, unsigned what)
{
	struct coordinator_event event = {
	    .type = COORDINATOR_INBOUND, .now_ms = NOW_MS, .inbound = {.bytes = bytes, .size = size}};
	coordinator_step(&machine, &event, &effects);
	CHECK(effects.inbound <= 0 && effects.inbound_origin < REGIONS_MAX);
	bool is_transaction = effects.record && effects.record[0] == RECORD_TRANSACTION;
	CHECK(is_transaction == (effects.inbound_entry != NULL) && is_transaction == (effects.inbound_entry_size > 0));
	if (is_transaction) {
		struct commit_body body;
		CHECK(commit_entry_open(effects.inbound_entry, effects.inbound_entry_size, &head, &body) == 0 && body.bytes);
		CHECK(head.previous_count == body.operation_count);
	}
	if (effects.record)
		append(false, what >> 4);
}

/* As the machine of the strong commit would decide it: whole, and with what it replaced. */
static void commit_take(const uint8_t *bytes, size_t size, unsigned what)
{
	struct commit_body body;
	if (commit_entry_open(bytes, size, &head, &body) != 0 || !body.bytes || head.previous_count != body.operation_count)
		return;
	struct coordinator_event event = {
	    .type = COORDINATOR_COMMIT, .commit = {.entry = bytes, .size = size, .hlc = head.id.hlc}};
	coordinator_step(&machine, &event, &effects);
	CHECK(effects.record && !effects.answer_count && !effects.hlc_bound && !effects.inbound_entry);
	append(true, what >> 4);
}

static void apply(void)
{
	machine.applied = machine.assigned;
	struct vector applied = machine.assigned;
	struct coordinator_event event = {.type = COORDINATOR_APPLIED, .applied = {.lsn = lsn, .vector = &applied}};
	do {
		coordinator_step(&machine, &event, &effects);
		check_answers();
	} while (effects.more);
	CHECK(coordinator_parked_count(&machine) == 0);
}

/* Made once: it is large. */
static void memory_clear(void)
{
	memset(fresh.reply_cache.answers, 0, MEMORY * sizeof *fresh.reply_cache.answers);
	memset(fresh.reply_cache.places, 0, 2 * MEMORY * sizeof *fresh.reply_cache.places);
	memset(fresh.reply_cache.clients, 0, REPLY_CACHE_CLIENTS * sizeof *fresh.reply_cache.clients);
	memset(fresh.slots, 0, COORDINATOR_KEY_SLOTS * sizeof *fresh.slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = {bytes, bytes + size};
	struct coordinator_options options = {.region = 0,
	    .regions = 7,
	    .keyspace_count = 3,
	    .keyspaces = {{LEVEL_EVENTUAL, ACKNOWLEDGE_ONE}, {LEVEL_CAUSAL, ACKNOWLEDGE_ONE},
	        {LEVEL_STRONG, ACKNOWLEDGE_QUORUM}},
	    .clock_drift_max_ms = 500,
	    .reply_cache_answers = MEMORY};
	struct vector nothing = {0};
	lsn = 0;
	row_init(&row);
	if (fresh.parked == NULL)
		CHECK(coordinator_init(&fresh, &options, &nothing, &nothing, 0) == 0);
	machine = fresh;
	while (input_left(&in)) {
		unsigned what = (unsigned)input_number(&in, 1);
		size_t wanted = (size_t)input_number(&in, 1), taken;
		uint8_t *part = input_bytes(&in, wanted, &taken);
		switch (what & 3) {
		case 0:
			request_take(part, taken, what);
			break;
		case 1:
			inbound_take(part, taken, what);
			break;
		case 2:
			apply();
			break;
		default: {
			if (what & 8) {
				commit_take(part, taken, what);
				break;
			}
			struct coordinator_event event = {.type = COORDINATOR_REFUSE, .refuse = what & 4 ? ERR_DRAINING : 0};
			coordinator_step(&machine, &event, &effects);
		}
		}
		free(part);
	}
	apply();
	memory_clear();
	return 0;
}
