/* SPDX-License-Identifier: Apache-2.0
 *
 * top: the actors of this machine's regions, from shared memory, without asking anybody. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/godwit/cli.h"
#include "shm/layout.h"

struct top_flags {
	bool once;
	uint32_t interval_ms;
};
static struct top_flags flags = {.interval_ms = 1000};
static const struct option top_options[] = {
    {"once", 0, OPTION_BOOL, offsetof(struct top_flags, once), 0, 0, NULL, "print one picture and end"},
    {"interval", 0, OPTION_U32, offsetof(struct top_flags, interval_ms), 100, 60000, "MS",
        "between two pictures (default: 1000)"},
    {0},
};

struct sample {
	uint64_t at_ns;
	uint64_t counters[ACTORS][COUNTERS];
};
struct top_region {
	const struct region *region;
	struct shm shm;
	bool attached;
	struct sample before, now;
	struct histogram_block previous[HISTOGRAMS]; /* the coordinator's, at the last picture */
};

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

static void sample_take(struct top_region *r)
{
	r->before = r->now;
	r->now.at_ns = cli_now_ns();
	for (unsigned a = 0; a < ACTORS; a++)
		for (unsigned c = 0; c < COUNTERS; c++)
			r->now.counters[a][c] = counter_get(&r->shm.layout->counters[a], (enum counter)c);
}

static double rate(const struct top_region *r, enum actor actor, enum counter counter)
{
	uint64_t before = r->before.counters[actor][counter], now = r->now.counters[actor][counter];
	uint64_t elapsed_ns = r->now.at_ns - r->before.at_ns;
	return now > before && elapsed_ns ? (double)(now - before) * 1e9 / (double)elapsed_ns : 0;
}

static void histogram_copy(struct histogram_block *to, const struct histogram_block *from)
{
	atomic_store(&to->count, atomic_load(&from->count));
	atomic_store(&to->sum, atomic_load(&from->sum));
	atomic_store(&to->max, atomic_load(&from->max));
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		atomic_store_explicit(
		    &to->buckets[i], atomic_load_explicit(&from->buckets[i], memory_order_relaxed), memory_order_relaxed);
}

/* What was added since the last picture, so that the figures are of now and not of all time. */
static void histogram_since(struct top_region *r, enum histogram which, struct histogram_block *out)
{
	const struct histogram_block *live = &r->shm.layout->counters[ACTOR_COORDINATOR].histograms[which];
	struct histogram_block *before = &r->previous[which];
	static struct histogram_block now;
	histogram_copy(&now, live);
	uint64_t total = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t a = atomic_load(&before->buckets[i]), b = atomic_load(&now.buckets[i]);
		atomic_store(&out->buckets[i], b > a ? b - a : 0);
		total += b > a ? b - a : 0;
	}
	atomic_store(&out->count, total);
	atomic_store(&out->max, atomic_load(&now.max));
	atomic_store(&out->sum, 0);
	histogram_copy(before, &now);
}

static const char *actor_state_text(uint32_t state)
{
	static const char *const names[] = {"down", "starting", "ready", "backing off"};
	return state < 4 ? names[state] : "?";
}

static void actor_picture(const struct cli *cli, const struct top_region *r, enum actor actor, struct text *json)
{
	const struct shm_actor *a = &r->shm.layout->actors[actor];
	uint32_t state = atomic_load(&a->state), starts = atomic_load(&a->starts), pid = atomic_load(&a->pid);
	double cpu = rate(r, actor, COUNTER_cpu_us) / 1e4;
	char memory[32];
	if (cli->json) {
		text_add(json,
		    "%s{\"actor\":\"%s\",\"state\":\"%s\",\"pid\":%u,\"starts\":%u,\"cpu_percent\":%.1f,\"turns_per_second\":%."
		    "0f,"
		    "\"errors\":%llu,\"memory_bytes\":%llu}",
		    actor ? "," : "", actor_name(actor), actor_state_text(state), pid, starts, cpu,
		    rate(r, actor, COUNTER_loop_turns), (unsigned long long)r->now.counters[actor][COUNTER_errors],
		    (unsigned long long)r->now.counters[actor][COUNTER_memory_bytes]);
		return;
	}
	printf("  %-12s %s%-12s%s %8u %8u %6.1f %% %9.0f %8llu %12s\n", actor_name(actor),
	    state == ACTOR_READY ? cli_green() : cli_red(), actor_state_text(state), cli_plain(), pid, starts ? starts - 1 : 0,
	    cpu, rate(r, actor, COUNTER_loop_turns), (unsigned long long)r->now.counters[actor][COUNTER_errors],
	    bytes_format(r->now.counters[actor][COUNTER_memory_bytes], memory));
}

