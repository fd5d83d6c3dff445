/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/crash_point.h"

#define KEY_PATH_SIZE  320
#define MARK_ONE_HOST  "one-host"
#define FILE_TEXT_SIZE 1024

int keys_name_check(const char *name, struct error_context *error)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (size == 0 || name[size] || size >= KEY_NAME_SIZE)
		return error_set(error, ERR_CONFIGURATION, "'%.40s' is no name of a key (a-z, 0-9, -; at most 40)", name);
	return 0;
}

static int path_make(
    char path[static KEY_PATH_SIZE], const char *key_dir, const char *name, const char *ending, struct error_context *error)
{
	int code = keys_name_check(name, error);
	if (code)
		return code;
	if (snprintf(path, KEY_PATH_SIZE, "%s/%s.%s", key_dir, name, ending) >= KEY_PATH_SIZE)
		return error_set(error, ERR_CONFIGURATION, "%.200s...: the path is too long", key_dir);
	return 0;
}

/* Of this user or of root, and nobody else's to write: no file that decides about trust is read in another way. ERR_NOT_FOUND
 * when there is none. `forbidden`: mode bits that must not be set. *size: bytes read, `max` at most. */
static int file_read(const char *path, mode_t forbidden, char *bytes, size_t max, size_t *size, struct error_context *error)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return error_set(error, ERR_CONFIGURATION, "%s: is a symbolic link, which a key must not be", path);
	if (fd < 0)
		return error_set(error,
		    errno == ENOENT   ? ERR_NOT_FOUND
		    : errno == EACCES ? ERR_CONFIGURATION
		                      : ERR_IO,
		    "%s: %s", path, strerror(errno));
	int failed = fstat(fd, &status), code = 0;
	ssize_t got = failed || !S_ISREG(status.st_mode) ? -1 : read(fd, bytes, max);
	if (!failed && !S_ISREG(status.st_mode))
		code = error_set(error, ERR_CONFIGURATION, "%s: is not a regular file", path);
	else if (got < 0)
		code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	else if (status.st_uid != geteuid() && status.st_uid != 0)
		code = error_set(error, ERR_CONFIGURATION, "%s: belongs to another user", path);
	else if (status.st_mode & forbidden)
		code = error_set(error, ERR_CONFIGURATION, "%s: mode %03o lets others %s it; run chmod 600 on it", path,
		    (unsigned)(status.st_mode & 0777), forbidden & 044 ? "read or write" : "write");
	close(fd);
	if (code && got > 0)
		sodium_memzero(bytes, (size_t)got);
	*size = code ? 0 : (size_t)got;
	return code;
}

static int key_read(const char *path, mode_t forbidden, char text[static KEY_TEXT_SIZE], struct error_context *error)
{
	char bytes[KEY_TEXT_SIZE + 2] = {0};
	uint8_t key[32];
	size_t size;
	int code = file_read(path, forbidden, bytes, sizeof bytes, &size, error);
	if (code)
		return code;
	if (size == KEY_TEXT_SIZE && bytes[KEY_TEXT_SIZE - 1] == '\n')
		size--;
	memcpy(text, bytes, KEY_TEXT_SIZE - 1);
	text[KEY_TEXT_SIZE - 1] = 0;
	if (size != KEY_TEXT_SIZE - 1 || strlen(text) != KEY_TEXT_SIZE - 1 || !zmq_z85_decode(key, text)) {
		sodium_memzero(text, KEY_TEXT_SIZE);
		code = error_set(error, ERR_CONFIGURATION, "%s: is no key (40 characters of Z85)", path);
	}
	sodium_memzero(key, sizeof key);
	sodium_memzero(bytes, sizeof bytes);
	return code;
}

