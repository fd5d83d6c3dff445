/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *memory, size_t size)
{
	memory = realloc(memory, size);
	if (!memory)
		abort();
	return memory;
}

uint64_t disk_append(struct sim *sim, struct sim_disk *disk, enum log_kind kind, const void *bytes, size_t size)
{
	if (disk->count == disk->capacity) {
		disk->capacity = disk->capacity ? disk->capacity * 2 : 1024;
		disk->entries = grown(disk->entries, disk->capacity * sizeof *disk->entries);
	}
	struct sim_entry *entry = &disk->entries[disk->count++];
	*entry = (struct sim_entry){.kind = kind, .size = (uint32_t)size, .written_ns = sim->now_ns, .bytes = malloc(size)};
	if (!entry->bytes)
		abort();
	memcpy(entry->bytes, bytes, size);
	return disk->count;
}

static void cut(struct sim_disk *disk, uint64_t count)
{
	while (disk->count > count)
		free(disk->entries[--disk->count].bytes);
	disk->syncing = 0;
}

/* What was handed to the disk is in the page cache, whole or a part of it; what was only gathered is gone. */
void disk_lose_process(struct sim *sim, struct sim_disk *disk)
{
	uint64_t handed = disk->syncing > disk->durable ? disk->syncing - disk->durable : 0;
	cut(disk, disk->durable + (handed ? chance_below(&sim->chance, handed + 1) : 0));
}

static void rows_clear(struct sim_disk *disk)
{
	for (uint32_t i = 0; i < disk->row_capacity; i++)
		free(disk->rows[i].bytes);
	free(disk->rows);
	disk->rows = NULL;
	disk->row_count = disk->row_capacity = 0;
	disk->applied_lsn = disk->hlc = disk->hlc_bound = disk->conflicts = disk->live_rows = 0;
	memset(disk->buckets, 0, sizeof disk->buckets);
	disk->applied = (struct vector){{0}};
	memset(disk->peer_stores, 0, sizeof disk->peer_stores);
}

static void rows_copy(struct sim_disk *into, const struct sim_disk *from)
{
	rows_clear(into);
	into->rows = calloc(from->row_capacity + 1, sizeof *into->rows);
	if (!into->rows)
		abort();
	for (uint32_t i = 0; i < from->row_capacity; i++) {
		into->rows[i] = from->rows[i];
		if (!from->rows[i].bytes)
			continue;
		into->rows[i].bytes = malloc(from->rows[i].size);
		if (!into->rows[i].bytes)
			abort();
		memcpy(into->rows[i].bytes, from->rows[i].bytes, from->rows[i].size);
	}
	into->row_count = from->row_count;
	into->row_capacity = from->row_capacity;
	into->applied_lsn = from->applied_lsn;
	into->applied = from->applied;
	memcpy(into->peer_stores, from->peer_stores, sizeof into->peer_stores);
	into->hlc = from->hlc;
	into->hlc_bound = from->hlc_bound;
	into->conflicts = from->conflicts;
	into->live_rows = from->live_rows;
	memcpy(into->buckets, from->buckets, sizeof into->buckets);
}

void disk_snapshot(struct sim_disk *disk)
{
	if (!disk->snapshot && !(disk->snapshot = calloc(1, sizeof *disk->snapshot)))
		abort();
	rows_copy(disk->snapshot, disk);
}

void disk_drop(struct sim_disk *disk, uint64_t upto)
{
	assert(disk->snapshot && upto <= disk->snapshot->applied_lsn && upto <= disk->durable);
	for (; disk->start < upto; disk->start++) {
		struct sim_entry *entry = &disk->entries[disk->start];
		struct dot dot;
		if (entry->kind == SIM_RECORD && record_peek(entry->bytes, entry->size, &dot) == 0)
			disk->before.sequence[dot.region] = dot.sequence;
		free(entry->bytes);
		entry->bytes = NULL;
	}
}

uint64_t disk_needed(const struct sim_disk *disk, const struct vector *acked)
{
	struct vector vector = disk->before;
	uint64_t needed = 0;
	for (uint64_t lsn = disk->start; lsn < disk->durable && vector_covers(acked, &vector); lsn++) {
		struct dot dot;
		if (lsn % SIM_SEGMENT == 0)
			needed = lsn;
		if (disk->entries[lsn].kind == SIM_RECORD &&
		    record_peek(disk->entries[lsn].bytes, disk->entries[lsn].size, &dot) == 0)
			vector.sequence[dot.region] = dot.sequence;
	}
	return needed;
}

/* The map is not trusted after that: the snapshot replaces it, or rows begin empty, and the log is replayed. */
void disk_lose_machine(struct sim *sim, struct sim_disk *disk)
{
	disk_lose_process(sim, disk);
	if (disk->snapshot)
		rows_copy(disk, disk->snapshot);
	else
		rows_clear(disk);
}

