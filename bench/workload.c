/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/workload.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "bench/values.h"
#include "client/godwit.h"

#define RETRY_PAUSE_NS   (5ull * 1000000)
#define PROBE_TIMEOUT_MS 3000u
#define WAIT_MS          1             /* a descriptor that was missed costs at most this */
#define SCRAMBLE         2654435761ull /* a prime above any number of keys: rank to key is one to one */

enum phase { PHASE_LOAD, PHASE_RUN };

struct operation {
	uint64_t key, start_ns;
	uint32_t next_free;
	bool is_read;
	char value[VALUE_ID_SIZE]; /* for the history */
};

struct worker_connection {
	struct worker *worker;
	struct gw_connection *gw;
	uint32_t client;
	uint64_t writes;       /* numbers its values */
	uint64_t paused_to_ns; /* after a refusal for lack of room */
	struct operation *operations;
	uint32_t first_free; /* pipeline: none */
};

struct worker {
	struct workload *workload;
	const struct region *region;
	pthread_t thread;
	struct worker_connection *connections;
	uint32_t connection_count;
	struct random random;
	enum phase phase;
	uint64_t start_ns, measure_ns, end_ns; /* of the run */
	uint64_t started;                      /* operations, for the rate */
	uint64_t load_next, load_step;
	uint64_t *load_again; /* keys refused for lack of room */
	uint32_t load_again_count;
	char *value;
	struct tally tally;
};

