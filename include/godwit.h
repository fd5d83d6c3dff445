/* SPDX-License-Identifier: Apache-2.0
 *
 * libgodwit: write to any region, read from any region.
 *
 * A connection talks to one region. Each operation has a deadline. The library sends an operation that has no answer again,
 * under the same number and over a new connection if need be, until the deadline: a region applies a write at most once,
 * however often it is sent. Every operation ends with a code, and gw_outcome says what the code means for a write:
 *
 *   applied    the region has it on its disk (in a strong keyspace: a majority of the regions has)
 *   refused    certainly not applied, now or later
 *   unknown    the deadline passed, or the region forgot: the write may have been applied, or may yet be
 *
 * After an unknown outcome, read the key and decide by what is there, or write again only if to write twice does no harm (the
 * same value again does none, to add to a counter does). With GW_IF_VERSION a second try is harmless: a version is replaced
 * once, so if one of the two was applied, the other fails with GW_CHECK_FAILED.
 *
 * Threads: the library keeps no state between connections that a program sees. Several threads may each use a connection of
 * their own at the same time; one connection is for one thread at a time. A child made by fork uses none of its parent's
 * connections. The library installs no signal handler and prints nothing.
 *
 * Memory: the library copies all that it is given before a call returns. What a result or a row points to belongs to the
 * library; each call says how long it lives. All structs may be zeroed; zero stands for the default in each field of options.
 *
 * Units: times in milliseconds where a name ends in _ms, in nanoseconds of CLOCK_MONOTONIC where it ends in _ns; sizes in
 * bytes.
 *
 *   cc program.c $(pkg-config --cflags --libs godwit) */
#ifndef GODWIT_H
#define GODWIT_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Bytes: keys, values and versions ---- */

/* Any bytes, NUL included; borrowed. A key has 1 to 1024 bytes, a value at most 1 MiB. */
struct gw_bytes {
	const void *data; /* may be NULL if size is 0 */
	size_t size;
};

static inline struct gw_bytes gw_data(const void *data, size_t size)
{
	struct gw_bytes bytes;
	bytes.data = data;
	bytes.size = size;
	return bytes;
}

/* Of a text, without the NUL at its end. */
static inline struct gw_bytes gw_text(const char *text)
{
	return gw_data(text, strlen(text));
}

/* ---- Codes and outcomes ---- */

/* Every call that can fail returns one of these, and so does every result. A later release may add codes: decide by gw_outcome,
 * and treat a code that is not known like GW_UNKNOWN. "Refused" in the comments: certainly not applied. */
enum gw_code {
	GW_OK = 0,
	GW_NOT_FOUND = -1,         /* get: there is no such key; gw_connect: there is no such key file */
	GW_CHECK_FAILED = -2,      /* refused: a condition does not hold; read again */
	GW_USAGE = -3,             /* refused: the call makes no sense as it is; a mistake in the program */
	GW_KEY_TOO_LARGE = -4,     /* refused: the key is empty or has more than 1024 bytes */
	GW_VALUE_TOO_LARGE = -5,   /* refused: more than 1 MiB, or a transaction of more than about 1 MiB */
	GW_UNKNOWN_KEYSPACE = -6,  /* refused: the topology of the region has no such keyspace */
	GW_LEVEL_UNAVAILABLE = -7, /* refused: the keyspace does not take this level or operation */
	GW_CONTEXT_AHEAD = -8,     /* refused: `seen` names what this region has not got yet; try again in a moment */
	GW_OVERLOADED = -9,        /* refused: a queue is full; blocking calls try again by themselves until their deadline */
	GW_DISK_FULL = -10,        /* refused: no space; reads go on */
	GW_DRAINING = -11,         /* refused: the region takes no new writes; use another */
	GW_NO_QUORUM = -12,        /* refused: the region reaches no majority of the regions; use another, or wait */
	GW_MALFORMED = -13,        /* refused: bytes that are no version, or a message that cannot be read */
	GW_WRONG_VERSION = -14,    /* refused: the region runs a release with another protocol */
	GW_UNKNOWN = -15,          /* unknown: no answer until the deadline, or none that is certain */
	GW_UNREACHABLE = -16,      /* a read had no answer until its deadline; a write was never sent: refused */
	GW_IO = -17,               /* of the operating system: of gw_connect, the reason says what */
	GW_CORRUPT = -18,          /* a read: the region found damage */
	GW_SYNC_FAILED = -19,      /* the region could not write to its disk */
	GW_NO_MEMORY = -20,        /* refused: this process has no memory */
	GW_CLOCK_AHEAD = -21,      /* refused: the clock of the region is wrong; use another region */
	GW_FULL = -22,             /* refused: the pipeline is full, take results with gw_poll; or a transaction has no room */
	GW_EMPTY = -23,            /* a scan has no further row */
	GW_NEEDS_RESYNC = -24,     /* refused: the region misses rows, and knows it; use another */
	GW_REGION_REUSED = -25,    /* refused: the region lost its disk or was restored; use another */
	GW_CONFIGURATION = -26,    /* gw_connect: a key file cannot be trusted or read as a key; the reason says why */
	GW_UNSUPPORTED = -27,      /* refused: this region cannot do that */
	GW_EXPIRED = -28,          /* unknown: the write was sent again so late that the region forgot whether it was applied */
	GW_ROW_DAMAGED = -29,      /* a read: the copy of the row in this region is damaged; another region's is not */
	GW_NOT_MET = -40,          /* refused: the store of the region is new and has met no other region yet */
	GW_NOT_PERMITTED = -41     /* refused: the key of this client does not have the right */
};

