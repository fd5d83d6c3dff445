/* SPDX-License-Identifier: Apache-2.0
 *
 * conflicts: what crossed, and who won. */
#include <stdlib.h>
#include <string.h>

#include "cmd/godwit/cli.h"
#include "core/hlc.h"

#define PAGE_CONFLICTS 200u

static uint64_t limit = 50;
static const struct option conflicts_options[] = {
    {"limit", 0, OPTION_U64, 0, 1, UINT64_MAX, "N", "list: at most so many, the newest first (default: 50)"},
    {0},
};

static const char *region_name(struct cli *cli, uint32_t id)
{
	const struct region *region = topology_region_by_id(&cli->topology, id);
	return region ? region->name : "?";
}

static void side_json(struct cli *cli, struct text *json, const Godwit__Client__Side *side, bool values)
{
	text_add(json, "{");
	json_add_text(json, "region", region_name(cli, side->region));
	text_add(json, ",\"dot\":\"%u:%llu\",\"hlc\":\"%llu\",\"deleted\":%s", side->region, (unsigned long long)side->sequence,
	    (unsigned long long)side->hlc, side->tombstone ? "true" : "false");
	if (values && !side->tombstone) {
		text_add(json, ",");
		json_add_bytes(json, "value", side->value.data, side->value.len);
		text_add(json, ",\"value_cut\":%s", side->value_cut ? "true" : "false");
	}
	text_add(json, "}");
}

static void conflict_json(struct cli *cli, const Godwit__Client__Conflict *c, bool values, struct text *json)
{
	char when[40];
	time_format(c->recorded_ms, when);
	text_add(json, "{\"id\":%llu,", (unsigned long long)c->id);
	json_add_text(json, "recorded", when);
	text_add(json, ",");
	json_add_text(json, "keyspace", c->keyspace);
	text_add(json, ",");
	json_add_bytes(json, "key", c->key.data, c->key.len);
	text_add(json, ",");
	json_add_text(json, "strategy", c->strategy);
	text_add(json, ",");
	json_add_text(json, "winner", region_name(cli, c->winner_region));
	text_add(json, ",\"winner_dot\":\"%u:%llu\",", c->winner_region, (unsigned long long)c->winner_sequence);
	json_add_version(json, "arrived_context", c->arrived_context.data, c->arrived_context.len);
	text_add(json, ",");
	json_add_version(json, "held_context", c->held_context.data, c->held_context.len);
	text_add(json, ",\"arrived\":");
	if (c->arrived)
		side_json(cli, json, c->arrived, values);
	else
		text_add(json, "null");
	text_add(json, ",\"held\":[");
	for (size_t i = 0; i < c->n_held; i++) {
		text_add(json, i ? "," : "");
		side_json(cli, json, c->held[i], values);
	}
	text_add(json, "]}");
	cli_print_json(json);
}

static void conflict_line(struct cli *cli, const Godwit__Client__Conflict *c, struct text *out)
{
	char when[40];
	struct text between = {0};
	time_format(c->recorded_ms, when);
	text_add(&between, "%s", c->arrived ? region_name(cli, c->arrived->region) : "?");
	for (size_t i = 0; i < c->n_held; i++)
		text_add(&between, " x %s", region_name(cli, c->held[i]->region));
	text_clear(out);
	text_add_escaped(out, c->key.data, c->key.len < 60 ? c->key.len : 60);
	printf("%8llu  %s  %-10s %-36s %s wins (%s)  %s\n", (unsigned long long)c->id, when, c->keyspace, between.bytes,
	    region_name(cli, c->winner_region), c->strategy, out->bytes);
	text_deinit(&between);
}

static void side_print(
    struct cli *cli, const char *title, const Godwit__Client__Side *side, const Godwit__Client__Conflict *c, struct text *out)
{
	char when[40];
	bool won = side->region == c->winner_region && side->sequence == c->winner_sequence;
	time_format(hlc_milliseconds(side->hlc), when);
	printf("%-9s %s%s%s, write %llu, at %s%s\n", title, cli_bold(), region_name(cli, side->region), cli_plain(),
	    (unsigned long long)side->sequence, when, won ? "  <- wins" : "");
	text_clear(out);
	text_add_escaped(out, side->value.data, side->value.len);
	printf("          %s%s\n",
	    side->tombstone ? "(deleted)"
	    : out->size     ? out->bytes
	                    : "(empty)",
	    side->value_cut ? "... (cut; the history keeps the beginning)" : "");
}

