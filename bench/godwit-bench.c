/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/report.h"
#include "bench/values.h"
#include "client/admin.h"
#include "runtime/options.h"

#define CATCH_UP_SECS       120u
#define LAG_ZERO_TIMEOUT_MS 10000u
#define EXIT_INTERRUPTED    130
#define KEYS_MAX            1000000000ull
/* Actors publish their processor time ten times a second, and coordinators what they know of commits once a second. */
#define PUBLISHED_US        200000u
#define PUBLISHED_STRONG_US 1200000u

struct flags {
	const char *dir, *key_dir, *topology, *keyspace, *level, *regions, *history;
	const char *read_ratio, *cas_ratio, *delete_ratio, *zipf; /* decimals */
	uint32_t transaction_keys;
	uint32_t clients, pipeline, value_size, seconds, warmup, wait_secs, timeout_ms;
	uint64_t keys, rate;
	bool load, apart, json, help;
};

static const struct option option_table[] = {
    {"dir", 'd', OPTION_TEXT, offsetof(struct flags, dir), 0, 0, "DIR", "data directory ($GODWIT_DIR, or ./godwit-data)"},
    {"key-dir", 0, OPTION_TEXT, offsetof(struct flags, key_dir), 0, 0, "DIR",
        "directory of the keys ($GODWIT_KEYS, or DIR/keys)"},
    {"topology", 0, OPTION_TEXT, offsetof(struct flags, topology), 0, 0, "FILE",
        "regions and keyspaces (DIR/topology.yaml if it is there, or three regions on loopback)"},
    {"keyspace", 'k', OPTION_TEXT, offsetof(struct flags, keyspace), 0, 0, "NAME", "where to write and read (default)"},
    {"level", 0, OPTION_TEXT, offsetof(struct flags, level), 0, 0, "LEVEL",
        "eventual, session, causal or strong: the first keyspace of that level, or what --keyspace has to be"},
    {"regions", 'r', OPTION_TEXT, offsetof(struct flags, regions), 0, 0, "R,R,...", "regions that clients connect to (all)"},
    {"clients", 'c', OPTION_U32, offsetof(struct flags, clients), 1, 4096, "N", "connections over all regions (12)"},
    {"pipeline", 'p', OPTION_U32, offsetof(struct flags, pipeline), 1, 65536, "N", "operations under way on a connection (64)"},
    {"keys", 0, OPTION_U64, offsetof(struct flags, keys), 1, KEYS_MAX, "N", "different keys (1000000)"},
    {"value-size", 0, OPTION_U32, offsetof(struct flags, value_size), VALUE_ID_SIZE, VALUE_SIZE_MAX, "BYTES",
        "of each value (100)"},
    {"read-ratio", 0, OPTION_TEXT, offsetof(struct flags, read_ratio), 0, 0, "0..1", "share of reads (0)"},
    {"cas-ratio", 0, OPTION_TEXT, offsetof(struct flags, cas_ratio), 0, 0, "0..1",
        "strong: share of the writes that are compare-and-sets, of what this client saw last of the key (0)"},
    {"delete-ratio", 0, OPTION_TEXT, offsetof(struct flags, delete_ratio), 0, 0, "0..1",
        "share of the writes that are deletes (0)"},
    {"txn-keys", 0, OPTION_U32, offsetof(struct flags, transaction_keys), 1, GW_OPERATIONS_MAX, "N",
        "strong: each write is a transaction of N keys; 1: a plain one (1)"},
    {"zipf", 0, OPTION_TEXT, offsetof(struct flags, zipf), 0, 0, "0..5", "exponent of key popularity; 0: all alike (0)"},
    {"seconds", 's', OPTION_U32, offsetof(struct flags, seconds), 1, 86400, "S", "measured (10)"},
    {"warmup", 0, OPTION_U32, offsetof(struct flags, warmup), 0, 3600, "S", "before that (2)"},
    {"load", 0, OPTION_BOOL, offsetof(struct flags, load), 0, 0, NULL, "first write every key once"},
    {"apart", 0, OPTION_BOOL, offsetof(struct flags, apart), 0, 0, NULL,
        "regions may be cut off: do not wait for them to be even, before or after"},
    {"wait-secs", 0, OPTION_U32, offsetof(struct flags, wait_secs), 1, 86400, "S",
        "for the regions to be even, before and after (120)"},
    {"rate", 0, OPTION_U64, offsetof(struct flags, rate), 0, 1000000000, "N",
        "operations a second; 0: as fast as possible (0)"},
    {"timeout", 0, OPTION_U32, offsetof(struct flags, timeout_ms), 1, 600000, "MS", "of one operation (10000)"},
    {"history", 0, OPTION_TEXT, offsetof(struct flags, history), 0, 0, "FILE", "every operation, a JSON object a line"},
    {"json", 0, OPTION_BOOL, offsetof(struct flags, json), 0, 0, NULL, "one JSON object instead of a table"},
    {"help", 'h', OPTION_BOOL, offsetof(struct flags, help), 0, 0, NULL, "this text"},
    {0},
};

