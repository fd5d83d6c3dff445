/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check/memory.h"
#include "tests/unit/check/generate.h"

#define STEPS_MADE_MAX 4u
#define LIST_MADE_MAX  24u /* then the next list takes its place */

struct made_list {
	uint32_t values[LIST_MADE_MAX + 2 * STEPS_MADE_MAX], count;
	uint32_t generation, version;
};
struct made_step {
	bool writes, removes;
	uint32_t slot, value; /* value 0: removed */
};
struct made_transaction {
	int64_t start_ns, commit_ns, end_ns;
	struct made_step steps[STEPS_MADE_MAX];
	uint32_t step_count;
	struct made_list *snapshot;
};
struct maker {
	struct random random;
	const struct transactions_plan *plan;
	struct history *history;
	struct made_list *store;
	uint32_t next_value;
};

static void begin(struct maker *m, struct made_transaction *t, int64_t at_ns)
{
	t->start_ns = at_ns;
	t->commit_ns = at_ns + 1 + random_below(&m->random, 100);
	t->end_ns = t->commit_ns + 1 + random_below(&m->random, 100);
	t->step_count = 1 + random_below(&m->random, STEPS_MADE_MAX);
	for (uint32_t i = 0; i < t->step_count; i++)
		t->steps[i] =
		    (struct made_step){.writes = random_below(&m->random, 2), .slot = random_below(&m->random, m->plan->keys)};
	for (uint32_t i = 0; i < t->step_count && m->plan->delete_percent; i++)
		t->steps[i].removes = t->steps[i].writes && random_below(&m->random, 100) < m->plan->delete_percent;
	for (uint32_t k = 0; k < m->plan->keys; k++)
		t->snapshot[k] = m->store[k];
}

/* What a step reads, printed: a list, or the last value. */
static size_t read_print(const struct maker *m, const struct made_list *list, char *out, size_t size)
{
	size_t used = 0;
	if (!m->plan->lists) {
		used += (size_t)(list->count ? snprintf(out, size, "\"v%u\"", list->values[list->count - 1])
		                             : snprintf(out, size, "null"));
		return used;
	}
	used += (size_t)snprintf(out, size, "[");
	for (uint32_t i = 0; i < list->count; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%u", i ? "," : "", list->values[i]);
	used += (size_t)snprintf(out + used, size - used, "]");
	return used;
}

static void list_write(struct maker *m, struct made_list *list, uint32_t value)
{
	if (!m->plan->lists)
		list->count = 0;
	if (value)
		list->values[list->count++] = value;
	list->version++;
}

/* Whether somebody wrote, since it started, what it writes. */
static bool overtaken(const struct maker *m, const struct made_transaction *t, bool by_generation_only)
{
	for (uint32_t i = 0; i < t->step_count; i++) {
		const struct made_list *now = &m->store[t->steps[i].slot], *then = &t->snapshot[t->steps[i].slot];
		if (t->steps[i].writes &&
		    (now->generation != then->generation || (!by_generation_only && now->version != then->version)))
			return true;
	}
	return false;
}

/* Runs the steps on the view, prints them. */
static void steps_run(struct maker *m, struct made_transaction *t, struct made_list *view, char *text, size_t size)
{
	size_t used = 0;
	for (uint32_t i = 0; i < t->step_count; i++) {
		struct made_step *step = &t->steps[i];
		struct made_list *list = &view[step->slot];
		used +=
		    (size_t)snprintf(text + used, size - used, "%s{\"op\":\"%s\",\"key\":\"k%u.%u\",\"value\":", i ? "," : "",
		        !step->writes    ? "get"
		        : step->removes  ? "delete"
		        : m->plan->lists ? "append"
		                         : "put",
		        step->slot, list->generation);
		if (step->writes) {
			step->value = step->removes ? 0 : ++m->next_value;
			list_write(m, list, step->value);
			used += (size_t)snprintf(text + used, size - used,
			    step->removes    ? "null"
			    : m->plan->lists ? "%u"
			                     : "\"v%u\"",
			    step->value);
		} else
			used += read_print(m, list, text + used, size - used);
		used += (size_t)snprintf(text + used, size - used, "}");
	}
}

static void commit(struct maker *m, struct made_transaction *t, struct made_list *view, uint32_t client)
{
	enum transaction_mistake mistake =
	    random_below(&m->random, 100) < m->plan->mistake_percent ? m->plan->mistake : TRANSACTION_GOOD;
	bool is_old = mistake == TRANSACTION_STALE || mistake == TRANSACTION_SNAPSHOT;
	bool unknown = random_below(&m->random, 100) < m->plan->unknown_percent, loses = mistake == TRANSACTION_LOST_WRITE;
	char text[6000];
	for (uint32_t i = 0; i < t->step_count; i++)
		if (m->store[t->steps[i].slot].count >= LIST_MADE_MAX)
			m->store[t->steps[i].slot] =
			    (struct made_list){.generation = m->store[t->steps[i].slot].generation + 1};
	bool refused = (is_old && overtaken(m, t, mistake == TRANSACTION_STALE)) || (unknown && random_below(&m->random, 2));
	memcpy(view, is_old ? t->snapshot : m->store, m->plan->keys * sizeof *view);
	steps_run(m, t, view, text, sizeof text);
	for (uint32_t i = 0; i < t->step_count && !refused; i++) {
		if (t->steps[i].writes && !loses && m->store[t->steps[i].slot].count < LIST_MADE_MAX + STEPS_MADE_MAX)
			list_write(m, &m->store[t->steps[i].slot], t->steps[i].value);
		loses &= !t->steps[i].writes;
	}
	history_line(m->history,
	    "{\"client\":%u,\"op\":\"txn\",\"txn\":\"t%u\",\"ops\":[%s],\"outcome\":\"%s\",\"start_ns\":%lld,\"end_ns\":%lld}",
	    client, m->history->count, text,
	    unknown   ? "unknown"
	    : refused ? "fail"
	              : "ok",
	    (long long)t->start_ns, (long long)t->end_ns);
}

void generate_transactions(uint64_t seed, const struct transactions_plan *plan, struct history *history)
{
	struct maker m = {.random = {seed}, .plan = plan, .history = history};
	struct made_transaction *running = memory_zeroed(plan->clients, sizeof *running);
	struct made_list *view = memory_zeroed(plan->keys, sizeof *view);
	m.store = memory_zeroed(plan->keys, sizeof *m.store);
	for (uint32_t i = 0; i < plan->clients; i++) {
		running[i].snapshot = memory_zeroed(plan->keys, sizeof *view);
		begin(&m, &running[i], 1 + random_below(&m.random, 50));
	}
	while (history->count < plan->transactions) {
		uint32_t first = 0;
		for (uint32_t i = 1; i < plan->clients; i++)
			if (running[i].commit_ns < running[first].commit_ns)
				first = i;
		commit(&m, &running[first], view, first);
		/* A snapshot is of the next one's start, so nothing may be committed before that: it starts right away. */
		int64_t now = running[first].commit_ns;
		begin(&m, &running[first], running[first].end_ns);
		if (plan->mistake == TRANSACTION_SNAPSHOT)
			running[first].start_ns = now;
	}
	for (uint32_t i = 0; i < plan->clients; i++)
		free(running[i].snapshot);
	free(running);
	free(view);
	free(m.store);
}
