/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/check/generate.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>

#include "check/memory.h"

uint64_t random_next(struct random *random)
{
	uint64_t x = random->state += 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint32_t random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)(random_next(random) % limit);
}

void history_line(struct history *history, const char *format, ...)
{
	char line[8192];
	struct error_context error = {{0}};
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	cr_assert(size > 0 && (size_t)size < sizeof line);
	cr_assert_eq(history_add_line(history, "test", history->count + 1, line, (size_t)size, &error), 0, "%s", error.text);
}

void final_line(struct final_state *final, struct history *history, const char *file, const char *key, const char *value)
{
	char line[256];
	struct error_context error = {{0}};
	int size = snprintf(line, sizeof line, "{\"key\":\"%s\",\"value\":\"%s\"}\n", key, value);
	cr_assert_eq(final_state_add_text(final, history, file, line, (size_t)size, &error), 0, "%s", error.text);
}

enum verdict judged(const struct history *history, const struct judge_options *options, const char *name)
{
	struct report report = {.count = 0};
	struct error_context error = {{0}};
	enum verdict verdict = VERDICT_PROVES_NOTHING;
	cr_assert_eq(judge(history, options, &report, &error), 0, "%s", error.text);
	if (name) {
		bool found = false;
		for (uint32_t i = 0; i < report.count; i++)
			if (strcmp(report.checks[i].name, name) == 0) {
				verdict = report.checks[i].verdict;
				found = true;
			}
		cr_assert(found, "no check %s", name);
	} else
		verdict = report_verdict(&report);
	report_deinit(&report);
	return verdict;
}

/* Registers: every client is at one of two points, between start and taking effect, or between that and its end. */

struct client {
	int64_t at_ns; /* of its next point */
	int64_t start_ns;
	bool is_effective; /* the effect is behind it */
	enum operation_kind kind;
	uint32_t key, value, expect, seen;
	enum outcome outcome;
	bool takes_effect, applied;
};
struct registers {
	struct random random;
	const struct register_plan *plan;
	struct history *history;
	struct client *clients;
	uint32_t client_count, done, next_value;
	uint32_t *values, *values_before; /* per key; 0: absent */
	uint32_t *last_seen;              /* per client and key */
	struct client *late;              /* unknown ones that take effect after their client gave up */
	uint32_t late_count, late_capacity;
	bool mistake_made;
};

static void client_begin(struct registers *r, uint32_t number, int64_t at_ns)
{
	struct client *c = &r->clients[number];
	const struct register_plan *plan = r->plan;
	uint32_t dice = random_below(&r->random, 100), fate = random_below(&r->random, 100);
	*c = (struct client){
	    .start_ns = at_ns, .key = random_below(&r->random, plan->keys), .outcome = OUTCOME_OK, .takes_effect = true};
	c->at_ns = at_ns + 1 + random_below(&r->random, 1000);
	c->kind = dice < plan->delete_percent                                  ? OPERATION_DELETE
	          : dice < plan->delete_percent + plan->cas_percent            ? OPERATION_CAS
	          : dice < 50 + (plan->delete_percent + plan->cas_percent) / 2 ? OPERATION_PUT
	                                                                       : OPERATION_GET;
	if (c->kind == OPERATION_PUT || c->kind == OPERATION_CAS)
		c->value = ++r->next_value;
	if (c->kind == OPERATION_CAS)
		c->expect = r->last_seen[number * plan->keys + c->key];
	if (fate < plan->unknown_percent) {
		c->outcome = OUTCOME_UNKNOWN;
		c->takes_effect = random_below(&r->random, 2);
	} else if (fate < plan->unknown_percent + plan->fail_percent) {
		c->outcome = OUTCOME_FAIL;
		c->takes_effect = false;
	}
}

static void mistake_make(struct registers *r, struct client *c)
{
	enum register_mistake mistake = r->plan->mistake;
	if (r->mistake_made || r->done < r->plan->operations / 2)
		return;
	if (mistake == MISTAKE_STALE_GET && c->kind == OPERATION_GET && c->outcome == OUTCOME_OK &&
	    r->values_before[c->key] != r->values[c->key])
		c->seen = r->values_before[c->key];
	else if (mistake == MISTAKE_NOWHERE && c->kind == OPERATION_GET && c->outcome == OUTCOME_OK)
		c->seen = ++r->next_value;
	else if (mistake == MISTAKE_LOST_PUT && c->kind == OPERATION_PUT && c->outcome == OUTCOME_OK)
		c->takes_effect = false;
	else if (mistake == MISTAKE_APPLIED_FAIL && c->kind == OPERATION_PUT && c->outcome == OUTCOME_FAIL)
		c->takes_effect = true;
	else if (mistake == MISTAKE_CAS_TWICE && c->kind == OPERATION_CAS && c->outcome == OUTCOME_OK && !c->applied &&
	         c->expect) {
		c->applied = true;
		r->values[c->key] = c->value;
	} else
		return;
	r->mistake_made = true;
}

