/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of a topology, one row each. The schema of the file, `up --check`, the effective configuration (YAML and JSON)
 * and docs/topology.md (a unit test compares) come from these rows; a new number or word needs nothing else but its field. */
#ifndef GODWIT_RUNTIME_TOPOLOGY_OPTION_H
#define GODWIT_RUNTIME_TOPOLOGY_OPTION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum topology_section {
	SECTION_TOPOLOGY, /* the file itself */
	SECTION_REGION,   /* of each of `regions` */
	SECTION_REPLICATION,
	SECTION_LIMITS,
	SECTION_KEYSPACE, /* of each of `keyspaces` */
	SECTIONS
};
extern const char *const topology_section_names[SECTIONS]; /* as in the file; "" for the file itself */
#define SECTION_OPTIONS_MAX 8u

enum topology_option_type {
	TOPOLOGY_NUMBER, /* low to high */
	TOPOLOGY_WORD,   /* one of words; its value is the index there */
	TOPOLOGY_OWN,    /* text that topology_check.c has a rule of its own for */
	TOPOLOGY_LIST,   /* a list of such texts */
};
struct topology_option {
	enum topology_section section;
	const char *key;
	enum topology_option_type type;
	size_t offset,
	    size; /* NUMBER, WORD: of an unsigned field in the section's struct (region, keyspace, topology); size 0: none */
	uint32_t low, high;
	const char *const *words; /* ends with NULL */
	uint32_t otherwise;       /* the value where the file gives none */
	const char *values;       /* OWN, LIST: what is taken, in words */
	const char *shown;        /* the default in words; NULL: `otherwise` */
	const char *meaning;
};
extern const struct topology_option topology_options[];
extern const uint32_t topology_option_count;

/* The section's options in the order of the rows: their places in topology_options. Returns how many. */
uint32_t topology_section_options(enum topology_section section, uint32_t places[static SECTION_OPTIONS_MAX]);
/* base: the struct of the option's section. */
uint32_t topology_option_get(const struct topology_option *option, const void *base);
void topology_option_set(const struct topology_option *option, void *base, uint32_t value);
bool topology_option_is_boolean(const struct topology_option *option);
/* As a table in Markdown. */
void topology_options_print(FILE *out);

#endif
