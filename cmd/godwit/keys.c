/* SPDX-License-Identifier: Apache-2.0
 *
 * keys: the key pairs of this host, and the public keys of the others. docs/operating.md has the procedures. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "cmd/godwit/processes.h"
#include "runtime/keys.h"
#include "runtime/rights.h"

#define IMPORT_SIZE_MAX    65536u
#define NAMES_MAX          (REGIONS_MAX + KEY_CLIENTS_MAX + 8)

struct keys_flags {
	struct option_list regions;
	const char *client, *rights, *keyspaces, *output;
	bool replace, finish;
};
static struct keys_flags flags;

static const struct option keys_options[] = {
    {"region", 'r', OPTION_LIST, offsetof(struct keys_flags, regions), 0, 0, "REGION",
        "init: a region of this host (default: those with an address of this machine)"},
    {"client", 0, OPTION_TEXT, offsetof(struct keys_flags, client), 0, 0, "NAME",
        "init: the name that other hosts know this host's client key by (default: client-REGION)"},
    {"rights", 0, OPTION_TEXT, offsetof(struct keys_flags, rights), 0, 0, "WORDS",
        "import: of clients in the file: read, write, admin, separated by commas (default: those it has, or read)"},
    {"keyspaces", 0, OPTION_TEXT, offsetof(struct keys_flags, keyspaces), 0, 0, "NAMES",
        "import: keyspaces that these rights are for, separated by commas (default: all)"},
    {"replace", 0, OPTION_BOOL, offsetof(struct keys_flags, replace), 0, 0, NULL,
        "import: put the key in the place of another one of that name"},
    {"finish", 0, OPTION_BOOL, offsetof(struct keys_flags, finish), 0, 0, NULL,
        "rotate: go over to the next key, and forget the one before it"},
    {"output", 'o', OPTION_TEXT, offsetof(struct keys_flags, output), 0, 0, "FILE", "export: into that file"},
    {0},
};

static bool is_region(const struct cli *cli, const char *name)
{
	return topology_region(&cli->topology, name);
}

static int parent_make(struct cli *cli, struct error_context *error)
{
	if (cli->keys_path || mkdir(cli->dir, 0700) == 0)
		return cli_dir_resolve(cli, error);
	return errno == EEXIST ? 0 : error_set(error, ERR_IO, "%s: %s", cli->dir, strerror(errno));
}

static int pair_make(struct cli *cli, const char *name, const char *kind, struct error_context *error)
{
	bool was_there = keys_has_secret(cli->key_dir, name);
	int code = keys_make(cli->key_dir, name, error);
	if (!code)
		printf("%-24s %-6s %s\n", name, kind, was_there ? "was there" : "made");
	return code;
}

/* Secrets for the regions in the mask and for the commands of this host; none for anybody else. */
static int init_run(struct cli *cli)
{
	struct error_context error = {{0}};
	uint32_t mask = 0, one;
	char name[KEY_NAME_SIZE] = "", known[KEY_NAME_SIZE];
	int code = 0;
	for (uint32_t i = 0; !code && i < flags.regions.count; i++) {
		code = cli_regions_parse(&cli->topology, flags.regions.values[i], &one, &error);
		mask |= code ? 0 : one;
	}
	for (uint32_t i = 0; !flags.regions.count && !flags.client && i < cli->topology.region_count; i++)
		mask |= cli_region_is_local(cli, &cli->topology.regions[i]) ? 1u << i : 0;
	if (!code && !mask && !flags.client)
		code = error_set(&error, ERR_CONFIGURATION,
		    "no region of the topology has an address of this machine; name one with -r, or a client's key with "
		    "--client");
	if (!code)
		code = parent_make(cli, &error);
	if (!code)
		code = keys_mark_one_host(cli->key_dir, &error);
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		if (!(mask & 1u << i))
			continue;
		if (!name[0])
			snprintf(name, sizeof name, "client-%.33s", cli->topology.regions[i].name);
		code = pair_make(cli, cli->topology.regions[i].name, "region", &error);
	}
	if (flags.client)
		snprintf(name, sizeof name, "%.40s", flags.client);
	if (!code)
		code = keys_name_check(name, &error);
	if (!code && (strcmp(name, KEY_NAME_CLIENT) == 0 || is_region(cli, name)))
		code = error_set(&error, ERR_CONFIGURATION,
		    "--client: '%s' is taken; choose a name that no region and no other host has", name);
	if (!code)
		code = pair_make(cli, KEY_NAME_CLIENT, "client", &error);
	/* A name that cannot be read is replaced by one that is given, and by no other. */
	int known_code = code || flags.client ? ERR_NOT_FOUND : keys_client_name(cli->key_dir, known, &error);
	if (!code && known_code == ERR_NOT_FOUND)
		code = keys_write_file(cli->key_dir, KEY_NAME_CLIENT, KEY_CLIENT_NAME_ENDING, name, &error);
	else if (!code)
		code = known_code;
	if (code)
		return cli_fail_error(cli, code, &error);
	printf("in %s; next: `godwit keys export`, and `godwit keys import` on the other hosts\n", cli->key_dir);
	return 0;
}

