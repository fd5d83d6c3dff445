// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crash_point.h"
#include "store/rows_internal.h"

/* Conflicts let go in one transaction: so that none is long, and room for the pages of their table is in ROWS_PAGES_SLACK. */
#define TRIM_MAX 512u
/* Above this size LMDB may give a value pages of its own. */
#define OVERFLOW_FROM 1500u

struct apply {
	struct rows *rows;
	MDB_txn *txn;
	MDB_cursor *cursors[2]; /* of rows and tails */
	uint64_t now_ms;
	struct apply_result *result;
	struct stored_key name;
	struct row row;
};

enum { APPLY_STOP = 1 }; /* no room for more in this transaction; what is in it is good */

static MDB_cursor *cursor_of(const struct apply *a)
{
	return a->cursors[a->name.table == a->rows->tails];
}

/* What is stored of the row, its place in a->name; *old empty when there is none. ERR_ROW_DAMAGED. */
static int bytes_fetch(
    struct apply *a, uint16_t keyspace, const uint8_t *key, size_t key_size, MDB_val *old, struct error_context *error)
{
	MDB_val value;

	*old = (MDB_val){0};
	const int result =
	    rows_place_find(a->rows, a->txn, a->rows->state.seed, &a->rows->next, keyspace, key, key_size, &a->name, error);
	if (result < 0)
		return result;
	MDB_val name = {.mv_size = a->name.size, .mv_data = a->name.bytes};
	const int code = mdb_cursor_get(cursor_of(a), &name, &value, MDB_SET);
	if (code == MDB_NOTFOUND)
		return 0;
	if (code != 0)
		return rows_lmdb_error(code, "read", error);
	name = (MDB_val){.mv_size = a->name.size, .mv_data = a->name.bytes};
	return rows_value_open(a->rows->state.seed, &name, &value, old) ? 0 : ERR_ROW_DAMAGED;
}

/* What comes for a damaged row is left out of it: the row is to be had from another region, whole. */
static int damage_note(struct apply *a, uint16_t keyspace, const uint8_t *key, size_t key_size)
{
	struct rows_damage *damage = &a->rows->damage;

	damage->keyspace = keyspace;
	damage->key_size = (uint16_t)key_size;
	memcpy(damage->key, key, key_size);
	a->result->damaged++;
	return 0;
}

/* The row as it is, into a->row; *old empty when there is none. */
static int row_fetch(struct apply *a, const struct record *record, MDB_val *old, struct error_context *error)
{
	const int result = bytes_fetch(a, record->keyspace, record->key, record->key_size, old, error);

	if (result < 0)
		return result;
	row_init(&a->row);
	if (old->mv_size > 0 && row_decode(&a->row, old->mv_data, old->mv_size) < 0)
		return error_set(error, ERR_CORRUPT, "rows: a row that cannot be read, keyspace %u", record->keyspace);
	return 0;
}

/* Puts the merged row, of `size` bytes behind the checksum's place. It was encoded into the scratch first: the siblings still
 * borrow from the place that it goes to. */
static int row_store(struct apply *a, bool replaces, size_t size, struct error_context *error)
{
	uint8_t *scratch = a->rows->scratch;
	MDB_val key = {.mv_size = a->name.size, .mv_data = a->name.bytes};
	MDB_val value = {.mv_size = ROWS_CHECK_SIZE + size, .mv_data = scratch};

	bytes_put_u64(
	    scratch, rows_checksum(a->rows->state.seed, a->name.bytes, a->name.size, scratch + ROWS_CHECK_SIZE, size));
	/* The cursor stands on the old row; MDB_CURRENT saves a second search. */
	return rows_lmdb_error(mdb_cursor_put(cursor_of(a), &key, &value, replaces ? MDB_CURRENT : 0), "write", error);
}

