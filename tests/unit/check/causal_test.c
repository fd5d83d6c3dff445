/* SPDX-License-Identifier: Apache-2.0
 *
 * Causal consistency: the bad patterns one by one, and small histories against their definition. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "check/checkers.h"
#include "tests/unit/check/generate.h"

static void put(struct history *h, const char *session, const char *key, const char *value, int at)
{
	history_line(h,
	    "{\"client\":1,\"session\":\"%s\",\"op\":\"put\",\"key\":\"%s\",\"value\":\"%s\",\"outcome\":\"ok\",\"start_ns\":%"
	    "d,\"end_ns\":%d}",
	    session, key, value, at, at + 1);
}

/* value NULL: nothing there */
static void get(struct history *h, const char *session, const char *key, const char *value, int at)
{
	history_line(h,
	    "{\"client\":1,\"session\":\"%s\",\"op\":\"get\",\"key\":\"%s\",\"value\":%s%s%s,\"outcome\":\"ok\",\"start_ns\":%"
	    "d,\"end_ns\":%d}",
	    session, key, value ? "\"" : "", value ? value : "null", value ? "\"" : "", at, at + 1);
}

static void causal_expect(struct history *h, enum verdict verdict, const char *pattern)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	struct report report = {.count = 0};
	struct error_context error;
	options.level = LEVEL_CAUSAL;
	cr_assert_eq(judge(h, &options, &report, &error), 0);
	for (uint32_t i = 0; i < report.count; i++) {
		const struct check *check = &report.checks[i];
		if (strcmp(check->name, "causal") != 0)
			continue;
		cr_expect_eq(check->verdict, verdict, "%s", check->texts[0] ? check->texts[0] : "fine");
		if (pattern)
			cr_expect(check->texts[0] && strstr(check->texts[0], pattern), "%s: %s", pattern, check->texts[0]);
	}
	report_deinit(&report);
}

Test(check_causal, patterns)
{
	struct history h;
	history_init(&h, 0); /* lunch is seen before the question it answers */
	put(&h, "a", "question", "q", 1);
	get(&h, "b", "question", "q", 3);
	put(&h, "b", "answer", "w", 5);
	get(&h, "c", "answer", "w", 7);
	causal_expect(&h, VERDICT_FINE, NULL);
	get(&h, "c", "question", NULL, 9);
	causal_expect(&h, VERDICT_VIOLATION, "WriteCOInitRead");
	history_deinit(&h);

	history_init(&h, 0);
	put(&h, "a", "x", "1", 1);
	put(&h, "a", "x", "2", 3);
	put(&h, "a", "y", "1", 5);
	get(&h, "b", "y", "1", 7);
	get(&h, "c", "x", "1", 9);
	causal_expect(&h, VERDICT_FINE, NULL);
	get(&h, "b", "x", "1", 9);
	causal_expect(&h, VERDICT_VIOLATION, "WriteCORead");
	history_deinit(&h);
}

Test(check_causal, T44_cycle)
{
	/* Each sees what the next one wrote afterwards, around five keys: all at once, so that no clock objects. */
	struct history h;
	history_init(&h, 0);
	for (int i = 0; i < 5; i++) {
		history_line(&h,
		    "{\"client\":1,\"session\":\"s%d\",\"op\":\"get\",\"key\":\"k%d\",\"value\":\"v%d\",\"outcome\":\"ok\","
		    "\"start_ns\":1,\"end_ns\":5}",
		    i, (i + 1) % 5, (i + 1) % 5);
		history_line(&h,
		    "{\"client\":1,\"session\":\"s%d\",\"op\":\"put\",\"key\":\"k%d\",\"value\":\"v%d\",\"outcome\":\"ok\","
		    "\"start_ns\":5,\"end_ns\":9}",
		    i, i, i);
	}
	causal_expect(&h, VERDICT_VIOLATION, "CyclicCO");
	history_deinit(&h);
}

Test(check_causal, deletes_may_be_what_was_seen)
{
	struct history h;
	history_init(&h, 0);
	put(&h, "a", "x", "1", 1);
	get(&h, "b", "x", "1", 3);
	history_line(
	    &h, "{\"client\":1,\"session\":\"c\",\"op\":\"delete\",\"key\":\"x\",\"outcome\":\"unknown\",\"start_ns\":4}");
	get(&h, "b", "x", NULL, 5);
	causal_expect(&h, VERDICT_FINE, NULL);
	history_deinit(&h);

	history_init(&h, 0);
	history_line(&h,
	    "{\"client\":1,\"session\":\"c\",\"op\":\"delete\",\"key\":\"x\",\"outcome\":\"ok\",\"start_ns\":1,\"end_ns\":2}");
	put(&h, "c", "x", "1", 3);
	get(&h, "b", "x", "1", 5);
	get(&h, "b", "x", NULL, 7);
	causal_expect(&h, VERDICT_VIOLATION, "WriteCOInitRead");
	history_deinit(&h);
}

