// SPDX-License-Identifier: Apache-2.0
#define XXH_INLINE_ALL
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/broken.h"
#include "base/bytes.h"
#include "core/version.h"
#include "store/rows_internal.h"

#define MAP_SIZE_DEFAULT     (8ull << 30)
#define CONFLICTS_DEFAULT    100000u
#define CONFLICT_BYTES       (256ull << 20)
#define CONFLICT_AGE_DEFAULT (30ull * 24 * 3600 * 1000)
#define READERS_MAX          254
#define FREE_COUNT_EVERY     256u /* transactions between two counts of free pages */
#define STATE_VERSION        4u   /* the oldest understood, and written: core/version.h */
#define STATE_NUMBERS        (18 + REGIONS_MAX)
#define STATE_SIZE           (8 + 16 + 8 * STATE_NUMBERS + STORE_ID_SIZE * REGIONS_MAX + ROWS_CHECK_SIZE)

static const char meta_key[] = "state";

int rows_lmdb_error(int code, const char *what, struct error_context *error)
{
	switch (code) {
	case 0:
		return 0;
	case MDB_MAP_FULL:
	case ENOSPC:
		return error_set(error, ERR_DISK_FULL, "rows: %s: %s", what, mdb_strerror(code));
	case MDB_CORRUPTED:
	case MDB_INVALID:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
		return error_set(error, ERR_CORRUPT, "rows: %s: %s", what, mdb_strerror(code));
	case MDB_VERSION_MISMATCH:
		return error_set(error, ERR_WRONG_VERSION, "rows: %s: %s", what, mdb_strerror(code));
	case ENOMEM:
		return error_set(error, ERR_NO_MEMORY, "rows: %s: %s", what, mdb_strerror(code));
	case ENOENT:
	case MDB_NOTFOUND:
		return error_set(error, ERR_UNREACHABLE, "rows: %s: %s", what, mdb_strerror(code));
	default:
		return error_set(error, ERR_IO, "rows: %s: %s", what, mdb_strerror(code));
	}
}

uint64_t rows_checksum(uint64_t seed, const void *name, size_t name_size, const void *bytes, size_t size)
{
	return XXH3_64bits_withSeed(bytes, size, XXH3_64bits_withSeed(name, name_size, seed));
}

bool rows_value_open(uint64_t seed, const MDB_val *name, const MDB_val *value, MDB_val *bytes)
{
	if (value->mv_size < ROWS_CHECK_SIZE)
		return false;
	*bytes = (MDB_val){.mv_size = value->mv_size - ROWS_CHECK_SIZE, .mv_data = (uint8_t *)value->mv_data + ROWS_CHECK_SIZE};
	return BROKEN(M13) || bytes_get_u64(value->mv_data) ==
	                          rows_checksum(seed, name->mv_data, name->mv_size, bytes->mv_data, bytes->mv_size);
}

static int node_make(MDB_txn *txn, uint64_t seed, struct rows_state *making, MDB_dbi table, MDB_val *name, uint64_t *node)
{
	uint8_t bytes[ROWS_CHECK_SIZE + 8];
	MDB_val value = {.mv_size = sizeof(bytes), .mv_data = bytes};

	*node = making->next_node++;
	bytes_put_u64(bytes + ROWS_CHECK_SIZE, *node);
	bytes_put_u64(bytes, rows_checksum(seed, name->mv_data, name->mv_size, bytes + ROWS_CHECK_SIZE, 8));
	return mdb_put(txn, table, name, &value, 0);
}

