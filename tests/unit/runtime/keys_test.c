/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/keys.h"
#include "runtime/rights.h"
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

static const char *public_of(const char *name)
{
	static char text[4][KEY_TEXT_SIZE];
	static unsigned turn;
	char *out = text[turn++ % 4];
	cr_assert_eq(keys_load_public(key_dir, name, out, &error), 0, "%s", error.text);
	return out;
}

/* A host's directory: own secret, public keys of the others; another key for a known name only when told so. */
Test(keys, G18_import)
{
	char other[160], first[KEY_TEXT_SIZE], second[KEY_TEXT_SIZE];
	enum key_import done;
	snprintf(other, sizeof other, "%s/other", directory);
	cr_assert_eq(keys_make(other, "ap", &error), 0);
	cr_assert_eq(keys_load_public(other, "ap", first, &error), 0);
	cr_assert_eq(keys_make(other, "us", &error), 0);
	cr_assert_eq(keys_load_public(other, "us", second, &error), 0);
	cr_assert_eq(keys_make(key_dir, "us", &error), 0);
	cr_assert_eq(keys_import(key_dir, "ap", first, false, false, &done, &error), 0, "%s", error.text);
	cr_assert_eq(done, KEY_IMPORT_NEW);
	cr_assert_str_eq(public_of("ap"), first);
	cr_assert(!keys_has_secret(key_dir, "ap") && keys_has_secret(key_dir, "us"));
	cr_assert_eq(keys_import(key_dir, "ap", first, false, false, &done, &error), 0);
	cr_assert_eq(done, KEY_IMPORT_SAME);
	cr_assert_eq(keys_import(key_dir, "ap", second, false, false, &done, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "known here with another key"), "%s", error.text);
	cr_assert_str_eq(public_of("ap"), first);
	cr_assert_eq(keys_import(key_dir, "ap", second, false, true, &done, &error), 0);
	cr_assert_eq(done, KEY_IMPORT_REPLACED);
	cr_assert_str_eq(public_of("ap"), second);
	/* Two hosts have made the same region's key. */
	cr_assert_eq(keys_import(key_dir, "us", second, false, true, &done, &error), ERR_CONFIGURATION);
	cr_assert_eq(keys_import(key_dir, "../us", second, false, true, &done, &error), ERR_CONFIGURATION);
	cr_assert_eq(mode_of(at("ap.public")), 0600);
}

/* The whole of a rotation, on the host that has the secret and on one that has not. */
Test(keys, G18_rotation)
{
	char there[160], old[KEY_TEXT_SIZE], next[KEY_TEXT_SIZE], found[KEY_TEXT_SIZE];
	enum key_import done;
	struct key_pair pair;
	snprintf(there, sizeof there, "%s/there", directory);
	cr_assert_eq(keys_make(key_dir, "us", &error), 0);
	strcpy(old, public_of("us"));
	cr_assert_eq(keys_import(there, "us", old, false, false, &done, &error), 0);
	cr_assert_eq(keys_rotate(there, "us", &error), ERR_CONFIGURATION, "the secret is not there");
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), ERR_CONFIGURATION, "nothing is under way");
	cr_assert_eq(keys_rotate(key_dir, "us", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load_next(key_dir, "us", next, &error), 0);
	cr_assert_str_neq(next, old);
	cr_assert_eq(keys_rotate(key_dir, "us", &error), 0, "again");
	cr_assert_eq(keys_load_next(key_dir, "us", found, &error), 0);
	cr_assert_str_eq(found, next, "a second call makes no third key");
	cr_assert_eq(mode_of(at("us.next.secret")), 0600);
	cr_assert_eq(keys_load(key_dir, "us", &pair, &error), 0);
	cr_assert_str_eq(pair.public_text, old);
	cr_assert_eq(keys_import(there, "us", next, true, false, &done, &error), 0, "%s", error.text);
	cr_assert_eq(keys_load_public(there, "us", found, &error), 0);
	cr_assert_str_eq(found, old);
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load(key_dir, "us", &pair, &error), 0, "%s", error.text);
	cr_assert_str_eq(pair.public_text, next);
	cr_assert_eq(keys_load_next(key_dir, "us", found, &error), ERR_NOT_FOUND);
	/* Without --replace: it was announced. */
	cr_assert_eq(keys_import(there, "us", next, false, false, &done, &error), 0, "%s", error.text);
	cr_assert_eq(done, KEY_IMPORT_NEXT_IS_CURRENT);
	cr_assert_eq(keys_load_public(there, "us", found, &error), 0);
	cr_assert_str_eq(found, next);
	cr_assert_eq(keys_load_next(there, "us", found, &error), ERR_NOT_FOUND, "the former key is forgotten");
}

