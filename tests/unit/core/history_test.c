/* SPDX-License-Identifier: Apache-2.0
 *
 * T12: random histories of one key. Whatever the order, repetition and grouping in which its writes arrive, the row has the
 * same bytes, and they are those of a model that knows no order at all: join of all contexts, and what that leaves uncovered.
 *
 * Each history has its own seed, printed when it fails. To replay one: GODWIT_SEED=<seed> GODWIT_HISTORIES=1. */
#include <criterion/criterion.h>

#include "tests/unit/core/sample.h"

#define WRITES_MAX 24u

struct history {
	uint32_t regions, count;
	struct record writes[WRITES_MAX];
};

enum kind {
	HISTORY_HONEST,  /* contexts that a region can have: what it holds, or what it once held */
	HISTORY_CROWDED, /* few regions, many old contexts: the cap on siblings is met */
	HISTORY_HOSTILE  /* any context that does not cover its own dot, circles included */
};

static void history_make(struct history *h, enum kind kind, uint64_t *seed)
{
	static const uint8_t letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	bool crowded = kind == HISTORY_CROWDED;
	h->regions = crowded ? 1 + random_below(seed, 2) : 2 + random_below(seed, 3);
	h->count = crowded ? 10 + random_below(seed, WRITES_MAX - 9) : 1 + random_below(seed, 6);
	struct vector held[4] = {0}, once_held[4] = {0};
	uint64_t written[4] = {0};
	for (uint32_t i = 0; i < h->count; i++) {
		uint8_t region = (uint8_t)random_below(seed, h->regions);
		for (uint32_t origin = 0; origin < h->regions; origin++) {
			uint64_t news = written[origin] - held[region].sequence[origin];
			held[region].sequence[origin] += random_below(seed, (uint32_t)news + 1);
		}
		/* Writes to other keys take numbers as well. */
		held[region].sequence[region] = written[region] += random_below(seed, 2);
		struct record *w = &h->writes[i];
		/* Blind, or from an older read. A crowded history seldom reads anew, so that its writes do not supersede each
		 * other. */
		bool blind = !random_below(seed, crowded ? 16 : 2);
		struct vector context = blind ? held[region] : once_held[region];
		if (!random_below(seed, crowded ? 16 : 2))
			once_held[region] = held[region];
		if (kind == HISTORY_HOSTILE) {
			for (uint32_t origin = 0; origin < h->regions; origin++)
				context.sequence[origin] = random_below(seed, 8);
		}
		uint64_t sequence = ++written[region];
		held[region].sequence[region] = sequence;
		if (context.sequence[region] >= sequence)
			context.sequence[region] = sequence - 1;
		*w = sample_write(region, sequence, context, 1 + random_below(seed, 4), NULL);
		if (random_below(seed, 10) < 7) {
			w->flags = 0;
			w->value = letters + i;
			w->value_size = 1;
		}
	}
}

/* The model. Siblings come out in rising (region, sequence), the newest SIBLINGS_PER_REGION_MAX of each region. */
static void model_row(struct row *row, const struct history *h)
{
	row_init(row);
	for (uint32_t i = 0; i < h->count; i++)
		vector_join(&row->context, &h->writes[i].context);
	for (uint8_t region = 0; region < h->regions; region++) {
		const struct record *left[WRITES_MAX];
		uint32_t count = 0;
		/* A region's writes stand in the history in rising sequence. */
		for (uint32_t i = 0; i < h->count; i++) {
			const struct record *w = &h->writes[i];
			if (w->dot.region == region && !vector_covers_dot(&row->context, w->dot))
				left[count++] = w;
		}
		for (uint32_t i = count > SIBLINGS_PER_REGION_MAX ? count - SIBLINGS_PER_REGION_MAX : 0; i < count; i++)
			row->siblings[row->sibling_count++] = (struct sibling){.dot = left[i]->dot,
			    .hlc = left[i]->hlc,
			    .value = left[i]->value,
			    .value_size = left[i]->value_size,
			    .flags = left[i]->flags};
	}
}

static const uint32_t priorities[REGIONS_MAX] = {3, 9, 9, 1};

/* The winner's dot, from a rank that is one number: small histories fit. */
static struct dot model_winner(const struct row *row, enum strategy strategy)
{
	struct dot best = {0};
	uint64_t best_rank = 0;
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		const struct sibling *s = &row->siblings[i];
		uint64_t rank = s->hlc << 24 | (uint64_t)s->dot.region << 16 | s->dot.sequence;
		if (strategy == STRATEGY_FWW)
			rank = UINT32_MAX - rank;
		if (strategy == STRATEGY_PRIORITY)
			rank |= (uint64_t)priorities[s->dot.region] << 32;
		if (rank >= best_rank) {
			best_rank = rank;
			best = s->dot;
		}
	}
	return best;
}

