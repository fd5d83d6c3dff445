/* SPDX-License-Identifier: Apache-2.0
 *
 * keys check: every key, and what is wrong with it. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/godwit/keys.h"
#include "runtime/rights.h"

struct check {
	struct cli *cli;
	uint32_t problems, count;
	char keys[2 * KEYS_NAMES_MAX][KEY_TEXT_SIZE], names[2 * KEYS_NAMES_MAX][KEY_NAME_SIZE];
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
	if (c->count < 2 * KEYS_NAMES_MAX) {
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
	struct error_context unread = {{0}};
	uint32_t count;
	if (keys_list(c->cli->key_dir, "rights", names, KEY_CLIENTS_MAX, &count, &unread) != 0)
		check_print(c, "clients", "unreadable", "", unread.text);
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

int keys_check_run(struct cli *cli, const struct keys_flags *flags)
{
	(void)flags;
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