static void digests_update(struct apply *a, const struct record *record, bool was_live, const MDB_val *old, bool is_live,
    const uint8_t *row, size_t row_size)
{
	struct keyspace_digests *digests = &a->rows->now[record->keyspace];
	struct digest *bucket = &digests->buckets[row_digest_bucket(record->key, record->key_size)];

	if (was_live)
		digest_subtract(
		    bucket, row_digest(record->keyspace, record->key, record->key_size, old->mv_data, old->mv_size));
	if (is_live)
		digest_add(bucket, row_digest(record->keyspace, record->key, record->key_size, row, row_size));
	const uint64_t change = (uint64_t)is_live - (uint64_t)was_live;
	digests->live_rows += change;
	a->result->live_rows_change += change;
	a->rows->dirty |= 1ull << record->keyspace;
}

/* Pages of its own that a value may get, which lie together. */
static uint64_t pages_for(const struct rows *rows, size_t row_size)
{
	return row_size > OVERFLOW_FROM ? rows_overflow_pages(rows, row_size) : 0;
}

static int pages_take(struct apply *a, uint64_t single, uint64_t together, struct error_context *error)
{
	struct rows *rows = a->rows;
	const bool has_progress = rows->next.meta.applied_lsn != rows->state.meta.applied_lsn;
	if (has_progress && rows->pages_used + single + together > ROWS_PAGES_MAX)
		return APPLY_STOP;
	const int result = rows_pages_take(rows, single, together, error);
	return result == ERR_DISK_FULL && has_progress ? APPLY_STOP : result;
}

/* Room for the row, and for a conflict about it, before anything is changed. */
static int room_take(struct apply *a, size_t row_size, bool conflict, struct error_context *error)
{
	uint64_t single = ROWS_PAGES_EACH, together = pages_for(a->rows, row_size);

	if (conflict) {
		single += ROWS_PAGES_EACH;
		together += rows_overflow_pages(a->rows, CONFLICT_ENCODED_MAX);
	}
	return pages_take(a, single, together, error);
}

/* Nodes that a long key may need on the way to its row. */
static uint64_t node_pages(size_t key_size)
{
	return key_size > ROWS_KEY_HEAD ? (ROWS_LEVELS - 1) * ROWS_PAGES_EACH : 0;
}

static int nodes_room_take(struct apply *a, size_t key_size, struct error_context *error)
{
	const uint64_t pages = node_pages(key_size);
	return pages > 0 ? pages_take(a, pages, 0, error) : 0;
}

static int record_apply(struct apply *a, const struct record *record, enum row_change *change, struct error_context *error)
{
	struct rows *rows = a->rows;
	MDB_val old;

	int result = nodes_room_take(a, record->key_size, error);
	if (result != 0)
		return result;
	result = row_fetch(a, record, &old, error);
	if (result == ERR_ROW_DAMAGED)
		return damage_note(a, record->keyspace, record->key, record->key_size);
	if (result < 0)
		return result;
	const bool was_live = old.mv_size > 0 && !row_is_deleted(&a->row);
	const struct vector held_context = a->row.context;
	if (row_merge_record(&a->row, record, change) < 0)
		return error_set(error, ERR_FULL, "rows: too many siblings on a row, keyspace %u", record->keyspace);

	const size_t head = ROWS_CHECK_SIZE, size = (size_t)row_encoded_size(&a->row);
	result = room_take(a, head + size, *change == ROW_CONFLICT, error);
	if (result == 0)
		result = rows_scratch_need(rows, head + size, error);
	if (result == 0 && *change == ROW_CONFLICT) {
		/* Before the row goes to its place and the scratch is used for it. */
		result = conflict_record(rows, a->txn, record, &a->row, &held_context, a->now_ms, error);
		a->result->conflicts++;
	}
	if (result != 0)
		return result;
	uint8_t *encoded = rows->scratch + head;
	const long written = row_encode(&a->row, encoded, size);
	assert(written == (long)size);
	/* The context can have grown though no sibling changed. */
	if (old.mv_size == size && memcmp(old.mv_data, encoded, size) == 0)
		return 0;
	digests_update(a, record, was_live, &old, !row_is_deleted(&a->row), encoded, size);
	return row_store(a, old.mv_size > 0, size, error);
}