static void conflict_print(struct cli *cli, const Godwit__Client__Conflict *c, struct text *out)
{
	char when[40], arrived[DOTTED_TEXT_MAX], held[DOTTED_TEXT_MAX];
	time_format(c->recorded_ms, when);
	version_format(c->arrived_context.data, c->arrived_context.len, arrived);
	version_format(c->held_context.data, c->held_context.len, held);
	text_clear(out);
	text_add_escaped(out, c->key.data, c->key.len);
	printf("conflict  %llu, found %s\n", (unsigned long long)c->id, when);
	printf("key       %s\n", out->bytes);
	printf("keyspace  %s, decided by %s\n", c->keyspace, c->strategy);
	if (c->arrived)
		side_print(cli, "arrived", c->arrived, c, out);
	printf("          had seen %s\n", arrived);
	for (size_t i = 0; i < c->n_held; i++)
		side_print(cli, i ? "" : "beside", c->held[i], c, out);
	printf("          the row had seen %s\n", held);
}

static int list_run(struct cli *cli, struct gw_connection *connection)
{
	struct client_result result;
	struct text out = {0};
	uint64_t printed = 0, before = 0;
	int exit_code = 0;
	bool more = true;
	while (more && printed < limit) {
		struct client_operation operation = {.kind = CLIENT_CONFLICTS,
		    .keyspace = cli->keyspace,
		    .limit = limit - printed < PAGE_CONFLICTS ? (uint32_t)(limit - printed) : PAGE_CONFLICTS,
		    .limit_id = before};
		if (client_call(connection, &operation, &result) != 0) {
			exit_code = cli_fail_result(cli, &result);
			break;
		}
		const Godwit__Client__Answer *answer = result.answer;
		for (size_t i = 0; i < answer->n_conflicts; i++) {
			text_clear(&out);
			if (cli->json)
				conflict_json(cli, answer->conflicts[i], false, &out);
			else
				conflict_line(cli, answer->conflicts[i], &out);
			before = answer->conflicts[i]->id;
		}
		printed += answer->n_conflicts;
		more = answer->more && answer->n_conflicts;
	}
	if (!exit_code && !cli->json && printed == 0)
		printf("no conflicts in this region's history\n");
	if (!exit_code && more) {
		fflush(stdout);
		fprintf(stderr, "there are more than %llu; use --limit\n", (unsigned long long)printed);
	}
	text_deinit(&out);
	return exit_code;
}

static int show_run(struct cli *cli, struct gw_connection *connection, uint64_t id)
{
	struct client_result result;
	struct text out = {0};
	struct client_operation operation = {.kind = CLIENT_CONFLICT, .keyspace = cli->keyspace, .limit_id = id};
	if (client_call(connection, &operation, &result) == ERR_NOT_FOUND)
		return cli_fail(cli, ERR_NOT_FOUND, "no conflict %llu in this region's history", (unsigned long long)id);
	if (result.code)
		return cli_fail_result(cli, &result);
	const Godwit__Client__Answer *answer = result.answer;
	if (answer->n_conflicts != 1)
		return cli_fail(cli, ERR_MALFORMED, "the region answers with %zu conflicts", answer->n_conflicts);
	if (cli->json)
		conflict_json(cli, answer->conflicts[0], true, &out);
	else
		conflict_print(cli, answer->conflicts[0], &out);
	text_deinit(&out);
	return 0;
}

static int conflicts_run(struct cli *cli)
{
	const char *what = cli->argument_count ? cli->arguments[0] : "list";
	bool show = strcmp(what, "show") == 0;
	uint64_t id = 0;
	int exit_code;
	if (!show && strcmp(what, "list") != 0)
		return cli_fail(cli, ERR_USAGE, "conflicts '%.40s': use list or show ID", what);
	if (cli->argument_count > (show ? 2 : 1) || (show && cli->argument_count < 2))
		return cli_fail(cli, ERR_USAGE, "usage: godwit conflicts [list|show ID]");
	if (show) {
		char *end;
		id = strtoull(cli->arguments[1], &end, 10);
		if (*end || cli->arguments[1][0] < '0' || cli->arguments[1][0] > '9')
			return cli_fail(cli, ERR_USAGE, "'%.40s' is not the number of a conflict", cli->arguments[1]);
	}
	struct gw_connection *connection = cli_connect_region(cli, &exit_code);
	if (!connection)
		return exit_code;
	exit_code = show ? show_run(cli, connection, id) : list_run(cli, connection);
	gw_close(connection);
	return exit_code;
}

const struct command command_conflicts = {.name = "conflicts",
    .arguments = "[list|show ID]",
    .summary = "writes that crossed, as a region recorded them",
    .detail = "Each region keeps a history of its own, bounded by size and age.",
    .options = conflicts_options,
    .option_values = &limit,
    .arguments_max = 2,
    .run = conflicts_run};
