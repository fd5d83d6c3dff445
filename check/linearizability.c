/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "check/checkers.h"
#include "check/memory.h"

#define SHOWN_MAX 14u

struct key_slice {
	const struct keyed_operation *operations;
	struct register_operation *registers;
	uint32_t count;
};

/* What is shown: what the violation cannot do without, what the search names, and who wrote the values seen. */
static void shown_choose(const struct key_slice *slice, const struct register_fault *fault, bool *keep)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < slice->count; i++)
		kept += keep[i];
	for (uint32_t i = 0; i < fault->involved_count && kept > SHOWN_MAX; i++)
		keep[fault->involved[i]] = true;
	bool *seen = memory_zeroed(slice->count, sizeof *seen);
	for (uint32_t i = 0; i < slice->count; i++) {
		const struct register_operation *reader = &slice->registers[i];
		for (uint32_t j = 0;
		     keep[i] && reader->reads != REGISTER_ANY && reader->reads != REGISTER_ABSENT && j < slice->count; j++)
			seen[j] |= slice->registers[j].writes == reader->reads;
	}
	for (uint32_t i = 0; i < slice->count; i++)
		keep[i] |= seen[i];
	free(seen);
}

static void violation_explain(const struct history *h, const struct key_slice *slice, const struct register_fault *fault,
    uint64_t effort, struct check *check)
{
	char text[VIOLATION_TEXT_MAX], key[NAME_TEXT_MAX], line[DESCRIPTION_MAX];
	bool *keep = memory_resize(NULL, slice->count, sizeof *keep);
	uint32_t shown = 0, kept = 0;
	register_minimize(slice->registers, slice->count, effort, keep);
	shown_choose(slice, fault, keep);
	for (uint32_t i = 0; i < slice->count; i++)
		kept += keep[i];
	size_t size = (size_t)snprintf(text, sizeof text,
	    "key %s (%u operations) is not linearizable: %s; these %u are enough:", key_text(h, slice->operations[0].key, key),
	    slice->count, fault->reason, kept);
	for (uint32_t i = 0; i < slice->count && shown < SHOWN_MAX; i++) {
		if (!keep[i])
			continue;
		operation_describe(h, &h->operations[slice->registers[i].source], line);
		size += (size_t)snprintf(text + size, sizeof text - size, "\n    %s", line);
		shown++;
	}
	if (kept > shown)
		snprintf(text + size, sizeof text - size, "\n    and %u more", kept - shown);
	check_fails(check, VERDICT_VIOLATION, "%s", text);
	free(keep);
}

static void key_judge(const struct history *h, const struct key_slice *slice, uint64_t effort, struct check *check)
{
	struct register_fault fault = {.reason = "", .involved_count = 0};
	char key[NAME_TEXT_MAX];
	for (uint32_t i = 0; i < slice->count; i++)
		slice->registers[i] = slice->operations[i].operation;
	enum verdict verdict = register_check(slice->registers, slice->count, effort, &fault);
	if (verdict == VERDICT_VIOLATION && check->violations < VIOLATIONS_KEPT_MAX)
		violation_explain(h, slice, &fault, effort, check);
	else if (verdict != VERDICT_FINE)
		check_fails(check, verdict, "key %s: %u operations, undecided after %llu steps",
		    key_text(h, slice->operations[0].key, key), slice->count, (unsigned long long)effort);
}

void check_linearizability(const struct history *h, const struct keyed *keyed, uint64_t effort, struct check *check)
{
	struct register_operation *registers = memory_resize(NULL, keyed->count, sizeof *registers);
	uint32_t keys = 0, optional = 0;
	for (uint32_t first = 0, last; first < keyed->count; first = last) {
		for (last = first; last < keyed->count && keyed->operations[last].key == keyed->operations[first].key; last++)
			optional += keyed->operations[last].operation.optional;
		keys++;
		const struct key_slice slice = {&keyed->operations[first], registers, last - first};
		key_judge(h, &slice, effort, check);
	}
	check_counts(check, "%u keys, %u operations, %u unknown", keys, keyed->count, optional);
	if (keyed->count == 0 && check->verdict == VERDICT_FINE)
		check_counts(check, "no operation on a single value");
	free(registers);
}
