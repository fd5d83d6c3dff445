/* SPDX-License-Identifier: Apache-2.0
 *
 * Two seqlocks that take turns (Boehm, "Can seqlocks get along with programming language memory models?", 2012, gives the
 * orders used here), without stand-alone fences.
 *
 * Writer, with N the sequence of the newest whole copy (even), on the other copy:
 *   sequence = N + 1 (release) -> each place (release) -> sequence = N + 2 (release)
 * Reader: both sequences (acquire) -> the larger even one -> its places (acquire) -> that sequence again; equal: taken.
 *
 * Not torn: a place stored by a later write that the reader met carries (release/acquire) that write's odd sequence with it, so
 * the second look at the sequence differs and the value is dropped.
 * Not older than before: say N was returned from copy X. X's sequence is never again seen below N (coherence). If it is seen
 * odd, then X is being written a second time; that store was a release after the other copy Y had got N + 2, so Y's
 * sequence, looked at again at the end, is N + 2 at least: an older Y, picked from a stale first look, is dropped.
 * The same holds between processes: the sequence lives in the memory, not in the reader.
 *
 * Writer killed: between the first and the last store one copy is odd, and the other is whole and is what everybody reads, for
 * as long as it takes. The next writer chooses the odd copy by itself, since only one can be odd. Killed outside: two whole
 * copies.
 *
 * A reader starts again only when the writer has begun two writes within its 16 loads; a stopped or killed writer never makes
 * it wait. */
#include "shm/vector_slot.h"

#include <assert.h>
#include <stdbool.h>

#include "base/crash_point.h"

/* Writers publish once a turn. So many lost races in a row mean damaged memory (both copies odd): better dead than stuck. */
#define READ_ATTEMPTS_MAX 100000000u

void vector_slot_write(struct vector_slot *slot, const struct vector *value)
{
	uint64_t first = atomic_load_explicit(&slot->copies[0].sequence, memory_order_acquire);
	uint64_t second = atomic_load_explicit(&slot->copies[1].sequence, memory_order_acquire);
	assert(((first & second) & 1u) == 0 && "two writers, or damaged memory");

	bool into_first = (first & 1u) != 0 || ((second & 1u) == 0 && first <= second);
	struct vector_copy *copy = &slot->copies[into_first ? 0 : 1];
	uint64_t newest = into_first ? second : first;

	atomic_store_explicit(&copy->sequence, newest + 1, memory_order_release);
	for (uint32_t i = 0; i < REGIONS_MAX; i++) {
		if (i == 2)
			CRASH_POINT(vector_half_written);
		atomic_store_explicit(&copy->place[i], value->sequence[i], memory_order_release);
	}
	atomic_store_explicit(&copy->sequence, newest + 2, memory_order_release);
	CRASH_POINT(vector_written);
}

void vector_slot_read(const struct vector_slot *slot, struct vector *value)
{
	for (uint32_t attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
		uint64_t first = atomic_load_explicit(&slot->copies[0].sequence, memory_order_acquire);
		uint64_t second = atomic_load_explicit(&slot->copies[1].sequence, memory_order_acquire);
		bool first_whole = (first & 1u) == 0;
		bool second_whole = (second & 1u) == 0;
		if (!first_whole && !second_whole)
			continue; /* seen while the writer went from one copy to the other */

		bool from_first = first_whole && (!second_whole || first >= second);
		const struct vector_copy *copy = &slot->copies[from_first ? 0 : 1];
		for (uint32_t i = 0; i < REGIONS_MAX; i++)
			value->sequence[i] = atomic_load_explicit(&copy->place[i], memory_order_acquire);
		if (atomic_load_explicit(&copy->sequence, memory_order_relaxed) == (from_first ? first : second))
			return;
	}
	assert(false && "damaged memory: no whole copy of a vector");
}
