/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/waiting.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_NS 1500000000ull
#define EVERY_NS 2000000000ull

bool waiting_is_due(struct waiting *waiting, uint64_t now_ns)
{
	uint64_t due_ns = waiting->told_ns ? waiting->told_ns + EVERY_NS : waiting->started_ns + FIRST_NS;
	if (now_ns < due_ns)
		return false;
	waiting->told_ns = now_ns;
	return true;
}

static void add(char *out, const char *format, ...)
{
	size_t used = strlen(out);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(out + used, BEHIND_TEXT_MAX - used, format, arguments);
	va_end(arguments);
}

void behind_write(const struct topology *topology, uint32_t known, const struct vector applied[static REGIONS_MAX],
    char out[static BEHIND_TEXT_MAX])
{
	struct vector all = {{0}};
	out[0] = 0;
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (known & 1u << i)
			vector_join(&all, &applied[i]);
	for (uint32_t i = 0; i < topology->region_count; i++) {
		bool is_named = false;
		for (uint32_t id = 0; known & 1u << i && id < REGIONS_MAX; id++) {
			const struct region *origin = topology_region_by_id(topology, id);
			if (all.sequence[id] <= applied[i].sequence[id])
				continue;
			if (!is_named)
				add(out, "%s%s lacks ", out[0] ? "; " : "", topology->regions[i].name);
			add(out, "%s%llu%s of %s", is_named ? " and " : "",
			    (unsigned long long)(all.sequence[id] - applied[i].sequence[id]), is_named ? "" : " writes",
			    origin ? origin->name : "?");
			is_named = true;
		}
	}
}