static const char help_text[] =
    "usage: godwit-bench [flags]\n"
    "Writes to and reads from the regions that run, and says how fast that was and what it cost.\n\n"
    "Keys are 16 bytes. A value starts with 24 characters that no other write has; the rest is one half random base64 and one "
    "half\n"
    "words of a list of 32: LZ4 finds about what it finds in an application's records. Read bench/README.md on the "
    "figures.\n\n";

static int decimal_parse(const char *name, const char *text, double maximum, double *value, struct error_context *error)
{
	char *end = NULL;
	*value = strtod(text, &end);
	if (end == text || *end || !isfinite(*value) || *value < 0 || *value > maximum)
		return error_set(error, ERR_USAGE, "--%s: \"%s\" is not a number from 0 to %g", name, text, maximum);
	return 0;
}

static int regions_parse(const struct topology *topology, const char *names, uint32_t *mask, struct error_context *error)
{
	*mask = 0;
	if (!names || strcmp(names, "all") == 0) {
		*mask = (uint32_t)((1ull << topology->region_count) - 1);
		return 0;
	}
	for (const char *at = names;; at++) {
		size_t size = strcspn(at, ",");
		uint32_t place = 0;
		while (place < topology->region_count &&
		       (strlen(topology->regions[place].name) != size || memcmp(topology->regions[place].name, at, size) != 0))
			place++;
		if (place == topology->region_count)
			return error_set(error, ERR_USAGE, "--regions: no region \"%.*s\" in the topology", (int)size, at);
		*mask |= 1u << place;
		at += size;
		if (!*at)
			return 0;
	}
}

static int keyspace_choose(
    const struct topology *topology, const struct flags *flags, const struct keyspace **chosen, struct error_context *error)
{
	int id = topology_keyspace(topology, flags->keyspace ? flags->keyspace : "");
	uint32_t level = 0;
	if (id < 0)
		return error_set(error, ERR_USAGE, "--keyspace: no keyspace \"%s\" in the topology", flags->keyspace);
	*chosen = &topology->keyspaces[id];
	if (!flags->level)
		return 0;
	while (level <= LEVEL_STRONG && strcmp(level_name((enum level)level), flags->level) != 0)
		level++;
	if (level > LEVEL_STRONG)
		return error_set(
		    error, ERR_USAGE, "--level: \"%s\" is not one of eventual, session, causal, strong", flags->level);
	if (flags->keyspace && (*chosen)->level != level)
		return error_set(error, ERR_USAGE, "--level: keyspace %s is %s", flags->keyspace, level_name((*chosen)->level));
	for (uint32_t k = 0; (*chosen)->level != level || !keyspace_is_there(*chosen); k++) {
		if (k == topology->keyspace_count)
			return error_set(error, ERR_USAGE, "--level: no keyspace of the topology is %s", flags->level);
		*chosen = &topology->keyspaces[k];
	}
	return 0;
}

/* What only some keyspaces take, and what contradicts itself. */
static int writes_check(const struct workload_options *options, const struct keyspace *keyspace, struct error_context *error)
{
	bool needs_strong = options->cas_ratio > 0 || options->transaction_keys > 1;
	if (needs_strong && keyspace->level != LEVEL_STRONG)
		return error_set(error, ERR_USAGE, "--%s needs a strong keyspace, %s is %s; use --level strong",
		    options->cas_ratio > 0 ? "cas-ratio" : "txn-keys", keyspace->name, level_name(keyspace->level));
	if (options->cas_ratio + options->delete_ratio > 1)
		return error_set(error, ERR_USAGE, "--cas-ratio and --delete-ratio are more than 1 together");
	if (options->transaction_keys > options->keys)
		return error_set(error, ERR_USAGE, "--txn-keys: there are only %llu --keys", (unsigned long long)options->keys);
	if (options->transaction_keys > 1 && (uint64_t)options->transaction_keys * options->value_size > VALUE_SIZE_MAX)
		return error_set(error, ERR_USAGE, "--txn-keys times --value-size is more than a transaction holds, %u bytes",
		    VALUE_SIZE_MAX);
	return 0;
}