int rows_place_find(const struct rows *rows, MDB_txn *txn, uint64_t seed, struct rows_state *making, uint16_t keyspace,
    const uint8_t *key, size_t key_size, struct stored_key *out, struct error_context *error)
{
	size_t head = 2;

	out->table = rows->rows;
	out->bytes[0] = (uint8_t)(keyspace >> 8);
	out->bytes[1] = (uint8_t)keyspace;
	for (; key_size > ROWS_KEY_HEAD; key += ROWS_KEY_HEAD, key_size -= ROWS_KEY_HEAD) {
		MDB_val name = {.mv_size = head + ROWS_KEY_HEAD + 1, .mv_data = out->bytes}, value, bytes;
		uint64_t node = 0;

		memcpy(out->bytes + head, key, ROWS_KEY_HEAD);
		out->bytes[head + ROWS_KEY_HEAD] = 0;
		int code = mdb_get(txn, out->table, &name, &value);
		if (code == MDB_NOTFOUND && making == NULL)
			return ERR_NOT_FOUND;
		if (code == MDB_NOTFOUND)
			code = node_make(txn, seed, making, out->table, &name, &node);
		else if (code == 0 && (!rows_value_open(seed, &name, &value, &bytes) || bytes.mv_size != 8))
			return ERR_ROW_DAMAGED;
		else if (code == 0)
			node = bytes_get_u64(bytes.mv_data);
		if (code != 0)
			return rows_lmdb_error(code, "node of a long key", error);
		for (int i = 0; i < 8; i++)
			out->bytes[i] = (uint8_t)(node >> (56 - 8 * i));
		out->table = rows->tails;
		head = ROWS_NODE_MAX;
	}
	if (key_size > 0)
		memcpy(out->bytes + head, key, key_size);
	out->size = (uint32_t)(head + key_size);
	return 0;
}

void rows_reread_update(struct rows_state *state)
{
	state->meta.reread_lsn = state->mark.before_lsn;
	state->meta.reread_hlc = state->mark.before_hlc;
	/* Something undecided is older: what is decided before the mark is forgotten all the same. */
	if (state->mark.oldest_lsn < state->meta.reread_lsn)
		state->meta.reread_lsn = state->mark.oldest_lsn;
}

int rows_state_load(MDB_txn *txn, MDB_dbi meta, struct rows_state *state, struct error_context *error)
{
	MDB_val key = {.mv_size = sizeof(meta_key), .mv_data = (void *)(uintptr_t)meta_key}, value;

	const int code = mdb_get(txn, meta, &key, &value);
	if (code == MDB_NOTFOUND)
		return ERR_NOT_FOUND;
	if (code != 0)
		return rows_lmdb_error(code, "meta", error);
	const uint8_t *at = value.mv_data;
	if (value.mv_size < 8 || !version_is_understood(bytes_get_u64(at), STATE_VERSION))
		return error_set(error, ERR_WRONG_VERSION,
		    "rows: written by another version of Godwit (format %llu, this one understands %u to %u)",
		    (unsigned long long)(value.mv_size < 8 ? 0 : bytes_get_u64(at)), STATE_VERSION,
		    STATE_VERSION + version_ahead());
	if (value.mv_size != STATE_SIZE ||
	    bytes_get_u64(at + STATE_SIZE - ROWS_CHECK_SIZE) != XXH3_64bits(at, STATE_SIZE - ROWS_CHECK_SIZE))
		return error_set(error, ERR_CORRUPT, "rows: what they say of themselves does not match its checksum");
	memcpy(state->meta.store_id, at + 8, 16);
	uint64_t numbers[STATE_NUMBERS];
	for (uint32_t i = 0; i < STATE_NUMBERS; i++)
		numbers[i] = bytes_get_u64(at + 24 + 8 * (size_t)i);
	state->meta.region = (uint32_t)numbers[0];
	state->meta.applied_lsn = numbers[1];
	state->meta.hlc = numbers[2];
	state->meta.hlc_bound = numbers[3];
	state->meta.conflicts = numbers[4];
	state->meta.conflicts_dropped = numbers[5];
	state->meta.next_conflict_id = numbers[6];
	state->first_conflict_id = numbers[7];
	state->seed = numbers[8];
	state->meta.commit_bound = numbers[9];
	memcpy(&state->mark, numbers + 10, sizeof(state->mark));
	state->next_node = numbers[16];
	state->conflict_bytes = numbers[17];
	memcpy(state->meta.applied.sequence, numbers + 18, sizeof(state->meta.applied.sequence));
	rows_reread_update(state);
	memcpy(state->meta.peer_stores, at + 24 + 8 * STATE_NUMBERS, sizeof(state->meta.peer_stores));
	return 0;
}

