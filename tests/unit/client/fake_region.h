/* SPDX-License-Identifier: Apache-2.0
 *
 * A region that does what a test tells it: a ROUTER with CURVE in a thread of its own. Every request that arrives is noted; a
 * script decides what happens to each copy of each operation. */
#ifndef GODWIT_TESTS_CLIENT_FAKE_REGION_H
#define GODWIT_TESTS_CLIENT_FAKE_REGION_H
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/admin.h"
#include "proto/client.pb-c.h"

#define SEEN_MAX 8192u

struct seen {
	uint64_t number, settled, age_ms, client_id, token;
	uint32_t kind, timeout_ms, condition, level, steps, limit;
	bool moved;
	uint32_t copy; /* 1 for the first time that this number came */
	char key[64], value[64], after[64], context[64], expected[64], keyspace[64];
};
enum what { ANSWER_OK, ANSWER_NOTHING, ANSWER_TWICE, ANSWER_GARBAGE, ANSWER_CODE, ANSWER_CODE_OF_NONE, ANSWER_PROTOCOL };
struct reaction {
	enum what what;
	int code;
};
struct fake_region {
	char dir[64];
	char endpoint[64];
	/* Called in the region's thread for each operation. */
	struct reaction (*script)(struct fake_region *fake, const struct seen *seen);
	_Atomic int phase; /* for scripts */
	uint64_t token;    /* in the next answer: for scripts */
	uint32_t rows;     /* of a scan: PREFIX00, PREFIX01 and so on, with values of their own */
	bool rows_again;   /* each page begins with the first row */
	_Atomic bool stop;
	_Atomic uint32_t seen_count, rebind, operations_most; /* in one message */
	struct seen seen[SEEN_MAX];
	pthread_t thread;
};

/* Makes keys in a directory of its own and starts the thread. */
void fake_start(struct fake_region *fake, struct reaction (*script)(struct fake_region *, const struct seen *));
void fake_stop(struct fake_region *fake);
/* Closes the listening socket and opens it again on the same port: connections are lost. */
void fake_drop_connections(struct fake_region *fake);
struct gw_connection *fake_connect(struct fake_region *fake, uint32_t timeout_ms, uint32_t pipeline_max, uint32_t batch_max);
/* Makes another region's key known to the clients of this one, under that name. */
void fake_know(struct fake_region *fake, const struct fake_region *other, const char *name);
/* Copies of operations of that number that arrived. */
uint32_t fake_copies(struct fake_region *fake, uint64_t number);

#endif
