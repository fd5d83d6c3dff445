/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/operation.h"

#include <string.h>

#define SCRAMBLE   2654435761ull /* a prime above any number of keys: rank to key is one to one */
#define DRAWS_MAX  8u            /* of keys that are taken, before the next free one behind is looked for */
#define PROBES_MAX 16u           /* behind the last draw, beside the keys of the operation itself */

static bool is_free(const struct operation *o, uint32_t count, uint64_t key, const struct seen *seen)
{
	if (seen && seen_is_busy(seen, key))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (o->steps[i].key == key)
			return false;
	return true;
}

/* A key that neither the first `count` steps have nor, with compare-and-sets, another operation of the client. */
static bool key_draw(const struct operation *o, uint32_t count, const struct workload_options *options, const struct zipf *zipf,
    struct random *random, const struct seen *seen, uint64_t *key)
{
	for (uint32_t i = 0; i < DRAWS_MAX; i++) {
		*key = zipf_next(zipf, random) * SCRAMBLE % options->keys;
		if (is_free(o, count, *key, seen))
			return true;
	}
	for (uint32_t i = 0; i < count + PROBES_MAX; i++) {
		*key = (*key + 1) % options->keys;
		if (is_free(o, count, *key, seen))
			return true;
	}
	return false;
}

/* The first key known is checked and left as it is, so that what a transaction depends on and what it writes differ. */
static void transaction_fill(
    struct operation *o, const struct workload_options *options, struct random *random, const struct seen *seen)
{
	bool is_conditional = options->cas_ratio > 0 && random_unit(random) < options->cas_ratio, has_check = false;
	for (uint32_t i = 0; i < o->step_count; i++) {
		struct step *step = &o->steps[i];
		const struct seen_value *held = is_conditional ? seen_find(seen, step->key) : NULL;
		step->kind =
		    options->delete_ratio > 0 && random_unit(random) < options->delete_ratio ? CLIENT_DELETE : CLIENT_PUT;
		if (!held)
			continue;
		step->expected = *held;
		if (!has_check)
			step->kind = CLIENT_CHECK;
		has_check = true;
	}
}

static void single_fill(
    struct operation *o, const struct workload_options *options, struct random *random, const struct seen *seen)
{
	struct step *step = &o->steps[0];
	double which = options->cas_ratio + options->delete_ratio > 0 ? random_unit(random) : 1;
	step->kind = CLIENT_PUT;
	if (which >= options->cas_ratio) {
		if (which < options->cas_ratio + options->delete_ratio)
			step->kind = CLIENT_DELETE;
		return;
	}
	const struct seen_value *held = seen_find(seen, step->key);
	if (held) {
		step->expected = *held;
		return;
	}
	step->kind = CLIENT_GET;
	o->is_read = o->set_follows = true;
}

bool operation_draw(struct operation *o, const struct workload_options *options, const struct zipf *zipf, struct random *random,
    struct seen *seen)
{
	struct seen *marks = options->cas_ratio > 0 ? seen : NULL;
	o->is_read = options->read_ratio > 0 && random_unit(random) < options->read_ratio;
	o->is_transaction = !o->is_read && options->transaction_keys > 1;
	o->set_follows = false;
	o->step_count = o->is_transaction ? options->transaction_keys : 1;
	for (uint32_t i = 0; i < o->step_count; i++) {
		o->steps[i].expected.known = false;
		if (!key_draw(o, i, options, zipf, random, marks, &o->steps[i].key))
			return false;
	}
	if (o->is_transaction)
		transaction_fill(o, options, random, marks);
	else if (o->is_read)
		o->steps[0].kind = CLIENT_GET;
	else
		single_fill(o, options, random, marks);
	for (uint32_t i = 0; marks && i < o->step_count; i++)
		seen_busy_set(marks, o->steps[i].key, true);
	return true;
}

void operation_release(const struct operation *o, struct seen *seen)
{
	for (uint32_t i = 0; i < o->step_count; i++)
		seen_busy_set(seen, o->steps[i].key, false);
}

void operation_turn_to_set(struct operation *o, const struct client_result *result)
{
	struct step *step = &o->steps[0];
	struct seen_value *expected = &step->expected;
	*expected = (struct seen_value){.known = true, .absent = result->code != ERR_OK};
	if (!expected->absent) {
		expected->version_size =
		    (uint8_t)(result->version_size < COMMIT_VERSION_SIZE ? result->version_size : COMMIT_VERSION_SIZE);
		expected->value_size = (uint8_t)(result->value_size < VALUE_ID_SIZE ? result->value_size : VALUE_ID_SIZE);
		if (expected->version_size)
			memcpy(expected->version, result->version, expected->version_size);
		if (expected->value_size)
			memcpy(expected->value, result->value, expected->value_size);
	}
	step->kind = CLIENT_PUT;
	o->is_read = o->set_follows = false;
	o->start_ns = result->answered_ns;
}

