/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/cluster.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define LOOK_AGAIN_NS (1000 * 1000l)

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void region_attach(struct cluster *c, uint32_t place)
{
	char region_dir[512];
	snprintf(region_dir, sizeof(region_dir), "%s/%s", c->dir, c->topology->regions[place].name);
	pid_t supervisor = c->local[place] ? shm_supervisor(region_dir) : 0;
	if (c->local[place] && (!supervisor || supervisor == c->shm[place].supervisor))
		return; /* what a region that was stopped has left is read as it is */
	struct shm found;
	if (shm_attach(&found, region_dir, 0, NULL) != 0)
		return;
	if (c->local[place])
		shm_detach(&c->shm[place]);
	c->shm[place] = found;
	c->local_count += !c->local[place];
	c->local[place] = true;
}

void cluster_attach(struct cluster *c, const struct topology *topology, const char *dir)
{
	memset(c, 0, sizeof(*c));
	c->topology = topology;
	c->dir = dir;
	for (uint32_t i = 0; i < topology->region_count; i++)
		region_attach(c, i);
}

/* Those that were there when the run began; another one would be no whole in the figures. */
static void cluster_look_again(struct cluster *c)
{
	for (uint32_t i = 0; i < c->topology->region_count; i++)
		if (c->local[i])
			region_attach(c, i);
}

void cluster_detach(struct cluster *c)
{
	for (uint32_t i = 0; i < c->topology->region_count; i++)
		if (c->local[i])
			shm_detach(&c->shm[i]);
}

void cluster_sample(struct cluster *c, struct cluster_sample *sample)
{
	cluster_look_again(c);
	memset(sample, 0, sizeof(*sample));
	for (uint32_t i = 0; i < c->topology->region_count; i++) {
		if (!c->local[i])
			continue;
		const struct shm_layout *layout = c->shm[i].layout;
		for (uint32_t actor = 0; actor < ACTORS; actor++)
			for (uint32_t counter = 0; counter < COUNTERS; counter++)
				sample->counters[i][actor][counter] =
				    counter_get(&layout->counters[actor], (enum counter)counter);
		/* Each word by itself: buckets may be a record ahead of their sum, which no percentile shows. */
		const struct histogram_block none = {0}, *blocks = layout->counters[ACTOR_COORDINATOR].histograms;
		histogram_difference(&sample->lag_us[i], &none, &blocks[HISTOGRAM_replication_lag_us]);
		histogram_difference(&sample->sync_us[i], &none, &blocks[HISTOGRAM_sync_us]);
		histogram_difference(&sample->group_records[i], &none, &blocks[HISTOGRAM_group_records]);
	}
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	sample->own_cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	                     (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static bool is_caught_up(const struct cluster *c, uint64_t since_ns)
{
	(void)since_ns;
	struct vector first, other;
	bool have_first = false;
	for (uint32_t i = 0; i < c->topology->region_count; i++) {
		if (!c->local[i])
			continue;
		vector_slot_read(&c->shm[i].layout->coordinator.applied, have_first ? &other : &first);
		if (have_first && vector_compare(&first, &other) != VECTOR_EQUAL)
			return false;
		have_first = true;
	}
	return true;
}

static bool is_lag_zero(const struct cluster *c, uint64_t since_ns)
{
	for (uint32_t i = 0; i < c->topology->region_count; i++) {
		for (uint32_t k = 0; c->local[i] && k < c->topology->region_count; k++) {
			const struct shm_peer *peer = &c->shm[i].layout->peers[c->topology->regions[k].id];
			if (k != i && c->local[k] &&
			    (atomic_load(&peer->lag_records) || atomic_load(&peer->sampled_at_ns) < since_ns))
				return false;
		}
	}
	return true;
}

void cluster_behind(struct cluster *c, char out[static BEHIND_TEXT_MAX])
{
	struct vector applied[REGIONS_MAX] = {{{0}}};
	uint32_t known = 0;
	cluster_look_again(c);
	for (uint32_t i = 0; i < c->topology->region_count; i++) {
		if (!c->local[i])
			continue;
		vector_slot_read(&c->shm[i].layout->coordinator.applied, &applied[i]);
		known |= 1u << i;
	}
	behind_write(c->topology, known, applied, out);
}

static int wait_for(struct cluster *c, bool (*reached)(const struct cluster *, uint64_t), uint32_t timeout_ms,
    const volatile sig_atomic_t *stopped, uint64_t *took_us)
{
	uint64_t start_ns = now_ns();
	struct waiting waiting = {.started_ns = start_ns};
	while (!reached(c, start_ns)) {
		char behind[BEHIND_TEXT_MAX];
		if (*stopped || now_ns() - start_ns > timeout_ms * 1000000ull)
			return ERR_UNKNOWN_OUTCOME;
		if (waiting_is_due(&waiting, now_ns())) {
			cluster_behind(c, behind);
			fprintf(stderr, "godwit-bench: waiting for the regions to be even (%.0f s of %u): %s\n",
			    (double)(now_ns() - start_ns) / 1e9, timeout_ms / 1000,
			    behind[0] ? behind : "the monitors do not show it yet");
		}
		nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
	}
	*took_us = (now_ns() - start_ns) / 1000;
	return 0;
}

int cluster_wait_caught_up(struct cluster *c, uint32_t timeout_ms, const volatile sig_atomic_t *stopped, uint64_t *took_us)
{
	return wait_for(c, is_caught_up, timeout_ms, stopped, took_us);
}

int cluster_wait_lag_zero(struct cluster *c, uint32_t timeout_ms, const volatile sig_atomic_t *stopped, uint64_t *took_us)
{
	return wait_for(c, is_lag_zero, timeout_ms, stopped, took_us);
}

uint64_t cluster_difference(const struct cluster *c, const struct cluster_sample *before, const struct cluster_sample *after,
    enum actor actor, enum counter counter)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < c->topology->region_count; i++)
		if (after->counters[i][actor][counter] > before->counters[i][actor][counter])
			sum += after->counters[i][actor][counter] - before->counters[i][actor][counter];
	return sum;
}

uint64_t cluster_sum(const struct cluster *c, const struct cluster_sample *sample, enum actor actor, enum counter counter)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < c->topology->region_count; i++)
		sum += sample->counters[i][actor][counter];
	return sum;
}

static uint64_t grown(const _Atomic uint64_t *before, const _Atomic uint64_t *after)
{
	uint64_t a = atomic_load_explicit(after, memory_order_relaxed), b = atomic_load_explicit(before, memory_order_relaxed);
	return a > b ? a - b : 0;
}

void histogram_difference(
    struct histogram_block *into, const struct histogram_block *before, const struct histogram_block *after)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t more = grown(&before->buckets[i], &after->buckets[i]);
		into->buckets[i] += more;
		count += more;
		if (more && histogram_bucket_top(i) > into->max)
			into->max = histogram_bucket_top(i);
	}
	into->count += count;
	into->sum += grown(&before->sum, &after->sum);
}
