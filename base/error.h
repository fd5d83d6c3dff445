/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of outcomes. Functions return 0 or a negative code from it; the same numbers travel in protobuf answers.
 * Columns: name, value, exit code of the CLI, what it says about a write, what it means to a person.
 * Exit codes: 0 done, 1 not found or a check failed, 2 usage, 3 refused (certainly not applied), 4 unknown, 5 unreachable.
 * A write that fails at a disk or memory of a region may be in its log: UNKNOWN, although no region answers so today. */
#ifndef GODWIT_BASE_ERROR_H
#define GODWIT_BASE_ERROR_H

#define ERROR_TABLE(X)                                                                                                         \
	X(OK, 0, 0, APPLIED, "done")                                                                                           \
	X(NOT_FOUND, -1, 1, REFUSED, "no such key")                                                                            \
	X(CHECK_FAILED, -2, 1, REFUSED, "a check failed")                                                                      \
	X(USAGE, -3, 2, REFUSED, "wrong use")                                                                                  \
	X(KEY_TOO_LARGE, -4, 3, REFUSED, "the key is empty or longer than 1024 bytes")                                         \
	X(VALUE_TOO_LARGE, -5, 3, REFUSED, "the value is longer than 1 MiB")                                                   \
	X(UNKNOWN_KEYSPACE, -6, 3, REFUSED, "no such keyspace")                                                                \
	X(LEVEL_UNAVAILABLE, -7, 3, REFUSED, "this consistency level is not available")                                        \
	X(CONTEXT_AHEAD, -8, 3, REFUSED, "the version given is ahead of what this region has seen")                            \
	X(OVERLOADED, -9, 3, REFUSED, "the region's queue is full; try again later")                                           \
	X(DISK_FULL, -10, 3, REFUSED, "the disk or its budget is full; reads go on")                                           \
	X(DRAINING, -11, 3, REFUSED, "the region is draining and takes no new writes")                                         \
	X(NO_QUORUM, -12, 3, REFUSED, "too few regions are reachable")                                                         \
	X(MALFORMED, -13, 3, REFUSED, "a message or record that cannot be read")                                               \
	X(WRONG_VERSION, -14, 3, REFUSED, "the other side speaks another protocol version")                                    \
	X(UNKNOWN_OUTCOME, -15, 4, UNKNOWN, "the outcome is not known; it may have happened")                                  \
	X(UNREACHABLE, -16, 5, REFUSED, "not reachable")                                                                       \
	X(IO, -17, 5, UNKNOWN, "an input or output error")                                                                     \
	X(CORRUPT, -18, 5, UNKNOWN, "stored data does not match its checksum")                                                 \
	X(SYNC_FAILED, -19, 5, UNKNOWN, "fdatasync failed; nothing of the group is acknowledged")                              \
	X(NO_MEMORY, -20, 5, REFUSED, "out of memory")                                                                         \
	X(CLOCK_AHEAD, -21, 3, REFUSED, "this region's clock is ahead of the majority's by more than max_clock_drift_ms")      \
	X(FULL, -22, 3, REFUSED, "no room")                                                                                    \
	X(EMPTY, -23, 1, REFUSED, "nothing there")                                                                             \
	X(NEEDS_RESYNC, -24, 3, REFUSED, "records that are missing here are no longer in any log")                             \
	X(REGION_REUSED, -25, 3, REFUSED, "a wiped or restored region came back under its old id")                             \
	X(CONFIGURATION, -26, 2, REFUSED, "a mistake in the configuration")                                                    \
	X(UNSUPPORTED, -27, 3, REFUSED, "not supported")                                                                       \
	X(NOT_MET, -40, 3, REFUSED, "this region's store is new and has met no other region yet")                              \
	X(NOT_PERMITTED, -41, 3, REFUSED, "the client's key does not have the right to do this")                               \
	X(EXPIRED, -28, 4, UNKNOWN, "a repeated request is older than the memory of answers")                                  \
	X(ROW_DAMAGED, -29, 3, REFUSED, "this region's copy of the row is damaged; ask another region")                        \
	X(ALREADY_RUNS, -30, 3, REFUSED, "another process does this already")

enum error_code {
#define X(name, value, exit_code, outcome, text) ERR_##name = value,
	ERROR_TABLE(X)
#undef X
};

/* What a code says about the write that it answers; a read changes nothing whatever its code. */
enum error_outcome { ERROR_OUTCOME_APPLIED, ERROR_OUTCOME_REFUSED, ERROR_OUTCOME_UNKNOWN };

/* Room for what the caller needs to print: filled once at the deepest place that knows. Caller owns it. */
struct error_context {
	char text[320];
};

const char *error_name(int code); /* "NO_QUORUM"; "INVALID_CODE" for a number outside the table */
const char *error_text(int code);
int error_exit_code(int code);
enum error_outcome error_outcome(int code); /* UNKNOWN for a number outside the table */
/* Writes the text and returns code, so that a failure is one line: return error_set(e, ERR_IO, "..."). e may be NULL. */
int error_set(struct error_context *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
