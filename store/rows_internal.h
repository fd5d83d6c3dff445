/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the rows: what rows.c, rows_view.c, rows_apply.c and conflicts.c share. */
#ifndef GODWIT_STORE_ROWS_INTERNAL_H
#define GODWIT_STORE_ROWS_INTERNAL_H
#include <lmdb.h>

#include "store/rows.h"

/* Keys as stored. LMDB takes keys up to 511 bytes, so a longer one goes down a tree of nodes, ROWS_KEY_HEAD bytes of it a node:
 *
 *   table rows   u16 big-endian keyspace | up to 480 bytes, all that is left of the key             -> a row
 *                u16 big-endian keyspace | the first 480 bytes of longer keys | a zero byte         -> u64 number of a node
 *   table tails  u64 big-endian node     | up to 480 bytes, all that is left                        -> a row
 *                u64 big-endian node     | the next 480 bytes of longer keys  | a zero byte         -> u64 number of a node
 *
 * A node's place is between the key that is those 480 bytes and the next one, and its rows are in order: the order of all is
 * that of the keys, in every region. Each value begins with its checksum: XXH3-64 of the rest, seeded with that of the stored
 * key, seeded with a number of this store; so that a row is not taken for another one either. */
#define ROWS_KEY_HEAD       480u
#define ROWS_NODE_MAX       8u /* what stands before a key's bytes */
#define ROWS_STORED_KEY_MAX (ROWS_NODE_MAX + ROWS_KEY_HEAD + 1u)
#define ROWS_LEVELS         ((KEY_SIZE_MAX + ROWS_KEY_HEAD - 1) / ROWS_KEY_HEAD)
#define ROWS_CHECK_SIZE     8u

#define ROWS_RESERVE (64ull * 1024 * 1024) /* allocated beyond the last page in use when a transaction starts */
/* What a put can take beyond overflow pages: its leaf, a split, a share of splits above and of the free list. */
#define ROWS_PAGES_EACH  4u
#define ROWS_PAGES_SLACK 1024u  /* meta, digests, free list, conflicts deleted */
#define ROWS_PAGES_MAX   60000u /* a transaction; LMDB takes 131,071 dirty pages */

struct stored_key {
	MDB_dbi table;
	uint8_t bytes[ROWS_STORED_KEY_MAX];
	uint32_t size;
};

struct keyspace_digests {
	struct digest buckets[DIGEST_BUCKETS];
	uint64_t live_rows;
};
#define DIGESTS_SIZE (DIGEST_BUCKETS * 16u + 8u + ROWS_CHECK_SIZE)

/* Everything in the meta row. */
struct rows_state {
	struct rows_meta meta;
	uint64_t seed;              /* of checksums */
	uint64_t next_node;         /* number of the next node of long keys; from 1 */
	uint64_t first_conflict_id; /* oldest kept; next_conflict_id when none is */
	uint64_t conflict_bytes;    /* of those that are kept */
	/* Marks of the strong commit: the newest one's figures, and two further back, ROWS_REREAD_STEP apart. */
	struct {
		uint64_t oldest_lsn, newest_hlc;
		uint64_t before_lsn, before_hlc, recent_lsn, recent_hlc;
	} mark;
};

struct rows {
	MDB_env *env;
	MDB_dbi rows, tails, meta, digests, conflicts;
	int dir_fd, data_fd;
	uint64_t page_size, map_size;
	uint32_t views_active;
	bool read_only;

	/* Writer only. */
	struct rows_options options;
	struct rows_state state, next;  /* as of the last commit; as the transaction will make it */
	struct keyspace_digests *now;   /* KEYSPACES_MAX */
	uint64_t dirty;                 /* bit a keyspace: differs from what is stored */
	uint64_t allocated;             /* the data file has room on disk up to here */
	uint64_t pages_left;            /* of that, for this transaction */
	uint64_t pages_used;            /* at most, by this transaction */
	uint64_t free_pages, free_left; /* inside the file: about so many; of them, for this transaction */
	uint64_t free_counted;          /* last transaction when they were counted */
	uint8_t *scratch;               /* a row or a conflict being encoded */
	size_t scratch_size;
	struct rows_damage damage; /* met last */
};

struct rows_view {
	struct rows *rows;
	MDB_txn *txn;
	MDB_cursor *cursors[ROWS_LEVELS];
	uint32_t renewed; /* bit a cursor */
	bool active;
	uint64_t seed;
	struct conflict *conflict; /* for rows_conflicts */
};

int rows_lmdb_error(int code, const char *what, struct error_context *error);
uint64_t rows_checksum(uint64_t seed, const void *name, size_t name_size, const void *bytes, size_t size);
/* Checks a stored value and takes its checksum off. False: it is damaged. */
bool rows_value_open(uint64_t seed, const MDB_val *name, const MDB_val *value, MDB_val *bytes);
/* Where that key's row is, or would be. making: nodes on the way are made when missing (not NULL: in a writing transaction),
 * else ERR_NOT_FOUND. ERR_ROW_DAMAGED: a node's number on the way cannot be read. */
int rows_place_find(const struct rows *rows, MDB_txn *txn, uint64_t seed, struct rows_state *making, uint16_t keyspace,
    const uint8_t *key, size_t key_size, struct stored_key *out, struct error_context *error);

void rows_reread_update(struct rows_state *state); /* meta's figures from the marks */
int rows_state_load(MDB_txn *txn, MDB_dbi meta, struct rows_state *state, struct error_context *error);
int rows_state_store(MDB_txn *txn, MDB_dbi meta, const struct rows_state *state);
int rows_digests_load(MDB_txn *txn, MDB_dbi digests, uint16_t keyspace, struct keyspace_digests *out);
int rows_digests_store(MDB_txn *txn, MDB_dbi digests, uint16_t keyspace, const struct keyspace_digests *in);

/* Room on disk for so many more pages in this transaction, single ones and such as must lie together: ERR_DISK_FULL before
 * anything is touched, never a SIGBUS. */
int rows_pages_take(struct rows *rows, uint64_t single, uint64_t together, struct error_context *error);
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