static void client_effect(struct registers *r, struct client *c)
{
	uint32_t before = r->values[c->key];
	if (c->kind == OPERATION_GET)
		c->seen = before;
	else if (c->kind == OPERATION_CAS)
		c->applied = before == c->expect && c->takes_effect;
	mistake_make(r, c);
	bool writes = c->kind == OPERATION_CAS ? c->applied : c->kind != OPERATION_GET && c->takes_effect;
	if (writes)
		r->values[c->key] = c->kind == OPERATION_DELETE ? 0 : c->value;
	if (r->values[c->key] != before)
		r->values_before[c->key] = before;
}

static void value_print(char out[static 24], const char *prefix, uint32_t value)
{
	if (value)
		snprintf(out, 24, "\"%s%u\"", prefix, value);
	else
		strcpy(out, "null");
}

static void client_record(struct registers *r, uint32_t number, int64_t end_ns)
{
	static const char *const kinds[] = {"get", "put", "delete", "cas"}, *const outcomes[] = {"ok", "fail", "unknown"};
	const struct client *c = &r->clients[number];
	char value[24], expect[24];
	value_print(value, "v", c->kind == OPERATION_GET ? c->seen : c->value);
	value_print(expect, "v", c->expect);
	history_line(r->history,
	    "{\"client\":%u,\"op\":\"%s\",\"key\":\"k%u\",\"value\":%s,\"expect\":%s,%s\"outcome\":\"%s\",\"start_ns\":%lld,"
	    "\"end_ns\":%lld}",
	    number, kinds[c->kind], c->key, value, expect,
	    c->kind == OPERATION_CAS && c->outcome == OUTCOME_OK ? c->applied ? "\"applied\":true," : "\"applied\":false," : "",
	    outcomes[c->outcome], (long long)c->start_ns, (long long)end_ns);
	if (c->kind == OPERATION_GET && c->outcome == OUTCOME_OK)
		r->last_seen[number * r->plan->keys + c->key] = c->seen;
	else if (c->kind == OPERATION_PUT && c->outcome == OUTCOME_OK)
		r->last_seen[number * r->plan->keys + c->key] = c->value;
	r->done++;
}

/* An unknown one that has not taken effect when its client gives up may do so any time later. */
static void client_give_up(struct registers *r, struct client *c)
{
	if (c->is_effective || !c->takes_effect)
		return;
	r->late = memory_room(r->late, r->late_count, &r->late_capacity, sizeof *r->late);
	r->late[r->late_count] = *c;
	r->late[r->late_count++].at_ns = c->at_ns + random_below(&r->random, 100000);
}

static void late_run(struct registers *r, int64_t until_ns)
{
	for (;;) {
		uint32_t first = 0;
		for (uint32_t i = 1; i < r->late_count; i++)
			if (r->late[i].at_ns < r->late[first].at_ns)
				first = i;
		if (r->late_count == 0 || r->late[first].at_ns > until_ns)
			return;
		client_effect(r, &r->late[first]);
		r->late[first] = r->late[--r->late_count];
	}
}

static void client_point(struct registers *r, uint32_t number)
{
	struct client *c = &r->clients[number];
	int64_t now_ns = c->at_ns;
	late_run(r, now_ns);
	if (!c->is_effective && (c->outcome != OUTCOME_UNKNOWN || random_below(&r->random, 2))) {
		client_effect(r, c);
		c->is_effective = true;
		c->at_ns += 1 + random_below(&r->random, 1000);
		return;
	}
	client_give_up(r, c);
	client_record(r, number, now_ns);
	if (r->done + r->client_count <= r->plan->operations)
		client_begin(r, number, now_ns + 1 + random_below(&r->random, 20));
	else
		r->clients[number] = r->clients[--r->client_count];
}

bool generate_registers(uint64_t seed, const struct register_plan *plan, struct history *history, struct final_state *final)
{
	struct registers r = {.random = {seed}, .plan = plan, .history = history, .client_count = plan->clients};
	r.clients = memory_zeroed(plan->clients, sizeof *r.clients);
	r.values = memory_zeroed(plan->keys, sizeof *r.values);
	r.values_before = memory_zeroed(plan->keys, sizeof *r.values_before);
	r.last_seen = memory_zeroed((size_t)plan->keys * plan->clients, sizeof *r.last_seen);
	for (uint32_t i = 0; i < plan->clients; i++)
		client_begin(&r, i, 1 + random_below(&r.random, 20));
	while (r.client_count > 0) {
		uint32_t first = 0;
		for (uint32_t i = 1; i < r.client_count; i++)
			if (r.clients[i].at_ns < r.clients[first].at_ns)
				first = i;
		client_point(&r, first);
	}
	late_run(&r, INT64_MAX);
	for (uint32_t k = 0; final && k < plan->keys; k++) {
		char key[24], value[24];
		snprintf(key, sizeof key, "k%u", k);
		snprintf(value, sizeof value, "v%u", r.values[k]);
		if (r.values[k])
			final_line(final, history, "final", key, value);
	}
	free(r.clients);
	free(r.values);
	free(r.values_before);
	free(r.last_seen);
	free(r.late);
	return r.mistake_made;
}
