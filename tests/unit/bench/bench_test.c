/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/cluster.h"
#include "bench/history.h"
#include "bench/operation.h"
#include "bench/seen.h"
#include "bench/values.h"
#include "bench/zipf.h"

Test(bench, zipf_ranks_are_as_frequent_as_they_should_be)
{
	static const double exponents[] = {0, 0.5, 0.99, 1, 1.5};
	for (size_t e = 0; e < sizeof(exponents) / sizeof(exponents[0]); e++) {
		const uint64_t count = 50, draws = 400000;
		uint64_t seen[51] = {0};
		double sum = 0;
		struct zipf zipf;
		struct random random = {.state = 20261123};
		zipf_init(&zipf, count, exponents[e]);
		for (uint64_t rank = 1; rank <= count; rank++)
			sum += pow((double)rank, -exponents[e]);
		for (uint64_t i = 0; i < draws; i++) {
			uint64_t rank = zipf_next(&zipf, &random);
			cr_assert(rank >= 1 && rank <= count);
			seen[rank]++;
		}
		for (uint64_t rank = 1; rank <= count; rank++) {
			double expected = pow((double)rank, -exponents[e]) / sum * (double)draws;
			cr_assert_lt(fabs((double)seen[rank] - expected), 6 * sqrt(expected),
			    "exponent %g rank %llu: %llu, not %.0f", exponents[e], (unsigned long long)rank,
			    (unsigned long long)seen[rank], expected);
		}
	}
}

Test(bench, zipf_of_one_key_and_of_a_thousand_million)
{
	struct zipf zipf;
	struct random random = {.state = 1};
	zipf_init(&zipf, 1, 0.99);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(zipf_next(&zipf, &random), 1);
	zipf_init(&zipf, 1000000000, 0.99);
	uint64_t highest = 0;
	for (int i = 0; i < 100000; i++) {
		uint64_t rank = zipf_next(&zipf, &random);
		highest = rank > highest ? rank : highest;
	}
	cr_assert(highest > 100000000 && highest <= 1000000000);
}

Test(bench, values_have_their_size_and_are_unique)
{
	struct random random = {.state = 5};
	char value[400], first[VALUE_ID_SIZE], second[VALUE_ID_SIZE];
	for (uint32_t size = VALUE_ID_SIZE; size < 300; size++) {
		memset(value, 1, sizeof(value));
		value_fill(value, size, 7, 65535, size, &random);
		for (uint32_t i = 0; i < sizeof(value); i++)
			cr_assert(i < size ? value[i] >= ' ' && value[i] <= 'z' && value[i] != '"' && value[i] != '\\'
			                   : value[i] == 1);
	}
	for (uint32_t client = 0; client < 3; client++) {
		value_fill(first, VALUE_ID_SIZE, 7, client, 1, &random);
		value_fill(second, VALUE_ID_SIZE, 7, client, 2, &random);
		cr_assert_neq(memcmp(first, second, VALUE_ID_SIZE), 0);
		value_fill(second, VALUE_ID_SIZE, 7, client + 1, 1, &random);
		cr_assert_neq(memcmp(first, second, VALUE_ID_SIZE), 0);
		value_fill(second, VALUE_ID_SIZE, 8, client, 1, &random);
		cr_assert_neq(memcmp(first, second, VALUE_ID_SIZE), 0);
	}
}

Test(bench, T55_lag_of_a_run_is_the_difference_of_two_samples)
{
	static struct histogram_block before, after, run;
	for (int i = 0; i < 100; i++)
		histogram_add(&before, 1000000); /* what was before the run must not show */
	after = before;
	for (int i = 0; i < 99; i++)
		histogram_add(&after, 10);
	histogram_add(&after, 5000);
	histogram_difference(&run, &before, &after);
	cr_assert_eq(run.count, 100);
	cr_assert_eq(run.sum, 99 * 10 + 5000);
	cr_assert_leq(histogram_quantile(&run, 0.5), 11);
	cr_assert(run.max >= 5000 && run.max < 5200);
}

