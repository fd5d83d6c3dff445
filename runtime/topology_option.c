/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/topology_option.h"

#include <assert.h>
#include <string.h>

#include "runtime/topology.h"

#define PRIORITY_MAX 1000000u
/* Three segments of the default size: the one that is written, the next, and one that is dropped when a snapshot covers it. */
#define LOG_DISK_MIB_MIN 192u
#define DAY_MS           86400000u

static const char *const booleans[] = {"false", "true", NULL};
static const char *const modes[] = {"active_active", NULL};
static const char *const compressions[] = {"none", "lz4", NULL};
/* Without encryption anybody who can reach a port could write. */
static const char *const encryptions[] = {"curve", NULL};

const char *const topology_section_names[SECTIONS] = {"", "regions", "replication", "limits", "keyspaces"};

_Static_assert(REGIONS_MAX == 16 && KEYSPACES_MAX == 64, "the ids as the rows tell them");

#define MUST "none: must be given"
#define NAME "a-z, 0-9 and -, at most 40"
#define ROW(section_, key_, type_, ...)                                                                                        \
	{                                                                                                                      \
		.section = SECTION_##section_, .key = key_, .type = TOPOLOGY_##type_, __VA_ARGS__                              \
	}
#define FIELD(structure, member) .offset = offsetof(struct structure, member), .size = sizeof(((struct structure *)0)->member)

const struct topology_option topology_options[] = {
    ROW(TOPOLOGY, "cluster", OWN, .values = NAME, .shown = MUST,
        .meaning = "regions of different clusters never exchange anything"),
    ROW(REGION, "name", OWN, .values = NAME, .shown = MUST, .meaning = "also that of its folder and its key; not `client`"),
    ROW(REGION, "id", OWN, .values = "0 to 15", .shown = MUST,
        .meaning = "stored in every row: for good, and of one region only"),
    ROW(REGION, "datacenter", OWN, .values = "text, at most 63 bytes", .shown = "empty",
        .meaning = "for people: shown, not acted on"),
    ROW(REGION, "nodes", LIST, .values = "one `host:port`; IPv6 in brackets", .shown = MUST,
        .meaning = "where clients connect; peers take the four ports behind it"),
    ROW(REGION, "bind", OWN, .values = "an address, a host name, or `*`", .shown = "the node's host",
        .meaning = "what the region listens on, where `nodes` is what others know (NAT)"),
    ROW(REGION, "is_primary", WORD, FIELD(region, is_primary), .words = booleans,
        .meaning = "at most one: where commands without `-r` go if several regions run on the machine"),
    ROW(REGION, "priority", NUMBER, FIELD(region, priority), .low = 0, .high = PRIORITY_MAX,
        .meaning = "in keyspaces with the strategy `priority` the highest wins"),
    ROW(REPLICATION, "mode", WORD, .words = modes, .meaning = "every region takes writes"),
    ROW(REPLICATION, "compression", WORD, FIELD(topology, compression), .words = compressions, .otherwise = true,
        .meaning = "of the streams between regions"),
    ROW(REPLICATION, "encryption", WORD, .words = encryptions, .meaning = "of every connection over TCP"),
    ROW(REPLICATION, "max_lag_ms", NUMBER, FIELD(topology, max_lag_ms), .low = 1, .high = DAY_MS, .otherwise = 5000,
        .meaning = "a region that is further behind is `lagging`"),
    ROW(REPLICATION, "drain_factor", NUMBER, FIELD(topology, drain_factor), .low = 1, .high = 1000, .otherwise = 2,
        .meaning = "a region that is further behind than so many times max_lag_ms is `drained`"),
    ROW(LIMITS, "cross_region_timeout_ms", NUMBER, FIELD(topology, cross_region_timeout_ms), .low = 0, .high = 600000,
        .meaning = "the longest that a strong operation may take; 0: as long as its client waits"),
    ROW(LIMITS, "max_clock_drift_ms", NUMBER, FIELD(topology, max_clock_drift_ms), .low = 1, .high = DAY_MS, .otherwise = 500,
        .meaning = "a region whose clock is further ahead of the majority's refuses its own writes"),
    ROW(LIMITS, "log_disk_mib", NUMBER, FIELD(topology, log_disk_mib), .low = LOG_DISK_MIB_MIN, .high = 1u << 30,
        .otherwise = 4096,
        .meaning = "of a region's log; a region that is away for longer than that reaches back needs a resync"),
    ROW(KEYSPACE, "name", OWN, .values = NAME, .shown = MUST, .meaning = "`default` is always there: eventual, lww, one"),
    ROW(KEYSPACE, "id", OWN, .values = "1 to 63", .shown = "the region's own, kept with its rows",
        .meaning = "stored in every row: a name may change, an id may not"),
    ROW(KEYSPACE, "level", WORD, FIELD(keyspace, level), .words = level_names, .otherwise = LEVEL_EVENTUAL,
        .meaning = "what its readers are promised"),
    ROW(KEYSPACE, "strategy", WORD, FIELD(keyspace, strategy), .words = strategy_names, .otherwise = STRATEGY_LWW,
        .meaning = "who wins where writes crossed: the last, the first, or the region with the highest priority"),
    ROW(KEYSPACE, "ack", WORD, FIELD(keyspace, acknowledge), .words = acknowledge_names, .otherwise = ACKNOWLEDGE_ONE,
        .shown = "quorum if strong, else one", .meaning = "on how many regions' disks a write is when it is answered"),
};
const uint32_t topology_option_count = sizeof topology_options / sizeof *topology_options;

