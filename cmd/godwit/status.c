/* SPDX-License-Identifier: Apache-2.0
 *
 * status: what every region says of itself, and how far behind the others are. */
#include <string.h>

#include "cmd/godwit/survey.h"
#include "shm/layout.h"

#define STATUS_TIMEOUT_MS 2000u
#define RATE_SAMPLE_MS    250u

struct rate {
	struct shm shm;
	bool attached;
	uint64_t writes, reads, received, sampled_ns;
};

/* Answered from the rows by the router, and by a majority through the coordinator. */
static uint64_t reads_of(const struct shm *shm)
{
	return counter_get(&shm->layout->counters[ACTOR_ROUTER], COUNTER_reads) +
	       counter_get(&shm->layout->counters[ACTOR_COORDINATOR], COUNTER_reads);
}

static void rate_start(struct survey *survey, uint32_t i, struct rate *rate)
{
	char dir[320];
	cli_region_dir(survey->cli, survey->regions[i].region, dir);
	*rate = (struct rate){0};
	if (!survey->regions[i].connection || shm_attach(&rate->shm, dir, 0, NULL) != 0)
		return;
	rate->attached = true;
	rate->sampled_ns = cli_now_ns();
	rate->writes = counter_get(&rate->shm.layout->counters[ACTOR_COORDINATOR], COUNTER_writes);
	rate->reads = reads_of(&rate->shm);
	rate->received = counter_get(&rate->shm.layout->counters[ACTOR_COORDINATOR], COUNTER_records_received);
}

static uint64_t per_second(uint64_t before, uint64_t after, uint64_t elapsed_ns)
{
	return after > before && elapsed_ns ? (uint64_t)((double)(after - before) * 1e9 / (double)elapsed_ns) : 0;
}

/* From here on the figures are rates a second. */
static void rate_end(struct rate *rate)
{
	if (!rate->attached)
		return;
	uint64_t elapsed_ns = cli_now_ns() - rate->sampled_ns;
	const struct shm_layout *layout = rate->shm.layout;
	rate->writes = per_second(rate->writes, counter_get(&layout->counters[ACTOR_COORDINATOR], COUNTER_writes), elapsed_ns);
	rate->reads = per_second(rate->reads, reads_of(&rate->shm), elapsed_ns);
	rate->received =
	    per_second(rate->received, counter_get(&layout->counters[ACTOR_COORDINATOR], COUNTER_records_received), elapsed_ns);
	shm_detach(&rate->shm);
}

static const char *state_of(const struct survey_region *r)
{
	return r->answered ? "up" : r->connection ? "silent" : "down";
}

static const char *peer_name(const struct survey *survey, uint32_t id)
{
	const struct region *region = topology_region_by_id(&survey->cli->topology, id);
	return region ? region->name : "?";
}

static void region_json(const struct survey *survey, const struct survey_region *r, const struct rate *rate, uint64_t keyspaces)
{
	struct text json = {0};
	char version[VECTOR_TEXT_MAX], digest[40];
	text_add(&json, "{");
	json_add_text(&json, "name", r->region->name);
	text_add(&json, ",\"id\":%u,\"endpoint\":\"tcp://%s:%u\",", r->region->id, r->region->host, r->region->port);
	json_add_text(&json, "state", state_of(r));
	text_add(&json, ",\"reachable\":%s", r->answered ? "true" : "false");
	if (!r->answered) {
		text_add(&json, ",");
		json_add_text(&json, "reason", r->reason);
	} else {
		vector_format(&r->applied, version);
		digest_format(survey_digest_sum(r, keyspaces), digest);
		text_add(&json,
		    ",\"rows\":%llu,\"conflicts\":%llu,\"conflicts_dropped\":%llu,\"digest\":\"%s\",\"applied\":\"%s\",\"map_"
		    "bytes\":%llu,"
		    "\"log_bytes\":%llu,\"raw_bytes_sent\":%llu,\"wire_bytes_sent\":%llu,\"in_doubt\":%llu",
		    (unsigned long long)r->live_rows, (unsigned long long)r->conflicts,
		    (unsigned long long)r->conflicts_dropped, digest, version, (unsigned long long)r->map_bytes,
		    (unsigned long long)r->log_bytes, (unsigned long long)r->raw_bytes_sent,
		    (unsigned long long)r->wire_bytes_sent, (unsigned long long)r->in_doubt);
		if (rate->attached)
			text_add(&json, ",\"writes_per_second\":%llu,\"reads_per_second\":%llu,\"received_per_second\":%llu",
			    (unsigned long long)rate->writes, (unsigned long long)rate->reads,
			    (unsigned long long)rate->received);
		text_add(&json, ",\"peers\":[");
		for (uint32_t i = 0; i < r->peer_count; i++) {
			const struct survey_peer *p = &r->peers[i];
			text_add(&json, "%s{", i ? "," : "");
			json_add_text(&json, "name", peer_name(survey, p->id));
			text_add(&json, ",");
			json_add_text(&json, "state", p->state);
			text_add(&json,
			    ",\"round_trip_ms\":%.3f,\"lag_records\":%llu,\"lag_bytes\":%llu,\"lag_ms\":%llu,\"age_ms\":%llu}",
			    (double)p->round_trip_us / 1000, (unsigned long long)p->lag_records,
			    (unsigned long long)p->lag_bytes, (unsigned long long)p->lag_ms, (unsigned long long)p->age_ms);
		}
		text_add(&json, "]");
	}
	text_add(&json, "}");
	cli_print_json(&json);
	text_deinit(&json);
}