/* A history in a file of its own. */
static struct history *history_new(char path[static 128])
{
	struct history *history;
	struct error_context error = {0};
	const char *base = getenv("TMPDIR");
	snprintf(path, 128, "%.80s/history-XXXXXX", base ? base : "/tmp");
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(history_open(&history, path, &error), 0);
	return history;
}

/* Its lines are those of text, and no more. */
static void history_expect(struct history *history, const char *path, const char *text)
{
	struct error_context error = {0};
	char found[4096];
	uint64_t lines;
	cr_assert_eq(history_close(history, &lines, &error), 0);
	FILE *file = fopen(path, "r");
	found[fread(found, 1, sizeof(found) - 1, file)] = 0;
	fclose(file);
	unlink(path);
	cr_assert_str_eq(found, text);
}

#define VERSION_A "aaaaaaaaaaaa"
#define VERSION_B "bbbbbbbbbbbb"
#define VALUE_A   "value-a-24-bytes-long---"
#define VALUE_B   "value-b-24-bytes-long---"

static struct client_result result_of(int code, const char *version, const char *value)
{
	return (struct client_result){.code = code,
	    .version = (const uint8_t *)version,
	    .version_size = version ? strlen(version) : 0,
	    .value = (const uint8_t *)value,
	    .value_size = value ? strlen(value) : 0,
	    .answered_ns = 7};
}

Test(bench, a_client_knows_the_last_of_each_key_and_of_no_other)
{
	struct seen seen;
	cr_assert_eq(seen_init(&seen, 1000, 16, 4), 0);
	cr_assert_null(seen_find(&seen, 0), "a key never seen is not known, and key 0 is no exception");
	seen_note(&seen, 3, VERSION_A, 12, VALUE_A "and more", 32);
	const struct seen_value *held = seen_find(&seen, 3);
	cr_assert(held && !held->absent && held->version_size == 12 && held->value_size == VALUE_ID_SIZE);
	cr_assert_eq(memcmp(held->value, VALUE_A, VALUE_ID_SIZE), 0);
	cr_assert_null(seen_find(&seen, 3 + 16), "they share a place");
	seen_forget(&seen, 3 + 16);
	cr_assert(seen_find(&seen, 3));
	seen_note(&seen, 3 + 16, VERSION_B, 12, VALUE_B, 24);
	cr_assert_null(seen_find(&seen, 3));
	cr_assert(seen_find(&seen, 3 + 16));
	seen_note(&seen, 3, NULL, 0, NULL, 0);
	held = seen_find(&seen, 3);
	cr_assert(held && held->absent);
	seen_note(&seen, 3, VERSION_A "larger", 18, VALUE_A, 24);
	cr_assert_null(seen_find(&seen, 3), "a version that does not fit");
	seen_busy_set(&seen, 40, true);
	cr_assert(seen_is_busy(&seen, 40) && !seen_is_busy(&seen, 41));
	seen_busy_set(&seen, 40, false);
	cr_assert_not(seen_is_busy(&seen, 40));
	seen_deinit(&seen);
}

struct draws {
	struct workload_options options;
	struct zipf zipf;
	struct random random;
	struct seen seen;
	struct step steps[16][8];
	struct operation operations[16];
};

static struct draws *draws_new(const struct workload_options *options)
{
	struct draws *d = calloc(1, sizeof(*d));
	d->options = *options;
	d->random.state = 11;
	zipf_init(&d->zipf, options->keys, 0);
	cr_assert_eq(seen_init(&d->seen, options->keys, 1024, 16), 0);
	for (int i = 0; i < 16; i++)
		d->operations[i].steps = d->steps[i];
	return d;
}

static void draws_free(struct draws *d)
{
	seen_deinit(&d->seen);
	free(d);
}

static bool draw(struct draws *d, int i)
{
	return operation_draw(&d->operations[i], &d->options, &d->zipf, &d->random, &d->seen);
}

