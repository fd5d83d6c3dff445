/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/pace.h"

#include <criterion/criterion.h>

/* `clients` who each wait for an answer; each group is answered after 300 us. Returns the groups until each has `rounds`. */
static uint64_t pace_closed_loop(uint32_t clients, uint32_t rounds, uint64_t *took_ns)
{
	struct pace pace = {0};
	uint64_t now_ns = 1000000000, groups = 0, started_ns = now_ns;
	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t i = 0; i < clients; i++) {
			now_ns += 20000;
			pace_gather(&pace, 200, true);
			if (!pace_is_due(&pace, i + 1, now_ns))
				continue;
			pace_flushed(&pace, i + 1, now_ns);
			groups++;
		}
		if (pace.bytes) { /* the rest goes when its time has come */
			now_ns = pace_deadline_ns(&pace);
			cr_assert(pace_is_due(&pace, clients, now_ns));
			pace_flushed(&pace, clients, now_ns);
			groups++;
		}
		now_ns += 300000;
	}
	*took_ns = now_ns - started_ns;
	return groups;
}

Test(pace, a_lone_write_never_waits)
{
	uint64_t took_ns;
	cr_assert_eq(pace_closed_loop(1, 1000, &took_ns), 1000);
	cr_assert_eq(took_ns, 1000 * 320000);
}

Test(pace, writers_who_all_wait_are_not_kept_waiting)
{
	uint64_t took_ns;
	uint64_t groups = pace_closed_loop(8, 1000, &took_ns);
	cr_assert_leq(groups, 2500, "%d", (int)groups);
	cr_assert_leq(took_ns, 1000 * 600000ull, "%d us a round", (int)(took_ns / 1000000));
}

Test(pace, others_are_gathered_for_a_while)
{
	struct pace pace = {0};
	uint64_t now_ns = 1000000000;
	cr_assert_eq(pace_deadline_ns(&pace), UINT64_MAX);
	cr_assert(!pace_is_due(&pace, 0, now_ns), "nothing is there");
	/* Many waited together: fewer do not go at once, but when their time has come. */
	pace_gather(&pace, 1000, true);
	cr_assert(pace_is_due(&pace, 50, now_ns));
	pace_flushed(&pace, 50, now_ns);
	pace_gather(&pace, 1000, true);
	cr_assert(!pace_is_due(&pace, 10, now_ns + 1000));
	cr_assert(pace_is_due(&pace, 10, pace_deadline_ns(&pace)));
	cr_assert_eq(pace_deadline_ns(&pace), now_ns + PACE_GAP_NS);
	/* As many as before are all that can be expected. */
	cr_assert(pace_is_due(&pace, 50, now_ns + 1000));
	/* Nobody waits for records of other regions. */
	pace_flushed(&pace, 0, now_ns);
	for (int i = 0; i < 200; i++)
		pace_flushed(&pace, 0, now_ns);
	pace_gather(&pace, 1000, false);
	cr_assert(!pace_is_due(&pace, 0, now_ns + 1000));
	cr_assert(pace_is_due(&pace, 0, now_ns + PACE_GAP_NS));
	/* A full group is full. */
	pace_gather(&pace, PACE_BYTES_MAX, false);
	cr_assert(pace_is_due(&pace, 0, now_ns + 1000));
	/* After a crowd, one alone is soon not kept waiting any more. */
	pace_flushed(&pace, 100, now_ns);
	uint32_t kept = 0;
	for (int i = 0; i < 200; i++) {
		pace_gather(&pace, 200, true);
		kept += !pace_is_due(&pace, 1, now_ns);
		pace_flushed(&pace, 1, now_ns);
	}
	cr_assert(kept > 10 && kept < 130, "%u", kept);
}
