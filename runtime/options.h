/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags from a table: one row gives parsing, limits, help and `admin ACTOR config`. "--name value", "--name=value"; a flag
 * without a value for OPTION_BOOL. Every mistake is one clear line and ERR_USAGE. */
#ifndef GODWIT_RUNTIME_OPTIONS_H
#define GODWIT_RUNTIME_OPTIONS_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum option_type {
	OPTION_TEXT /* const char * */,
	OPTION_U32,
	OPTION_U64,
	OPTION_BOOL /* bool */,
	OPTION_LIST /* struct option_list: may be repeated */
};
#define OPTION_LIST_MAX 32u
struct option_list {
	uint32_t count;
	const char *values[OPTION_LIST_MAX];
};
struct option {
	const char *name; /* without dashes; NULL ends the table */
	char letter;      /* 0: none */
	enum option_type type;
	size_t offset;             /* of the field in the caller's struct */
	uint64_t minimum, maximum; /* numbers; maximum 0: the largest of the type */
	const char *value_name;
	const char *help;
};
/* Fills `into` (set to its defaults by the caller). Arguments that are no flags are kept, in order, in argv[1..]; *argc tells
 * how many remain (argv[0] included). "--" ends flags. Text values borrow from argv. */
int options_parse(const struct option *table, void *into, int *argc, char **argv, struct error_context *error);
/* The same over several tables, each with its own struct. */
struct option_set {
	const struct option *table;
	void *into;
};
int options_parse_sets(const struct option_set *sets, uint32_t set_count, int *argc, char **argv, struct error_context *error);
void options_help(const struct option *table, FILE *out);
/* {"name": value, ...} as JSON. */
struct text;
void options_json(const struct option *table, const void *from, struct text *out);

#endif