/* "NO_QUORUM"; "INVALID_CODE" for a number that this release does not know. Static. */
const char *gw_error_name(int code);
/* "too few regions are reachable". Static. */
const char *gw_error_text(int code);

/* What a code says about a write, a delete or a transaction. A read changes nothing: GW_OK and GW_NOT_FOUND answer it, after
 * anything else it may be tried again. */
enum gw_outcome {
	GW_OUTCOME_APPLIED = 0, /* GW_OK */
	GW_OUTCOME_REFUSED = 1, /* certainly not applied, now or later */
	GW_OUTCOME_UNKNOWN = 2  /* may be applied, now or later: GW_UNKNOWN, GW_EXPIRED, a failing disk, a code not known */
};
enum gw_outcome gw_outcome(int code);

/* ---- Connections ---- */

struct gw_connection;

struct gw_options {
	const char *endpoint;  /* of the region: "tcp://127.0.0.1:7400" */
	const char *region;    /* its name; its public key is key_dir/REGION.public */
	const char *key_dir;   /* also holds client.secret and client.public; docs/operating.md says how they are made */
	uint32_t timeout_ms;   /* deadline of an operation that names none; 0: 5000 */
	uint32_t pipeline_max; /* operations submitted and not answered, 65536 at most; 0: 1024 */
	uint32_t batch_max;    /* operations in one message, 4096 at most; 0: 256 */
};

/* Fits the longest reason that gw_connect and gw_move give, and its NUL. */
#define GW_REASON_SIZE 320

/* Reads the keys and begins to connect; does not wait for the region: the first operation finds out whether it answers.
 * GW_OK: *connection is to be closed with gw_close. Otherwise *connection is NULL (GW_USAGE, GW_CONFIGURATION, GW_NOT_FOUND,
 * GW_IO, GW_NO_MEMORY), and reason (GW_REASON_SIZE bytes, or NULL) says why. */
int gw_connect(struct gw_connection **connection, const struct gw_options *options, char *reason);

/* Gives up what has no answer yet: its outcome is unknown. Frees what results point to. NULL is allowed. Transactions and scans
 * of the connection are to be freed before. */
void gw_close(struct gw_connection *connection);

/* Leaves the region for another one, with its name and endpoint. The library sends what has no answer yet there, under its
 * number: a strong keyspace applies it once, whichever regions it came to; other keyspaces cannot tell, and a write that had
 * been sent before ends with GW_EXPIRED. Call gw_poll before, for answers that are already there. On failure, with codes and
 * reason as of gw_connect, the connection stays where it is. */
int gw_move(struct gw_connection *connection, const char *endpoint, const char *region, char *reason);

/* ---- Results ---- */

enum gw_kind {
	GW_PUT = 1,
	GW_DELETE = 2,
	GW_GET = 3,
	GW_TRANSACTION = 10,
	GW_CHECK = 12 /* of a transaction only */
};

