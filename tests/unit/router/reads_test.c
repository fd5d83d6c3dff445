/* SPDX-License-Identifier: Apache-2.0
 *
 * E9: a question that looks at many rows, answered in slices, from rows as they are on disk. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actors/router/reads.h"
#include "proto/client.pb-c.h"
#include "tests/unit/store/support.h"

#define ROWS 2000u

static struct place place;
static struct shm_layout *shm;
static struct topology topology;
static struct reads reads;
static struct output out;

/* With the writer in a process of its own, as it is: LMDB bears one environment of a file in a process. */
static void write_rows(const char *value, uint32_t from, uint32_t count)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct log *log = log_start(&place, NULL, NULL);
		struct rows *rows = rows_start(&place, NULL);
		uint64_t end = 0;
		for (uint32_t i = 0; i < count; i++) {
			char key[16];
			snprintf(key, sizeof key, "%06u", i);
			const struct write w = {.sequence = from + i, .key = key, .value = value};
			cr_assert_eq(append(log, &w, &end), 0);
		}
		wait_durable(log, end);
		apply_all(rows, &place, end);
		rows_close(rows);
		log_close(log);
		_exit(0);
	}
	int status = 1;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

static void set_up(void)
{
	place_make(&place);
	shm = aligned_alloc(4096, (sizeof *shm + 4095) / 4096 * 4096);
	cr_assert(shm);
	memset(shm, 0, sizeof *shm);
	shm->coordinator.epoch = 1;
	shm->coordinator.ready = 1;
	topology.keyspace_count = 1;
	strcpy(topology.keyspaces[0].name, "default");
	topology.region_count = 1;
	strcpy(topology.regions[0].name, "us");
	write_rows("first", 1, ROWS);
	reads_init(&reads, &topology, &topology.regions[0], shm, place.dir);
}
static void tear_down(void)
{
	reads_deinit(&reads);
	output_deinit(&out);
	free(shm);
	place_remove(&place);
}
TestSuite(reads, .init = set_up, .fini = tear_down);

static enum reads_outcome ask(uint64_t number, uint32_t kind, bool may_hold, struct reads_question **question, uint64_t now_ns)
{
	struct request_operation operation = {.number = number, .kind = kind, .limit = kind == ROUTER_BUCKET ? 7 : 0};
	return reads_answer(&reads, &operation, now_ns, 0, may_hold, question, &out);
}

/* Until it is answered, each slice in a turn of its own; returns the slices. */
static uint32_t ask_to_the_end(uint64_t number, uint32_t kind)
{
	struct reads_question *question = NULL;
	uint32_t slices = 1;
	while (ask(number, kind, true, &question, 1000) != READS_ANSWERED) {
		cr_assert_lt(slices++, ROWS);
		cr_assert(question && out.size == 0);
		reads_end(&reads);
	}
	cr_assert_null(question);
	reads_end(&reads);
	return slices;
}

static Godwit__Client__Answers *answers_read(void)
{
	Godwit__Client__Answers *answers = godwit__client__answers__unpack(NULL, out.size, out.bytes);
	cr_assert(answers && answers->n_answers == 1);
	out.size = 0;
	return answers;
}

Test(reads, E9_an_answer_in_slices_is_the_answer)
{
	const uint32_t kinds[] = {ROUTER_SCAN, ROUTER_BUCKET};
	for (int i = 0; i < 2; i++) {
		uint32_t slices = ask_to_the_end(5, kinds[i]);
		cr_assert_gt(slices, ROWS / 64, "%u slices", slices);
		Godwit__Client__Answers *sliced = answers_read();
		struct request_operation operation = {.number = 5, .kind = kinds[i], .limit = i ? 7 : 0};
		struct reads_question *question = NULL;
		cr_assert_eq(reads_answer(&reads, &operation, 1000, UINT64_MAX, false, &question, &out), READS_ANSWERED);
		Godwit__Client__Answers *whole = answers_read();
		const Godwit__Client__Answer *a = sliced->answers[0], *b = whole->answers[0];
		cr_assert(a->number == 5 && a->code == 0 && a->n_rows == b->n_rows && a->more == b->more);
		cr_assert(i ? a->n_rows > 0 && a->n_rows < ROWS : a->n_rows == ROWS);
		for (size_t r = 0; r < a->n_rows; r++)
			cr_assert(a->rows[r]->key.len == b->rows[r]->key.len &&
			          !memcmp(a->rows[r]->key.data, b->rows[r]->key.data, a->rows[r]->key.len));
		godwit__client__answers__free_unpacked(sliced, NULL);
		godwit__client__answers__free_unpacked(whole, NULL);
	}
}

