/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/register.h"
#include "tests/sim/commit/sim.h"

static bool quiet_node(const struct sim *sim, const struct sim_node *node)
{
	(void)sim;
	return !commit_in_doubt(node->machine, NULL, 0) && !commit_held_keys(node->machine) && node->applied == node->count;
}

bool check_quiet(struct sim *sim)
{
	const struct sim_node *first = NULL;
	for (uint32_t r = 0; r < sim->n; r++) {
		const struct sim_node *node = &sim->nodes[r];
		if (!node->up)
			continue;
		if (!quiet_node(sim, node))
			return false;
		for (uint32_t k = 0; first && k < sim->keys; k++)
			if (commit_id_compare(first->rows[k].row.stamp, node->rows[k].row.stamp) != 0 ||
			    commit_id_compare(first->rows[k].row.version, node->rows[k].row.version) != 0)
				return false;
		first = node;
	}
	return true;
}

/* Once on a disk, a decision is the same on each. */
void check_entry(struct sim *sim, struct sim_node *node, const struct sim_entry *entry)
{
	static struct commit_head head;
	struct commit_body body;
	if (entry->type != COMMIT_ENTRY_COMMIT && entry->type != COMMIT_ENTRY_ABORT)
		return;
	if (commit_entry_open(entry->bytes, entry->size, &head, &body) != 0)
		sim_fail(sim, SIM_SAFETY, "an entry of region %u does not decode", node->region);
	uint8_t value = entry->type == COMMIT_ENTRY_COMMIT ? COMMIT_COMMITTED : COMMIT_ABORTED;
	for (uint32_t i = 0; i < sim->decision_count; i++) {
		struct sim_decision *d = &sim->decisions[i];
		if (!commit_id_equal(d->id, head.id))
			continue;
		if (d->value != value)
			sim_fail(
			    sim, SIM_SAFETY, "%s is committed in one region and aborted in another (T52)", sim_id(head.id));
		if (value == COMMIT_COMMITTED && (d->size != body.size || memcmp(d->body, body.bytes, body.size) != 0))
			sim_fail(sim, SIM_SAFETY, "%s is not the same everywhere (T34)", sim_id(head.id));
		return;
	}
	if (sim->decision_count == sim->decision_capacity) {
		sim->decision_capacity = sim->decision_capacity ? sim->decision_capacity * 2 : 256;
		sim->decisions = realloc(sim->decisions, sim->decision_capacity * sizeof *sim->decisions);
	}
	struct sim_decision *d = &sim->decisions[sim->decision_count++];
	*d = (struct sim_decision){.id = head.id, .value = value, .size = body.size};
	if (body.bytes) {
		d->body = malloc(body.size);
		memcpy(d->body, body.bytes, body.size);
	}
}

static bool is_on_disk(const struct sim_node *node, struct commit_id id)
{
	static struct commit_head head;
	struct commit_body body;
	for (uint64_t i = node->durable; i-- > 0;) {
		const struct sim_entry *entry = &node->entries[i];
		if (entry->type == COMMIT_ENTRY_BOUND || commit_entry_open(entry->bytes, entry->size, &head, &body) != 0 ||
		    !commit_id_equal(head.id, id))
			continue;
		if (entry->type == COMMIT_ENTRY_PREPARE || entry->type == COMMIT_ENTRY_COMMIT ||
		    (entry->type == COMMIT_ENTRY_ACCEPT && head.value == COMMIT_COMMITTED))
			return true;
	}
	return false;
}

/* What is acknowledged is on the disks of a majority, whatever happened to them since. */
void check_acknowledged(struct sim *sim, uint32_t operation, struct commit_id id)
{
	uint32_t count = 0;
	for (uint32_t r = 0; r < sim->n; r++)
		count += sim->nodes[r].lost || is_on_disk(&sim->nodes[r], id);
	if (count < sim->n / 2 + 1)
		sim_fail(sim, SIM_SAFETY, "#%u is acknowledged as %s, which is on %u of %u disks", operation, sim_id(id), count,
		    sim->n);
}

/* ---- the history ---- */

struct applied {             /* one request of one committed transaction, or one read */
	struct commit_id id; /* with share */
	uint32_t operation;
	bool is_read, shown; /* shown: its values are those of the rows (the last of those that share) */
};
static struct applied *all;
static uint32_t all_count;

