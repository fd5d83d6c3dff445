/* SPDX-License-Identifier: Apache-2.0
 *
 * The same question to every region at once, and what came back: for status and verify. */
#ifndef GODWIT_CMD_GODWIT_SURVEY_H
#define GODWIT_CMD_GODWIT_SURVEY_H
#include "cmd/godwit/cli.h"
#include "core/row.h"
#include "core/vector.h"

struct survey_keyspace {
	bool answered;
	struct digest buckets[DIGEST_BUCKETS];
	struct digest sum;
	struct vector applied; /* that the digests stand for */
	uint64_t live_rows;
};
struct survey_peer {
	uint32_t id;
	char state[16];    /* up, lagging, down, unknown */
	char outbound[16]; /* stream to it: down, subscribed, refused, needs_resync */
	char inbound[16];  /* stream from it */
	char inbound_reason[32];
	char key_refusal[16];   /* unknown, differs; empty: none */
	char outbound_held[64]; /* keyspace at whose record the stream to it stands; empty: none */
	bool inbound_held, lag_known;
	uint64_t round_trip_us, lag_records, lag_bytes, lag_ms, age_ms, silent_ms;
};
struct survey_region {
	const struct region *region;
	struct gw_connection *connection; /* NULL: not running */
	char reason[256];                 /* why something was not answered */
	bool answered;                    /* about itself */
	char refusing[32];                /* the code that all its writes are refused with; empty: none */
	char coordinator_state[16];
	uint64_t coordinator_silent_ms;
	struct vector applied;
	uint64_t live_rows, conflicts, conflicts_dropped, map_bytes, log_bytes, raw_bytes_sent, wire_bytes_sent, in_doubt;
	int64_t clock_ahead_ms;
	uint32_t clock_heard, clock_against;
	uint64_t records_ahead, records_ahead_ms;
	uint32_t peer_count;
	struct survey_peer peers[REGIONS_MAX];
	struct survey_keyspace *keyspaces; /* by place in the topology */
};
struct survey {
	struct cli *cli;
	uint32_t region_count;
	struct survey_region regions[REGIONS_MAX];
};

/* 0, or an exit code with the failure printed. */
int survey_open(struct survey *survey, struct cli *cli);
void survey_close(struct survey *survey);
/* Asks all regions; keyspaces: mask of those whose digests are wanted. Returns when all have answered, the time is over, or the
 * operator has interrupted it. */
void survey_ask(struct survey *survey, bool about, uint64_t keyspaces, uint32_t timeout_ms);
/* Keyspaces of a level that this version serves: eventual ones acknowledged here, and strong ones. */
uint64_t survey_keyspaces_served(const struct topology *topology);
struct digest survey_digest_sum(const struct survey_region *region, uint64_t keyspaces);
const char *survey_region_name(const struct survey *survey, uint32_t id); /* "?": not in the topology */
void digest_format(struct digest digest, char out[static 40]);
/* A word for the region as a whole and, if it is not "up", why, in words; reason may get empty. */
const char *survey_region_state(const struct survey *survey, const struct survey_region *region, char reason[static 256]);
/* Does it answer, however far it is behind? */
bool survey_peer_is_heard(const struct survey_peer *peer);
/* The same of the way from `region` to `peer`, both directions of it. */
const char *survey_peer_state(const struct survey_peer *peer, char reason[static 256]);
/* Have those regions that answer met each other: heartbeats, and streams both ways? *who: two that have not. */
bool survey_has_met(const struct survey *survey, char who[static 256]);

#endif
