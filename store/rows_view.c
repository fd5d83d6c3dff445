// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows_internal.h"

int rows_view_new(struct rows *rows, struct rows_view **out, struct error_context *error)
{
	struct rows_view *view = calloc(1, sizeof(*view));

	if (view == NULL)
		return error_set(error, ERR_NO_MEMORY, "view of the rows");
	view->rows = rows;
	*out = view;
	return 0;
}

void rows_view_free(struct rows_view *view)
{
	if (view == NULL)
		return;
	rows_view_end(view);
	if (view->cursor != NULL)
		mdb_cursor_close(view->cursor);
	if (view->txn != NULL)
		mdb_txn_abort(view->txn);
	free(view->conflict);
	free(view);
}

static int view_transaction(struct rows_view *view)
{
	struct rows *rows = view->rows;

	if (view->txn != NULL)
		return mdb_txn_renew(view->txn);
	int code = mdb_txn_begin(rows->env, NULL, MDB_RDONLY, &view->txn);
	if (code != 0)
		view->txn = NULL;
	return code;
}

int rows_view_begin(struct rows_view *view, struct error_context *error)
{
	struct rows *rows = view->rows;

	assert(!view->active);
	int code = view_transaction(view);
	/* The writer took a larger map; with no view open in this process it can be taken over. */
	if (code == MDB_MAP_RESIZED && rows->views_active == 0) {
		code = mdb_env_set_mapsize(rows->env, 0);
		if (code == 0)
			code = view_transaction(view);
	}
	if (code == MDB_READERS_FULL && rows_reader_check(rows) > 0)
		code = view_transaction(view);
	if (code == 0)
		code = view->cursor == NULL ? mdb_cursor_open(view->txn, rows->rows, &view->cursor)
		                            : mdb_cursor_renew(view->txn, view->cursor);
	if (code != 0) {
		if (view->txn != NULL)
			mdb_txn_reset(view->txn);
		return rows_lmdb_error(code, "view", error);
	}
	if (view->hash_seed == 0) {
		struct rows_state state;
		const int result = rows_state_load(view->txn, rows->meta, &state, error);
		if (result < 0) {
			mdb_txn_reset(view->txn);
			return result;
		}
		view->hash_seed = state.hash_seed;
	}
	view->active = true;
	rows->views_active++;
	return 0;
}

void rows_view_end(struct rows_view *view)
{
	if (!view->active)
		return;
	mdb_txn_reset(view->txn);
	view->active = false;
	view->rows->views_active--;
}

static int bytes_get(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, MDB_val *bytes)
{
	struct stored_key stored;
	MDB_val name, value;
	const uint8_t *whole;
	size_t whole_size;

	assert(view->active);
	rows_key_store(&stored, view->hash_seed, keyspace, key, key_size);
	name = (MDB_val){.mv_size = stored.size, .mv_data = stored.bytes};
	/* Not by the cursor: a scan's visitor may look at other rows. */
	const int code = mdb_get(view->txn, view->rows->rows, &name, &value);
	if (code == MDB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (code != 0)
		return rows_lmdb_error(code, "read", NULL);
	if (!rows_value_split(&name, &value, &whole, &whole_size, bytes))
		return ERR_CORRUPT;
	return stored.is_long && (whole_size != key_size || memcmp(whole, key, key_size) != 0) ? ERR_NOT_FOUND : 0;
}

int rows_get(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct row *row)
{
	MDB_val bytes;
	const int result = bytes_get(view, keyspace, key, key_size, &bytes);

	return result == 0 && row_decode(row, bytes.mv_data, bytes.mv_size) < 0 ? ERR_CORRUPT : result;
}

int rows_get_committed(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct commit_row *row)
{
	MDB_val bytes;
	const int result = bytes_get(view, keyspace, key, key_size, &bytes);

	return result == 0 && commit_row_decode(row, bytes.mv_data, bytes.mv_size) < 0 ? ERR_CORRUPT : result;
}

static int kind_visit(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	(void)key;
	(void)key_size;
	*(int *)user = commit_row_is(row, row_size);
	return 1;
}

int rows_kind_differs(struct rows_view *view, uint16_t keyspace, bool strong)
{
	int kind = strong; /* as it stays when there is none */
	const int result = rows_scan(view, keyspace, NULL, 0, NULL, 0, kind_visit, &kind);

	return result < 0 ? result : kind != (int)strong;
}

static bool starts_with(const MDB_val *value, const uint8_t *prefix, size_t size)
{
	return value->mv_size >= size && memcmp(value->mv_data, prefix, size) == 0;
}

static bool is_before(const MDB_val *name, const struct stored_key *other)
{
	const size_t common = name->mv_size < other->size ? name->mv_size : other->size;
	const int order = memcmp(name->mv_data, other->bytes, common);

	return order < 0 || (order == 0 && name->mv_size < other->size);
}

/* First stored key at or behind `from`; behind it strictly when `behind`. */
static int cursor_place(MDB_cursor *cursor, const uint8_t *from, size_t size, bool behind, MDB_val *key, MDB_val *value)
{
	*key = (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)from};
	int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (code == 0 && behind && key->mv_size == size && memcmp(key->mv_data, from, size) == 0)
		code = mdb_cursor_get(cursor, key, value, MDB_NEXT);
	return code;
}