static int compare_applied(const void *a, const void *b)
{
	const struct applied *x = a, *y = b;
	int order = commit_id_compare(x->id, y->id);
	if (order)
		return order;
	if (x->id.share != y->id.share)
		return x->id.share < y->id.share ? -1 : 1;
	if (x->is_read != y->is_read)
		return x->is_read ? 1 : -1;
	return x->operation < y->operation ? -1 : x->operation > y->operation;
}

static uint32_t operation_of(struct sim *sim, const struct commit_request_name *name)
{
	for (uint32_t i = 0; i < sim->operation_count; i++)
		if (sim->operations[i].number == name->number && sim->clients[sim->operations[i].client].id == name->client_id)
			return i;
	sim_fail(sim, SIM_SAFETY, "something was committed that nobody asked for");
}

static void collect(struct sim *sim)
{
	all = calloc(sim->operation_count + COMMIT_REQUESTS_MAX, sizeof *all);
	uint32_t *count = calloc(sim->operation_count, sizeof *count);
	struct commit_id *ids = calloc(sim->operation_count, sizeof *ids);
	all_count = 0;
	for (uint32_t i = 0; i < sim->decision_count; i++) {
		const struct sim_decision *d = &sim->decisions[i];
		struct commit_body body;
		if (d->value != COMMIT_COMMITTED)
			continue;
		int code = commit_body_open(&body, d->body, d->size);
		assert(code == 0);
		uint32_t at = body.requests_at;
		for (uint32_t j = 0; j < body.request_count; j++) {
			struct commit_request_name name;
			commit_body_request(&body, &at, &name);
			uint32_t operation = operation_of(sim, &name);
			if (count[operation]++)
				sim_fail(sim, SIM_SAFETY, "#%u was applied twice: %s and %s (B08)", operation,
				    sim_id(ids[operation]), sim_id(d->id));
			ids[operation] = d->id;
			ids[operation].share = (uint16_t)j;
			all[all_count++] = (struct applied){
			    .id = ids[operation], .operation = operation, .shown = j + 1 == body.request_count};
		}
	}
	for (uint32_t i = 0; i < sim->operation_count; i++) {
		const struct sim_operation *op = &sim->operations[i];
		if (op->kind == SIM_READ) {
			if (op->outcome == SIM_OK)
				all[all_count++] = (struct applied){.id = op->version, .operation = i, .is_read = true};
			continue;
		}
		if (op->outcome == SIM_OK && !count[i])
			sim_fail(sim, SIM_SAFETY, "#%u was acknowledged as %s, and is lost (T46)", i, sim_id(op->version));
		if (op->outcome == SIM_OK && (!commit_id_equal(ids[i], op->version) || ids[i].share != op->version.share))
			sim_fail(
			    sim, SIM_SAFETY, "#%u was acknowledged as %s, and is %s", i, sim_id(op->version), sim_id(ids[i]));
		if ((op->outcome == SIM_REFUSED || op->outcome == SIM_CHECK_FAILED) && count[i])
			sim_fail(sim, SIM_SAFETY, "#%u was refused (%s), and applied as %s (B17)", i, error_name(op->code),
			    sim_id(ids[i]));
	}
	free(count);
	free(ids);
	qsort(all, all_count, sizeof *all, compare_applied);
}

/* In the order of their names: each condition holds, and the rows are what comes out. */
static void check_order(struct sim *sim, bool rows_too)
{
	struct sim_row rows[SIM_KEYS_MAX] = {0};
	for (uint32_t i = 0; i < all_count; i++) {
		const struct sim_operation *op = &sim->operations[all[i].operation];
		if (all[i].is_read)
			continue;
		for (uint32_t j = 0; j < op->count; j++) {
			const struct sim_access *a = &op->accesses[j];
			const struct commit_row *row = &rows[a->key].row;
			bool holds = a->condition == COMMIT_ALWAYS || (a->condition == COMMIT_IF_ABSENT && !row->live) ||
			             (a->condition == COMMIT_IF_VERSION && commit_id_equal(row->version, a->expected) &&
			                 row->version.share == a->expected.share);
			if (!holds)
				sim_fail(sim, SIM_SAFETY, "#%u committed as %s over %s of key %u against its condition",
				    all[i].operation, sim_id(all[i].id), sim_id(row->version), a->key);
		}
		for (uint32_t j = 0; j < op->count; j++) {
			const struct sim_access *a = &op->accesses[j];
			rows[a->key].row.stamp = all[i].id;
			if (a->kind == COMMIT_CHECK)
				continue;
			rows[a->key].row.version = all[i].id;
			rows[a->key].row.live = a->kind == COMMIT_PUT;
			rows[a->key].value = a->value;
		}
	}
	for (uint32_t r = 0; rows_too && r < sim->n; r++) {
		const struct sim_node *node = &sim->nodes[r];
		for (uint32_t k = 0; node->up && k < sim->keys; k++) {
			const struct sim_row *have = &node->rows[k], *must = &rows[k];
			if (commit_id_compare(have->row.version, must->row.version) != 0 ||
			    have->row.version.share != must->row.version.share || have->row.live != must->row.live ||
			    (must->row.live && have->value != must->value))
				sim_fail(sim, SIM_SAFETY, "region %u has %s of key %u, the log of all says %s", r,
				    sim_id(have->row.version), k, sim_id(must->row.version));
		}
	}
}

