/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/monitor/lag.h"

#include <stddef.h>

/* Merges neighbours that together span no more than a share of their age: the position of the later, the time of the earlier.
 */
static void history_merge(struct lag_history *history, uint64_t now_ns, uint64_t share)
{
	uint32_t kept = 0;
	for (uint32_t i = 1; i < history->count; i++) {
		struct lag_sample *last = &history->samples[kept];
		const struct lag_sample *sample = &history->samples[i];
		uint64_t end_ns = i + 1 < history->count ? history->samples[i + 1].at_ns : now_ns;
		if (end_ns - last->at_ns <= (now_ns - end_ns) / share) {
			last->sequence = sample->sequence;
			last->lsn = sample->lsn;
		} else {
			history->samples[++kept] = *sample;
		}
	}
	history->count = kept + 1;
}

static void history_thin(struct lag_history *history, uint64_t now_ns)
{
	/* The first share already makes room for about a year of samples. */
	for (uint64_t share = LAG_PRECISION; share && history->count > LAG_SAMPLES_MAX / 4 * 3; share /= 2)
		history_merge(history, now_ns, share);
}

static void history_add(struct lag_history *history, uint64_t at_ns)
{
	if (history->count == LAG_SAMPLES_MAX)
		history_thin(history, at_ns);
	history->samples[history->count++] =
	    (struct lag_sample){.sequence = history->sequence, .lsn = history->lsn, .at_ns = at_ns};
}

void lag_note(struct lag_history *history, uint64_t sequence, uint64_t lsn, uint64_t now_ns)
{
	/* After a standstill: what is new now is not as old as what waited for its sample. */
	if (history->pending_ns && sequence > history->sequence && now_ns >= history->pending_ns + LAG_SAMPLE_SPACING_NS) {
		history_add(history, history->pending_ns);
		history->pending_ns = 0;
	}
	if (lsn > history->lsn)
		history->lsn = lsn;
	if (sequence > history->sequence) {
		history->sequence = sequence;
		if (!history->pending_ns)
			history->pending_ns = now_ns;
	}
	if (!history->pending_ns)
		return;
	const struct lag_sample *last = history->count ? &history->samples[history->count - 1] : NULL;
	if (last && now_ns < last->at_ns + LAG_SAMPLE_SPACING_NS)
		return;
	history_add(history, history->pending_ns);
	history->pending_ns = 0;
}

/* The first sample whose sequence is above acked; count when there is none. */
static uint32_t history_find(const struct lag_history *history, uint64_t acked)
{
	uint32_t low = 0, high = history->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (history->samples[middle].sequence > acked)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct lag lag_of(const struct lag_history *history, uint64_t acked, uint64_t sent_lsn, uint64_t before_ns, uint64_t now_ns)
{
	struct lag lag = {0};
	if (acked >= history->sequence)
		return lag;
	uint32_t found = history_find(history, acked);
	uint64_t since_ns = found < history->count ? history->samples[found].at_ns : history->pending_ns;
	uint64_t from_lsn = found > 0 ? history->samples[found - 1].lsn : history->samples[0].lsn;
	if (found == 0) {
		/* Behind since before the history began. */
		if (before_ns && before_ns < since_ns)
			since_ns = before_ns;
		if (sent_lsn < from_lsn)
			from_lsn = sent_lsn;
	}
	lag.records = history->sequence - acked;
	lag.bytes = history->lsn > from_lsn ? history->lsn - from_lsn : 0;
	lag.ms = now_ns > since_ns ? (now_ns - since_ns) / 1000000u : 0;
	return lag;
}
