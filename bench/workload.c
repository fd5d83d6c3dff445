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

#include "bench/operation.h"

#define RETRY_PAUSE_NS   (5ull * 1000000)
#define PROBE_TIMEOUT_MS 3000u
#define WAIT_MS          1            /* a descriptor that was missed costs at most this */
#define REMEMBERED_MAX   (1ull << 20) /* keys that all clients together know the versions of */
#define REMEMBERED_MIN   64u          /* a client */

enum phase { PHASE_LOAD, PHASE_RUN };

struct worker_connection {
	struct worker *worker;
	struct gw_connection *gw;
	uint32_t client;
	uint64_t writes;       /* numbers its values */
	uint64_t paused_to_ns; /* after a refusal for lack of room */
	struct operation *operations;
	struct step *steps;   /* of all operations */
	uint32_t first_free;  /* pipeline: none */
	uint32_t first_ready; /* decided, not sent: compare-and-sets whose read was answered, and what found no room; pipeline:
	                         none */
	struct seen seen;
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
	/* Of one operation, which is copied when it is submitted. */
	char *values, (*keys)[BENCH_KEY_TEXT_SIZE];
	struct client_operation *steps;
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

static bool has_sets(const struct worker *w)
{
	return w->workload->options.cas_ratio > 0;
}

static void failure_tally(struct tally *t, enum operation_end end, const struct client_result *result)
{
	if (end == OPERATION_UNKNOWN)
		t->unknown++;
	else if (end == OPERATION_REFUSED)
		t->refused++;
	else
		t->failed++;
	if (t->first_code)
		return;
	t->first_code = result->code;
	snprintf(t->first_reason, sizeof(t->first_reason), "%s", result->reason ? result->reason : "");
}

static void result_tally(
    struct worker *w, const struct operation *o, const struct client_result *result, enum operation_end end)
{
	struct tally *t = &w->tally;
	uint64_t us = result->answered_ns > o->start_ns ? (result->answered_ns - o->start_ns) / 1000 : 0;
	bool is_measured = result->answered_ns >= w->measure_ns && result->answered_ns < w->end_ns;
	if (end == OPERATION_CHECK_FAILED) {
		t->check_failed++;
		if (is_measured)
			histogram_add(&t->check_failed_us, us);
		return;
	}
	if (end != OPERATION_OK) {
		failure_tally(t, end, result);
		return;
	}
	if (o->is_read)
		t->all_reads++;
	else
		t->all_writes++;
	t->all_sets += operation_has_condition(o);
	if (!is_measured)
		return;
	histogram_add(o->is_read ? &t->read_us : &t->write_us, us);
	if (o->is_read)
		t->reads++;
	else
		t->writes++;
}

static void operation_push(struct worker_connection *c, struct operation *o, uint32_t *first)
{
	o->next_free = *first;
	*first = (uint32_t)(o - c->operations);
}

static void take_result(void *context, const struct client_result *result)
{
	struct worker_connection *c = context;
	struct worker *w = c->worker;
	struct operation *o = result->user;
	enum operation_end end = operation_end_of(o, result);
	if (w->workload->options.history)
		operation_note(o, result, end, c->client, w->region->name, w->workload->options.history);
	if (has_sets(w))
		operation_learn(o, result, end, &c->seen);
	if (result->code == ERR_OVERLOADED) {
		c->paused_to_ns = result->answered_ns + RETRY_PAUSE_NS;
		if (w->phase == PHASE_LOAD)
			w->load_again[w->load_again_count++] = o->steps[0].key; /* room for all that can be under way */
	}
	if (w->phase == PHASE_RUN || (end != OPERATION_OK && result->code != ERR_OVERLOADED))
		result_tally(w, o, result, end);
	if (o->set_follows && end == OPERATION_OK) {
		operation_turn_to_set(o, result);
		operation_push(c, o, &c->first_ready);
		return;
	}
	if (has_sets(w))
		operation_release(o, &c->seen);
	operation_push(c, o, &c->first_free);
}

/* Keys in turn. */
static bool next_to_load(struct worker *w, struct operation *o)
{
	struct step *step = &o->steps[0];
	o->is_read = o->is_transaction = o->set_follows = false;
	o->step_count = 1;
	step->kind = CLIENT_PUT;
	step->expected.known = false;
	if (w->load_again_count) {
		step->key = w->load_again[--w->load_again_count];
		return true;
	}
	step->key = w->load_next;
	if (w->tally.first_code || w->load_next >= w->workload->options.keys)
		return false;
	w->load_next += w->load_step;
	return true;
}

/* What to do next. False: nothing now; *wait_ns then may come down. */
static bool next_operation(struct worker_connection *c, uint64_t now, struct operation *o, uint64_t *wait_ns)
{
	struct worker *w = c->worker;
	const struct workload_options *options = &w->workload->options;
	o->start_ns = now;
	if (w->phase == PHASE_LOAD)
		return next_to_load(w, o);
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
	if (!operation_draw(o, options, &w->workload->zipf, &w->random, &c->seen))
		return false;
	w->started++;
	return true;
}

/* A step as the client library wants it; what it points to is the worker's and the operation's. */
static struct client_operation step_fill(struct worker_connection *c, struct step *step, uint32_t number)
{
	static const enum gw_condition conditions[] = {[false] = GW_IF_VERSION, [true] = GW_IF_ABSENT};
	struct worker *w = c->worker;
	const struct workload_options *options = &w->workload->options;
	struct client_operation out = {
	    .kind = step->kind, .keyspace = options->keyspace, .key = w->keys[number], .key_size = BENCH_KEY_SIZE};
	key_fill(w->keys[number], step->key);
	if (step->kind == CLIENT_PUT) {
		char *value = w->values + (size_t)number * options->value_size;
		value_fill(value, options->value_size, w->workload->run, c->client, c->writes++, &w->random);
		memcpy(step->value, value, VALUE_ID_SIZE);
		out.value = value;
		out.value_size = options->value_size;
	}
	if (step->expected.known) {
		out.condition = conditions[step->expected.absent];
		out.expected = step->expected.absent ? NULL : step->expected.version;
		out.expected_size = step->expected.absent ? 0 : step->expected.version_size;
	}
	return out;
}

/* False: that was refused here, and is no use trying again at once. */
static bool submit(struct worker_connection *c, struct operation *o, uint64_t now)
{
	struct worker *w = c->worker;
	struct client_operation operation = {.kind = CLIENT_TRANSACTION, .steps = w->steps, .step_count = o->step_count};
	for (uint32_t i = 0; i < o->step_count; i++)
		w->steps[i] = step_fill(c, &o->steps[i], i);
	if (!o->is_transaction)
		operation = w->steps[0];
	operation.user = o;
	int rc = client_submit(c->gw, &operation);
	if (rc == 0)
		return true;
	if (rc == ERR_FULL) { /* the library has no room: an old operation is not answered yet */
		c->paused_to_ns = now + RETRY_PAUSE_NS;
		operation_push(c, o, &c->first_ready);
		return false;
	}
	/* Not even queued: as certain a refusal as there is. */
	struct client_result refused = {.code = rc, .reason = error_text(rc), .user = o, .answered_ns = now};
	take_result(c, &refused);
	return false;
}

static struct operation *operation_pop(struct worker_connection *c, uint32_t *first)
{
	struct operation *o = &c->operations[*first];
	*first = o->next_free;
	return o;
}

/* What is decided and not sent goes first. Behind the end of the run it is dropped. */
static bool submit_ready(struct worker_connection *c, uint64_t now)
{
	struct worker *w = c->worker;
	while (c->first_ready < w->workload->options.pipeline) {
		struct operation *o = operation_pop(c, &c->first_ready);
		if (w->phase == PHASE_RUN && now >= w->end_ns) {
			if (has_sets(w))
				operation_release(o, &c->seen);
			operation_push(c, o, &c->first_free);
		} else if (!submit(c, o, now)) {
			return false;
		}
	}
	return true;
}

static void submit_all(struct worker_connection *c, uint64_t now, uint64_t *wait_ns)
{
	if (now < c->paused_to_ns || !submit_ready(c, now))
		return;
	while (c->first_free < c->worker->workload->options.pipeline) {
		if (!next_operation(c, now, &c->operations[c->first_free], wait_ns) ||
		    !submit(c, operation_pop(c, &c->first_free), now))
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

static void worker_stop(struct worker *w)
{
	uint64_t now = now_ns();
	if (now < w->end_ns)
		w->end_ns = now;
	w->load_next = w->workload->options.keys;
	w->load_again_count = 0;
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
			results += client_poll(c->gw, 0, take_result, c);
			pending += gw_pending(c->gw) + (c->first_ready < w->workload->options.pipeline);
		}
		if (*w->workload->options.stopped)
			worker_stop(w);
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
	char endpoint[128];
	topology_client_endpoint(w->region, endpoint);
	*c = (struct worker_connection){.worker = w, .client = client};
	c->first_ready = options->pipeline;
	c->operations = calloc(options->pipeline, sizeof(*c->operations));
	c->steps = calloc(options->pipeline, sizeof(*c->steps) * options->transaction_keys);
	w->connection_count++;
	if (!c->operations || !c->steps)
		return error_set(error, ERR_NO_MEMORY, "%u operations", options->pipeline);
	for (uint32_t i = 0; i < options->pipeline; i++)
		c->operations[i] =
		    (struct operation){.next_free = i + 1, .steps = c->steps + (size_t)i * options->transaction_keys};
	uint64_t remembered = REMEMBERED_MAX / options->clients;
	if (has_sets(w) && seen_init(&c->seen, options->keys, remembered < REMEMBERED_MIN ? REMEMBERED_MIN : remembered,
	                       (uint64_t)options->pipeline * options->transaction_keys) != 0)
		return error_set(error, ERR_NO_MEMORY, "what %u clients know", options->clients);
	struct gw_options gw = {.endpoint = endpoint,
	    .key_dir = options->key_dir,
	    .region = w->region->name,
	    .timeout_ms = options->timeout_ms,
	    .pipeline_max = options->pipeline};
	char reason[sizeof(error->text)] = "";
	int rc = gw_connect(&c->gw, &gw, reason);
	return rc == 0 ? 0 : error_set(error, rc, "%s", reason);
}

/* One question to each region, so that a cluster that is not there is told at once and not after a run of failures. */
static int worker_probe(struct worker *w, struct error_context *error)
{
	struct client_operation operation = {.kind = CLIENT_REGION, .timeout_ms = PROBE_TIMEOUT_MS};
	struct client_result result;
	int rc = client_call(w->connections[0].gw, &operation, &result);
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
		w->values = calloc(options->transaction_keys, options->value_size);
		w->keys = calloc(options->transaction_keys, sizeof(*w->keys));
		w->steps = calloc(options->transaction_keys, sizeof(*w->steps));
		if (!w->connections || !w->load_again || !w->values || !w->keys || !w->steps)
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
			free(w->connections[k].steps);
			seen_deinit(&w->connections[k].seen);
		}
		free(w->connections);
		free(w->load_again);
		free(w->values);
		free(w->keys);
		free(w->steps);
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

int workload_run(struct workload *l, uint32_t warmup_ms, uint32_t seconds, double *measured_s, struct error_context *error)
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
	int rc = run_all(l, error);
	uint64_t measured_ns = seconds * 1000000000ull;
	for (uint32_t i = 0; i < l->worker_count; i++) {
		const struct worker *w = &l->workers[l->worker_places[i]];
		uint64_t own_ns = w->end_ns > w->measure_ns ? w->end_ns - w->measure_ns : 0;
		measured_ns = own_ns < measured_ns ? own_ns : measured_ns;
	}
	*measured_s = (double)measured_ns / 1e9;
	return rc;
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
	into->all_sets += from->all_sets;
	into->check_failed += from->check_failed;
	if (!into->first_code) {
		into->first_code = from->first_code;
		memcpy(into->first_reason, from->first_reason, sizeof(into->first_reason));
	}
	histogram_join(&into->write_us, &from->write_us);
	histogram_join(&into->read_us, &from->read_us);
	histogram_join(&into->check_failed_us, &from->check_failed_us);
}