static int directory_sync(const char *key_dir, struct error_context *error)
{
	int fd = open(key_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fd < 0 ? -1 : fsync(fd);
	if (failed)
		error_set(error, ERR_IO, "%s: %s", key_dir, strerror(errno));
	if (fd >= 0)
		close(fd);
	return failed ? ERR_IO : 0;
}

/* Without `replace`, of two processes that make the same pair the later one takes what the earlier has written. */
static int file_write(const char *key_dir, const char *path, const char *text, bool replace, struct error_context *error)
{
	char other[KEY_PATH_SIZE + 16], line[FILE_TEXT_SIZE];
	snprintf(other, sizeof other, "%s.%ld.tmp", path, (long)getpid());
	if (snprintf(line, sizeof line, "%s\n", text) >= (int)sizeof line)
		return error_set(error, ERR_CONFIGURATION, "%s: the text is too long", path);
	unlink(other);
	int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, ERR_IO, "%s: %s", other, strerror(errno));
	ssize_t size = (ssize_t)strlen(line);
	int failed = fchmod(fd, 0600) != 0 || write(fd, line, (size_t)size) != size || fsync(fd) != 0;
	int saved = errno;
	close(fd);
	sodium_memzero(line, sizeof line);
	CRASH_POINT(key_unnamed);
	if (!failed && replace ? rename(other, path) != 0 : !failed && link(other, path) != 0 && errno != EEXIST) {
		failed = 1;
		saved = errno;
	}
	unlink(other);
	if (failed)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(saved));
	return directory_sync(key_dir, error);
}

