/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of topology.c: the YAML file as libcyaml gives it (every scalar still text), and what is found wrong with it. */
#ifndef GODWIT_RUNTIME_TOPOLOGY_FILE_H
#define GODWIT_RUNTIME_TOPOLOGY_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/topology_option.h"

/* A section as it stands in the file: the text of each of its options, in the order of topology_section_options; NULL where it
 * is not given. */
struct raw_section {
	char *text[SECTION_OPTIONS_MAX];
	char **list; /* of the section's one option that is a list */
	uint32_t list_count;
};
struct raw_topology {
	struct raw_section own, replication, limits;
	struct raw_section *regions, *keyspaces;
	uint32_t regions_count, keyspaces_count;
};
/* NULL where the file does not give it. */
const char *raw_text(const struct raw_section *raw, enum topology_section section, const char *key);

#define MISTAKES_MAX 64u
struct mistake {
	uint32_t line;
	char text[224];
};
struct mistakes {
	uint32_t count; /* all of them; the first MISTAKES_MAX are kept */
	struct mistake list[MISTAKES_MAX];
};
void mistake_add(struct mistakes *mistakes, uint32_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct topology_file; /* keeps what raw points into, and where everything stands */
/* NULL when the file cannot be read so far that its content could be judged; mistakes then tells why. */
struct topology_file *topology_file_parse(const char *bytes, size_t size, struct mistakes *mistakes);
void topology_file_free(struct topology_file *file);
const struct raw_topology *topology_file_raw(const struct topology_file *file);
/* The line of section, section.key, section[index] or section[index].key; of the nearest thing around it when it is not there.
 * index < 0: the section is no list. key NULL: the section or entry itself. */
uint32_t topology_file_line(const struct topology_file *file, const char *section, int index, const char *key);

struct topology;
/* topology_check.c: fills the topology, and tells everything that is wrong. */
void topology_check(struct topology *topology, const struct topology_file *file, struct mistakes *mistakes);

#endif
