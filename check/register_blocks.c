/* SPDX-License-Identifier: Apache-2.0 */
#include "check/register_blocks.h"

#include <assert.h>

#include "check/memory.h"

void register_blocks_deinit(struct register_blocks *b)
{
	free(b->operations);
	free(b->number);
	free(b->block_of);
	free(b->values);
	free(b->blocks);
	*b = (struct register_blocks){0};
}

static enum verdict violation(
    const struct register_blocks *b, struct register_fault *fault, const char *reason, uint32_t first, uint32_t second)
{
	*fault = (struct register_fault){.reason = reason, .involved = {b->number[first]}, .involved_count = 1};
	if (second != NO_OPERATION)
		fault->involved[fault->involved_count++] = b->number[second];
	return VERDICT_VIOLATION;
}

static int value_compare(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	return a < b ? -1 : a > b;
}

static void value_renumber(uint32_t *value, const uint32_t *sorted, uint32_t count)
{
	if (*value == REGISTER_ANY)
		return;
	const uint32_t *found = bsearch(value, sorted, count, sizeof *sorted, value_compare);
	*value = (uint32_t)(found - sorted);
}

/* Values become 0 to value_count - 1, so that arrays can be indexed by them. */
static void values_renumber(struct register_blocks *b)
{
	uint32_t *all = memory_resize(NULL, 3 * (size_t)b->count + 1, sizeof *all), count = 0;
	all[count++] = REGISTER_ABSENT;
	for (uint32_t i = 0; i < b->count; i++) {
		const uint32_t mentioned[] = {b->operations[i].reads, b->operations[i].differs, b->operations[i].writes};
		for (int j = 0; j < 3; j++)
			if (mentioned[j] != REGISTER_ANY)
				all[count++] = mentioned[j];
	}
	qsort(all, count, sizeof *all, value_compare);
	for (uint32_t i = 0; i < count; i++)
		if (i == 0 || all[i] != all[i - 1])
			all[b->value_count++] = all[i];
	for (uint32_t i = 0; i < b->count; i++) {
		value_renumber(&b->operations[i].reads, all, b->value_count);
		value_renumber(&b->operations[i].differs, all, b->value_count);
		value_renumber(&b->operations[i].writes, all, b->value_count);
	}
	free(all);
	b->values = memory_resize(NULL, b->value_count, sizeof *b->values);
	for (uint32_t v = 0; v < b->value_count; v++)
		b->values[v] = (struct register_value){.writer = NO_OPERATION, .next = NO_OPERATION, .block = NO_BLOCK};
}

/* An optional write whose value was seen took place; and so on backwards along its own condition. Afterwards, whatever is still
 * optional was seen by nobody. When it took place at the latest, the ends of those that saw it tell: they are in its block. */
static enum verdict seen_settle(struct register_blocks *b, struct register_fault *fault)
{
	uint32_t *stack = memory_resize(NULL, b->count, sizeof *stack), depth;
	enum verdict verdict = VERDICT_FINE;
	for (uint32_t i = 0; i < b->count && verdict == VERDICT_FINE; i++) {
		depth = 0;
		if (!b->operations[i].optional)
			stack[depth++] = i;
		while (depth > 0 && verdict == VERDICT_FINE) {
			uint32_t reader_number = stack[--depth];
			const struct register_operation *reader = &b->operations[reader_number];
			if (reader->reads == REGISTER_ANY || reader->reads == REGISTER_ABSENT)
				continue;
			uint32_t writer_number = b->values[reader->reads].writer;
			if (writer_number == NO_OPERATION) {
				verdict = violation(b, fault, "a value that nobody wrote", reader_number, NO_OPERATION);
				continue;
			}
			struct register_operation *writer = &b->operations[writer_number];
			if (writer->start_ns > reader->end_ns)
				verdict =
				    violation(b, fault, "a value seen before it was written", reader_number, writer_number);
			else if (writer_number != reader_number && (writer->optional || writer->end_ns > reader->end_ns)) {
				/* Also an end that is known may be brought forward: it takes place before what saw it has
				 * ended. */
				writer->optional = false;
				writer->end_ns = reader->end_ns;
				stack[depth++] = writer_number;
			}
		}
	}
	free(stack);
	return verdict;
}

/* Unseen optional writes only serve to make a cas fail, or to be removed by an unseen cas. Removals stay: what saw the key
 * absent names no writer. */
static void unseen_drop(struct register_blocks *b)
{
	bool any_use = false;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < b->count; i++) {
		const struct register_operation *o = &b->operations[i];
		any_use |=
		    o->differs != REGISTER_ANY || (o->optional && o->writes == REGISTER_ABSENT && o->reads != REGISTER_ANY);
	}
	for (uint32_t i = 0; i < b->count; i++) {
		const struct register_operation *o = &b->operations[i];
		if (o->optional && (o->writes == REGISTER_NOTHING || (o->writes != REGISTER_ABSENT && !any_use)))
			continue;
		b->operations[kept] = *o;
		b->number[kept++] = b->number[i];
	}
	b->count = kept;
}

