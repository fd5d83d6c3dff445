/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "runtime/keyspaces.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/text.h"
#include "runtime/logline.h"

#define CATALOG_NAME     "keyspaces"
#define CATALOG_SIZE_MAX 16384
#define CATALOG_HEAD     "godwit-keyspaces 1\n"

struct catalog {
	bool is_there;
	uint32_t next; /* lowest id never given away */
	struct keyspace keyspaces[KEYSPACES_MAX];
};

static uint64_t checksum(const char *bytes, size_t size)
{
	return XXH3_64bits(bytes, size);
}

/* One line of a keyspace; false when it is none. */
static bool line_parse(struct catalog *catalog, const char *line)
{
	char name[NAME_SIZE_MAX], level[16], strategy[16], acknowledge[16];
	unsigned id = 0;
	int used = 0;
	if (sscanf(line, "%u %63s %15s %15s %15s%n", &id, name, level, strategy, acknowledge, &used) != 5 || line[used] != 0 ||
	    id >= KEYSPACES_MAX || catalog->keyspaces[id].name[0])
		return false;
	struct keyspace *k = &catalog->keyspaces[id];
	while (k->level <= LEVEL_STRONG && strcmp(level_name(k->level), level) != 0)
		k->level++;
	while (k->strategy <= STRATEGY_PRIORITY && strcmp(strategy_name(k->strategy), strategy) != 0)
		k->strategy++;
	while (k->acknowledge <= ACKNOWLEDGE_ALL && strcmp(acknowledge_name(k->acknowledge), acknowledge) != 0)
		k->acknowledge++;
	memcpy(k->name, name, sizeof k->name);
	return k->level <= LEVEL_STRONG && k->strategy <= STRATEGY_PRIORITY && k->acknowledge <= ACKNOWLEDGE_ALL;
}

static bool catalog_parse(struct catalog *catalog, char *text)
{
	char *end = strstr(text, "checksum ");
	uint64_t sum = 0;
	int used = 0;
	if (strncmp(text, CATALOG_HEAD, sizeof CATALOG_HEAD - 1) != 0 || !end ||
	    sscanf(end, "checksum %16" SCNx64 "%n", &sum, &used) != 1 || strcmp(end + used, "\n") != 0 ||
	    sum != checksum(text, (size_t)(end - text)))
		return false;
	*end = 0;
	char *at = text + sizeof CATALOG_HEAD - 1, *save = NULL;
	for (char *line = strtok_r(at, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "next %" SCNu32, &catalog->next) == 1)
			return catalog->next > 0 && catalog->next <= KEYSPACES_MAX && !strtok_r(NULL, "\n", &save);
		if (!line_parse(catalog, line))
			return false;
	}
	return false;
}

static int catalog_read(struct catalog *catalog, const char *region_dir, struct error_context *error)
{
	char path[PATH_MAX], text[CATALOG_SIZE_MAX + 1];
	*catalog = (struct catalog){0};
	snprintf(path, sizeof path, "%s/" CATALOG_NAME, region_dir);
	FILE *in = fopen(path, "re");
	if (!in && errno == ENOENT)
		return 0;
	if (!in)
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	size_t size = fread(text, 1, CATALOG_SIZE_MAX, in);
	bool failed = ferror(in) != 0;
	fclose(in);
	if (failed)
		return error_set(error, ERR_IO, "%s: cannot be read", path);
	text[size] = 0;
	if (strlen(text) != size || !catalog_parse(catalog, text))
		return error_set(error, ERR_CORRUPT,
		    "%s says which keyspace each row is in, and was damaged or altered; copy it from another region of this "
		    "cluster",
		    path);
	catalog->is_there = true;
	return 0;
}

static int write_whole(const char *path, const struct text *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	ssize_t written = write(fd, text->bytes, text->size);
	int reason = written < 0 ? errno : (size_t)written < text->size ? ENOSPC : fsync(fd) < 0 ? errno : 0;
	close(fd);
	errno = reason;
	return reason ? -1 : 0;
}

