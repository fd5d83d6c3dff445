/* SPDX-License-Identifier: Apache-2.0
 *
 * The run as a history for godwit-check (check/history.h), one JSON object a line. Keys and values need no escaping. */
#include "tests/sim/sim.h"

#include <stdio.h>

static void head(struct sim *sim, uint32_t client, const char *operation, const char *key, uint64_t start_ns)
{
	fprintf(sim->history, "{\"client\":%u,\"session\":%u,\"region\":\"%s\",\"op\":\"%s\",\"key\":\"%s\",\"start_ns\":%llu",
	    client, client, sim_names[sim->clients[client].region], operation, key, (unsigned long long)start_ns);
}

void history_write(struct sim *sim, uint32_t client, const struct sim_operation *operation)
{
	static const char *const outcomes[] = {[SIM_OK] = "ok", [SIM_FAILED] = "fail", [SIM_UNKNOWN] = "unknown"};
	if (!sim->history)
		return;
	head(sim, client, operation->tombstone ? "delete" : "put", operation->key, operation->first_sent_ns);
	if (!operation->tombstone)
		fprintf(sim->history, ",\"value\":\"%s\"", operation->value);
	if (operation->outcome != SIM_UNKNOWN)
		fprintf(sim->history, ",\"end_ns\":%llu", (unsigned long long)sim->now_ns);
	fprintf(sim->history, ",\"outcome\":\"%s\"}\n", outcomes[operation->outcome]);
}

void history_read(
    struct sim *sim, uint32_t client, const char *key, uint64_t start_ns, bool found, const uint8_t *value, size_t size)
{
	if (!sim->history)
		return;
	head(sim, client, "get", key, start_ns);
	if (found)
		fprintf(sim->history, ",\"value\":\"%.*s\"", (int)size, (const char *)value);
	fprintf(sim->history, ",\"end_ns\":%llu,\"outcome\":\"ok\"}\n", (unsigned long long)sim->now_ns);
}
