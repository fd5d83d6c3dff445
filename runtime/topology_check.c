/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/topology.h"
#include "runtime/topology_file.h"
#include "shm/layout.h"

#define NAME_LENGTH_MAX 40u

struct check {
	struct topology *topology;
	const struct topology_file *file;
	struct mistakes *mistakes;
};
/* Where a value stands. */
struct place {
	const char *section;
	int index;
	const char *key;
};

static uint32_t line_of(const struct check *check, struct place place)
{
	return topology_file_line(check->file, place.section, place.index, place.key);
}
#define WRONG(check, place, ...) mistake_add((check)->mistakes, line_of(check, place), __VA_ARGS__)

/* False, with the mistake told, when it is none. */
static bool check_number(
    const struct check *check, struct place place, const char *text, uint32_t low, uint32_t high, uint32_t *out)
{
	uint64_t value = 0;
	size_t digits = text ? strspn(text, "0123456789") : 0;
	if (!text)
		return true; /* the default stays */
	if (digits > 0 && digits <= 10 && !text[digits])
		sscanf(text, "%10" SCNu64, &value);
	else
		digits = 0;
	if (digits == 0 || value < low || value > high) {
		WRONG(check, place, "%s: '%.40s' is not a number from %u to %u", place.key, text, low, high);
		return false;
	}
	*out = (uint32_t)value;
	return true;
}

/* The index of the word; the option's default when there is no text, and after telling the mistake. */
static uint32_t check_word(
    const struct check *check, struct place place, const char *text, const struct topology_option *option)
{
	char list[128] = "";
	for (uint32_t i = 0; text && option->words[i]; i++) {
		if (strcmp(option->words[i], text) == 0)
			return i;
		size_t size = strlen(list);
		snprintf(list + size, sizeof list - size, "%s%s", i ? ", " : "", option->words[i]);
	}
	if (text)
		WRONG(check, place, "%s: '%.40s' is none of %s", place.key, text, list);
	return option->otherwise;
}

/* The numbers and words of a section, into `base`; the default where the file gives none. */
static void check_options(
    const struct check *check, enum topology_section section, int index, const struct raw_section *raw, void *base)
{
	uint32_t places[SECTION_OPTIONS_MAX], count = topology_section_options(section, places);
	for (uint32_t i = 0; i < count; i++) {
		const struct topology_option *option = &topology_options[places[i]];
		struct place place = {topology_section_names[section], index, option->key};
		uint32_t value = option->otherwise;
		if (option->type == TOPOLOGY_NUMBER)
			check_number(check, place, raw->text[i], option->low, option->high, &value);
		else if (option->type == TOPOLOGY_WORD)
			value = check_word(check, place, raw->text[i], option);
		else
			continue;
		topology_option_set(option, base, value);
	}
}

static bool check_name(
    const struct check *check, struct place place, const char *text, const char *what, char out[NAME_SIZE_MAX])
{
	if (!text || !*text) {
		WRONG(check, place, "%s: %s is missing", what, place.key);
		return false;
	}
	size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (text[length] || length > NAME_LENGTH_MAX) {
		WRONG(check, place, "%s: '%.60s' is no name (a-z, 0-9 and -, at most %u)", what, text, NAME_LENGTH_MAX);
		return false;
	}
	memcpy(out, text, length + 1);
	return true;
}

/* A name, an IPv4 address, or an IPv6 address in brackets. */
static bool is_host(const char *text, size_t size)
{
	size_t plain = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	bool is_v6 =
	    text[0] == '[' && size > 2 && text[size - 1] == ']' && strspn(text + 1, "0123456789abcdefABCDEF:.") == size - 2;
	return size != 0 && size < NAME_SIZE_MAX && (plain >= size || is_v6);
}

/* "host:port" or "[v6]:port". */
static void check_node(const struct check *check, struct place place, const char *node, struct region *region)
{
	const char *colon = strrchr(node, ':');
	uint32_t port = 0;
	size_t host_size = colon ? (size_t)(colon - node) : 0;
	if (!is_host(node, host_size)) {
		WRONG(check, place, "nodes: '%.60s' is not host:port", node);
		return;
	}
	if (!check_number(check, place, colon + 1, 1, 65535 - (SERVICES - 1), &port))
		return;
	memcpy(region->host, node, host_size);
	region->host[host_size] = 0;
	region->port = (uint16_t)port;
}

