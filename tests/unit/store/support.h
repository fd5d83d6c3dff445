/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the store share: directories, records, and waiting. Everything that fails here ends the test. */
#ifndef GODWIT_TESTS_STORE_SUPPORT_H
#define GODWIT_TESTS_STORE_SUPPORT_H
#include "store/log.h"
#include "store/rows.h"

#define SMALL_SEGMENT (64u * 1024)

struct place {
	char dir[128]; /* as a region's: log/ rows/ snapshots/ below */
	char log[160], rows[160];
};
void place_make(struct place *place);
void place_remove(struct place *place);
/* A boot id file in it, so that a test can play another boot. */
void place_boot(const struct place *place, char digit);

struct log_options log_options_small(const struct place *place);
struct log *log_start(const struct place *place, const struct log_options *options, struct log_recovered *found);

/* Appends a record; context: what it replaces (NULL: everything of its own region before it). Value as text; NULL: tombstone.
 */
struct write {
	uint8_t region;
	uint64_t sequence;
	uint16_t keyspace;
	const char *key, *value;
	const struct vector *context;
	uint64_t hlc;
};
size_t write_encode(const struct write *write, uint8_t *out, size_t capacity);
int append(struct log *log, const struct write *write, uint64_t *end_lsn); /* waits while the buffer is full */
/* Any entry, and a COMMIT entry as a record of that region's stream; both wait while the buffer is full, and tell its end. */
uint64_t append_entry(struct log *log, enum log_type type, const void *bytes, size_t size);
uint64_t append_streamed(struct log *log, uint8_t origin, uint64_t sequence, const void *entry, size_t size);
uint64_t wait_durable(struct log *log, uint64_t lsn);

struct rows *rows_start(const struct place *place, const struct rows_options *options);
struct rows_options rows_options_default(const struct place *place);
/* Applies all of the log up to limit. */
struct apply_result apply_all(struct rows *rows, const struct place *place, uint64_t limit);
/* Fails unless digests and live rows of the keyspace are what a scan gives. */
void digests_check(struct rows *rows, uint16_t keyspace);
void digests_take(struct rows *rows, uint16_t keyspace, struct digest out[static DIGEST_BUCKETS]);

uint64_t random_next(uint64_t *state);

/* So many writes in log and rows of the place, as another process left them; `make` says what each is (borrowed until the
 * next). */
void place_fill(const struct place *place, uint32_t count, void (*make)(uint32_t number, struct write *out));

/* The rows of the place say that their format is this one; nobody has them open. */
void rows_version_set(const struct place *place, uint64_t version);

#endif
