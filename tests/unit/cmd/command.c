/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cmd/command.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 60

int godwit_main(int argc, char **argv);

char command_dir[128];

void command_set_up(void)
{
	const char *parent = getenv("TMPDIR");
	snprintf(command_dir, sizeof command_dir, "%.80s/godwit-cmd-XXXXXX", parent && *parent ? parent : "/tmp");
	cr_assert(mkdtemp(command_dir) && chdir(command_dir) == 0);
	unsetenv("GODWIT_DIR");
	unsetenv("GODWIT_KEYS");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void command_tear_down(void)
{
	cr_assert_eq(chdir("/"), 0);
	nftw(command_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void output_take(int fd, char *into, size_t size)
{
	ssize_t got = pread(fd, into, size - 1, 0);
	cr_assert(got >= 0 && (size_t)got < size - 1, "more output than the test has room for");
	into[got] = 0;
	close(fd);
}

/* A child, since flags of a command are kept in the program. */
static const struct ran *run_words(char *line)
{
	static struct ran ran;
	static char program[] = "godwit";
	char *words[WORDS_MAX] = {program}, *rest = line;
	int count = 1, status;
	for (char *word; (word = strsep(&rest, " "));)
		if (*word && count < WORDS_MAX - 1)
			words[count++] = word;
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	cr_assert(out >= 0 && err >= 0);
	fflush(NULL);
	pid_t pid = fork();
	cr_assert(pid >= 0);
	if (pid == 0) {
		if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
			_exit(99);
		int code = godwit_main(count, words);
		fflush(NULL);
		_exit(code);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	output_take(out, ran.out, sizeof ran.out);
	output_take(err, ran.err, sizeof ran.err);
	return &ran;
}

#define LINE_OF(format)                                                                                                        \
	char line[4096];                                                                                                       \
	va_list arguments;                                                                                                     \
	va_start(arguments, format);                                                                                           \
	vsnprintf(line, sizeof line, format, arguments);                                                                       \
	va_end(arguments);                                                                                                     \
	char shown[4096];                                                                                                      \
	memcpy(shown, line, sizeof shown)

const struct ran *run(const char *format, ...)
{
	LINE_OF(format);
	(void)shown;
	return run_words(line);
}

const struct ran *refused(int code, const char *wanted, const char *format, ...)
{
	LINE_OF(format);
	const struct ran *ran = run_words(line);
	const char *end = strchr(ran->err, '\n');
	cr_assert_eq(ran->code, code, "godwit %s: exit code %d, not %d: %s", shown, ran->code, code, ran->err);
	cr_assert(end && end[1] == 0, "godwit %s: not one line: %s", shown, ran->err);
	cr_assert(strstr(ran->err, wanted), "godwit %s: no '%s' in: %s", shown, wanted, ran->err);
	return ran;
}

const struct ran *done(const char *format, ...)
{
	LINE_OF(format);
	const struct ran *ran = run_words(line);
	cr_assert(ran->code == 0 && ran->err[0] == 0, "godwit %s: exit code %d: %s", shown, ran->code, ran->err);
	return ran;
}

void put_file(const char *path, const char *format, ...)
{
	va_list arguments;
	FILE *out = fopen(path, "w");
	cr_assert(out, "%s", path);
	va_start(arguments, format);
	vfprintf(out, format, arguments);
	va_end(arguments);
	cr_assert_eq(fclose(out), 0);
}

const char *file_text(const char *path)
{
	static char text[65537];
	FILE *in = fopen(path, "r");
	if (!in)
		return NULL;
	size_t size = fread(text, 1, sizeof text - 1, in);
	fclose(in);
	text[size] = 0;
	return text;
}
