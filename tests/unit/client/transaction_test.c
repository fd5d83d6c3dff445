/* SPDX-License-Identifier: Apache-2.0
 *
 * What strong keyspaces take: conditions, levels, timeouts, transactions, as a region gets them, and what is refused before. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "core/commit_entry.h"
#include "tests/unit/client/fake_region.h"

#define VERSION "\xfe-a-version-"

static struct fake_region fake;
static void stop(void)
{
	fake_stop(&fake);
}

static struct reaction say_ok(struct fake_region *f, const struct seen *seen)
{
	(void)f;
	(void)seen;
	return (struct reaction){ANSWER_OK, 0};
}

static struct reaction answer_phase(struct fake_region *f, const struct seen *seen)
{
	(void)seen;
	return (struct reaction){ANSWER_CODE, f->phase};
}

static struct reaction lose_then_phase(struct fake_region *f, const struct seen *seen)
{
	return seen->copy == 1 ? (struct reaction){ANSWER_NOTHING, 0} : (struct reaction){ANSWER_CODE, f->phase};
}

static void ignore(void *context, const struct gw_result *result)
{
	(void)context;
	(void)result;
}

static struct client_operation write_of(const char *key)
{
	return (struct client_operation){
	    .kind = CLIENT_PUT, .keyspace = "orders", .key = key, .key_size = strlen(key), .value = "v", .value_size = 1};
}

Test(transaction, region_learns_conditions_levels_and_how_long_the_client_waits, .fini = stop)
{
	struct client_result result;
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	struct client_operation put = write_of("k");
	put.condition = GW_IF_VERSION;
	put.expected = VERSION;
	put.expected_size = 12;
	put.timeout_ms = 1500;
	cr_assert_eq(client_call(c, &put, &result), 0);
	struct client_operation get = {.kind = CLIENT_GET, .key = "k", .key_size = 1, .level = GW_LEVEL_EVENTUAL};
	cr_assert_eq(client_call(c, &get, &result), 0);
	struct client_operation steps[2] = {write_of("a"), write_of("b")};
	struct client_operation transaction = {.kind = CLIENT_TRANSACTION, .steps = steps, .step_count = 2, .timeout_ms = 9000};
	cr_assert_eq(client_call(c, &transaction, &result), 0);
	cr_assert(fake.seen[0].condition == GW_IF_VERSION && fake.seen[0].timeout_ms == 1500);
	cr_assert(fake.seen[1].level == GW_LEVEL_EVENTUAL && fake.seen[1].timeout_ms == 4000 && fake.seen[1].condition == 0);
	cr_assert(fake.seen[2].kind == CLIENT_TRANSACTION && fake.seen[2].steps == 2 && fake.seen[2].timeout_ms == 9000);
	cr_assert_eq(fake.seen[2].settled, 2, "a write like others");
	gw_close(c);
}

static int submit(struct gw_connection *c, struct client_operation operation)
{
	return client_submit(c, &operation);
}

Test(transaction, what_cannot_be_meant_is_not_sent, .fini = stop)
{
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	struct client_operation put = write_of("k"), o = put, step = put;
	o.kind = CLIENT_CHECK;
	o.condition = GW_IF_ABSENT;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a check alone");
	o = put;
	o.condition = GW_IF_VERSION;
	cr_assert_eq(submit(c, o), ERR_MALFORMED, "no version");
	o.expected = VERSION;
	o.expected_size = GW_VERSION_SIZE_MAX + 1;
	cr_assert_eq(submit(c, o), ERR_MALFORMED);
	o.expected_size = 12;
	o.condition = GW_ALWAYS;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a version that would be ignored");
	o.condition = (enum gw_condition)3;
	cr_assert_eq(submit(c, o), ERR_USAGE);
	o = put;
	o.level = GW_LEVEL_EVENTUAL;
	cr_assert_eq(submit(c, o), ERR_USAGE, "the level of a write is not chosen");
	o = put;
	o.kind = CLIENT_GET;
	o.level = (enum gw_level)6;
	cr_assert_eq(submit(c, o), ERR_USAGE);
	o.level = GW_LEVEL_OWN;
	o.condition = GW_IF_ABSENT;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a read has no condition");
	o = put;
	o.steps = &step;
	o.step_count = 1;
	cr_assert_eq(submit(c, o), ERR_USAGE, "steps of a put");
	o = (struct client_operation){.kind = CLIENT_TRANSACTION, .steps = &step};
	cr_assert_eq(submit(c, o), ERR_USAGE, "no step");
	o.step_count = 1;
	o.condition = GW_IF_ABSENT;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a condition of the whole");
	o.condition = GW_ALWAYS;
	step.kind = CLIENT_GET;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a read as a step");
	step.kind = CLIENT_CHECK;
	step.value_size = 0;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a check of nothing");
	step.kind = CLIENT_DELETE;
	step.value_size = 1;
	cr_assert_eq(submit(c, o), ERR_USAGE, "a delete with a value");
	step = put;
	step.key_size = 0;
	cr_assert_eq(submit(c, o), ERR_KEY_TOO_LARGE);
	cr_assert_eq(gw_pending(c), 0);
	gw_close(c);
}

/* One copy answered: certain. Of several, only what all of them were bound to meet. */
Test(transaction, refusals_of_one_copy_are_passed_on, .fini = stop)
{
	static const int codes[] = {ERR_CHECK_FAILED, ERR_NO_QUORUM, ERR_LEVEL_UNAVAILABLE, ERR_UNKNOWN_OUTCOME};
	struct client_result result;
	struct client_operation put = write_of("k");
	fake_start(&fake, answer_phase);
	struct gw_connection *c = fake_connect(&fake, 3000, 0, 0);
	for (uint32_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		fake.phase = codes[i];
		cr_assert_eq(client_call(c, &put, &result), codes[i]);
		cr_assert_eq(fake.seen_count, i + 1);
	}
	gw_close(c);
}