uint32_t topology_section_options(enum topology_section section, uint32_t places[static SECTION_OPTIONS_MAX])
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < topology_option_count; i++) {
		if (topology_options[i].section != section)
			continue;
		assert(count < SECTION_OPTIONS_MAX);
		places[count++] = i;
	}
	return count;
}

uint32_t topology_option_get(const struct topology_option *option, const void *base)
{
	uint32_t value = option->otherwise;
	uint8_t small = 0;
	const void *field = (const char *)base + option->offset;
	if (option->size == sizeof value)
		memcpy(&value, field, sizeof value);
	if (option->size == sizeof small) {
		memcpy(&small, field, sizeof small);
		value = small;
	}
	return value;
}

void topology_option_set(const struct topology_option *option, void *base, uint32_t value)
{
	uint8_t small = (uint8_t)value;
	void *field = (char *)base + option->offset;
	assert(option->size == 0 || option->size == sizeof value || (option->size == sizeof small && value <= UINT8_MAX));
	if (option->size == sizeof value)
		memcpy(field, &value, sizeof value);
	if (option->size == sizeof small)
		memcpy(field, &small, sizeof small);
}

bool topology_option_is_boolean(const struct topology_option *option)
{
	return option->words == booleans;
}

void topology_options_print(FILE *out)
{
	fprintf(out, "| section | option | values | default | meaning |\n|---|---|---|---|---|\n");
	for (uint32_t i = 0; i < topology_option_count; i++) {
		const struct topology_option *o = &topology_options[i];
		fprintf(out, "| %s | `%s` | ", topology_section_names[o->section], o->key);
		if (o->type == TOPOLOGY_NUMBER)
			fprintf(out, "%u to %u", o->low, o->high);
		for (uint32_t w = 0; o->words && o->words[w]; w++)
			fprintf(out, "%s%s", w ? ", " : "", o->words[w]);
		fprintf(out, "%s | ", o->values ? o->values : "");
		if (o->shown)
			fprintf(out, "%s", o->shown);
		else if (o->words)
			fprintf(out, "%s", o->words[o->otherwise]);
		else
			fprintf(out, "%u", o->otherwise);
		fprintf(out, " | %s |\n", o->meaning);
	}
}
