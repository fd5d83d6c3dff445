/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/reconciler/reconciler.h"

#include <assert.h>
#include <string.h>

static const char *const verdict_names[] = {"unknown", "equal", "differs", "waiting", "unreachable"};

const char *reconciler_verdict_name(enum reconciler_verdict verdict)
{
	return verdict_names[verdict];
}

void reconciler_init(struct reconciler *r, const struct reconciler_options *options)
{
	assert(options->self < REGIONS_MAX && !(options->peers & 1u << options->self));
	assert(options->peers < 1u << REGIONS_MAX);
	assert(options->keyspace_count > 0 && options->keyspace_count <= KEYSPACES_MAX);
	memset(r, 0, sizeof(*r));
	r->options = *options;
	r->next_number = options->seed;
	for (uint32_t id = 0; id < REGIONS_MAX; id++)
		r->peers[id].configured = options->peers & 1u << id;
}

int reconciler_key_compare(const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
	uint32_t common = a_size < b_size ? a_size : b_size;
	int order = common ? memcmp(a, b, common) : 0;
	return order ? order : (a_size > b_size) - (a_size < b_size);
}

bool reconciler_page_is_valid(const struct reconciler_page *page, const uint8_t *after, uint32_t after_size)
{
	const uint8_t *last = after;
	uint32_t last_size = after_size;
	for (uint32_t i = 0; i < page->row_count; i++) {
		const struct reconciler_row *row = &page->rows[i];
		if (!row->key_size || row->key_size > RECONCILER_KEY_MAX ||
		    reconciler_key_compare(row->key, row->key_size, last, last_size) <= 0)
			return false;
		last = row->key;
		last_size = row->key_size;
	}
	if (!page->more)
		return true;
	if (!page->end_size || page->end_size > RECONCILER_KEY_MAX)
		return false;
	/* An end that does not move on would keep us asking for ever. */
	return reconciler_key_compare(page->end, page->end_size, last, last_size) >= (page->row_count ? 0 : 1);
}

static void peer_ask(struct reconciler *r, uint32_t id, uint64_t now_ns, struct reconciler_effects *effects)
{
	struct reconciler_peer *p = &r->peers[id];
	assert(effects->ask_count < REGIONS_MAX);
	p->pending = true;
	p->asked_ns = now_ns;
	p->number = ++r->next_number;
	struct reconciler_ask *ask = &effects->asks[effects->ask_count++];
	*ask = (struct reconciler_ask){.peer = id, .number = p->number, .keyspace = p->keyspace, .bucket = -1};
	if (!p->sweeping)
		return;
	for (ask->bucket = 0; !(p->mask[ask->bucket / 8] & 1u << ask->bucket % 8); ask->bucket++)
		;
	ask->mask = p->mask;
	ask->after = p->after;
	ask->after_size = p->after_size;
}

/* Asks about the first keyspace from the present one on that both have, or, if there is none, pauses. */
static void peer_look(struct reconciler *r, uint32_t id, uint64_t now_ns, struct reconciler_effects *effects)
{
	struct reconciler_peer *p = &r->peers[id];
	while (p->keyspace < r->options.keyspace_count && p->apart >> p->keyspace & 1)
		p->comparisons[p->keyspace++].verdict = RECONCILER_UNKNOWN;
	if (p->keyspace == r->options.keyspace_count) {
		p->keyspace = 0;
		p->next_ns = now_ns + r->options.compare_ns;
	} else if (!r->draining) {
		peer_ask(r, id, now_ns, effects);
	}
}

/* On to the next keyspace, or, after the last one, to the pause. */
static void peer_go_on(struct reconciler *r, uint32_t id, uint64_t now_ns, struct reconciler_effects *effects)
{
	r->peers[id].sweeping = false;
	r->peers[id].keyspace++;
	peer_look(r, id, now_ns, effects);
}

static void peer_lost(struct reconciler *r, uint32_t id, uint64_t now_ns)
{
	struct reconciler_peer *p = &r->peers[id];
	p->pending = false;
	p->sweeping = false;
	p->keyspace = 0;
	p->next_ns = now_ns + r->options.compare_ns;
	/* Rows found to differ stay counted: they were not repaired by the link going down. */
	for (uint16_t k = 0; k < r->options.keyspace_count; k++)
		p->comparisons[k].verdict = RECONCILER_UNREACHABLE;
}

