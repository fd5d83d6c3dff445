// SPDX-License-Identifier: Apache-2.0
//
// T39: a disk that is put back from an older copy is told from the one that went on.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/starts.h"
#include "tests/unit/store/support.h"

static struct place place;

static void setup(void)
{
	place_make(&place);
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(starts, .init = setup, .fini = teardown);

static void start(struct starts *starts)
{
	struct error_context error;
	const int code = starts_open(starts, place.rows, &error);
	cr_assert_eq(code, 0, "%s", error.text);
}

/* The bytes at `at` of the file, turned over. */
static void spoil(off_t at)
{
	char path[300];
	uint8_t byte;
	snprintf(path, sizeof(path), "%s/starts", place.rows);
	const int fd = open(path, O_RDWR);
	cr_assert_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0xff;
	cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void copy(const char *from, const char *to)
{
	char command[700];
	snprintf(command, sizeof(command), "cp '%s/%s' '%s/%s'", place.rows, from, place.rows, to);
	cr_assert_eq(system(command), 0);
}

Test(starts, numbers_go_on)
{
	struct starts starts;
	uint64_t nonces[3];
	for (uint32_t i = 0; i < 3; i++) {
		start(&starts);
		cr_assert_eq(starts.own.count, i + 1);
		cr_assert_eq(starts_last(&starts.own).number, i + 1);
		nonces[i] = starts_last(&starts.own).nonce;
		for (uint32_t j = 0; j <= i; j++)
			cr_assert_eq(starts.own.nonces[j], nonces[j]);
		starts_close(&starts);
	}
	cr_assert_neq(nonces[0], nonces[1]);
	cr_assert_neq(nonces[1], nonces[2]);
}

Test(starts, met_ones_are_kept)
{
	struct starts starts;
	struct error_context error;
	const struct start met = {.number = 7, .nonce = 77};
	start(&starts);
	cr_assert_eq(starts_keep(&starts, 2, met, &error), 0);
	starts_close(&starts);
	start(&starts);
	cr_assert_eq(starts.peers[2].number, 7);
	cr_assert_eq(starts.peers[2].nonce, 77);
	cr_assert_eq(starts.peers[1].number, 0);
	starts_close(&starts);
}

Test(starts, torn_slot_leaves_the_one_before)
{
	struct starts starts;
	start(&starts); /* write 1: the second slot */
	const uint64_t nonce = starts_last(&starts.own).nonce;
	starts_close(&starts);
	start(&starts); /* write 2: the first */
	starts_close(&starts);
	spoil(100);
	start(&starts);
	cr_assert_eq(starts_last(&starts.own).number, 2, "the torn one was told to nobody");
	cr_assert_eq(starts.own.nonces[0], nonce);
	starts_close(&starts);
	spoil(100);
	spoil(4096 + 100);
	struct error_context error;
	cr_assert_eq(starts_open(&starts, place.rows, &error), ERR_CORRUPT);
}

Test(starts, copy_put_back)
{
	struct starts starts;
	start(&starts);
	const struct start first = starts_last(&starts.own);
	starts_close(&starts);
	copy("starts", "copy");
	start(&starts);
	const struct start met = starts_last(&starts.own);
	cr_assert_eq(starts_compare(&first, &starts.own), STARTS_LATER);
	cr_assert_eq(starts_compare(&met, &starts.own), STARTS_SAME);
	starts_close(&starts);
	copy("copy", "starts");
	for (uint32_t i = 0; i < 5; i++) {
		start(&starts);
		cr_assert_eq(starts_compare(&met, &starts.own), STARTS_OLDER, "start %u of the copy", i);
		cr_assert_eq(starts_compare(&first, &starts.own), STARTS_LATER, "who met only what the copy has as well");
		starts_close(&starts);
	}
}

Test(starts, older_ones_leave)
{
	struct starts starts;
	struct start third = {0};
	for (uint32_t i = 1; i <= STARTS_KEPT + 3; i++) {
		start(&starts);
		if (i == 3)
			third = starts_last(&starts.own);
		if (i == STARTS_KEPT + 2)
			cr_assert_eq(starts_compare(&third, &starts.own), STARTS_LATER);
		starts_close(&starts);
	}
	cr_assert_eq(starts.own.count, STARTS_KEPT);
	cr_assert_eq(starts.own.first, 4);
	cr_assert_eq(starts_last(&starts.own).number, STARTS_KEPT + 3);
	const struct start none = {0}, forged = {.number = 5, .nonce = starts.own.nonces[1] + 1},
	                   ahead = {.number = STARTS_KEPT + 4, .nonce = 1};
	cr_assert_eq(starts_compare(&third, &starts.own), STARTS_LATER, "longer ago than can be told");
	cr_assert_eq(starts_compare(&none, &starts.own), STARTS_LATER);
	cr_assert_eq(starts_compare(&forged, &starts.own), STARTS_OLDER);
	cr_assert_eq(starts_compare(&ahead, &starts.own), STARTS_OLDER);
}
