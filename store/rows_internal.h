/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the rows: what rows.c, rows_view.c, rows_apply.c and conflicts.c share. */
#ifndef GODWIT_STORE_ROWS_INTERNAL_H
#define GODWIT_STORE_ROWS_INTERNAL_H
#include <lmdb.h>

#include "store/rows.h"

/* Key as stored: u16 big-endian keyspace, then the key, or the first ROWS_KEY_HEAD bytes of a longer one and its hash. Sizes of
 * the two forms cannot meet. A long key's row is preceded by u16 size and the whole key. */
#define ROWS_KEY_HEAD       480u
#define ROWS_STORED_KEY_MAX (2u + ROWS_KEY_HEAD + 16u)

#define ROWS_RESERVE (64ull * 1024 * 1024) /* allocated beyond the last page in use when a transaction starts */
/* What a put can take beyond overflow pages: its leaf, a split, a share of splits above and of the free list. */
#define ROWS_PAGES_EACH  4u
#define ROWS_PAGES_SLACK 1024u  /* meta, digests, free list, conflicts deleted */
#define ROWS_PAGES_MAX   60000u /* a transaction; LMDB takes 131,071 dirty pages */

struct stored_key {
	uint8_t bytes[ROWS_STORED_KEY_MAX];
	uint32_t size;
	bool is_long;
};

struct keyspace_digests {
	struct digest buckets[DIGEST_BUCKETS];
	uint64_t live_rows;
};
#define DIGESTS_SIZE (DIGEST_BUCKETS * 16u + 8u)

/* Everything in the meta row. */
struct rows_state {
	struct rows_meta meta;
	uint64_t hash_seed;
	uint64_t first_conflict_id; /* oldest kept; next_conflict_id when none is */
	/* Marks of the strong commit: the newest one's figures, and two further back, ROWS_REREAD_STEP apart. */
	struct {
		uint64_t oldest_lsn, newest_hlc;
		uint64_t before_lsn, before_hlc, recent_lsn, recent_hlc;
	} mark;
};

struct rows {
	MDB_env *env;
	MDB_dbi rows, meta, digests, conflicts;
	int dir_fd, data_fd;
	uint64_t page_size, map_size;
	uint32_t views_active;
	bool read_only;

	/* Writer only. */
	struct rows_options options;
	struct rows_state state, next; /* as of the last commit; as the transaction will make it */
	struct keyspace_digests *now;  /* KEYSPACES_MAX */
	uint64_t dirty;                /* bit a keyspace: differs from what is stored */
	uint64_t allocated;            /* the data file has room on disk up to here */
	uint64_t pages_left;           /* of that, for this transaction */
	uint64_t pages_used;           /* at most, by this transaction */
	uint8_t *scratch;              /* a row or a conflict being encoded */
	size_t scratch_size;
};

struct rows_view {
	struct rows *rows;
	MDB_txn *txn;
	MDB_cursor *cursor;
	bool active;
	uint64_t hash_seed;
	struct conflict *conflict; /* for rows_conflicts */
};

int rows_lmdb_error(int code, const char *what, struct error_context *error);
void rows_key_store(struct stored_key *out, uint64_t hash_seed, uint16_t keyspace, const uint8_t *key, size_t key_size);
/* Splits a stored value: key as given and row. False when it makes no sense. */
bool rows_value_split(const MDB_val *stored_key, const MDB_val *value, const uint8_t **key, size_t *key_size, MDB_val *row);

void rows_reread_update(struct rows_state *state); /* meta's figures from the marks */
int rows_state_load(MDB_txn *txn, MDB_dbi meta, struct rows_state *state, struct error_context *error);
int rows_state_store(MDB_txn *txn, MDB_dbi meta, const struct rows_state *state);
int rows_digests_load(MDB_txn *txn, MDB_dbi digests, uint16_t keyspace, struct keyspace_digests *out);
int rows_digests_store(MDB_txn *txn, MDB_dbi digests, uint16_t keyspace, const struct keyspace_digests *in);

/* Room on disk for so many more pages in this transaction: ERR_DISK_FULL before anything is touched, never a SIGBUS. */
int rows_pages_take(struct rows *rows, uint64_t pages, struct error_context *error);
int rows_pages_start(struct rows *rows, MDB_txn *txn, struct error_context *error);
static inline uint64_t rows_overflow_pages(const struct rows *rows, uint64_t size)
{
	return size / rows->page_size + 2;
}
int rows_scratch_need(struct rows *rows, size_t size, struct error_context *error);

/* conflicts.c */
/* Largest encoding: both vectors, the key, one arrived and CONFLICT_SIDES_MAX held sides. */
#define CONFLICT_ENCODED_MAX (64u + KEY_SIZE_MAX + 2 * 8 * REGIONS_MAX + (1 + CONFLICT_SIDES_MAX) * (32u + CONFLICT_VALUE_MAX))
/* Records that `record` now stands beside others in `row` (already merged); held_context: the row's before. */
int conflict_record(struct rows *rows, MDB_txn *txn, const struct record *record, const struct row *row,
    const struct vector *held_context, uint64_t now_ms, struct error_context *error);
/* Lets go of the oldest when there are too many or they are too old; at most `most`. */
int conflicts_trim(struct rows *rows, MDB_txn *txn, uint64_t now_ms, uint64_t most, struct error_context *error);

#endif