/* ERR_NOT_FOUND: there is none. */
static int directory_look(const char *key_dir, struct error_context *error)
{
	struct stat status;
	if (stat(key_dir, &status) != 0)
		return error_set(error, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", key_dir, strerror(errno));
	if (!S_ISDIR(status.st_mode) || (status.st_mode & 022))
		return error_set(error, ERR_CONFIGURATION, "%s: must be a directory that only its owner can write", key_dir);
	return 0;
}

static int directory_make(const char *key_dir, struct error_context *error)
{
	if (mkdir(key_dir, 0700) != 0 && errno != EEXIST)
		return error_set(error, ERR_IO, "%s: %s", key_dir, strerror(errno));
	return directory_look(key_dir, error);
}

static int secret_missing(const char *public_path, struct error_context *error)
{
	return error_set(error, ERR_CONFIGURATION,
	    "%s is there without its secret; bring the secret back, or remove it to have a new pair made", public_path);
}

/* Was a `rotate --finish` ended between the secret and the public key? Then the key called next fits the secret of NAME, and
 * `finish` goes on from there; nothing else does. */
static bool finish_is_half_done(const char *key_dir, const char *name)
{
	char path[KEY_PATH_SIZE], secret[KEY_TEXT_SIZE], derived[KEY_TEXT_SIZE], next[KEY_TEXT_SIZE];
	bool is_half_done = keys_load_next(key_dir, name, next, NULL) == 0 &&
	                    path_make(path, key_dir, name, "secret", NULL) == 0 && key_read(path, 077, secret, NULL) == 0 &&
	                    zmq_curve_public(derived, secret) == 0 && strcmp(derived, next) == 0;
	sodium_memzero(secret, sizeof secret);
	return is_half_done;
}

static int half_done_error(const char *name, struct error_context *error)
{
	return error_set(error, ERR_CONFIGURATION,
	    "the rotation of %s was interrupted half-way: its secret is the next one already, its public key still the former "
	    "one; run `godwit keys rotate %s --finish` again",
	    name, name);
}

/* The secret decides, the public key follows from it: so what was killed in between can simply be repeated. */
static int pair_make(const char *key_dir, const char *public_path, const char *secret_path, struct error_context *error)
{
	struct key_pair pair;
	int code = key_read(secret_path, 077, pair.secret_text, error);
	if (code == ERR_NOT_FOUND) {
		if (access(public_path, F_OK) == 0)
			return secret_missing(public_path, error);
		if (zmq_curve_keypair(pair.public_text, pair.secret_text) != 0)
			return error_set(error, ERR_UNSUPPORTED, "this libzmq was built without CURVE");
		code = file_write(key_dir, secret_path, pair.secret_text, false, error);
		if (!code)
			code = key_read(secret_path, 077, pair.secret_text, error);
	}
	CRASH_POINT(key_half_made);
	if (!code && access(public_path, F_OK) != 0) {
		zmq_curve_public(pair.public_text, pair.secret_text);
		code = file_write(key_dir, public_path, pair.public_text, false, error);
	}
	sodium_memzero(&pair, sizeof pair);
	return code;
}

int keys_make(const char *key_dir, const char *name, struct error_context *error)
{
	char public_path[KEY_PATH_SIZE], secret_path[KEY_PATH_SIZE];
	int code = path_make(public_path, key_dir, name, "public", error);
	if (!code)
		code = path_make(secret_path, key_dir, name, "secret", error);
	if (!code)
		code = directory_make(key_dir, error);
	return code ? code : pair_make(key_dir, public_path, secret_path, error);
}

int keys_make_look(const char *key_dir, const char *name, struct error_context *error)
{
	char public_path[KEY_PATH_SIZE], secret_path[KEY_PATH_SIZE], secret[KEY_TEXT_SIZE];
	int code = path_make(public_path, key_dir, name, "public", error);
	if (!code)
		code = path_make(secret_path, key_dir, name, "secret", error);
	if (!code)
		code = directory_look(key_dir, error);
	if (code)
		return code == ERR_NOT_FOUND ? 0 : code;
	bool has_public = access(public_path, F_OK) == 0;
	if (!keys_has_secret(key_dir, name))
		return has_public ? secret_missing(public_path, error) : 0;
	code = has_public ? keys_check_secrets(key_dir, name, error) : key_read(secret_path, 077, secret, error);
	sodium_memzero(secret, sizeof secret);
	return code;
}

int keys_load_public(const char *key_dir, const char *name, char public_text[static KEY_TEXT_SIZE], struct error_context *error)
{
	char path[KEY_PATH_SIZE];
	int code = path_make(path, key_dir, name, "public", error);
	return code ? code : key_read(path, 022, public_text, error);
}

int keys_load(const char *key_dir, const char *name, struct key_pair *pair, struct error_context *error)
{
	char path[KEY_PATH_SIZE], derived[KEY_TEXT_SIZE];
	int code = keys_load_public(key_dir, name, pair->public_text, error);
	if (!code)
		code = path_make(path, key_dir, name, "secret", error);
	if (!code)
		code = key_read(path, 077, pair->secret_text, error);
	if (!code && (zmq_curve_public(derived, pair->secret_text) != 0 || strcmp(derived, pair->public_text) != 0))
		code = finish_is_half_done(key_dir, name)
		           ? half_done_error(name, error)
		           : error_set(error, ERR_CONFIGURATION, "%s does not belong to %s.public beside it", path, name);
	if (code)
		sodium_memzero(pair, sizeof *pair);
	return code;
}

int keys_load_next(const char *key_dir, const char *name, char public_text[static KEY_TEXT_SIZE], struct error_context *error)
{
	char path[KEY_PATH_SIZE];
	int code = path_make(path, key_dir, name, "next.public", error);
	return code ? code : key_read(path, 022, public_text, error);
}

bool keys_has_secret(const char *key_dir, const char *name)
{
	char path[KEY_PATH_SIZE];
	struct stat status;
	return path_make(path, key_dir, name, "secret", NULL) == 0 && lstat(path, &status) == 0;
}

int keys_check_secrets(const char *key_dir, const char *name, struct error_context *error)
{
	char path[KEY_PATH_SIZE];
	struct key_pair pair;
	int code = keys_load(key_dir, name, &pair, error);
	if (!code)
		code = path_make(path, key_dir, name, "next.secret", error);
	if (!code && (code = key_read(path, 077, pair.secret_text, error)) == ERR_NOT_FOUND)
		code = 0;
	sodium_memzero(&pair, sizeof pair);
	return code;
}

bool keys_text_is_key(const char *text)
{
	uint8_t key[32];
	return strlen(text) == KEY_TEXT_SIZE - 1 && zmq_z85_decode(key, text);
}

bool keys_is_of_one_host(const char *key_dir)
{
	char path[KEY_PATH_SIZE];
	return snprintf(path, sizeof path, "%s/" MARK_ONE_HOST, key_dir) < (int)sizeof path && access(path, F_OK) == 0;
}

int keys_mark_one_host(const char *key_dir, struct error_context *error)
{
	char path[KEY_PATH_SIZE];
	int code = directory_make(key_dir, error);
	if (!code && snprintf(path, sizeof path, "%s/" MARK_ONE_HOST, key_dir) >= (int)sizeof path)
		code = error_set(error, ERR_CONFIGURATION, "%.200s...: the path is too long", key_dir);
	return code ? code
	            : file_write(key_dir, path, "This directory holds the secrets of one host: godwit up makes no keys in it.",
	                  false, error);
}

int keys_import(const char *key_dir, const char *name, const char *public_text, bool is_next, bool replace,
    enum key_import *done, struct error_context *error)
{
	char path[KEY_PATH_SIZE], next_path[KEY_PATH_SIZE], known[KEY_TEXT_SIZE], next[KEY_TEXT_SIZE];
	enum key_import ignored;
	done = done ? done : &ignored;
	int code = path_make(path, key_dir, name, "public", error);
	if (!code)
		code = path_make(next_path, key_dir, name, "next.public", error);
	if (!code)
		code = directory_make(key_dir, error);
	if (code)
		return code;
	code = keys_load_public(key_dir, name, known, error);
	if (code && code != ERR_NOT_FOUND)
		return code;
	bool is_known = !code;
	code = keys_load_next(key_dir, name, next, error);
	if (code && code != ERR_NOT_FOUND)
		return code;
	bool has_next = !code;
	*done = KEY_IMPORT_SAME;
	if (is_known && strcmp(known, public_text) == 0)
		return 0;
	if (has_next && is_next && strcmp(next, public_text) == 0)
		return 0;
	if (keys_has_secret(key_dir, name))
		return error_set(error, ERR_CONFIGURATION,
		    "%s has its secret on this host, and the key to import is another one; two hosts have made keys for it: "
		    "decide for "
		    "one, and remove %s.* from the other's keys",
		    name, name);
	if (is_next && !is_known)
		return error_set(
		    error, ERR_CONFIGURATION, "the next key of %s comes before its present one, which is not known here", name);
	if (!is_next && has_next && strcmp(next, public_text) == 0) {
		*done = KEY_IMPORT_NEXT_IS_CURRENT;
		if (rename(next_path, path) != 0)
			return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
		return directory_sync(key_dir, error);
	}
	if (!is_next && is_known && !replace)
		return error_set(error, ERR_CONFIGURATION,
		    "%s is known here with another key (%s); if %s was really made anew, import it with --replace", name, known,
		    name);
	*done = is_known && !is_next ? KEY_IMPORT_REPLACED : KEY_IMPORT_NEW;
	/* A next key of the pair that is gone would let it in again. */
	if (*done == KEY_IMPORT_REPLACED)
		unlink(next_path);
	return file_write(key_dir, is_next ? next_path : path, public_text, true, error);
}

int keys_rotate(const char *key_dir, const char *name, struct error_context *error)
{
	char public_path[KEY_PATH_SIZE], secret_path[KEY_PATH_SIZE];
	int code = keys_name_check(name, error);
	if (!code && !keys_has_secret(key_dir, name))
		code = error_set(error, ERR_CONFIGURATION,
		    "the secret of %s is not in %s: a key is rotated where its secret is", name, key_dir);
	if (!code && finish_is_half_done(key_dir, name))
		code = half_done_error(name, error);
	if (!code)
		code = path_make(public_path, key_dir, name, "next.public", error);
	if (!code)
		code = path_make(secret_path, key_dir, name, "next.secret", error);
	return code ? code : pair_make(key_dir, public_path, secret_path, error);
}

int keys_rotate_finish(const char *key_dir, const char *name, struct error_context *error)
{
	char path[KEY_PATH_SIZE], next_path[KEY_PATH_SIZE], secret[KEY_TEXT_SIZE], derived[KEY_TEXT_SIZE], next[KEY_TEXT_SIZE];
	int code = keys_load_next(key_dir, name, next, error), path_code = path_make(path, key_dir, name, "secret", error);
	if (!path_code)
		path_code = path_make(next_path, key_dir, name, "next.secret", error);
	if (code == ERR_NOT_FOUND && !path_code && access(next_path, F_OK) == 0)
		return error_set(error, ERR_CONFIGURATION,
		    "the next key of %s is half made: its secret is there, its public key is not, so nobody has it; run "
		    "`godwit keys rotate %s` again, without --finish",
		    name, name);
	if (code == ERR_NOT_FOUND)
		return error_set(error, ERR_CONFIGURATION, "no rotation of %s is under way in %s", name, key_dir);
	if (code || path_code)
		return code ? code : path_code;
	/* The secret first: it decides. Its public key, still called next, is found again by a call that comes later. */
	code = key_read(next_path, 077, secret, error);
	bool is_moved = code == ERR_NOT_FOUND;
	if (is_moved)
		code = key_read(path, 077, secret, error);
	if (!code && (zmq_curve_public(derived, secret) != 0 || strcmp(derived, next) != 0))
		code = error_set(error, ERR_CONFIGURATION, "%s does not belong to %s.next.public beside it",
		    is_moved ? path : next_path, name);
	sodium_memzero(secret, sizeof secret);
	if (!code && !is_moved && rename(next_path, path) != 0)
		code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	if (!code)
		code = directory_sync(key_dir, error);
	if (!code)
		code = path_make(path, key_dir, name, "public", error);
	if (!code)
		code = path_make(next_path, key_dir, name, "next.public", error);
	if (!code && rename(next_path, path) != 0)
		code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	return code ? code : directory_sync(key_dir, error);
}

int keys_write_file(const char *key_dir, const char *name, const char *ending, const char *text, struct error_context *error)
{
	char path[KEY_PATH_SIZE];
	int code = path_make(path, key_dir, name, ending, error);
	return code ? code : file_write(key_dir, path, text, true, error);
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Puts a name among the first `max` ones, in whatever order. */
static void name_keep(char (*names)[KEY_NAME_SIZE], uint32_t count, uint32_t max, const char *name)
{
	uint32_t place = count;
	for (uint32_t i = 0; count >= max && i < max; i++)
		if (strcmp(names[i], place == count ? name : names[place]) > 0)
			place = i;
	if (place < max)
		snprintf(names[place], KEY_NAME_SIZE, "%s", name);
}

int keys_list(const char *key_dir, const char *ending, char (*names)[KEY_NAME_SIZE], uint32_t max, uint32_t *count,
    struct error_context *error)
{
	DIR *directory = opendir(key_dir);
	const struct dirent *entry;
	*count = 0;
	if (!directory)
		return errno == ENOENT ? 0 : error_set(error, ERR_IO, "%s: %s", key_dir, strerror(errno));
	while ((errno = 0, entry = readdir(directory))) {
		const char *dot = strchr(entry->d_name, '.');
		size_t size = dot ? (size_t)(dot - entry->d_name) : 0;
		char name[KEY_NAME_SIZE];
		if (size == 0 || size >= sizeof name || strcmp(dot + 1, ending) != 0)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)size, entry->d_name);
		if (keys_name_check(name, NULL) == 0)
			name_keep(names, (*count)++, max, name);
	}
	int failure = errno;
	closedir(directory);
	if (failure) {
		*count = 0;
		return error_set(error, ERR_IO, "%s: %s", key_dir, strerror(failure));
	}
	qsort(names, *count < max ? *count : max, sizeof names[0], name_compare);
	return 0;
}

