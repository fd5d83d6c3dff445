/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines: time, level, region, actor, event, key=value ..., to standard error, one write each (at most 1 KiB).
 *   2026-11-23T15:00:00.123Z warn eu-west-1/streamer peer_refused peer=2 code=WRONG_VERSION reason="..."
 * Only the event and numbers are fixed text; everything from outside is escaped. */
#ifndef GODWIT_RUNTIME_LOGLINE_H
#define GODWIT_RUNTIME_LOGLINE_H
#include <stddef.h>
#include <stdint.h>

struct counter_block;
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
void logline_init(const char *region, const char *actor, struct counter_block *counters);
void logline_set_level(enum log_level level);
int logline_parse_level(const char *text); /* -1 */
const char *logline_level_name(void);
/* event: a fixed word; format: "key=%s key=%u". */
void logline(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, once for each distinct (event, subject): repeats are counted, and told at most once a minute with their count.
 * At most 256 distinct ones are kept, the oldest forgotten. Counts in COUNTER_errors. */
void logline_distinct(enum log_level level, const char *event, uint64_t subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A subject for logline_distinct: of the whole text, since names differ at their ends. */
uint64_t logline_subject(const char *text);

/* For whoever started a program that ended: the last line of the file at `path` behind byte `start`, or, when it is a log line
 * with a reason, that alone. Empty if there is none. */
void logline_last(const char *path, int64_t start, char *out, size_t size);

#endif