Test(bench, with_compare_and_sets_a_client_has_one_operation_of_a_key_under_way)
{
	struct draws *d = draws_new(&(struct workload_options){.keys = 10, .cas_ratio = 0.5, .transaction_keys = 1});
	uint32_t taken = 0;
	for (int i = 0; i < 10; i++) {
		cr_assert(draw(d, i), "ten keys are enough for ten operations");
		cr_assert_not(taken & 1u << d->steps[i][0].key);
		taken |= 1u << d->steps[i][0].key;
	}
	cr_assert_not(draw(d, 10), "an eleventh has to wait");
	operation_release(&d->operations[4], &d->seen);
	cr_assert(draw(d, 10));
	cr_assert_eq(d->steps[10][0].key, d->steps[4][0].key);
	draws_free(d);
}

Test(bench, shares_of_reads_sets_and_deletes_are_those_asked_for)
{
	struct draws *d = draws_new(&(struct workload_options){
	    .keys = 10, .read_ratio = 0.5, .cas_ratio = 0.4, .delete_ratio = 0.2, .transaction_keys = 1});
	const int count = 20000;
	int reads = 0, sets = 0, deletes = 0, puts = 0;
	for (uint64_t key = 0; key < 10; key++)
		seen_note(&d->seen, key, VERSION_A, 12, VALUE_A, 24);
	for (int i = 0; i < count; i++) {
		cr_assert(draw(d, 0));
		const struct operation *o = &d->operations[0];
		cr_assert(o->step_count == 1 && !o->is_transaction && !o->set_follows);
		reads += o->is_read;
		sets += operation_has_condition(o);
		deletes += o->steps[0].kind == CLIENT_DELETE;
		puts += o->steps[0].kind == CLIENT_PUT && !operation_has_condition(o);
		operation_release(o, &d->seen);
	}
	cr_assert_float_eq(reads, 0.5 * count, 0.02 * count);
	cr_assert_float_eq(sets, 0.2 * count, 0.02 * count);
	cr_assert_float_eq(deletes, 0.1 * count, 0.02 * count);
	cr_assert_float_eq(puts, 0.2 * count, 0.02 * count);
	draws_free(d);
}

Test(bench, a_compare_and_set_of_a_key_not_known_reads_it_first)
{
	char path[128];
	struct history *history = history_new(path);
	struct draws *d = draws_new(&(struct workload_options){.keys = 1, .cas_ratio = 1, .transaction_keys = 1});
	struct operation *o = &d->operations[0];
	struct step *step = &d->steps[0][0];
	cr_assert(draw(d, 0));
	cr_assert(o->is_read && o->set_follows && step->kind == CLIENT_GET && !operation_has_condition(o));
	struct client_result read = result_of(ERR_OK, VERSION_A, VALUE_A "and the rest of it");
	cr_assert_eq(operation_end_of(o, &read), OPERATION_OK);
	operation_learn(o, &read, OPERATION_OK, &d->seen);
	operation_turn_to_set(o, &read);
	cr_assert(!o->is_read && !o->set_follows && step->kind == CLIENT_PUT && operation_has_condition(o));
	cr_assert_eq(memcmp(step->expected.version, VERSION_A, 12), 0);
	cr_assert(seen_is_busy(&d->seen, 0), "nobody may come in between");
	cr_assert_eq(o->start_ns, 7);
	memcpy(step->value, VALUE_B, VALUE_ID_SIZE);

	/* It failed: answered, not applied; what was known is out of date. */
	struct client_result failed = result_of(ERR_CHECK_FAILED, NULL, NULL);
	cr_assert_eq(operation_end_of(o, &failed), OPERATION_CHECK_FAILED);
	operation_note(o, &failed, OPERATION_CHECK_FAILED, 3, "r", history);
	operation_learn(o, &failed, OPERATION_CHECK_FAILED, &d->seen);
	cr_assert_null(seen_find(&d->seen, 0));
	operation_release(o, &d->seen);

	/* Absent is something to know as well. */
	cr_assert(draw(d, 0));
	struct client_result nothing = result_of(ERR_NOT_FOUND, VERSION_B, NULL);
	cr_assert_eq(operation_end_of(o, &nothing), OPERATION_OK);
	operation_learn(o, &nothing, OPERATION_OK, &d->seen);
	operation_turn_to_set(o, &nothing);
	cr_assert(step->expected.known && step->expected.absent);
	memcpy(step->value, VALUE_B, VALUE_ID_SIZE);
	struct client_result done = result_of(ERR_OK, VERSION_B, NULL);
	operation_note(o, &done, operation_end_of(o, &done), 3, "r", history);
	operation_learn(o, &done, OPERATION_OK, &d->seen);
	operation_release(o, &d->seen);

	/* Its own write is what it saw last. */
	cr_assert(draw(d, 0));
	cr_assert(!o->is_read && memcmp(step->expected.version, VERSION_B, 12) == 0);
	memcpy(step->value, VALUE_A, VALUE_ID_SIZE);
	struct client_result unknown = result_of(ERR_UNKNOWN_OUTCOME, NULL, NULL);
	cr_assert_eq(operation_end_of(o, &unknown), OPERATION_UNKNOWN);
	operation_note(o, &unknown, OPERATION_UNKNOWN, 3, "r", history);
	operation_learn(o, &unknown, OPERATION_UNKNOWN, &d->seen);
	cr_assert_null(seen_find(&d->seen, 0));
	history_expect(history, path,
	    "{\"client\":3,\"op\":\"cas\",\"key\":\"k000000000000000\",\"value\":\"" VALUE_B "\",\"expect\":\"" VALUE_A
	    "\",\"applied\":false,\"outcome\":\"ok\",\"session\":3,\"region\":\"r\",\"start_ns\":7,\"end_ns\":7}\n"
	    "{\"client\":3,\"op\":\"cas\",\"key\":\"k000000000000000\",\"value\":\"" VALUE_B
	    "\",\"expect\":null,\"applied\":true,"
	    "\"outcome\":\"ok\",\"session\":3,\"region\":\"r\",\"start_ns\":7,\"end_ns\":7}\n"
	    "{\"client\":3,\"op\":\"cas\",\"key\":\"k000000000000000\",\"value\":\"" VALUE_A "\",\"expect\":\"" VALUE_B
	    "\",\"outcome\":\"unknown\",\"session\":3,\"region\":\"r\",\"start_ns\":7,\"end_ns\":7}\n");
	draws_free(d);
}