int rows_state_store(MDB_txn *txn, MDB_dbi meta, const struct rows_state *state)
{
	uint64_t numbers[STATE_NUMBERS] = {state->meta.region, state->meta.applied_lsn, state->meta.hlc, state->meta.hlc_bound,
	    state->meta.conflicts, state->meta.conflicts_dropped, state->meta.next_conflict_id, state->first_conflict_id,
	    state->seed, state->meta.commit_bound};
	uint8_t bytes[STATE_SIZE];
	MDB_val key = {.mv_size = sizeof(meta_key), .mv_data = (void *)(uintptr_t)meta_key};
	MDB_val value = {.mv_size = sizeof(bytes), .mv_data = bytes};

	_Static_assert(sizeof(state->mark) == 6 * 8, "the marks are as many numbers");
	memcpy(numbers + 10, &state->mark, sizeof(state->mark));
	numbers[16] = state->next_node;
	numbers[17] = state->conflict_bytes;
	memcpy(numbers + 18, state->meta.applied.sequence, sizeof(state->meta.applied.sequence));
	bytes_put_u64(bytes, STATE_VERSION);
	memcpy(bytes + 8, state->meta.store_id, 16);
	for (uint32_t i = 0; i < STATE_NUMBERS; i++)
		bytes_put_u64(bytes + 24 + 8 * (size_t)i, numbers[i]);
	memcpy(bytes + 24 + 8 * STATE_NUMBERS, state->meta.peer_stores, sizeof(state->meta.peer_stores));
	bytes_put_u64(bytes + STATE_SIZE - ROWS_CHECK_SIZE, XXH3_64bits(bytes, STATE_SIZE - ROWS_CHECK_SIZE));
	return mdb_put(txn, meta, &key, &value, 0);
}

int rows_digests_load(MDB_txn *txn, MDB_dbi digests, uint16_t keyspace, struct keyspace_digests *out)
{
	const uint8_t name[2] = {(uint8_t)(keyspace >> 8), (uint8_t)keyspace};
	MDB_val key = {.mv_size = 2, .mv_data = (void *)(uintptr_t)name}, value;

	memset(out, 0, sizeof(*out));
	const int code = mdb_get(txn, digests, &key, &value);
	if (code == MDB_NOTFOUND)
		return 0;
	if (code != 0 || value.mv_size != DIGESTS_SIZE)
		return code != 0 ? code : MDB_CORRUPTED;
	const uint8_t *at = value.mv_data;
	if (bytes_get_u64(at + DIGESTS_SIZE - ROWS_CHECK_SIZE) !=
	    XXH3_64bits_withSeed(at, DIGESTS_SIZE - ROWS_CHECK_SIZE, keyspace))
		return MDB_CORRUPTED;
	for (uint32_t i = 0; i < DIGEST_BUCKETS; i++, at += 16)
		out->buckets[i] = (struct digest){.low = bytes_get_u64(at), .high = bytes_get_u64(at + 8)};
	out->live_rows = bytes_get_u64(at);
	return 0;
}

int rows_digests_store(MDB_txn *txn, MDB_dbi digests, uint16_t keyspace, const struct keyspace_digests *in)
{
	const uint8_t name[2] = {(uint8_t)(keyspace >> 8), (uint8_t)keyspace};
	MDB_val key = {.mv_size = 2, .mv_data = (void *)(uintptr_t)name}, value = {.mv_size = DIGESTS_SIZE};

	const int code = mdb_put(txn, digests, &key, &value, MDB_RESERVE);
	if (code != 0)
		return code;
	uint8_t *at = value.mv_data, *begin = at;
	for (uint32_t i = 0; i < DIGEST_BUCKETS; i++, at += 16) {
		bytes_put_u64(at, in->buckets[i].low);
		bytes_put_u64(at + 8, in->buckets[i].high);
	}
	bytes_put_u64(at, in->live_rows);
	bytes_put_u64(at + 8, XXH3_64bits_withSeed(begin, DIGESTS_SIZE - ROWS_CHECK_SIZE, keyspace));
	return 0;
}

