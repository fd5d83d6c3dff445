/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows: what the log adds up to. LMDB today (MDB_WRITEMAP | MDB_NOSYNC, file allocated ahead of use); everything above
 * this header works on any ordered store with one writer and consistent read views.
 *
 * One transaction holds, for a run of log entries: the rows, the log position they bring the state to, the vector applied, the
 * digests, the live-row counts, the conflict history and its counters. So a killed process finds them all or none.
 *
 * Tables: rows and tails (the rows, in the order of their keys: store/rows_internal.h; of a strong keyspace in the encoding of
 * core/commit_entry.h), meta, digests (keyspace -> 256 x 16 bytes + u64 live rows), conflicts (u64 big-endian id -> conflict
 * encoding). Whatever is stored has a checksum that each read checks. A row that fails it is ERR_ROW_DAMAGED to whoever asks
 * for it, is never merged with anything (what comes for it is in the log and in other regions), and stays so until the rows are
 * made anew. */
#ifndef GODWIT_STORE_ROWS_H
#define GODWIT_STORE_ROWS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/commit_entry.h"
#include "core/record.h"
#include "core/row.h"
#include "store/log.h"

#define CONFLICT_VALUE_MAX 4096u /* bytes of each value that the history keeps */
#define CONFLICT_SIDES_MAX 16u

struct rows;
struct rows_options {
	const char *dir;   /* borrowed; holds rows.mdb */
	uint64_t map_size; /* 0: 8 GiB of address space */
	bool read_only;
	uint32_t region;
	uint64_t conflicts_max;    /* kept in the history; 0: 100,000. Older ones are dropped and counted */
	uint64_t conflicts_bytes;  /* the same in bytes; 0: 256 MiB */
	uint64_t conflicts_age_ms; /* 0: 30 days */
	uint32_t keyspaces;
	enum strategy strategy[KEYSPACES_MAX]; /* recorded with a conflict */
	uint32_t priority[REGIONS_MAX];        /* by region id: who wins a conflict under STRATEGY_PRIORITY */
	int (*written_back)(
	    int fd); /* NULL: asks the kernel whether writing to the file has failed since it was opened; for tests */
	int (*fallocate)(int fd, off_t offset, off_t size); /* NULL: posix_fallocate; for tests that fill the disk */
};

struct rows_meta {
	uint8_t store_id[16]; /* random, made with the store */
	uint32_t region;
	uint64_t applied_lsn; /* the log up to here is in the rows */
	struct vector applied;
	struct store_id peer_stores[REGIONS_MAX]; /* whose records are held, by region; own and unknown ones are zero */
	uint64_t hlc;                             /* largest stamp of this region's own records that are no transactions */
	uint64_t hlc_bound;                       /* largest LOG_HLC_BOUND */
	uint64_t commit_bound;                    /* largest LOG_COMMIT_BOUND */
	/* Of the strong commit: a start reads the log from `reread_lsn`, and then stamps up to `reread_hlc` may be forgotten.
	 */
	uint64_t reread_lsn, reread_hlc;
	uint64_t conflicts; /* found ever */
	uint64_t conflicts_dropped;
	uint64_t next_conflict_id;
};

/* Writer: makes the store when there is none; clears readers that died (mdb_reader_check). Reader: ERR_UNREACHABLE when there
 * is none yet. */
int rows_open(struct rows **rows, const struct rows_options *options, struct error_context *error);
void rows_close(struct rows *rows);
const struct rows_meta *rows_meta_now(const struct rows *rows); /* writer: as of the last commit */
uint64_t rows_map_bytes(const struct rows *rows);               /* of the file that are in use */
/* Is there room ahead of what is in use or free inside the file (what no reader sees any more), for `waiting` bytes of log that
 * are not yet applied and for more besides? deletes: only for such; part of the room is kept for them. Tries to allocate it.
 * ERR_DISK_FULL: refuse new writes now, before they are in the log; what is in the log already can still be applied from what
 * was allocated before. Cheap while there is room. */
int rows_room(struct rows *rows, uint64_t waiting, bool deletes, struct error_context *error);
/* A row that does not match its checksum. */
struct rows_damage {
	uint16_t keyspace, key_size;
	uint8_t key[KEY_SIZE_MAX];
};
const struct rows_damage *rows_damage_last(const struct rows *rows); /* writer: met when the log was last applied */
/* Clears reader slots of processes that died, which would pin pages for ever (F09). Returns how many. Call now and then. */
int rows_reader_check(struct rows *rows);