/* Killed between the secret and the public key: the same call goes on. */
Test(keys, G18_rotation_killed_half_way)
{
	struct key_pair pair;
	char next[KEY_TEXT_SIZE], from[256];
	cr_assert_eq(keys_make(key_dir, "us", &error), 0);
	cr_assert_eq(keys_rotate(key_dir, "us", &error), 0);
	cr_assert_eq(keys_load_next(key_dir, "us", next, &error), 0);
	strcpy(from, at("us.next.secret"));
	cr_assert_eq(rename(from, at("us.secret")), 0);
	/* Whoever meets it says what is so, and the command that goes on; a new rotation would not. */
	static int (*const meet[])(const char *, const char *, struct error_context *) = {keys_check_secrets, keys_rotate};
	for (int i = 0; i < 2; i++) {
		error.text[0] = 0;
		cr_assert_eq(meet[i](key_dir, "us", &error), ERR_CONFIGURATION);
		cr_assert(strstr(error.text, "rotation of us was interrupted half-way") &&
		              strstr(error.text, "run `godwit keys rotate us --finish` again"),
		    "%d: %s", i, error.text);
	}
	cr_assert_neq(access(at("us.next.secret"), F_OK), 0);
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load(key_dir, "us", &pair, &error), 0, "%s", error.text);
	cr_assert_str_eq(pair.public_text, next);
	/* A next.public whose secret is somewhere else does not become the key. */
	cr_assert_eq(keys_rotate(key_dir, "us", &error), 0);
	unlink(at("us.next.secret"));
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), ERR_CONFIGURATION);
	cr_assert_eq(keys_load(key_dir, "us", &pair, &error), 0);
	/* Nor is its rotation one that was interrupted. */
	cr_assert(!strstr(error.text, "interrupted"), "%s", error.text);
}

/* Killed between the next secret and its public key, which nobody can have imported then. */
Test(keys, G18_rotation_begun_half_way)
{
	cr_assert_eq(keys_make(key_dir, "us", &error), 0);
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "no rotation of us is under way"), "%s", error.text);
	cr_assert_eq(keys_rotate(key_dir, "us", &error), 0);
	unlink(at("us.next.public"));
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "half made") && strstr(error.text, "run `godwit keys rotate us` again, without --finish"),
	    "%s", error.text);
	cr_assert_eq(keys_rotate(key_dir, "us", &error), 0, "%s", error.text);
	cr_assert_eq(keys_rotate_finish(key_dir, "us", &error), 0, "%s", error.text);
}

Test(keys, G18_rights)
{
	struct rights rights;
	char text[RIGHTS_TEXT_MAX];
	cr_assert_eq(rights_parse("read,write", "orders,default", &rights, &error), 0);
	cr_assert(rights.read && rights.write && !rights.admin);
	cr_assert(rights_has_keyspace(&rights, "orders", 6) && rights_has_keyspace(&rights, NULL, 0));
	cr_assert(!rights_has_keyspace(&rights, "order", 5) && !rights_has_keyspace(&rights, "orders2", 7) &&
	          !rights_has_keyspace(&rights, "*", 1));
	rights_format(&rights, text);
	struct rights again;
	cr_assert_eq(rights_parse_text(text, &again, &error), 0, "%s", error.text);
	cr_assert_eq(memcmp(&rights, &again, sizeof rights), 0);
	cr_assert_eq(rights_parse("admin", "*", &rights, &error), 0);
	cr_assert(!rights.read && !rights.write && rights.admin && rights_has_keyspace(&rights, "any", 3));
	static const char *const wrong[] = {"", "reads", "read,", "read,,write", "read write", ",read", "all"};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		cr_assert_eq(rights_parse(wrong[i], "*", &rights, &error), ERR_CONFIGURATION, "%s", wrong[i]);
	cr_assert_eq(rights_parse("read", "", &rights, &error), ERR_CONFIGURATION);
	cr_assert_eq(rights_parse_text("read", &rights, &error), ERR_CONFIGURATION);
	/* Nobody else may write the file. */
	cr_assert_eq(keys_make(key_dir, "app", &error), 0);
	cr_assert_eq(rights_load(key_dir, "app", &rights, &error), ERR_NOT_FOUND);
	cr_assert_eq(keys_write_file(key_dir, "app", "rights", "read\n*", &error), 0);
	cr_assert_eq(rights_load(key_dir, "app", &rights, &error), 0, "%s", error.text);
	cr_assert_eq(chmod(at("app.rights"), 0622), 0);
	cr_assert_eq(rights_load(key_dir, "app", &rights, &error), ERR_CONFIGURATION);
}