/* In any order, each at least once, some again. */
static void deliver_writes(struct row *row, const struct history *h, uint64_t *seed)
{
	uint32_t order[2 * WRITES_MAX], count = h->count;
	for (uint32_t i = 0; i < h->count; i++)
		order[i] = i;
	for (uint32_t extra = random_below(seed, h->count + 1); extra; extra--)
		order[count++] = random_below(seed, h->count);
	row_init(row);
	for (uint32_t i = count; i; i--) {
		uint32_t pick = random_below(seed, i), next = order[pick];
		order[pick] = order[i - 1];
		sample_merge(row, h->writes[next]);
	}
}

/* Partial rows from overlapping parts of the writes, some through their encoding, merged in any order, one of them twice. */
static bool deliver_groups(struct row *row, const struct history *h, uint64_t *seed)
{
	static struct row groups[3];
	static uint8_t bytes[3][2048];
	static const uint32_t steps[] = {1, 29, 31, 37}; /* no factor in common with any count up to WRITES_MAX */
	uint32_t count = 2 + random_below(seed, 2), start = random_below(seed, h->count), step = steps[random_below(seed, 4)];
	for (uint32_t i = 0; i < count; i++)
		row_init(&groups[i]);
	for (uint32_t i = 0; i < h->count; i++) {
		uint32_t write = (start + i * step) % h->count, certain = random_below(seed, count);
		for (uint32_t group = 0; group < count; group++) {
			if (group == certain || !random_below(seed, 3))
				sample_merge(&groups[group], h->writes[write]);
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		if (random_below(seed, 2))
			continue;
		long n = row_encode(&groups[i], bytes[i], sizeof bytes[i]);
		if (n < 0 || row_decode(&groups[i], bytes[i], (size_t)n))
			return false;
	}
	row_init(row);
	uint32_t first = random_below(seed, count);
	for (uint32_t i = 0; i < count; i++)
		row_merge(row, &groups[(first + i) % count]);
	row_merge(row, &groups[first]);
	return true;
}

/* NULL, or what differs. */
static const char *history_check(enum kind kind, uint64_t seed)
{
	static struct history h;
	static struct row expected, row;
	static uint8_t expected_bytes[2048], bytes[2048];
	history_make(&h, kind, &seed);
	model_row(&expected, &h);
	long size = row_encode(&expected, expected_bytes, sizeof expected_bytes);
	for (int delivery = 0; delivery < 5; delivery++) {
		if (delivery < 3)
			deliver_writes(&row, &h, &seed);
		else if (!deliver_groups(&row, &h, &seed))
			return "a partial row does not decode";
		long n = row_encode(&row, bytes, sizeof bytes);
		if (n != size || memcmp(bytes, expected_bytes, (size_t)size))
			return delivery < 3 ? "bytes, after single writes" : "bytes, after merged rows";
	}
	if (!row.sibling_count)
		return kind == HISTORY_HOSTILE ? NULL : "an honest history left no sibling";
	for (enum strategy strategy = STRATEGY_LWW; strategy <= STRATEGY_PRIORITY; strategy++) {
		struct dot a = model_winner(&expected, strategy), b = row.siblings[row_winner(&row, strategy, priorities)].dot;
		if (a.region != b.region || a.sequence != b.sequence)
			return "the winner";
	}
	return NULL;
}

static void histories_check(enum kind kind, uint64_t histories)
{
	uint64_t base = setting("GODWIT_SEED", 12345678900000ull), count = setting("GODWIT_HISTORIES", histories);
	for (uint64_t seed = base; seed < base + count; seed++) {
		const char *differs = history_check(kind, seed);
		cr_assert(!differs, "seed %llu: %s", (unsigned long long)seed, differs);
	}
}

Test(core_history, T12_a_million_histories_in_any_order_repetition_and_grouping)
{
	histories_check(HISTORY_HONEST, 1000000);
}

Test(core_history, T12_more_siblings_than_the_cap)
{
	histories_check(HISTORY_CROWDED, 100000);
}

Test(core_history, T12_contexts_that_no_region_would_write)
{
	histories_check(HISTORY_HOSTILE, 200000);
}
