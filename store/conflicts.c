// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "store/rows_internal.h"

/* Encoding, numbers little endian:
 *   u64 recorded ms | u16 keyspace | u8 strategy | u8 held sides | u8 region, u64 sequence of the winner | u16 key size |
 *   16 x u64 arrived context | 16 x u64 held context | key | arrived side | held sides
 * side: u8 region | u8 tombstone | u64 sequence | u64 HLC | u32 whole size | u32 size kept | value */
#define HEAD_SIZE   (8u + 2 + 1 + 1 + 1 + 8 + 2)
#define VECTOR_SIZE (8u * REGIONS_MAX)
#define SIDE_SIZE   (1u + 1 + 8 + 8 + 4 + 4)

static uint8_t *side_encode(uint8_t *at, struct dot dot, uint64_t hlc, uint8_t flags, const uint8_t *value, uint32_t size)
{
	const uint32_t kept = size < CONFLICT_VALUE_MAX ? size : CONFLICT_VALUE_MAX;

	at[0] = dot.region;
	at[1] = (flags & RECORD_TOMBSTONE) != 0;
	bytes_put_u64(at + 2, dot.sequence);
	bytes_put_u64(at + 10, hlc);
	memcpy(at + 18, &size, 4);
	memcpy(at + 22, &kept, 4);
	if (kept > 0)
		memcpy(at + SIDE_SIZE, value, kept);
	return at + SIDE_SIZE + kept;
}

static uint8_t *vector_put(uint8_t *at, const struct vector *vector)
{
	for (uint32_t i = 0; i < REGIONS_MAX; i++, at += 8)
		bytes_put_u64(at, vector->sequence[i]);
	return at;
}

static const uint8_t *vector_get(const uint8_t *at, struct vector *vector)
{
	for (uint32_t i = 0; i < REGIONS_MAX; i++, at += 8)
		vector->sequence[i] = bytes_get_u64(at);
	return at;
}

static void id_key(uint8_t out[static 8], uint64_t id)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(id >> (56 - 8 * i));
}

int conflict_record(struct rows *rows, MDB_txn *txn, const struct record *record, const struct row *row,
    const struct vector *held_context, uint64_t now_ms, struct error_context *error)
{
	const enum strategy strategy = rows->options.strategy[record->keyspace];
	const struct dot winner = row->siblings[row_winner(row, strategy, rows->options.priority)].dot;
	uint8_t *out = rows->scratch, name[8], held = 0;

	assert(rows->scratch_size >= CONFLICT_ENCODED_MAX);
	bytes_put_u64(out, now_ms);
	bytes_put_u16(out + 8, record->keyspace);
	out[10] = (uint8_t)strategy;
	out[12] = winner.region;
	bytes_put_u64(out + 13, winner.sequence);
	bytes_put_u16(out + 21, (uint16_t)record->key_size);
	uint8_t *at = vector_put(out + HEAD_SIZE, &record->context);
	at = vector_put(at, held_context);
	memcpy(at, record->key, record->key_size);
	at = side_encode(at + record->key_size, record->dot, record->hlc, record->flags, record->value, record->value_size);
	for (uint32_t i = 0; i < row->sibling_count && held < CONFLICT_SIDES_MAX; i++) {
		const struct sibling *s = &row->siblings[i];
		if (s->dot.region == record->dot.region && s->dot.sequence == record->dot.sequence)
			continue;
		at = side_encode(at, s->dot, s->hlc, s->flags, s->value, s->value_size);
		held++;
	}
	out[11] = held;

	id_key(name, rows->next.meta.next_conflict_id);
	MDB_val key = {.mv_size = sizeof(name), .mv_data = name}, value = {.mv_size = (size_t)(at - out), .mv_data = out};
	const int code = mdb_put(txn, rows->conflicts, &key, &value, MDB_APPEND);
	if (code != 0)
		return rows_lmdb_error(code, "conflict", error);
	rows->next.conflict_bytes += value.mv_size;
	rows->next.meta.next_conflict_id++;
	rows->next.meta.conflicts++;
	return 0;
}

int conflicts_trim(struct rows *rows, MDB_txn *txn, uint64_t now_ms, uint64_t most, struct error_context *error)
{
	struct rows_state *state = &rows->next;

	for (; most > 0 && state->first_conflict_id < state->meta.next_conflict_id; most--) {
		uint8_t name[8];
		MDB_val key = {.mv_size = sizeof(name), .mv_data = name}, value;

		id_key(name, state->first_conflict_id);
		int code = mdb_get(txn, rows->conflicts, &key, &value);
		if (code != 0 && code != MDB_NOTFOUND)
			return rows_lmdb_error(code, "conflict", error);
		const uint64_t size = code == 0 ? value.mv_size : 0;
		if (state->meta.next_conflict_id - state->first_conflict_id <= rows->options.conflicts_max &&
		    state->conflict_bytes <= rows->options.conflicts_bytes && size >= 8 &&
		    bytes_get_u64(value.mv_data) + rows->options.conflicts_age_ms >= now_ms)
			return 0;
		state->conflict_bytes -= size < state->conflict_bytes ? size : state->conflict_bytes;
		code = mdb_del(txn, rows->conflicts, &key, NULL);
		if (code != 0 && code != MDB_NOTFOUND)
			return rows_lmdb_error(code, "conflict", error);
		state->first_conflict_id++;
		state->meta.conflicts_dropped++;
	}
	return 0;
}

