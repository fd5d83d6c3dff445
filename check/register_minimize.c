/* SPDX-License-Identifier: Apache-2.0
 *
 * Delta debugging (Zeller and Hildebrandt, 2002). Nothing is taken away: what is left out becomes optional, which can only add
 * orders, so what remains is a violation whatever the others did. */
#include "check/memory.h"
#include "check/register.h"

struct trial {
	const struct register_operation *operations;
	struct register_operation *changed;
	uint32_t count;
	uint64_t effort;
};

static bool still_violation(struct trial *t, const bool *keep)
{
	struct register_fault fault;
	for (uint32_t i = 0; i < t->count; i++) {
		t->changed[i] = t->operations[i];
		if (keep[i])
			continue;
		t->changed[i].optional = true;
		t->changed[i].differs = REGISTER_ANY;
	}
	return register_check(t->changed, t->count, t->effort, &fault) == VERDICT_VIOLATION;
}

/* Leaves out what it can of the looks, or of the writes, in chunks that get smaller. */
static void pass(struct trial *t, bool of_writes, uint64_t *trials, bool *keep)
{
	bool *before = memory_resize(NULL, t->count, sizeof *before);
	for (uint32_t chunk = (t->count + 1) / 2; chunk > 0; chunk = chunk == 1 ? 0 : (chunk + 1) / 2) {
		for (uint32_t first = 0; first<t->count && * trials> 0; first += chunk) {
			uint32_t last = t->count - first < chunk ? t->count : first + chunk;
			bool any = false;
			memcpy(before, keep, t->count * sizeof *keep);
			for (uint32_t i = first; i < last; i++) {
				bool leave = keep[i] && (t->operations[i].writes != REGISTER_NOTHING) == of_writes;
				any |= leave;
				keep[i] &= !leave;
			}
			if (!any)
				continue;
			--*trials;
			if (!still_violation(t, keep))
				memcpy(keep, before, t->count * sizeof *keep);
		}
	}
	free(before);
}

void register_minimize(const struct register_operation *operations, uint32_t count, uint64_t effort, bool *keep)
{
	struct trial trial = {.operations = operations, .count = count, .effort = effort / 64};
	uint64_t trials = effort / (64 * (uint64_t)(count + 1)) + 8;
	trial.changed = memory_resize(NULL, count, sizeof *trial.changed);
	memset(keep, true, count * sizeof *keep);
	/* Looks first: a write that somebody saw and that became optional only loses its end, which hides the reason. */
	pass(&trial, false, &trials, keep);
	pass(&trial, true, &trials, keep);
	free(trial.changed);
}
