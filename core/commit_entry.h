/* SPDX-License-Identifier: Apache-2.0
 *
 * What a strong commit writes: names of transactions, their operations, the entries of the log, and the row that comes out.
 * Pure encodings and one merge, so that the store applies a commit without knowing how it was reached (docs/spec).
 *
 * Body, the same bytes in messages and entries:
 *   u8 2 | u8 ack all | u64 born | u64 since | u16 requests | (u64 client, u64 number, u64 first ms)... | u16 operations |
 * operation... operation: u8 kind | u8 condition | u16 keyspace | u16 share | u16 key size | key | u32 value size | value |
 *              with IF_VERSION: u64 hlc, u8 region, u16 share
 *   One operation a key, whatever number of requests wrote it: the share is that of the request whose write stays.
 * Entry: head, then a body where there is one:
 *   u64 hlc | u8 region | u64 ballot | u8 value | u8 flags (1: own lock, 2: a body follows, 4: with voters) | u16 previous |
 *   (u64 hlc, u8 region)... | u16 voters
 * Row, under its key in the same table as those of other levels; the first byte is one that no encoded vector begins with:
 *   u8 0xff | previous (u64 hlc, u8 region) | stamp (the same) | version (u64 hlc, u8 region, u16 share) | u8 live | value
 * All numbers little endian. */
#ifndef GODWIT_CORE_COMMIT_ENTRY_H
#define GODWIT_CORE_COMMIT_ENTRY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/record.h"

#define COMMIT_OPERATIONS_MAX     256u
#define COMMIT_REQUESTS_MAX       256u /* that share one transaction */
#define COMMIT_BODY_MAX           (VALUE_SIZE_MAX + 256u * 1024)
#define COMMIT_HEAD_MAX           (8u + 1 + 8 + 1 + 1 + 2 + COMMIT_OPERATIONS_MAX * 9 + 2)
#define COMMIT_BODY_BEGIN_SIZE    20u
#define COMMIT_REQUEST_NAME_SIZE  24u
#define COMMIT_OPERATION_SHARE_AT 4u

/* Names a transaction and, with share, the versions it makes. Ordered by HLC, then region: the order of commits. */
struct commit_id {
	uint64_t hlc;
	uint16_t share; /* which of the requests that share the transaction; 0 in a transaction's name */
	uint8_t region;
};
static inline int commit_id_compare(struct commit_id a, struct commit_id b)
{
	if (a.hlc != b.hlc)
		return a.hlc < b.hlc ? -1 : 1;
	return a.region != b.region ? (a.region < b.region ? -1 : 1) : 0;
}
static inline bool commit_id_equal(struct commit_id a, struct commit_id b)
{
	return a.hlc == b.hlc && a.region == b.region;
}

enum commit_kind { COMMIT_PUT = 1, COMMIT_DELETE, COMMIT_CHECK /* a version check alone: raises the stamp */ };
enum commit_condition { COMMIT_ALWAYS, COMMIT_IF_ABSENT, COMMIT_IF_VERSION };
struct commit_operation {
	uint8_t kind, condition;
	uint16_t keyspace;
	uint16_t share; /* of the version that it makes: which of the body's requests; of a check 0 */
	uint32_t key_size, value_size;
	const uint8_t *key, *value; /* borrowed */
	struct commit_id expected;
};

/* What became of a transaction, or what is proposed for it. */
enum commit_value { COMMIT_UNDECIDED, COMMIT_ABORTED, COMMIT_COMMITTED };

/* Types of entries; the numbers are those of the log (store/log.h). */
enum commit_entry {
	COMMIT_ENTRY_PREPARE = 16, /* this region's YES (or, of its own transaction, its lock) */
	COMMIT_ENTRY_PROMISE = 17,
	COMMIT_ENTRY_ACCEPT = 18,
	COMMIT_ENTRY_COMMIT = 19, /* a decision; apply its operations to the rows in one transaction */
	COMMIT_ENTRY_ABORT = 20,  /* a decision */
	COMMIT_ENTRY_BOUND = 21,  /* u64: no stamp above it was given out */
};

/* ---- rows ---- */

/* A row as committed. stamp: last transaction that touched it (a check does); version: last that wrote it. Each is a maximum,
 * so commits may arrive in any order. previous: the stamp that the newest stamp replaced. All zero: never written. */