Test(bench, B17_only_what_is_certain_is_a_refusal)
{
	struct step step = {.kind = CLIENT_PUT};
	struct operation write = {.step_count = 1, .steps = &step}, read = {.step_count = 1, .steps = &step, .is_read = true};
	static const struct {
		int code;
		enum operation_end write, read;
	} cases[] = {{ERR_OK, OPERATION_OK, OPERATION_OK}, {ERR_NOT_FOUND, OPERATION_FAILED, OPERATION_OK},
	    {ERR_NO_QUORUM, OPERATION_REFUSED, OPERATION_REFUSED}, {ERR_OVERLOADED, OPERATION_REFUSED, OPERATION_REFUSED},
	    {ERR_UNKNOWN_OUTCOME, OPERATION_UNKNOWN, OPERATION_FAILED}, {ERR_EXPIRED, OPERATION_UNKNOWN, OPERATION_FAILED},
	    {ERR_UNREACHABLE, OPERATION_FAILED, OPERATION_FAILED}, {ERR_CHECK_FAILED, OPERATION_FAILED, OPERATION_FAILED}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client_result result = {.code = cases[i].code};
		cr_assert_eq(operation_end_of(&write, &result), cases[i].write, "%d", cases[i].code);
		cr_assert_eq(operation_end_of(&read, &result), cases[i].read, "%d", cases[i].code);
	}
}

Test(bench, a_transaction_has_keys_of_its_own_and_conditions_on_what_is_known)
{
	struct draws *d =
	    draws_new(&(struct workload_options){.keys = 5, .cas_ratio = 1, .delete_ratio = 0.3, .transaction_keys = 5});
	struct operation *o = &d->operations[0];
	seen_note(&d->seen, 2, VERSION_A, 12, VALUE_A, 24);
	seen_note(&d->seen, 4, NULL, 0, NULL, 0);
	for (int round = 0; round < 100; round++) {
		uint32_t taken = 0, checks = 0, conditions = 0;
		cr_assert(draw(d, 0) && o->is_transaction && o->step_count == 5);
		for (int i = 0; i < 5; i++) {
			const struct step *step = &d->steps[0][i];
			taken |= 1u << step->key;
			checks += step->kind == CLIENT_CHECK;
			conditions += step->expected.known;
			cr_assert_eq(step->expected.known, step->key == 2 || step->key == 4);
		}
		cr_assert_eq(taken, 31);
		cr_assert(checks == 1 && conditions == 2);
		cr_assert_not(draw(d, 1), "all keys are taken");
		operation_release(o, &d->seen);
	}
	draws_free(d);
}