/* What decides about trust is read in one careful way: a key, its rights, the name of this host's client. */
Test(keys, G18_every_file_of_the_directory_is_read_with_the_same_care)
{
	static const char *const files[] = {"client.public", "client.rights", "client.name"};
	struct rights rights;
	char name[KEY_NAME_SIZE], text[KEY_TEXT_SIZE], long_text[900];
	cr_assert_eq(keys_make(key_dir, "client", &error), 0);
	cr_assert_eq(keys_client_name(key_dir, name, &error), ERR_NOT_FOUND);
	cr_assert_eq(keys_write_file(key_dir, "client", "rights", "read\n*", &error), 0);
	cr_assert_eq(keys_write_file(key_dir, "client", KEY_CLIENT_NAME_ENDING, "shop", &error), 0);
	cr_assert_eq(keys_client_name(key_dir, name, &error), 0, "%s", error.text);
	cr_assert_str_eq(name, "shop");
	for (int i = 0; i < 3; i++) {
		for (int kind = 0; kind < 3; kind++) {
			char path[256], aside[264];
			snprintf(path, sizeof path, "%s", at(files[i]));
			snprintf(aside, sizeof aside, "%s.aside", path);
			cr_assert_eq(rename(path, aside), 0);
			if (kind == 0)
				cr_assert_eq(symlink(aside, path), 0);
			else if (kind == 1)
				cr_assert_eq(mkfifo(path, 0600), 0);
			else
				cr_assert(rename(aside, path) == 0 && chmod(path, 0622) == 0);
			error.text[0] = 0;
			int code = i == 0   ? keys_load_public(key_dir, "client", text, &error)
			           : i == 1 ? rights_load(key_dir, "client", &rights, &error)
			                    : keys_client_name(key_dir, name, &error);
			cr_assert_eq(code, ERR_CONFIGURATION, "%s, kind %d: %d", files[i], kind, code);
			cr_assert(strstr(error.text, kind == 0   ? "symbolic link"
			                             : kind == 1 ? "regular file"
			                                         : "mode 622 lets others write it"),
			    "%s, kind %d: %s", files[i], kind, error.text);
			if (kind < 2)
				cr_assert(unlink(path) == 0 && rename(aside, path) == 0);
			else
				cr_assert_eq(chmod(path, 0600), 0);
		}
	}
	/* Read whole or not at all. */
	memset(long_text, 'a', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = 0;
	cr_assert_eq(keys_write_file(key_dir, "client", KEY_CLIENT_NAME_ENDING, long_text, &error), 0);
	cr_assert_eq(keys_client_name(key_dir, name, &error), ERR_CONFIGURATION);
	memcpy(long_text, "read\n*\n", 7);
	cr_assert_eq(keys_write_file(key_dir, "client", "rights", long_text, &error), 0);
	cr_assert_eq(rights_load(key_dir, "client", &rights, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "is longer than 600 bytes"), "%s", error.text);
	cr_assert_eq(keys_write_file(key_dir, "client", "rights", "reads\n*", &error), 0);
	cr_assert_eq(rights_load(key_dir, "client", &rights, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "client.rights: 'reads' is no right"), "%s", error.text);
}

/* More names than there is room for: the first ones, in whatever order the directory has them. */
Test(keys, G18_the_first_names_of_too_many_are_listed)
{
	char names[4][KEY_NAME_SIZE], name[16];
	uint32_t count = 9;
	cr_assert_eq(keys_list(key_dir, "rights", names, 4, &count, &error), 0);
	cr_assert_eq(count, 0);
	cr_assert_eq(mkdir(key_dir, 0700), 0);
	for (uint32_t i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "client-%02u", i * 7 % 20);
		cr_assert_eq(keys_write_file(key_dir, name, "rights", "read\n*", &error), 0, "%s", error.text);
	}
	cr_assert_eq(keys_list(key_dir, "rights", names, 4, &count, &error), 0);
	cr_assert_eq(count, 20);
	for (uint32_t i = 0; i < 4; i++) {
		snprintf(name, sizeof name, "client-%02u", i);
		cr_assert_str_eq(names[i], name);
	}
	cr_assert_eq(keys_list(key_dir, "public", names, 4, &count, &error), 0);
	cr_assert_eq(count, 0);
	cr_assert_eq(keys_list(at("client-00.rights"), "rights", names, 4, &count, &error), ERR_IO);
}

/* During a rotation there are two keys: whoever was turned down with one tries the other, and back. */
Test(keys, G18_the_other_key_of_two)
{
	static const char *const texts[] = {
	    "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"};
	char out[KEY_TEXT_SIZE] = "as it was";
	cr_assert_eq(mkdir(key_dir, 0700), 0);
	cr_assert(!keys_choose_other(key_dir, "us", texts[0], out));
	cr_assert_eq(keys_write_file(key_dir, "us", "public", texts[0], &error), 0);
	cr_assert(!keys_choose_other(key_dir, "us", texts[0], out));
	cr_assert_str_eq(out, "as it was");
	cr_assert(keys_choose_other(key_dir, "us", texts[1], out));
	cr_assert_str_eq(out, texts[0]);
	cr_assert_eq(keys_write_file(key_dir, "us", "next.public", texts[1], &error), 0);
	for (uint32_t i = 1; i < 5; i++) {
		cr_assert(keys_choose_other(key_dir, "us", out, out));
		cr_assert_str_eq(out, texts[i % 2]);
	}
}
