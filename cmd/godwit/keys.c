/* SPDX-License-Identifier: Apache-2.0
 *
 * keys: the key pairs of this host, and the public keys of the others. docs/operating.md has the procedures. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/godwit/hosts.h"
#include "cmd/godwit/keys.h"

static struct keys_flags keys_flags;

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

int keys_parent_make(struct cli *cli, struct error_context *error)
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
static int init_run(struct cli *cli, const struct keys_flags *flags)
{
	struct error_context error = {{0}};
	static struct hosts hosts;
	uint32_t mask = 0, one;
	char name[KEY_NAME_SIZE] = "", known[KEY_NAME_SIZE];
	int code = 0;
	for (uint32_t i = 0; !code && i < flags->regions.count; i++) {
		code = cli_regions_parse(&cli->topology, flags->regions.values[i], &one, &error);
		mask |= code ? 0 : one;
	}
	if (!code && !flags->regions.count && !flags->client) {
		hosts_look(cli, &hosts);
		mask = hosts.local;
	}
	if (!code && !mask && !flags->client)
		code = error_set(&error, ERR_CONFIGURATION,
		    "no region of the topology has an address of this machine; name one with -r, or a client's key with "
		    "--client");
	if (!code)
		code = keys_parent_make(cli, &error);
	if (!code)
		code = keys_mark_one_host(cli->key_dir, &error);
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		if (!(mask & 1u << i))
			continue;
		if (!name[0])
			snprintf(name, sizeof name, "client-%.33s", cli->topology.regions[i].name);
		code = pair_make(cli, cli->topology.regions[i].name, "region", &error);
	}
	if (flags->client)
		snprintf(name, sizeof name, "%.40s", flags->client);
	if (!code)
		code = keys_name_check(name, &error);
	if (!code && (strcmp(name, KEY_NAME_CLIENT) == 0 || is_region(cli, name)))
		code = error_set(&error, ERR_CONFIGURATION,
		    "--client: '%s' is taken; choose a name that no region and no other host has", name);
	if (!code)
		code = pair_make(cli, KEY_NAME_CLIENT, "client", &error);
	/* A name that cannot be read is replaced by one that is given, and by no other. */
	int known_code = code || flags->client ? ERR_NOT_FOUND : keys_client_name(cli->key_dir, known, &error);
	if (!code && known_code == ERR_NOT_FOUND)
		code = keys_write_file(cli->key_dir, KEY_NAME_CLIENT, KEY_CLIENT_NAME_ENDING, name, &error);
	else if (!code)
		code = known_code;
	if (code)
		return cli_fail_error(cli, code, &error);
	printf("in %s; next: `godwit keys export`, and `godwit keys import` on the other hosts\n", cli->key_dir);
	return 0;
}

static int add_run(struct cli *cli, const struct keys_flags *flags)
{
	(void)flags;
	struct error_context error = {{0}};
	const struct region *region = cli_region(cli, cli->arguments[1]);
	if (!region)
		return error_exit_code(ERR_USAGE);
	int code = keys_parent_make(cli, &error);
	if (!code && access(cli->key_dir, F_OK) < 0)
		code = error_set(&error, ERR_CONFIGURATION, "%s is not there; `godwit keys init` makes it", cli->key_dir);
	if (!code)
		code = pair_make(cli, region->name, "region", &error);
	return code ? cli_fail_error(cli, code, &error) : 0;
}

/* One name in the form that import reads: its present key and, if there is one, its next. Nothing but what is here: to export a
 * key of another host would be to vouch for it. */