/* ---- strong transactions ---- */

static int committed_fetch(
    struct apply *a, const struct commit_operation *o, struct commit_row *row, MDB_val *old, struct error_context *error)
{
	*row = (struct commit_row){0};
	const int result = bytes_fetch(a, o->keyspace, o->key, o->key_size, old, error);
	if (result == 0 && old->mv_size > 0 && commit_row_decode(row, old->mv_data, old->mv_size) < 0)
		return error_set(error, ERR_CORRUPT, "rows: a strong row that cannot be read, keyspace %u", o->keyspace);
	return result;
}

static int operation_apply(struct apply *a, const struct commit_operation *o, struct commit_id id, struct commit_id previous,
    struct error_context *error)
{
	const struct record place = {.keyspace = o->keyspace, .key = o->key, .key_size = o->key_size};
	struct commit_row row;
	MDB_val old;

	int result = committed_fetch(a, o, &row, &old, error);
	if (result == ERR_ROW_DAMAGED)
		return damage_note(a, o->keyspace, o->key, o->key_size);
	if (result < 0)
		return result;
	const bool was_live = row.live;
	if (!commit_row_apply(&row, id, previous, o))
		return 0;
	const size_t head = ROWS_CHECK_SIZE, size = commit_row_size(&row);
	result = rows_scratch_need(a->rows, head + size, error);
	if (result < 0)
		return result;
	commit_row_encode(&row, a->rows->scratch + head);
	digests_update(a, &place, was_live, &old, row.live, a->rows->scratch + head, size);
	return row_store(a, old.mv_size > 0, size, error);
}

/* All of it in this LMDB transaction, or nothing: its room is taken before the first row is touched. */
static int transaction_apply(struct apply *a, const uint8_t *bytes, size_t size, uint64_t lsn, struct error_context *error)
{
	static struct commit_head head;
	struct commit_body body;
	struct commit_operation operation;
	uint64_t single = 0, together = 0;

	if (commit_entry_open(bytes, size, &head, &body) < 0 || !body.bytes || head.previous_count != body.operation_count)
		return error_set(
		    error, ERR_CORRUPT, "log position %llu: a commit that cannot be read", (unsigned long long)lsn);
	uint32_t at = body.operations_at;
	for (uint32_t i = 0; i < body.operation_count; i++) {
		commit_body_operation(&body, &at, &operation);
		/* A check stores the value that is there again. */
		const size_t value = operation.kind == COMMIT_CHECK ? VALUE_SIZE_MAX : operation.value_size;
		single += ROWS_PAGES_EACH + node_pages(operation.key_size);
		together += pages_for(a->rows, ROWS_CHECK_SIZE + COMMIT_ROW_OVERHEAD + value);
	}
	int result = pages_take(a, single, together, error);
	at = body.operations_at;
	for (uint32_t i = 0; result == 0 && i < body.operation_count; i++) {
		commit_body_operation(&body, &at, &operation);
		result = operation_apply(a, &operation, head.id, head.previous[i], error);
	}
	return result;
}

static void mark_apply(struct rows_state *state, const struct log_entry *entry)
{
	state->mark.oldest_lsn = bytes_get_u64(entry->body);
	state->mark.newest_hlc = bytes_get_u64(entry->body + 8);
	if (entry->lsn >= state->mark.recent_lsn + ROWS_REREAD_STEP) {
		state->mark.before_lsn = state->mark.recent_lsn;
		state->mark.before_hlc = state->mark.recent_hlc;
		state->mark.recent_lsn = entry->lsn;
		state->mark.recent_hlc = state->mark.newest_hlc;
	}
	rows_reread_update(state);
}