/* All rows are written anew while the scan is between two slices. */
Test(reads, E9_an_answer_in_slices_shows_one_state_and_others_see_the_newest)
{
	struct reads_question *question = NULL, *none = NULL;
	cr_assert_eq(ask(1, ROUTER_SCAN, true, &question, 1000), READS_CUT);
	reads_end(&reads);
	write_rows("second", ROWS + 1, ROWS);
	struct request_operation get = {.number = 2, .kind = ROUTER_GET, .key = {(const uint8_t *)"000000", 6}};
	cr_assert_eq(reads_answer(&reads, &get, 1000, UINT64_MAX, false, &none, &out), READS_ANSWERED);
	Godwit__Client__Answers *answers = answers_read();
	cr_assert(answers->answers[0]->value.len == 6 && !memcmp(answers->answers[0]->value.data, "second", 6));
	godwit__client__answers__free_unpacked(answers, NULL);
	while (ask(1, ROUTER_SCAN, true, &question, 1000) == READS_CUT)
		reads_end(&reads);
	answers = answers_read();
	cr_assert_eq(answers->answers[0]->n_rows, ROWS);
	for (size_t r = 0; r < ROWS; r++)
		cr_assert(answers->answers[0]->rows[r]->value.len == 5 &&
		          !memcmp(answers->answers[0]->rows[r]->value.data, "first", 5));
	godwit__client__answers__free_unpacked(answers, NULL);
}

Test(reads, E9_places_for_long_questions_are_few_and_come_back)
{
	struct reads_question *questions[READS_QUESTIONS_MAX] = {0}, *more = NULL;
	for (uint32_t i = 0; i < READS_QUESTIONS_MAX; i++) {
		cr_assert_eq(ask(i, ROUTER_SCAN, true, &questions[i], 1000), READS_CUT);
		reads_end(&reads); /* each with a view of its own */
	}
	cr_assert_eq(ask(100, ROUTER_SCAN, true, &more, 1000), READS_NO_PLACE);
	struct request_operation get = {.number = 2, .kind = ROUTER_GET, .key = {(const uint8_t *)"000000", 6}};
	cr_assert_eq(
	    reads_answer(&reads, &get, 1000, UINT64_MAX, false, &more, &out), READS_ANSWERED, "a short one needs no place");
	godwit__client__answers__free_unpacked(answers_read(), NULL);
	reads_give_up(&reads, questions[3]);
	cr_assert_eq(ask(100, ROUTER_SCAN, false, &more, 1000), READS_NO_PLACE, "the place may be somebody else's");
	cr_assert_eq(ask(100, ROUTER_SCAN, true, &more, 1000), READS_CUT);
	for (uint32_t i = 0; i < READS_QUESTIONS_MAX; i++)
		if (i != 3)
			reads_give_up(&reads, questions[i]);
	reads_give_up(&reads, more);
	reads_end(&reads);
	cr_assert_eq(reads.question_count, 0);
	for (uint32_t i = 0; i <= READS_QUESTIONS_MAX; i++)
		cr_assert_not(reads.views[i].is_open, "a view pins its pages for good");
}

Test(reads, E9_a_question_pins_its_rows_for_a_limited_time)
{
	struct reads_question *question = NULL;
	cr_assert_eq(ask(1, ROUTER_SCAN, true, &question, 1000), READS_CUT);
	cr_assert_eq(ask(1, ROUTER_SCAN, true, &question, 1000 + READS_QUESTION_NS + 1), READS_ANSWERED);
	Godwit__Client__Answers *answers = answers_read();
	cr_assert_eq(answers->answers[0]->code, ERR_OVERLOADED);
	godwit__client__answers__free_unpacked(answers, NULL);
}

/* Another file may be in the place of the rows: what was found in the old one is of no use. */
Test(reads, E9_a_question_begins_again_with_a_new_coordinator)
{
	struct reads_question *question = NULL;
	cr_assert_eq(ask(1, ROUTER_SCAN, true, &question, 1000), READS_CUT);
	reads_end(&reads);
	write_rows("second", ROWS + 1, ROWS);
	shm->coordinator.epoch = 2;
	while (ask(1, ROUTER_SCAN, true, &question, 1000) == READS_CUT)
		reads_end(&reads);
	Godwit__Client__Answers *answers = answers_read();
	cr_assert_eq(answers->answers[0]->n_rows, ROWS);
	for (size_t r = 0; r < ROWS; r++)
		cr_assert_eq(answers->answers[0]->rows[r]->value.len, 6);
	godwit__client__answers__free_unpacked(answers, NULL);
}
