/* SPDX-License-Identifier: Apache-2.0
 *
 * All that can be said of a history, and of what the regions hold at the end: which checkers run at which level.
 *
 *   count             enough ok writes in every region, and anything to look at: or nothing is proved
 *   values            what was seen was written, did not fail, and was not seen before it was asked for
 *   final             what regions hold at the end: all the same, and no acknowledged write lost (only with final states)
 *   session           the four session guarantees                                          (session and above)
 *   causal            causal consistency                                                   (causal and above)
 *   stamps            HLCs rise along causal order                        (session and causal, where versions are told)
 *   linearizability   per key                                                              (strong)
 *   transactions      cycles: serializable, and strictly so at strong                      (with transactions)
 *   bank              the total of all accounts in every transaction that read them all     (with a bank) */
#ifndef GODWIT_CHECK_JUDGE_H
#define GODWIT_CHECK_JUDGE_H
#include "check/history.h"
#include "check/verdict.h"

enum level { LEVEL_EVENTUAL, LEVEL_SESSION, LEVEL_CAUSAL, LEVEL_STRONG };

#define EFFORT_DEFAULT        1000000000u
#define CLOCK_SKEW_MS_DEFAULT 500u

struct judge_options {
	enum level level;
	uint64_t ok_min;        /* ok writes in every region */
	uint64_t effort;        /* of a search, per key */
	uint64_t clock_skew_ms; /* below strong: how much later a write must start to be surely newer in another region */
	bool has_fault;         /* ok_min must hold before fault_end_ns (and after the start), and after it, too */
	int64_t fault_start_ns, fault_end_ns;
	bool other_keys_allowed; /* final states may hold keys that the history does not write */
	const char *bank_prefix; /* accounts: keys that begin with it; NULL: no bank */
	bool has_bank_total;
	int64_t bank_total; /* else that of the first transaction that read all */
	const struct final_state *finals;
	uint32_t final_count;
};
#define JUDGE_OPTIONS_DEFAULT                                                                                                  \
	{                                                                                                                      \
		.level = LEVEL_STRONG, .ok_min = 1, .effort = EFFORT_DEFAULT, .clock_skew_ms = CLOCK_SKEW_MS_DEFAULT           \
	}

/* 0 with a report, whatever it says; ERR_MALFORMED when the history breaks its format (a value written twice). */
int judge(
    const struct history *history, const struct judge_options *options, struct report *report, struct error_context *error);

#endif
