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

static bool is_well(const char *state)
{
	return strcmp(state, "up") == 0;
}

static void region_json(const struct survey *survey, const struct survey_region *r, const struct rate *rate, uint64_t keyspaces)
{
	struct text json = {0};
	char version[VECTOR_TEXT_MAX], digest[40], reason[256];
	text_add(&json, "{");
	json_add_text(&json, "name", r->region->name);
	text_add(&json, ",\"id\":%u,\"endpoint\":\"tcp://%s:%u\",", r->region->id, r->region->host, r->region->port);
	json_add_text(&json, "state", survey_region_state(survey, r, reason));
	text_add(&json, ",\"reachable\":%s,", r->answered ? "true" : "false");
	json_add_text(&json, "reason", reason);
	if (r->answered) {
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
		text_add(&json, ",\"records_ahead\":%llu,\"records_ahead_ms\":%llu", (unsigned long long)r->records_ahead,
		    (unsigned long long)r->records_ahead_ms);
		if (r->clock_heard)
			text_add(&json, ",\"clock_ahead_ms\":%lld,\"clocks_heard\":%u", (long long)r->clock_ahead_ms,
			    r->clock_heard);
		if (rate->attached)
			text_add(&json, ",\"writes_per_second\":%llu,\"reads_per_second\":%llu,\"received_per_second\":%llu",
			    (unsigned long long)rate->writes, (unsigned long long)rate->reads,
			    (unsigned long long)rate->received);
		text_add(&json, ",\"peers\":[");
		for (uint32_t i = 0; i < r->peer_count; i++) {
			const struct survey_peer *p = &r->peers[i];
			text_add(&json, "%s{", i ? "," : "");
			json_add_text(&json, "name", survey_region_name(survey, p->id));
			text_add(&json, ",");
			json_add_text(&json, "state", survey_peer_state(p, reason));
			text_add(&json, ",");
			json_add_text(&json, "reason", reason);
			text_add(&json,
			    ",\"silent_ms\":%llu,\"lag_known\":%s,\"round_trip_ms\":%.3f,\"lag_records\":%llu,\"lag_bytes\":%"
			    "llu,\"lag_ms\":%llu,\"age_ms\":%llu}",
			    (unsigned long long)p->silent_ms, p->lag_known ? "true" : "false", (double)p->round_trip_us / 1000,
			    (unsigned long long)p->lag_records, (unsigned long long)p->lag_bytes, (unsigned long long)p->lag_ms,
			    (unsigned long long)p->age_ms);
		}
		text_add(&json, "]");
	}
	text_add(&json, "}");
	cli_print_json(&json);
	text_deinit(&json);
}

static void region_line(const struct survey *survey, const struct survey_region *r, const struct rate *rate, uint64_t keyspaces)
{
	char rows[32], conflicts[32], writes[32], received[32], reads[32], digest[40], log[32], reason[256];
	const char *state = survey_region_state(survey, r, reason);
	printf("%-16s %s%-12s%s", r->region->name, is_well(state) ? cli_green() : cli_red(), state, cli_plain());
	if (!r->answered) {
		printf(" %s\n", reason);
		return;
	}
	digest_format(survey_digest_sum(r, keyspaces), digest);
	printf(" %12s %10s %10s %10s %10s %10s  %.8s\n", grouped(r->live_rows, rows), grouped(r->conflicts, conflicts),
	    rate->attached ? grouped(rate->writes, writes) : "-", rate->attached ? grouped(rate->reads, reads) : "-",
	    rate->attached ? grouped(rate->received, received) : "-", bytes_format(r->log_bytes, log), digest);
}