bool keys_choose_other(const char *key_dir, const char *name, const char *in_use, char out[static KEY_TEXT_SIZE])
{
	char text[KEY_TEXT_SIZE];
	bool found = keys_load_public(key_dir, name, text, NULL) == 0 && strcmp(text, in_use) != 0;
	found = found || (keys_load_next(key_dir, name, text, NULL) == 0 && strcmp(text, in_use) != 0);
	if (found)
		memcpy(out, text, KEY_TEXT_SIZE);
	return found;
}

int keys_read_file(
    const char *key_dir, const char *name, const char *ending, char *text, size_t max, struct error_context *error)
{
	char path[KEY_PATH_SIZE];
	size_t size;
	int code = path_make(path, key_dir, name, ending, error);
	if (!code)
		code = file_read(path, 022, text, max, &size, error);
	if (!code && size == max)
		code = error_set(error, ERR_CONFIGURATION, "%s: is longer than %zu bytes", path, max - 1);
	if (code)
		return code;
	text[size] = 0;
	return strlen(text) == size ? 0 : error_set(error, ERR_CONFIGURATION, "%s: is no text", path);
}

int keys_client_name(const char *key_dir, char name[static KEY_NAME_SIZE], struct error_context *error)
{
	char text[KEY_NAME_SIZE + 1];
	int code = keys_read_file(key_dir, KEY_NAME_CLIENT, KEY_CLIENT_NAME_ENDING, text, sizeof text, error);
	if (code)
		return code;
	text[strcspn(text, "\n")] = 0;
	code = keys_name_check(text, error);
	if (!code)
		memcpy(name, text, strlen(text) + 1);
	return code;
}