static const uint8_t *side_decode(const uint8_t *at, const uint8_t *end, struct conflict_side *side)
{
	if (end - at < (long)SIDE_SIZE)
		return NULL;
	side->dot.region = at[0];
	side->tombstone = at[1] != 0;
	side->dot.sequence = bytes_get_u64(at + 2);
	side->hlc = bytes_get_u64(at + 10);
	memcpy(&side->value_size_whole, at + 18, 4);
	memcpy(&side->value_size, at + 22, 4);
	side->value = at + SIDE_SIZE;
	if (side->dot.region >= REGIONS_MAX || side->value_size > side->value_size_whole ||
	    side->value_size > CONFLICT_VALUE_MAX)
		return NULL;
	return (uint64_t)(end - side->value) < side->value_size ? NULL : side->value + side->value_size;
}

static int conflict_decode(struct conflict *conflict, const MDB_val *key, const MDB_val *value)
{
	const uint8_t *at = value->mv_data, *end = at + value->mv_size;

	if (key->mv_size != 8 || value->mv_size < HEAD_SIZE + 2 * VECTOR_SIZE)
		return ERR_CORRUPT;
	conflict->id = 0;
	for (int i = 0; i < 8; i++)
		conflict->id = conflict->id << 8 | ((const uint8_t *)key->mv_data)[i];
	conflict->recorded_ms = bytes_get_u64(at);
	conflict->keyspace = bytes_get_u16(at + 8);
	conflict->strategy = (enum strategy)at[10];
	conflict->held_count = at[11];
	conflict->winner = (struct dot){.region = at[12], .sequence = bytes_get_u64(at + 13)};
	conflict->key_size = bytes_get_u16(at + 21);
	at = vector_get(at + HEAD_SIZE, &conflict->arrived_context);
	at = vector_get(at, &conflict->held_context);
	conflict->key = at;
	/* Who shows it looks names up by these numbers. */
	if (conflict->held_count > CONFLICT_SIDES_MAX || conflict->key_size == 0 || conflict->key_size > KEY_SIZE_MAX ||
	    conflict->key_size > end - at || conflict->strategy > STRATEGY_PRIORITY || conflict->keyspace >= KEYSPACES_MAX ||
	    conflict->winner.region >= REGIONS_MAX)
		return ERR_CORRUPT;
	at = side_decode(at + conflict->key_size, end, &conflict->arrived);
	for (uint32_t i = 0; at != NULL && i < conflict->held_count; i++)
		at = side_decode(at, end, &conflict->held[i]);
	return at == end ? 0 : ERR_CORRUPT;
}

int rows_conflict(struct rows_view *view, uint64_t id, struct conflict *conflict)
{
	uint8_t name[8];
	MDB_val key = {.mv_size = sizeof(name), .mv_data = name}, value;

	assert(view->active);
	id_key(name, id);
	const int code = mdb_get(view->txn, view->rows->conflicts, &key, &value);
	if (code != 0)
		return code == MDB_NOTFOUND ? ERR_NOT_FOUND : rows_lmdb_error(code, "conflict", NULL);
	return conflict_decode(conflict, &key, &value);
}

int rows_conflicts(
    struct rows_view *view, uint64_t before_id, int (*visit)(void *user, const struct conflict *conflict), void *user)
{
	struct conflict conflict;
	MDB_cursor *cursor;
	uint8_t name[8];
	MDB_val key = {.mv_size = sizeof(name), .mv_data = name}, value;
	int result = 0;

	assert(view->active);
	int code = mdb_cursor_open(view->txn, view->rows->conflicts, &cursor);
	if (code != 0)
		return rows_lmdb_error(code, "conflicts", NULL);
	id_key(name, before_id == 0 ? UINT64_MAX : before_id);
	code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	/* At or behind the bound, or behind the end: the one before is the first wanted. */
	code = mdb_cursor_get(cursor, &key, &value, code == 0 ? MDB_PREV : MDB_LAST);
	for (; code == 0; code = mdb_cursor_get(cursor, &key, &value, MDB_PREV)) {
		result = conflict_decode(&conflict, &key, &value);
		if (result < 0 || visit(user, &conflict) != 0)
			break;
	}
	mdb_cursor_close(cursor);
	if (code != 0 && code != MDB_NOTFOUND)
		result = rows_lmdb_error(code, "conflicts", NULL);
	return result;
}