/* "-" for what is not known, or no longer true. */
static void peers_print(const struct survey *survey)
{
	char records[32], bytes[32], lag_ms[32], trip[32], reason[256];
	printf("\n%s%-16s %-16s %-12s %10s %12s %10s %10s %9s%s\n", cli_bold(), "FROM", "TO", "STATE", "ROUND TRIP",
	    "LAG RECORDS", "BYTES", "MS", "AGE MS", cli_plain());
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		for (uint32_t j = 0; r->answered && j < r->peer_count; j++) {
			const struct survey_peer *p = &r->peers[j];
			const char *state = survey_peer_state(p, reason);
			bool is_heard = survey_peer_is_heard(p);
			snprintf(trip, sizeof trip, "%.1f ms", (double)p->round_trip_us / 1000);
			printf("%-16s %-16s %s%-12s%s %10s %12s %10s %10s %9llu\n", r->region->name,
			    survey_region_name(survey, p->id), is_well(state) ? cli_green() : cli_red(), state, cli_plain(),
			    is_heard ? trip : "-", p->lag_known ? grouped(p->lag_records, records) : "-",
			    p->lag_known ? bytes_format(p->lag_bytes, bytes) : "-",
			    p->lag_known ? grouped(p->lag_ms, lag_ms) : "-", (unsigned long long)p->age_ms);
		}
	}
}

/* What is not well, in words. Returns how much of it there is. */
static uint32_t complaints_print(const struct survey *survey, bool quiet)
{
	char reason[256];
	uint32_t count = 0;
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		const char *state = survey_region_state(survey, r, reason);
		if (!is_well(state) && count++ == 0 && !quiet)
			printf("\n");
		if (!is_well(state) && !quiet)
			printf("%s is %s%s%s\n", r->region->name, state, reason[0] ? ": " : "", reason);
		for (uint32_t j = 0; r->answered && j < r->peer_count; j++) {
			state = survey_peer_state(&r->peers[j], reason);
			if (is_well(state))
				continue;
			if (count++ == 0 && !quiet)
				printf("\n");
			if (!quiet)
				printf("%s to %s is %s%s%s\n", r->region->name, survey_region_name(survey, r->peers[j].id),
				    state, reason[0] ? ": " : "", reason);
		}
	}
	return count;
}

/* Each region's clock against the majority's, as it says itself. */
static void clocks_print(const struct survey *survey)
{
	const char *separator = "\nclocks: ";
	for (uint32_t i = 0; i < survey->region_count; i++) {
		const struct survey_region *r = &survey->regions[i];
		if (!r->answered || !r->clock_heard)
			continue;
		printf("%s%s %+lld ms", separator, r->region->name, (long long)r->clock_ahead_ms);
		if (r->records_ahead)
			printf(" (took in %llu records from the future, up to %llu ms)", (unsigned long long)r->records_ahead,
			    (unsigned long long)r->records_ahead_ms);
		separator = ", ";
	}
	if (*separator == ',')
		printf("\n");
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
		printf("%s%-16s %-12s %12s %10s %10s %10s %10s %10s  %s%s\n", cli_bold(), "REGION", "STATE", "ROWS",
		    "CONFLICTS", "WRITES/S", "READS/S", "RECEIVED/S", "LOG", "DIGEST", cli_plain());
	for (uint32_t i = 0; i < survey.region_count; i++) {
		rate_end(&rates[i]);
		answered += survey.regions[i].answered;
		if (cli->json)
			region_json(&survey, &survey.regions[i], &rates[i], keyspaces);
		else
			region_line(&survey, &survey.regions[i], &rates[i], keyspaces);
	}
	if (!cli->json && answered && survey.region_count > 1)
		peers_print(&survey);
	if (!cli->json)
		clocks_print(&survey);
	if (!cli->json)
		in_doubt_print(&survey);
	uint32_t complaints = complaints_print(&survey, cli->json);
	survey_close(&survey);
	return !answered ? error_exit_code(ERR_UNREACHABLE) : complaints ? 1 : 0;
}

const struct command command_status = {.name = "status",
    .arguments = "",
    .summary = "regions, rows, conflicts, lag, round trips, rates",
    .detail = "Lag: what a region wrote and another has not yet on its disk; AGE: how old that figure is. Rates are of regions "
              "of this\n"
              "machine, over a quarter of a second. Equal digests mean equal rows. Undecided: under way\n"
              "a moment ago, or waiting for a majority. Exit code 1 when anything is not well, 5 when no region answers.",
    .run = status_run};
