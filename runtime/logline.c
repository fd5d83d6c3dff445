/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/logline.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/loop.h"
#include "shm/counters.h"

#define LINE_SIZE_MAX 1024
#define DISTINCT_MAX  256
#define TELL_AGAIN_NS (60ull * 1000000000u)

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct distinct {
	uint64_t event_hash, subject;
	uint64_t seen_ns, told_ns;
	uint64_t untold;
};

/* One a process, because log lines come from everywhere in it. The lock is for processes with a second thread (the sync thread
 * of the coordinator); it also keeps COUNTER_errors at one writer at a time. */
static struct {
	pthread_mutex_t lock;
	char prefix[128];
	struct counter_block *counters;
	struct distinct distinct[DISTINCT_MAX];
	uint32_t distinct_count;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .prefix = "-"};
static _Atomic int level_now = LOG_LEVEL_INFO;

void logline_init(const char *region, const char *actor, struct counter_block *counters)
{
	pthread_mutex_lock(&state.lock);
	snprintf(state.prefix, sizeof state.prefix, "%s/%s", region, actor);
	state.counters = counters;
	state.distinct_count = 0;
	pthread_mutex_unlock(&state.lock);
}

void logline_set_level(enum log_level level)
{
	atomic_store(&level_now, (int)level);
}

int logline_parse_level(const char *text)
{
	for (int i = 0; i < (int)(sizeof level_names / sizeof *level_names); i++)
		if (strcmp(text, level_names[i]) == 0)
			return i;
	return -1;
}

const char *logline_level_name(void)
{
	return level_names[atomic_load(&level_now)];
}

/* Control bytes and bytes that are not UTF-8 would let a stranger forge lines or drive a terminal. */
static size_t line_add_escaped(char *line, size_t size, const char *raw)
{
	size_t left = strlen(raw);
	const uint8_t *at = (const uint8_t *)raw;
	while (left > 0 && size + 6 < LINE_SIZE_MAX) {
		size_t length = text_utf8_size(at, left);
		if (length == 0 || *at < 0x20 || *at == 0x7f) {
			size += (size_t)snprintf(line + size, LINE_SIZE_MAX - size, "\\x%02x", *at);
			length = 1;
		} else {
			memcpy(line + size, at, length);
			size += length;
		}
		at += length;
		left -= length;
	}
	return size;
}

static void line_write(enum log_level level, const char *event, uint64_t repeated, const char *format, va_list arguments)
{
	char line[LINE_SIZE_MAX + 1], raw[LINE_SIZE_MAX];
	struct timespec now;
	struct tm broken;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &broken);
	size_t size = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &broken);
	size += (size_t)snprintf(line + size, sizeof line - size, ".%03uZ %s %s %.100s ", (unsigned)(now.tv_nsec / 1000000),
	    level_names[level], state.prefix, event);
	if (repeated)
		size += (size_t)snprintf(line + size, sizeof line - size, "repeated=%" PRIu64 " ", repeated);
	if (vsnprintf(raw, sizeof raw, format, arguments) > 0)
		size = line_add_escaped(line, size, raw);
	while (line[size - 1] == ' ')
		size--;
	line[size++] = '\n';
	ssize_t written;
	do
		written = write(STDERR_FILENO, line, size);
	while (written < 0 && errno == EINTR);
}

void logline(enum log_level level, const char *event, const char *format, ...)
{
	bool shown = (int)level >= atomic_load(&level_now);
	if (!shown && level != LOG_LEVEL_ERROR)
		return;
	va_list arguments;
	va_start(arguments, format);
	pthread_mutex_lock(&state.lock);
	if (level == LOG_LEVEL_ERROR && state.counters)
		counter_add(state.counters, COUNTER_errors, 1);
	if (shown)
		line_write(level, event, 0, format, arguments);
	pthread_mutex_unlock(&state.lock);
	va_end(arguments);
}

uint64_t logline_subject(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
	return hash;
}

/* The entry of (event, subject); a new one takes the place of the one not seen for longest. */
static struct distinct *distinct_find(uint64_t hash, uint64_t subject, bool *is_new)
{
	struct distinct *oldest = &state.distinct[0];
	*is_new = false;
	for (uint32_t i = 0; i < state.distinct_count; i++) {
		struct distinct *d = &state.distinct[i];
		if (d->event_hash == hash && d->subject == subject)
			return d;
		if (d->seen_ns < oldest->seen_ns)
			oldest = d;
	}
	if (state.distinct_count < DISTINCT_MAX)
		oldest = &state.distinct[state.distinct_count++];
	*oldest = (struct distinct){.event_hash = hash, .subject = subject};
	*is_new = true;
	return oldest;
}

void logline_distinct(enum log_level level, const char *event, uint64_t subject, const char *format, ...)
{
	uint64_t now_ns = clock_read().monotonic_ns;
	va_list arguments;
	va_start(arguments, format);
	pthread_mutex_lock(&state.lock);
	if (state.counters)
		counter_add(state.counters, COUNTER_errors, 1);
	bool is_new;
	struct distinct *d = distinct_find(logline_subject(event), subject, &is_new);
	d->seen_ns = now_ns;
	if ((int)level >= atomic_load(&level_now) && (is_new || now_ns - d->told_ns >= TELL_AGAIN_NS)) {
		line_write(level, event, d->untold, format, arguments);
		d->told_ns = now_ns;
		d->untold = 0;
	} else {
		d->untold++;
	}
	pthread_mutex_unlock(&state.lock);
	va_end(arguments);
}

void logline_last(const char *path, int64_t start, char *out, size_t size)
{
	static const char mark[] = "reason=\"";
	char text[2048];
	out[0] = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	off_t end = lseek(fd, 0, SEEK_END), from = end - (off_t)sizeof text + 1;
	ssize_t got = pread(fd, text, sizeof text - 1, from > start ? from : (off_t)start);
	close(fd);
	while (got > 0 && text[got - 1] == '\n')
		got--;
	if (got <= 0)
		return;
	text[got] = 0;
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	const char *reason = strstr(line, mark), *quote = reason ? strrchr(reason, '"') : NULL;
	if (reason)
		line = reason + sizeof mark - 1;
	size_t length = reason && quote > line ? (size_t)(quote - line) : strlen(line);
	snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), line);
}