static int after_a_lost_copy(int code, bool transaction)
{
	struct client_result result;
	struct client_operation step = write_of("k"), o = step;
	if (transaction)
		o = (struct client_operation){.kind = CLIENT_TRANSACTION, .steps = &step, .step_count = 1};
	fake_start(&fake, lose_then_phase);
	fake.phase = code;
	struct gw_connection *c = fake_connect(&fake, 900, 0, 0);
	client_call(c, &o, &result);
	for (uint32_t i = 0; i < fake.seen_count; i++)
		cr_assert_eq(fake.seen[i].number, 1, "never written under another number");
	cr_assert_gt(fake.seen_count, 1);
	gw_close(c);
	fake_stop(&fake);
	return result.code;
}

Test(transaction, refusals_of_a_repeat_are_not_certain)
{
	static const int uncertain[] = {ERR_NO_QUORUM, ERR_OVERLOADED};
	/* A failed check, too, while there is but one connection: the region remembers the first copy, or says UNKNOWN. */
	static const int bound[] = {ERR_CHECK_FAILED, ERR_UNKNOWN_KEYSPACE, ERR_LEVEL_UNAVAILABLE, ERR_USAGE, ERR_EXPIRED};
	for (uint32_t i = 0; i < sizeof uncertain / sizeof *uncertain; i++)
		for (int transaction = 0; transaction < 2; transaction++)
			cr_assert_eq(
			    after_a_lost_copy(uncertain[i], transaction), ERR_UNKNOWN_OUTCOME, "%s", error_name(uncertain[i]));
	for (uint32_t i = 0; i < sizeof bound / sizeof *bound; i++)
		cr_assert_eq(after_a_lost_copy(bound[i], true), bound[i], "%s", error_name(bound[i]));
}