static void peers_picture(const struct cli *cli, const struct top_region *r, struct text *json)
{
	bool first = true;
	uint64_t now_ns = cli_now_ns();
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		const struct region *to = &cli->topology.regions[i];
		const struct shm_peer *p = &r->shm.layout->peers[to->id];
		uint64_t sampled_ns = atomic_load(&p->sampled_at_ns);
		char records[32], bytes[32];
		if (to->id == r->region->id || sampled_ns == 0)
			continue;
		unsigned long long age_ms = now_ns > sampled_ns ? (now_ns - sampled_ns) / 1000000 : 0;
		if (cli->json)
			text_add(json,
			    "%s{\"to\":\"%s\",\"state\":\"%s\",\"round_trip_ms\":%.3f,\"lag_records\":%llu,\"lag_bytes\":%llu,"
			    "\"lag_ms\":%llu,\"age_ms\":%llu}",
			    first ? "" : ",", to->name, region_state_name(atomic_load(&p->state)),
			    (double)atomic_load(&p->round_trip_us) / 1000, (unsigned long long)atomic_load(&p->lag_records),
			    (unsigned long long)atomic_load(&p->lag_bytes), (unsigned long long)atomic_load(&p->lag_ms),
			    age_ms);
		else
			printf("  to %-14s %-8s round trip %7.1f ms, lag %s records, %s, %llu ms (%llu ms old)\n", to->name,
			    region_state_name(atomic_load(&p->state)), (double)atomic_load(&p->round_trip_us) / 1000,
			    grouped(atomic_load(&p->lag_records), records), bytes_format(atomic_load(&p->lag_bytes), bytes),
			    (unsigned long long)atomic_load(&p->lag_ms), age_ms);
		first = false;
	}
}

/* Of strong keyspaces, where there are any. */
static void strong_picture(const struct cli *cli, struct top_region *r, struct text *json)
{
	static struct histogram_block write, read;
	bool has_strong = false;
	for (uint32_t k = 0; k < cli->topology.keyspace_count; k++)
		has_strong |= cli->topology.keyspaces[k].level == LEVEL_STRONG;
	if (!has_strong)
		return;
	histogram_since(r, HISTOGRAM_strong_write_us, &write);
	histogram_since(r, HISTOGRAM_strong_read_us, &read);
	double commits = rate(r, ACTOR_COORDINATOR, COUNTER_commits),
	       aborts = rate(r, ACTOR_COORDINATOR, COUNTER_commit_aborts);
	double write_ms[] = {(double)histogram_quantile(&write, 0.5) / 1000, (double)histogram_quantile(&write, 0.99) / 1000};
	double read_ms[] = {(double)histogram_quantile(&read, 0.5) / 1000, (double)histogram_quantile(&read, 0.99) / 1000};
	unsigned long long in_doubt = r->now.counters[ACTOR_COORDINATOR][COUNTER_in_doubt];
	if (cli->json)
		text_add(json,
		    "\"strong\":{\"commits_per_second\":%.0f,\"aborts_per_second\":%.0f,\"write_p50_ms\":%.3f,\"write_p99_ms\":"
		    "%.3f,"
		    "\"read_p50_ms\":%.3f,\"read_p99_ms\":%.3f,\"in_doubt\":%llu},",
		    commits, aborts, write_ms[0], write_ms[1], read_ms[0], read_ms[1], in_doubt);
	else
		printf("  strong: commits %.0f/s, aborts %.0f/s, undecided %llu; write p50 %.1f ms, p99 %.1f ms; read p50 %.1f "
		       "ms, p99 "
		       "%.1f ms\n",
		    commits, aborts, in_doubt, write_ms[0], write_ms[1], read_ms[0], read_ms[1]);
}