/* ---- strict serializability: no cycle in what came before what ---- */

static uint8_t *color;
static uint32_t *edges_first, *edges;

static void cycle_at(struct sim *sim, uint32_t i)
{
	color[i] = 1;
	const struct sim_operation *op = &sim->operations[all[i].operation];
	for (uint32_t e = edges_first[i]; e < edges_first[i + 1]; e++) {
		if (color[edges[e]] == 1)
			sim_fail(sim, SIM_SAFETY,
			    "not strictly serializable: #%u (%s) comes before #%u (%s), and after it (T46)", all[i].operation,
			    sim_id(all[i].id), all[edges[e]].operation, sim_id(all[edges[e]].id));
		if (!color[edges[e]])
			cycle_at(sim, edges[e]);
	}
	for (uint32_t j = 0; j < all_count; j++) {
		if (sim->operations[all[j].operation].start_ns <= op->end_ns || op->outcome != SIM_OK)
			continue;
		if (color[j] == 1)
			sim_fail(sim, SIM_SAFETY,
			    "not strictly serializable: #%u (%s) ended before #%u (%s) began, and comes after it (T46)",
			    all[i].operation, sim_id(all[i].id), all[j].operation, sim_id(all[j].id));
		if (!color[j])
			cycle_at(sim, j);
	}
	color[i] = 2;
}

enum touch { TOUCH_NOT, TOUCH_READS, TOUCH_WRITES };

static enum touch touch_of(const struct sim_operation *op, uint32_t key)
{
	for (uint32_t j = 0; j < op->count; j++)
		if (op->accesses[j].key == key)
			return op->kind == SIM_READ || op->accesses[j].kind == COMMIT_CHECK ? TOUCH_READS : TOUCH_WRITES;
	return TOUCH_NOT;
}

static void check_cycles(struct sim *sim)
{
	struct edge {
		uint32_t from, to;
	} *list = calloc((size_t)all_count * SIM_OPS_KEYS * 4 + 16, sizeof *list);
	uint32_t count = 0;
	for (uint32_t k = 0; k < sim->keys; k++) {
		/* `all` is in order, reads behind what they saw. */
		uint32_t writer = UINT32_MAX, readers_from = 0;
		for (uint32_t i = 0; i < all_count; i++) {
			const struct sim_operation *op = &sim->operations[all[i].operation];
			enum touch touch = touch_of(op, k);
			if (touch == TOUCH_NOT)
				continue;
			if (writer != UINT32_MAX)
				list[count++] = (struct edge){writer, i};
			if (touch == TOUCH_READS)
				continue;
			for (uint32_t j = readers_from; j < i; j++)
				if (touch_of(&sim->operations[all[j].operation], k) == TOUCH_READS)
					list[count++] = (struct edge){j, i};
			writer = i;
			readers_from = i + 1;
		}
	}
	edges_first = calloc(all_count + 2, sizeof *edges_first);
	edges = calloc(count + 1, sizeof *edges);
	color = calloc(all_count + 1, 1);
	for (uint32_t e = 0; e < count; e++)
		edges_first[list[e].from + 1]++;
	for (uint32_t i = 0; i < all_count; i++)
		edges_first[i + 1] += edges_first[i];
	uint32_t *fill = calloc(all_count + 1, sizeof *fill);
	for (uint32_t e = 0; e < count; e++)
		edges[edges_first[list[e].from] + fill[list[e].from]++] = list[e].to;
	for (uint32_t i = 0; i < all_count; i++)
		if (!color[i])
			cycle_at(sim, i);
	free(list);
	free(fill);
	free(edges);
	free(edges_first);
	free(color);
}

