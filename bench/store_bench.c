// SPDX-License-Identifier: Apache-2.0
//
// The store alone: append, sync and apply as a coordinator does it, one thread and the log's own.
//   store-bench DIR [RECORDS [KEYS [VALUE_SIZE [GROUP]]]]
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "store/log.h"
#include "store/rows.h"

struct bench {
	struct log *log;
	struct log_reader *reader;
	struct rows *rows;
	uint64_t keys, group, sequence, state, append_ns, apply_ns, groups;
	size_t value_size;
	struct error_context error;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Of this thread alone, so that what else the machine does does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void must(const struct bench *b, int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, error_name(result), b->error.text);
	exit(1);
}

/* One group appended. Keys one after another while they are new, at random afterwards. */
static void group_append(struct bench *b, uint64_t records)
{
	static uint8_t value[VALUE_SIZE_MAX], bytes[RECORD_ENCODED_MAX];
	const uint64_t before = cpu_ns();
	uint64_t end;

	for (uint64_t i = 0; i < records; i++) {
		char key[32];
		const uint64_t number =
		    b->sequence < b->keys ? b->sequence * 2654435761u % b->keys : random_next(&b->state) % b->keys;
		struct record r = {
		    .dot = {.sequence = ++b->sequence}, .hlc = b->sequence << 16, .client_id = 1, .request = b->sequence};

		r.context.sequence[0] = b->sequence - 1;
		r.context.sequence[1] = r.context.sequence[2] = 1000000;
		r.key_size = (uint32_t)snprintf(key, sizeof(key), "user%012" PRIu64, number);
		r.key = (const uint8_t *)key;
		memcpy(value, &b->sequence, sizeof(b->sequence));
		r.value = value;
		r.value_size = (uint32_t)b->value_size;
		const long size = record_encode(&r, bytes, sizeof(bytes));
		int result;
		while ((result = log_append(b->log, LOG_RECORD, bytes, (size_t)size, &end)) == ERR_OVERLOADED) {
			log_flush(b->log);
			poll(&(struct pollfd){.fd = log_fd(b->log), .events = POLLIN}, 1, 1);
		}
		must(b, result, "append");
	}
	log_flush(b->log);
	b->append_ns += cpu_ns() - before;
}

static uint64_t group_apply(struct bench *b)
{
	struct apply_result applied;
	uint64_t durable;

	must(b, log_completed(b->log, &durable, &b->error), "sync");
	if (durable <= rows_meta_now(b->rows)->applied_lsn)
		return 0;
	const uint64_t before = cpu_ns();
	must(b, rows_apply_log(b->rows, b->reader, durable, 4096, 0, NULL, NULL, &applied, &b->error), "apply");
	b->apply_ns += cpu_ns() - before;
	b->groups++;
	return applied.records;
}

/* Appends and applies; at most a few groups are on their way, as with clients that wait for their answers. */
static void phase(struct bench *b, const char *name, uint64_t records)
{
	const uint64_t start = now_ns(), syncs = log_sync_count(b->log);
	uint64_t appended = 0, applied = 0;

	b->append_ns = b->apply_ns = b->groups = 0;
	while (applied < records) {
		const uint64_t n = records - appended < b->group ? records - appended : b->group;
		if (n > 0 && appended - applied < 16 * b->group) {
			group_append(b, n);
			appended += n;
		} else {
			poll(&(struct pollfd){.fd = log_fd(b->log), .events = POLLIN}, 1, 100);
		}
		applied += group_apply(b);
	}
	const double seconds = (double)(now_ns() - start) / 1e9, count = (double)records;
	printf("%-8s %9.0f records/s; CPU a record: append %.2f us, apply %.2f us; %.0f records a sync, %.0f a transaction\n",
	    name, count / seconds, (double)b->append_ns / count / 1e3, (double)b->apply_ns / count / 1e3,
	    count / (double)(log_sync_count(b->log) - syncs), count / (double)b->groups);
}

static uint64_t argument(int argc, char **argv, int index, uint64_t otherwise)
{
	return argc > index ? strtoull(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct bench b = {.state = 88172645463325252u};
	char log_dir[256], rows_dir[256];
	struct log_recovered found;

	if (argc < 2) {
		fprintf(stderr, "usage: store-bench EMPTY_DIR [RECORDS [KEYS [VALUE_SIZE [GROUP]]]]\n");
		return 2;
	}
	const uint64_t records = argument(argc, argv, 2, 1000000);
	b.keys = argument(argc, argv, 3, 1000000);
	b.value_size = argument(argc, argv, 4, 100);
	b.group = argument(argc, argv, 5, 256);
	if (b.keys == 0 || b.group == 0 || b.value_size < 8 || b.value_size > VALUE_SIZE_MAX) {
		fprintf(stderr, "store-bench: the value size is 8 to %u, keys and group at least 1\n", VALUE_SIZE_MAX);
		return 2;
	}
	snprintf(log_dir, sizeof(log_dir), "%s/log", argv[1]);
	snprintf(rows_dir, sizeof(rows_dir), "%s/rows", argv[1]);
	if (mkdir(log_dir, 0700) < 0 || mkdir(rows_dir, 0700) < 0) {
		perror(argv[1]);
		return 1;
	}
	const struct rows_options rows_options = {.dir = rows_dir, .keyspaces = 1};
	must(&b, rows_open(&b.rows, &rows_options, &b.error), "rows");
	struct log_options log_options = {.dir = log_dir};
	memcpy(log_options.store_id, rows_meta_now(b.rows)->store_id, sizeof(log_options.store_id));
	must(&b, log_open(&b.log, &log_options, &found, &b.error), "log");
	must(&b, log_reader_open(&b.reader, log_dir, &b.error), "reader");
	phase(&b, "load", b.keys);
	phase(&b, "update", records);
	printf(
	    "rows %.0f MiB, log %.0f MiB\n", (double)rows_map_bytes(b.rows) / 1048576, (double)log_disk_bytes(b.log) / 1048576);
	log_reader_close(b.reader);
	log_close(b.log);
	rows_close(b.rows);
	return 0;
}
