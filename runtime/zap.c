/* SPDX-License-Identifier: Apache-2.0
 *
 * ZAP (RFC 27). Request: version, request id, domain, address, identity, mechanism, credential (for CURVE: the public key, 32
 * bytes). Reply: version, request id, status, status text, user id, metadata. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zmq.h>

#include "core/vector.h"
#include "runtime/keys.h"
#include "runtime/logline.h"
#include "runtime/loop.h"
#include "runtime/rights.h"
#include "runtime/socket.h"

#define NAMES_MAX     (REGIONS_MAX + 8 + KEY_CLIENTS_MAX)
#define READ_AGAIN_NS 1000000000ull
#define PARTS         7
#define PART_SIZE_MAX 255
/* Strangers share that many lines of the log, each told once a minute at most: they cannot fill a disk, nor hide one another
 * quite. */
#define STRANGERS_TOLD 4

struct allowed {
	char name[64];
	bool is_known, has_next, has_rights;
	uint8_t key[32], next[32];
	struct rights rights;
};
struct zap {
	void *socket;
	struct loop *loop;
	struct counter_block *counters;
	char key_dir[256];
	bool clients;
	uint32_t fixed_count; /* of allowed: those told at the start; behind them clients found in key_dir */
	uint32_t allowed_count;
	struct allowed *allowed, tables[2][NAMES_MAX]; /* one of them is in use */
	uint64_t read_at_ns;
	struct timespec changed; /* of the directory, when it was read */
};

struct part {
	uint8_t bytes[PART_SIZE_MAX + 1]; /* zero-terminated */
	size_t size;
};

/* Is what was read, or what is not there, to be taken for so? A read that failed (no descriptor is left, the disk) says nothing
 * of the key: what is known stays, and is read again a second later. */
static bool key_read_is_told(
    const struct zap *zap, const struct allowed *a, const char *event, int code, const struct error_context *error)
{
	bool is_told = code != ERR_IO;
	if (code && code != ERR_NOT_FOUND)
		logline_distinct(LOG_LEVEL_WARN, event, logline_subject(a->name), "name=%s dir=%s reason=\"%s%s\"", a->name,
		    zap->key_dir, error->text, is_told ? "" : "; what was known before counts");
	return is_told;
}

/* A name without a file is no mistake: the other region's key may be brought later. */
static void key_read_one(const struct zap *zap, struct allowed *a)
{
	struct error_context error = {0};
	struct rights rights;
	char text[KEY_TEXT_SIZE];
	int code = keys_load_public(zap->key_dir, a->name, text, &error);
	if (key_read_is_told(zap, a, "key_unreadable", code, &error))
		a->is_known = code == 0 && zmq_z85_decode(a->key, text);
	code = keys_load_next(zap->key_dir, a->name, text, &error);
	if (key_read_is_told(zap, a, "next_key_unreadable", code, &error))
		a->has_next = code == 0 && zmq_z85_decode(a->next, text);
	if (!zap->clients)
		return;
	code = rights_load(zap->key_dir, a->name, &rights, &error);
	if (!key_read_is_told(zap, a, "rights_unreadable", code, &error))
		return;
	/* The key of this host's own commands. */
	bool is_own = code == ERR_NOT_FOUND && strcmp(a->name, KEY_NAME_CLIENT) == 0;
	a->has_rights = code == 0 || is_own;
	a->rights = is_own ? rights_all : rights;
}

/* Fills names with those of the clients; with those known before, if the directory cannot be read. Returns how many. */
static uint32_t clients_list(const struct zap *zap, char (*names)[KEY_NAME_SIZE])
{
	struct error_context error = {0};
	uint32_t count = 0;
	if (!zap->clients)
		return 0;
	if (keys_list(zap->key_dir, "rights", names, KEY_CLIENTS_MAX, &count, &error) != 0) {
		logline_distinct(
		    LOG_LEVEL_WARN, "keys_unreadable", 0, "reason=\"%s; the clients known before count\"", error.text);
		for (uint32_t i = zap->fixed_count; i < zap->allowed_count; i++)
			memcpy(names[count++], zap->allowed[i].name, KEY_NAME_SIZE);
	}
	if (count > KEY_CLIENTS_MAX) {
		logline_distinct(LOG_LEVEL_WARN, "keys_too_many", 0, "clients=%u taken=%u", count, KEY_CLIENTS_MAX);
		count = KEY_CLIENTS_MAX;
	}
	return count;
}

