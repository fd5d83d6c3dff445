/* SPDX-License-Identifier: Apache-2.0
 *
 * Linearizability on histories known good and known bad. T46, T48, B08, B17, B27 of the failures show here. */
#include <criterion/criterion.h>
#include <limits.h>

#include "check/register.h"

#define NEVER INT64_MAX

/* start, end, then what it was. */
#define GET(start, end, seen)                                                                                                  \
	{                                                                                                                      \
		start, end, seen, REGISTER_ANY, REGISTER_NOTHING, false, 0                                                     \
	}
#define PUT(start, end, value)                                                                                                 \
	{                                                                                                                      \
		start, end, REGISTER_ANY, REGISTER_ANY, value, false, 0                                                        \
	}
#define DELETE(start, end)                                                                                                     \
	{                                                                                                                      \
		start, end, REGISTER_ANY, REGISTER_ANY, REGISTER_ABSENT, false, 0                                              \
	}
#define CAS(start, end, expect, value)                                                                                         \
	{                                                                                                                      \
		start, end, expect, REGISTER_ANY, value, false, 0                                                              \
	}
#define REFUSED(start, end, expect)                                                                                            \
	{                                                                                                                      \
		start, end, REGISTER_ANY, expect, REGISTER_NOTHING, false, 0                                                   \
	}
#define UNKNOWN_PUT(start, value)                                                                                              \
	{                                                                                                                      \
		start, NEVER, REGISTER_ANY, REGISTER_ANY, value, true, 0                                                       \
	}
#define UNKNOWN_DELETE(start)                                                                                                  \
	{                                                                                                                      \
		start, NEVER, REGISTER_ANY, REGISTER_ANY, REGISTER_ABSENT, true, 0                                             \
	}
#define UNKNOWN_CAS(start, expect, value)                                                                                      \
	{                                                                                                                      \
		start, NEVER, expect, REGISTER_ANY, value, true, 0                                                             \
	}

static enum verdict verdict_of(const struct register_operation *operations, size_t count)
{
	struct register_fault fault = {.reason = NULL, .involved_count = 0};
	enum verdict verdict = register_check(operations, (uint32_t)count, 1000000, &fault);
	if (verdict == VERDICT_VIOLATION) {
		cr_expect(fault.reason && fault.involved_count > 0);
		for (uint32_t i = 0; i < fault.involved_count; i++)
			cr_expect_lt(fault.involved[i], count);
	}
	return verdict;
}

#define FINE(...)                                                                                                              \
	do {                                                                                                                   \
		const struct register_operation all[] = {__VA_ARGS__};                                                         \
		cr_expect_eq(verdict_of(all, sizeof all / sizeof *all), VERDICT_FINE);                                         \
	} while (0)
#define VIOLATION(...)                                                                                                         \
	do {                                                                                                                   \
		const struct register_operation all[] = {__VA_ARGS__};                                                         \
		cr_expect_eq(verdict_of(all, sizeof all / sizeof *all), VERDICT_VIOLATION);                                    \
	} while (0)

Test(check_register, known_good)
{
	cr_expect_eq(verdict_of(NULL, 0), VERDICT_FINE);
	FINE(GET(1, 2, 0));
	FINE(PUT(1, 2, 1), GET(3, 4, 1));
	FINE(PUT(1, 10, 1), GET(2, 3, 0), GET(4, 5, 1));
	FINE(PUT(1, 10, 1), PUT(1, 10, 2), GET(2, 3, 2), GET(4, 5, 1));
	FINE(PUT(1, 2, 1), DELETE(3, 4), GET(5, 6, 0), PUT(7, 8, 2), GET(9, 10, 2));
	FINE(CAS(1, 2, 0, 1), CAS(3, 4, 1, 2), GET(5, 6, 2), REFUSED(7, 8, 1));
	FINE(PUT(1, 2, 1), DELETE(3, 10), GET(4, 5, 1), GET(6, 7, 0), CAS(8, 9, 0, 2), GET(11, 12, 2));
}

Test(check_register, unknown_may_happen_any_time)
{
	FINE(UNKNOWN_PUT(1, 1), GET(2, 3, 0));
	FINE(UNKNOWN_PUT(1, 1), GET(2, 3, 0), GET(100, 101, 1));
	FINE(PUT(1, 2, 1), UNKNOWN_DELETE(3), GET(4, 5, 1), GET(6, 7, 0));
	FINE(PUT(1, 2, 1), UNKNOWN_CAS(3, 1, 2), GET(4, 5, 1), GET(6, 7, 2));
	FINE(PUT(1, 2, 1), UNKNOWN_PUT(3, 2), REFUSED(4, 5, 1), PUT(6, 7, 3), GET(8, 9, 3));
	VIOLATION(UNKNOWN_PUT(5, 1), GET(2, 3, 1));
	VIOLATION(UNKNOWN_PUT(1, 1), GET(2, 3, 1), GET(4, 5, 0));
	VIOLATION(PUT(1, 2, 1), UNKNOWN_DELETE(5), GET(3, 4, 0));
	VIOLATION(PUT(1, 2, 1), UNKNOWN_CAS(3, 9, 2), GET(4, 5, 2));
}