static enum verdict values_link(struct register_blocks *b, struct register_fault *fault)
{
	for (uint32_t v = 0; v < b->value_count; v++)
		b->values[v].writer = NO_OPERATION;
	for (uint32_t i = 0; i < b->count; i++) {
		const struct register_operation *o = &b->operations[i];
		if (o->writes != REGISTER_NOTHING && o->writes != REGISTER_ABSENT)
			b->values[o->writes].writer = i;
		if (o->differs != REGISTER_ANY)
			b->values[o->differs].refusals++;
		b->has_optional_removals |= o->optional && o->writes == REGISTER_ABSENT && o->reads != REGISTER_ANY;
		if (o->optional || o->reads == REGISTER_ANY)
			continue;
		if (o->writes == REGISTER_NOTHING)
			b->values[o->reads].readers++;
		else if (o->reads != REGISTER_ABSENT) {
			if (b->values[o->reads].next != NO_OPERATION)
				return violation(b, fault, "two that replaced the same value", b->values[o->reads].next, i);
			b->values[o->reads].next = i;
		}
	}
	return VERDICT_FINE;
}

static void block_cover(struct register_block *block, const struct register_operation *o)
{
	if (o->end_ns < block->deadline_ns)
		block->deadline_ns = o->end_ns;
	if (o->start_ns > block->latest_start_ns)
		block->latest_start_ns = o->start_ns;
}

/* From its first operation along the chain. */
static void block_add(struct register_blocks *b, uint32_t first)
{
	uint32_t number = b->block_count++;
	b->blocks[number] = (struct register_block){.deadline_ns = INT64_MAX, .latest_start_ns = INT64_MIN, .first = first};
	for (uint32_t i = first; i != NO_OPERATION;) {
		uint32_t value = b->operations[i].writes;
		b->block_of[i] = number;
		block_cover(&b->blocks[number], &b->operations[i]);
		b->blocks[number].last_value = value;
		if (value == REGISTER_ABSENT)
			break;
		b->values[value].block = number;
		i = b->values[value].next;
	}
}

static enum verdict blocks_build(struct register_blocks *b, struct register_fault *fault)
{
	b->block_of = memory_resize(NULL, b->count, sizeof *b->block_of);
	b->blocks = memory_resize(NULL, b->count, sizeof *b->blocks);
	for (uint32_t i = 0; i < b->count; i++)
		b->block_of[i] = NO_BLOCK;
	for (uint32_t i = 0; i < b->count; i++) {
		const struct register_operation *o = &b->operations[i];
		if (!o->optional && o->writes != REGISTER_NOTHING && o->writes != REGISTER_ABSENT &&
		    (o->reads == REGISTER_ANY || o->reads == REGISTER_ABSENT))
			block_add(b, i);
	}
	for (uint32_t i = 0; i < b->count; i++) {
		const struct register_operation *o = &b->operations[i];
		if (o->optional || o->reads == REGISTER_ANY || o->reads == REGISTER_ABSENT)
			continue;
		if (b->values[o->reads].block == NO_BLOCK)
			return violation(b, fault, "compare-and-sets in a circle", i, NO_OPERATION);
		if (o->writes == REGISTER_NOTHING) {
			b->block_of[i] = b->values[o->reads].block;
			block_cover(&b->blocks[b->block_of[i]], o);
		}
	}
	return VERDICT_FINE;
}

enum verdict register_blocks_init(
    struct register_blocks *b, const struct register_operation *operations, uint32_t count, struct register_fault *fault)
{
	*b = (struct register_blocks){.count = count};
	b->operations = memory_resize(NULL, count, sizeof *b->operations);
	b->number = memory_resize(NULL, count, sizeof *b->number);
	if (count)
		memcpy(b->operations, operations, count * sizeof *operations);
	for (uint32_t i = 0; i < count; i++) {
		b->number[i] = i;
		if (b->operations[i].optional)
			b->operations[i].end_ns = INT64_MAX;
	}
	values_renumber(b);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t value = b->operations[i].writes;
		if (value == REGISTER_NOTHING || value == REGISTER_ABSENT)
			continue;
		assert(b->values[value].writer == NO_OPERATION);
		b->values[value].writer = i;
	}
	enum verdict verdict = seen_settle(b, fault);
	if (verdict == VERDICT_FINE) {
		unseen_drop(b);
		verdict = values_link(b, fault);
	}
	return verdict == VERDICT_FINE ? blocks_build(b, fault) : verdict;
}
