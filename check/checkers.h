/* SPDX-License-Identifier: Apache-2.0
 *
 * The checkers, each a pure function of what was recorded. judge.h says what each is about. */
#ifndef GODWIT_CHECK_CHECKERS_H
#define GODWIT_CHECK_CHECKERS_H
#include "check/causality.h"
#include "check/judge.h"
#include "check/keyed.h"

void check_count(const struct history *history, const struct judge_options *options, struct check *check);
void check_values(const struct history *history, const struct keyed *keyed, struct check *check);
void check_final(
    const struct history *history, const struct keyed *keyed, const struct judge_options *options, struct check *check);
void check_linearizability(const struct history *history, const struct keyed *keyed, uint64_t effort, struct check *check);
void check_session(const struct causality *causality, struct check *check);
void check_causal(const struct causality *causality, struct check *check);
void check_stamps(const struct causality *causality, struct check *check);
void check_transactions(const struct history *history, const struct keyed *keyed, bool is_strict, struct check *check);
void check_bank(
    const struct history *history, const struct keyed *keyed, const struct judge_options *options, struct check *check);

#endif
