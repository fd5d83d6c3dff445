/* SPDX-License-Identifier: Apache-2.0
 *
 * A version vector in shared memory: one writer, any number of readers, readable whatever happens to the writer.
 *
 * Two copies, each with its sequence number (odd while being written). The writer always writes the older copy; readers take
 * the newer whole one, so that a writer killed in the middle leaves the last complete value readable. */
#ifndef GODWIT_SHM_VECTOR_SLOT_H
#define GODWIT_SHM_VECTOR_SLOT_H
#include <stdatomic.h>
#include <stdint.h>

#include "core/vector.h"

struct vector_copy {
	_Alignas(64) _Atomic uint64_t sequence;
	_Atomic uint64_t place[REGIONS_MAX];
};
struct vector_slot {
	struct vector_copy copies[2];
};

/* The one writer. Also repairs what an earlier writer left when killed. */
void vector_slot_write(struct vector_slot *slot, const struct vector *value);
/* Any reader. Always succeeds; what is returned was written as one value, and never older than one returned before. */
void vector_slot_read(const struct vector_slot *slot, struct vector *value);

#endif