struct apply_result {
	uint64_t applied_lsn;
	struct vector applied;
	uint64_t records, conflicts; /* of this call */
	uint64_t damaged;            /* writes left out, since their row is damaged here: rows_damage_last names the last one */
	uint64_t live_rows_change;
};
/* Reads the log from where the rows stand up to limit_lsn (or until about entries_max entries) and applies it in one
 * transaction. The same code recovers after a crash. now_ms: stamped on conflicts. ERR_DISK_FULL: map full, nothing changed.
 * on_record, if given, sees each record applied in order, transactions too (request memory, lag histogram), before the commit:
 * what it does must bear being done again, since after an error the same records come again. */
int rows_apply_log(struct rows *rows, struct log_reader *reader, uint64_t limit_lsn, uint32_t entries_max, uint64_t now_ms,
    void (*on_record)(void *user, const struct record *record, enum row_change change), void *user, struct apply_result *result,
    struct error_context *error);

/* Marks (LOG_COMMIT_MARK) that are closer together than this count as one. */
#define ROWS_REREAD_STEP (32ull * 1024 * 1024)

/* Read views: a consistent state; keep them short, a view pins pages. Reusable: begin/end renew one LMDB reader slot. */
struct rows_view;
int rows_view_new(struct rows *rows, struct rows_view **view, struct error_context *error);
void rows_view_free(struct rows_view *view);
int rows_view_begin(struct rows_view *view, struct error_context *error);
void rows_view_end(struct rows_view *view);
/* Row borrowed from the map until rows_view_end. ERR_NOT_FOUND, ERR_ROW_DAMAGED. A deleted row is found: see row_is_deleted. */
int rows_get(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct row *row);
/* The same in a strong keyspace. Each of the two says ERR_CORRUPT of a row of the other kind. */
int rows_get_committed(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, struct commit_row *row);
/* Does the keyspace hold rows of the other kind than `strong` says? 1, 0, or what is wrong with the rows. */
int rows_kind_differs(struct rows_view *view, uint16_t keyspace, bool strong);
/* Rows with that prefix, behind `after` (NULL: from the start; it need not be there), in the order of their keys, tombstones
 * included, until visit returns non-zero. A damaged row is visited with row NULL; so are, once, under what they have in common,
 * long keys whose node cannot be read. */
typedef int rows_visit(void *user, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size);
int rows_scan(struct rows_view *view, uint16_t keyspace, const uint8_t *prefix, size_t prefix_size, const uint8_t *after,
    size_t after_size, rows_visit *visit, void *user);
int rows_view_meta(struct rows_view *view, struct rows_meta *meta);
int rows_view_digests(
    struct rows_view *view, uint16_t keyspace, struct digest buckets[static DIGEST_BUCKETS], uint64_t *live_rows);

struct conflict_side {
	struct dot dot;
	uint64_t hlc;
	const uint8_t *value; /* cut to CONFLICT_VALUE_MAX */
	uint32_t value_size, value_size_whole;
	bool tombstone;
};
struct conflict {
	uint64_t id, recorded_ms;
	uint16_t keyspace;
	enum strategy strategy;
	const uint8_t *key;
	uint32_t key_size;
	struct vector arrived_context, held_context;
	struct conflict_side arrived;
	struct conflict_side held[CONFLICT_SIDES_MAX];
	uint32_t held_count; /* more than CONFLICT_SIDES_MAX are cut */
	struct dot winner;
};
/* Newest first, ids below before_id (0: from the newest), until visit returns non-zero. */
int rows_conflicts(
    struct rows_view *view, uint64_t before_id, int (*visit)(void *user, const struct conflict *conflict), void *user);
int rows_conflict(struct rows_view *view, uint64_t id, struct conflict *conflict); /* borrowed from the view; ERR_NOT_FOUND */

/* Sibling count of one region on a row as applied: the origin refuses to go beyond SIBLINGS_PER_REGION_MAX. */
int rows_own_siblings(struct rows_view *view, uint16_t keyspace, const uint8_t *key, size_t key_size, uint8_t region);

#endif
