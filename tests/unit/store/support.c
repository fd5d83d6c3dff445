// SPDX-License-Identifier: Apache-2.0
#define XXH_INLINE_ALL
#include "tests/unit/store/support.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <lmdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "store/boot.h"

void place_make(struct place *place)
{
	const char *base = getenv("TMPDIR");
	char path[200];

	snprintf(place->dir, sizeof(place->dir), "%s/godwit-store-XXXXXX", base != NULL ? base : "/tmp");
	cr_assert_not_null(mkdtemp(place->dir));
	snprintf(place->log, sizeof(place->log), "%s/log", place->dir);
	snprintf(place->rows, sizeof(place->rows), "%s/rows", place->dir);
	snprintf(path, sizeof(path), "%s/snapshots", place->dir);
	cr_assert(mkdir(place->log, 0700) == 0 && mkdir(place->rows, 0700) == 0 && mkdir(path, 0700) == 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st, (void)kind, (void)walk;
	return remove(path);
}

void place_remove(struct place *place)
{
	cr_assert_eq(nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void place_boot(const struct place *place, char digit)
{
	static char path[200];
	char id[37];

	memset(id, digit, 36);
	id[8] = id[13] = id[18] = id[23] = '-';
	id[36] = '\n';
	snprintf(path, sizeof(path), "%s/boot_id", place->dir);
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(id, 1, sizeof(id), f), sizeof(id));
	cr_assert_eq(fclose(f), 0);
	boot_id_path = path;
}

struct log_options log_options_small(const struct place *place)
{
	return (struct log_options){.dir = place->log, .store_id = "test store", .segment_size = SMALL_SEGMENT};
}

struct log *log_start(const struct place *place, const struct log_options *options, struct log_recovered *found)
{
	const struct log_options usual = log_options_small(place);
	struct error_context error = {""};
	struct log_recovered ignored;
	struct log *log;

	const int result = log_open(&log, options != NULL ? options : &usual, found != NULL ? found : &ignored, &error);
	cr_assert_eq(result, 0, "log_open: %s: %s", error_name(result), error.text);
	return log;
}

size_t write_encode(const struct write *write, uint8_t *out, size_t capacity)
{
	struct record r = {
	    .dot = {.region = write->region, .sequence = write->sequence},
	    .hlc = write->hlc != 0 ? write->hlc : write->sequence << 16,
	    .client_id = 7,
	    .request = write->sequence,
	    .key = (const uint8_t *)write->key,
	    .key_size = (uint32_t)strlen(write->key),
	    .keyspace = write->keyspace,
	    .flags = write->value == NULL ? RECORD_TOMBSTONE : 0,
	    .value = (const uint8_t *)write->value,
	    .value_size = write->value == NULL ? 0 : (uint32_t)strlen(write->value),
	};
	if (write->context != NULL)
		r.context = *write->context;
	else
		r.context.sequence[write->region] = write->sequence - 1;
	const long size = record_encode(&r, out, capacity);
	cr_assert_gt(size, 0);
	return (size_t)size;
}

int append(struct log *log, const struct write *write, uint64_t *end_lsn)
{
	static uint8_t bytes[RECORD_ENCODED_MAX];
	const size_t size = write_encode(write, bytes, sizeof(bytes));
	int result;

	for (int tries = 0; (result = log_append(log, LOG_RECORD, bytes, size, end_lsn)) == ERR_OVERLOADED && tries < 10000;
	     tries++) {
		log_flush(log);
		usleep(200);
	}
	return result;
}

uint64_t wait_durable(struct log *log, uint64_t lsn)
{
	struct error_context error = {""};
	uint64_t durable = 0;

	log_flush(log);
	for (int i = 0; i < 1000; i++) {
		const int result = log_completed(log, &durable, &error);
		cr_assert_eq(result, 0, "%s", error.text);
		if (durable >= lsn)
			return durable;
		log_flush(log);
		poll(&(struct pollfd){.fd = log_fd(log), .events = POLLIN}, 1, 100);
	}
	cr_assert_fail("not durable in time");
	return 0;
}

struct rows_options rows_options_default(const struct place *place)
{
	return (struct rows_options){.dir = place->rows, .map_size = 1ull << 30, .keyspaces = 4};
}

struct rows *rows_start(const struct place *place, const struct rows_options *options)
{
	const struct rows_options usual = rows_options_default(place);
	struct error_context error = {""};
	struct rows *rows;

	const int result = rows_open(&rows, options != NULL ? options : &usual, &error);
	cr_assert_eq(result, 0, "rows_open: %s: %s", error_name(result), error.text);
	return rows;
}

struct apply_result apply_all(struct rows *rows, const struct place *place, uint64_t limit)
{
	struct error_context error = {""};
	struct apply_result result = {0}, part;
	struct log_reader *reader;
	uint64_t before;

	cr_assert_eq(log_reader_open(&reader, place->log, &error), 0, "%s", error.text);
	do {
		before = rows_meta_now(rows)->applied_lsn;
		const int code = rows_apply_log(rows, reader, limit, 1000, 1000, NULL, NULL, &part, &error);
		cr_assert_eq(code, 0, "%s: %s", error_name(code), error.text);
		result.records += part.records;
		result.conflicts += part.conflicts;
		result.applied_lsn = part.applied_lsn;
		result.applied = part.applied;
	} while (part.applied_lsn != before);
	log_reader_close(reader);
	return result;
}

struct tally {
	uint16_t keyspace;
	struct digest buckets[DIGEST_BUCKETS];
	uint64_t live_rows;
};

static int tally_row(void *user, const uint8_t *key, size_t key_size, const uint8_t *bytes, size_t size)
{
	struct tally *tally = user;

	const int deleted = row_bytes_are_deleted(bytes, size);
	cr_assert_geq(deleted, 0);
	if (deleted == 0) {
		digest_add(
		    &tally->buckets[row_digest_bucket(key, key_size)], row_digest(tally->keyspace, key, key_size, bytes, size));
		tally->live_rows++;
	}
	return 0;
}

void digests_take(struct rows *rows, uint16_t keyspace, struct digest out[static DIGEST_BUCKETS])
{
	struct rows_view *view;
	uint64_t live_rows;

	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	cr_assert_eq(rows_view_digests(view, keyspace, out, &live_rows), 0);
	rows_view_free(view);
}

void digests_check(struct rows *rows, uint16_t keyspace)
{
	struct tally tally = {.keyspace = keyspace};
	struct digest kept[DIGEST_BUCKETS];
	struct rows_view *view;
	uint64_t live_rows;

	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	cr_assert_eq(rows_view_digests(view, keyspace, kept, &live_rows), 0);
	cr_assert_eq(rows_scan(view, keyspace, NULL, 0, NULL, 0, tally_row, &tally), 0);
	cr_assert_eq(live_rows, tally.live_rows);
	cr_assert_eq(memcmp(kept, tally.buckets, sizeof(kept)), 0, "digests differ from what the rows give");
	rows_view_free(view);
}

uint64_t append_entry(struct log *log, enum log_type type, const void *bytes, size_t size)
{
	uint64_t end = 0;
	int result;

	for (int tries = 0; (result = log_append(log, type, bytes, size, &end)) == ERR_OVERLOADED && tries < 10000; tries++) {
		log_flush(log);
		usleep(200);
	}
	cr_assert_eq(result, 0, "%s", error_name(result));
	return end;
}

uint64_t append_streamed(struct log *log, uint8_t origin, uint64_t sequence, const void *entry, size_t size)
{
	static uint8_t bytes[RECORD_ENCODED_MAX];
	const struct record r = {.dot = {.region = origin, .sequence = sequence},
	    .hlc = bytes_get_u64(entry),
	    .flags = RECORD_TRANSACTION,
	    .entry = entry,
	    .entry_size = (uint32_t)size};

	const long encoded = record_encode(&r, bytes, sizeof(bytes));
	cr_assert_gt(encoded, 0);
	return append_entry(log, LOG_RECORD, bytes, (size_t)encoded);
}

uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void place_fill(const struct place *place, uint32_t count, void (*make)(uint32_t number, struct write *out))
{
	pid_t pid = fork();
	if (pid == 0) {
		struct log *log = log_start(place, NULL, NULL);
		struct rows *rows = rows_start(place, NULL);
		uint64_t end = 0;
		for (uint32_t i = 0; i < count; i++) {
			struct write w = {.sequence = 1 + i};
			make(i, &w);
			if (append(log, &w, &end) != 0)
				_exit(1);
		}
		wait_durable(log, end);
		apply_all(rows, place, end);
		rows_close(rows);
		log_close(log);
		_exit(0);
	}
	int status = 1;
	cr_assert(waitpid(pid, &status, 0) == pid && status == 0);
}

void rows_version_set(const struct place *place, uint64_t version)
{
	char path[200], name[] = "state";
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi meta;
	MDB_val key = {.mv_size = sizeof name, .mv_data = name}, value;
	static uint8_t bytes[4096];
	snprintf(path, sizeof path, "%s/rows.mdb", place->rows);
	cr_assert(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 8) == 0 &&
	          mdb_env_open(env, path, MDB_NOSUBDIR, 0600) == 0 && mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
	          mdb_dbi_open(txn, "meta", 0, &meta) == 0 && mdb_get(txn, meta, &key, &value) == 0);
	cr_assert_leq(value.mv_size, sizeof bytes);
	memcpy(bytes, value.mv_data, value.mv_size);
	bytes_put_u64(bytes, version);
	bytes_put_u64(bytes + value.mv_size - 8, XXH3_64bits(bytes, value.mv_size - 8));
	value.mv_data = bytes;
	cr_assert(mdb_put(txn, meta, &key, &value, 0) == 0 && mdb_txn_commit(txn) == 0);
	mdb_env_close(env);
}
