/* SPDX-License-Identifier: Apache-2.0
 *
 * What a wrong clock in one region costs the others: the same world three times, with that region as it should be, with it
 * gone, and with its clock off from some moment on. The others must not have less of it than of its absence. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/commit/sim.h"

#define FROM_NS  (6000 * SIM_MS) /* a second after the jump */
#define UNTIL_NS (26000 * SIM_MS)
#define JUMP_NS  (5000 * SIM_MS)
/* Of what is left without the region, or with it. One run of a hot key is no measure: with other draws of the same world it is
 * half of the median, or one and a half of it, whether a clock is wrong or not. So whoever is below that has to be so in the
 * sum of RUNS. */
#define PER_CENT   70u
#define RUNS       5u
#define LEAST_OKAY 40u /* fewer in the time that is looked at prove nothing */

enum pass { PASS_RIGHT, PASS_GONE, PASS_WRONG };

static uint32_t okay_of_others(const struct sim *sim, uint8_t region)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < sim->operation_count; i++) {
		const struct sim_operation *op = &sim->operations[i];
		count += (op->outcome == SIM_OK || op->outcome == SIM_CHECK_FAILED) &&
		         sim->clients[op->client].region != region && op->end_ns >= FROM_NS && op->end_ns < UNTIL_NS;
	}
	return count;
}

static uint32_t pass_run(struct sim *sim, uint64_t seed, const struct sim_flags *flags, enum pass pass, uint32_t run)
{
	uint8_t region = (uint8_t)(seed / 50 % 3);
	world_begin(sim, seed, flags, shape_draw_clock);
	for (uint32_t i = 0; i < run; i++)
		chance_next(&sim->chance);
	sim->wanted = UINT32_MAX;
	if (pass == PASS_GONE)
		node_kill(sim, &sim->nodes[region], true);
	if (pass == PASS_WRONG)
		sim_push(sim, JUMP_NS,
		    (struct sim_event){.kind = SIM_CLOCK,
		        .region = region,
		        .skew_ms = seed / 150 % 2 ? (int64_t)sim->shape.clock_ms : -(int64_t)sim->shape.clock_ms});
	world_run(sim, UNTIL_NS);
	uint32_t okay = okay_of_others(sim, region);
	sim->wanted = sim->issued;
	world_end(sim);
	return okay;
}

/* What the others got, in each pass: added to okay. The last one is run in `sim`, and traced. */
static void passes_run(struct sim *sim, uint64_t seed, const struct sim_flags *flags, uint32_t run, uint32_t okay[3])
{
	for (enum pass pass = PASS_RIGHT; pass <= PASS_WRONG; pass++) {
		struct sim *one = pass == PASS_WRONG && !run ? sim : calloc(1, sizeof *one);
		if (!one)
			abort();
		okay[pass] += pass_run(one, seed, flags, pass, run);
		if (one == sim)
			break;
		sim_release(one);
		free(one);
	}
}

static bool is_enough(const uint32_t okay[3], uint32_t runs)
{
	uint32_t least = okay[PASS_GONE] < okay[PASS_RIGHT] ? okay[PASS_GONE] : okay[PASS_RIGHT];
	return least < runs * LEAST_OKAY || okay[PASS_WRONG] * 100 >= least * PER_CENT;
}

void sim_run_clock(struct sim *sim, uint64_t seed, const struct sim_flags *flags)
{
	uint32_t okay[3] = {0}, runs = 1;
	passes_run(sim, seed, flags, 0, okay);
	if (!is_enough(okay, 1))
		for (; runs < RUNS; runs++)
			passes_run(sim, seed, flags, runs, okay);
	sim_trace(sim,
	    "ok of the other regions: %u with that region as it should be, %u without it, %u with its clock off by %llu ms (%u "
	    "runs)",
	    okay[PASS_RIGHT], okay[PASS_GONE], okay[PASS_WRONG], (unsigned long long)sim->shape.clock_ms, runs);
	if (!is_enough(okay, runs))
		sim_fail(sim, SIM_LIVENESS,
		    "one clock off by %llu ms: %u operations ok in the other regions, %u with that region gone, %u with its "
		    "clock right, in %u runs",
		    (unsigned long long)sim->shape.clock_ms, okay[PASS_WRONG], okay[PASS_GONE], okay[PASS_RIGHT], runs);
}
