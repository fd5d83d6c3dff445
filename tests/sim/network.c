/* SPDX-License-Identifier: Apache-2.0
 *
 * Worse than TCP: a message may be lost, come twice, late, or before an earlier one. False: the sender finds no connection. */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static void deliver(struct sim *sim, uint64_t time_ns, uint8_t from, uint8_t to, enum service service, bool from_receiver,
    const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size);
	if (!copy)
		abort();
	memcpy(copy, bytes, size);
	sim->counts.messages++;
	sim_push(sim, time_ns,
	    (struct sim_event){.kind = SIM_MESSAGE,
	        .region = to,
	        .peer = from,
	        .service = service,
	        .from_receiver = from_receiver,
	        .bytes = copy,
	        .size = (uint32_t)size});
}

bool network_send(
    struct sim *sim, uint8_t from, uint8_t to, enum service service, bool from_receiver, const uint8_t *bytes, size_t size)
{
	struct sim_link *link = &sim->links[from][to];
	if (link->cut)
		return chance_of(&sim->chance, 500); /* half of the time the sender does not know */
	if (chance_of(&sim->chance, link->loss))
		return true;
	uint64_t time_ns = sim->now_ns + link->delay_ns + (link->jitter_ns ? chance_below(&sim->chance, link->jitter_ns) : 0);
	if (!chance_of(&sim->chance, link->reorder)) {
		if (time_ns <= link->last_ns[service])
			time_ns = link->last_ns[service] + 1;
		link->last_ns[service] = time_ns;
	}
	deliver(sim, time_ns, from, to, service, from_receiver, bytes, size);
	if (chance_of(&sim->chance, link->duplicate))
		deliver(sim, time_ns + chance_below(&sim->chance, 300 * SIM_MS), from, to, service, from_receiver, bytes, size);
	return true;
}

void network_cut(struct sim *sim, uint32_t from, uint32_t to, bool cut)
{
	struct sim_link *link = &sim->links[from][to];
	if (link->cut != cut)
		link->changed_ns = sim->now_ns;
	link->cut = cut;
}
