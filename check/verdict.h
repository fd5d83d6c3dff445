/* SPDX-License-Identifier: Apache-2.0
 *
 * What a checker comes to, and the report of several. */
#ifndef GODWIT_CHECK_VERDICT_H
#define GODWIT_CHECK_VERDICT_H
#include <stdbool.h>
#include <stdint.h>

enum verdict { VERDICT_FINE, VERDICT_VIOLATION, VERDICT_PROVES_NOTHING, VERDICT_TOO_HARD };
const char *verdict_name(enum verdict verdict); /* "fine", "violation", "proves nothing", "too hard" */

#define CHECKS_MAX          16u
#define VIOLATIONS_KEPT_MAX 10u
#define VIOLATION_TEXT_MAX  8192u

struct check {
	const char *name; /* not copied */
	enum verdict verdict;
	char counts[200];    /* what was looked at */
	uint64_t violations; /* all; the first few are kept */
	char *texts[VIOLATIONS_KEPT_MAX];
};
struct report {
	struct check checks[CHECKS_MAX];
	uint32_t count;
};

/* A struct of zeros is an empty report. */
void report_deinit(struct report *report);
/* A new check, fine so far. */
struct check *report_check(struct report *report, const char *name);
void check_counts(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A violation decides; too hard comes before proves nothing. The reason is kept like a violation's text. */
void check_fails(struct check *check, enum verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The gravest: a violation, then too hard, then proves nothing. */
enum verdict report_verdict(const struct report *report);

#endif