/* The map is a sparse file: writing to a page that the disk has no room for would be a SIGBUS. */
static int allocate_upto(struct rows *rows, uint64_t end, struct error_context *error)
{
	if (end > rows->map_size)
		end = rows->map_size;
	if (end <= rows->allocated)
		return 0;
	const off_t from = (off_t)rows->allocated, size = (off_t)(end - rows->allocated);
	const int code = rows->options.fallocate != NULL ? rows->options.fallocate(rows->data_fd, from, size)
	                                                 : posix_fallocate(rows->data_fd, from, size);
	if (code != 0)
		return error_set(error, code == ENOSPC || code == EDQUOT || code == EFBIG ? ERR_DISK_FULL : ERR_IO,
		    "rows: allocating %llu bytes: %s", (unsigned long long)size, strerror(code));
	rows->allocated = end;
	return 0;
}

static uint64_t used_bytes(const struct rows *rows)
{
	MDB_envinfo info;

	mdb_env_info(rows->env, &info);
	return (info.me_last_pgno + 1) * rows->page_size;
}

struct oldest_reader {
	uint64_t txn;
};

/* One line of mdb_reader_list: "pid thread txn", with "-" for the number of a reader that reads nothing. */
static int reader_line(const char *line, void *user)
{
	struct oldest_reader *oldest = user;
	unsigned long long txn;

	if (sscanf(line, "%*d %*s %llu", &txn) == 1 && txn < oldest->txn)
		oldest->txn = txn;
	return 0;
}

/* Pages inside of the file that the next transactions may use again: those freed before what the oldest reader sees. LMDB keeps
 * them as lists by the transaction that freed them, in its table 0. */
