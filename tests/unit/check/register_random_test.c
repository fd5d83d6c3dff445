/* SPDX-License-Identifier: Apache-2.0
 *
 * Against a checker too simple to be wrong: all orders are tried. */
#include <criterion/criterion.h>

#include "check/checkers.h"
#include "tests/unit/check/generate.h"

#define SMALL_MAX 16u

static bool some_order(const struct register_operation *o, uint32_t count, uint32_t done, uint32_t value)
{
	bool left = false;
	for (uint32_t i = 0; i < count; i++)
		left |= !o[i].optional && !(done >> i & 1);
	if (!left)
		return true;
	for (uint32_t i = 0; i < count; i++) {
		bool next = !(done >> i & 1) && (o[i].reads == REGISTER_ANY || o[i].reads == value) &&
		            (o[i].differs == REGISTER_ANY || o[i].differs != value);
		for (uint32_t j = 0; j < count && next; j++)
			next = (done >> j & 1) || o[j].optional || o[j].end_ns >= o[i].start_ns;
		if (next && some_order(o, count, done | 1u << i, o[i].writes == REGISTER_NOTHING ? value : o[i].writes))
			return true;
	}
	return false;
}

static void agree(const struct register_operation *o, uint32_t count, uint64_t seed, uint32_t found[2])
{
	struct register_fault fault;
	bool good = some_order(o, count, 0, REGISTER_ABSENT);
	cr_assert_eq(register_check(o, count, 1000000, &fault), good ? VERDICT_FINE : VERDICT_VIOLATION, "seed %llu",
	    (unsigned long long)seed);
	found[good]++;
	if (good)
		return;
	/* What is kept of a violation is one by itself, and no single look can be left out as well. */
	bool keep[SMALL_MAX];
	struct register_operation rest[SMALL_MAX];
	register_minimize(o, count, 1000000, keep);
	for (uint32_t i = 0; i < count; i++) {
		rest[i] = o[i];
		if (!keep[i]) {
			rest[i].optional = true;
			rest[i].end_ns = INT64_MAX;
			rest[i].differs = REGISTER_ANY;
		}
	}
	cr_assert_eq(register_check(rest, count, 1000000, &fault), VERDICT_VIOLATION, "seed %llu", (unsigned long long)seed);
}

/* Operations drawn without any store behind them: most are wrong somehow. */
Test(check_register_random, any_operations_as_all_orders_say)
{
	uint32_t found[2] = {0, 0};
	for (uint64_t seed = 0; seed < 60000; seed++) {
		struct random random = {seed};
		struct register_operation o[SMALL_MAX];
		uint32_t count = 2 + random_below(&random, 9), values = 0, kinds = random_below(&random, 64) | 1,
		         span = 4 + random_below(&random, 24);
		for (uint32_t i = 0; i < count; i++) {
			uint32_t kind = random_below(&random, 7), old = random_below(&random, values + 1);
			o[i] = (struct register_operation){
			    .reads = REGISTER_ANY, .differs = REGISTER_ANY, .writes = REGISTER_NOTHING, .source = i};
			o[i].start_ns = random_below(&random, span);
			o[i].end_ns = o[i].start_ns + 1 + random_below(&random, 8);
			if (kind >= 1 && kind <= 5 && !(kinds >> (kind - 1) & 1))
				kind = 0;
			if (kind == 1)
				o[i].writes = ++values;
			else if (kind == 2)
				o[i].writes = REGISTER_ABSENT;
			else if (kind == 3)
				o[i].differs = old;
			else if (kind == 4 || kind == 5) {
				o[i].reads = random_below(&random, 3) ? old : REGISTER_ABSENT;
				bool removes = o[i].reads != REGISTER_ABSENT && random_below(&random, 6) == 0;
				o[i].writes = removes ? REGISTER_ABSENT : ++values;
			} else
				o[i].reads = old;
			o[i].optional = o[i].writes != REGISTER_NOTHING && random_below(&random, 6) == 0;
			if (o[i].optional)
				o[i].end_ns = INT64_MAX;
		}
		agree(o, count, seed, found);
	}
	cr_assert(found[0] > 10000 && found[1] > 10000, "%u bad, %u good", found[0], found[1]);
}

/* A store with one mistake: whether it shows, all orders decide. */
Test(check_register_random, mistakes_as_all_orders_say)
{
	uint32_t shown[MISTAKE_KINDS][2] = {{0}};
	for (uint64_t seed = 0; seed < 12000; seed++) {
		struct register_plan plan = {.operations = 14,
		    .keys = 1,
		    .clients = 2 + (uint32_t)seed % 4,
		    .unknown_percent = 8,
		    .fail_percent = 8,
		    .delete_percent = 12,
		    .cas_percent = 20,
		    .mistake = (enum register_mistake)(seed % MISTAKE_KINDS)};
		struct history h;
		struct keyed keyed;
		struct error_context error;
		struct register_operation o[SMALL_MAX];
		history_init(&h, 0);
		generate_registers(seed, &plan, &h, NULL);
		cr_assert_eq(keyed_init(&keyed, &h, NULL, &error), 0);
		cr_assert_leq(keyed.count, SMALL_MAX);
		for (uint32_t i = 0; i < keyed.count; i++)
			o[i] = keyed.operations[i].operation;
		agree(o, keyed.count, seed, shown[plan.mistake]);
		keyed_deinit(&keyed);
		history_deinit(&h);
	}
	cr_assert_eq(shown[MISTAKE_NONE][0], 0, "a good store is accepted");
	for (int m = MISTAKE_NONE + 1; m < MISTAKE_KINDS; m++)
		cr_assert_gt(shown[m][0], 20, "mistake %d shows in %u histories", m, shown[m][0]);
}

Test(check_register_random, good_stores_are_accepted)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct register_plan plan = {.operations = 80,
		    .keys = 1 + (uint32_t)seed % 3,
		    .clients = 2 + (uint32_t)seed % 12,
		    .unknown_percent = 6,
		    .fail_percent = 4,
		    .delete_percent = (uint32_t)seed % 20,
		    .cas_percent = (uint32_t)seed % 40};
		struct history h;
		struct final_state final = {0};
		history_init(&h, 0);
		generate_registers(seed, &plan, &h, &final);
		options.finals = &final;
		options.final_count = 1;
		cr_assert_eq(judged(&h, &options, NULL), VERDICT_FINE, "seed %llu", (unsigned long long)seed);
		final_state_deinit(&final);
		history_deinit(&h);
	}
}

/* 10^5 operations on ten keys with 300 under way at once. */
Test(check_register_random, many_on_hot_keys)
{
	const struct register_plan plan = {.operations = 100000,
	    .keys = 10,
	    .clients = 300,
	    .unknown_percent = 3,
	    .fail_percent = 2,
	    .delete_percent = 10,
	    .cas_percent = 20};
	struct history h;
	struct keyed keyed;
	struct error_context error;
	struct report report = {.count = 0};
	history_init(&h, 0);
	generate_registers(1, &plan, &h, NULL);
	cr_assert_eq(keyed_init(&keyed, &h, NULL, &error), 0);
	struct check *check = report_check(&report, "linearizability");
	check_linearizability(&h, &keyed, EFFORT_DEFAULT, check);
	cr_assert_eq(check->verdict, VERDICT_FINE);
	report_deinit(&report);
	keyed_deinit(&keyed);
	history_deinit(&h);
}
