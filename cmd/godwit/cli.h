/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of godwit share: common flags, the topology, connections, and one way to say that something failed. */
#ifndef GODWIT_CMD_GODWIT_CLI_H
#define GODWIT_CMD_GODWIT_CLI_H
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "base/text.h"
#include "client/admin.h"
#include "core/dotted.h"
#include "proto/client.pb-c.h"
#include "runtime/options.h"
#include "runtime/topology.h"

#define CLI_DIR_DEFAULT       "./godwit-data"
#define CLI_LINK_BASE_DEFAULT 7600u

struct command;
struct cli {
	const struct command *command;
	/* the common flags */
	const char *dir, *topology_path, *keys_path, *region, *keyspace;
	uint32_t timeout_ms;
	bool json, help;
	/* what was made of them */
	char dir_path[256]; /* --dir, absolute once it exists */
	char key_dir[300];
	char topology_file[300]; /* the file read; "" for the built-in one */
	struct topology topology;
	/* arguments that are no flags */
	int argument_count;
	char **arguments;
};

enum command_flags {
	COMMAND_OWN_TOPOLOGY = 1, /* the command reads the topology itself, and --region is its own */
	COMMAND_OWN_REGION = 2,
};
struct command {
	const char *name;
	const char *arguments; /* for the help */
	const char *summary;
	const char *detail; /* further lines of the help; may be NULL */
	const struct option *options;
	void *option_values;
	int arguments_min, arguments_max;
	unsigned flags;
	int (*run)(struct cli *cli); /* the exit code */
};
extern const struct command command_up, command_down, command_restart, command_put, command_get, command_del, command_load,
    command_scan, command_export, command_txn, command_indoubt, command_keyspace, command_status, command_top, command_verify,
    command_conflicts, command_admin, command_link, command_keys;

/* Prints "CODE: reason; what to do" (with --json also an object on standard output) and returns the exit code. */
int cli_fail(struct cli *cli, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int cli_fail_error(struct cli *cli, int code, const struct error_context *error);
int cli_fail_result(struct cli *cli, const struct client_result *result);

int cli_dir_resolve(struct cli *cli, struct error_context *error);
int cli_topology_load(struct cli *cli); /* 0 or an exit code, with the mistakes printed */
void cli_region_dir(const struct cli *cli, const struct region *region, char out[static 320]);
const struct region *cli_region(struct cli *cli, const char *name); /* NULL name: one that runs here, or
                                                                     * else any, the primary first. NULL: failure, printed */
/* Names separated by commas, or "all", into a mask of places in the topology. 0 or ERR_USAGE. */
int cli_regions_parse(const struct topology *topology, const char *names, uint32_t *mask, struct error_context *error);
/* False when the region belongs to this machine and nothing runs there: no need to wait for an answer. */
bool cli_region_may_answer(const struct cli *cli, const struct region *region);

/* pipeline_max 0: the default. */
int cli_connect(struct cli *cli, const struct region *region, uint32_t pipeline_max, struct gw_connection **connection,
    struct error_context *error);
/* Connects to --region; NULL: failure, printed, with *exit_code set. */
struct gw_connection *cli_connect_region(struct cli *cli, int *exit_code);

/* --keyspace, or the one of that name; NULL: failure, printed. */
const struct keyspace *cli_keyspace(struct cli *cli, const char *name);
/* --level of a read (NULL: that of the keyspace). 0 or an exit code, with the failure printed. */
#define STALE_HELP "what this region holds, even where it knows that rows are missing and refuses other reads"
int cli_read_level(struct cli *cli, const char *text, bool stale_ok, enum gw_level *level);
int cli_level_parse(struct cli *cli, const char *text, enum gw_level *level);

uint64_t cli_now_ns(void);
uint64_t cli_wall_ms(void);
void cli_sleep_ms(uint32_t ms);
/* From then on an interrupt (Ctrl-C, SIGTERM) ends what waits, with what is known, instead of the program. */
void cli_interrupt_catch(void);
bool cli_interrupted(void);
#define CLI_EXIT_INTERRUPTED 130
/* Colours only where a person sees them. */
const char *cli_bold(void);
const char *cli_red(void);
const char *cli_green(void);
const char *cli_plain(void);

/* Prints one line of JSON and clears the text. */
void cli_print_json(struct text *json);
/* "name": value, and for keys and values that may hold any bytes "name" or, when they are not UTF-8, "name_base64". */
void json_add_text(struct text *json, const char *name, const char *value);
void json_add_bytes(struct text *json, const char *name, const void *bytes, size_t size);
void json_add_version(struct text *json, const char *name, const void *bytes, size_t size);
/* Bytes for a person or for a TSV file: backslash, tab, newline, carriage return and NUL escaped. */
void text_add_escaped(struct text *out, const void *bytes, size_t size);
/* A vector, or the version that a strong commit made; "-" for neither. */
void version_format(const void *bytes, size_t size, char out[static DOTTED_TEXT_MAX]);
/* "12,345" */
const char *grouped(uint64_t number, char out[static 32]);
void time_format(uint64_t wall_ms, char out[static 40]); /* 2026-11-23T15:00:00.123Z */
const char *bytes_format(uint64_t bytes, char out[static 32]);

#endif
