/* SPDX-License-Identifier: Apache-2.0
 *
 * Linearizability of one key: is there an order of the operations that respects real time (what ended before another started
 * comes first) and in which each sees what it saw? The key is absent at first.
 *
 * The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with the memory of Lowe ("Testing for
 * linearizability", 2017): a depth-first walk over pairs of (operations done, value), none visited twice. Left alone it is
 * exponential in the concurrency. Because values are unique, almost all choices can be ruled out (register_search.c). */
#ifndef GODWIT_CHECK_REGISTER_H
#define GODWIT_CHECK_REGISTER_H
#include <stdbool.h>
#include <stdint.h>

#include "check/verdict.h"

#define REGISTER_ANY     UINT32_MAX /* no condition */
#define REGISTER_NOTHING UINT32_MAX /* no effect */
#define REGISTER_ABSENT  0u

/* A get reads and writes nothing, a put writes, a delete writes REGISTER_ABSENT, a cas reads and writes, a cas that was refused
 * differs. An optional operation may be left out and, since it may take place for ever, has no end. */
struct register_operation {
	int64_t start_ns, end_ns; /* INT64_MAX: never ended */
	uint32_t reads;           /* must be there, or REGISTER_ANY */
	uint32_t differs;         /* must not be there, or REGISTER_ANY */
	uint32_t writes;          /* or REGISTER_NOTHING */
	bool optional;
	uint32_t source; /* the caller's */
};

struct register_fault {
	const char *reason;
	uint32_t involved[3]; /* numbers of operations */
	uint32_t involved_count;
};

/* FINE, VIOLATION with a fault, or TOO_HARD after `effort` looks at an operation. No value but REGISTER_ABSENT is written
 * twice (asserted). */
enum verdict register_check(
    const struct register_operation *operations, uint32_t count, uint64_t effort, struct register_fault *fault);

/* Makes a violation smaller: keep[i] is false for what can be left out with the rest still a violation by itself. */
void register_minimize(const struct register_operation *operations, uint32_t count, uint64_t effort, bool *keep);

#endif
