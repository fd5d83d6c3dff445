/* SPDX-License-Identifier: Apache-2.0
 *
 * A command line of godwit, run in a child of the test: with the test's environment, in a directory of the test alone. */
#ifndef GODWIT_TESTS_UNIT_CMD_COMMAND_H
#define GODWIT_TESTS_UNIT_CMD_COMMAND_H
#include <stdbool.h>
#include <stddef.h>

/* Init and end of a test suite: `command_dir` is made, the working directory, and removed with all that is in it. */
extern char command_dir[128];
void command_set_up(void);
void command_tear_down(void);

struct ran {
	int code; /* its exit code; -1: ended by a signal */
	char out[65536], err[16384];
};
/* "keys init -r us": the words are separated by spaces. The result stays until the next call. */
const struct ran *run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and the test fails unless it ends with this code, with one line on standard error that has `wanted` in it. */
const struct ran *refused(int code, const char *wanted, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* ... unless it ends with 0 and says nothing on standard error. */
const struct ran *done(const char *format, ...) __attribute__((format(printf, 1, 2)));

void put_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The text of a file of at most 64 KiB, until the next call; NULL: there is none. */
const char *file_text(const char *path);

#endif
