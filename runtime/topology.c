/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/topology.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "runtime/address.h"
#include "runtime/topology_file.h"
#include "shm/layout.h"

#define FILE_SIZE_MAX (1024 * 1024)

const char topology_default_yaml[] =
    "cluster: demo\n"
    "regions:\n"
    "  - { name: us-east-1,  id: 0, datacenter: Virginia, nodes: [\"127.0.0.1:7400\"], is_primary: true, priority: 100 }\n"
    "  - { name: eu-west-1,  id: 1, datacenter: Ireland,  nodes: [\"127.0.0.1:7410\"], priority: 50 }\n"
    "  - { name: ap-south-1, id: 2, datacenter: Mumbai,   nodes: [\"127.0.0.1:7420\"], priority: 25 }\n"
    "replication: { mode: active_active, compression: lz4, encryption: curve, max_lag_ms: 5000, drain_factor: 2 }\n"
    "limits: { cross_region_timeout_ms: 0, max_clock_drift_ms: 500, log_disk_mib: 4096 }\n"
    "keyspaces:\n"
    "  - { name: orders, level: strong, ack: quorum }\n";

const char *const level_names[] = {"eventual", "session", "causal", "strong", NULL};
const char *const strategy_names[] = {"lww", "fww", "priority", NULL};
const char *const acknowledge_names[] = {"one", "quorum", "all", NULL};

const char *level_name(enum level level)
{
	return level_names[level];
}

const char *strategy_name(enum strategy strategy)
{
	return strategy_names[strategy];
}

const char *acknowledge_name(enum acknowledge acknowledge)
{
	return acknowledge_names[acknowledge];
}

static int file_read(const char *path, char **bytes, size_t *size, struct error_context *error)
{
	FILE *in = fopen(path, "re");
	if (!in)
		return error_set(error, ERR_CONFIGURATION, "%s: %s", path, strerror(errno));
	*bytes = malloc(FILE_SIZE_MAX + 1);
	*size = *bytes ? fread(*bytes, 1, FILE_SIZE_MAX + 1, in) : 0;
	bool failed = ferror(in) != 0;
	fclose(in);
	if (*bytes && !failed && *size <= FILE_SIZE_MAX)
		return 0;
	int code = !*bytes  ? error_set(error, ERR_NO_MEMORY, "%s: out of memory", path)
	           : failed ? error_set(error, ERR_CONFIGURATION, "%s: cannot be read", path)
	                    : error_set(error, ERR_CONFIGURATION, "%s: larger than 1 MiB", path);
	free(*bytes);
	return code;
}

static int mistake_compare(const void *a, const void *b)
{
	uint32_t left = ((const struct mistake *)a)->line, right = ((const struct mistake *)b)->line;
	return left < right ? -1 : left > right;
}

static int mistakes_report(struct mistakes *mistakes, const char *path, FILE *out, struct error_context *error)
{
	if (mistakes->count == 0)
		return 0;
	uint32_t kept = mistakes->count < MISTAKES_MAX ? mistakes->count : MISTAKES_MAX;
	qsort(mistakes->list, kept, sizeof mistakes->list[0], mistake_compare);
	for (uint32_t i = 0; out && i < kept; i++)
		fprintf(out, "%s:%u: %s\n", path, mistakes->list[i].line, mistakes->list[i].text);
	if (out && kept < mistakes->count)
		fprintf(out, "%s: and %u more\n", path, mistakes->count - kept);
	return error_set(error, ERR_CONFIGURATION, "%s: %u mistake%s, the first on line %u: %s", path, mistakes->count,
	    mistakes->count == 1 ? "" : "s", mistakes->list[0].line, mistakes->list[0].text);
}

int topology_load(struct topology *topology, const char *path, FILE *mistakes, struct error_context *error)
{
	char *bytes = NULL;
	size_t size = sizeof topology_default_yaml - 1;
	if (path) {
		int code = file_read(path, &bytes, &size, error);
		if (code) {
			if (mistakes && error)
				fprintf(mistakes, "%s\n", error->text);
			return code;
		}
	}
	struct mistakes *found = calloc(1, sizeof *found);
	int code = found ? 0 : error_set(error, ERR_NO_MEMORY, "out of memory");
	if (!code) {
		struct topology_file *file = topology_file_parse(path ? bytes : topology_default_yaml, size, found);
		if (file)
			topology_check(topology, file, found);
		topology_file_free(file);
		code = mistakes_report(found, path ? path : "built-in topology", mistakes, error);
	}
	free(found);
	free(bytes);
	return code;
}

const struct region *topology_region(const struct topology *topology, const char *name)
{
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (strcmp(topology->regions[i].name, name) == 0)
			return &topology->regions[i];
	return NULL;
}

int topology_region_index(const struct topology *topology, uint32_t id)
{
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (topology->regions[i].id == id)
			return (int)i;
	return -1;
}

const struct region *topology_region_by_id(const struct topology *topology, uint32_t id)
{
	int index = topology_region_index(topology, id);
	return index < 0 ? NULL : &topology->regions[index];
}