static void region_line(const struct survey_region *r, const struct rate *rate, uint64_t keyspaces)
{
	char rows[32], conflicts[32], writes[32], received[32], reads[32], digest[40], log[32];
	printf("%-16s %s%-7s%s", r->region->name, r->answered ? cli_green() : cli_red(), state_of(r), cli_plain());
	if (!r->answered) {
		printf(" %s\n", r->connection ? r->reason : "");
		return;
	}
	digest_format(survey_digest_sum(r, keyspaces), digest);
	printf(" %12s %10s %10s %10s %10s %10s  %.8s\n", grouped(r->live_rows, rows), grouped(r->conflicts, conflicts),
	    rate->attached ? grouped(rate->writes, writes) : "-", rate->attached ? grouped(rate->reads, reads) : "-",
	    rate->attached ? grouped(rate->received, received) : "-", bytes_format(r->log_bytes, log), digest);
}

static void peers_print(const struct survey *survey)
{
	char records[32], bytes[32], lag_ms[32];
	printf("\n%s%-16s %-16s %-8s %10s %12s %10s %10s %9s%s\n", cli_bold(), "FROM", "TO", "STATE", "ROUND TRIP",
	    "LAG RECORDS", "BYTES", "MS", "AGE MS", cli_plain());
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		for (uint32_t j = 0; r->answered && j < r->peer_count; j++) {
			const struct survey_peer *p = &r->peers[j];
			bool good = strcmp(p->state, "up") == 0;
			printf("%-16s %-16s %s%-8s%s %7.1f ms %12s %10s %10s %9llu\n", r->region->name,
			    peer_name(survey, p->id), good ? cli_green() : cli_red(), p->state, cli_plain(),
			    (double)p->round_trip_us / 1000, grouped(p->lag_records, records),
			    bytes_format(p->lag_bytes, bytes), grouped(p->lag_ms, lag_ms), (unsigned long long)p->age_ms);
		}
	}
}

/* Nothing when there is nothing to say. */
static void in_doubt_print(const struct survey *survey)
{
	const char *separator = "\nundecided strong transactions: ";
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		if (!r->answered || !r->in_doubt)
			continue;
		printf("%s%s %llu", separator, r->region->name, (unsigned long long)r->in_doubt);
		separator = ", ";
	}
	if (*separator == ',')
		printf(" (godwit indoubt lists them)\n");
}

static int status_run(struct cli *cli)
{
	static struct survey survey;
	struct rate rates[REGIONS_MAX];
	uint32_t answered = 0;
	uint64_t keyspaces = survey_keyspaces_served(&cli->topology);
	int exit_code = survey_open(&survey, cli);
	if (exit_code)
		return exit_code;
	survey_ask(&survey, true, keyspaces, cli->timeout_ms < STATUS_TIMEOUT_MS ? cli->timeout_ms : STATUS_TIMEOUT_MS);
	for (uint32_t i = 0; i < survey.region_count; i++) /* after our own questions, which count as reads */
		rate_start(&survey, i, &rates[i]);
	cli_sleep_ms(RATE_SAMPLE_MS);
	if (!cli->json)
		printf("%s%-16s %-7s %12s %10s %10s %10s %10s %10s  %s%s\n", cli_bold(), "REGION", "STATE", "ROWS", "CONFLICTS",
		    "WRITES/S", "READS/S", "RECEIVED/S", "LOG", "DIGEST", cli_plain());
	for (uint32_t i = 0; i < survey.region_count; i++) {
		rate_end(&rates[i]);
		answered += survey.regions[i].answered;
		if (cli->json)
			region_json(&survey, &survey.regions[i], &rates[i], keyspaces);
		else
			region_line(&survey.regions[i], &rates[i], keyspaces);
	}
	if (!cli->json && answered && survey.region_count > 1)
		peers_print(&survey);
	if (!cli->json)
		in_doubt_print(&survey);
	survey_close(&survey);
	return answered ? 0 : error_exit_code(ERR_UNREACHABLE);
}

const struct command command_status = {.name = "status",
    .arguments = "",
    .summary = "regions, rows, conflicts, lag, round trips, rates",
    .detail = "Lag: what a region wrote and another has not yet on its disk; AGE: how old that figure is. Rates are of regions "
              "of this\n"
              "machine, over a quarter of a second. Equal digests mean equal rows. Undecided: under way\n"
              "a moment ago, or waiting for a majority. Exit code 5 when no region answers.",
    .run = status_run};