static void snapshot_release(struct sim_disk *disk)
{
	if (disk->snapshot)
		rows_clear(disk->snapshot);
	free(disk->snapshot);
	disk->snapshot = NULL;
}

void disk_wipe(struct sim_disk *disk)
{
	cut(disk, 0);
	disk->durable = 0;
	disk->start = 0;
	disk->before = (struct vector){{0}};
	snapshot_release(disk);
	disk->kept = (struct vector){{0}};
	rows_clear(disk);
}

void disk_release(struct sim_disk *disk)
{
	cut(disk, 0);
	rows_clear(disk);
	snapshot_release(disk);
	free(disk->entries);
}

static uint32_t slot_of(const struct sim_disk *disk, const char *key)
{
	uint64_t hash = 14695981039346656037ull;
	for (const char *c = key; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211ull;
	uint32_t slot = (uint32_t)(hash >> 17) & (disk->row_capacity - 1);
	while (disk->rows[slot].key[0] && strcmp(disk->rows[slot].key, key) != 0)
		slot = (slot + 1) & (disk->row_capacity - 1);
	return slot;
}

struct sim_row *disk_row(struct sim_disk *disk, const char *key, bool make)
{
	if (make && (disk->row_count + 1) * 2 > disk->row_capacity) {
		struct sim_row *old = disk->rows;
		uint32_t old_capacity = disk->row_capacity;
		disk->row_capacity = old_capacity ? old_capacity * 2 : 256;
		disk->rows = calloc(disk->row_capacity, sizeof *disk->rows);
		if (!disk->rows)
			abort();
		for (uint32_t i = 0; i < old_capacity; i++)
			if (old[i].key[0])
				disk->rows[slot_of(disk, old[i].key)] = old[i];
		free(old);
	}
	if (!disk->row_capacity)
		return NULL;
	struct sim_row *row = &disk->rows[slot_of(disk, key)];
	if (!row->key[0]) {
		if (!make)
			return NULL;
		strcpy(row->key, key);
		disk->row_count++;
	}
	return row;
}

static void apply_record(struct sim *sim, struct sim_node *node, const struct sim_entry *entry)
{
	struct sim_disk *disk = &node->disk;
	struct record record;
	char key[SIM_KEY_SIZE] = {0};
	struct row row;
	enum row_change change;
	assert(record_decode(&record, entry->bytes, entry->size) == (long)entry->size && record.key_size < SIM_KEY_SIZE);
	check_applied(sim, node, &record, entry->bytes, entry->size);
	memcpy(key, record.key, record.key_size);
	struct sim_row *stored = disk_row(disk, key, true);
	row_init(&row);
	struct digest *bucket = &disk->buckets[row_digest_bucket(record.key, record.key_size)];
	if (stored->bytes) {
		assert(row_decode(&row, stored->bytes, stored->size) == 0);
		if (!row_is_deleted(&row)) {
			digest_subtract(bucket, row_digest(0, record.key, record.key_size, stored->bytes, stored->size));
			disk->live_rows--;
		}
	}
	assert(row_merge_record(&row, &record, &change) == 0);
	disk->conflicts += change == ROW_CONFLICT;
	sim->counts.conflicts += change == ROW_CONFLICT;
	long size = row_encoded_size(&row);
	uint8_t *bytes = malloc((size_t)size);
	assert(bytes && row_encode(&row, bytes, (size_t)size) == size);
	if (!row_is_deleted(&row)) {
		digest_add(bucket, row_digest(0, record.key, record.key_size, bytes, (size_t)size));
		disk->live_rows++;
	}
	free(stored->bytes);
	stored->bytes = bytes;
	stored->size = (uint32_t)size;
	disk->applied.sequence[record.dot.region] = record.dot.sequence;
	vector_join(&disk->kept, &disk->applied);
	if (record.dot.region == node->region && record.hlc > disk->hlc)
		disk->hlc = record.hlc;
}

void disk_apply(struct sim *sim, struct sim_node *node, uint64_t lsn)
{
	struct sim_disk *disk = &node->disk;
	assert(lsn <= disk->count && disk->applied_lsn >= disk->start);
	for (; disk->applied_lsn < lsn; disk->applied_lsn++) {
		const struct sim_entry *entry = &disk->entries[disk->applied_lsn];
		if (entry->kind == SIM_RECORD)
			apply_record(sim, node, entry);
		else if (entry->kind == SIM_PEER_STORE && !store_id_is_known(&disk->peer_stores[entry->bytes[0]]))
			memcpy(&disk->peer_stores[entry->bytes[0]], entry->bytes + 1, STORE_ID_SIZE);
		else if (entry->kind == SIM_BOUND)
			memcpy(&disk->hlc_bound, entry->bytes, sizeof disk->hlc_bound);
	}
}