static void step_tick(struct reconciler *r, uint64_t now_ns, struct reconciler_effects *effects)
{
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		struct reconciler_peer *p = &r->peers[id];
		if (!p->configured)
			continue;
		if (p->pending && now_ns >= p->asked_ns + r->options.timeout_ns)
			peer_lost(r, id, now_ns);
		if (!p->pending && !r->draining && now_ns >= p->next_ns)
			peer_look(r, id, now_ns, effects);
	}
}

/* Is it too soon to say so? */
static bool difference_waits(struct reconciler_comparison *c, const struct vector *applied)
{
	if (!c->looks || vector_compare(&c->looked_at, applied) != VECTOR_EQUAL)
		c->looks = 0;
	c->looked_at = *applied;
	c->looks += c->looks < RECONCILER_LOOKS_STRONG;
	return c->looks < RECONCILER_LOOKS_STRONG;
}

static void step_digests(struct reconciler *r, const struct reconciler_event *e, struct reconciler_effects *effects)
{
	struct reconciler_peer *p = &r->peers[e->peer];
	struct reconciler_comparison *c = &p->comparisons[p->keyspace];
	p->pending = false;
	if (vector_compare(e->own_applied, e->peer_applied) != VECTOR_EQUAL) {
		c->verdict = RECONCILER_WAITING;
		c->waits++;
		peer_go_on(r, e->peer, e->now_ns, effects);
		return;
	}
	uint64_t buckets = 0;
	memset(p->mask, 0, sizeof(p->mask));
	for (uint32_t b = 0; b < DIGEST_BUCKETS; b++) {
		if (e->own_buckets[b].low == e->peer_buckets[b].low && e->own_buckets[b].high == e->peer_buckets[b].high)
			continue;
		p->mask[b / 8] |= (uint8_t)(1u << b % 8);
		buckets++;
	}
	if (!buckets)
		c->looks = 0;
	if (buckets && r->options.strong[p->keyspace] && difference_waits(c, e->own_applied)) {
		c->verdict = RECONCILER_WAITING;
		c->waits++;
		peer_go_on(r, e->peer, e->now_ns, effects);
		return;
	}
	effects->comparisons++;
	c->verdict = buckets ? RECONCILER_DIFFERS : RECONCILER_EQUAL;
	c->compared_ns = e->now_ns;
	/* Not lower than an earlier sweep found: this one may be interrupted. */
	c->divergent_rows = !buckets || c->divergent_rows < buckets ? buckets : c->divergent_rows;
	if (!buckets || r->draining) {
		peer_go_on(r, e->peer, e->now_ns, effects);
		return;
	}
	p->sweeping = true;
	p->sweep_vector = *e->own_applied;
	p->after_size = 0;
	p->found = 0;
	p->told = 0;
	peer_ask(r, e->peer, e->now_ns, effects);
}

static void row_differs(struct reconciler_peer *p, const struct reconciler_row *row, struct reconciler_effects *effects)
{
	p->found++;
	if (p->told == RECONCILER_TOLD_SWEEP_MAX || effects->told_count == RECONCILER_TOLD_STEP_MAX)
		return;
	p->told++;
	effects->told[effects->told_count++] = *row;
	effects->told_keyspace = p->keyspace;
}

/* Two sorted lists side by side, up to `end` (NULL: to the last). */
static void pages_compare(struct reconciler_peer *p, const struct reconciler_page *own, const struct reconciler_page *peer,
    const uint8_t *end, uint32_t end_size, struct reconciler_effects *effects)
{
	uint32_t i = 0, j = 0;
	while (i < own->row_count || j < peer->row_count) {
		const struct reconciler_row *a = i < own->row_count ? &own->rows[i] : NULL;
		const struct reconciler_row *b = j < peer->row_count ? &peer->rows[j] : NULL;
		int order = !a ? 1 : !b ? -1 : reconciler_key_compare(a->key, a->key_size, b->key, b->key_size);
		const struct reconciler_row *first = order <= 0 ? a : b;
		if (end && reconciler_key_compare(first->key, first->key_size, end, end_size) > 0)
			return;
		if (order != 0 || a->digest.low != b->digest.low || a->digest.high != b->digest.high)
			row_differs(p, first, effects);
		i += order <= 0;
		j += order >= 0;
	}
}