static const char *topology_path(const struct flags *flags, char out[512])
{
	if (flags->topology)
		return flags->topology;
	snprintf(out, 512, "%s/topology.yaml", flags->dir);
	return access(out, F_OK) == 0 ? out : NULL;
}

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static int options_take(struct flags *flags, struct topology *topology, struct workload_options *options,
    const struct keyspace **keyspace, struct error_context *error)
{
	static char path[512], key_dir[512];
	int rc = topology_load(topology, topology_path(flags, path), stderr, error);
	if (flags->key_dir)
		snprintf(key_dir, sizeof(key_dir), "%s", flags->key_dir);
	else
		snprintf(key_dir, sizeof(key_dir), "%s/keys", flags->dir);
	*options = (struct workload_options){.topology = topology,
	    .key_dir = key_dir,
	    .clients = flags->clients,
	    .pipeline = flags->pipeline,
	    .keys = flags->keys,
	    .transaction_keys = flags->transaction_keys,
	    .value_size = flags->value_size,
	    .rate = flags->rate,
	    .timeout_ms = flags->timeout_ms,
	    .stopped = &stopped};
	if (rc == 0)
		rc = keyspace_choose(topology, flags, keyspace, error);
	if (rc == 0)
		rc = regions_parse(topology, flags->regions, &options->regions, error);
	if (rc == 0)
		rc = decimal_parse("read-ratio", flags->read_ratio, 1, &options->read_ratio, error);
	if (rc == 0)
		rc = decimal_parse("cas-ratio", flags->cas_ratio, 1, &options->cas_ratio, error);
	if (rc == 0)
		rc = decimal_parse("delete-ratio", flags->delete_ratio, 1, &options->delete_ratio, error);
	if (rc == 0)
		rc = decimal_parse("zipf", flags->zipf, 5, &options->zipf, error);
	if (rc == 0)
		options->keyspace = (*keyspace)->name;
	if (rc == 0)
		rc = writes_check(options, *keyspace, error);
	return rc;
}

static void say(const struct flags *flags, const char *what)
{
	if (!flags->json && isatty(STDERR_FILENO))
		fprintf(stderr, "%s ...\n", what);
}

/* Load, settle, run, settle. What happens between the two samples is all that the run has caused, replication included. */
static int measure(struct flags *flags, struct report *r, struct workload *workload, struct cluster *cluster,
    struct cluster_sample *before, struct cluster_sample *after, struct error_context *error)
{
	int rc = 0;
	uint64_t took;
	if (flags->load) {
		say(flags, "loading");
		rc = workload_load(workload, &took, error);
		if (rc != 0)
			return rc;
		r->loaded_keys = flags->keys;
		r->load_us = took / 1000;
	}
	if (!flags->apart)
		say(flags, "waiting for the regions to be even");
	if (!flags->apart && cluster_wait_caught_up(cluster, flags->wait_secs * 1000, &stopped, &took) != 0) {
		cluster_behind(cluster, r->behind);
		return stopped ? error_set(error, ERR_UNREACHABLE, "interrupted before anything was measured%s%s",
		                     r->behind[0] ? "; " : "", r->behind)
		               : error_set(error, ERR_UNREACHABLE,
		                     "the regions do not hold the same writes after %u s of waiting (--wait-secs): %s; is a "
		                     "link cut?",
		                     flags->wait_secs, r->behind);
	}
	/* Apart, samples are no whole anyway. */
	bool wait_strong = r->keyspace->level == LEVEL_STRONG && !flags->apart;
	if (wait_strong)
		usleep(PUBLISHED_STRONG_US);
	cluster_sample(cluster, before);
	say(flags, "running");
	rc = workload_run(workload, flags->warmup * 1000, flags->seconds, &r->seconds, error);
	if (rc != 0)
		return rc;
	if (r->seconds <= 0)
		return error_set(error, ERR_UNREACHABLE, "interrupted before anything was measured");
	r->caught_up =
	    !flags->apart && cluster_wait_caught_up(cluster, flags->wait_secs * 1000, &stopped, &r->caught_up_us) == 0;
	if (!r->caught_up)
		cluster_behind(cluster, r->behind);
	usleep(wait_strong ? PUBLISHED_STRONG_US : PUBLISHED_US);
	cluster_sample(cluster, after);
	r->lag_zero = r->caught_up && cluster_wait_lag_zero(cluster, LAG_ZERO_TIMEOUT_MS, &stopped, &r->lag_zero_us) == 0;
	return 0;
}

