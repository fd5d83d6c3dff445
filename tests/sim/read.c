/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads by clients, through the router's own code, and what they must show. */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/client.pb-c.h"

struct question {
	char key[SIM_KEY_SIZE];
	uint64_t floor; /* own sequence of the region: a write to the key that it has acknowledged */
	uint64_t asked_ns;
};

static int shared_key(const char *key)
{
	unsigned number;
	return sscanf(key, "key-%u", &number) == 1 && number < SIM_KEYS ? (int)number : -1;
}

void read_acknowledged(struct sim *sim, const struct sim_client *client, const struct sim_operation *operation)
{
	int key = shared_key(operation->key);
	if (key >= 0 && operation->dot.sequence > sim->reads[client->region][key].acknowledged)
		sim->reads[client->region][key].acknowledged = operation->dot.sequence;
}

void read_ask(struct sim *sim, uint32_t index)
{
	struct sim_client *client = &sim->clients[index];
	struct question *question = calloc(1, sizeof *question);
	if (!question)
		abort();
	question->asked_ns = sim->now_ns;
	const struct sim_operation *last =
	    client->newest ? &client->operations[chance_below(&sim->chance, client->newest)] : NULL;
	if (last && chance_of(&sim->chance, 300)) {
		strcpy(question->key, last->key);
		question->floor = last->outcome == SIM_OK ? last->dot.sequence : 0;
	} else {
		snprintf(question->key, sizeof question->key, "key-%u", (unsigned)chance_below(&sim->chance, SIM_KEYS));
	}
	int key = shared_key(question->key);
	if (key >= 0 && sim->reads[client->region][key].acknowledged > question->floor)
		question->floor = sim->reads[client->region][key].acknowledged;
	sim_push(sim, sim->now_ns + SIM_MS / 10 + chance_below(&sim->chance, SIM_MS),
	    (struct sim_event){.kind = SIM_READ,
	        .region = client->region,
	        .client = index,
	        .bytes = (uint8_t *)question,
	        .size = sizeof *question});
}

static void check(struct sim *sim, struct sim_node *node, const struct question *question, const Godwit__Client__Answer *answer)
{
	struct vector version = {{0}};
	int key = shared_key(question->key);
	if (answer->version.len &&
	    vector_decode(&version, answer->version.data, answer->version.len) != (long)answer->version.len)
		sim_fail(sim, SIM_SAFETY, "%s answers with a version that cannot be read", sim_names[node->region]);
	if (version.sequence[node->region] < question->floor)
		sim_fail(sim, SIM_SAFETY, "a read of %s in %s sees nothing of its write %llu, which was acknowledged before",
		    question->key, sim_names[node->region], (unsigned long long)question->floor);
	if (key >= 0) {
		struct vector *seen = &sim->reads[node->region][key].seen;
		if (!vector_covers(&version, seen))
			sim_fail(sim, SIM_SAFETY, "a read of %s in %s sees less than one before", question->key,
			    sim_names[node->region]);
		*seen = version;
	}
	if (chance_of(&sim->chance, 100))
		check_read(sim, node, question->key, answer->code == 0, answer->value.data, answer->value.len);
}

void read_answer(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	const struct question *question = (const struct question *)event->bytes;
	struct request_operation operation = {
	    .number = 1, .kind = ROUTER_GET, .key = {(const uint8_t *)question->key, strlen(question->key)}};
	struct output out = {0};
	struct reads_question *held = NULL;
	if (node->wiped || sim->damaged_key[0])
		return;
	reads_answer(&node->reads, &operation, sim->now_ns, UINT64_MAX, false, &held, &out);
	Godwit__Client__Answers *answers = godwit__client__answers__unpack(NULL, out.size, out.bytes);
	assert(answers && answers->n_answers == 1);
	const Godwit__Client__Answer *answer = answers->answers[0];
	if (answer->code == 0 || answer->code == ERR_NOT_FOUND) {
		check(sim, node, question, answer);
		sim->counts.reads++;
		history_read(sim, event->client, question->key, question->asked_ns, answer->code == 0, answer->value.data,
		    answer->value.len);
	} else if (answer->code != ERR_UNREACHABLE) {
		sim_fail(
		    sim, SIM_SAFETY, "a read in %s is answered with %s", sim_names[node->region], error_name(answer->code));
	}
	reads_end(&node->reads);
	output_deinit(&out);
	godwit__client__answers__free_unpacked(answers, NULL);
}
