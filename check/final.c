/* SPDX-License-Identifier: Apache-2.0
 *
 * What the regions hold in the end. Of each key's writes, those are ruled out that an acknowledged one surely replaced: it
 * started after the other had ended, in the same region (which applies in order) or, from session upward, in the same session,
 * or so much later that no clock difference turns the order around. What is left may win. Where every acknowledged write says
 * which version it made, the winner is known: the highest (HLC, region id, sequence), since a write that replaces another has
 * a higher HLC. A write whose outcome is unknown may win over anything. */
#include <assert.h>

#include "check/checkers.h"
#include "check/memory.h"

struct end {
	const struct history *h;
	const struct keyed *keyed;
	const struct judge_options *options;
	struct check *check;
	uint32_t *values; /* per key, of the first region */
	/* Start of the latest ok write to the key at hand. Who has none may still have that of an earlier key: it is only asked
	 * for a region and session of an ok write. */
	int64_t *region_latest, *session_latest;
	uint64_t judged, winners_known;
};

static uint32_t *values_of(const struct history *h, const struct final_state *state, struct check *check)
{
	char key[NAME_TEXT_MAX];
	uint32_t *values = memory_zeroed(h->keys.count, sizeof *values);
	for (uint32_t i = 0; i < state->count; i++) {
		if (values[state->keys[i]] != VALUE_ABSENT)
			check_fails(check, VERDICT_VIOLATION, "%.60s holds key %s twice", state->file,
			    key_text(h, state->keys[i], key));
		values[state->keys[i]] = state->values[i];
	}
	return values;
}

static void regions_compare(struct end *e, const struct final_state *other)
{
	char key[NAME_TEXT_MAX], first[NAME_TEXT_MAX], second[NAME_TEXT_MAX];
	uint32_t *values = values_of(e->h, other, e->check);
	for (uint32_t k = 0; k < e->h->keys.count; k++)
		if (values[k] != e->values[k])
			check_fails(e->check, VERDICT_VIOLATION, "regions differ at %s: %.60s holds %s, %.60s holds %s",
			    key_text(e->h, k, key), e->options->finals[0].file, value_text(e->h, e->values[k], first),
			    other->file, value_text(e->h, values[k], second));
	free(values);
}

/* Of the same clock: HLC, then region, then sequence. */
static bool version_above(const struct operation *a, const struct operation *b)
{
	if (a->hlc != b->hlc)
		return a->hlc > b->hlc;
	if (a->region_id != b->region_id)
		return a->region_id > b->region_id;
	return a->sequence > b->sequence;
}

static int64_t later(int64_t at, uint64_t ms)
{
	int64_t sum;
	return ms > INT64_MAX / 1000000 || __builtin_add_overflow(at, (int64_t)ms * 1000000, &sum) ? INT64_MAX : sum;
}

struct key_writes {
	const struct keyed_operation *all;
	uint32_t count, ok_count;
	const struct operation *highest; /* version of the ok writes; NULL when one has none */
	uint32_t highest_value;
	int64_t latest_start_ns; /* of the ok ones */
};

static struct key_writes key_writes_gather(struct end *e, const struct keyed_operation *all, uint32_t count)
{
	struct key_writes w = {.all = all, .count = count, .latest_start_ns = INT64_MIN};
	bool all_versions = true;
	for (uint32_t i = 0; i < count; i++) {
		const struct operation *o = &e->h->operations[all[i].operation.source];
		if (all[i].operation.optional || all[i].operation.writes == REGISTER_NOTHING)
			continue;
		w.ok_count++;
		w.latest_start_ns = o->start_ns; /* they come by start */
		e->session_latest[o->session] = o->start_ns;
		if (o->region != NAME_NONE)
			e->region_latest[o->region] = o->start_ns;
		all_versions &= o->has_version;
		if (!w.highest || version_above(o, w.highest)) {
			w.highest = o;
			w.highest_value = all[i].operation.writes;
		}
	}
	if (!all_versions)
		w.highest = NULL;
	return w;
}

/* Whether this write can be what is there in the end. */
static bool may_win(const struct end *e, const struct key_writes *w, const struct register_operation *write)
{
	const struct operation *o = &e->h->operations[write->source];
	uint64_t skew_ms = e->options->level == LEVEL_STRONG ? 0 : e->options->clock_skew_ms;
	if (write->optional)
		return true;
	if (w->highest)
		return write->writes == w->highest_value && !version_above(w->highest, o);
	if (w->latest_start_ns > later(o->end_ns, skew_ms))
		return false;
	if (o->region != NAME_NONE && e->region_latest[o->region] > o->end_ns)
		return false;
	return e->options->level < LEVEL_SESSION || e->session_latest[o->session] <= o->end_ns;
}

