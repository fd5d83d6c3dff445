/* SPDX-License-Identifier: Apache-2.0
 *
 * keys import: public keys of other hosts, and the rights that their clients get here. The whole file is read, its names
 * and the rights are looked at, before anything of it is taken in. */
#include <errno.h>
#include <string.h>

#include "cmd/godwit/keys.h"
#include "runtime/rights.h"

#define IMPORT_SIZE_MAX 65536u

struct import_line {
	char kind[8], name[KEY_NAME_SIZE], key[KEY_TEXT_SIZE];
	bool is_own;     /* this host's client key, which came back with a file that goes round */
	bool has_rights; /* to be written: */
	struct rights rights;
};
struct import {
	struct cli *cli;
	const struct keys_flags *flags;
	struct rights given; /* of the flags; what neither says is that of a new client */
	struct import_line lines[KEYS_NAMES_MAX];
	uint32_t count;
};

static const char *topology_name(const struct cli *cli)
{
	return cli->topology_file[0] ? cli->topology_file : "the built-in topology; --topology FILE names another";
}

/* 0, ERR_EMPTY for a line that says nothing, or what is wrong with it. */
static int line_parse(const struct cli *cli, const char *text, struct import_line *line, struct error_context *error)
{
	char more[2];
	*line = (struct import_line){0};
	if (text[0] == '#' || text[strspn(text, " \t\r")] == 0)
		return ERR_EMPTY;
	if (sscanf(text, "%7s %40s %40s %1s", line->kind, line->name, line->key, more) != 3 || !keys_text_is_key(line->key) ||
	    (strcmp(line->kind, "region") && strcmp(line->kind, "client") && strcmp(line->kind, "next")))
		return error_set(
		    error, ERR_CONFIGURATION, "'%.80s' is no line of `godwit keys export`: region|client|next NAME KEY", text);
	int code = keys_name_check(line->name, error);
	bool is_region = topology_region(&cli->topology, line->name);
	if (code)
		return code;
	/* Every host calls its own pair so, and that pair has every right. */
	if (strcmp(line->name, KEY_NAME_CLIENT) == 0)
		return error_set(error, ERR_CONFIGURATION,
		    "'%s' is the name of this host's own key, and of no key of elsewhere", line->name);
	if (strcmp(line->kind, "client") == 0 && is_region)
		return error_set(
		    error, ERR_CONFIGURATION, "the name '%s' is a region's, and not for a client of another host", line->name);
	if (strcmp(line->kind, "region") == 0 && !is_region)
		return error_set(error, ERR_CONFIGURATION, "there is no region '%s' in %.200s", line->name, topology_name(cli));
	return 0;
}

/* --rights and --keyspaces. */
static int given_parse(struct import *import, struct error_context *error)
{
	const struct keys_flags *flags = import->flags;
	const struct topology *topology = &import->cli->topology;
	char name[NAME_SIZE_MAX];
	if (rights_parse(
	        flags->rights ? flags->rights : "read", flags->keyspaces ? flags->keyspaces : "*", &import->given, error) != 0)
		return ERR_USAGE;
	for (const char *at = strcmp(import->given.keyspaces, "*") ? import->given.keyspaces : NULL; at;) {
		size_t size = strcspn(at, ",");
		snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : sizeof name - 1), at);
		if (size == 0 || size >= sizeof name || topology_keyspace(topology, name) < 0)
			return error_set(error, ERR_UNKNOWN_KEYSPACE, "--keyspaces: there is no keyspace '%.60s' in %.150s",
			    name, topology_name(import->cli));
		at = at[size] ? at + size + 1 : NULL;
	}
	return 0;
}

/* Rights that were given stay, unless others are, and each half of them by itself: a rotated key comes the same way. */
static int rights_plan(const struct import *import, struct import_line *line, struct error_context *error)
{
	const struct keys_flags *flags = import->flags;
	struct error_context reason = {{0}};
	int code = rights_load(import->cli->key_dir, line->name, &line->rights, &reason);
	bool is_known = code == 0;
	if (code && code != ERR_NOT_FOUND && !(flags->rights && flags->keyspaces))
		return error_set(error, code, "%.200s; give both --rights and --keyspaces", reason.text);
	line->has_rights = !is_known || flags->rights || flags->keyspaces;
	if (!is_known || flags->rights) {
		line->rights.read = import->given.read;
		line->rights.write = import->given.write;
		line->rights.admin = import->given.admin;
	}
	if (!is_known || flags->keyspaces)
		memcpy(line->rights.keyspaces, import->given.keyspaces, sizeof line->rights.keyspaces);
	return 0;
}