static void step_rows(struct reconciler *r, const struct reconciler_event *e, struct reconciler_effects *effects)
{
	struct reconciler_peer *p = &r->peers[e->peer];
	struct reconciler_comparison *c = &p->comparisons[p->keyspace];
	p->pending = false;
	if (vector_compare(e->own_applied, &p->sweep_vector) != VECTOR_EQUAL ||
	    vector_compare(e->peer_applied, &p->sweep_vector) != VECTOR_EQUAL) {
		c->waits++; /* the verdict stands: the buckets did differ; the keys have to wait for another round */
		peer_go_on(r, e->peer, e->now_ns, effects);
		return;
	}
	/* As far as both pages reach. */
	const struct reconciler_page *shorter = NULL;
	if (e->own.more)
		shorter = &e->own;
	if (e->peer_page.more &&
	    (!shorter || reconciler_key_compare(e->peer_page.end, e->peer_page.end_size, shorter->end, shorter->end_size) < 0))
		shorter = &e->peer_page;
	pages_compare(p, &e->own, &e->peer_page, shorter ? shorter->end : NULL, shorter ? shorter->end_size : 0, effects);
	if (shorter && !r->draining) {
		assert(shorter->end_size <= RECONCILER_KEY_MAX);
		memcpy(p->after, shorter->end, shorter->end_size);
		p->after_size = shorter->end_size;
		peer_ask(r, e->peer, e->now_ns, effects);
		return;
	}
	/* Buckets differ and no row does: then the digests themselves are wrong somewhere, and the figure must not say 0. */
	if (!shorter && p->found)
		c->divergent_rows = p->found;
	peer_go_on(r, e->peer, e->now_ns, effects);
}

const struct reconciler_peer *reconciler_open(const struct reconciler *r, uint32_t peer, uint64_t number)
{
	if (peer >= REGIONS_MAX || !r->peers[peer].pending || r->peers[peer].number != number)
		return NULL;
	return &r->peers[peer];
}

void reconciler_step(struct reconciler *r, const struct reconciler_event *e, struct reconciler_effects *effects)
{
	effects->ask_count = 0;
	effects->told_count = 0;
	effects->comparisons = 0;
	switch (e->kind) {
	case RECONCILER_TICK:
		step_tick(r, e->now_ns, effects);
		break;
	case RECONCILER_DRAIN:
		r->draining = true;
		break;
	case RECONCILER_NOT_SENT:
		if (reconciler_open(r, e->peer, e->number))
			peer_lost(r, e->peer, e->now_ns);
		break;
	case RECONCILER_DIGESTS:
		if (reconciler_open(r, e->peer, e->number) && !r->peers[e->peer].sweeping)
			step_digests(r, e, effects);
		break;
	case RECONCILER_ROWS:
		if (reconciler_open(r, e->peer, e->number) && r->peers[e->peer].sweeping)
			step_rows(r, e, effects);
		break;
	}
}

uint64_t reconciler_deadline_ns(const struct reconciler *r)
{
	uint64_t deadline_ns = RECONCILER_NEVER;
	for (uint32_t id = 0; id < REGIONS_MAX; id++) {
		const struct reconciler_peer *p = &r->peers[id];
		if (!p->configured || (r->draining && !p->pending))
			continue;
		uint64_t at_ns = p->pending ? p->asked_ns + r->options.timeout_ns : p->next_ns;
		deadline_ns = at_ns < deadline_ns ? at_ns : deadline_ns;
	}
	return deadline_ns;
}

uint64_t reconciler_divergent_rows(const struct reconciler *r)
{
	uint64_t sum = 0;
	for (uint32_t id = 0; id < REGIONS_MAX; id++)
		for (uint16_t k = 0; r->peers[id].configured && k < r->options.keyspace_count; k++)
			sum += r->peers[id].comparisons[k].divergent_rows;
	return sum;
}
