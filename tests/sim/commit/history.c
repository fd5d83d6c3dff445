/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/register.h"
#include "tests/sim/commit/sim.h"

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
	for (uint32_t i = 0; i < sim->client_count; i++)
		if (sim->clients[i].id == name->client_id && name->number && name->number <= sim->clients[i].number)
			return sim->clients[i].operations[name->number];
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
	struct sim_row *rows = calloc(sim->keys, sizeof *rows);
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
	free(rows);
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

struct edge {
	uint32_t from, to, next;
};
static struct edge *list;
static uint32_t list_count, list_capacity;

static void edge_add(uint32_t from, uint32_t to)
{
	if (list_count == list_capacity) {
		list_capacity = list_capacity ? 2 * list_capacity : 4096;
		list = realloc(list, list_capacity * sizeof *list);
		if (!list)
			abort();
	}
	list[list_count++] = (struct edge){from, to, 0};
}

/* `all` is in order, reads behind what they saw. */
static void edges_collect(struct sim *sim)
{
	struct last {
		uint32_t writer, readers; /* numbers in `all` + 1, in `reads` + 1 */
	} *last = calloc(sim->keys, sizeof *last);
	struct read {
		uint32_t reader, next;
	} *reads = NULL;
	uint32_t read_count = 1, read_capacity = 0;
	list_count = 0;
	for (uint32_t i = 0; i < all_count; i++) {
		const struct sim_operation *op = &sim->operations[all[i].operation];
		for (uint32_t j = 0; j < op->count; j++) {
			struct last *k = &last[op->accesses[j].key];
			if (k->writer)
				edge_add(k->writer - 1, i);
			if (op->kind == SIM_READ || op->accesses[j].kind == COMMIT_CHECK) {
				if (read_count >= read_capacity) {
					read_capacity = 2 * read_count + 1024;
					reads = realloc(reads, read_capacity * sizeof *reads);
				}
				reads[read_count] = (struct read){i, k->readers};
				k->readers = read_count++;
				continue;
			}
			for (; k->readers; k->readers = reads[k->readers].next)
				edge_add(reads[k->readers].reader, i);
			k->writer = i + 1;
		}
	}
	free(reads);
	free(last);
}

static void check_cycles(struct sim *sim)
{
	edges_collect(sim);
	edges_first = calloc(all_count + 2, sizeof *edges_first);
	edges = calloc(list_count + 1, sizeof *edges);
	color = calloc(all_count + 1, 1);
	for (uint32_t e = 0; e < list_count; e++)
		edges_first[list[e].from + 1]++;
	for (uint32_t i = 0; i < all_count; i++)
		edges_first[i + 1] += edges_first[i];
	uint32_t *fill = calloc(all_count + 1, sizeof *fill);
	for (uint32_t e = 0; e < list_count; e++)
		edges[edges_first[list[e].from] + fill[list[e].from]++] = list[e].to;
	for (uint32_t i = 0; i < all_count; i++)
		if (!color[i])
			cycle_at(sim, i);
	free(fill);
	free(edges);
	free(edges_first);
	free(color);
}

/* ---- linearizability of each key, from what clients saw alone ---- */

/* False: it says nothing of the key. */
static bool seen_by_client(const struct sim_operation *op, const struct sim_access *a, struct register_operation *r)
{
	*r = (struct register_operation){.start_ns = (int64_t)op->start_ns,
	    .end_ns = INT64_MAX,
	    .reads = REGISTER_ANY,
	    .differs = REGISTER_ANY,
	    .writes = REGISTER_NOTHING,
	    .optional = op->outcome == SIM_UNKNOWN};
	if (!r->optional)
		r->end_ns = (int64_t)op->end_ns;
	if (op->kind == SIM_READ) {
		r->reads = op->read_value;
		return !r->optional;
	}
	uint32_t condition = a->condition == COMMIT_IF_VERSION  ? a->expected_value
	                     : a->condition == COMMIT_IF_ABSENT ? REGISTER_ABSENT
	                                                        : REGISTER_ANY;
	if (op->outcome == SIM_CHECK_FAILED) {
		r->differs = condition;
		return op->count == 1 && condition != REGISTER_ANY;
	}
	r->reads = condition;
	if (a->kind != COMMIT_CHECK)
		r->writes = a->value;
	return true;
}

static void check_key(struct sim *sim, uint32_t key, const struct register_operation *operations, uint32_t count)
{
	struct register_fault fault = {0};
	if (register_check(operations, count, 20000000, &fault) != VERDICT_VIOLATION)
		return;
	bool *keep = calloc(count, sizeof *keep);
	register_minimize(operations, count, 20000000, keep);
	for (uint32_t i = 0; i < count; i++)
		if (keep[i])
			fprintf(stderr, "  #%u %.3f to %.3f ms%s: reads %d, differs from %d, writes %d\n", operations[i].source,
			    (double)operations[i].start_ns / 1e6,
			    operations[i].optional ? 0.0 : (double)operations[i].end_ns / 1e6,
			    operations[i].optional ? " (unknown)" : "", (int)operations[i].reads, (int)operations[i].differs,
			    (int)operations[i].writes);
	sim_fail(sim, SIM_SAFETY, "key %u is not linearizable: %s (T46, T48)", key, fault.reason ? fault.reason : "");
}

static void check_keys(struct sim *sim)
{
	uint32_t *first = calloc(sim->keys + 1, sizeof *first), total = 0;
	for (uint32_t i = 0; i < sim->operation_count; i++)
		for (uint32_t j = 0; j < sim->operations[i].count; j++)
			first[sim->operations[i].accesses[j].key + 1]++;
	for (uint32_t k = 0; k < sim->keys; k++)
		first[k + 1] += first[k];
	total = first[sim->keys];
	struct register_operation *operations = calloc(total + 1, sizeof *operations);
	uint32_t *count = calloc(sim->keys, sizeof *count);
	for (uint32_t i = 0; i < sim->operation_count; i++) {
		const struct sim_operation *op = &sim->operations[i];
		for (uint32_t j = 0; op->outcome != SIM_REFUSED && op->outcome != SIM_OPEN && j < op->count; j++) {
			uint32_t key = op->accesses[j].key;
			struct register_operation *r = &operations[first[key] + count[key]];
			if (!seen_by_client(op, &op->accesses[j], r))
				continue;
			r->source = i;
			count[key]++;
		}
	}
	for (uint32_t k = 0; k < sim->keys; k++)
		check_key(sim, k, &operations[first[k]], count[k]);
	free(first);
	free(count);
	free(operations);
}

void history_check(struct sim *sim, bool rows_too)
{
	collect(sim);
	check_cycles(sim);
	check_order(sim, rows_too);
	check_keys(sim);
	free(all);
}
