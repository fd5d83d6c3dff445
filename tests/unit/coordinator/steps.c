/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/coordinator/steps.h"

#include <criterion/criterion.h>
#include <string.h>

struct coordinator c;
struct coordinator_effects out;
uint64_t lsn, bounds_appended;
int log_code;
struct record last_record;
static uint8_t last_bytes[RECORD_ENCODED_MAX];

void steps_setup(void)
{
	struct coordinator_options options = {
	    .region = OWN, .regions = 7, .keyspace_count = 3, .clock_drift_max_ms = DRIFT, .reply_cache_answers = 1u << 17};
	options.keyspaces[1].level = LEVEL_STRONG;
	options.keyspaces[2].acknowledge = ACKNOWLEDGE_QUORUM;
	struct vector empty = {0};
	cr_assert_eq(coordinator_init(&c, &options, &empty, &empty, 0), 0);
	lsn = 256;
	bounds_appended = 0;
	log_code = 0;
}

void steps_teardown(void)
{
	coordinator_deinit(&c);
}

/* What io.c does with an event: append what the step wants and report it. */
void run(struct coordinator_event *event)
{
	coordinator_step(&c, event, &out);
	if (!out.record)
		return;
	if (log_code == 0) {
		if (out.hlc_bound)
			bounds_appended++;
		lsn += out.record_size;
		memcpy(last_bytes, out.record, out.record_size);
		cr_assert_eq(record_decode(&last_record, last_bytes, out.record_size), (long)out.record_size);
	}
	struct coordinator_event appended = {.type = COORDINATOR_APPENDED, .appended = {.code = log_code, .end_lsn = lsn}};
	coordinator_step(&c, &appended, &out);
}

struct coordinator_event put(uint64_t client, uint64_t number, const char *key)
{
	return (struct coordinator_event){.type = COORDINATOR_OPERATION,
	    .now_ms = NOW,
	    .operation = {.route = 7,
	        .client_id = client,
	        .number = number,
	        .key = (const uint8_t *)key,
	        .key_size = strlen(key),
	        .value = (const uint8_t *)"v",
	        .value_size = 1}};
}

void write_one(uint64_t client, uint64_t number)
{
	struct coordinator_event e = put(client, number, "key");
	run(&e);
}

/* Everything up to `up_to` became durable and was applied. */
void apply(uint64_t up_to, struct vector vector)
{
	struct coordinator_event e = {.type = COORDINATOR_APPLIED, .applied = {.lsn = up_to, .vector = &vector}};
	run(&e);
}

void inbound(uint8_t region, uint64_t sequence, uint64_t hlc)
{
	static uint8_t bytes[512];
	struct record r = {.dot = {.region = region, .sequence = sequence},
	    .hlc = hlc,
	    .key = (const uint8_t *)"k",
	    .key_size = 1,
	    .value = (const uint8_t *)"w",
	    .value_size = 1};
	r.context.sequence[region] = sequence - 1;
	long size = record_encode(&r, bytes, sizeof bytes);
	struct coordinator_event e = {
	    .type = COORDINATOR_INBOUND, .now_ms = NOW, .inbound = {.bytes = bytes, .size = (size_t)size}};
	run(&e);
}

struct vector version_of(const struct coordinator_answer *answer)
{
	struct dotted v;
	cr_assert_eq(dotted_decode(&v, answer->version, answer->version_size), 0);
	return v.seen;
}