struct gw_result {
	int code;                /* enum gw_code */
	enum gw_kind kind;       /* of the operation */
	void *user;              /* as given to gw_submit_...; NULL in blocking calls */
	const char *reason;      /* one line for a person; "" with GW_OK, never NULL */
	struct gw_bytes value;   /* get: the value */
	struct gw_bytes version; /* opaque, GW_VERSION_SIZE_MAX bytes at most. get: of the row read. Writes: of what was
	                          * written; of a transaction, the version of each key that it wrote. A delete has one, too */
	uint64_t hlc;            /* of the write, or of the write that was read: milliseconds since 1970 << 16 | counter */
	uint64_t submitted_ns, answered_ns; /* 0 if it was refused before it was submitted */
	uint32_t siblings; /* get: values that stand side by side, 1 unless writes crossed; value is the one that won */
};

#define GW_VERSION_SIZE_MAX 188

/* ---- Reads and writes ---- */

/* Of a write in a strong keyspace; a condition in another keyspace is refused with GW_LEVEL_UNAVAILABLE or GW_UNSUPPORTED. */
enum gw_condition {
	GW_ALWAYS = 0,
	GW_IF_ABSENT = 1, /* there is no such key */
	GW_IF_VERSION = 2 /* the key still has the version `expected` */
};

/* Of a read: GW_LEVEL_OWN is the level of the keyspace, the others may only weaken it. GW_LEVEL_STALE shows whatever the region
 * holds, even where it knows that rows are missing and refuses every other read. */
enum gw_level {
	GW_LEVEL_OWN = 0,
	GW_LEVEL_EVENTUAL = 1,
	GW_LEVEL_SESSION = 2,
	GW_LEVEL_CAUSAL = 3,
	GW_LEVEL_STRONG = 4,
	GW_LEVEL_STALE = 5
};

struct gw_write_options {
	const char *keyspace; /* at most 63 bytes; NULL: "default" */
	uint32_t timeout_ms;  /* 0: the connection's */
	enum gw_condition condition;
	struct gw_bytes expected; /* with GW_IF_VERSION: the version from a result; empty otherwise */
	struct gw_bytes seen; /* eventual keyspaces only: the version from the result that this write replaces; what that read
	                       * had not seen stays beside this write. Empty: replace whatever the region holds */
};

struct gw_read_options {
	const char *keyspace; /* at most 63 bytes; NULL: "default" */
	uint32_t timeout_ms;  /* 0: the connection's */
	enum gw_level level;
};

/* Blocking: these return when the operation has ended, at its deadline at the latest, with the code that result->code has as
 * well. options and result may be NULL. What result points to lives until the next call with this connection. While submitted
 * operations are pending, blocking calls are refused with GW_USAGE. */
int gw_put(struct gw_connection *connection, struct gw_bytes key, struct gw_bytes value, const struct gw_write_options *options,
    struct gw_result *result);
int gw_delete(
    struct gw_connection *connection, struct gw_bytes key, const struct gw_write_options *options, struct gw_result *result);
int gw_get(
    struct gw_connection *connection, struct gw_bytes key, const struct gw_read_options *options, struct gw_result *result);

/* ---- Pipelined: many operations under way in one connection ---- */

/* Queue an operation and return at once; gw_poll sends it and gives its result, with `user` in it. GW_OK: there will be exactly
 * one result. Anything else: refused at once, and there will be none; with GW_FULL, call gw_poll and try again. Operations
 * under way at the same time are applied in any order. */
int gw_submit_put(struct gw_connection *connection, struct gw_bytes key, struct gw_bytes value,
    const struct gw_write_options *options, void *user);
int gw_submit_delete(struct gw_connection *connection, struct gw_bytes key, const struct gw_write_options *options, void *user);
int gw_submit_get(struct gw_connection *connection, struct gw_bytes key, const struct gw_read_options *options, void *user);

/* Sends what is queued, waits up to timeout_ms for a first result (0: does not wait), and calls `each` once for each result
 * that is there, in any order. What result points to lives until `each` returns. `each` may call gw_submit_... and
 * gw_pending, and nothing else with this connection. Returns the number of results; a signal ends the wait early. */
int gw_poll(struct gw_connection *connection, uint32_t timeout_ms, void (*each)(void *context, const struct gw_result *result),
    void *context);

/* Sends what is queued without waiting. GW_OVERLOADED: some could not be sent yet; gw_poll goes on with it. */
int gw_flush(struct gw_connection *connection);

/* Operations without a result. */
uint32_t gw_pending(const struct gw_connection *connection);