int rows_scan(struct rows_view *view, uint16_t keyspace, const uint8_t *prefix, size_t prefix_size, const uint8_t *after,
    size_t after_size, rows_visit *visit, void *user)
{
	struct stored_key first, stored;
	MDB_val name, value, bytes;
	const uint8_t *key;
	size_t key_size;
	int code = MDB_NOTFOUND;

	assert(view->active);
	/* The part of the prefix that stored keys have in common; the rest is looked at key by key. */
	rows_key_store(&first, 0, keyspace, prefix, prefix_size < ROWS_KEY_HEAD ? prefix_size : ROWS_KEY_HEAD);
	if (after != NULL) {
		rows_key_store(&stored, view->hash_seed, keyspace, after, after_size);
		code = cursor_place(view->cursor, stored.bytes, stored.size, true, &name, &value);
		if (code == MDB_NOTFOUND)
			return 0;
	}
	if (code == MDB_NOTFOUND || (code == 0 && is_before(&name, &first)))
		code = cursor_place(view->cursor, first.bytes, first.size, false, &name, &value);
	for (; code == 0 && starts_with(&name, first.bytes, first.size);
	     code = mdb_cursor_get(view->cursor, &name, &value, MDB_NEXT)) {
		if (!rows_value_split(&name, &value, &key, &key_size, &bytes))
			return ERR_CORRUPT;
		if (key_size < prefix_size || (prefix_size > 0 && memcmp(key, prefix, prefix_size) != 0))
			continue;
		if (visit(user, key, key_size, bytes.mv_data, bytes.mv_size) != 0)
			return 0;
	}
	return code == 0 || code == MDB_NOTFOUND ? 0 : rows_lmdb_error(code, "scan", NULL);
}

int rows_view_meta(struct rows_view *view, struct rows_meta *meta)
{
	struct rows_state state;

	assert(view->active);
	const int result = rows_state_load(view->txn, view->rows->meta, &state, NULL);
	if (result == 0)
		*meta = state.meta;
	return result;
}

int rows_view_digests(
    struct rows_view *view, uint16_t keyspace, struct digest buckets[static DIGEST_BUCKETS], uint64_t *live_rows)
{
	struct keyspace_digests digests;

	assert(view->active);
	const int code = rows_digests_load(view->txn, view->rows->digests, keyspace, &digests);
	if (code != 0)
		return rows_lmdb_error(code, "digests", NULL);
	memcpy(buckets, digests.buckets, sizeof(digests.buckets));
	*live_rows = digests.live_rows;
	return 0;
}

int rows_own_siblings(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, uint8_t region)
{
	struct row row;
	int count = 0;

	const int result = rows_get(view, keyspace, key, key_size, &row);
	if (result < 0)
		return result == ERR_NOT_FOUND ? 0 : result;
	for (uint32_t i = 0; i < row.sibling_count; i++)
		count += row.siblings[i].dot.region == region;
	return count;
}
