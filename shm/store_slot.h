/* SPDX-License-Identifier: Apache-2.0
 *
 * Store ids in shared memory, in vector slots: whole whatever happens to the writer. */
#ifndef GODWIT_SHM_STORE_SLOT_H
#define GODWIT_SHM_STORE_SLOT_H
#include "core/store_id.h"
#include "shm/vector_slot.h"

/* An id that was met, and the store that the writer worked for when it met it: what an earlier life of the data directory has
 * left here says nothing to the next. */
struct store_seen_slot {
	struct vector_slot slot;
};
void store_seen_write(struct store_seen_slot *seen, const struct store_id *own, const struct store_id *met);
/* False: nothing met on behalf of this store. */
bool store_seen_read(const struct store_seen_slot *seen, const struct store_id *own, struct store_id *met);

/* One id a region. Two words each, so two slots; each of them is written as a whole. */
struct store_table_slot {
	struct vector_slot slots[2];
};
void store_table_write(struct store_table_slot *table, const struct store_id ids[static REGIONS_MAX]);
void store_table_read(const struct store_table_slot *table, struct store_id ids[static REGIONS_MAX]);

#endif
