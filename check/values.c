/* SPDX-License-Identifier: Apache-2.0 */
#include "check/checkers.h"

/* One value seen by operation o at key. */
static void value_judge(const struct history *h, const struct keyed *keyed, const struct operation *o, uint32_t key,
    uint32_t value, struct check *check)
{
	char text[DESCRIPTION_MAX], writer_text[DESCRIPTION_MAX], key_name[NAME_TEXT_MAX], value_name[NAME_TEXT_MAX];
	if (value == VALUE_ABSENT)
		return;
	key_text(h, key, key_name);
	value_text(h, value, value_name);
	const struct write *write = keyed_writer(keyed, key, value);
	if (!write) {
		check_fails(check, VERDICT_VIOLATION, "%s = %s was seen and nobody wrote it:\n    %s", key_name, value_name,
		    operation_describe(h, o, text));
		return;
	}
	const struct operation *writer = &h->operations[write->operation];
	const char *what = NULL;
	if (write->failed)
		what = "was seen although its write failed";
	else if (writer->start_ns > o->end_ns)
		what = "was seen before it was written";
	if (what)
		check_fails(check, VERDICT_VIOLATION, "%s = %s %s:\n    %s\n    %s", key_name, value_name, what,
		    operation_describe(h, writer, writer_text), operation_describe(h, o, text));
}

static uint32_t transaction_judge(
    const struct history *h, const struct keyed *keyed, const struct operation *o, struct check *check)
{
	uint32_t seen = 0;
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++) {
		const struct access *a = &h->accesses[i];
		if (a->kind != OPERATION_GET || keyed->kinds[a->key] == KEY_ACCOUNT)
			continue;
		if (!a->is_list) {
			value_judge(h, keyed, o, a->key, a->value, check);
			seen++;
		}
		for (uint32_t j = 0; j < a->list_count; j++)
			value_judge(h, keyed, o, a->key, h->list_values[a->list_first + j], check);
		seen += a->list_count;
	}
	return seen;
}

void check_values(const struct history *h, const struct keyed *keyed, struct check *check)
{
	uint32_t seen = 0;
	for (uint32_t i = 0; i < h->count; i++) {
		const struct operation *o = &h->operations[i];
		if (o->outcome != OUTCOME_OK)
			continue;
		if (o->kind == OPERATION_TRANSACTION)
			seen += transaction_judge(h, keyed, o, check);
		else if (keyed->kinds[o->key] != KEY_ACCOUNT &&
		         (o->kind == OPERATION_GET || (o->kind == OPERATION_CAS && o->applied))) {
			value_judge(h, keyed, o, o->key, o->kind == OPERATION_GET ? o->value : o->expect, check);
			seen++;
		}
	}
	check_counts(check, "%u values seen, %u written", seen, keyed->write_count);
}