static struct allowed *allowed_named(struct allowed *table, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static void zap_read_keys(struct zap *zap, uint64_t now_ns)
{
	struct allowed *before = zap->allowed, *after = zap->tables[before == zap->tables[0]];
	char names[KEY_CLIENTS_MAX][KEY_NAME_SIZE];
	uint32_t client_count = clients_list(zap, names), count = zap->fixed_count;
	memcpy(after, before, zap->fixed_count * sizeof *after);
	for (uint32_t i = 0; i < client_count; i++) {
		if (allowed_named(after, zap->fixed_count, names[i]))
			continue;
		const struct allowed *known = allowed_named(before, zap->allowed_count, names[i]);
		after[count] = known ? *known : (struct allowed){0};
		memcpy(after[count++].name, names[i], sizeof names[i]);
	}
	for (uint32_t i = 0; i < count; i++)
		key_read_one(zap, &after[i]);
	zap->allowed = after;
	zap->allowed_count = count;
	zap->read_at_ns = now_ns;
}

/* A file made or removed changes the directory; one written in place does not, and is met a second later. */
static void zap_refresh_keys(struct zap *zap, uint64_t now_ns)
{
	struct stat status;
	bool changed = stat(zap->key_dir, &status) == 0 &&
	               (status.st_mtim.tv_sec != zap->changed.tv_sec || status.st_mtim.tv_nsec != zap->changed.tv_nsec);
	if (!changed && now_ns - zap->read_at_ns < READ_AGAIN_NS)
		return;
	if (changed)
		zap->changed = status.st_mtim;
	zap_read_keys(zap, now_ns);
}

static const struct allowed *zap_find(const struct zap *zap, const uint8_t key[static 32])
{
	for (uint32_t i = 0; i < zap->allowed_count; i++)
		if ((zap->allowed[i].is_known && memcmp(zap->allowed[i].key, key, 32) == 0) ||
		    (zap->allowed[i].has_next && memcmp(zap->allowed[i].next, key, 32) == 0))
			return &zap->allowed[i];
	return NULL;
}

const struct rights *zap_rights(struct zap *zap, const char *name, uint64_t now_ns)
{
	if (now_ns - zap->read_at_ns >= READ_AGAIN_NS)
		zap_refresh_keys(zap, now_ns);
	for (uint32_t i = 0; name && i < zap->allowed_count; i++)
		if (zap->allowed[i].has_rights && strcmp(zap->allowed[i].name, name) == 0)
			return &zap->allowed[i].rights;
	return NULL;
}

/* Parts beyond PARTS and bytes beyond PART_SIZE_MAX make the request a malformed one. Returns their number, or a code. */
static int zap_receive(struct zap *zap, struct part parts[static PARTS])
{
	int count = 0, more = 1;
	bool is_malformed = false;
	while (more) {
		zmq_msg_t message;
		zmq_msg_init(&message);
		if (zmq_msg_recv(&message, zap->socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&message);
			return count ? ERR_MALFORMED : ERR_EMPTY;
		}
		size_t size = zmq_msg_size(&message);
		if (count < PARTS && size <= PART_SIZE_MAX) {
			parts[count].size = size;
			memcpy(parts[count].bytes, zmq_msg_data(&message), size);
			parts[count].bytes[size] = 0;
		} else {
			is_malformed = true;
		}
		count++;
		more = zmq_msg_more(&message);
		zmq_msg_close(&message);
	}
	return is_malformed ? ERR_MALFORMED : count;
}

static bool part_is(const struct part *part, const char *text)
{
	return part->size == strlen(text) && memcmp(part->bytes, text, part->size) == 0;
}

static const struct allowed *zap_decide(struct zap *zap, const struct part *parts, int count, uint64_t now_ns)
{
	if (count != PARTS || !part_is(&parts[0], "1.0") || !part_is(&parts[2], ZAP_DOMAIN) || !part_is(&parts[5], "CURVE") ||
	    parts[6].size != 32)
		return NULL;
	zap_refresh_keys(zap, now_ns);
	return zap_find(zap, parts[6].bytes);
}

static void zap_answer(struct zap *zap, const struct part *request_id, const struct allowed *who)
{
	const char *status = who ? "200" : "400", *text = who ? "OK" : "unknown key", *user = who ? who->name : "";
	zmq_send(zap->socket, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(zap->socket, request_id->bytes, request_id->size, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(zap->socket, status, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(zap->socket, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(zap->socket, user, strlen(user), ZMQ_SNDMORE | ZMQ_DONTWAIT);
	zmq_send(zap->socket, "", 0, ZMQ_DONTWAIT);
}

static void stranger_tell(const struct part *parts)
{
	char text[KEY_TEXT_SIZE] = "none";
	if (parts[6].size == 32)
		zmq_z85_encode(text, parts[6].bytes, 32);
	logline_distinct(LOG_LEVEL_WARN, "key_refused", parts[6].bytes[0] % STRANGERS_TOLD,
	    "address=\"%s\" key=%s reason=\"no key of that text is let in here; `godwit keys check` prints the keys on both "
	    "hosts\"",
	    (const char *)parts[3].bytes, text);
}

static uint32_t zap_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct zap *zap = self;
	uint32_t handled = 0;
	while (handled < limit) {
		struct part parts[PARTS] = {0};
		int count = zap_receive(zap, parts);
		if (count == ERR_EMPTY)
			break;
		handled++;
		const struct allowed *who = count > 0 ? zap_decide(zap, parts, count, now.monotonic_ns) : NULL;
		zap_answer(zap, &parts[1], who);
		if (who)
			continue;
		if (zap->counters)
			counter_add(zap->counters, COUNTER_keys_refused, 1);
		stranger_tell(parts);
	}
	return handled;
}

int zap_start(struct zap **out, void *context, struct loop *loop, const char *key_dir, const char *const *allow, bool clients,
    struct counter_block *counters, struct error_context *error)
{
	struct zap *zap = calloc(1, sizeof *zap);
	if (!zap)
		return error_set(error, ERR_NO_MEMORY, "out of memory");
	zap->loop = loop;
	zap->allowed = zap->tables[0];
	zap->counters = counters;
	zap->clients = clients;
	int code = 0;
	if (strlen(key_dir) >= sizeof zap->key_dir)
		code = error_set(error, ERR_CONFIGURATION, "%.200s...: the path is too long", key_dir);
	else
		memcpy(zap->key_dir, key_dir, strlen(key_dir) + 1);
	for (; !code && *allow; allow++) {
		if (zap->fixed_count == NAMES_MAX - KEY_CLIENTS_MAX || strlen(*allow) >= sizeof zap->allowed[0].name)
			code = error_set(error, ERR_CONFIGURATION, "too many or too long names of keys to let in");
		else
			memcpy(zap->allowed[zap->fixed_count++].name, *allow, strlen(*allow) + 1);
	}
	if (!code)
		code = socket_bind(&zap->socket, context, ZMQ_REP, ZAP_ENDPOINT, NULL, error);
	if (!code)
		code = loop_add_socket(loop, zap->socket, zap_drain, zap);
	if (code) {
		socket_close(zap->socket);
		free(zap);
		return code;
	}
	zap_refresh_keys(zap, clock_read().monotonic_ns);
	*out = zap;
	return 0;
}

void zap_stop(struct zap *zap)
{
	if (!zap)
		return;
	loop_remove_socket(zap->loop, zap->socket);
	socket_close(zap->socket);
	free(zap);
}
