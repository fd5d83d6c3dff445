/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check/memory.h"
#include "tests/unit/check/generate.h"

#define REGIONS_MADE_MAX 5u

struct made_record {
	uint32_t key, value; /* 0: removed */
	uint64_t hlc;
	uint32_t needs[REGIONS_MADE_MAX];
};
struct made_row {
	uint32_t value;
	uint64_t hlc;
	uint32_t region, sequence;
};
struct made_region {
	struct made_record *log; /* its own writes */
	uint32_t count, capacity;
	uint32_t applied[REGIONS_MADE_MAX];
	struct made_row *rows;
	uint64_t hlc_last;
	uint32_t skew;
};
struct replicas {
	struct random random;
	const struct replicas_plan *plan;
	struct history *history;
	struct made_region regions[REGIONS_MADE_MAX];
	uint32_t (*tokens)[REGIONS_MADE_MAX];
	uint32_t next_value, step;
};

static bool covers(const uint32_t *have, const uint32_t *needs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (have[i] < needs[i])
			return false;
	return true;
}

static void row_apply(
    struct replicas *r, struct made_region *at, const struct made_record *record, uint32_t origin, uint32_t sequence)
{
	struct made_row *row = &at->rows[record->key];
	bool wins = record->hlc > row->hlc || (record->hlc == row->hlc && (r->plan->tie_off || origin > row->region));
	if (record->hlc > at->hlc_last)
		at->hlc_last = record->hlc;
	if (wins)
		*row = (struct made_row){record->value, record->hlc, origin, sequence};
}

/* One record more of another region, if it may be applied. */
static bool replicate(struct replicas *r, uint32_t to, uint32_t from, bool gated)
{
	struct made_region *target = &r->regions[to], *source = &r->regions[from];
	if (to == from || target->applied[from] == source->count)
		return false;
	const struct made_record *record = &source->log[target->applied[from]];
	if (gated && !covers(target->applied, record->needs, r->plan->regions))
		return false;
	row_apply(r, target, record, from, ++target->applied[from]);
	return true;
}

static void write_make(struct replicas *r, uint32_t region, uint32_t session, uint32_t key, uint32_t value)
{
	struct made_region *at = &r->regions[region];
	struct made_record record = {.key = key, .value = value};
	uint64_t now = r->step / 4 + at->skew; /* coarse, so that stamps of two regions can be equal */
	char version[96] = "", content[48] = "";
	record.hlc = now > at->hlc_last ? now : at->hlc_last + 1;
	memcpy(record.needs, at->applied, sizeof record.needs);
	at->log = memory_room(at->log, at->count, &at->capacity, sizeof *at->log);
	at->log[at->count++] = record;
	row_apply(r, at, &record, region, ++at->applied[region]);
	if (r->plan->has_versions)
		snprintf(version, sizeof version, "\"hlc\":%llu,\"region_id\":%u,\"sequence\":%u,",
		    (unsigned long long)record.hlc, region, at->count);
	if (value)
		snprintf(content, sizeof content, "\"value\":\"v%u\",", value);
	history_line(r->history,
	    "{\"client\":%u,\"session\":\"s%u\",\"region\":\"r%u\",\"op\":\"%s\",\"key\":\"k%u\",%s%s\"outcome\":\"ok\","
	    "\"start_ns\":%u000000,\"end_ns\":%u000001}",
	    session, session, region, value ? "put" : "delete", key, content, version, r->step, r->step);
}

static void read_make(struct replicas *r, uint32_t region, uint32_t session, uint32_t key)
{
	char content[48] = "";
	if (r->regions[region].rows[key].value)
		snprintf(content, sizeof content, "\"value\":\"v%u\",", r->regions[region].rows[key].value);
	history_line(r->history,
	    "{\"client\":%u,\"session\":\"s%u\",\"region\":\"r%u\",\"op\":\"get\",\"key\":\"k%u\",%s\"outcome\":\"ok\",\"start_"
	    "ns\":%u000000,\"end_ns\":%u000001}",
	    session, session, region, key, content, r->step, r->step);
}

static void session_step(struct replicas *r)
{
	uint32_t session = random_below(&r->random, r->plan->sessions);
	uint32_t key = random_below(&r->random, r->plan->keys), dice = random_below(&r->random, 100);
	/* At home mostly; wherever it is, it waits until the region has what it has seen. */
	uint32_t region = random_below(&r->random, 5) ? session % r->plan->regions : random_below(&r->random, r->plan->regions);
	if (!r->plan->token_off && !covers(r->regions[region].applied, r->tokens[session], r->plan->regions))
		return;
	if (dice < 50)
		read_make(r, region, session, key);
	else
		write_make(r, region, session, key, dice < 50 + r->plan->delete_percent ? 0 : ++r->next_value);
	for (uint32_t i = 0; i < r->plan->regions; i++)
		if (r->regions[region].applied[i] > r->tokens[session][i])
			r->tokens[session][i] = r->regions[region].applied[i];
}

static void finals_make(struct replicas *r)
{
	for (bool again = true; again;) {
		again = false;
		for (uint32_t to = 0; to < r->plan->regions; to++)
			for (uint32_t from = 0; from < r->plan->regions; from++)
				again |= replicate(r, to, from, false);
	}
	for (uint32_t i = 0; r->plan->finals && i < r->plan->regions; i++)
		for (uint32_t k = 0; k < r->plan->keys; k++) {
			char key[24], value[24];
			snprintf(key, sizeof key, "k%u", k);
			snprintf(value, sizeof value, "v%u", r->regions[i].rows[k].value);
			if (r->regions[i].rows[k].value)
				final_line(&r->plan->finals[i], r->history, "final", key, value);
		}
}

void generate_replicas(uint64_t seed, const struct replicas_plan *plan, struct history *history)
{
	struct replicas r = {.random = {seed}, .plan = plan, .history = history};
	cr_assert_leq(plan->regions, REGIONS_MADE_MAX);
	r.tokens = memory_zeroed(plan->sessions, sizeof *r.tokens);
	for (uint32_t i = 0; i < plan->regions; i++) {
		r.regions[i].rows = memory_zeroed(plan->keys, sizeof *r.regions[i].rows);
		r.regions[i].skew = random_below(&r.random, 4);
	}
	for (r.step = 1; history->count < plan->operations; r.step++) {
		session_step(&r);
		/* A burst of what one region has for another. */
		uint32_t to = random_below(&r.random, plan->regions), from = random_below(&r.random, plan->regions);
		if (random_below(&r.random, 4) == 0)
			for (uint32_t i = random_below(&r.random, 30); i > 0; i--)
				replicate(&r, to, from, !plan->gate_off);
	}
	finals_make(&r);
	for (uint32_t i = 0; i < plan->regions; i++) {
		free(r.regions[i].rows);
		free(r.regions[i].log);
	}
	free(r.tokens);
}