/* By definition: all pairs, co closed by repetition. Only puts and gets, no values from nowhere. */
#define SMALL_MAX 14u
struct small {
	uint32_t session[SMALL_MAX], key[SMALL_MAX], value[SMALL_MAX]; /* value 0 of a get: nothing */
	bool writes[SMALL_MAX];
	int start[SMALL_MAX], end[SMALL_MAX];
	uint32_t count;
};

static bool small_is_causal(const struct small *s)
{
	bool co[SMALL_MAX][SMALL_MAX] = {{false}};
	for (uint32_t i = 0; i < s->count; i++)
		for (uint32_t j = 0; j < s->count; j++)
			co[i][j] = i != j &&
			           ((s->session[i] == s->session[j] && s->end[i] <= s->start[j]) ||
			               (s->writes[i] && !s->writes[j] && s->key[i] == s->key[j] && s->value[i] == s->value[j]));
	for (uint32_t m = 0; m < s->count; m++)
		for (uint32_t i = 0; i < s->count; i++)
			for (uint32_t j = 0; j < s->count; j++)
				co[i][j] |= co[i][m] && co[m][j];
	for (uint32_t i = 0; i < s->count; i++) {
		if (co[i][i])
			return false;
		for (uint32_t w = 0; w < s->count && !s->writes[i]; w++) {
			if (!s->writes[w] || s->key[w] != s->key[i] || !co[w][i] || s->value[w] == s->value[i])
				continue;
			if (s->value[i] == 0)
				return false;
			for (uint32_t u = 0; u < s->count; u++)
				if (s->writes[u] && s->key[u] == s->key[i] && s->value[u] == s->value[i] && co[u][w])
					return false;
		}
	}
	return true;
}

static void small_draw(struct random *random, struct small *s)
{
	uint32_t written = 0, span = 6 + random_below(random, 30);
	s->count = 3 + random_below(random, SMALL_MAX - 3);
	for (uint32_t i = 0; i < s->count; i++) {
		s->session[i] = random_below(random, 3);
		s->key[i] = random_below(random, 2);
		s->start[i] = (int)random_below(random, span);
		s->end[i] = s->start[i] + 1 + (int)random_below(random, 4);
		s->writes[i] = random_below(random, 2);
		s->value[i] = 0;
		if (s->writes[i])
			s->value[i] = ++written;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t other = random_below(random, s->count);
		if (!s->writes[i] && s->writes[other]) {
			s->key[i] = s->key[other];
			s->value[i] = s->value[other];
		}
	}
}

Test(check_causal, small_histories_as_defined)
{
	uint32_t found[2] = {0, 0};
	for (uint64_t seed = 0; seed < 20000; seed++) {
		struct random random = {seed};
		struct small s;
		struct history h;
		struct keyed keyed;
		struct causality causality;
		struct error_context error;
		struct report report = {.count = 0};
		small_draw(&random, &s);
		history_init(&h, 0);
		for (uint32_t i = 0; i < s.count; i++) {
			char value[24];
			snprintf(value, sizeof value, s.value[i] ? "\"v%u\"" : "null", s.value[i]);
			history_line(&h,
			    "{\"client\":1,\"session\":\"s%u\",\"op\":\"%s\",\"key\":\"k%u\",\"value\":%s,\"outcome\":\"ok\","
			    "\"start_ns\":%d,\"end_ns\":%d}",
			    s.session[i], s.writes[i] ? "put" : "get", s.key[i], value, s.start[i], s.end[i]);
		}
		cr_assert_eq(keyed_init(&keyed, &h, NULL, &error), 0);
		cr_assert_eq(causality_init(&causality, &h, &keyed), VERDICT_FINE);
		struct check *check = report_check(&report, "causal");
		check_causal(&causality, check);
		bool good = small_is_causal(&s);
		cr_assert_eq(check->verdict, good ? VERDICT_FINE : VERDICT_VIOLATION, "seed %llu", (unsigned long long)seed);
		found[good]++;
		/* What breaks a session guarantee breaks causality. */
		struct check *session = report_check(&report, "session");
		check_session(&causality, session);
		cr_assert(
		    !good || session->verdict == VERDICT_FINE, "seed %llu: %s", (unsigned long long)seed, session->texts[0]);
		report_deinit(&report);
		causality_deinit(&causality);
		keyed_deinit(&keyed);
		history_deinit(&h);
	}
	cr_assert(found[0] > 3000 && found[1] > 3000, "%u bad, %u good", found[0], found[1]);
}

/* 10^5 operations of 100 sessions. */
Test(check_causal, T44_many)
{
	struct judge_options options = JUDGE_OPTIONS_DEFAULT;
	struct replicas_plan plan = {
	    .operations = 100000, .keys = 20, .sessions = 100, .regions = 3, .delete_percent = 5, .has_versions = true};
	struct history h;
	history_init(&h, 0);
	generate_replicas(5, &plan, &h);
	options.level = LEVEL_CAUSAL;
	cr_assert_eq(judged(&h, &options, NULL), VERDICT_FINE);
	history_deinit(&h);
}