/* Entries of the strong commit that are not records of a stream. */
static int strong_apply(struct apply *a, const struct log_entry *entry, struct error_context *error)
{
	if (entry->type == LOG_COMMIT)
		return transaction_apply(a, entry->body, entry->size, entry->lsn, error);
	if (entry->type == LOG_COMMIT_MARK && entry->size != LOG_COMMIT_MARK_SIZE)
		return error_set(error, ERR_CORRUPT, "log position %llu: bad mark", (unsigned long long)entry->lsn);
	if (entry->type == LOG_COMMIT_MARK)
		mark_apply(&a->rows->next, entry);
	return 0;
}

/* One log entry. */
static int entry_apply(struct apply *a, const struct log_entry *entry, struct record *record, bool *is_new,
    enum row_change *change, struct error_context *error)
{
	struct rows_meta *meta = &a->rows->next.meta;

	*is_new = false;
	if (entry->type == LOG_HLC_BOUND || entry->type == LOG_COMMIT_BOUND) {
		uint64_t *bound = entry->type == LOG_HLC_BOUND ? &meta->hlc_bound : &meta->commit_bound;
		if (entry->size != LOG_BOUND_SIZE)
			return error_set(
			    error, ERR_CORRUPT, "log position %llu: bad HLC bound", (unsigned long long)entry->lsn);
		if (bytes_get_u64(entry->body) > *bound)
			*bound = bytes_get_u64(entry->body);
		return 0;
	}
	if (entry->type == LOG_PEER_STORE) {
		if (entry->size != LOG_PEER_STORE_SIZE || entry->body[0] >= REGIONS_MAX)
			return error_set(
			    error, ERR_CORRUPT, "log position %llu: bad store of a peer", (unsigned long long)entry->lsn);
		/* The first one stands: records came only after it. */
		struct store_id *store = &meta->peer_stores[entry->body[0]];
		if (!store_id_is_known(store))
			memcpy(store, entry->body + 1, sizeof(*store));
		return 0;
	}
	if (entry->type != LOG_RECORD)
		return strong_apply(a, entry, error);
	if (record_decode(record, entry->body, entry->size) != (long)entry->size || record->keyspace >= KEYSPACES_MAX)
		return error_set(
		    error, ERR_CORRUPT, "log position %llu: record that cannot be read", (unsigned long long)entry->lsn);
	uint64_t *applied = &meta->applied.sequence[record->dot.region];
	if (record->dot.sequence <= *applied)
		return 0;
	if (record->dot.sequence != *applied + 1)
		return error_set(error, ERR_CORRUPT, "log position %llu: record %llu of region %u after %llu",
		    (unsigned long long)entry->lsn, (unsigned long long)record->dot.sequence, record->dot.region,
		    (unsigned long long)*applied);
	const int result = record->flags & RECORD_TRANSACTION
	                       ? transaction_apply(a, record->entry, record->entry_size, entry->lsn, error)
	                       : record_apply(a, record, change, error);
	if (result != 0)
		return result;
	*is_new = true;
	*applied = record->dot.sequence;
	if (record->dot.region == meta->region && !(record->flags & RECORD_TRANSACTION) && record->hlc > meta->hlc)
		meta->hlc = record->hlc;
	a->result->records++;
	return 0;
}

/* Takes back what an aborted transaction has done to the digests in memory. */
static int digests_reload(struct rows *rows, MDB_txn *txn, struct error_context *error)
{
	for (uint16_t i = 0; i < KEYSPACES_MAX; i++) {
		if ((rows->dirty >> i & 1) == 0)
			continue;
		const int code = rows_digests_load(txn, rows->digests, i, &rows->now[i]);
		if (code != 0)
			return rows_lmdb_error(code, "digests", error);
		rows->dirty &= ~(1ull << i);
	}
	return 0;
}

