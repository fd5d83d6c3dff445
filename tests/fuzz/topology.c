/* SPDX-License-Identifier: Apache-2.0
 *
 * The topology's YAML: either a mistake is told, or what is printed of it reads back as the same. */
#include "runtime/topology.h"
#include "base/text.h"
#include "cmd/godwit/json.h"
#include "runtime/topology_file.h"
#include "tests/fuzz/fuzz.h"

static bool parse(struct topology *topology, const char *bytes, size_t size)
{
	static struct mistakes mistakes;
	mistakes.count = 0;
	memset(topology, 0, sizeof *topology);
	struct topology_file *file = topology_file_parse(bytes, size, &mistakes);
	CHECK(file || mistakes.count);
	if (file)
		topology_check(topology, file, &mistakes);
	topology_file_free(file);
	for (uint32_t i = 0; i < mistakes.count && i < MISTAKES_MAX; i++)
		CHECK(mistakes.list[i].line > 0 && memchr(mistakes.list[i].text, 0, sizeof mistakes.list[i].text));
	return mistakes.count == 0;
}

static void check_ports(const struct topology *topology)
{
	char endpoint[128];
	for (uint32_t i = 0; i < topology->region_count; i++) {
		CHECK(topology_region(topology, topology->regions[i].name) == &topology->regions[i]);
		topology_endpoint(topology, topology->regions[0].id, topology->regions[i].id, 4, 0, endpoint);
	}
	for (uint32_t i = 0; i < topology->keyspace_count; i++)
		CHECK(topology_keyspace(topology, topology->keyspaces[i].name) == (int)i);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct topology topology, again;
	if (!parse(&topology, (const char *)bytes, size))
		return 0;
	check_ports(&topology);
	char *printed = NULL;
	size_t printed_size;
	FILE *out = open_memstream(&printed, &printed_size);
	CHECK(out);
	topology_print(&topology, out);
	fclose(out);
	CHECK(parse(&again, printed, printed_size));
	CHECK(topology_fingerprint(&again) == topology_fingerprint(&topology) && memcmp(&again, &topology, sizeof again) == 0);
	free(printed);
	struct text json = {0};
	struct json_reader reader;
	static struct json_member member;
	topology_json(&topology, &json);
	json_reader_init(&reader, json.bytes, json.size);
	while (json_next(&reader, &member))
		;
	CHECK(reader.mistake == NULL);
	text_deinit(&json);
	return 0;
}
