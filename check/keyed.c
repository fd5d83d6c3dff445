/* SPDX-License-Identifier: Apache-2.0 */
#include "check/keyed.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "check/memory.h"

void keyed_deinit(struct keyed *keyed)
{
	free(keyed->kinds);
	free(keyed->operations);
	free(keyed->writes);
	free(keyed->slots);
	*keyed = (struct keyed){0};
}

static uint32_t slot_of(const struct keyed *keyed, uint32_t key, uint32_t value)
{
	const uint32_t both[] = {key, value};
	uint32_t at = (uint32_t)XXH3_64bits(both, sizeof both) & (keyed->slot_count - 1);
	while (keyed->slots[at]) {
		const struct write *write = &keyed->writes[keyed->slots[at] - 1];
		if (write->key == key && write->value == value)
			break;
		at = (at + 1) & (keyed->slot_count - 1);
	}
	return at;
}

const struct write *keyed_writer(const struct keyed *keyed, uint32_t key, uint32_t value)
{
	if (!keyed->slot_count)
		return NULL;
	uint32_t at = slot_of(keyed, key, value);
	return keyed->slots[at] ? &keyed->writes[keyed->slots[at] - 1] : NULL;
}

static void slots_double(struct keyed *keyed)
{
	free(keyed->slots);
	keyed->slot_count = keyed->slot_count ? keyed->slot_count * 2 : 64;
	keyed->slots = memory_zeroed(keyed->slot_count, sizeof *keyed->slots);
	for (uint32_t i = 0; i < keyed->write_count; i++)
		keyed->slots[slot_of(keyed, keyed->writes[i].key, keyed->writes[i].value)] = i + 1;
}

static int write_add(struct keyed *keyed, const struct history *h, const struct write *write, struct error_context *error)
{
	if (keyed->kinds[write->key] == KEY_ACCOUNT)
		return 0;
	if (keyed->write_count >= keyed->slot_count / 2)
		slots_double(keyed);
	uint32_t at = slot_of(keyed, write->key, write->value);
	if (!keyed->slots[at]) {
		keyed->writes = memory_room(keyed->writes, keyed->write_count, &keyed->write_capacity, sizeof *keyed->writes);
		keyed->writes[keyed->write_count] = *write;
		keyed->slots[at] = ++keyed->write_count;
		return 0;
	}
	struct write *earlier = &keyed->writes[keyed->slots[at] - 1];
	if (earlier->failed)
		*earlier = *write;
	else if (!write->failed) {
		char value[NAME_TEXT_MAX], key[NAME_TEXT_MAX];
		const struct operation *first = &h->operations[earlier->operation], *second = &h->operations[write->operation];
		return error_set(error, ERR_MALFORMED, "%.60s:%u: value %s is written to %s a second time (first in line %u)",
		    h->files.all[second->file].bytes, second->line, value_text(h, write->value, value),
		    key_text(h, write->key, key), first->line);
	}
	return 0;
}

static void operation_add(struct keyed *keyed, uint32_t key, const struct operation *o, struct register_operation operation)
{
	bool unknown = o->outcome == OUTCOME_UNKNOWN;
	if (keyed->kinds[key] != KEY_REGISTER || (unknown && operation.writes == REGISTER_NOTHING))
		return;
	operation.start_ns = o->start_ns;
	operation.end_ns = o->end_ns;
	operation.optional = unknown;
	keyed->operations = memory_room(keyed->operations, keyed->count, &keyed->capacity, sizeof *keyed->operations);
	keyed->operations[keyed->count++] = (struct keyed_operation){key, operation};
}

static int single_add(struct keyed *keyed, const struct history *h, uint32_t number, struct error_context *error)
{
	const struct operation *o = &h->operations[number];
	struct register_operation operation = {
	    .reads = REGISTER_ANY, .differs = REGISTER_ANY, .writes = REGISTER_NOTHING, .source = number};
	bool refused = o->kind == OPERATION_CAS && o->outcome == OUTCOME_OK && !o->applied;
	if (o->kind == OPERATION_GET)
		operation.reads = o->value;
	else if (refused)
		operation.differs = o->expect;
	else {
		operation.writes = o->kind == OPERATION_DELETE ? VALUE_ABSENT : o->value;
		if (o->kind == OPERATION_CAS)
			operation.reads = o->expect;
	}
	if (o->kind != OPERATION_GET && o->kind != OPERATION_DELETE && o->value != VALUE_ABSENT) {
		const struct write write = {.key = o->key,
		    .value = o->value,
		    .operation = number,
		    .access = NAME_NONE,
		    .failed = refused || o->outcome == OUTCOME_FAIL,
		    .is_final = true};
		int code = write_add(keyed, h, &write, error);
		if (code)
			return code;
	}
	if (o->outcome != OUTCOME_FAIL)
		operation_add(keyed, o->key, o, operation);
	return 0;
}

