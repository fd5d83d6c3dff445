/* SPDX-License-Identifier: Apache-2.0
 *
 * What a topology means to other regions, as lines of text, and what two of them agree in. */
#define XXH_INLINE_ALL
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/text.h"
#include "runtime/topology.h"

void topology_definition(const struct topology *topology, struct text *out)
{
	bool by_priority = false;
	text_add(out, "cluster %s\n", topology->cluster);
	for (uint32_t i = 0; i < topology->keyspace_count; i++) {
		const struct keyspace *k = &topology->keyspaces[i];
		if (!keyspace_is_there(k))
			continue;
		text_add(out, "keyspace %u %s %s %s %s\n", i, k->name, level_name(k->level), strategy_name(k->strategy),
		    acknowledge_name(k->acknowledge));
		by_priority |= k->strategy == STRATEGY_PRIORITY;
	}
	/* By id: the order in the file means nothing to a peer. Priorities only where they choose winners. */
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		const struct region *region = topology_region_by_id(topology, id);
		if (region)
			text_add(out, "region %u %s %u\n", id, region->name, by_priority ? region->priority : 0);
	}
	text_add(out, "encryption curve\n");
}

uint64_t topology_fingerprint(const struct topology *topology)
{
	struct text definition = {0};
	topology_definition(topology, &definition);
	uint64_t fingerprint = XXH3_64bits(definition.bytes, definition.size);
	text_deinit(&definition);
	return fingerprint;
}

uint64_t topology_base_fingerprint(const struct topology *topology)
{
	struct text base = {0};
	text_add(&base, "cluster %s\nencryption curve\n", topology->cluster);
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		const struct region *region = topology_region_by_id(topology, id);
		if (region)
			text_add(&base, "region %u %s\n", id, region->name);
	}
	uint64_t fingerprint = XXH3_64bits(base.bytes, base.size);
	text_deinit(&base);
	return fingerprint;
}

static int line_size(const char *line)
{
	return (int)strcspn(line, "\n");
}

static const char *line_next(const char *line)
{
	line += line_size(line);
	return *line ? line + 1 : line;
}

/* The first words of a line, each with the space before it. */
static size_t words_size(const char *line, uint32_t words)
{
	size_t size = strcspn(line, " \n");
	while (--words && line[size] == ' ')
		size += 1 + strcspn(line + size + 1, " \n");
	return size;
}

static bool line_is(const char *line, const char *subject)
{
	return strncmp(line, subject, strlen(subject)) == 0;
}

/* The word that says what the line is of, and of keyspaces and regions the id. */
static size_t subject_size(const char *line)
{
	return words_size(line, line_is(line, "keyspace ") || line_is(line, "region ") ? 2 : 1);
}

/* The line of the same subject; NULL. */
static const char *line_find(const char *definition, const char *of)
{
	size_t size = subject_size(of);
	for (const char *line = definition; *line; line = line_next(line))
		if (subject_size(line) == size && memcmp(line, of, size) == 0)
			return line;
	return NULL;
}

static bool begin_alike(const char *a, const char *b, uint32_t words)
{
	size_t size = words_size(a, words);
	return words_size(b, words) == size && memcmp(a, b, size) == 0;
}

/* "keyspace ID NAME LEVEL ...": rows of strong keyspaces are of another kind than those of all other levels. */
static bool is_strong(const char *line)
{
	size_t before = words_size(line, 3), upto = words_size(line, 4);
	return upto - before == sizeof " strong" - 1 && memcmp(line + before, " strong", upto - before) == 0;
}

static uint64_t keyspace_bit(const char *line)
{
	char *end;
	if (!line_is(line, "keyspace "))
		return 0;
	unsigned long id = strtoul(line + sizeof "keyspace " - 1, &end, 10);
	return *end == ' ' && id < KEYSPACES_MAX ? 1ull << id : 0;
}

/* What it means that two lines of one subject differ, or (NULL) that only one side has the line. A subject that is not known
 * here comes from a newer build, and changes nothing of what this one does. */
static enum topology_agrees line_judge(const char *line, const char *other)
{
	if (other && line_size(line) == line_size(other) && memcmp(line, other, (size_t)line_size(line)) == 0)
		return TOPOLOGY_SAME;
	if (line_is(line, "cluster ") || line_is(line, "encryption "))
		return TOPOLOGY_APART;
	if (line_is(line, "region "))
		return other && begin_alike(line, other, 3) ? TOPOLOGY_ROLLS : TOPOLOGY_APART;
	if (keyspace_bit(line))
		return other && begin_alike(line, other, 3) && is_strong(line) == is_strong(other) ? TOPOLOGY_ROLLS
		                                                                                   : TOPOLOGY_HOLDS;
	return TOPOLOGY_ROLLS;
}

void topology_agree(const char *here, const char *there, struct topology_agreement *out)
{
	*out = (struct topology_agreement){.worst = TOPOLOGY_SAME};
	for (const char *own = here; *own; own = line_next(own)) {
		const char *other = line_find(there, own);
		enum topology_agrees judged = line_judge(own, other);
		*(judged < TOPOLOGY_HOLDS ? &out->same : &out->other) |= keyspace_bit(own);
		if (judged <= out->worst)
			continue;
		out->worst = judged;
		if (other)
			snprintf(out->what, sizeof out->what, "here '%.*s', there '%.*s'", line_size(own), own,
			    line_size(other), other);
		else
			snprintf(out->what, sizeof out->what, "there is no '%.*s' there", line_size(own), own);
	}
	for (const char *other = there; *other; other = line_next(other)) {
		if (line_find(here, other))
			continue;
		enum topology_agrees judged = line_judge(other, NULL);
		out->other |= keyspace_bit(other);
		if (judged <= out->worst)
			continue;
		out->worst = judged;
		snprintf(out->what, sizeof out->what, "there is no '%.*s' here", line_size(other), other);
	}
}
