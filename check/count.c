/* SPDX-License-Identifier: Apache-2.0 */
#include "check/checkers.h"
#include "check/memory.h"

enum phase { PHASE_ALL, PHASE_FAULT, PHASE_AFTER, PHASES };
static const char *const phase_names[] = {"", " during the fault", " after the fault"};

static bool is_ok_write(const struct history *h, const struct operation *o)
{
	if (o->kind != OPERATION_TRANSACTION || o->outcome != OUTCOME_OK)
		return operation_wrote(o);
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++)
		if (h->accesses[i].kind != OPERATION_GET)
			return true;
	return false;
}

static bool is_ok_look(const struct history *h, const struct operation *o)
{
	if (o->outcome != OUTCOME_OK)
		return false;
	if (o->kind != OPERATION_TRANSACTION)
		return o->kind == OPERATION_GET || o->kind == OPERATION_CAS;
	for (uint32_t i = o->access_first; i < o->access_first + o->access_count; i++)
		if (h->accesses[i].kind == OPERATION_GET)
			return true;
	return false;
}

static void regions_judge(const struct history *h, const struct judge_options *options, const uint64_t *ok, struct check *check)
{
	/* The last place is that of operations without a region: it must have some only if there are no others. */
	for (uint32_t region = 0; region < h->regions.count + (h->regions.count == 0); region++) {
		const char *name = h->regions.count ? h->regions.all[region].bytes : "the history";
		for (int phase = 0; phase < (options->has_fault ? PHASES : PHASE_FAULT); phase++)
			if (ok[region * PHASES + (uint32_t)phase] < options->ok_min)
				check_fails(check, VERDICT_PROVES_NOTHING, "%.60s has %llu ok writes%s, and needs %llu", name,
				    (unsigned long long)ok[region * PHASES + (uint32_t)phase], phase_names[phase],
				    (unsigned long long)options->ok_min);
	}
}

void check_count(const struct history *h, const struct judge_options *options, struct check *check)
{
	uint64_t *ok = memory_zeroed(((size_t)h->regions.count + 1) * PHASES, sizeof *ok);
	uint64_t all_ok = 0, looks = 0, failed = 0, unknown = 0;
	for (uint32_t i = 0; i < h->count; i++) {
		const struct operation *o = &h->operations[i];
		failed += o->outcome == OUTCOME_FAIL;
		unknown += o->outcome == OUTCOME_UNKNOWN;
		looks += is_ok_look(h, o);
		if (!is_ok_write(h, o))
			continue;
		uint64_t *counts = &ok[(o->region == NAME_NONE ? h->regions.count : o->region) * PHASES];
		all_ok++;
		counts[PHASE_ALL]++;
		counts[PHASE_FAULT] += o->start_ns >= options->fault_start_ns && o->end_ns <= options->fault_end_ns;
		counts[PHASE_AFTER] += o->start_ns > options->fault_end_ns;
	}
	check_counts(check, "%u operations in %u regions: %llu ok writes, %llu ok looks, %llu failed, %llu unknown", h->count,
	    h->regions.count, (unsigned long long)all_ok, (unsigned long long)looks, (unsigned long long)failed,
	    (unsigned long long)unknown);
	regions_judge(h, options, ok, check);
	if (looks == 0 && (options->final_count == 0 || options->level > LEVEL_EVENTUAL))
		check_fails(check, VERDICT_PROVES_NOTHING,
		    "nobody looked: a history without an ok get or cas proves nothing at this level");
	free(ok);
}
