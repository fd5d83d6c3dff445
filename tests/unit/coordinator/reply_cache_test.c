/* SPDX-License-Identifier: Apache-2.0 */
#include "core/reply_cache.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/hlc.h"

Test(memory, keeps_exactly_the_newest)
{
	struct reply_cache m;
	reply_cache_init(&m, 1024, calloc(1, reply_cache_storage(1024)));
	for (uint64_t n = 1; n <= 20000; n++) {
		struct reply_answer *answer = reply_cache_add(&m, n % 7 + 1, n);
		answer->state = REPLY_DONE;
		answer->sequence = n;
		if (n % 97)
			continue;
		for (uint64_t k = n > 1500 ? n - 1500 : 1; k <= n; k++) {
			struct reply_answer *found = reply_cache_find(&m, k % 7 + 1, k);
			cr_assert_eq(found != NULL, n - k < 1024);
			cr_assert(!found || found->sequence == k);
		}
	}
	free(m.storage);
}

/* The first sending is told in whole milliseconds, and nothing was sent before the machine started. */
Test(memory, a20_what_may_be_forgotten_goes_by_the_first_sending)
{
	struct reply_cache m;
	reply_cache_init(&m, 64, calloc(1, reply_cache_storage(64)));
	m.now_ns = 5500000;
	cr_assert_not(reply_cache_may_have_forgotten(&m, 1000), "nothing is forgotten yet");
	static const struct {
		uint64_t complete_ns, age_ms;
		bool may;
	} rows[] = {{1, 5, true}, {1, 6, true}, {1, UINT64_MAX, true}, {1, 4, false}, {1, 0, false}, {1500000, 4, true},
	    {1499999, 4, false}, {5500000, 0, true}, {5499999, 0, false}};
	for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		m.complete_ns = rows[i].complete_ns;
		cr_assert_eq(reply_cache_may_have_forgotten(&m, rows[i].age_ms), rows[i].may, "row %u", i);
	}
	free(m.storage);
}

/* However many come after it: what is not answered yet is still found, in its place, and is no mark for its client. */
Test(memory, never_forgets_what_is_parked)
{
	enum { CAPACITY = 64, PARKED = 20 };
	struct reply_cache m;
	uint32_t places[PARKED];
	reply_cache_init(&m, CAPACITY, calloc(1, reply_cache_storage(CAPACITY)));
	for (uint64_t n = 1; n <= 10000; n++) {
		struct reply_answer *answer = reply_cache_add(&m, 5, n);
		answer->state = n % 3 == 1 && n < 3 * PARKED ? REPLY_PARKED : REPLY_DONE;
		answer->sequence = 7 * n;
		answer->hlc = hlc_pack(n, 0);
		if (answer->state == REPLY_PARKED)
			places[n / 3] = (uint32_t)(answer - m.answers);
		for (uint64_t k = 0; k < PARKED && 3 * k + 1 <= n; k++) {
			struct reply_answer *parked = reply_cache_find(&m, 5, 3 * k + 1);
			cr_assert(parked && parked->state == REPLY_PARKED && parked->sequence == 7 * (3 * k + 1), "%d of %d",
			    (int)k, (int)n);
			cr_assert_eq(parked->hlc, hlc_pack(3 * k + 1, 0));
			cr_assert_eq(parked - m.answers, places[k], "who parked it holds its place");
		}
		/* Of the others the newest are there, as many as there is room for. */
		uint64_t room = CAPACITY - (n < 3 * PARKED ? (n + 2) / 3 : PARKED), done = 0;
		for (uint64_t k = n; k && done < room; k--) {
			if (k % 3 == 1 && k < 3 * PARKED)
				continue;
			done++;
			cr_assert(reply_cache_find(&m, 5, k), "%d of %d", (int)k, (int)n);
		}
	}
	/* Once answered they leave as others do. */
	for (uint64_t k = 0; k < PARKED; k++)
		reply_cache_find(&m, 5, 3 * k + 1)->state = REPLY_DONE;
	for (uint64_t n = 10001; n <= 10000 + CAPACITY; n++)
		reply_cache_add(&m, 5, n)->state = REPLY_DONE;
	for (uint64_t n = 1; n <= 10000 + CAPACITY; n++)
		cr_assert_eq(reply_cache_find(&m, 5, n) != NULL, n > 10000);
	free(m.storage);
}
