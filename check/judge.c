/* SPDX-License-Identifier: Apache-2.0 */
#include "check/judge.h"

#include "check/checkers.h"

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
		if (options->level == LEVEL_STRONG)
			check_linearizability(history, &keyed, options->effort, report_check(report, "linearizability"));
	}
	keyed_deinit(&keyed);
	return code;
}
