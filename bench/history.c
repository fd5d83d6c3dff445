/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/history.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "bench/values.h"

#define FLUSH_SIZE (256u * 1024)

struct history {
	FILE *file;
	char *path;
	pthread_mutex_t lock;
	struct text text;
	uint64_t lines;
	int failure; /* errno of the first failed write: a history with a hole must not be judged */
};

int history_open(struct history **out, const char *path, struct error_context *error)
{
	struct history *h = calloc(1, sizeof(*h));
	if (!h)
		return error_set(error, ERR_NO_MEMORY, "history");
	h->file = fopen(path, "we");
	if (!h->file) {
		free(h);
		return error_set(error, ERR_IO, "%s: %s", path, strerror(errno));
	}
	h->path = strdup(path);
	pthread_mutex_init(&h->lock, NULL);
	*out = h;
	return 0;
}

static void flush(struct history *h)
{
	if (h->text.size && fwrite(h->text.bytes, 1, h->text.size, h->file) != h->text.size && !h->failure)
		h->failure = errno;
	text_clear(&h->text);
}

static void add_value(struct text *text, const char *name, const void *value, size_t size)
{
	text_add(text, ",\"%s\":", name);
	if (value)
		text_add_json_string(text, value, size < VALUE_ID_SIZE ? size : VALUE_ID_SIZE);
	else
		text_add(text, "null");
}

void history_add(struct history *h, const struct history_line *line)
{
	pthread_mutex_lock(&h->lock);
	text_add(&h->text, "{\"client\":%u,\"op\":\"%s\"", line->client, line->op);
	if (!line->step_count) {
		text_add(&h->text, ",\"key\":\"%s\"", line->key);
		add_value(&h->text, "value", line->value, line->value_size);
	}
	for (uint32_t i = 0; i < line->step_count; i++) {
		const struct history_step *step = &line->steps[i];
		text_add(&h->text, "%s{\"op\":\"%s\",\"key\":\"%s\"", i ? "," : ",\"ops\":[", step->op, step->key);
		add_value(&h->text, "value", step->value, step->value_size);
		text_add(&h->text, i + 1 < line->step_count ? "}" : "}]");
	}
	if (strcmp(line->op, "cas") == 0) {
		add_value(&h->text, "expect", line->expect, line->expect_size);
		if (strcmp(line->outcome, "ok") == 0)
			text_add(&h->text, ",\"applied\":%s", line->applied ? "true" : "false");
	}
	text_add(&h->text, ",\"outcome\":\"%s\",\"session\":%u,\"region\":\"%s\",\"start_ns\":%llu,\"end_ns\":%llu}\n",
	    line->outcome, line->client, line->region, (unsigned long long)line->start_ns, (unsigned long long)line->end_ns);
	h->lines++;
	if (h->text.size >= FLUSH_SIZE)
		flush(h);
	pthread_mutex_unlock(&h->lock);
}

int history_close(struct history *h, uint64_t *lines, struct error_context *error)
{
	int rc = 0;
	flush(h);
	if (fclose(h->file) != 0 && !h->failure)
		h->failure = errno;
	*lines = h->lines;
	if (h->failure)
		rc = error_set(error, ERR_IO, "%s: %s", h->path ? h->path : "history", strerror(h->failure));
	text_deinit(&h->text);
	pthread_mutex_destroy(&h->lock);
	free(h->path);
	free(h);
	return rc;
}