static void check_region_fields(const struct check *check, int i, const struct raw_section *raw, struct region *region)
{
	uint32_t id = REGIONS_MAX;
	check_name(check, (struct place){"regions", i, "name"}, raw_text(raw, SECTION_REGION, "name"), "region", region->name);
	/* Also the name of the clients' key pair. */
	if (strcmp(region->name, "client") == 0)
		WRONG(check, ((struct place){"regions", i, "name"}), "region: the name 'client' is taken by the clients' keys");
	const char *id_text = raw_text(raw, SECTION_REGION, "id"), *datacenter = raw_text(raw, SECTION_REGION, "datacenter");
	if (!id_text)
		WRONG(check, ((struct place){"regions", i, NULL}), "region: id is missing");
	check_number(check, (struct place){"regions", i, "id"}, id_text, 0, REGIONS_MAX - 1, &id);
	region->id = (uint8_t)id;
	if (datacenter && strlen(datacenter) >= sizeof region->datacenter)
		WRONG(check, ((struct place){"regions", i, "datacenter"}), "datacenter: longer than %zu bytes",
		    sizeof region->datacenter - 1);
	else if (datacenter)
		memcpy(region->datacenter, datacenter, strlen(datacenter) + 1);
	struct place nodes = {"regions", i, "nodes"};
	if (raw->list_count == 0)
		WRONG(check, nodes, "region: nodes is missing");
	else if (raw->list_count > 1)
		WRONG(check, nodes, "nodes: %u given; one node a region for now", raw->list_count);
	else
		check_node(check, nodes, raw->list[0], region);
	const char *bind = raw_text(raw, SECTION_REGION, "bind");
	if (bind && (is_host(bind, strlen(bind)) || strcmp(bind, "*") == 0))
		strcpy(region->bind, bind);
	else if (bind)
		WRONG(
		    check, ((struct place){"regions", i, "bind"}), "bind: '%.60s' is not an address or a name of a host", bind);
	check_options(check, SECTION_REGION, i, raw, region);
}

static bool is_same_host(const char *a, const char *b)
{
	a = strcmp(a, "localhost") == 0 ? "127.0.0.1" : a;
	b = strcmp(b, "localhost") == 0 ? "127.0.0.1" : b;
	return strcmp(a, b) == 0;
}

/* Against the regions before it. */
static void check_region_clashes(const struct check *check, uint32_t i)
{
	const struct region *all = check->topology->regions, *region = &all[i];
	for (uint32_t j = 0; j < i; j++) {
		const struct region *other = &all[j];
		uint32_t line = topology_file_line(check->file, "regions", (int)j, NULL);
		if (region->name[0] && strcmp(region->name, other->name) == 0)
			WRONG(check, ((struct place){"regions", (int)i, "name"}),
			    "region: the name %s is given twice (first on line %u)", region->name, line);
		if (region->id < REGIONS_MAX && region->id == other->id)
			WRONG(check, ((struct place){"regions", (int)i, "id"}),
			    "region: the id %u is given twice (first on line %u)", region->id, line);
		if (region->is_primary && other->is_primary)
			WRONG(check, ((struct place){"regions", (int)i, "is_primary"}),
			    "region: a second primary (the first is on line %u)", line);
		int distance = region->port - other->port;
		if (region->port && other->port && is_same_host(region->host, other->host) && distance > -SERVICES &&
		    distance < SERVICES)
			WRONG(check, ((struct place){"regions", (int)i, "nodes"}),
			    "nodes: ports %u to %u overlap those of the region on line %u (a node takes %d ports)",
			    region->port, region->port + SERVICES - 1, line, SERVICES);
	}
}

static void check_regions(const struct check *check, const struct raw_topology *raw)
{
	struct topology *topology = check->topology;
	if (raw->regions_count == 0)
		WRONG(check, ((struct place){"regions", -1, NULL}), "regions: at least one is needed");
	if (raw->regions_count > REGIONS_MAX)
		WRONG(check, ((struct place){"regions", REGIONS_MAX, NULL}), "regions: %u given, at most %d are possible",
		    raw->regions_count, REGIONS_MAX);
	for (uint32_t i = 0; i < raw->regions_count && i < REGIONS_MAX; i++) {
		struct region *region = &topology->regions[i];
		topology->region_count = i + 1;
		check_region_fields(check, (int)i, &raw->regions[i], region);
		check_region_clashes(check, i);
		if (region->id < REGIONS_MAX)
			topology->priority_by_id[region->id] = region->priority;
	}
}