static int add_run(struct cli *cli)
{
	struct error_context error = {{0}};
	const struct region *region = cli_region(cli, cli->arguments[1]);
	if (!region)
		return error_exit_code(ERR_USAGE);
	int code = parent_make(cli, &error);
	if (!code && access(cli->key_dir, F_OK) < 0)
		code = error_set(&error, ERR_CONFIGURATION, "%s is not there; `godwit keys init` makes it", cli->key_dir);
	if (!code)
		code = pair_make(cli, region->name, "region", &error);
	return code ? cli_fail_error(cli, code, &error) : 0;
}

/* One name in the form that import reads: its present key and, if there is one, its next. */
static int export_one(const struct cli *cli, FILE *out, const char *name, struct error_context *error)
{
	char key[KEY_TEXT_SIZE], shown[KEY_NAME_SIZE];
	struct rights rights;
	bool is_client = strcmp(name, KEY_NAME_CLIENT) == 0;
	snprintf(shown, sizeof shown, "%s", name);
	int code = is_client ? keys_client_name(cli->key_dir, shown, error) : 0;
	if (code == ERR_NOT_FOUND)
		return error_set(error, ERR_CONFIGURATION,
		    "the client key of %s has no name that other hosts could know it by; `godwit keys init --client NAME` "
		    "gives it one",
		    cli->key_dir);
	if (!code)
		code = keys_load_public(cli->key_dir, name, key, error);
	if (code)
		return code;
	is_client |= rights_load(cli->key_dir, name, &rights, NULL) == 0;
	fprintf(out, "%s %s %s\n", is_client ? "client" : "region", shown, key);
	code = keys_load_next(cli->key_dir, name, key, error);
	if (!code)
		fprintf(out, "next %s %s\n", shown, key);
	return code == ERR_NOT_FOUND ? 0 : code;
}

static int export_run(struct cli *cli)
{
	static char names[NAMES_MAX][KEY_NAME_SIZE];
	struct error_context error = {{0}};
	uint32_t count = keys_list(cli->key_dir, "secret", names, NAMES_MAX);
	const char *name;
	int code = 0;
	/* Nothing but what is here: to export a key of another host would be to vouch for it. */
	if (count == 0)
		return cli_fail(
		    cli, ERR_CONFIGURATION, "no secret is in %s; `godwit keys init` makes those of this host", cli->key_dir);
	FILE *out = flags.output ? fopen(flags.output, "we") : stdout;
	if (!out)
		return cli_fail(cli, ERR_IO, "%s: %s", flags.output, strerror(errno));
	fprintf(out, "# public keys of Godwit; on the other hosts: godwit keys import FILE\n");
	if (cli->argument_count > 1)
		count = (uint32_t)cli->argument_count - 1;
	for (uint32_t i = 0; !code && i < count; i++) {
		name = cli->argument_count > 1 ? cli->arguments[i + 1] : names[i];
		code = export_one(cli, out, name, &error);
	}
	if (flags.output && fclose(out) != 0 && !code)
		code = error_set(&error, ERR_IO, "%s: %s", flags.output, strerror(errno));
	return code ? cli_fail_error(cli, code, &error) : 0;
}

struct import_line {
	char kind[8], name[KEY_NAME_SIZE], key[KEY_TEXT_SIZE];
};