static void region_picture(const struct cli *cli, struct top_region *r, struct text *json)
{
	static struct histogram_block acknowledge, sync;
	histogram_since(r, HISTOGRAM_acknowledge_us, &acknowledge);
	histogram_since(r, HISTOGRAM_sync_us, &sync);
	double writes = rate(r, ACTOR_COORDINATOR, COUNTER_writes);
	double reads = rate(r, ACTOR_ROUTER, COUNTER_reads) + rate(r, ACTOR_COORDINATOR, COUNTER_reads);
	double applied = rate(r, ACTOR_COORDINATOR, COUNTER_records_applied);
	double bytes = rate(r, ACTOR_STREAMER, COUNTER_bytes_sent) + rate(r, ACTOR_COORDINATOR, COUNTER_bytes_sent);
	double p50_ms = (double)histogram_quantile(&acknowledge, 0.5) / 1000,
	       p99_ms = (double)histogram_quantile(&acknowledge, 0.99) / 1000;
	double sync_ms = (double)histogram_quantile(&sync, 0.99) / 1000;
	char sent[32];
	if (cli->json) {
		text_add(json, "{");
		json_add_text(json, "name", r->region->name);
		text_add(json,
		    ",\"writes_per_second\":%.0f,\"reads_per_second\":%.0f,\"records_applied_per_second\":%.0f,"
		    "\"bytes_sent_per_second\":%.0f,\"acknowledge_p50_ms\":%.3f,\"acknowledge_p99_ms\":%.3f,\"sync_p99_ms\":%."
		    "3f,",
		    writes, reads, applied, bytes, p50_ms, p99_ms, sync_ms);
	} else {
		printf("%s%s%s  writes %.0f/s, reads %.0f/s, applied %.0f/s, sent %s/s; acknowledged p50 %.1f ms, p99 %.1f ms; "
		       "sync p99 %.1f ms\n",
		    cli_bold(), r->region->name, cli_plain(), writes, reads, applied, bytes_format((uint64_t)bytes, sent),
		    p50_ms, p99_ms, sync_ms);
	}
	strong_picture(cli, r, json);
	if (cli->json)
		text_add(json, "\"actors\":[");
	else
		printf("  %-12s %-12s %8s %8s %8s %9s %8s %12s\n", "actor", "state", "pid", "restarts", "cpu", "turns/s",
		    "errors", "queued");
	for (unsigned a = 0; a < ACTORS; a++)
		actor_picture(cli, r, (enum actor)a, json);
	if (cli->json)
		text_add(json, "],\"peers\":[");
	peers_picture(cli, r, json);
	if (cli->json) {
		text_add(json, "]}");
		cli_print_json(json);
	} else {
		printf("\n");
	}
}

/* A region that was started anew, or for the first time, is found again at each picture; one that was stopped is shown as it
 * was. */
static uint32_t regions_attach(struct cli *cli, struct top_region *regions)
{
	uint32_t attached = 0;
	for (uint32_t i = 0; i < cli->topology.region_count; i++) {
		char dir[320];
		struct top_region *r = &regions[i];
		r->region = &cli->topology.regions[i];
		cli_region_dir(cli, r->region, dir);
		pid_t supervisor = r->attached ? shm_supervisor(dir) : 0;
		if (supervisor && supervisor != r->shm.supervisor) {
			shm_detach(&r->shm);
			r->attached = false;
		}
		if (!r->attached && shm_attach(&r->shm, dir, 0, NULL) == 0) {
			r->attached = true;
			sample_take(r);
			for (unsigned h = 0; h < HISTOGRAMS; h++)
				histogram_copy(&r->previous[h], &r->shm.layout->counters[ACTOR_COORDINATOR].histograms[h]);
		}
		attached += r->attached;
	}
	return attached;
}

static int top_run(struct cli *cli)
{
	struct text json = {0};
	struct top_region *regions = calloc(cli->topology.region_count, sizeof *regions);
	if (!regions)
		return cli_fail(cli, ERR_NO_MEMORY, "no memory");
	struct sigaction action = {.sa_handler = end};
	sigaction(SIGINT, &action, NULL);
	bool redraw = isatty(STDOUT_FILENO) && !cli->json && !flags.once;
	int exit_code = 0;
	if (regions_attach(cli, regions) == 0)
		exit_code = cli_fail(cli, ERR_UNREACHABLE, "no region runs on this machine");
	while (!exit_code && !ended && !ferror(stdout)) {
		cli_sleep_ms(flags.interval_ms);
		if (ended)
			break;
		if (redraw)
			printf("\033[H\033[J");
		for (uint32_t i = 0; i < cli->topology.region_count; i++) {
			if (!regions[i].attached)
				continue;
			sample_take(&regions[i]);
			region_picture(cli, &regions[i], &json);
		}
		fflush(stdout);
		if (flags.once)
			break;
		regions_attach(cli, regions);
	}
	for (uint32_t i = 0; i < cli->topology.region_count; i++)
		if (regions[i].attached)
			shm_detach(&regions[i].shm);
	free(regions);
	text_deinit(&json);
	return exit_code;
}

const struct command command_top = {.name = "top",
    .arguments = "",
    .summary = "the actors of this machine, refreshed each second",
    .detail = "Rates and latencies are of the time since the last picture.",
    .options = top_options,
    .option_values = &flags,
    .run = top_run};
