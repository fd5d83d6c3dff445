/* SPDX-License-Identifier: Apache-2.0 */
#include "check/memory.h"
#include "check/transactions.h"

#define DIRECT_MAX 64u

struct register_key {
	struct transactions *t;
	const struct keyed_operation *operations; /* by start */
	uint32_t count, key;
	uint32_t *writers; /* numbers of operations */
	uint32_t writer_count;
	uint32_t first_helper; /* helper i leads to writer i and to helper i + 1 */
	bool has_removal;
};

static uint32_t node_at(const struct register_key *k, uint32_t operation)
{
	return k->t->node_of[k->operations[operation].operation.source];
}

static void writers_gather(struct register_key *k)
{
	k->writer_count = 0;
	k->has_removal = false;
	for (uint32_t i = 0; i < k->count; i++) {
		uint32_t value = k->operations[i].operation.writes;
		k->has_removal |= value == REGISTER_ABSENT;
		if (value != REGISTER_NOTHING && node_at(k, i) != NO_TRANSACTION)
			k->writers[k->writer_count++] = i;
	}
	k->first_helper = k->t->node_count;
	k->t->node_count += k->writer_count;
	for (uint32_t i = 0; i < k->writer_count; i++) {
		graph_add(&k->t->graph, k->first_helper + i, node_at(k, k->writers[i]), DEPENDENCY_PASS, k->key);
		if (i + 1 < k->writer_count)
			graph_add(&k->t->graph, k->first_helper + i, k->first_helper + i + 1, DEPENDENCY_PASS, k->key);
	}
}

/* The reader comes before all writers from number `first` on, but for itself. */
static void before_writers_add(struct register_key *k, uint32_t reader, uint32_t first, enum dependency sort)
{
	uint32_t own = k->writer_count;
	if (k->operations[reader].operation.writes != REGISTER_NOTHING)
		for (uint32_t i = first; i < k->writer_count && own == k->writer_count; i++)
			if (k->writers[i] == reader)
				own = i;
	if (own < k->writer_count) {
		for (uint32_t i = first; i < own && i - first < DIRECT_MAX; i++)
			graph_add(&k->t->graph, node_at(k, reader), node_at(k, k->writers[i]), (uint32_t)sort, k->key);
		first = own + 1;
	}
	if (first < k->writer_count)
		graph_add(&k->t->graph, node_at(k, reader), k->first_helper + first, (uint32_t)sort, k->key);
}

static uint32_t writers_after(const struct register_key *k, int64_t at_ns)
{
	uint32_t low = 0, high = k->writer_count;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (k->operations[k->writers[middle]].operation.start_ns > at_ns)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct value_read {
	uint32_t value, operation;
};

static int read_compare(const void *left, const void *right)
{
	const struct value_read *a = left, *b = right;
	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return a->operation < b->operation ? -1 : a->operation > b->operation;
}

/* Everybody who read one value: behind its writer, and before who replaced it. */
static void value_readers_add(struct register_key *k, const struct value_read *reads, uint32_t count)
{
	const struct write *write = keyed_writer(k->t->keyed, k->key, reads[0].value);
	if (!write || write->failed || !write->is_final)
		return; /* reported elsewhere */
	uint32_t writer = k->t->node_of[write->operation], replacers[8], replacer_count = 0;
	uint32_t after =
	    k->t->is_strict ? writers_after(k, k->t->history->operations[write->operation].end_ns) : k->writer_count;
	for (uint32_t i = 0; i < count && replacer_count < 8; i++)
		if (k->operations[reads[i].operation].operation.writes != REGISTER_NOTHING)
			replacers[replacer_count++] = node_at(k, reads[i].operation);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t reader = node_at(k, reads[i].operation);
		if (reader == writer)
			continue;
		graph_add(&k->t->graph, writer, reader, DEPENDENCY_WR, k->key);
		if (k->operations[reads[i].operation].operation.writes != REGISTER_NOTHING)
			graph_add(&k->t->graph, writer, reader, DEPENDENCY_WW, k->key);
		for (uint32_t j = 0; j < replacer_count; j++)
			if (replacers[j] != reader)
				graph_add(&k->t->graph, reader, replacers[j], DEPENDENCY_RW, k->key);
		before_writers_add(k, reads[i].operation, after, DEPENDENCY_RW_RT);
	}
}

static void key_add(struct register_key *k, struct value_read *reads)
{
	uint32_t count = 0;
	writers_gather(k);
	for (uint32_t i = 0; i < k->count; i++) {
		const struct register_operation *o = &k->operations[i].operation;
		if (o->reads == REGISTER_ANY || o->optional)
			continue;
		if (o->reads != REGISTER_ABSENT)
			reads[count++] = (struct value_read){o->reads, i};
		else if (!k->has_removal)
			before_writers_add(k, i, 0, DEPENDENCY_RW); /* it was there before anything was written */
	}
	qsort(reads, count, sizeof *reads, read_compare);
	for (uint32_t first = 0, last; first < count; first = last) {
		for (last = first; last < count && reads[last].value == reads[first].value;)
			last++;
		value_readers_add(k, reads + first, last - first);
	}
}

void transactions_add_registers(struct transactions *t)
{
	const struct keyed *keyed = t->keyed;
	struct register_key k = {.t = t, .writers = memory_resize(NULL, keyed->count, sizeof *k.writers)};
	struct value_read *reads = memory_resize(NULL, keyed->count, sizeof *reads);
	for (uint32_t first = 0, last; first < keyed->count; first = last) {
		k.key = keyed->operations[first].key;
		for (last = first; last < keyed->count && keyed->operations[last].key == k.key;)
			last++;
		k.operations = keyed->operations + first;
		k.count = last - first;
		key_add(&k, reads);
	}
	free(k.writers);
	free(reads);
}