/* Where it goes: under the id it is given, else at the first place that no line of the file claims. KEYSPACES_MAX: nowhere. */
static uint32_t check_keyspace_id(const struct check *check, int i, const struct raw_section *raw, struct keyspace *keyspace)
{
	struct topology *topology = check->topology;
	const struct raw_topology *whole = topology_file_raw(check->file);
	bool is_default = strcmp(keyspace->name, topology->keyspaces[0].name) == 0;
	uint32_t id = 0;
	const char *id_text = raw_text(raw, SECTION_KEYSPACE, "id");
	if (id_text) {
		if (!check_number(check, (struct place){"keyspaces", i, "id"}, id_text, is_default ? 0 : 1,
		        is_default ? 0 : KEYSPACES_MAX - 1, &id))
			return KEYSPACES_MAX;
		keyspace->id_given = true;
		if (!is_default && topology->keyspaces[id].name[0]) {
			WRONG(check, ((struct place){"keyspaces", i, "id"}), "id: %u is both '%s' and '%s'", id,
			    topology->keyspaces[id].name, keyspace->name);
			return KEYSPACES_MAX;
		}
		return id;
	}
	for (; !is_default && id < KEYSPACES_MAX; id++) {
		bool is_claimed = topology->keyspaces[id].name[0] != 0;
		char text[16];
		snprintf(text, sizeof text, "%u", id);
		for (uint32_t j = 0; j < whole->keyspaces_count && !is_claimed; j++) {
			const char *other = raw_text(&whole->keyspaces[j], SECTION_KEYSPACE, "id");
			is_claimed = other && strcmp(other, text) == 0;
		}
		if (!is_claimed)
			return id;
	}
	if (!is_default)
		WRONG(check, ((struct place){"keyspaces", i, NULL}), "keyspaces: more than %u", KEYSPACES_MAX);
	return id;
}

static void check_keyspace(const struct check *check, int i, const struct raw_section *raw)
{
	struct topology *topology = check->topology;
	struct keyspace keyspace = {0};
	const char *name = raw_text(raw, SECTION_KEYSPACE, "name");
	bool named = check_name(check, (struct place){"keyspaces", i, "name"}, name, "keyspace", keyspace.name);
	check_options(check, SECTION_KEYSPACE, i, raw, &keyspace);
	if (keyspace.level == LEVEL_STRONG && !raw_text(raw, SECTION_KEYSPACE, "ack"))
		keyspace.acknowledge = ACKNOWLEDGE_QUORUM;
	if (keyspace.level == LEVEL_STRONG && keyspace.acknowledge == ACKNOWLEDGE_ONE)
		WRONG(check, ((struct place){"keyspaces", i, "ack"}),
		    "ack: one cannot be strong; a strong keyspace needs quorum or all");
	if (!named)
		return;
	const struct raw_topology *whole = topology_file_raw(check->file);
	for (int j = 0; j < i; j++) {
		const char *earlier = raw_text(&whole->keyspaces[j], SECTION_KEYSPACE, "name");
		if (!earlier || strcmp(earlier, keyspace.name) != 0)
			continue;
		WRONG(check, ((struct place){"keyspaces", i, "name"}),
		    "keyspace: the name %s is given twice (first on line %u)", keyspace.name,
		    topology_file_line(check->file, "keyspaces", j, NULL));
		return;
	}
	uint32_t id = check_keyspace_id(check, i, raw, &keyspace);
	if (id >= KEYSPACES_MAX)
		return;
	topology->keyspaces[id] = keyspace;
	if (id >= topology->keyspace_count)
		topology->keyspace_count = id + 1;
}

void topology_check(struct topology *topology, const struct topology_file *file, struct mistakes *mistakes)
{
	const struct raw_topology *raw = topology_file_raw(file);
	struct check check = {topology, file, mistakes};
	*topology = (struct topology){
	    .keyspace_count = 1,
	    .keyspaces =
	        {{.name = "default", .level = LEVEL_EVENTUAL, .strategy = STRATEGY_LWW, .acknowledge = ACKNOWLEDGE_ONE}},
	};
	check_name(&check, (struct place){"cluster", -1, "cluster"}, raw_text(&raw->own, SECTION_TOPOLOGY, "cluster"),
	    "topology", topology->cluster);
	check_regions(&check, raw);
	check_options(&check, SECTION_REPLICATION, -1, &raw->replication, topology);
	check_options(&check, SECTION_LIMITS, -1, &raw->limits, topology);
	for (uint32_t i = 0; i < raw->keyspaces_count; i++)
		check_keyspace(&check, (int)i, &raw->keyspaces[i]);
}
