/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/store_slot.h"

#define WORDS           (STORE_ID_SIZE / 8)
#define REGIONS_IN_SLOT (REGIONS_MAX / WORDS)

_Static_assert(REGIONS_MAX == 2 * REGIONS_IN_SLOT, "two slots hold all");

void store_seen_write(struct store_seen_slot *seen, const struct store_id *own, const struct store_id *met)
{
	struct vector words = {{0}};
	memcpy(words.sequence, own, sizeof *own);
	memcpy(words.sequence + WORDS, met, sizeof *met);
	vector_slot_write(&seen->slot, &words);
}

bool store_seen_read(const struct store_seen_slot *seen, const struct store_id *own, struct store_id *met)
{
	struct vector words;
	vector_slot_read(&seen->slot, &words);
	memcpy(met, words.sequence + WORDS, sizeof *met);
	return memcmp(words.sequence, own, sizeof *own) == 0 && store_id_is_known(met);
}

void store_table_write(struct store_table_slot *table, const struct store_id ids[static REGIONS_MAX])
{
	struct vector words;
	for (uint32_t i = 0; i < 2; i++) {
		memcpy(words.sequence, ids + i * REGIONS_IN_SLOT, sizeof words.sequence);
		vector_slot_write(&table->slots[i], &words);
	}
}

void store_table_read(const struct store_table_slot *table, struct store_id ids[static REGIONS_MAX])
{
	struct vector words;
	for (uint32_t i = 0; i < 2; i++) {
		vector_slot_read(&table->slots[i], &words);
		memcpy(ids + i * REGIONS_IN_SLOT, words.sequence, sizeof words.sequence);
	}
}