static uint64_t free_pages_count(struct rows *rows)
{
	struct oldest_reader oldest = {.txn = UINT64_MAX};
	MDB_val key, list;
	MDB_cursor *cursor;
	MDB_txn *txn;
	uint64_t pages = 0, last;

	if (mdb_txn_begin(rows->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	last = mdb_txn_id(txn);
	if (mdb_reader_list(rows->env, reader_line, &oldest) < 0 || mdb_cursor_open(txn, 0, &cursor) != 0) {
		mdb_txn_abort(txn);
		return 0;
	}
	const uint64_t usable = oldest.txn < last ? oldest.txn : last;
	while (mdb_cursor_get(cursor, &key, &list, MDB_NEXT) == 0) {
		size_t id, length;
		memcpy(&id, key.mv_data, sizeof(id));
		memcpy(&length, list.mv_data, sizeof(length));
		if (id >= usable)
			break;
		pages += length;
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return pages;
}

/* Counted again when it does not suffice, or is old: readers come and go. */
static uint64_t free_bytes(struct rows *rows, uint64_t wanted)
{
	MDB_envinfo info;

	mdb_env_info(rows->env, &info);
	if (rows->free_pages * rows->page_size < wanted || info.me_last_txnid >= rows->free_counted + FREE_COUNT_EVERY) {
		rows->free_pages = free_pages_count(rows);
		rows->free_counted = info.me_last_txnid;
	}
	return rows->free_pages * rows->page_size;
}

int rows_room(struct rows *rows, uint64_t waiting, bool deletes, struct error_context *error)
{
	const uint64_t used = used_bytes(rows), whole = rows->map_size / 8 < ROWS_RESERVE ? rows->map_size / 8 : ROWS_RESERVE;
	const uint64_t wanted = waiting + (deletes ? whole / 2 : whole);
	struct error_context reason = {""};

	if (used + wanted <= rows->allocated)
		return 0;
	/* In steps, so that not every transaction moves the end by a little. */
	const int result = allocate_upto(rows, used + wanted + ROWS_RESERVE / 4, &reason);
	if (result < 0 && result != ERR_DISK_FULL)
		return error_set(error, result, "%s", reason.text);
	const uint64_t ahead = rows->allocated > used ? rows->allocated - used : 0;
	const uint64_t unused = ahead < wanted ? free_bytes(rows, wanted - ahead) : 0;
	if (ahead + unused >= wanted)
		return 0;
	return error_set(error, ERR_DISK_FULL, "rows: %llu bytes of the map's %llu are in use, %llu free of %llu wanted%s%s",
	    (unsigned long long)(used - (unused < used ? unused : used)), (unsigned long long)rows->map_size,
	    (unsigned long long)(ahead + unused), (unsigned long long)wanted, reason.text[0] ? ": " : "", reason.text);
}

int rows_pages_start(struct rows *rows, MDB_txn *txn, struct error_context *error)
{
	MDB_stat stat;

	/* Without room ahead this transaction still goes on in what was allocated before; that is what it was kept for. */
	(void)rows_room(rows, 0, false, NULL);
	int code = mdb_stat(txn, rows->tails, &stat);
	const uint64_t tails = code == 0 ? stat.ms_branch_pages : 0;
	if (code == 0)
		code = mdb_stat(txn, rows->rows, &stat);
	if (code != 0)
		return rows_lmdb_error(code, "stat", error);
	const uint64_t used = used_bytes(rows);
	rows->pages_left = rows->allocated > used ? (rows->allocated - used) / rows->page_size : 0;
	rows->pages_used = 0;
	rows->free_left = rows->free_pages;
	/* Each branch page is copied at most once a transaction. */
	return rows_pages_take(rows, stat.ms_branch_pages + tails + ROWS_PAGES_SLACK, 0, error);
}

int rows_pages_take(struct rows *rows, uint64_t single, uint64_t together, struct error_context *error)
{
	rows->pages_used += single + together;
	if (single + together > rows->pages_left) {
		/* At the end of the map there is nothing to allocate: LMDB itself says MDB_MAP_FULL there. */
		const uint64_t before = rows->allocated;
		const uint64_t missing = single + together - rows->pages_left;
		const int result = allocate_upto(rows, rows->allocated + missing * rows->page_size + ROWS_RESERVE / 4, error);
		/* One page at a time is taken from the free ones first; pages that must lie together may not be found among
		 * them. */
		if (result == ERR_DISK_FULL && together <= rows->pages_left && single <= rows->free_left) {
			rows->pages_left -= together;
			rows->free_left -= single;
			return 0;
		}
		if (result < 0)
			return result;
		rows->pages_left += (rows->allocated - before) / rows->page_size;
	}
	rows->pages_left -= single + together < rows->pages_left ? single + together : rows->pages_left;
	return 0;
}

int rows_scratch_need(struct rows *rows, size_t size, struct error_context *error)
{
	if (size <= rows->scratch_size)
		return 0;
	uint8_t *larger = realloc(rows->scratch, size);
	if (larger == NULL)
		return error_set(error, ERR_NO_MEMORY, "row of %zu bytes", size);
	rows->scratch = larger;
	rows->scratch_size = size;
	return 0;
}

/* The store id lives in a file of its own, so that rows rebuilt from the log go on under the id that the log names. */
static int store_id_load(const struct rows *rows, uint8_t id[static 16], struct error_context *error)
{
	int fd = openat(rows->dir_fd, "store.id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		const ssize_t n = read(fd, id, 16);
		close(fd);
		return n == 16 ? 0 : error_set(error, ERR_CORRUPT, "rows: store.id is too short");
	}
	if (errno != ENOENT)
		return error_set(error, ERR_IO, "rows: store.id: %s", strerror(errno));
	if (getrandom(id, 16, 0) != 16)
		return error_set(error, ERR_IO, "rows: no random numbers: %s", strerror(errno));
	fd = openat(rows->dir_fd, "store.id.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, "rows: store.id: %s", strerror(errno));
	const bool good = write(fd, id, 16) == 16 && fsync(fd) == 0;
	const int code = errno;
	close(fd);
	if (!good || renameat(rows->dir_fd, "store.id.tmp", rows->dir_fd, "store.id") < 0 || fsync(rows->dir_fd) < 0)
		return error_set(
		    error, code == ENOSPC ? ERR_DISK_FULL : ERR_IO, "rows: store.id: %s", strerror(good ? errno : code));
	return 0;
}

static int tables_open(struct rows *rows, MDB_txn *txn, unsigned flags)
{
	int code = mdb_dbi_open(txn, "rows", flags, &rows->rows);
	if (code == 0)
		code = mdb_dbi_open(txn, "tails", flags, &rows->tails);
	if (code == 0)
		code = mdb_dbi_open(txn, "meta", flags, &rows->meta);
	if (code == 0)
		code = mdb_dbi_open(txn, "digests", flags, &rows->digests);
	if (code == 0)
		code = mdb_dbi_open(txn, "conflicts", flags, &rows->conflicts);
	return code;
}

static int state_make(struct rows *rows, MDB_txn *txn, struct error_context *error)
{
	rows->state = (struct rows_state){
	    .meta = {.region = rows->options.region, .next_conflict_id = 1}, .next_node = 1, .first_conflict_id = 1};
	const int result = store_id_load(rows, rows->state.meta.store_id, error);
	if (result < 0)
		return result;
	if (getrandom(&rows->state.seed, sizeof(rows->state.seed), 0) != sizeof(rows->state.seed))
		return error_set(error, ERR_IO, "rows: no random numbers: %s", strerror(errno));
	return rows_lmdb_error(rows_state_store(txn, rows->meta, &rows->state), "meta", error);
}

/* Everything that is kept in memory, from what is stored. */
static int state_read(struct rows *rows, MDB_txn *txn, struct error_context *error)
{
	int result = rows_state_load(txn, rows->meta, &rows->state, error);
	if (result == ERR_NOT_FOUND)
		result =
		    rows->read_only ? error_set(error, ERR_UNREACHABLE, "rows: not made yet") : state_make(rows, txn, error);
	if (result == 0 && !rows->read_only && rows->state.meta.region != rows->options.region)
		result = error_set(error, ERR_CONFIGURATION, "rows: they belong to region %u, not %u", rows->state.meta.region,
		    rows->options.region);
	for (uint16_t i = 0; result == 0 && rows->now != NULL && i < KEYSPACES_MAX; i++)
		result = rows_lmdb_error(rows_digests_load(txn, rows->digests, i, &rows->now[i]), "digests", error);
	return result;
}

/* The map's file is made as large as the map, sparse: without leave for that the process would only get SIGXFSZ. */
static int limit_check(const struct rows *rows, struct error_context *error)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= rows->map_size)
		return 0;
	return error_set(error, ERR_CONFIGURATION,
	    "rows: files may have %llu bytes (ulimit -f), and the map takes one of %llu; raise the limit or lower --map-gib",
	    (unsigned long long)limit.rlim_cur, (unsigned long long)rows->map_size);
}

static int environment_open(struct rows *rows, const char *path, struct error_context *error)
{
	/* Rows are met at random. Read-ahead would fill the page cache in pieces of up to 2 MiB, and on ext4 with large folios
	 * a byte stored through the mapping then costs the disk the whole piece. */
	const unsigned common = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
	MDB_txn *txn;
	MDB_stat stat;

	int code = mdb_env_create(&rows->env);
	if (code == 0)
		code = mdb_env_set_maxdbs(rows->env, 8);
	if (code == 0)
		code = mdb_env_set_maxreaders(rows->env, READERS_MAX);
	if (code == 0)
		code = mdb_env_set_mapsize(rows->env, rows->map_size);
	if (code == 0)
		code = mdb_env_open(rows->env, path, common | (rows->read_only ? MDB_RDONLY : MDB_WRITEMAP | MDB_NOSYNC), 0600);
	if (code == 0)
		code = mdb_env_get_fd(rows->env, &rows->data_fd);
	if (code == 0)
		code = mdb_env_stat(rows->env, &stat);
	if (code != 0)
		return rows_lmdb_error(code, path, error);
	rows->page_size = stat.ms_psize;
	int result = 0;
	if (!rows->read_only) {
		MDB_envinfo info;
		mdb_env_info(rows->env, &info);
		/* A file that holds more than was asked for wins. */
		rows->map_size = info.me_mapsize;
		rows_reader_check(rows);
		/* A copy of it may have holes. What lies before the first one needs no look, which took a tenth of a second a
		 * gigabyte at each start. */
		const off_t hole = lseek(rows->data_fd, 0, SEEK_HOLE);
		rows->allocated = hole > 0 ? (uint64_t)hole : 0;
		/* What is in use has to be there, or reading it is a SIGBUS. Room beyond it is asked for again before each
		 * write: without it the rows are full, and can still be read. */
		result = allocate_upto(rows, used_bytes(rows), error);
		const bool is_new = info.me_last_pgno <= 1; /* its tables are still to be made, which takes room */
		if (result == 0 && allocate_upto(rows, used_bytes(rows) + ROWS_RESERVE, is_new ? error : NULL) < 0 && is_new)
			result = ERR_DISK_FULL;
	}
	if (result < 0)
		return result;
	code = mdb_txn_begin(rows->env, NULL, rows->read_only ? MDB_RDONLY : 0, &txn);
	if (code != 0)
		return rows_lmdb_error(code, "transaction", error);
	code = tables_open(rows, txn, rows->read_only ? 0 : MDB_CREATE);
	result = code != 0 ? rows_lmdb_error(code, "tables", error) : state_read(rows, txn, error);
	if (result < 0) {
		mdb_txn_abort(txn);
		return result;
	}
	return rows_lmdb_error(mdb_txn_commit(txn), "commit", error);
}

/* Waits for what is being written, writes nothing more, and tells each failure once. */
static int written_back(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE);
}

int rows_open(struct rows **out, const struct rows_options *options, struct error_context *error)
{
	char path[512];
	struct rows *rows = calloc(1, sizeof(*rows));

	if (rows == NULL)
		return error_set(error, ERR_NO_MEMORY, "rows");
	rows->options = *options;
	rows->read_only = options->read_only;
	rows->map_size = options->map_size != 0 ? options->map_size : MAP_SIZE_DEFAULT;
	if (rows->options.written_back == NULL)
		rows->options.written_back = written_back;
	if (rows->options.conflicts_max == 0)
		rows->options.conflicts_max = CONFLICTS_DEFAULT;
	if (rows->options.conflicts_bytes == 0)
		rows->options.conflicts_bytes = CONFLICT_BYTES;
	if (rows->options.conflicts_age_ms == 0)
		rows->options.conflicts_age_ms = CONFLICT_AGE_DEFAULT;

	int result = 0;
	if (snprintf(path, sizeof(path), "%s/rows.mdb", options->dir) >= (int)sizeof(path))
		result = error_set(error, ERR_CONFIGURATION, "rows: the path is too long");
	rows->dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (result == 0 && rows->dir_fd < 0)
		result = error_set(error, errno == ENOENT ? ERR_UNREACHABLE : ERR_IO, "%s: %s", options->dir, strerror(errno));
	if (result == 0 && !rows->read_only) {
		rows->now = calloc(KEYSPACES_MAX, sizeof(*rows->now));
		result = rows->now == NULL ? error_set(error, ERR_NO_MEMORY, "rows")
		                           : rows_scratch_need(rows, CONFLICT_ENCODED_MAX, error);
	}
	if (result == 0 && !rows->read_only)
		result = limit_check(rows, error);
	if (result == 0)
		result = environment_open(rows, path, error);
	if (result < 0) {
		rows_close(rows);
		return result;
	}
	rows->options.dir = NULL;
	*out = rows;
	return 0;
}

void rows_close(struct rows *rows)
{
	if (rows->env != NULL)
		mdb_env_close(rows->env);
	if (rows->dir_fd >= 0)
		close(rows->dir_fd);
	free(rows->now);
	free(rows->scratch);
	free(rows);
}

const struct rows_damage *rows_damage_last(const struct rows *rows)
{
	return &rows->damage;
}

const struct rows_meta *rows_meta_now(const struct rows *rows)
{
	return &rows->state.meta;
}

uint64_t rows_map_bytes(const struct rows *rows)
{
	return used_bytes(rows);
}

int rows_reader_check(struct rows *rows)
{
	int dead = 0;

	return mdb_reader_check(rows->env, &dead) == 0 ? dead : 0;
}
