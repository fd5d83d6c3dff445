/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

struct sums {
	struct tally total;
	uint64_t operations, measured; /* whole run; within the time measured */
	struct histogram_block lag_us, sync_us, group_records;
	uint64_t stream_bytes, raw_bytes, syncs, log_bytes; /* stream: the streamers' */
	uint64_t commit_bytes;                              /* the coordinators', to each other */
	/* Of strong keyspaces. Each region counts each commit and abort, only one the rest. */
	double commits, aborts;
	uint64_t recovered, requeued, in_doubt; /* in doubt: at the end, all regions */
};

static uint64_t coordinators(const struct report *r, enum counter counter)
{
	return cluster_difference(r->cluster, r->before, r->after, ACTOR_COORDINATOR, counter);
}

static double over(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static double rate(uint64_t count, const struct report *r)
{
	return (double)count / r->seconds;
}

static void commits_sum(const struct report *r, struct sums *s)
{
	s->commit_bytes = coordinators(r, COUNTER_bytes_sent);
	s->commits = over(coordinators(r, COUNTER_commits), r->cluster->local_count);
	s->aborts = over(coordinators(r, COUNTER_commit_aborts), r->cluster->local_count);
	s->recovered = coordinators(r, COUNTER_commits_recovered);
	s->requeued = coordinators(r, COUNTER_commits_requeued);
	s->in_doubt = cluster_sum(r->cluster, r->after, ACTOR_COORDINATOR, COUNTER_in_doubt);
}

static struct sums *sums_new(const struct report *r)
{
	struct sums *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	for (uint32_t i = 0; i < r->topology->region_count; i++) {
		const struct tally *tally = workload_tally(r->workload, i);
		if (tally)
			tally_add(&s->total, tally);
		histogram_difference(&s->lag_us, &r->before->lag_us[i], &r->after->lag_us[i]);
		histogram_difference(&s->sync_us, &r->before->sync_us[i], &r->after->sync_us[i]);
		histogram_difference(&s->group_records, &r->before->group_records[i], &r->after->group_records[i]);
	}
	s->operations = s->total.all_writes + s->total.all_reads + s->total.check_failed;
	s->measured = s->total.writes + s->total.reads;
	s->stream_bytes = cluster_difference(r->cluster, r->before, r->after, ACTOR_STREAMER, COUNTER_bytes_sent);
	s->raw_bytes = cluster_difference(r->cluster, r->before, r->after, ACTOR_STREAMER, COUNTER_bytes_raw);
	s->syncs = coordinators(r, COUNTER_log_syncs);
	s->log_bytes = coordinators(r, COUNTER_log_bytes_written);
	commits_sum(r, s);
	return s;
}

static double ms(uint64_t us)
{
	return (double)us / 1000;
}

static void histogram_row(FILE *out, const char *what, const struct histogram_block *h)
{
	if (!h->count) {
		fprintf(out, "%-24s %10s\n", what, "none");
		return;
	}
	fprintf(out, "%-24s %10llu %9.2f %9.2f %9.2f %9.2f %9.2f\n", what, (unsigned long long)h->count,
	    ms(h->sum) / (double)h->count, ms(histogram_quantile(h, 0.5)), ms(histogram_quantile(h, 0.99)),
	    ms(histogram_quantile(h, 0.999)), ms(h->max));
}

/* A row a region, where there are several: they are not equally far from a majority. */
static void latency_rows(const struct report *r, const struct sums *s, FILE *out, bool is_read)
{
	uint32_t regions = 0;
	histogram_row(
	    out, is_read ? "read, to its answer" : "write, to its answer", is_read ? &s->total.read_us : &s->total.write_us);
	for (uint32_t i = 0; i < r->topology->region_count; i++)
		regions += workload_tally(r->workload, i) != NULL;
	for (uint32_t i = 0; regions > 1 && i < r->topology->region_count; i++) {
		const struct tally *t = workload_tally(r->workload, i);
		char name[sizeof(r->topology->regions[i].name) + 2];
		const struct histogram_block *of = !t ? NULL : is_read ? &t->read_us : &t->write_us;
		if (!of || of->count == 0)
			continue;
		snprintf(name, sizeof(name), "  %s", r->topology->regions[i].name);
		histogram_row(out, name, of);
	}
}

static void latency_table(const struct report *r, const struct sums *s, FILE *out)
{
	fprintf(out, "\n%-24s %10s %9s %9s %9s %9s %9s\n", "milliseconds", "count", "mean", "p50", "p99", "p99.9", "max");
	latency_rows(r, s, out, false);
	if (s->total.check_failed)
		histogram_row(out, "check failed, the same", &s->total.check_failed_us);
	latency_rows(r, s, out, true);
	if (r->cluster->local_count) {
		histogram_row(out, "replication lag", &s->lag_us);
		histogram_row(out, "fdatasync of the log", &s->sync_us);
	}
}

static void wire_table(const struct report *r, const struct sums *s, FILE *out)
{
	bool is_strong = r->keyspace->level == LEVEL_STRONG;
	uint64_t wire_bytes = s->stream_bytes + s->commit_bytes, writes = s->total.all_writes;
	fprintf(out, "\nbetween regions          %.1f bytes a write on the wire", over(wire_bytes, writes));
	if (is_strong)
		fprintf(out,
		    ": %.1f of streams, %.1f of coordinators (%.1f an operation, reads included)\nstreams                 ",
		    over(s->stream_bytes, writes), over(s->commit_bytes, writes), over(s->commit_bytes, s->operations));
	else
		fprintf(out, ",");
	fprintf(out, " %.1f before LZ4 (ratio %.2f)\n", over(s->raw_bytes, writes), over(s->raw_bytes, s->stream_bytes));
}

static void commits_line(const struct sums *s, FILE *out)
{
	uint64_t writes = s->total.all_writes;
	fprintf(out,
	    "strong commit            %.4f commits, %.4f aborts, %.4f recovered, %.4f requeued a write; %llu in doubt now\n",
	    writes ? s->commits / (double)writes : 0, writes ? s->aborts / (double)writes : 0, over(s->recovered, writes),
	    over(s->requeued, writes), (unsigned long long)s->in_doubt);
}

static void cost_table(const struct report *r, const struct sums *s, FILE *out)
{
	fprintf(out, "\n%-24s %10s %14s %14s\n", "processor time", "CPU s", "us/operation", "share");
	uint64_t own_us = r->after->own_cpu_us - r->before->own_cpu_us, all_us = own_us;
	for (uint32_t a = 0; a < ACTORS; a++)
		all_us += cluster_difference(r->cluster, r->before, r->after, (enum actor)a, COUNTER_cpu_us);
	for (uint32_t a = 0; a <= ACTORS; a++) {
		uint64_t us =
		    a == ACTORS ? own_us : cluster_difference(r->cluster, r->before, r->after, (enum actor)a, COUNTER_cpu_us);
		fprintf(out, "%-24s %10.2f %14.2f %13.1f%%\n", a == ACTORS ? "godwit-bench itself" : actor_name((enum actor)a),
		    (double)us / 1e6, over(us, s->operations), 100 * over(us, all_us));
	}
	fprintf(out, "%-24s %10.2f %14.2f\n", "all", (double)all_us / 1e6, over(all_us, s->operations));
	if (!r->cluster->local_count)
		return;
	wire_table(r, s, out);
	if (r->keyspace->level == LEVEL_STRONG)
		commits_line(s, out);
	fprintf(out, "log                      %.1f bytes a write, %.4f fdatasync a write, over all regions\n",
	    over(s->log_bytes, s->total.all_writes), over(s->syncs, s->total.all_writes));
	fprintf(out, "applied at once          %.1f records on average, p99 %llu\n",
	    over(s->group_records.sum, s->group_records.count),
	    (unsigned long long)histogram_quantile(&s->group_records, 0.99));
}

static void operations_row(const struct report *r, const char *name, const struct tally *t, FILE *out)
{
	fprintf(out, "%-24s %12.0f %12.0f %12llu %10llu %10llu %10llu\n", name, rate(t->writes, r), rate(t->reads, r),
	    (unsigned long long)t->check_failed, (unsigned long long)t->refused, (unsigned long long)t->unknown,
	    (unsigned long long)t->failed);
}

static void operations_table(const struct report *r, const struct sums *s, FILE *out)
{
	fprintf(out, "\n%-24s %12s %12s %12s %10s %10s %10s\n", "operations a second", "writes/s", "reads/s", "check failed",
	    "refused", "unknown", "failed");
	for (uint32_t i = 0; i < r->topology->region_count; i++)
		if (workload_tally(r->workload, i))
			operations_row(r, r->topology->regions[i].name, workload_tally(r->workload, i), out);
	operations_row(r, "all", &s->total, out);
	if (s->total.all_sets + s->total.check_failed)
		fprintf(out, "with a condition         %llu applied, %llu not because it failed\n",
		    (unsigned long long)s->total.all_sets, (unsigned long long)s->total.check_failed);
	if (s->total.first_code)
		fprintf(out, "first not ok: %s: %s\n", error_name(s->total.first_code), s->total.first_reason);
}

static void settings_table(const struct report *r, FILE *out)
{
	fprintf(out,
	    "keyspace %s (%s), %u clients, pipeline %u, %llu keys, values of %u bytes, %.0f %% reads, zipf %.2f, %.4g s\n",
	    r->keyspace->name, level_name(r->keyspace->level), r->options->clients, r->options->pipeline,
	    (unsigned long long)r->options->keys, r->options->value_size, r->options->read_ratio * 100, r->options->zipf,
	    r->seconds);
	if (r->options->transaction_keys > 1)
		fprintf(out, "a write is a transaction of %u keys, %.0f %% with conditions\n", r->options->transaction_keys,
		    r->options->cas_ratio * 100);
	else if (r->options->cas_ratio > 0)
		fprintf(out, "%.0f %% of the writes are compare-and-sets\n", r->options->cas_ratio * 100);
	if (r->loaded_keys)
		fprintf(out, "loaded %llu keys in %.2f s: %.0f writes/s\n", (unsigned long long)r->loaded_keys,
		    (double)r->load_us / 1e6, (double)r->loaded_keys * 1e6 / (double)r->load_us);
}

void report_table(const struct report *r, FILE *out)
{
	struct sums *s = sums_new(r);
	settings_table(r, out);
	operations_table(r, s, out);
	latency_table(r, s, out);
	cost_table(r, s, out);
	if (r->cluster->local_count < 2)
		fprintf(out, "catching up              not measured: fewer than two regions are on this machine\n");
	else if (!r->caught_up)
		fprintf(out, "catching up              NOT caught up in time: the regions hold different writes%s%s\n",
		    r->behind[0] ? ": " : "", r->behind);
	else
		fprintf(out, "catching up              %.1f ms after the last answer%s\n", ms(r->caught_up_us),
		    r->lag_zero ? "" : "; the monitors do not show a lag of 0 yet");
	if (r->cluster->local_count < r->topology->region_count)
		fprintf(out,
		    "%u of %u regions are not on this machine: their processor time, bytes and lag are not in these figures\n",
		    r->topology->region_count - r->cluster->local_count, r->topology->region_count);
	if (r->history_lines)
		fprintf(out, "history                  %llu operations\n", (unsigned long long)r->history_lines);
	free(s);
}

static void histogram_json(struct text *t, const char *name, const struct histogram_block *h)
{
	text_add(t, ",\"%s\":{\"count\":%llu,\"mean\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name,
	    (unsigned long long)h->count, h->count ? ms(h->sum) / (double)h->count : 0, ms(histogram_quantile(h, 0.5)),
	    ms(histogram_quantile(h, 0.99)), ms(histogram_quantile(h, 0.999)), ms(h->max));
}

static void regions_json(const struct report *r, struct text *t)
{
	const char *separator = "";
	text_add(t, ",\"regions\":[");
	for (uint32_t i = 0; i < r->topology->region_count; i++) {
		const struct tally *tally = workload_tally(r->workload, i);
		if (!tally)
			continue;
		text_add(t, "%s{\"name\":", separator);
		separator = ",";
		text_add_json_string(t, r->topology->regions[i].name, strlen(r->topology->regions[i].name));
		text_add(t,
		    ",\"writes_per_s\":%.1f,\"reads_per_s\":%.1f,\"check_failed\":%llu,\"refused\":%llu,\"unknown\":%llu,"
		    "\"failed\":%llu",
		    rate(tally->writes, r), rate(tally->reads, r), (unsigned long long)tally->check_failed,
		    (unsigned long long)tally->refused, (unsigned long long)tally->unknown, (unsigned long long)tally->failed);
		histogram_json(t, "write_ms", &tally->write_us);
		histogram_json(t, "check_failed_ms", &tally->check_failed_us);
		histogram_json(t, "read_ms", &tally->read_us);
		text_add(t, "}");
	}
	text_add(t, "]");
}

static void cost_json(const struct report *r, const struct sums *s, struct text *t)
{
	uint64_t own_us = r->after->own_cpu_us - r->before->own_cpu_us;
	text_add(t, ",\"cpu_us_per_operation\":{\"bench\":%.3f", over(own_us, s->operations));
	for (uint32_t a = 0; a < ACTORS; a++)
		text_add(t, ",\"%s\":%.3f", actor_name((enum actor)a),
		    over(cluster_difference(r->cluster, r->before, r->after, (enum actor)a, COUNTER_cpu_us), s->operations));
	uint64_t wire_bytes = s->stream_bytes + s->commit_bytes;
	text_add(t,
	    "},\"wire_bytes_per_write\":%.2f,\"wire_bytes_per_operation\":%.2f,\"stream_bytes_per_write\":%.2f,\"commit_bytes_"
	    "per_operation\":%.2f",
	    over(wire_bytes, s->total.all_writes), over(wire_bytes, s->operations), over(s->stream_bytes, s->total.all_writes),
	    over(s->commit_bytes, s->operations));
	text_add(t, ",\"raw_bytes_per_write\":%.2f,\"compression_ratio\":%.3f", over(s->raw_bytes, s->total.all_writes),
	    over(s->raw_bytes, s->stream_bytes));
	text_add(t, ",\"log_bytes_per_write\":%.2f,\"syncs_per_write\":%.5f,\"records_per_transaction\":%.2f",
	    over(s->log_bytes, s->total.all_writes), over(s->syncs, s->total.all_writes),
	    over(s->group_records.sum, s->group_records.count));
}

static void strong_json(const struct report *r, const struct sums *s, struct text *t)
{
	uint64_t writes = s->total.all_writes;
	if (r->keyspace->level != LEVEL_STRONG)
		return;
	text_add(t,
	    ",\"strong\":{\"commits_per_write\":%.5f,\"aborts_per_write\":%.5f,\"recovered_per_write\":%.5f,"
	    "\"requeued_per_write\":%.5f,\"in_doubt\":%llu}",
	    writes ? s->commits / (double)writes : 0, writes ? s->aborts / (double)writes : 0, over(s->recovered, writes),
	    over(s->requeued, writes), (unsigned long long)s->in_doubt);
}

void report_json(const struct report *r, FILE *out)
{
	struct sums *s = sums_new(r);
	struct text t = {0};
	text_add(&t, "{\"keyspace\":");
	text_add_json_string(&t, r->keyspace->name, strlen(r->keyspace->name));
	text_add(&t,
	    ",\"level\":\"%s\",\"clients\":%u,\"pipeline\":%u,\"keys\":%llu,\"value_size\":%u,\"read_ratio\":%.3f,\"zipf\":%."
	    "3f,"
	    "\"rate\":%llu,\"seconds\":%.4g",
	    level_name(r->keyspace->level), r->options->clients, r->options->pipeline, (unsigned long long)r->options->keys,
	    r->options->value_size, r->options->read_ratio, r->options->zipf, (unsigned long long)r->options->rate, r->seconds);
	text_add(&t, ",\"cas_ratio\":%.3f,\"delete_ratio\":%.3f,\"txn_keys\":%u", r->options->cas_ratio,
	    r->options->delete_ratio, r->options->transaction_keys);
	text_add(&t, ",\"loaded_keys\":%llu,\"load_ms\":%.3f", (unsigned long long)r->loaded_keys, ms(r->load_us));
	text_add(&t, ",\"ops_per_s\":%.1f,\"writes_per_s\":%.1f,\"reads_per_s\":%.1f", rate(s->measured, r),
	    rate(s->total.writes, r), rate(s->total.reads, r));
	text_add(&t, ",\"sets\":%llu,\"check_failed\":%llu", (unsigned long long)s->total.all_sets,
	    (unsigned long long)s->total.check_failed);
	text_add(&t, ",\"writes\":%llu,\"reads\":%llu,\"refused\":%llu,\"unknown\":%llu,\"failed\":%llu",
	    (unsigned long long)s->total.all_writes, (unsigned long long)s->total.all_reads,
	    (unsigned long long)s->total.refused, (unsigned long long)s->total.unknown, (unsigned long long)s->total.failed);
	if (s->total.first_code) {
		text_add(&t, ",\"first_not_ok\":{\"code\":\"%s\",\"reason\":", error_name(s->total.first_code));
		text_add_json_string(&t, s->total.first_reason, strlen(s->total.first_reason));
		text_add(&t, "}");
	}
	histogram_json(&t, "write_ms", &s->total.write_us);
	histogram_json(&t, "check_failed_ms", &s->total.check_failed_us);
	histogram_json(&t, "read_ms", &s->total.read_us);
	histogram_json(&t, "replication_lag_ms", &s->lag_us);
	histogram_json(&t, "sync_ms", &s->sync_us);
	cost_json(r, s, &t);
	strong_json(r, s, &t);
	text_add(&t, ",\"local_regions\":%u,\"caught_up\":%s,\"caught_up_ms\":%.3f,\"lag_zero\":%s,\"lag_zero_ms\":%.3f",
	    r->cluster->local_count, r->caught_up ? "true" : "false", ms(r->caught_up_us), r->lag_zero ? "true" : "false",
	    ms(r->lag_zero_us));
	text_add(&t, ",\"history_lines\":%llu", (unsigned long long)r->history_lines);
	regions_json(r, &t);
	text_add(&t, "}\n");
	fwrite(t.bytes, 1, t.size, out);
	text_deinit(&t);
	free(s);
}