/* 0, ERR_EMPTY for a line that says nothing, or what is wrong with it. */
static int line_parse(struct cli *cli, const char *text, struct import_line *line, struct error_context *error)
{
	char kind[8], name[KEY_NAME_SIZE], key[KEY_TEXT_SIZE], more[2];
	if (text[0] == '#' || text[strspn(text, " \t\r")] == 0)
		return ERR_EMPTY;
	if (sscanf(text, "%7s %40s %40s %1s", kind, name, key, more) != 3 || !keys_text_is_key(key) ||
	    (strcmp(kind, "region") && strcmp(kind, "client") && strcmp(kind, "next")))
		return error_set(
		    error, ERR_CONFIGURATION, "'%.80s' is no line of `godwit keys export`: region|client|next NAME KEY", text);
	int code = keys_name_check(name, error);
	if (!code && strcmp(kind, "client") == 0 && (strcmp(name, KEY_NAME_CLIENT) == 0 || is_region(cli, name)))
		code = error_set(error, ERR_CONFIGURATION, "the name '%s' is not for a client of another host", name);
	memcpy(line->kind, kind, sizeof kind);
	memcpy(line->name, name, sizeof name);
	memcpy(line->key, key, sizeof key);
	return code;
}

static int line_import(struct cli *cli, const struct import_line *line, const char *rights_text, struct error_context *error)
{
	static const char *const words[] = {[KEY_IMPORT_NEW] = "imported",
	    [KEY_IMPORT_SAME] = "was known",
	    [KEY_IMPORT_NEXT_IS_CURRENT] = "its next key is its key now; the one before it is no longer let in",
	    [KEY_IMPORT_REPLACED] = "replaced"};
	char own[KEY_NAME_SIZE];
	enum key_import done;
	struct rights known;
	bool is_client = strcmp(line->kind, "client") == 0, is_next = strcmp(line->kind, "next") == 0;
	/* A file that goes round brings a host its own client key back: it is let in under another name here. */
	int code = keys_client_name(cli->key_dir, own, error);
	if (code && code != ERR_NOT_FOUND)
		return code;
	if (!code && strcmp(own, line->name) == 0) {
		printf("%-24s %-6s is this host's own\n", line->name, line->kind);
		return 0;
	}
	code = keys_import(cli->key_dir, line->name, line->key, is_next, flags.replace, &done, error);
	/* Rights that were given stay, unless others are: a rotated key comes the same way. */
	if (!code && is_client && (flags.rights || flags.keyspaces || rights_load(cli->key_dir, line->name, &known, NULL) != 0))
		code = keys_write_file(cli->key_dir, line->name, "rights", rights_text, error);
	if (!code)
		printf("%-24s %-6s %s\n", line->name, line->kind, words[done]);
	return code;
}

/* The whole file is read before anything of it is taken in. */
static int import_run(struct cli *cli)
{
	static struct import_line lines[NAMES_MAX];
	static char text[IMPORT_SIZE_MAX + 1], rights_text[RIGHTS_TEXT_MAX];
	struct error_context error = {{0}};
	struct rights rights;
	uint32_t count = 0;
	const char *path = cli->arguments[1];
	int code = rights_parse(flags.rights ? flags.rights : "read", flags.keyspaces ? flags.keyspaces : "*", &rights, &error);
	if (code)
		return cli_fail_error(cli, ERR_USAGE, &error);
	rights_format(&rights, rights_text);
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!in)
		return cli_fail(cli, ERR_CONFIGURATION, "%s: %s", path, strerror(errno));
	size_t size = fread(text, 1, IMPORT_SIZE_MAX, in);
	bool is_whole = feof(in) || size < IMPORT_SIZE_MAX;
	if (in != stdin)
		fclose(in);
	if (!is_whole || strlen(text) != size)
		return cli_fail(cli, ERR_CONFIGURATION, "%s: is no file of `godwit keys export`", path);
	char *rest = text;
	for (char *at; !code && (at = strsep(&rest, "\n"));) {
		if (count == NAMES_MAX)
			code = error_set(&error, ERR_CONFIGURATION, "more than %u keys", NAMES_MAX);
		else if ((code = line_parse(cli, at, &lines[count], &error)) == 0)
			count++;
		code = code == ERR_EMPTY ? 0 : code;
	}
	if (!code && !count)
		code = error_set(&error, ERR_CONFIGURATION, "no key is in it");
	if (code)
		return cli_fail(cli, code, "%s: %.200s", path, error.text);
	code = parent_make(cli, &error);
	for (uint32_t i = 0; !code && i < count; i++)
		code = line_import(cli, &lines[i], rights_text, &error);
	return code ? cli_fail_error(cli, code, &error) : 0;
}