Test(check_register, known_bad)
{
	VIOLATION(GET(1, 2, 7));
	VIOLATION(GET(1, 2, 1), PUT(3, 4, 1));
	VIOLATION(PUT(1, 2, 1), GET(3, 4, 0));                                             /* lost */
	VIOLATION(PUT(1, 2, 1), PUT(3, 4, 2), GET(5, 6, 1));                               /* stale, B27 */
	VIOLATION(PUT(1, 2, 1), PUT(3, 20, 2), GET(4, 5, 2), GET(6, 7, 1));                /* seen, then not seen, T48 */
	VIOLATION(PUT(1, 20, 1), PUT(1, 20, 2), GET(2, 3, 2), GET(4, 5, 1), GET(6, 7, 2)); /* back again */
	VIOLATION(PUT(1, 2, 1), CAS(3, 10, 1, 2), CAS(3, 10, 1, 3));                       /* lost update, T46 */
	VIOLATION(PUT(1, 2, 1), REFUSED(3, 4, 1));                                         /* refused although it was there */
	VIOLATION(CAS(1, 10, 1, 2), CAS(1, 10, 2, 1));                                     /* out of nothing */
	VIOLATION(PUT(1, 2, 1), DELETE(3, 4), GET(5, 6, 1));                               /* comes back */
	VIOLATION(PUT(1, 2, 1), DELETE(3, 4), CAS(5, 6, 1, 2));
	VIOLATION(PUT(1, 2, 1), CAS(3, 4, 0, 2));
	VIOLATION(DELETE(1, 2), PUT(3, 4, 1), GET(5, 6, 0));
	VIOLATION(PUT(1, 2, 1), DELETE(3, 4), PUT(5, 6, 2), GET(7, 8, 0)); /* the only delete was overwritten */
	VIOLATION(DELETE(1, 10), PUT(1, 10, 1), PUT(1, 10, 2), GET(1, 2, 1), GET(3, 4, 0), GET(5, 6, 2), GET(7, 8, 0));
}

Test(check_register, reasons)
{
	static const struct {
		struct register_operation first, second;
		const char *reason;
	} all[] = {
	    {PUT(1, 2, 1), GET(3, 4, 7), "a value that nobody wrote"},
	    {PUT(5, 6, 1), GET(3, 4, 1), "a value seen before it was written"},
	    {CAS(1, 2, 0, 1), CAS(3, 4, 0, 2), "no order explains what was seen"},
	    {CAS(1, 9, 1, 2), CAS(1, 9, 2, 1), "compare-and-sets in a circle"},
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		const struct register_operation both[] = {all[i].first, all[i].second};
		struct register_fault fault;
		cr_assert_eq(register_check(both, 2, 1000, &fault), VERDICT_VIOLATION);
		cr_expect_str_eq(fault.reason, all[i].reason);
	}
}

Test(check_register, minimal)
{
	/* Two hundred operations, of which three matter. */
	struct register_operation all[200];
	bool keep[200];
	struct register_fault fault;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < 200; i += 2) {
		int64_t at = 10 * (int64_t)i;
		all[i] = (struct register_operation)PUT(at, at + 5, i + 1);
		all[i + 1] = (struct register_operation)GET(at + 6, at + 9, i + 1);
	}
	all[101].reads = 99; /* the value before */
	cr_assert_eq(register_check(all, 200, 1000000, &fault), VERDICT_VIOLATION);
	register_minimize(all, 200, 10000000, keep);
	for (uint32_t i = 0; i < 200; i++)
		kept += keep[i];
	cr_assert_eq(kept, 3);
	cr_assert(keep[98] && keep[100] && keep[101]);
}

Test(check_register, too_hard_is_said)
{
	struct register_operation all[2000];
	struct register_fault fault;
	for (uint32_t i = 0; i < 2000; i++)
		all[i] = (struct register_operation)PUT(1, 1000, i + 1);
	cr_assert_eq(register_check(all, 2000, 1000, &fault), VERDICT_TOO_HARD);
	cr_assert_eq(register_check(all, 2000, 100000000, &fault), VERDICT_FINE);
}
