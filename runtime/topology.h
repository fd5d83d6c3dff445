/* SPDX-License-Identifier: Apache-2.0
 *
 * The topology: who there is and what is promised, from YAML through libcyaml (INTERFACES, "Topology"). */
#ifndef GODWIT_RUNTIME_TOPOLOGY_H
#define GODWIT_RUNTIME_TOPOLOGY_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "core/record.h"
#include "core/row.h"
#include "core/vector.h"

#define NAME_SIZE_MAX 64

enum level { LEVEL_EVENTUAL, LEVEL_SESSION, LEVEL_CAUSAL, LEVEL_STRONG };
enum acknowledge { ACKNOWLEDGE_ONE, ACKNOWLEDGE_QUORUM, ACKNOWLEDGE_ALL };
/* By their values; the lists end with NULL. */
extern const char *const level_names[], *const strategy_names[], *const acknowledge_names[];
const char *level_name(enum level level);
const char *strategy_name(enum strategy strategy);
const char *acknowledge_name(enum acknowledge acknowledge);

struct region {
	char name[NAME_SIZE_MAX];
	char datacenter[NAME_SIZE_MAX];
	char host[NAME_SIZE_MAX]; /* of its one node; more nodes a region are refused today */
	char bind[NAME_SIZE_MAX]; /* the address of this machine that it listens on, where `host` is what others know (NAT); "":
	                             host */
	uint16_t port;
	uint8_t id;
	bool is_primary;
	uint32_t priority;
};
struct keyspace {
	char name[NAME_SIZE_MAX];
	enum level level;
	enum strategy strategy;
	enum acknowledge acknowledge;
	bool id_given; /* by the file, or by the region's catalog */
};
/* False for a place that holds none. */
static inline bool keyspace_is_there(const struct keyspace *keyspace)
{
	return keyspace->name[0] != 0;
}
struct topology {
	char cluster[NAME_SIZE_MAX];
	uint32_t region_count;
	struct region regions[REGIONS_MAX]; /* in the order of the file */
	/* [0] is "default". In a region's processes the index is the id on disk and wire (runtime/keyspaces.h), and a place may
	 * be empty: its name is "". As loaded, and in commands: ids that the file gives, and the file's order for the rest. */
	uint32_t keyspace_count; /* places, empty ones included */
	struct keyspace keyspaces[KEYSPACES_MAX];
	bool compression;
	uint32_t max_lag_ms, drain_factor;
	uint32_t cross_region_timeout_ms, max_clock_drift_ms, log_disk_mib;
	uint32_t priority_by_id[REGIONS_MAX];
};

/* Reports every mistake at once, one line each "file:line: what", to `mistakes` (may be NULL). NULL path: the built-in three
 * regions on loopback. ERR_CONFIGURATION when there was any. */
int topology_load(struct topology *topology, const char *path, FILE *mistakes, struct error_context *error);
/* The YAML of the built-in default. */
extern const char topology_default_yaml[];
const struct region *topology_region(const struct topology *topology, const char *name); /* NULL when unknown */
const struct region *topology_region_by_id(const struct topology *topology, uint32_t id);
int topology_region_index(const struct topology *topology, uint32_t id);  /* place in regions[]; -1 */
int topology_keyspace(const struct topology *topology, const char *name); /* id; -1. Empty name: 0 */
/* Of all that the definition below says. */
uint64_t topology_fingerprint(const struct topology *topology);
struct text;
/* What a topology means to other regions: a line for the cluster, each keyspace, each region, and encryption. */
void topology_definition(const struct topology *topology, struct text *out);
#define TOPOLOGY_DEFINITION_MAX (16u * 1024) /* larger than any: 64 keyspaces and 16 regions, their names 63 bytes each */

/* What must agree, so that a file can be changed in one region after the other (runtime/agreement.c):
 *  - cluster, regions (id and name) and encryption: for anything at all to be exchanged. Quorums count regions.
 *  - a keyspace's id, name, and whether it is strong: for its records, and for votes on its transactions. A region's stream to
 * one that has it otherwise, or not at all, stands at the first record of it, whatever follows (streams are in order); streams
 *    without such a record, and votes on other keyspaces, go on.
 *  - strategy, priorities, ack, and the level below strong: for nothing. They say which of the same siblings a region shows,
 * and what it waits for before it answers its own clients.
 *  - the rest is not in the definition. */
enum topology_agrees { TOPOLOGY_SAME, TOPOLOGY_ROLLS, TOPOLOGY_HOLDS, TOPOLOGY_APART };
struct topology_agreement {
	enum topology_agrees worst;
	uint64_t same;  /* keyspaces by id that both have with one name and kind */
	uint64_t other; /* that one of them has not, or otherwise */
	char what[256]; /* the first of the worst differences, with both sides' lines; "": none */
};
/* Of two definitions, this region's and one from outside (any text). */
void topology_agree(const char *here, const char *there, struct topology_agreement *out);
/* Of that without which nothing is exchanged. */
uint64_t topology_base_fingerprint(const struct topology *topology);
void topology_print(const struct topology *topology, FILE *out); /* the effective configuration as YAML */
void topology_json(const struct topology *topology, struct text *out);
/* Endpoint "tcp://host:port" of a service of region `to`; link_base != 0: through the link emulator of the machine, which
 * listens for each directed pair on 127.0.0.1 (link_port below). */
void topology_endpoint(const struct topology *topology, uint32_t from_id, uint32_t to_id, uint32_t service, uint16_t link_base,
    char out[static 128]);
/* Where a client on this machine finds the region: by the address that it binds if that is one of ours (from inside, the one
 * that others know may lead nowhere). Asks the resolver if there is a `bind`. */
void topology_client_endpoint(const struct region *region, char out[static 128]);
/* Do the emulator's ports for this many regions end before 65535? ERR_CONFIGURATION. Before link_port and topology_endpoint
 * with that base. */
int link_ports_check(const struct topology *topology, uint32_t link_base, struct error_context *error);
uint16_t link_port(const struct topology *topology, uint32_t from_id, uint32_t to_id, uint32_t service, uint16_t link_base);

#endif
