/* SPDX-License-Identifier: Apache-2.0 */
#include "link/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 3u

enum setting { SETTING_DELAY, SETTING_JITTER, SETTING_BANDWIDTH, SETTING_CUT, SETTING_HEAL };
static const struct {
	const char *name;
	enum setting setting;
	uint32_t words;
	uint32_t maximum;
	const char *usage;
} commands[] = {
    {"delay", SETTING_DELAY, 3, LINK_DELAY_MAX_MS, "delay A B MS"},
    {"jitter", SETTING_JITTER, 3, LINK_DELAY_MAX_MS, "jitter A B MS"},
    {"bandwidth", SETTING_BANDWIDTH, 3, LINK_BANDWIDTH_MAX_KIB, "bandwidth A B KIB (a second; 0: unlimited)"},
    {"cut", SETTING_CUT, 2, 0, "cut A B"},
    {"heal", SETTING_HEAL, 2, 0, "heal A B"},
};

static void link_json(struct proxy *proxy, const struct topology *topology, uint32_t from, uint32_t to, struct text *out)
{
	const struct link *link = proxy_link(proxy, from, to);
	uint32_t connections;
	uint64_t queued_bytes;
	proxy_link_usage(proxy, from, to, &connections, &queued_bytes);
	text_add(out, "{\"from\":");
	text_add_json_string(out, topology->regions[from].name, strlen(topology->regions[from].name));
	text_add(out, ",\"to\":");
	text_add_json_string(out, topology->regions[to].name, strlen(topology->regions[to].name));
	text_add(out,
	    ",\"delay_ms\":%u,\"jitter_ms\":%u,\"bandwidth_kib\":%u,\"cut\":%s,\"bytes\":%llu,\"connections\":%u,"
	    "\"queued_bytes\":%llu}",
	    link->settings.delay_ms, link->settings.jitter_ms, link->settings.bandwidth_kib,
	    link->settings.cut ? "true" : "false", (unsigned long long)link->bytes, connections,
	    (unsigned long long)queued_bytes);
}

static int list(struct proxy *proxy, const struct topology *topology, struct text *out)
{
	const char *separator = "";
	text_add(out, "[");
	for (uint32_t from = 0; from < topology->region_count; from++) {
		for (uint32_t to = 0; to < topology->region_count; to++) {
			if (from == to)
				continue;
			text_add(out, "%s", separator);
			separator = ",";
			link_json(proxy, topology, from, to, out);
		}
	}
	text_add(out, "]");
	return 0;
}

/* Words into bytes that the caller holds; returns how many there are, also when there are more than fit. */
static uint32_t split(char *text, char *words[static WORDS_MAX])
{
	uint32_t count = 0;
	char *rest = NULL;
	for (char *word = strtok_r(text, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		if (count < WORDS_MAX)
			words[count] = word;
		count++;
	}
	return count;
}

/* A mask of places in the topology. */
static int regions_parse(const struct topology *topology, const char *name, uint32_t *mask, struct error_context *error)
{
	*mask = 0;
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (strcmp(name, "*") == 0 || strcmp(name, topology->regions[i].name) == 0)
			*mask |= 1u << i;
	return *mask ? 0 : error_set(error, ERR_USAGE, "no region \"%s\" in the topology (\"*\" is any)", name);
}

static int number_parse(const char *text, uint32_t maximum, const char *usage, uint32_t *number, struct error_context *error)
{
	char *end = NULL;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || value > maximum)
		return error_set(error, ERR_USAGE, "\"%s\" is not a number from 0 to %u: %s", text, maximum, usage);
	*number = (uint32_t)value;
	return 0;
}

static void link_set(struct link_settings *settings, enum setting setting, uint32_t number)
{
	switch (setting) {
	case SETTING_DELAY:
		settings->delay_ms = number;
		break;
	case SETTING_JITTER:
		settings->jitter_ms = number;
		break;
	case SETTING_BANDWIDTH:
		settings->bandwidth_kib = number;
		break;
	case SETTING_CUT:
	case SETTING_HEAL:
		settings->cut = setting == SETTING_CUT;
		break;
	}
}

int control_command(struct proxy *proxy, const struct topology *topology, const char *command, const char *argument,
    struct text *out, struct error_context *error)
{
	if (strcmp(command, "list") == 0)
		return list(proxy, topology, out);
	size_t c = 0;
	while (c < sizeof(commands) / sizeof(commands[0]) && strcmp(commands[c].name, command) != 0)
		c++;
	if (c == sizeof(commands) / sizeof(commands[0]))
		return ERR_UNSUPPORTED;
	char buffer[512], *words[WORDS_MAX];
	if (!argument || strlen(argument) >= sizeof(buffer))
		return error_set(error, ERR_USAGE, "usage: %s", commands[c].usage);
	strcpy(buffer, argument);
	if (split(buffer, words) != commands[c].words)
		return error_set(error, ERR_USAGE, "usage: %s", commands[c].usage);
	uint32_t from_mask, to_mask, number = 0;
	int rc = regions_parse(topology, words[0], &from_mask, error);
	if (rc == 0)
		rc = regions_parse(topology, words[1], &to_mask, error);
	if (rc == 0 && commands[c].words == 3)
		rc = number_parse(words[2], commands[c].maximum, commands[c].usage, &number, error);
	if (rc != 0)
		return rc;
	if (from_mask == to_mask && (from_mask & (from_mask - 1)) == 0)
		return error_set(error, ERR_USAGE, "there is no link from %s to itself", words[0]);
	const char *separator = "";
	text_add(out, "[");
	for (uint32_t from = 0; from < topology->region_count; from++) {
		for (uint32_t to = 0; to < topology->region_count; to++) {
			if (from == to || !(from_mask & 1u << from) || !(to_mask & 1u << to))
				continue;
			link_set(&proxy_link(proxy, from, to)->settings, commands[c].setting, number);
			text_add(out, "%s", separator);
			separator = ",";
			link_json(proxy, topology, from, to, out);
		}
	}
	text_add(out, "]");
	proxy_changed(proxy);
	return 0;
}

void control_set_wan(struct proxy *proxy, const struct topology *topology)
{
	static const uint32_t round_trips_ms[3][3] = {{0, 75, 190}, {75, 0, 110}, {190, 110, 0}};
	for (uint32_t from = 0; from < topology->region_count; from++) {
		for (uint32_t to = 0; to < topology->region_count; to++) {
			if (from == to)
				continue;
			uint32_t round_trip_ms = from < 3 && to < 3 ? round_trips_ms[from][to] : 100;
			/* An odd millisecond goes to one direction, so that the sum is right. */
			proxy_link(proxy, from, to)->settings.delay_ms = (round_trip_ms + (from < to)) / 2;
		}
	}
	proxy_changed(proxy);
}
