/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/keys.h"
#include "tests/unit/runtime/fixture.h"

static char directory[128], key_dir[140];
static struct error_context error;

static void set_up(void)
{
	scratch_make(directory);
	snprintf(key_dir, sizeof key_dir, "%s/keys", directory);
}
static void tear_down(void)
{
	scratch_remove(directory);
}
TestSuite(keys, .init = set_up, .fini = tear_down);

static mode_t mode_of(const char *path)
{
	struct stat status;
	cr_assert_eq(stat(path, &status), 0);
	return status.st_mode & 0777;
}
static const char *at(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", key_dir, name);
	return path;
}

Test(keys, made_once_and_private)
{
	struct key_pair first, again;
	umask(0);
	cr_assert_eq(keys_make(key_dir, "eu-west-1", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load(key_dir, "eu-west-1", &first, &error), 0, "%s", error.text);
	cr_assert_eq(keys_make(key_dir, "eu-west-1", &error), 0);
	cr_assert_eq(keys_load(key_dir, "eu-west-1", &again, &error), 0);
	cr_assert_eq(memcmp(&first, &again, sizeof first), 0);
	cr_assert_eq(mode_of(key_dir), 0700);
	cr_assert_eq(mode_of(at("eu-west-1.secret")), 0600);
	cr_assert_eq(mode_of(at("eu-west-1.public")), 0600);
}

/* T32: a start killed half-way is repeated. */
Test(keys, T32_killed_half_way)
{
	struct key_pair before, after;
	cr_assert_eq(keys_make(key_dir, "a", &error), 0);
	cr_assert_eq(keys_load(key_dir, "a", &before, &error), 0);
	unlink(at("a.public"));
	cr_assert_eq(keys_make(key_dir, "a", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load(key_dir, "a", &after, &error), 0, "%s", error.text);
	cr_assert_eq(memcmp(&before, &after, sizeof before), 0);
	/* A public key alone is another region's, or a lost secret: not overwritten. */
	unlink(at("a.secret"));
	cr_assert_eq(keys_make(key_dir, "a", &error), ERR_CONFIGURATION);
	cr_assert_neq(access(at("a.secret"), F_OK), 0);
}

Test(keys, a_secret_that_others_can_read_is_refused)
{
	struct key_pair pair;
	cr_assert_eq(keys_make(key_dir, "a", &error), 0);
	chmod(at("a.secret"), 0640);
	cr_assert_eq(keys_load(key_dir, "a", &pair, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "a.secret: mode 640 lets others read or write it"), "%s", error.text);
	cr_assert_eq(keys_make(key_dir, "a", &error), ERR_CONFIGURATION);
	chmod(at("a.secret"), 0600);
	chmod(at("a.public"), 0622);
	cr_assert_eq(keys_load(key_dir, "a", &pair, &error), ERR_CONFIGURATION);
	chmod(at("a.public"), 0644);
	cr_assert_eq(keys_load(key_dir, "a", &pair, &error), 0, "%s", error.text);
	chmod(key_dir, 0770);
	cr_assert_eq(keys_make(key_dir, "b", &error), ERR_CONFIGURATION);
}

Test(keys, what_is_no_key_is_refused)
{
	struct key_pair pair;
	char path[256];
	cr_assert_eq(keys_make(key_dir, "a", &error), 0);
	cr_assert_eq(keys_make(key_dir, "b", &error), 0);
	cr_assert_eq(keys_load(key_dir, "c", &pair, &error), ERR_NOT_FOUND);
	cr_assert_eq(keys_make(key_dir, "../a", &error), ERR_CONFIGURATION);
	cr_assert_eq(keys_make(key_dir, "", &error), ERR_CONFIGURATION);
	/* The secret of another pair. */
	char b_path[256];
	snprintf(b_path, sizeof b_path, "%s", at("b.secret"));
	cr_assert_eq(rename(b_path, at("a.secret")), 0);
	cr_assert_eq(keys_load(key_dir, "a", &pair, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "does not belong"), "%s", error.text);
	file_write(key_dir, "d.public", "too short", path);
	chmod(path, 0600);
	cr_assert_eq(keys_load_public(key_dir, "d", pair.public_text, &error), ERR_CONFIGURATION);
	cr_assert_eq(symlink(at("b.public"), path), -1);
	unlink(path);
	cr_assert_eq(symlink("b.public", path), 0);
	cr_assert_eq(keys_load_public(key_dir, "d", pair.public_text, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "symbolic link"), "%s", error.text);
}