int topology_keyspace(const struct topology *topology, const char *name)
{
	if (!*name)
		return 0;
	for (uint32_t i = 0; i < topology->keyspace_count; i++)
		if (strcmp(topology->keyspaces[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* The numbers and words of a section. JSON is YAML as well: each value is written once, for both. */
static void add_options(struct text *out, enum topology_section section, const void *base, const char *separator)
{
	uint32_t places[SECTION_OPTIONS_MAX], count = topology_section_options(section, places);
	for (uint32_t i = 0; i < count; i++) {
		const struct topology_option *option = &topology_options[places[i]];
		if (option->type != TOPOLOGY_NUMBER && option->type != TOPOLOGY_WORD)
			continue;
		uint32_t value = topology_option_get(option, base);
		text_add(out, "%s\"%s\": ", separator, option->key);
		if (option->type == TOPOLOGY_NUMBER)
			text_add(out, "%u", value);
		else if (topology_option_is_boolean(option))
			text_add(out, "%s", option->words[value]);
		else
			text_add(out, "\"%s\"", option->words[value]);
		separator = ", ";
	}
}

static void add_region(const struct region *r, struct text *out)
{
	text_add(out, "{ \"name\": \"%s\", \"id\": %u, \"datacenter\": ", r->name, r->id);
	text_add_json_string(out, r->datacenter, strlen(r->datacenter)); /* a double-quoted YAML scalar takes JSON's escapes */
	text_add(out, ", \"nodes\": [\"%s:%u\"]", r->host, r->port);
	if (r->bind[0])
		text_add(out, ", \"bind\": \"%s\"", r->bind);
	add_options(out, SECTION_REGION, r, ", ");
	text_add(out, " }");
}

static void add_keyspace(const struct topology *topology, uint32_t id, struct text *out)
{
	const struct keyspace *k = &topology->keyspaces[id];
	text_add(out, "{ \"name\": \"%s\"", k->name);
	if (k->id_given)
		text_add(out, ", \"id\": %u", id);
	add_options(out, SECTION_KEYSPACE, k, ", ");
	text_add(out, " }");
}

static void add_section(const struct topology *topology, enum topology_section section, struct text *out)
{
	text_add(out, "{ ");
	add_options(out, section, topology, "");
	text_add(out, " }");
}

void topology_print(const struct topology *topology, FILE *out)
{
	struct text text = {0};
	text_add(&text, "cluster: %s\nregions:\n", topology->cluster);
	for (uint32_t i = 0; i < topology->region_count; i++) {
		text_add(&text, "  - ");
		add_region(&topology->regions[i], &text);
		text_add(&text, "\n");
	}
	text_add(&text, "replication: ");
	add_section(topology, SECTION_REPLICATION, &text);
	text_add(&text, "\nlimits: ");
	add_section(topology, SECTION_LIMITS, &text);
	text_add(&text, "\nkeyspaces:\n");
	for (uint32_t i = 0; i < topology->keyspace_count; i++) {
		if (!keyspace_is_there(&topology->keyspaces[i]))
			continue;
		text_add(&text, "  - ");
		add_keyspace(topology, i, &text);
		text_add(&text, "\n");
	}
	fwrite(text.bytes, 1, text.size, out);
	text_deinit(&text);
}

void topology_json(const struct topology *topology, struct text *out)
{
	text_add(out, "{ \"cluster\": \"%s\", \"fingerprint\": \"%016" PRIx64 "\", \"regions\": [", topology->cluster,
	    topology_fingerprint(topology));
	for (uint32_t i = 0; i < topology->region_count; i++) {
		text_add(out, i ? ", " : "");
		add_region(&topology->regions[i], out);
	}
	text_add(out, "], \"replication\": ");
	add_section(topology, SECTION_REPLICATION, out);
	text_add(out, ", \"limits\": ");
	add_section(topology, SECTION_LIMITS, out);
	text_add(out, ", \"keyspaces\": [");
	for (uint32_t i = 0; i < topology->keyspace_count; i++) {
		if (!keyspace_is_there(&topology->keyspaces[i]))
			continue;
		text_add(out, i ? ", " : "");
		add_keyspace(topology, i, out);
	}
	text_add(out, "] }");
}

int link_ports_check(const struct topology *topology, uint32_t link_base, struct error_context *error)
{
	uint32_t last = link_base + topology->region_count * topology->region_count * SERVICES - 1;
	if (link_base == 0 || topology->region_count < 2 || last <= UINT16_MAX)
		return 0;
	return error_set(error, ERR_CONFIGURATION,
	    "--link-base: the link emulator of %u regions takes the ports from %u to %u, and there are %u",
	    topology->region_count, link_base, last, UINT16_MAX);
}

uint16_t link_port(const struct topology *topology, uint32_t from_id, uint32_t to_id, uint32_t service, uint16_t link_base)
{
	int from = topology_region_index(topology, from_id), to = topology_region_index(topology, to_id);
	assert(from >= 0 && to >= 0 && service < SERVICES);
	uint32_t pair = (uint32_t)from * topology->region_count + (uint32_t)to;
	uint32_t port = link_base + pair * SERVICES + service;
	assert(port <= UINT16_MAX);
	return (uint16_t)port;
}

void topology_endpoint(const struct topology *topology, uint32_t from_id, uint32_t to_id, uint32_t service, uint16_t link_base,
    char out[static 128])
{
	const struct region *to = topology_region_by_id(topology, to_id);
	assert(to && service < SERVICES);
	if (link_base)
		snprintf(out, 128, "tcp://127.0.0.1:%u", link_port(topology, from_id, to_id, service, link_base));
	else
		snprintf(out, 128, "tcp://%s:%u", to->host, to->port + service);
}

void topology_client_endpoint(const struct region *region, char out[static 128])
{
	bool is_bound_here = region->bind[0] && !address_is_wildcard(region->bind) && address_is_local(region->bind);
	snprintf(out, 128, "tcp://%s:%u", is_bound_here ? region->bind : region->host, region->port + SERVICE_CLIENT);
}