/* For one thread with several connections: a descriptor for poll(2) that becomes readable when gw_poll may have something to
 * do. It is edge-triggered, and a reconnect replaces it: call gw_poll with 0 until it returns 0, ask for the descriptor, and
 * wait for a few milliseconds at most. -1: none at the moment. The library owns it. */
int gw_fd(const struct gw_connection *connection);

/* ---- Scans ---- */

struct gw_scan;

struct gw_scan_options {
	const char *keyspace;  /* at most 63 bytes; NULL: "default" */
	uint32_t timeout_ms;   /* of each page; 0: the connection's */
	enum gw_level level;   /* a strong keyspace is scanned with GW_LEVEL_EVENTUAL only: the rows of this region */
	uint32_t page_rows;    /* asked for at a time; 0: 1000. The region may answer with fewer */
	struct gw_bytes after; /* begin behind this key; empty: with the first */
};

struct gw_row {
	struct gw_bytes key, value, version;
	uint64_t hlc;
	uint32_t siblings;
};

/* The rows whose keys begin with prefix (empty: all), in the order of their keys' bytes, page by page. Each page is one view of
 * the rows; between two pages others may write. Sends nothing yet, and has no pipelined form. GW_OK: *scan is to
 * be freed with gw_scan_free. */
int gw_scan_begin(
    struct gw_connection *connection, struct gw_bytes prefix, const struct gw_scan_options *options, struct gw_scan **scan);

/* GW_OK: the next row, which lives until the next call with this scan, whatever else is done with the connection. GW_EMPTY:
 * there is none. Anything else: why the next page could not be had (gw_scan_reason says more); to call again asks for that page
 * again. *row is set with GW_OK only. Blocking, as gw_get. */
int gw_scan_next(struct gw_scan *scan, struct gw_row *row);

/* One line about the last failure, "" without one; lives until the next call with this scan. */
const char *gw_scan_reason(const struct gw_scan *scan);

/* NULL is allowed. */
void gw_scan_free(struct gw_scan *scan);

/* ---- Transactions: puts, deletes and checks of strong keyspaces, all of them or none ---- */

struct gw_transaction;

/* Operations of one transaction; their keys and values may have about 1 MiB together. */
#define GW_OPERATIONS_MAX 256

struct gw_step_options {
	const char *keyspace; /* at most 63 bytes; NULL: "default" */
	enum gw_condition condition;
	struct gw_bytes expected; /* with GW_IF_VERSION: the version from a result; empty otherwise */
};

/* GW_PUT, GW_DELETE or GW_CHECK; value is of GW_PUT only. A check writes nothing: the transaction is applied only if its
 * condition holds. */
struct gw_operation {
	enum gw_kind kind;
	struct gw_bytes key, value;
	struct gw_step_options options;
};

/* timeout_secs: deadline of each commit; 0: 30. GW_OK: *transaction is to be freed with gw_transaction_free. */
int gw_begin_global_transaction(struct gw_connection *connection, uint32_t timeout_secs, struct gw_transaction **transaction);

/* Adds an operation; nothing is sent. A refusal leaves the transaction as it was: GW_FULL beyond GW_OPERATIONS_MAX,
 * GW_VALUE_TOO_LARGE beyond what one transaction may hold, GW_USAGE for a key that it has already, or a check without
 * condition. */
int gw_add_operation(struct gw_transaction *transaction, const struct gw_operation *operation);

/* The same, for each kind; options may be NULL, except for a check. */
int gw_transaction_put(
    struct gw_transaction *transaction, struct gw_bytes key, struct gw_bytes value, const struct gw_step_options *options);
int gw_transaction_delete(struct gw_transaction *transaction, struct gw_bytes key, const struct gw_step_options *options);
int gw_transaction_check(struct gw_transaction *transaction, struct gw_bytes key, const struct gw_step_options *options);

/* Blocking, as gw_put. GW_OK: all is applied, in every region at once for whoever reads it strongly. The transaction stays as
 * it is: after a refusal the same may be tried again. After GW_UNKNOWN too, but only if to apply it twice does no harm. */
int gw_commit_global(struct gw_transaction *transaction, struct gw_result *result);
/* Pipelined, as gw_submit_put; the transaction may be freed as soon as this returns. */
int gw_submit_commit_global(struct gw_transaction *transaction, void *user);

/* Does not undo what was committed. NULL is allowed. */
void gw_transaction_free(struct gw_transaction *transaction);

#ifdef __cplusplus
}
#endif
#endif