/* What the transaction as a whole did to the key of access `first`, the first one to that key. */
static void transaction_key_add(struct keyed *keyed, const struct history *h, uint32_t number, uint32_t first)
{
	const struct operation *o = &h->operations[number];
	struct register_operation operation = {
	    .reads = REGISTER_ANY, .differs = REGISTER_ANY, .writes = REGISTER_NOTHING, .source = number};
	const struct access *a = &h->accesses[first];
	/* What an unknown transaction had read is no promise. */
	if (a->kind == OPERATION_GET && o->outcome == OUTCOME_OK)
		operation.reads = a->value;
	for (uint32_t i = first; i < o->access_first + o->access_count; i++) {
		const struct access *later = &h->accesses[i];
		if (later->key == a->key && later->kind != OPERATION_GET)
			operation.writes = later->kind == OPERATION_DELETE ? VALUE_ABSENT : later->value;
	}
	if (operation.reads != operation.writes || operation.writes == REGISTER_NOTHING)
		operation_add(keyed, a->key, o, operation);
	else {
		operation.writes = REGISTER_NOTHING; /* saw it absent, left it absent */
		operation_add(keyed, a->key, o, operation);
	}
}

static int transaction_add(struct keyed *keyed, const struct history *h, uint32_t number, struct error_context *error)
{
	const struct operation *o = &h->operations[number];
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
		const struct access *a = &h->accesses[i];
		bool is_first = true, is_last = true;
		for (uint32_t j = o->access_first; j < o->access_first + o->access_count; j++) {
			const struct access *other = &h->accesses[j];
			is_first &= j >= i || other->key != a->key;
			is_last &= j <= i || other->key != a->key || other->kind == OPERATION_GET;
		}
		if (a->kind == OPERATION_PUT || a->kind == OPERATION_APPEND) {
			const struct write write = {.key = a->key,
			    .value = a->value,
			    .operation = number,
			    .access = i,
			    .failed = o->outcome == OUTCOME_FAIL,
			    .is_final = is_last};
			int code = write_add(keyed, h, &write, error);
			if (code)
				return code;
		}
		if (is_first && o->outcome != OUTCOME_FAIL)
			transaction_key_add(keyed, h, number, i);
	}
	return 0;
}

static int keyed_compare(const void *left, const void *right)
{
	const struct keyed_operation *a = left, *b = right;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->operation.start_ns != b->operation.start_ns)
		return a->operation.start_ns < b->operation.start_ns ? -1 : 1;
	return a->operation.source < b->operation.source ? -1 : a->operation.source > b->operation.source;
}

int keyed_init(struct keyed *keyed, const struct history *h, const char *bank_prefix, struct error_context *error)
{
	*keyed = (struct keyed){.kinds = memory_zeroed(h->keys.count, sizeof *keyed->kinds)};
	for (uint32_t i = 0; i < h->access_count; i++)
		if (h->accesses[i].is_list || h->accesses[i].kind == OPERATION_APPEND)
			keyed->kinds[h->accesses[i].key] = KEY_LIST;
	for (uint32_t key = 0; bank_prefix && key < h->keys.count; key++)
		if (strncmp(h->keys.all[key].bytes, bank_prefix, strlen(bank_prefix)) == 0)
			keyed->kinds[key] = KEY_ACCOUNT;
	for (uint32_t i = 0; i < h->count; i++) {
		int code = h->operations[i].kind == OPERATION_TRANSACTION ? transaction_add(keyed, h, i, error)
		                                                          : single_add(keyed, h, i, error);
		if (code)
			return code;
	}
	if (keyed->count)
		qsort(keyed->operations, keyed->count, sizeof *keyed->operations, keyed_compare);
	return 0;
}