struct check {
	struct cli *cli;
	uint32_t problems, count;
	char keys[2 * NAMES_MAX][KEY_TEXT_SIZE], names[2 * NAMES_MAX][KEY_NAME_SIZE];
};

static void check_print(struct check *c, const char *name, const char *what, const char *key, const char *problem)
{
	c->problems += problem != NULL;
	if (!c->cli->json) {
		printf("%-24s %-22s %s%s%s%s\n", name, what, key, problem ? cli_red() : "", problem ? problem : "",
		    problem ? cli_plain() : "");
		return;
	}
	struct text json = {0};
	text_add(&json, "{");
	json_add_text(&json, "name", name);
	text_add(&json, ",");
	json_add_text(&json, "kind", what);
	text_add(&json, ",");
	json_add_text(&json, "key", key);
	text_add(&json, ",");
	json_add_text(&json, "problem", problem ? problem : "");
	text_add(&json, "}");
	cli_print_json(&json);
	text_deinit(&json);
}

/* Two names with one key: whoever has it could pose as both. */
static const char *check_twin(struct check *c, const char *name, const char *key)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (strcmp(c->keys[i], key) == 0 && strcmp(c->names[i], name) != 0)
			return c->names[i];
	if (c->count < 2 * NAMES_MAX) {
		snprintf(c->keys[c->count], KEY_TEXT_SIZE, "%s", key);
		snprintf(c->names[c->count++], KEY_NAME_SIZE, "%s", name);
	}
	return NULL;
}

static void check_key(struct check *c, const char *name, const char *what)
{
	const char *key_dir = c->cli->key_dir, *twin;
	struct error_context error = {{0}};
	char key[KEY_TEXT_SIZE] = "", next[KEY_TEXT_SIZE], problem[400];
	bool has_secret = keys_has_secret(key_dir, name);
	int code = keys_load_public(key_dir, name, key, &error);
	if (!code && has_secret)
		code = keys_check_secrets(key_dir, name, &error);
	if (code == ERR_NOT_FOUND && !has_secret)
		snprintf(problem, sizeof problem, "missing: export it on its host and import it here");
	else if (code)
		snprintf(problem, sizeof problem, " %s", error.text);
	else if ((twin = check_twin(c, name, key)))
		snprintf(problem, sizeof problem, " is the key of %s, too", twin);
	else
		problem[0] = 0;
	check_print(c, name, what, key, problem[0] ? problem : NULL);
	code = keys_load_next(key_dir, name, next, &error);
	if (code == 0 && (twin = check_twin(c, name, next)))
		snprintf(problem, sizeof problem, " is the key of %s, too", twin);
	else if (code)
		snprintf(problem, sizeof problem, " %s", error.text);
	else
		problem[0] = 0;
	if (code != ERR_NOT_FOUND)
		check_print(c, name, "next key", code ? "" : next, problem[0] ? problem : NULL);
}

static void check_clients(struct check *c)
{
	static char names[KEY_CLIENTS_MAX][KEY_NAME_SIZE];
	uint32_t count = keys_list(c->cli->key_dir, "rights", names, KEY_CLIENTS_MAX);
	for (uint32_t i = 0; i < count && i < KEY_CLIENTS_MAX; i++) {
		struct error_context error = {{0}};
		struct rights rights;
		char text[RIGHTS_TEXT_MAX];
		check_key(c, names[i], "client");
		if (rights_load(c->cli->key_dir, names[i], &rights, &error) != 0) {
			check_print(c, names[i], "rights", "", error.text);
			continue;
		}
		rights_format(&rights, text);
		*strchr(text, '\n') = ' ';
		check_print(c, names[i], "rights", text, NULL);
	}
	if (count > KEY_CLIENTS_MAX)
		check_print(c, "clients", "too many", "", "only the first ones in the order of their names are let in");
}