Test(transaction, builder_keeps_copies_and_commits_them_together, .fini = stop)
{
	struct gw_result result;
	struct gw_transaction *t;
	char key[16] = "account/1", value[16] = "100";
	const struct gw_step_options orders = {.keyspace = "orders"}, named = {.keyspace = "default"};
	const struct gw_step_options absent = {.keyspace = "orders", .condition = GW_IF_ABSENT};
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(gw_begin_global_transaction(c, 0, &t), 0);
	cr_assert_eq(gw_commit_global(t, &result), GW_USAGE, "nothing in it");
	cr_assert_eq(gw_transaction_put(t, gw_data(key, 9), gw_data(value, 3), &orders), 0);
	memset(key, 'x', sizeof key);
	cr_assert_eq(
	    gw_transaction_put(t, gw_data(key, 9), gw_data(value, 3), &orders), 0, "another key: the first was copied");
	cr_assert_eq(gw_transaction_put(t, gw_data(key, 9), gw_data(value, 3), &orders), GW_USAGE, "a key twice");
	cr_assert_eq(gw_transaction_put(t, gw_data(key, 9), gw_data(value, 3), NULL), 0, "the same key elsewhere");
	cr_assert_eq(gw_transaction_delete(t, gw_data(key, 9), &named), GW_USAGE);
	cr_assert_eq(gw_transaction_check(t, gw_text("c"), &orders), GW_USAGE, "a check of nothing");
	cr_assert_eq(gw_transaction_check(t, gw_text("c"), &absent), 0);
	cr_assert_eq(gw_transaction_delete(t, gw_text("d"), &orders), 0);
	cr_assert_eq(gw_commit_global(t, &result), 0, "%s", result.reason);
	cr_assert(result.kind == GW_TRANSACTION && result.version.size > 0);
	cr_assert(fake.seen[0].kind == CLIENT_TRANSACTION && fake.seen[0].steps == 5 && fake.seen[0].timeout_ms == 30000);
	cr_assert_eq(gw_submit_commit_global(t, NULL), 0);
	gw_transaction_free(t);
	while (gw_pending(c))
		gw_poll(c, 100, ignore, NULL);
	cr_assert(fake.seen[1].kind == CLIENT_TRANSACTION && fake.seen[1].steps == 5, "copied when it was submitted");
	gw_transaction_free(NULL);
	cr_assert_eq(gw_begin_global_transaction(c, UINT32_MAX, &t), GW_USAGE);
	cr_assert_null(t);
	gw_close(c);
}

Test(transaction, builder_is_bounded, .fini = stop)
{
	static char large[VALUE_SIZE_MAX + 1];
	struct gw_result result;
	struct gw_transaction *t;
	char key[16];
	fake_start(&fake, say_ok);
	struct gw_connection *c = fake_connect(&fake, 4000, 0, 0);
	cr_assert_eq(gw_begin_global_transaction(c, 7, &t), 0);
	for (uint32_t i = 0; i <= GW_OPERATIONS_MAX; i++) {
		snprintf(key, sizeof key, "%u", i);
		cr_assert_eq(gw_transaction_put(t, gw_text(key), gw_text("v"), NULL), i < GW_OPERATIONS_MAX ? 0 : GW_FULL);
	}
	cr_assert_eq(gw_commit_global(t, &result), 0, "%s", result.reason);
	cr_assert(fake.seen[0].steps == GW_OPERATIONS_MAX && fake.seen[0].timeout_ms == 7000);
	gw_transaction_free(t);

	/* The largest value there is, and then no other; what was refused is not in it. */
	cr_assert_eq(gw_begin_global_transaction(c, 0, &t), 0);
	cr_assert_eq(gw_transaction_put(t, gw_text("k"), gw_data(large, sizeof large), NULL), GW_VALUE_TOO_LARGE);
	cr_assert_eq(gw_transaction_put(t, gw_text("k"), gw_data(large, VALUE_SIZE_MAX), NULL), 0);
	cr_assert_eq(gw_transaction_put(t, gw_text("l"), gw_data(large, VALUE_SIZE_MAX), NULL), GW_VALUE_TOO_LARGE);
	/* With names and sizes too much by a little. */
	size_t rest = COMMIT_BODY_MAX - VALUE_SIZE_MAX;
	cr_assert_eq(gw_transaction_put(t, gw_text("l"), gw_data(large, rest), NULL), GW_VALUE_TOO_LARGE);
	cr_assert_eq(gw_transaction_put(t, gw_text("l"), gw_data(large, rest - 100), NULL), 0);
	cr_assert_eq(gw_commit_global(t, &result), 0, "%s", result.reason);
	cr_assert_eq(fake.seen[1].steps, 2);
	gw_transaction_free(t);
	gw_close(c);
}
