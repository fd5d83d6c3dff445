/* SPDX-License-Identifier: Apache-2.0
 *
 * indoubt: strong transactions whose outcome a region does not know. */
#include <string.h>

#include "cmd/godwit/cli.h"
#include "core/commit_entry.h"

struct listing {
	struct cli *cli;
	const struct region *region;
	struct gw_connection *connection;
	int code;
	char reason[256]; /* with a code other than 0 */
	uint64_t count;
	struct text lines;
};

static const char *coordinator_name(const struct cli *cli, const Godwit__Client__InDoubt *t)
{
	struct commit_id id;
	if (commit_version_decode(&id, t->transaction.data, t->transaction.len) < 0)
		return "?";
	const struct region *region = topology_region_by_id(&cli->topology, id.region);
	return region ? region->name : "?";
}

static void transaction_json(struct listing *l, const Godwit__Client__InDoubt *t)
{
	struct text *json = &l->lines;
	text_add(json, "{");
	json_add_version(json, "transaction", t->transaction.data, t->transaction.len);
	text_add(json, ",");
	json_add_text(json, "region", l->region->name);
	text_add(json, ",");
	json_add_text(json, "coordinator", coordinator_name(l->cli, t));
	text_add(json, ",\"voted\":%s,\"coordinating\":%s,\"age_ms\":%llu,\"keys\":[", t->voted ? "true" : "false",
	    t->coordinating ? "true" : "false", (unsigned long long)t->age_ms);
	for (size_t i = 0; i < t->n_keys; i++) {
		text_add(json, i ? ",{" : "{");
		json_add_bytes(json, "key", t->keys[i]->key.data, t->keys[i]->key.len);
		text_add(json, "}");
	}
	text_add(json, "]}\n");
}

static void transaction_line(struct listing *l, const Godwit__Client__InDoubt *t)
{
	char version[DOTTED_TEXT_MAX];
	version_format(t->transaction.data, t->transaction.len, version);
	text_add(&l->lines, "%-24s %-16s %-16s %-19s %10llu  ", version, l->region->name, coordinator_name(l->cli, t),
	    t->voted && t->coordinating ? "voted, coordinating"
	    : t->voted                  ? "voted"
	    : t->coordinating           ? "coordinating"
	                                : "known",
	    (unsigned long long)t->age_ms);
	for (size_t i = 0; i < t->n_keys; i++) {
		text_add(&l->lines, i ? " " : "");
		text_add_escaped(&l->lines, t->keys[i]->key.data, t->keys[i]->key.len);
	}
	text_add(&l->lines, "\n");
}

static void listing_take(void *context, const struct client_result *result)
{
	struct listing *l = context;
	const Godwit__Client__Answer *answer = result->answer;
	l->code = result->code;
	if (l->code) {
		snprintf(l->reason, sizeof l->reason, "%.200s", *result->reason ? result->reason : gw_error_text(l->code));
		return;
	}
	l->count = answer->n_in_doubt;
	for (size_t i = 0; i < answer->n_in_doubt; i++) {
		if (l->cli->json)
			transaction_json(l, answer->in_doubt[i]);
		else
			transaction_line(l, answer->in_doubt[i]);
	}
}

/* All are asked at once: one that does not answer holds up nobody. 0, or an exit code with the failure printed. */
static int listings_ask(struct cli *cli, struct listing *listings, uint32_t count)
{
	struct error_context error = {{0}};
	struct client_operation operation = {.kind = CLIENT_IN_DOUBT};
	for (uint32_t i = 0; i < count; i++) {
		struct listing *l = &listings[i];
		if (!cli_region_may_answer(cli, l->region)) {
			l->code = ERR_UNREACHABLE;
			strcpy(l->reason, "not running");
			continue;
		}
		int code = cli_connect(cli, l->region, 0, &l->connection, &error);
		if (code)
			return cli_fail_error(cli, code, &error);
		client_submit(l->connection, &operation);
		gw_flush(l->connection);
	}
	for (uint32_t i = 0; i < count; i++)
		while (listings[i].connection && gw_pending(listings[i].connection))
			client_poll(listings[i].connection, 100, listing_take, &listings[i]);
	return 0;
}

static int listings_print(struct cli *cli, const struct listing *listings, uint32_t count)
{
	uint64_t found = 0;
	uint32_t silent = 0;
	for (uint32_t i = 0; i < count; i++) {
		found += listings[i].count;
		silent += listings[i].code != 0;
	}
	if (!cli->json && found)
		printf("%s%-24s %-16s %-16s %-19s %10s  %s%s\n", cli_bold(), "TRANSACTION", "REGION", "COORDINATOR", "STATE",
		    "AGE MS", "KEYS", cli_plain());
	else if (!cli->json && silent < count)
		printf("no undecided transactions%s\n", silent ? " where there was an answer" : "");
	for (uint32_t i = 0; i < count; i++)
		fwrite(listings[i].lines.size ? listings[i].lines.bytes : "", 1, listings[i].lines.size, stdout);
	for (uint32_t i = 0; i < count && silent; i++)
		if (listings[i].code)
			return cli_fail(cli, listings[i].code, "%u of %u regions gave no list; %s: %s", silent, count,
			    listings[i].region->name, listings[i].reason);
	return 0;
}

static int indoubt_run(struct cli *cli)
{
	static struct listing listings[REGIONS_MAX];
	uint32_t count = 0;
	if (cli->region) {
		listings[count].region = cli_region(cli, cli->region);
		if (!listings[count].region)
			return error_exit_code(ERR_USAGE);
		listings[count++].cli = cli;
	}
	for (uint32_t i = 0; !cli->region && i < cli->topology.region_count; i++)
		listings[count++] = (struct listing){.cli = cli, .region = &cli->topology.regions[i]};
	int exit_code = listings_ask(cli, listings, count);
	if (!exit_code)
		exit_code = listings_print(cli, listings, count);
	for (uint32_t i = 0; i < count; i++) {
		gw_close(listings[i].connection);
		text_deinit(&listings[i].lines);
	}
	return exit_code;
}

const struct command command_indoubt = {.name = "indoubt",
    .arguments = "",
    .summary = "strong transactions that are not decided",
    .detail = "Of every region, or of --region. Regions settle them by themselves; one that stays waits for a majority.",
    .run = indoubt_run};