static int check_run(struct cli *cli)
{
	static struct check c;
	struct stat status;
	bool is_one_host = keys_is_of_one_host(cli->key_dir);
	c.cli = cli;
	if (stat(cli->key_dir, &status) < 0)
		return cli_fail(cli, ERR_CONFIGURATION, "%s: %s; `godwit keys init` makes the keys of this host", cli->key_dir,
		    strerror(errno));
	if (status.st_mode & 022)
		check_print(&c, "directory", "", "", "others can write to it; run chmod 700 on it");
	uint32_t own = 0;
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		const char *name = cli->topology.regions[i].name;
		bool is_own = keys_has_secret(cli->key_dir, name);
		own += is_own;
		check_key(&c, name, is_own ? "region, secret here" : "region");
	}
	check_key(&c, KEY_NAME_CLIENT, "client of this host");
	check_clients(&c);
	if (!cli->json)
		printf("%s: %u of %u regions have their secret here%s; %u %s wrong\n", cli->key_dir, own,
		    cli->topology.region_count, is_one_host ? "" : ", no keys init was run", c.problems,
		    c.problems == 1 ? "thing is" : "things are");
	return c.problems ? 1 : 0;
}

static int rotate_run(struct cli *cli)
{
	struct error_context error = {{0}};
	const char *name = cli->arguments[1];
	int code = flags.finish ? keys_rotate_finish(cli->key_dir, name, &error) : keys_rotate(cli->key_dir, name, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	if (!flags.finish)
		printf("%s has a next key; next: `godwit keys export`, `godwit keys import` on every other host, then here "
		       "`godwit keys "
		       "rotate %s --finish`\n",
		    name, name);
	else if (is_region(cli, name))
		printf("%s has gone over to its next key; next: `godwit restart %s`, then export and import once more: the "
		       "others forget the "
		       "former key\n",
		    name, name);
	else
		printf(
		    "%s has gone over to its next key; export and import once more: the others forget the former key\n", name);
	return 0;
}

static int keys_run(struct cli *cli)
{
	static const struct {
		const char *name;
		int arguments_min, arguments_max;
		int (*run)(struct cli *cli);
	} actions[] = {{"init", 0, 0, init_run}, {"add", 1, 1, add_run}, {"export", 0, 30, export_run},
	    {"import", 1, 1, import_run}, {"check", 0, 0, check_run}, {"rotate", 1, 1, rotate_run}};
	int exit_code = cli_topology_load(cli);
	if (exit_code)
		return exit_code;
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
		if (strcmp(cli->arguments[0], actions[i].name) != 0)
			continue;
		int count = cli->argument_count - 1;
		if (count < actions[i].arguments_min || count > actions[i].arguments_max)
			return cli_fail(cli, ERR_USAGE, "keys %s: %s", actions[i].name,
			    count < actions[i].arguments_min ? "missing argument" : "too many arguments");
		return actions[i].run(cli);
	}
	return cli_fail(cli, ERR_USAGE, "keys: '%.40s' is none of init, add, export, import, check, rotate", cli->arguments[0]);
}

const struct command command_keys = {.name = "keys",
    .arguments = "init|add|export|import|check|rotate",
    .summary = "keys of this host, and those of the others that it lets in",
    .detail =
        "init            makes the secrets of this host's regions and of its commands, and no others\n"
        "add REGION      makes the secret of one more region of this host\n"
        "export [NAME]   prints the public keys of this host (or those named), for import on the others\n"
        "import FILE     takes in public keys of other hosts (-: standard input); clients get --rights on --keyspaces\n"
        "check           prints every key; exit code 1 when one is missing, unsafe or does not fit\n"
        "rotate NAME     makes a next key, which others take in beside the present one; with --finish goes over to it\n\n"
        "One machine with all regions needs none of this: `godwit up` makes its keys. docs/operating.md has several machines.",
    .options = keys_options,
    .option_values = &flags,
    .arguments_min = 1,
    .arguments_max = 31,
    .flags = COMMAND_OWN_TOPOLOGY | COMMAND_OWN_REGION,
    .run = keys_run};