struct commit_row {
	struct commit_id stamp, version, previous;
	bool live;            /* has a value */
	const uint8_t *value; /* borrowed */
	uint32_t value_size;
};
/* What a COMMIT does to a row; true when it changed anything. */
bool commit_row_apply(
    struct commit_row *row, struct commit_id id, struct commit_id previous, const struct commit_operation *operation);

#define COMMIT_ROW_MARK       0xffu
#define COMMIT_ROW_OVERHEAD   31u
#define COMMIT_ROW_UNDIGESTED 10u /* mark and previous: who finished a transaction may know less of what it replaced */
static inline bool commit_row_is(const uint8_t *bytes, size_t size)
{
	return size && bytes[0] == COMMIT_ROW_MARK;
}
static inline size_t commit_row_size(const struct commit_row *row)
{
	return COMMIT_ROW_OVERHEAD + (row->live ? row->value_size : 0);
}
void commit_row_encode(const struct commit_row *row, uint8_t *out); /* commit_row_size bytes */
/* 0 or ERR_MALFORMED. The value is borrowed. */
int commit_row_decode(struct commit_row *row, const uint8_t *bytes, size_t size);

/* ---- versions, as clients hold them ---- */

#define COMMIT_VERSION_SIZE     12u
#define COMMIT_VERSION_TEXT_MAX 48u
void commit_version_encode(struct commit_id version, uint8_t out[static COMMIT_VERSION_SIZE]);
int commit_version_decode(struct commit_id *version, const uint8_t *bytes, size_t size); /* 0 or ERR_MALFORMED */
/* "MILLISECONDS.COUNTER@REGION", with "/SHARE" when that is not 0. */
void commit_version_format(struct commit_id version, char out[static COMMIT_VERSION_TEXT_MAX]);
int commit_version_parse(struct commit_id *version, const char *text); /* 0 or ERR_MALFORMED */

/* ---- bodies and entries ---- */

struct commit_body {
	const uint8_t *bytes; /* borrowed */
	uint32_t size;
	bool ack_all;
	uint64_t born;  /* the coordinator's incarnation: stamp below all of its transactions */
	uint64_t since; /* as its region's clock of strong stamps read when its oldest request came; the older goes first */
	uint32_t request_count, operation_count;
	uint32_t requests_at, operations_at;
};
struct commit_request_name {
	uint64_t client_id, number;
	uint64_t after; /* of the clock of strong stamps, read before the request was first sent: its commit has a later stamp;
	                   0: not known */
};
/* Checks everything, caps included: 0 or ERR_MALFORMED. */
int commit_body_open(struct commit_body *body, const uint8_t *bytes, size_t size);
/* Walk: *at starts at requests_at or operations_at of an opened body. */
void commit_body_request(const struct commit_body *body, uint32_t *at, struct commit_request_name *name);
void commit_body_operation(const struct commit_body *body, uint32_t *at, struct commit_operation *operation);
uint64_t commit_body_keyspaces(const struct commit_body *body); /* that its operations are on, as a mask */

struct commit_head {
	struct commit_id id;
	uint64_t ballot;
	uint8_t value;
	bool own_lock;
	uint16_t voters; /* of an accepted COMMIT: regions whose YES was seen */
	uint32_t previous_count;
	struct commit_id previous[COMMIT_OPERATIONS_MAX]; /* of COMMIT: what each operation replaced */
};
/* Splits an entry. body->bytes is NULL when it has none. */
int commit_entry_open(const uint8_t *bytes, size_t size, struct commit_head *head, struct commit_body *body);

/* Writing what the above reads. */
size_t commit_operation_size(const struct commit_operation *operation);
uint8_t *commit_operation_put(uint8_t *out, const struct commit_operation *operation);
/* Up to the requests; then follow their names, u16 operations, and the operations. */
uint8_t *commit_body_begin(uint8_t *out, bool ack_all, uint64_t born, uint64_t since, uint32_t request_count);
uint8_t *commit_request_name_put(uint8_t *out, const struct commit_request_name *name);
size_t commit_head_put(uint8_t *out, const struct commit_head *head, bool has_body);

#endif