/* Durable on return: nothing may be written under an id before. */
static int catalog_write(const struct topology *topology, uint32_t next, const char *region_dir, struct error_context *error)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	struct text text = {0};
	text_add(&text, CATALOG_HEAD);
	for (uint32_t i = 0; i < topology->keyspace_count; i++) {
		const struct keyspace *k = &topology->keyspaces[i];
		if (k->name[0])
			text_add(&text, "%u %s %s %s %s\n", i, k->name, level_name(k->level), strategy_name(k->strategy),
			    acknowledge_name(k->acknowledge));
	}
	text_add(&text, "next %u ", next);
	text_add(&text, "checksum %016" PRIx64 "\n", checksum(text.bytes, text.size));
	snprintf(path, sizeof path, "%s/" CATALOG_NAME, region_dir);
	snprintf(temporary, sizeof temporary, "%s/" CATALOG_NAME ".new", region_dir);
	int code = 0, dir = -1;
	if (write_whole(temporary, &text) < 0 || rename(temporary, path) < 0 ||
	    (dir = open(region_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || (fsync(dir) < 0 && errno != EINVAL))
		code = error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	if (dir >= 0)
		close(dir);
	text_deinit(&text);
	return code;
}

static bool rows_are_there(const char *region_dir)
{
	char path[PATH_MAX];
	struct stat status;
	snprintf(path, sizeof path, "%s/rows/rows.mdb", region_dir);
	return stat(path, &status) == 0;
}

static int id_find(const struct keyspace *keyspaces, const char *name)
{
	for (uint32_t i = 0; i < KEYSPACES_MAX; i++)
		if (strcmp(keyspaces[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Each keyspace of the catalog has to be in the file: there is no way yet to drop one. The name that stands in the file
 * instead, if one does, is most likely what it was renamed to. */
static int missing_check(const struct topology *file, const struct catalog *catalog, struct error_context *error)
{
	const char *stranger = NULL;
	for (uint32_t i = 0; i < file->keyspace_count && !stranger; i++)
		if (file->keyspaces[i].name[0] && id_find(catalog->keyspaces, file->keyspaces[i].name) < 0)
			stranger = file->keyspaces[i].name;
	for (uint32_t id = 0; id < KEYSPACES_MAX; id++) {
		const char *name = catalog->keyspaces[id].name;
		if (!name[0] || id_find(file->keyspaces, name) >= 0)
			continue;
		return stranger
		           ? error_set(error, ERR_CONFIGURATION,
		                 "this region holds keyspace '%s' (id %u), which the topology does not name; it names '%s', "
		                 "which "
		                 "is new here: a keyspace cannot be renamed or dropped",
		                 name, id, stranger)
		           : error_set(error, ERR_CONFIGURATION,
		                 "this region holds keyspace '%s' (id %u), which the topology does not name: a keyspace cannot "
		                 "be dropped yet",
		                 name, id);
	}
	return 0;
}

/* The keyspaces that the file gives an id, and those that are known here, have to agree. */
static int given_check(const struct topology *file, const struct catalog *catalog, struct error_context *error)
{
	for (uint32_t i = 0; i < file->keyspace_count; i++) {
		const struct keyspace *k = &file->keyspaces[i];
		int known = k->name[0] ? id_find(catalog->keyspaces, k->name) : -1;
		if (!k->name[0] || !k->id_given)
			continue;
		if (known >= 0 && (uint32_t)known != i)
			return error_set(error, ERR_CONFIGURATION,
			    "the topology gives keyspace '%s' id %u, which is '%s' here; this region holds '%s' under id %d",
			    k->name, i, catalog->keyspaces[i].name[0] ? catalog->keyspaces[i].name : "nothing", k->name, known);
		if (known < 0 && catalog->keyspaces[i].name[0])
			return error_set(error, ERR_CONFIGURATION,
			    "the topology gives keyspace '%s' id %u, under which this region holds '%s'", k->name, i,
			    catalog->keyspaces[i].name);
		if (known < 0 && catalog->is_there && i < catalog->next)
			return error_set(error, ERR_CONFIGURATION,
			    "the topology gives keyspace '%s' id %u, which was another keyspace's before; ids from %u on are "
			    "free",
			    k->name, i, catalog->next);
	}
	return 0;
}

static void place(struct topology *out, uint32_t id, const struct keyspace *keyspace, uint32_t *next)
{
	out->keyspaces[id] = *keyspace;
	out->keyspaces[id].id_given = true;
	if (id >= out->keyspace_count)
		out->keyspace_count = id + 1;
	if (id >= *next)
		*next = id + 1;
}

/* New names without an id come last, in the order of the file. */
static int place_all(struct topology *out, const struct topology *file, const struct catalog *catalog, uint32_t *next,
    struct error_context *error)
{
	memset(out->keyspaces, 0, sizeof out->keyspaces);
	out->keyspace_count = 0;
	for (int is_new = 0; is_new < 2; is_new++) {
		for (uint32_t i = 0; i < file->keyspace_count; i++) {
			const struct keyspace *k = &file->keyspaces[i];
			int known = k->name[0] ? id_find(catalog->keyspaces, k->name) : -1;
			bool is_placed = known >= 0 || k->id_given || !catalog->is_there;
			if (!k->name[0] || is_placed == (is_new == 1))
				continue;
			uint32_t id = known >= 0 ? (uint32_t)known : is_new ? *next : i;
			if (id >= KEYSPACES_MAX)
				return error_set(error, ERR_CONFIGURATION,
				    "no id is left for keyspace '%s': %u have been used, dropped ones included", k->name,
				    KEYSPACES_MAX);
			place(out, id, k, next);
		}
	}
	return 0;
}

/* True when the catalog has to be written; says what changes. */
static bool is_altered(const struct topology *now, const struct catalog *catalog)
{
	bool altered = !catalog->is_there;
	for (uint32_t id = 0; id < now->keyspace_count; id++) {
		const struct keyspace *k = &now->keyspaces[id], *was = &catalog->keyspaces[id];
		if (!k->name[0])
			continue;
		if (!was->name[0]) {
			logline(LOG_LEVEL_INFO, "keyspace_new", "name=%s id=%u level=%s", k->name, id, level_name(k->level));
		} else if (k->level == was->level && k->strategy == was->strategy && k->acknowledge == was->acknowledge) {
			continue;
		} else {
			logline(LOG_LEVEL_INFO, "keyspace_altered", "name=%s id=%u from=\"%s %s %s\" to=\"%s %s %s\"", k->name,
			    id, level_name(was->level), strategy_name(was->strategy), acknowledge_name(was->acknowledge),
			    level_name(k->level), strategy_name(k->strategy), acknowledge_name(k->acknowledge));
		}
		altered = true;
	}
	return altered;
}

int keyspaces_resolve(struct topology *topology, const char *region_dir, bool is_writer, struct error_context *error)
{
	struct catalog catalog;
	struct topology resolved = *topology;
	int code = catalog_read(&catalog, region_dir, error);
	if (code)
		return code;
	if (!catalog.is_there && rows_are_there(region_dir))
		return error_set(error, ERR_CONFIGURATION,
		    "%s/" CATALOG_NAME
		    " is missing, but there are rows: nothing says which keyspaces they are in; copy the file from "
		    "another region of this cluster",
		    region_dir);
	uint32_t next = catalog.is_there ? catalog.next : 0;
	code = missing_check(topology, &catalog, error);
	if (!code)
		code = given_check(topology, &catalog, error);
	if (!code)
		code = place_all(&resolved, topology, &catalog, &next, error);
	if (!code && is_writer && is_altered(&resolved, &catalog))
		code = catalog_write(&resolved, next, region_dir, error);
	if (!code)
		*topology = resolved;
	return code;
}