bool operation_has_condition(const struct operation *o)
{
	for (uint32_t i = 0; i < o->step_count; i++)
		if (o->steps[i].expected.known)
			return true;
	return false;
}

enum operation_end operation_end_of(const struct operation *o, const struct client_result *result)
{
	if (result->code == ERR_OK || (o->is_read && result->code == ERR_NOT_FOUND))
		return OPERATION_OK;
	if (result->code == ERR_CHECK_FAILED && operation_has_condition(o))
		return OPERATION_CHECK_FAILED;
	int exit_code = error_exit_code(result->code);
	/* A read that failed changed nothing, and is not a refusal either unless the region said so. */
	if (!o->is_read && exit_code == 4)
		return OPERATION_UNKNOWN;
	return exit_code == 3 ? OPERATION_REFUSED : OPERATION_FAILED;
}

void operation_learn(const struct operation *o, const struct client_result *result, enum operation_end end, struct seen *seen)
{
	for (uint32_t i = 0; i < o->step_count; i++) {
		const struct step *step = &o->steps[i];
		if (end == OPERATION_UNKNOWN || end == OPERATION_CHECK_FAILED)
			seen_forget(seen, step->key);
		if (end != OPERATION_OK || step->kind == CLIENT_CHECK)
			continue;
		if (step->kind == CLIENT_GET && result->code == ERR_OK)
			seen_note(seen, step->key, result->version, result->version_size,
			    result->value ? (const void *)result->value : "", result->value_size);
		else if (step->kind == CLIENT_PUT)
			seen_note(seen, step->key, result->version, result->version_size, step->value, VALUE_ID_SIZE);
		else
			seen_note(seen, step->key, NULL, 0, NULL, 0);
	}
}

static void transaction_note(const struct operation *o, struct history_line *line, struct history *history)
{
	struct history_step steps[2 * GW_OPERATIONS_MAX];
	char keys[GW_OPERATIONS_MAX][BENCH_KEY_TEXT_SIZE];
	line->op = "txn";
	line->steps = steps;
	for (uint32_t i = 0; i < o->step_count; i++) {
		const struct step *step = &o->steps[i];
		key_fill(keys[i], step->key);
		if (step->expected.known)
			steps[line->step_count++] = (struct history_step){.op = "get",
			    .key = keys[i],
			    .value = step->expected.absent ? NULL : step->expected.value,
			    .value_size = step->expected.value_size};
		if (step->kind != CLIENT_CHECK)
			steps[line->step_count++] = (struct history_step){.op = step->kind == CLIENT_PUT ? "put" : "delete",
			    .key = keys[i],
			    .value = step->kind == CLIENT_PUT ? step->value : NULL,
			    .value_size = VALUE_ID_SIZE};
	}
	history_add(history, line);
}

void operation_note(const struct operation *o, const struct client_result *result, enum operation_end end, uint32_t client,
    const char *region, struct history *history)
{
	static const char *const outcomes[] = {[OPERATION_OK] = "ok",
	    [OPERATION_CHECK_FAILED] = "fail",
	    [OPERATION_REFUSED] = "fail",
	    [OPERATION_UNKNOWN] = "unknown",
	    [OPERATION_FAILED] = "fail"};
	const struct step *step = &o->steps[0];
	char key[BENCH_KEY_TEXT_SIZE];
	struct history_line line = {.client = client,
	    .outcome = outcomes[end],
	    .region = region,
	    .start_ns = o->start_ns,
	    .end_ns = result->answered_ns};
	if (o->is_transaction) {
		transaction_note(o, &line, history);
		return;
	}
	key_fill(key, step->key);
	line.key = key;
	line.op = step->kind == CLIENT_GET ? "get" : step->kind == CLIENT_DELETE ? "delete" : "put";
	if (step->kind == CLIENT_PUT) {
		line.value = step->value;
		line.value_size = VALUE_ID_SIZE;
	} else if (step->kind == CLIENT_GET && result->code == ERR_OK) {
		line.value = result->value ? (const void *)result->value : "";
		line.value_size = result->value_size;
	}
	if (step->expected.known) {
		/* A check that failed is an answer: the key held something else. */
		line.op = "cas";
		line.outcome = end == OPERATION_CHECK_FAILED ? "ok" : outcomes[end];
		line.applied = end == OPERATION_OK;
		line.expect = step->expected.absent ? NULL : step->expected.value;
		line.expect_size = step->expected.value_size;
	}
	history_add(history, &line);
}