struct workload {
	struct workload_options options;
	struct zipf zipf;
	uint32_t run;
	struct worker workers[REGIONS_MAX]; /* by place in the topology */
	uint32_t worker_count;              /* with connections */
	uint32_t worker_places[REGIONS_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void key_fill(char out[static BENCH_KEY_SIZE + 1], uint64_t key)
{
	out[0] = 'k';
	for (uint32_t i = BENCH_KEY_SIZE - 1; i > 0; i--, key /= 10)
		out[i] = (char)('0' + key % 10);
	out[BENCH_KEY_SIZE] = 0;
}

static void history_note(
    const struct worker_connection *c, const struct operation *o, const struct gw_result *result, const char *outcome)
{
	char key[BENCH_KEY_SIZE + 1];
	key_fill(key, o->key);
	struct history_line line = {.client = c->client,
	    .op = o->is_read ? "get" : "put",
	    .key = key,
	    .outcome = outcome,
	    .region = c->worker->region->name,
	    .start_ns = o->start_ns,
	    .end_ns = result->answered_ns};
	if (!o->is_read) {
		line.value = o->value;
		line.value_size = VALUE_ID_SIZE;
	} else if (result->code == ERR_OK) {
		line.value = result->value ? (const void *)result->value : "";
		line.value_size = result->value_size;
	}
	history_add(c->worker->workload->options.history, &line);
}

static void tally_result(struct worker *w, const struct operation *o, const struct gw_result *result, bool ok, bool unknown)
{
	struct tally *t = &w->tally;
	if (!ok) {
		/* A read that failed changed nothing, and is not a refusal either unless the region said so. */
		int exit_code = error_exit_code(result->code);
		if (unknown)
			t->unknown++;
		else if (exit_code == 3)
			t->refused++;
		else
			t->failed++;
		if (!t->first_code) {
			t->first_code = result->code;
			snprintf(t->first_reason, sizeof(t->first_reason), "%s", result->reason ? result->reason : "");
		}
		return;
	}
	if (o->is_read)
		t->all_reads++;
	else
		t->all_writes++;
	if (result->answered_ns < w->measure_ns || result->answered_ns >= w->end_ns)
		return;
	uint64_t us = result->answered_ns > o->start_ns ? (result->answered_ns - o->start_ns) / 1000 : 0;
	histogram_add(o->is_read ? &t->read_us : &t->write_us, us);
	if (o->is_read)
		t->reads++;
	else
		t->writes++;
}

static void take_result(void *context, const struct gw_result *result)
{
	struct worker_connection *c = context;
	struct worker *w = c->worker;
	struct operation *o = result->user;
	bool ok = result->code == ERR_OK || (o->is_read && result->code == ERR_NOT_FOUND);
	bool unknown = !o->is_read && error_exit_code(result->code) == 4;
	if (w->workload->options.history)
		history_note(c, o, result, ok ? "ok" : unknown ? "unknown" : "fail");
	if (result->code == ERR_OVERLOADED) {
		c->paused_to_ns = result->answered_ns + RETRY_PAUSE_NS;
		if (w->phase == PHASE_LOAD)
			w->load_again[w->load_again_count++] = o->key; /* room for all that can be under way */
	}
	if (w->phase == PHASE_RUN || (!ok && result->code != ERR_OVERLOADED))
		tally_result(w, o, result, ok, unknown);
	o->next_free = c->first_free;
	c->first_free = (uint32_t)(o - c->operations);
}

/* What to do next. False: nothing now; *wait_ns then may come down. */
static bool next_operation(struct worker *w, uint64_t now, struct operation *o, uint64_t *wait_ns)
{
	const struct workload_options *options = &w->workload->options;
	o->start_ns = now;
	if (w->phase == PHASE_LOAD) {
		o->is_read = false;
		if (w->load_again_count) {
			o->key = w->load_again[--w->load_again_count];
			return true;
		}
		o->key = w->load_next;
		if (w->tally.first_code || w->load_next >= options->keys)
			return false;
		w->load_next += w->load_step;
		return true;
	}
	if (now >= w->end_ns)
		return false;
	if (options->rate) {
		o->start_ns =
		    w->start_ns + (uint64_t)((double)w->started * 1e9 * w->workload->worker_count / (double)options->rate);
		if (o->start_ns > now) {
			*wait_ns = o->start_ns - now < *wait_ns ? o->start_ns - now : *wait_ns;
			return false;
		}
	}
	w->started++;
	o->key = zipf_next(&w->workload->zipf, &w->random) * SCRAMBLE % options->keys;
	o->is_read = options->read_ratio > 0 && random_unit(&w->random) < options->read_ratio;
	return true;
}

static void submit_all(struct worker_connection *c, uint64_t now, uint64_t *wait_ns)
{
	struct worker *w = c->worker;
	const struct workload_options *options = &w->workload->options;
	char key[BENCH_KEY_SIZE + 1];
	if (now < c->paused_to_ns)
		return;
	while (c->first_free < options->pipeline) {
		struct operation *o = &c->operations[c->first_free];
		if (!next_operation(w, now, o, wait_ns))
			return;
		key_fill(key, o->key);
		struct gw_operation operation = {.kind = o->is_read ? GW_GET : GW_PUT,
		    .keyspace = options->keyspace,
		    .key = key,
		    .key_size = BENCH_KEY_SIZE,
		    .user = o};
		if (!o->is_read) {
			value_fill(w->value, options->value_size, w->workload->run, c->client, c->writes++, &w->random);
			memcpy(o->value, w->value, VALUE_ID_SIZE);
			operation.value = w->value;
			operation.value_size = options->value_size;
		}
		c->first_free = o->next_free;
		int rc = gw_submit(c->gw, &operation);
		if (rc == 0)
			continue;
		/* Not even queued: as certain a refusal as there is. */
		struct gw_result refused = {.code = rc, .reason = error_text(rc), .user = o, .answered_ns = now};
		if (rc == ERR_FULL)
			refused.code = ERR_OVERLOADED;
		take_result(c, &refused);
		return;
	}
}

static void wait_for_any(struct worker *w, uint64_t wait_ns)
{
	struct pollfd items[64];
	nfds_t count = 0;
	for (uint32_t i = 0; i < w->connection_count && count < 64; i++) {
		int fd = gw_fd(w->connections[i].gw);
		if (fd >= 0)
			items[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	struct timespec timeout = {.tv_nsec = (long)wait_ns};
	ppoll(items, count, &timeout, NULL);
}

static void *worker_run(void *argument)
{
	struct worker *w = argument;
	for (;;) {
		uint64_t wait_ns = WAIT_MS * 1000000ull;
		uint32_t pending = 0;
		int results = 0;
		for (uint32_t i = 0; i < w->connection_count; i++) {
			struct worker_connection *c = &w->connections[i];
			submit_all(c, now_ns(), &wait_ns);
			results += gw_poll(c->gw, 0, take_result, c);
			pending += gw_pending(c->gw);
		}
		bool done = w->phase == PHASE_LOAD ? w->load_next >= w->workload->options.keys && !w->load_again_count
		                                   : now_ns() >= w->end_ns;
		if (!pending && !results && (done || (w->phase == PHASE_LOAD && w->tally.first_code)))
			return NULL;
		if (!results)
			wait_for_any(w, wait_ns);
	}
}

static int worker_connect(struct worker *w, uint32_t client, struct error_context *error)
{
	const struct workload_options *options = &w->workload->options;
	struct worker_connection *c = &w->connections[w->connection_count];
	char endpoint[160];
	snprintf(endpoint, sizeof(endpoint), "tcp://%s:%u", w->region->host, w->region->port);
	*c = (struct worker_connection){.worker = w, .client = client};
	c->operations = calloc(options->pipeline, sizeof(*c->operations));
	if (!c->operations)
		return error_set(error, ERR_NO_MEMORY, "%u operations", options->pipeline);
	for (uint32_t i = 0; i < options->pipeline; i++)
		c->operations[i].next_free = i + 1;
	struct gw_options gw = {.endpoint = endpoint,
	    .key_dir = options->key_dir,
	    .region = w->region->name,
	    .timeout_ms = options->timeout_ms,
	    .pipeline_max = options->pipeline};
	char reason[sizeof(error->text)] = "";
	int rc = gw_connect(&c->gw, &gw, reason);
	w->connection_count++;
	return rc == 0 ? 0 : error_set(error, rc, "%s", reason);
}

/* One question to each region, so that a cluster that is not there is told at once and not after a run of failures. */
static int worker_probe(struct worker *w, struct error_context *error)
{
	struct gw_operation operation = {.kind = GW_REGION, .timeout_ms = PROBE_TIMEOUT_MS};
	struct gw_result result;
	int rc = gw_call(w->connections[0].gw, &operation, &result);
	return rc == 0 ? 0 : error_set(error, rc, "region %s: %s: %s", w->region->name, error_text(rc), result.reason);
}

int workload_new(struct workload **out, const struct workload_options *options, struct error_context *error)
{
	struct workload *l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(error, ERR_NO_MEMORY, "workload");
	l->options = *options;
	uint64_t seed = now_ns();
	if (getrandom(&l->run, sizeof(l->run), 0) != sizeof(l->run) || getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		l->run = (uint32_t)(seed ^ (uint64_t)getpid() << 16);
	zipf_init(&l->zipf, options->keys, options->zipf);
	for (uint32_t place = 0; place < options->topology->region_count; place++)
		if (options->regions & 1u << place)
			l->worker_places[l->worker_count++] = place;
	if (l->worker_count > options->clients)
		l->worker_count = options->clients;
	*out = l;
	for (uint32_t i = 0; i < l->worker_count; i++) {
		struct worker *w = &l->workers[l->worker_places[i]];
		uint32_t share = options->clients / l->worker_count + (i < options->clients % l->worker_count);
		w->workload = l;
		w->region = &options->topology->regions[l->worker_places[i]];
		w->random.state = seed + i * 0x632be59bd9b4e019ull;
		w->connections = calloc(share, sizeof(*w->connections));
		w->load_again = calloc((size_t)share * options->pipeline, sizeof(*w->load_again));
		w->value = malloc(options->value_size);
		if (!w->connections || !w->load_again || !w->value)
			return error_set(error, ERR_NO_MEMORY, "%u connections", share);
		for (uint32_t k = 0; k < share; k++) {
			int rc = worker_connect(w, i + k * l->worker_count, error);
			if (rc != 0)
				return rc;
		}
		int rc = worker_probe(w, error);
		if (rc != 0)
			return rc;
	}
	return 0;
}

void workload_free(struct workload *l)
{
	for (uint32_t i = 0; i < l->worker_count; i++) {
		struct worker *w = &l->workers[l->worker_places[i]];
		for (uint32_t k = 0; k < w->connection_count; k++) {
			if (w->connections[k].gw)
				gw_close(w->connections[k].gw);
			free(w->connections[k].operations);
		}
		free(w->connections);
		free(w->load_again);
		free(w->value);
	}
	free(l);
}

static int run_all(struct workload *l, struct error_context *error)
{
	uint32_t started = 0;
	int rc = 0;
	for (; started < l->worker_count && rc == 0; started++) {
		struct worker *w = &l->workers[l->worker_places[started]];
		if (pthread_create(&w->thread, NULL, worker_run, w) != 0) {
			rc = error_set(error, ERR_NO_MEMORY, "no thread for region %s", w->region->name);
			break;
		}
	}
	for (uint32_t i = 0; i < started; i++)
		pthread_join(l->workers[l->worker_places[i]].thread, NULL);
	return rc;
}

int workload_load(struct workload *l, uint64_t *took_ns, struct error_context *error)
{
	uint64_t start_ns = now_ns();
	for (uint32_t i = 0; i < l->worker_count; i++) {
		struct worker *w = &l->workers[l->worker_places[i]];
		w->phase = PHASE_LOAD;
		w->load_next = i;
		w->load_step = l->worker_count;
	}
	int rc = run_all(l, error);
	*took_ns = now_ns() - start_ns;
	for (uint32_t i = 0; i < l->worker_count && rc == 0; i++) {
		struct worker *w = &l->workers[l->worker_places[i]];
		if (w->tally.first_code)
			rc = error_set(
			    error, w->tally.first_code, "loading through %s: %s", w->region->name, w->tally.first_reason);
		memset(&w->tally, 0, sizeof(w->tally));
	}
	return rc;
}

int workload_run(struct workload *l, uint32_t warmup_ms, uint32_t seconds, struct error_context *error)
{
	uint64_t start_ns = now_ns();
	for (uint32_t i = 0; i < l->worker_count; i++) {
		struct worker *w = &l->workers[l->worker_places[i]];
		w->phase = PHASE_RUN;
		w->started = 0;
		w->start_ns = start_ns;
		w->measure_ns = start_ns + warmup_ms * 1000000ull;
		w->end_ns = w->measure_ns + seconds * 1000000000ull;
	}
	return run_all(l, error);
}

const struct tally *workload_tally(const struct workload *l, uint32_t place)
{
	return l->workers[place].workload ? &l->workers[place].tally : NULL;
}

static void histogram_join(struct histogram_block *into, const struct histogram_block *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

void tally_add(struct tally *into, const struct tally *from)
{
	into->writes += from->writes;
	into->reads += from->reads;
	into->refused += from->refused;
	into->unknown += from->unknown;
	into->failed += from->failed;
	into->all_writes += from->all_writes;
	into->all_reads += from->all_reads;
	if (!into->first_code) {
		into->first_code = from->first_code;
		memcpy(into->first_reason, from->first_reason, sizeof(into->first_reason));
	}
	histogram_join(&into->write_us, &from->write_us);
	histogram_join(&into->read_us, &from->read_us);
}
