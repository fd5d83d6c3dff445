/* SPDX-License-Identifier: Apache-2.0 */
#include "check/verdict.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "check/memory.h"

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {[VERDICT_FINE] = "fine",
	    [VERDICT_VIOLATION] = "violation",
	    [VERDICT_PROVES_NOTHING] = "proves nothing",
	    [VERDICT_TOO_HARD] = "too hard"};
	return names[verdict];
}

static int gravity(enum verdict verdict)
{
	return verdict == VERDICT_VIOLATION ? 3 : verdict == VERDICT_TOO_HARD ? 2 : verdict == VERDICT_PROVES_NOTHING ? 1 : 0;
}

void report_deinit(struct report *report)
{
	for (uint32_t i = 0; i < report->count; i++)
		for (uint32_t j = 0; j < VIOLATIONS_KEPT_MAX; j++)
			free(report->checks[i].texts[j]);
	*report = (struct report){.count = 0};
}

struct check *report_check(struct report *report, const char *name)
{
	assert(report->count < CHECKS_MAX);
	struct check *check = &report->checks[report->count++];
	*check = (struct check){.name = name};
	return check;
}

void check_counts(struct check *check, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(check->counts, sizeof check->counts, format, arguments);
	va_end(arguments);
}

void check_fails(struct check *check, enum verdict verdict, const char *format, ...)
{
	if (gravity(verdict) > gravity(check->verdict))
		check->verdict = verdict;
	uint64_t number = check->violations++;
	if (number >= VIOLATIONS_KEPT_MAX)
		return;
	va_list arguments;
	va_start(arguments, format);
	check->texts[number] = memory_resize(NULL, VIOLATION_TEXT_MAX, 1);
	vsnprintf(check->texts[number], VIOLATION_TEXT_MAX, format, arguments);
	va_end(arguments);
}

enum verdict report_verdict(const struct report *report)
{
	enum verdict verdict = VERDICT_FINE;
	for (uint32_t i = 0; i < report->count; i++)
		if (gravity(report->checks[i].verdict) > gravity(verdict))
			verdict = report->checks[i].verdict;
	return verdict;
}
