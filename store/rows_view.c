// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
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
	for (uint32_t i = 0; i < ROWS_LEVELS; i++)
		if (view->cursors[i] != NULL)
			mdb_cursor_close(view->cursors[i]);
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
	view->renewed = 0;
	if (code != 0) {
		if (view->txn != NULL)
			mdb_txn_reset(view->txn);
		return rows_lmdb_error(code, "view", error);
	}
	if (view->seed == 0) {
		struct rows_state state;
		const int result = rows_state_load(view->txn, rows->meta, &state, error);
		if (result < 0) {
			mdb_txn_reset(view->txn);
			return result;
		}
		view->seed = state.seed;
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
	MDB_val value;

	assert(view->active);
	const int result = rows_place_find(view->rows, view->txn, view->seed, NULL, keyspace, key, key_size, &stored, NULL);
	if (result < 0)
		return result;
	MDB_val name = {.mv_size = stored.size, .mv_data = stored.bytes};
	/* Not by a cursor: a scan's visitor may look at other rows. */
	const int code = mdb_get(view->txn, stored.table, &name, &value);
	if (code == MDB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (code != 0)
		return rows_lmdb_error(code, "read", NULL);
	return rows_value_open(view->seed, &name, &value, bytes) ? 0 : ERR_ROW_DAMAGED;
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
	if (row == NULL)
		return 0; /* the next one tells */
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

/* First stored key at or behind `from`; behind it strictly when `behind`. */
static int cursor_place(MDB_cursor *cursor, const uint8_t *from, size_t size, bool behind, MDB_val *key, MDB_val *value)
{
	*key = (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)from};
	int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (code == 0 && behind && key->mv_size == size && memcmp(key->mv_data, from, size) == 0)
		code = mdb_cursor_get(cursor, key, value, MDB_NEXT);
	return code;
}

struct scan {
	struct rows_view *view;
	const uint8_t *prefix, *after;
	size_t prefix_size, after_size;
	rows_visit *visit;
	void *user;
	uint8_t key[KEY_SIZE_MAX];
	bool stopped;
};

/* One node: what stands before its rows' bytes, and how many bytes of the key are above it (they are in scan->key). */
struct node {
	uint32_t level;
	uint8_t head[ROWS_NODE_MAX];
	uint32_t head_size;
	size_t above;
};

static int level_cursor(struct rows_view *view, uint32_t level, MDB_cursor **cursor)
{
	MDB_cursor **kept = &view->cursors[level];
	int code = 0;

	if (*kept == NULL)
		code = mdb_cursor_open(view->txn, level == 0 ? view->rows->rows : view->rows->tails, kept);
	else if ((view->renewed >> level & 1) == 0)
		code = mdb_cursor_renew(view->txn, *kept);
	view->renewed |= 1u << level;
	*cursor = *kept;
	return code;
}

static size_t part_of(size_t size, size_t above)
{
	const size_t left = size > above ? size - above : 0;
	return left < ROWS_KEY_HEAD ? left : ROWS_KEY_HEAD;
}

/* Onto the first row or node of this one that may be wanted. behind: it is on the way to `after`. */
static int node_enter(const struct scan *scan, const struct node *node, bool behind, MDB_cursor *cursor, const uint8_t *first,
    size_t first_size, MDB_val *name, MDB_val *value)
{
	uint8_t from[ROWS_STORED_KEY_MAX];
	const size_t part = behind ? part_of(scan->after_size, node->above) : 0;
	size_t size = node->head_size + part;

	memcpy(from, node->head, node->head_size);
	if (part > 0)
		memcpy(from + node->head_size, scan->after + node->above, part);
	const bool goes_on = behind && scan->after_size > node->above + ROWS_KEY_HEAD;
	if (goes_on)
		from[size++] = 0;
	const size_t common = size < first_size ? size : first_size;
	const int order = memcmp(from, first, common);
	if (!behind || order < 0 || (order == 0 && size < first_size))
		return cursor_place(cursor, first, first_size, false, name, value);
	return cursor_place(cursor, from, size, !goes_on, name, value);
}

static int node_scan(struct scan *scan, const struct node *node, bool behind);

/* The node that this entry leads to. */
static int node_descend(struct scan *scan, const struct node *node, const MDB_val *name, const MDB_val *value, bool behind)
{
	struct node child = {.level = node->level + 1, .head_size = ROWS_NODE_MAX, .above = node->above + ROWS_KEY_HEAD};
	MDB_val bytes;

	if (!rows_value_open(scan->view->seed, name, value, &bytes) || bytes.mv_size != 8 || child.level >= ROWS_LEVELS) {
		scan->stopped = scan->visit(scan->user, scan->key, child.above, NULL, 0) != 0;
		return 0;
	}
	const uint64_t number = bytes_get_u64(bytes.mv_data);
	for (int i = 0; i < 8; i++)
		child.head[i] = (uint8_t)(number >> (56 - 8 * i));
	return node_scan(
	    scan, &child, behind && scan->after_size > child.above && memcmp(scan->key, scan->after, child.above) == 0);
}

static int node_scan(struct scan *scan, const struct node *node, bool behind)
{
	uint8_t first[ROWS_STORED_KEY_MAX];
	const size_t part = part_of(scan->prefix_size, node->above), first_size = node->head_size + part;
	MDB_val name, value, bytes;
	MDB_cursor *cursor;

	memcpy(first, node->head, node->head_size);
	if (part > 0)
		memcpy(first + node->head_size, scan->prefix + node->above, part);
	int code = level_cursor(scan->view, node->level, &cursor);
	if (code == 0)
		code = node_enter(scan, node, behind, cursor, first, first_size, &name, &value);
	for (; code == 0 && !scan->stopped && starts_with(&name, first, first_size);
	     code = scan->stopped ? 0 : mdb_cursor_get(cursor, &name, &value, MDB_NEXT)) {
		const bool is_node = name.mv_size == node->head_size + ROWS_KEY_HEAD + 1;
		const size_t size = node->above + name.mv_size - node->head_size - is_node;
		if (size > KEY_SIZE_MAX)
			return ERR_CORRUPT;
		memcpy(scan->key + node->above, (const uint8_t *)name.mv_data + node->head_size, size - node->above);
		if (is_node)
			code = node_descend(scan, node, &name, &value, behind);
		else if (size >= scan->prefix_size)
			scan->stopped = rows_value_open(scan->view->seed, &name, &value, &bytes)
			                    ? scan->visit(scan->user, scan->key, size, bytes.mv_data, bytes.mv_size) != 0
			                    : scan->visit(scan->user, scan->key, size, NULL, 0) != 0;
		if (code != 0)
			return code;
	}
	return code == 0 || code == MDB_NOTFOUND ? 0 : rows_lmdb_error(code, "scan", NULL);
}

int rows_scan(struct rows_view *view, uint16_t keyspace, const uint8_t *prefix, size_t prefix_size, const uint8_t *after,
    size_t after_size, rows_visit *visit, void *user)
{
	struct scan scan = {.view = view,
	    .prefix = prefix,
	    .prefix_size = prefix_size,
	    .after = after,
	    .after_size = after_size,
	    .visit = visit,
	    .user = user};
	const struct node root = {.head = {(uint8_t)(keyspace >> 8), (uint8_t)keyspace}, .head_size = 2};

	assert(view->active);
	return prefix_size > KEY_SIZE_MAX ? 0 : node_scan(&scan, &root, after != NULL);
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