static int apply_finish(struct apply *a, struct error_context *error)
{
	struct rows *rows = a->rows;

	const int result = conflicts_trim(rows, a->txn, a->now_ms, TRIM_MAX, error);
	if (result < 0)
		return result;
	int code = 0;
	for (uint16_t i = 0; code == 0 && i < KEYSPACES_MAX; i++)
		if ((rows->dirty >> i & 1) != 0)
			code = rows_digests_store(a->txn, rows->digests, i, &rows->now[i]);
	if (code == 0)
		code = rows_state_store(a->txn, rows->meta, &rows->next);
	if (code != 0)
		return rows_lmdb_error(code, "commit", error);
	CRASH_POINT(rows_uncommitted);
	code = mdb_txn_commit(a->txn);
	CRASH_POINT(rows_committed);
	a->txn = NULL;
	if (code != 0)
		return rows_lmdb_error(code, "commit", error);
	rows->dirty = 0;
	rows->state = rows->next;
	rows->free_pages -= rows->pages_used < rows->free_pages ? rows->pages_used : rows->free_pages;
	return 0;
}

static int apply_start(struct apply *a, struct log_reader *reader, struct error_context *error)
{
	struct rows *rows = a->rows;
	int result = 0;

	if (log_reader_lsn(reader) != rows->state.meta.applied_lsn || rows->state.meta.applied_lsn == 0)
		result = log_reader_seek(reader, rows->state.meta.applied_lsn, error);
	if (result < 0)
		return result;
	int code = mdb_txn_begin(rows->env, NULL, 0, &a->txn);
	if (code != 0) {
		a->txn = NULL;
		return rows_lmdb_error(code, "transaction", error);
	}
	result = digests_reload(rows, a->txn, error);
	if (result == 0)
		result = rows_pages_start(rows, a->txn, error);
	code = result == 0 ? mdb_cursor_open(a->txn, rows->rows, &a->cursors[0]) : 0;
	if (result == 0 && code == 0)
		code = mdb_cursor_open(a->txn, rows->tails, &a->cursors[1]);
	rows->next = rows->state;
	return code != 0 ? rows_lmdb_error(code, "cursor", error) : result;
}

int rows_apply_log(struct rows *rows, struct log_reader *reader, uint64_t limit_lsn, uint32_t entries_max, uint64_t now_ms,
    void (*on_record)(void *user, const struct record *record, enum row_change change), void *user, struct apply_result *out,
    struct error_context *error)
{
	struct apply a = {.rows = rows, .now_ms = now_ms, .result = out};
	struct record record;
	struct log_entry entry;

	assert(!rows->read_only);
	*out = (struct apply_result){0};
	int result = limit_lsn > rows->state.meta.applied_lsn ? apply_start(&a, reader, error) : ERR_EMPTY;
	for (uint32_t entries = 0; result == 0 && (entries_max == 0 || entries < entries_max); entries++) {
		enum row_change change = ROW_UNCHANGED;
		bool is_new;

		result = log_reader_next(reader, limit_lsn, &entry, error);
		if (result == 0)
			result = entry_apply(&a, &entry, &record, &is_new, &change, error);
		if (result == 0) {
			rows->next.meta.applied_lsn = entry.end_lsn;
			CRASH_POINT(rows_half_applied);
			if (is_new && on_record != NULL)
				on_record(user, &record, change);
		}
	}
	if (result == ERR_EMPTY || result == APPLY_STOP)
		result = 0;
	for (int i = 0; i < 2; i++)
		if (a.txn != NULL && a.cursors[i] != NULL)
			mdb_cursor_close(a.cursors[i]);
	if (result == 0 && a.txn != NULL && rows->next.meta.applied_lsn != rows->state.meta.applied_lsn)
		result = apply_finish(&a, error);
	if (a.txn != NULL)
		mdb_txn_abort(a.txn);
	if (result < 0)
		*out = (struct apply_result){0};
	out->applied_lsn = rows->state.meta.applied_lsn;
	out->applied = rows->state.meta.applied;
	return result;
}
