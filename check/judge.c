/* SPDX-License-Identifier: Apache-2.0 */
#include "check/judge.h"

#include "check/checkers.h"

static void sessions_judge(
    const struct history *history, const struct keyed *keyed, const struct judge_options *options, struct report *report)
{
	struct causality causality;
	struct check *session = report_check(report, "session");
	if (causality_init(&causality, history, keyed) == VERDICT_FINE) {
		bool has_versions = false;
		check_session(&causality, session);
		if (options->level >= LEVEL_CAUSAL)
			check_causal(&causality, report_check(report, "causal"));
		for (uint32_t i = 0; i < history->count; i++)
			has_versions |= history->operations[i].has_version;
		if (has_versions && options->level < LEVEL_STRONG)
			check_stamps(&causality, report_check(report, "stamps"));
	} else
		check_fails(session, VERDICT_TOO_HARD,
		    "causal order of %u operations in %u lanes with writes takes too much memory", causality.node_count,
		    causality.column_count);
	causality_deinit(&causality);
}

int judge(
    const struct history *history, const struct judge_options *options, struct report *report, struct error_context *error)
{
	struct keyed keyed;
	int code = keyed_init(&keyed, history, options->bank_prefix, error);
	if (!code) {
		check_count(history, options, report_check(report, "count"));
		check_values(history, &keyed, report_check(report, "values"));
		if (options->final_count)
			check_final(history, &keyed, options, report_check(report, "final"));
		if (options->level >= LEVEL_SESSION)
			sessions_judge(history, &keyed, options, report);
		if (options->level == LEVEL_STRONG)
			check_linearizability(history, &keyed, options->effort, report_check(report, "linearizability"));
		if (history->access_count)
			check_transactions(
			    history, &keyed, options->level == LEVEL_STRONG, report_check(report, "transactions"));
		if (options->bank_prefix)
			check_bank(history, &keyed, options, report_check(report, "bank"));
	}
	keyed_deinit(&keyed);
	return code;
}