static int bench(struct flags *flags, struct topology *topology, struct workload_options *options,
    const struct keyspace *keyspace, struct error_context *error)
{
	static struct cluster cluster;
	static struct cluster_sample before, after;
	struct workload *workload = NULL;
	struct report report = {.topology = topology,
	    .cluster = &cluster,
	    .keyspace = keyspace,
	    .options = options,
	    .before = &before,
	    .after = &after};
	int rc = flags->history ? history_open(&options->history, flags->history, error) : 0;
	if (rc != 0)
		return rc;
	cluster_attach(&cluster, topology, flags->dir);
	rc = workload_new(&workload, options, error);
	if (rc == 0)
		rc = measure(flags, &report, workload, &cluster, &before, &after, error);
	if (options->history) {
		int code = history_close(options->history, &report.history_lines, rc == 0 ? error : NULL);
		rc = rc == 0 ? code : rc;
	}
	report.workload = workload;
	if (rc == 0)
		(flags->json ? report_json : report_table)(&report, stdout);
	/* A run in which nothing succeeded has measured nothing. */
	uint64_t done = 0;
	for (uint32_t i = 0; rc == 0 && i < topology->region_count; i++)
		done +=
		    workload_tally(workload, i) ? workload_tally(workload, i)->writes + workload_tally(workload, i)->reads : 0;
	if (rc == 0 && !done)
		rc = error_set(error, ERR_UNREACHABLE, "no operation succeeded");
	if (workload)
		workload_free(workload);
	cluster_detach(&cluster);
	return rc;
}

int main(int argc, char **argv)
{
	static struct topology topology;
	struct error_context error = {0};
	struct workload_options options;
	const struct keyspace *keyspace = NULL;
	struct flags flags = {.dir = getenv("GODWIT_DIR"),
	    .key_dir = getenv("GODWIT_KEYS"),
	    .read_ratio = "0",
	    .cas_ratio = "0",
	    .delete_ratio = "0",
	    .transaction_keys = 1,
	    .zipf = "0",
	    .clients = 12,
	    .pipeline = 64,
	    .value_size = 100,
	    .seconds = 10,
	    .warmup = 2,
	    .wait_secs = CATCH_UP_SECS,
	    .timeout_ms = 10000,
	    .keys = 1000000};
	if (flags.key_dir && !*flags.key_dir)
		flags.key_dir = NULL;
	if (!flags.dir)
		flags.dir = "./godwit-data";
	int rc = options_parse(option_table, &flags, &argc, argv, &error);
	if (rc != 0) {
		fprintf(stderr, "%s\n", error.text); /* begins with our name */
		return error_exit_code(rc);
	}
	if (flags.help) {
		fputs(help_text, stdout);
		options_help(option_table, stdout);
		return 0;
	}
	if (argc > 1)
		rc = error_set(&error, ERR_USAGE, "unexpected argument \"%s\"", argv[1]);
	if (rc == 0)
		rc = options_take(&flags, &topology, &options, &keyspace, &error);
	/* The first interrupt ends the run with what is known, the second one the program. */
	struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESETHAND};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (rc == 0)
		rc = bench(&flags, &topology, &options, keyspace, &error);
	if (rc == 0 && !stopped)
		return 0;
	if (rc == 0)
		fprintf(stderr, "godwit-bench: interrupted: the figures are of less time than was asked for\n");
	else
		fprintf(stderr, "godwit-bench: %s\n", error.text[0] ? error.text : error_text(rc));
	return stopped ? EXIT_INTERRUPTED : error_exit_code(rc);
}