static int export_one(const struct cli *cli, struct text *out, const char *name, struct error_context *error)
{
	char key[KEY_TEXT_SIZE], shown[KEY_NAME_SIZE];
	bool is_client = strcmp(name, KEY_NAME_CLIENT) == 0;
	int code = keys_name_check(name, error);
	if (code)
		return code;
	if (!keys_has_secret(cli->key_dir, name))
		return error_set(error, ERR_CONFIGURATION,
		    "the secret of %s is not in %.200s: a key is exported where its secret is", name, cli->key_dir);
	snprintf(shown, sizeof shown, "%s", name);
	code = is_client ? keys_client_name(cli->key_dir, shown, error) : 0;
	if (code == ERR_NOT_FOUND)
		return error_set(error, ERR_CONFIGURATION,
		    "the client key of %s has no name that other hosts could know it by; `godwit keys init --client NAME` "
		    "gives it one",
		    cli->key_dir);
	if (!code)
		code = keys_load_public(cli->key_dir, name, key, error);
	if (code)
		return code;
	text_add(out, "%s %s %s\n", is_client ? "client" : "region", shown, key);
	code = keys_load_next(cli->key_dir, name, key, error);
	if (!code)
		text_add(out, "next %s %s\n", shown, key);
	return code == ERR_NOT_FOUND ? 0 : code;
}

/* A file is there whole, or as it was. A link, a device or a pipe is written to: the text was complete before. */
static int export_write(const char *path, const struct text *text, struct error_context *error)
{
	char temporary[PATH_MAX];
	struct stat status;
	int failed = lstat(path, &status);
	bool is_replaced = failed ? errno == ENOENT : S_ISREG(status.st_mode);
	if (snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof temporary)
		return error_set(error, ERR_IO, "%.200s...: the path is too long", path);
	FILE *out = is_replaced ? fopen(temporary, "wxe") : fopen(path, "we");
	if (!out)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	bool is_good = fwrite(text->bytes, 1, text->size, out) == text->size;
	is_good = fclose(out) == 0 && is_good;
	if (is_good && is_replaced)
		is_good = rename(temporary, path) == 0;
	int code = is_good ? 0 : error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	if (code && is_replaced)
		unlink(temporary);
	return code;
}

static int export_run(struct cli *cli, const struct keys_flags *flags)
{
	static char names[KEYS_NAMES_MAX][KEY_NAME_SIZE];
	struct error_context error = {{0}};
	struct text out = {0};
	bool is_named = cli->argument_count > 1;
	uint32_t count = is_named ? (uint32_t)cli->argument_count - 1 : 0;
	int code = is_named ? 0 : keys_list(cli->key_dir, "secret", names, KEYS_NAMES_MAX, &count, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	if (count == 0)
		return cli_fail(
		    cli, ERR_CONFIGURATION, "no secret is in %s; `godwit keys init` makes those of this host", cli->key_dir);
	if (!is_named && count > KEYS_NAMES_MAX)
		return cli_fail(cli, ERR_CONFIGURATION,
		    "%u secrets are in %s, and %u at most are exported at once; name those to export", count, cli->key_dir,
		    KEYS_NAMES_MAX);
	text_add(&out, "# public keys of Godwit; on the other hosts: godwit keys import FILE\n");
	for (uint32_t i = 0; !code && i < count; i++)
		code = export_one(cli, &out, is_named ? cli->arguments[i + 1] : names[i], &error);
	if (!code && flags->output)
		code = export_write(flags->output, &out, &error);
	else if (!code)
		fwrite(out.bytes, 1, out.size, stdout);
	text_deinit(&out);
	return code ? cli_fail_error(cli, code, &error) : 0;
}

static int rotate_run(struct cli *cli, const struct keys_flags *flags)
{
	struct error_context error = {{0}};
	const char *name = cli->arguments[1];
	int code = flags->finish ? keys_rotate_finish(cli->key_dir, name, &error) : keys_rotate(cli->key_dir, name, &error);
	if (code)
		return cli_fail_error(cli, code, &error);
	if (!flags->finish)
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
		int (*run)(struct cli *cli, const struct keys_flags *flags);
	} actions[] = {{"init", 0, 0, init_run}, {"add", 1, 1, add_run}, {"export", 0, 30, export_run},
	    {"import", 1, 1, keys_import_run}, {"check", 0, 0, keys_check_run}, {"rotate", 1, 1, rotate_run}};
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
		return actions[i].run(cli, &keys_flags);
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
    .option_values = &keys_flags,
    .arguments_min = 1,
    .arguments_max = 31,
    .flags = COMMAND_OWN_TOPOLOGY | COMMAND_OWN_REGION,
    .run = keys_run};
