/* SPDX-License-Identifier: Apache-2.0
 *
 * The router's decisions: which operation goes to the coordinator, which is read here, which is refused; and what a row says to
 * a reader. Pure; the router keeps no state between messages. */
#ifndef GODWIT_ACTORS_ROUTER_ROUTER_H
#define GODWIT_ACTORS_ROUTER_ROUTER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/commit_entry.h"
#include "core/row.h"
#include "core/vector.h"
#include "proto/request.h"
#include "runtime/rights.h"
#include "runtime/topology.h"

/* The same numbers as enum Kind in client.proto. */
enum router_kind {
	ROUTER_PUT = 1,
	ROUTER_DELETE,
	ROUTER_GET,
	ROUTER_SCAN,
	ROUTER_DIGESTS,
	ROUTER_BUCKET,
	ROUTER_CONFLICTS,
	ROUTER_CONFLICT,
	ROUTER_REGION,
	ROUTER_TRANSACTION,
	ROUTER_IN_DOUBT,
	ROUTER_CHECK, /* a step only */
};
/* The same numbers as enum Level in client.proto. */
enum router_level { ROUTER_OWN, ROUTER_EVENTUAL, ROUTER_SESSION, ROUTER_CAUSAL, ROUTER_STRONG, ROUTER_STALE };

/* What only the coordinator can answer: writes, reads that ask a majority, what is in doubt. */
bool router_is_forwarded(const struct topology *topology, const struct request_operation *operation);

/* What one message asks for, before anything is done about it. */
struct router_plan {
	int code; /* not 0: the whole message is refused with it */
	uint32_t forwarded, others;
	uint32_t unpermitted; /* not counted above */
	uint64_t others_number_max;
	struct request request; /* stands before the first operation */
};
void router_plan(struct router_plan *plan, const struct topology *topology, const struct rights *rights, const uint8_t *bytes,
    size_t size, uint32_t protocol);

/* Does a client with these rights (NULL: none) may do that? A transaction needs the right for each of its steps. A kind that
 * there is not is nobody's to forbid: it is refused elsewhere. */
bool router_is_permitted(const struct rights *rights, const struct request_operation *operation);

/* Anything that is not forwarded. 0 with the keyspace (0 for what needs none), or the refusal with its reason (NULL: that of
 * the code).
 */
int router_check(
    const struct topology *topology, const struct request_operation *operation, uint16_t *keyspace, const char **reason);

/* What a reader of the row has seen: its next write with this version replaces all of it. */
void router_version(const struct row *row, struct vector *version);
/* The winner; NULL when the row is deleted or was never written. */
const struct sibling *router_winner(const struct row *row, enum strategy strategy, const uint32_t priority[static REGIONS_MAX]);
/* The same of a row of a strong keyspace. */
void router_answer_committed(struct answer *answer, const struct commit_row *row, uint8_t version[static COMMIT_VERSION_SIZE]);
/* Fills in code, value, version (encoded into `version`), hlc and siblings. The value stays borrowed from the row. */
void router_answer_row(struct answer *answer, const struct row *row, enum strategy strategy,
    const uint32_t priority[static REGIONS_MAX], uint8_t version[static VECTOR_ENCODED_MAX]);

#endif