Test(bench, a_transactions_condition_is_a_get_in_its_history)
{
	char path[128];
	struct history *history = history_new(path);
	struct step steps[] = {{.key = 1, .kind = CLIENT_CHECK, .expected = {.known = true, .absent = true}},
	    {.key = 2, .kind = CLIENT_PUT, .expected = {.known = true, .value_size = 24, .value = VALUE_A}, .value = VALUE_B},
	    {.key = 3, .kind = CLIENT_DELETE}};
	struct operation o = {.start_ns = 5, .step_count = 3, .is_transaction = true, .steps = steps};
	struct client_result result = result_of(ERR_OK, VERSION_A, NULL), failed = result_of(ERR_CHECK_FAILED, NULL, NULL);
	operation_note(&o, &result, operation_end_of(&o, &result), 3, "r", history);
	operation_note(&o, &failed, operation_end_of(&o, &failed), 3, "r", history);
#define OPS                                                                                                                    \
	"{\"client\":3,\"op\":\"txn\",\"ops\":[{\"op\":\"get\",\"key\":\"k000000000000001\",\"value\":null},"                  \
	"{\"op\":\"get\",\"key\":\"k000000000000002\",\"value\":\"" VALUE_A "\"},"                                             \
	"{\"op\":\"put\",\"key\":\"k000000000000002\",\"value\":\"" VALUE_B "\"},"                                             \
	"{\"op\":\"delete\",\"key\":\"k000000000000003\",\"value\":null}],"
	history_expect(history, path,
	    OPS "\"outcome\":\"ok\",\"session\":3,\"region\":\"r\",\"start_ns\":5,\"end_ns\":7}\n" OPS
	        "\"outcome\":\"fail\",\"session\":3,\"region\":\"r\",\"start_ns\":5,\"end_ns\":7}\n");
}

Test(bench, history_is_one_object_a_line)
{
	char path[128], line[512];
	const char *base = getenv("TMPDIR");
	snprintf(path, sizeof(path), "%.80s/history-XXXXXX", base ? base : "/tmp");
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	struct history *history;
	struct error_context error = {0};
	uint64_t lines;
	cr_assert_eq(history_open(&history, path, &error), 0);
	history_add(history, &(struct history_line){.client = 3,
	                         .op = "get",
	                         .key = "k1",
	                         .value = "a\"b\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	                         .value_size = 39,
	                         .outcome = "ok",
	                         .region = "r",
	                         .start_ns = 5,
	                         .end_ns = 7});
	history_add(history, &(struct history_line){.op = "get", .key = "k2", .outcome = "fail", .region = "r"});
	cr_assert_eq(history_close(history, &lines, &error), 0);
	cr_assert_eq(lines, 2);
	FILE *file = fopen(path, "r");
	cr_assert(fgets(line, sizeof(line), file));
	cr_assert_str_eq(line,
	    "{\"client\":3,\"op\":\"get\",\"key\":\"k1\",\"value\":\"a\\\"b\\nxxxxxxxxxxxxxxxxxxxx\",\"outcome\":\"ok\","
	    "\"session\":3,\"region\":\"r\",\"start_ns\":5,\"end_ns\":7}\n");
	cr_assert(fgets(line, sizeof(line), file));
	cr_assert(strstr(line, "\"value\":null,\"outcome\":\"fail\""));
	cr_assert_not(fgets(line, sizeof(line), file));
	fclose(file);
	unlink(path);
	cr_assert_eq(history_open(&history, "/nowhere/at/all", &error), ERR_IO);
}
