/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "shm/crash_point.h"

#define KEY_PATH_SIZE 320

static int name_check(const char *name, struct error_context *error)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (size == 0 || name[size] || size > 40)
		return error_set(error, ERR_CONFIGURATION, "'%.40s' is no name of a key (a-z, 0-9, -; at most 40)", name);
	return 0;
}

static int path_make(
    char path[static KEY_PATH_SIZE], const char *key_dir, const char *name, const char *ending, struct error_context *error)
{
	int code = name_check(name, error);
	if (code)
		return code;
	if (snprintf(path, KEY_PATH_SIZE, "%s/%s.%s", key_dir, name, ending) >= KEY_PATH_SIZE)
		return error_set(error, ERR_CONFIGURATION, "%.200s...: the path is too long", key_dir);
	return 0;
}

/* ERR_NOT_FOUND when there is no such file. `forbidden`: mode bits that must not be set. */
static int key_read(const char *path, mode_t forbidden, char text[static KEY_TEXT_SIZE], struct error_context *error)
{
	char bytes[KEY_TEXT_SIZE + 2];
	uint8_t key[32];
	struct stat status;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(error, errno == ENOENT ? ERR_NOT_FOUND : ERR_CONFIGURATION, "%s: %s", path,
		    errno == ELOOP ? "is a symbolic link, which a key must not be" : strerror(errno));
	int failed = fstat(fd, &status);
	ssize_t size = failed ? -1 : read(fd, bytes, sizeof bytes);
	close(fd);
	int code = 0;
	if (failed || size < 0)
		code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(status.st_mode))
		code = error_set(error, ERR_CONFIGURATION, "%s: is not a regular file", path);
	else if (status.st_uid != geteuid() && status.st_uid != 0)
		code = error_set(error, ERR_CONFIGURATION, "%s: belongs to another user", path);
	else if (status.st_mode & forbidden)
		code = error_set(error, ERR_CONFIGURATION, "%s: mode %03o lets others %s it; run chmod 600 on it", path,
		    (unsigned)(status.st_mode & 0777), forbidden & 044 ? "read or write" : "write");
	if (!code) {
		if (size == KEY_TEXT_SIZE && bytes[KEY_TEXT_SIZE - 1] == '\n')
			size--;
		memcpy(text, bytes, KEY_TEXT_SIZE - 1);
		text[KEY_TEXT_SIZE - 1] = 0;
		if (size != KEY_TEXT_SIZE - 1 || strlen(text) != KEY_TEXT_SIZE - 1 || !zmq_z85_decode(key, text)) {
			sodium_memzero(text, KEY_TEXT_SIZE);
			code = error_set(error, ERR_CONFIGURATION, "%s: is no key (40 characters of Z85)", path);
		}
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

/* Never replaces: of two processes that make the same pair, the later one takes what the earlier has written. */
static int key_write(const char *key_dir, const char *path, const char *text, struct error_context *error)
{
	char other[KEY_PATH_SIZE + 16], line[KEY_TEXT_SIZE + 1];
	snprintf(other, sizeof other, "%s.%ld.tmp", path, (long)getpid());
	snprintf(line, sizeof line, "%s\n", text);
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
	if (!failed && link(other, path) != 0 && errno != EEXIST) {
		failed = 1;
		saved = errno;
	}
	unlink(other);
	if (failed)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(saved));
	return directory_sync(key_dir, error);
}

static int directory_make(const char *key_dir, struct error_context *error)
{
	struct stat status;
	if (mkdir(key_dir, 0700) != 0 && errno != EEXIST)
		return error_set(error, ERR_IO, "%s: %s", key_dir, strerror(errno));
	if (stat(key_dir, &status) != 0)
		return error_set(error, ERR_IO, "%s: %s", key_dir, strerror(errno));
	if (!S_ISDIR(status.st_mode) || (status.st_mode & 022))
		return error_set(error, ERR_CONFIGURATION, "%s: must be a directory that only its owner can write", key_dir);
	return 0;
}

int keys_make(const char *key_dir, const char *name, struct error_context *error)
{
	char public_path[KEY_PATH_SIZE], secret_path[KEY_PATH_SIZE];
	struct key_pair pair;
	int code = path_make(public_path, key_dir, name, "public", error);
	if (!code)
		code = path_make(secret_path, key_dir, name, "secret", error);
	if (!code)
		code = directory_make(key_dir, error);
	if (code)
		return code;
	/* The secret decides, the public key follows from it: so a start that was killed in between can simply be repeated. */
	code = key_read(secret_path, 077, pair.secret_text, error);
	if (code == ERR_NOT_FOUND) {
		if (access(public_path, F_OK) == 0)
			return error_set(error, ERR_CONFIGURATION,
			    "%s is there without its secret; bring the secret back, or remove it to have a new pair made",
			    public_path);
		if (zmq_curve_keypair(pair.public_text, pair.secret_text) != 0)
			return error_set(error, ERR_UNSUPPORTED, "this libzmq was built without CURVE");
		code = key_write(key_dir, secret_path, pair.secret_text, error);
		if (!code)
			code = key_read(secret_path, 077, pair.secret_text, error);
	}
	CRASH_POINT(key_half_made);
	if (!code && access(public_path, F_OK) != 0) {
		zmq_curve_public(pair.public_text, pair.secret_text);
		code = key_write(key_dir, public_path, pair.public_text, error);
	}
	sodium_memzero(&pair, sizeof pair);
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
		code = error_set(error, ERR_CONFIGURATION, "%s does not belong to %s.public beside it", path, name);
	if (code)
		sodium_memzero(pair, sizeof *pair);
	return code;
}