static void loss_report(struct end *e, const struct key_writes *w, uint32_t key, const char *what)
{
	char key_name[NAME_TEXT_MAX], value[NAME_TEXT_MAX], text[DESCRIPTION_MAX];
	const struct operation *shown = w->highest;
	for (uint32_t i = 0; i < w->count && !w->highest; i++)
		if (!w->all[i].operation.optional && w->all[i].operation.writes != REGISTER_NOTHING)
			shown = &e->h->operations[w->all[i].operation.source];
	check_fails(e->check, VERDICT_VIOLATION, "key %s holds %s in the end, %s; the %s acknowledged write:\n    %s",
	    key_text(e->h, key, key_name), value_text(e->h, e->values[key], value), what, w->highest ? "highest" : "last",
	    shown ? operation_describe(e->h, shown, text) : "none");
}

static void key_judge(struct end *e, const struct keyed_operation *all, uint32_t count)
{
	struct key_writes w = key_writes_gather(e, all, count);
	uint32_t key = all[0].key, value = e->values[key];
	bool explained = value == VALUE_ABSENT && w.ok_count == 0, written = false;
	for (uint32_t i = 0; i < count; i++) {
		const struct register_operation *o = &all[i].operation;
		if (o->writes != value || o->writes == REGISTER_NOTHING)
			continue;
		written = true;
		explained |= may_win(e, &w, o);
	}
	e->judged++;
	e->winners_known += w.highest != NULL;
	if (!explained) {
		const struct write *writer = value == VALUE_ABSENT ? NULL : keyed_writer(e->keyed, key, value);
		loss_report(e, &w, key,
		    value == VALUE_ABSENT
		        ? (written ? "though it was written again after it was deleted" : "an acknowledged write is lost")
		    : !written && writer ? "which a failed write carried or a transaction replaced itself"
		    : !written           ? "which nobody wrote"
		    : w.highest          ? "which is not the winner"
		                         : "which was replaced: an acknowledged write is lost");
	}
}

/* Keys that regions hold and nobody wrote. */
static void others_judge(struct end *e, const bool *was_touched)
{
	char key[NAME_TEXT_MAX], value[NAME_TEXT_MAX];
	for (uint32_t k = 0; k < e->h->keys.count && !e->options->other_keys_allowed; k++)
		if (e->values[k] != VALUE_ABSENT && !was_touched[k] && e->keyed->kinds[k] == KEY_REGISTER)
			check_fails(e->check, VERDICT_VIOLATION, "key %s holds %s in the end, and nobody wrote the key",
			    key_text(e->h, k, key), value_text(e->h, e->values[k], value));
}

void check_final(const struct history *h, const struct keyed *keyed, const struct judge_options *options, struct check *check)
{
	assert(options->final_count > 0);
	struct end e = {.h = h, .keyed = keyed, .options = options, .check = check};
	bool *was_touched = memory_zeroed(h->keys.count, sizeof *was_touched);
	e.values = values_of(h, &options->finals[0], check);
	e.region_latest = memory_resize(NULL, h->regions.count, sizeof *e.region_latest);
	e.session_latest = memory_resize(NULL, h->sessions.count, sizeof *e.session_latest);
	for (uint32_t i = 0; i < h->regions.count; i++)
		e.region_latest[i] = INT64_MIN;
	for (uint32_t i = 0; i < h->sessions.count; i++)
		e.session_latest[i] = INT64_MIN;
	for (uint32_t i = 1; i < options->final_count; i++)
		regions_compare(&e, &options->finals[i]);
	for (uint32_t first = 0, last; first < keyed->count; first = last) {
		for (last = first; last < keyed->count && keyed->operations[last].key == keyed->operations[first].key;)
			was_touched[keyed->operations[last++].key] = true;
		key_judge(&e, &keyed->operations[first], last - first);
	}
	others_judge(&e, was_touched);
	check_counts(check, "%u regions, %u rows in the first, %llu keys judged, %llu by version", options->final_count,
	    options->finals[0].count, (unsigned long long)e.judged, (unsigned long long)e.winners_known);
	free(e.values);
	free(e.region_latest);
	free(e.session_latest);
	free(was_touched);
}