/* ---- linearizability of each key, from what clients saw alone ---- */

static void check_key(struct sim *sim, uint32_t key, struct register_operation *list)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < sim->operation_count; i++) {
		const struct sim_operation *op = &sim->operations[i];
		if (op->outcome == SIM_REFUSED || op->outcome == SIM_OPEN)
			continue;
		for (uint32_t j = 0; j < op->count; j++) {
			const struct sim_access *a = &op->accesses[j];
			if (a->key != key)
				continue;
			struct register_operation *r = &list[count];
			*r = (struct register_operation){.start_ns = (int64_t)op->start_ns,
			    .end_ns = INT64_MAX,
			    .reads = REGISTER_ANY,
			    .differs = REGISTER_ANY,
			    .writes = REGISTER_NOTHING,
			    .source = i};
			r->optional = op->outcome == SIM_UNKNOWN;
			if (!r->optional)
				r->end_ns = (int64_t)op->end_ns;
			if (op->kind == SIM_READ) {
				if (r->optional)
					continue;
				r->reads = op->read_value;
			} else {
				uint32_t condition = a->condition == COMMIT_IF_VERSION  ? a->expected_value
				                     : a->condition == COMMIT_IF_ABSENT ? REGISTER_ABSENT
				                                                        : REGISTER_ANY;
				if (op->outcome == SIM_CHECK_FAILED) {
					if (op->count > 1 || condition == REGISTER_ANY)
						continue;
					r->differs = condition;
				} else {
					r->reads = condition;
					if (a->kind != COMMIT_CHECK)
						r->writes = a->value;
				}
			}
			count++;
		}
	}
	struct register_fault fault = {0};
	if (register_check(list, count, 20000000, &fault) != VERDICT_VIOLATION)
		return;
	bool *keep = calloc(count, sizeof *keep);
	register_minimize(list, count, 20000000, keep);
	for (uint32_t i = 0; i < count; i++)
		if (keep[i])
			fprintf(stderr, "  #%u %.3f to %.3f ms%s: reads %d, differs from %d, writes %d\n", list[i].source,
			    (double)list[i].start_ns / 1e6, list[i].optional ? 0.0 : (double)list[i].end_ns / 1e6,
			    list[i].optional ? " (unknown)" : "", (int)list[i].reads, (int)list[i].differs,
			    (int)list[i].writes);
	sim_fail(sim, SIM_SAFETY, "key %u is not linearizable: %s (T46, T48)", key, fault.reason ? fault.reason : "");
}

static void check_stuck(struct sim *sim)
{
	for (uint32_t r = 0; r < sim->n; r++) {
		struct sim_node *node = &sim->nodes[r];
		struct commit_in_doubt list[4];
		if (!node->up)
			continue;
		uint32_t count = commit_in_doubt(node->machine, list, 4);
		if (count)
			sim_fail(sim, SIM_LIVENESS, "region %u has %u in doubt, the first is %s (voted %d)", r, count,
			    sim_id(list[0].id), list[0].voted);
		if (commit_held_keys(node->machine))
			sim_fail(sim, SIM_LIVENESS, "region %u holds %u keys", r, commit_held_keys(node->machine));
		if (node->applied != node->count)
			sim_fail(sim, SIM_LIVENESS, "region %u has not applied its log", r);
	}
}

void check_end(struct sim *sim)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		if (sim->clients[i].open)
			sim_fail(sim, SIM_LIVENESS, "client %u has no outcome of #%u", i, sim->clients[i].open - 1);
	/* What a region has forgotten, only all others together can make up for: a lost one is then missed for good. */
	bool may_be_stuck = sim->forgets && sim->counts.losses;
	if (!may_be_stuck)
		check_stuck(sim);
	collect(sim);
	check_cycles(sim);
	check_order(sim, !may_be_stuck);
	struct register_operation *list = calloc((size_t)sim->operation_count * SIM_OPS_KEYS + 1, sizeof *list);
	for (uint32_t k = 0; k < sim->keys; k++)
		check_key(sim, k, list);
	free(list);
	free(all);
	if (!may_be_stuck && !check_quiet(sim))
		sim_fail(sim, SIM_LIVENESS, "the regions have not become equal");
	for (uint32_t r = 0; r < sim->n; r++)
		if (sim->nodes[r].up)
			sim->counts.recovered += commit_counts(sim->nodes[r].machine)->recovered;
}