static int line_plan(const struct import *import, struct import_line *line, struct error_context *error)
{
	char own[KEY_NAME_SIZE];
	/* It is let in under another name here. */
	int code = keys_client_name(import->cli->key_dir, own, error);
	line->is_own = !code && strcmp(own, line->name) == 0;
	if (code == ERR_NOT_FOUND)
		code = 0;
	return !code && !line->is_own && strcmp(line->kind, "client") == 0 ? rights_plan(import, line, error) : code;
}

static int file_parse(struct import *import, const char *path, char *text, struct error_context *error)
{
	struct error_context reason = {{0}};
	char *rest = text;
	int code = 0;
	for (char *at; !code && (at = strsep(&rest, "\n"));) {
		struct import_line line;
		code = line_parse(import->cli, at, &line, &reason);
		if (code == ERR_EMPTY) {
			code = 0;
			continue;
		}
		if (!code && import->count == KEYS_NAMES_MAX)
			code = error_set(&reason, ERR_CONFIGURATION, "more than %u keys", KEYS_NAMES_MAX);
		if (!code)
			code = line_plan(import, &line, &reason);
		if (!code)
			import->lines[import->count++] = line;
	}
	if (!code && !import->count)
		code = error_set(&reason, ERR_CONFIGURATION, "no key is in it");
	return code ? error_set(error, code, "%s: %s", path, reason.text) : 0;
}

static int file_read(const char *path, char text[static IMPORT_SIZE_MAX + 1], struct error_context *error)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!in)
		return error_set(error, ERR_CONFIGURATION, "%s: %s", path, strerror(errno));
	size_t size = fread(text, 1, IMPORT_SIZE_MAX, in);
	bool is_whole = !ferror(in) && size < IMPORT_SIZE_MAX;
	if (in != stdin)
		fclose(in);
	text[is_whole ? size : 0] = 0;
	return is_whole && strlen(text) == size
	           ? 0
	           : error_set(error, ERR_CONFIGURATION, "%s: is no file of `godwit keys export`", path);
}

static int line_import(const struct import *import, const struct import_line *line, struct error_context *error)
{
	static const char *const words[] = {[KEY_IMPORT_NEW] = "imported",
	    [KEY_IMPORT_SAME] = "was known",
	    [KEY_IMPORT_NEXT_IS_CURRENT] = "its next key is its key now; the one before it is no longer let in",
	    [KEY_IMPORT_REPLACED] = "replaced"};
	enum key_import done;
	char text[RIGHTS_TEXT_MAX] = "";
	if (line->is_own) {
		printf("%-24s %-6s is this host's own\n", line->name, line->kind);
		return 0;
	}
	int code = keys_import(
	    import->cli->key_dir, line->name, line->key, strcmp(line->kind, "next") == 0, import->flags->replace, &done, error);
	if (!code && line->has_rights) {
		rights_format(&line->rights, text);
		code = keys_write_file(import->cli->key_dir, line->name, "rights", text, error);
	}
	if (code)
		return code;
	printf("%-24s %-6s %s", line->name, line->kind, words[done]);
	if (line->has_rights)
		printf("; may %.*s in %s", (int)strcspn(text, "\n"), text, line->rights.keyspaces);
	printf("\n");
	return 0;
}

int keys_import_run(struct cli *cli, const struct keys_flags *flags)
{
	static struct import import;
	static char text[IMPORT_SIZE_MAX + 1];
	struct error_context error = {{0}};
	import = (struct import){.cli = cli, .flags = flags};
	int code = given_parse(&import, &error);
	if (!code)
		code = file_read(cli->arguments[1], text, &error);
	if (!code)
		code = file_parse(&import, cli->arguments[1], text, &error);
	if (!code)
		code = keys_parent_make(cli, &error);
	for (uint32_t i = 0; !code && i < import.count; i++)
		code = line_import(&import, &import.lines[i], &error);
	return code ? cli_fail_error(cli, code, &error) : 0;
}
