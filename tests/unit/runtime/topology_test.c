/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "runtime/topology.h"
#include "runtime/topology_option.h"
#include "tests/unit/runtime/fixture.h"

/* The mistakes as "LINE: what", without the path; NULL when there is none. To be freed. */
static char *mistakes_of(struct topology *topology, const char *yaml)
{
	char directory[128], path[256], *lines = NULL, *out;
	size_t size = 0;
	struct error_context error = {0};
	scratch_make(directory);
	file_write(directory, "t.yaml", yaml, path);
	FILE *stream = open_memstream(&lines, &size);
	int code = topology_load(topology, path, stream, &error);
	fclose(stream);
	scratch_remove(directory);
	cr_assert_eq(code, size ? ERR_CONFIGURATION : 0);
	out = code ? calloc(1, size + 1) : NULL;
	for (char *line = strtok(lines, "\n"); line; line = strtok(NULL, "\n")) {
		cr_assert_eq(strncmp(line, path, strlen(path)), 0, "%s", line);
		strcat(strcat(out, line + strlen(path) + 1), "\n");
	}
	free(lines);
	return out;
}

static void expect_mistakes(const char *yaml, const char *expected)
{
	static struct topology topology;
	char *found = mistakes_of(&topology, yaml);
	cr_expect_not_null(found, "accepted, instead of %s", expected);
	if (found)
		cr_expect_str_eq(found, expected);
	free(found);
}

static void load(struct topology *topology, const char *yaml)
{
	char *found = mistakes_of(topology, yaml);
	cr_assert_null(found, "%s", found);
}

#define REGION_0 "  - { name: east, id: 0, nodes: [\"127.0.0.1:7400\"] }\n"

Test(topology, built_in)
{
	struct topology t;
	struct error_context error = {0};
	cr_assert_eq(topology_load(&t, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_str_eq(t.cluster, "demo");
	cr_assert_eq(t.region_count, 3);
	cr_assert_str_eq(t.regions[2].name, "ap-south-1");
	cr_assert_str_eq(t.regions[2].host, "127.0.0.1");
	cr_assert_eq(t.regions[2].port, 7420);
	cr_assert(t.regions[0].is_primary && !t.regions[1].is_primary);
	cr_assert_eq(t.priority_by_id[1], 50);
	cr_assert_eq(t.keyspace_count, 2);
	cr_assert_str_eq(t.keyspaces[0].name, "default");
	cr_assert_eq(t.keyspaces[1].level, LEVEL_STRONG);
	cr_assert(t.compression);
	cr_assert_eq(t.max_lag_ms, 5000);
	cr_assert_eq(t.max_clock_drift_ms, 500);
	cr_assert_eq(t.log_disk_mib, 4096);
}

Test(topology, look_ups_and_endpoints)
{
	struct topology t;
	char endpoint[128];
	load(&t, "cluster: c\nregions:\n"
	         "  - { name: east, id: 4, nodes: [\"h1.example:7400\"] }\n"
	         "  - { name: west, id: 1, nodes: [\"[::1]:7400\"] }\n"
	         "keyspaces:\n  - { name: orders, level: strong }\n  - { name: default, level: causal, strategy: fww }\n");
	cr_assert_eq(topology_region_index(&t, 1), 1);
	cr_assert_eq(topology_region_index(&t, 2), -1);
	cr_assert_null(topology_region(&t, "south"));
	cr_assert_eq(topology_region(&t, "east"), &t.regions[0]);
	cr_assert_eq(topology_keyspace(&t, ""), 0);
	cr_assert_eq(topology_keyspace(&t, "default"), 0);
	cr_assert_eq(topology_keyspace(&t, "orders"), 1);
	cr_assert_eq(topology_keyspace(&t, "nil"), -1);
	cr_assert_eq(t.keyspaces[0].level, LEVEL_CAUSAL);
	cr_assert_eq(t.keyspaces[0].strategy, STRATEGY_FWW);
	cr_assert_eq(t.keyspaces[1].acknowledge, ACKNOWLEDGE_QUORUM);
	topology_endpoint(&t, 4, 1, 2, 0, endpoint);
	cr_assert_str_eq(endpoint, "tcp://[::1]:7402");
	topology_endpoint(&t, 1, 4, 1, 0, endpoint);
	cr_assert_str_eq(endpoint, "tcp://h1.example:7401");
	topology_endpoint(&t, 4, 1, 2, 9000, endpoint); /* pair (0, 1) of 2 regions, 5 services */
	cr_assert_str_eq(endpoint, "tcp://127.0.0.1:9007");
	cr_assert_eq(link_port(&t, 1, 4, 0, 9000), 9010);
}

Test(topology, every_mistake_at_once_with_its_line)
{
	expect_mistakes("cluster: My Cluster\n"                                                               /* 1 */
	                "regions:\n"                                                                          /* 2 */
	                "  - { name: east, id: 0, nodes: [\"127.0.0.1:7400\"], is_primary: true }\n"          /* 3 */
	                "  - { name: West, id: 16, nodes: [\"127.0.0.1:7404\"] }\n"                           /* 4 */
	                "  - name: east\n"                                                                    /* 5 */
	                "    id: 0\n"                                                                         /* 6 */
	                "    nodes:\n"                                                                        /* 7 */
	                "      - localhost:7396\n"                                                            /* 8 */
	                "    is_primary: true\n"                                                              /* 9 */
	                "    priority: high\n"                                                                /* 10 */
	                "    colour: red\n"                                                                   /* 11 */
	                "  - { id: 5, nodes: [\"a:7400\", \"b:7400\"] }\n"                                    /* 12 */
	                "  - { name: south, nodes: [\"nowhere\"], is_primary: maybe }\n"                      /* 13 */
	                "  - { name: north, id: 6, nodes: [\"host:65532\"] }\n"                               /* 14 */
	                "replication: { mode: passive, compression: zip, encryption: none, max_lag_ms: 0 }\n" /* 15 */
	                "limits: { log_disk_mib: -1 }\n"                                                      /* 16 */
	                "keyspaces:\n"                                                                        /* 17 */
	                "  - { name: a, level: total, strategy: last, ack: some }\n"                          /* 18 */
	                "  - { name: b, level: strong, ack: one }\n"                                          /* 19 */
	                "  - { name: a }\n"                                                                   /* 20 */
	                "  - { level: eventual }\n",                                                          /* 21 */
	    "1: topology: 'My Cluster' is no name (a-z, 0-9 and -, at most 40)\n"
	    "4: region: 'West' is no name (a-z, 0-9 and -, at most 40)\n"
	    "4: id: '16' is not a number from 0 to 15\n"
	    "4: nodes: ports 7404 to 7408 overlap those of the region on line 3 (a node takes 5 ports)\n"
	    "5: region: the name east is given twice (first on line 3)\n"
	    "6: region: the id 0 is given twice (first on line 3)\n"
	    "8: nodes: ports 7396 to 7400 overlap those of the region on line 3 (a node takes 5 ports)\n"
	    "9: region: a second primary (the first is on line 3)\n"
	    "10: priority: 'high' is not a number from 0 to 1000000\n"
	    "11: regions: unknown key 'colour'\n"
	    "12: region: name is missing\n"
	    "12: nodes: 2 given; one node a region for now\n"
	    "13: region: id is missing\n"
	    "13: nodes: 'nowhere' is not host:port\n"
	    "13: is_primary: 'maybe' is none of false, true\n"
	    "14: nodes: '65532' is not a number from 1 to 65531\n"
	    "15: mode: 'passive' is none of active_active\n"
	    "15: compression: 'zip' is none of none, lz4\n"
	    "15: encryption: 'none' is none of curve\n"
	    "15: max_lag_ms: '0' is not a number from 1 to 86400000\n"
	    "16: log_disk_mib: '-1' is not a number from 192 to 1073741824\n"
	    "18: level: 'total' is none of eventual, session, causal, strong\n"
	    "18: strategy: 'last' is none of lww, fww, priority\n"
	    "18: ack: 'some' is none of one, quorum, all\n"
	    "19: ack: one cannot be strong; a strong keyspace needs quorum or all\n"
	    "20: keyspace: the name a is given twice (first on line 18)\n"
	    "21: keyspace: name is missing\n");
}

Test(topology, shapes)
{
	expect_mistakes("", "1: the file is empty\n");
	expect_mistakes("regions: []\n", "1: topology: cluster is missing\n1: regions: at least one is needed\n");
	expect_mistakes("cluster: c\nregions:\n  name: east\n", "3: regions: must be a list\n");
	expect_mistakes("cluster: [c]\nregion: {}\nregions: 7\n",
	    "1: cluster: must be one value\n2: topology: unknown key 'region'\n3: regions: must be a list\n");
	expect_mistakes(
	    "cluster: a\ncluster: b\nregions:\n" REGION_0, "2: topology: 'cluster' is given twice (first on line 1)\n");
	expect_mistakes("cluster: &a b\nregions: *a\n", "1: anchors and aliases are not supported\n");
	expect_mistakes("- 1\n", "1: topology: must be a mapping of keys to values\n");
	expect_mistakes("cluster: \"a\n", "2: not YAML: found unexpected end of stream, while scanning a quoted scalar\n");
	expect_mistakes("cluster: c\nregions:\n" REGION_0 "limits:\n", "4: limits: must be a mapping of keys to values\n");
}

#define MARK "\xef\xbb\xbf" /* of UTF-8 */

Test(topology, E13c_a_second_document_is_refused_with_its_line)
{
	struct topology t;
	expect_mistakes("cluster: c\nregions:\n" REGION_0 "---\nkeyspaces:\n  - { name: orders, level: strong }\n",
	    "4: a second document begins here; a topology is one document\n");
	expect_mistakes("---\ncluster: c\nregions:\n" REGION_0 "...\n# more\n---\n",
	    "7: a second document begins here; a topology is one document\n");
	expect_mistakes("cluster: C\nregions:\n" REGION_0 "---\n- a\n",
	    "1: topology: 'C' is no name (a-z, 0-9 and -, at most 40)\n"
	    "4: a second document begins here; a topology is one document\n");
	expect_mistakes("cluster: c\nregions:\n" REGION_0 "--- \"a\n",
	    "5: not YAML: found unexpected end of stream, while scanning a quoted scalar\n");
	load(&t, "---\ncluster: c\nregions:\n" REGION_0 "...\n# the end\n");
	load(&t, MARK "cluster: c\r\nregions:\r\n" REGION_0);
	cr_assert_str_eq(t.cluster, "c");
}

Test(topology, G19_bind)
{
	struct topology t;
#define AT(bind) "cluster: c\nregions:\n  - { name: us, id: 0, nodes: [\"us.example:7400\"], bind: \"" bind "\" }\n"
	load(&t, AT("10.0.0.5"));
	cr_assert_str_eq(t.regions[0].bind, "10.0.0.5");
	cr_assert_str_eq(t.regions[0].host, "us.example");
	load(&t, AT("*"));
	load(&t, AT("[fd00::5]"));
	expect_mistakes(AT("10.0.0.5:7400"), "3: bind: '10.0.0.5:7400' is not an address or a name of a host\n");
	expect_mistakes(AT("a b"), "3: bind: 'a b' is not an address or a name of a host\n");
	expect_mistakes(AT(""), "3: bind: '' is not an address or a name of a host\n");
	expect_mistakes(AT("fd00::5"), "3: bind: 'fd00::5' is not an address or a name of a host\n");
	expect_mistakes(AT("0123456789012345678901234567890123456789012345678901234567890123456789"),
	    "3: bind: '012345678901234567890123456789012345678901234567890123456789' is not an address or a name of a host\n");
#undef AT
}

Test(topology, too_many)
{
	struct text yaml = {0};
	text_add(&yaml, "cluster: c\nregions:\n");
	for (int i = 0; i < 17; i++)
		text_add(&yaml, "  - { name: r%d, id: %d, nodes: [\"h%d:7400\"] }\n", i, i % 16, i);
	expect_mistakes(yaml.bytes, "19: regions: 17 given, at most 16 are possible\n");
	text_clear(&yaml);
	text_add(&yaml, "cluster: c\nregions:\n" REGION_0 "keyspaces:\n");
	for (int i = 0; i < 64; i++)
		text_add(&yaml, "  - { name: k%d }\n", i);
	expect_mistakes(yaml.bytes, "68: keyspaces: more than 64\n");
	text_deinit(&yaml);
}

Test(topology, a_file_that_is_not_there)
{
	struct topology t;
	struct error_context error = {0};
	cr_assert_eq(topology_load(&t, "/nonexistent/t.yaml", NULL, &error), ERR_CONFIGURATION);
	cr_assert_str_eq(error.text, "/nonexistent/t.yaml: No such file or directory");
}

Test(topology, fingerprint)
{
#define EAST "  - { name: east, id: 0, nodes: [\"a:1\"], priority: %s }\n"
	struct topology a, b;
	load(&a, "cluster: c\nregions:\n  - { name: e, id: 0, nodes: [\"a:1\"] }\n  - { name: w, id: 1, nodes: [\"b:1\"] }\n");
	/* Order in the file, addresses and limits are each machine's own affair. */
	load(&b, "cluster: c\nregions:\n  - { name: w, id: 1, nodes: [\"z:9\"] }\n  - { name: e, id: 0, nodes: [\"y:9\"], "
	         "priority: 3 }\n"
	         "limits: { max_clock_drift_ms: 7 }\n");
	cr_assert_eq(topology_fingerprint(&a), topology_fingerprint(&b));
	load(&b, "cluster: d\nregions:\n  - { name: e, id: 0, nodes: [\"a:1\"] }\n  - { name: w, id: 1, nodes: [\"b:1\"] }\n");
	cr_assert_neq(topology_fingerprint(&a), topology_fingerprint(&b));
	load(&b, "cluster: c\nregions:\n  - { name: e, id: 1, nodes: [\"a:1\"] }\n  - { name: w, id: 0, nodes: [\"b:1\"] }\n");
	cr_assert_neq(topology_fingerprint(&a), topology_fingerprint(&b));
	b = a;
	b.keyspaces[0].strategy = STRATEGY_PRIORITY;
	uint64_t by_priority = topology_fingerprint(&b);
	cr_assert_neq(topology_fingerprint(&a), by_priority);
	b.regions[0].priority = 9;
	cr_assert_neq(topology_fingerprint(&b), by_priority);
}

Test(topology, G20_a_difference_is_named_the_worst_first)
{
	static const char here[] =
	    "cluster c\nkeyspace 1 a strong lww all\nkeyspace 12 b eventual lww one\nregion 1 e 0\nencryption curve\n";
#define REST "region 1 e 0\nencryption curve"
#define A    "keyspace 1 a strong lww all\n"
#define B    "keyspace 12 b eventual lww one\n"
	static const struct {
		const char *there;
		enum topology_agrees worst;
		uint64_t same, other;
		const char *what;
	} cases[] = {{here, TOPOLOGY_SAME, 1u << 1 | 1u << 12, 0, ""},
	    {"encryption curve\nregion 1 e 0\n" B A "cluster c\n", TOPOLOGY_SAME, 1u << 1 | 1u << 12, 0, ""},
	    {"cluster c\nnews of 2030\n" A B REST, TOPOLOGY_ROLLS, 1u << 1 | 1u << 12, 0, "there is no 'news of 2030' here"},
	    {"cluster c\nkeyspace 1 a strong fww quorum\n" B REST, TOPOLOGY_ROLLS, 1u << 1 | 1u << 12, 0,
	        "here 'keyspace 1 a strong lww all', there 'keyspace 1 a strong fww quorum'"},
	    {"cluster c\n" A "keyspace 12 b causal priority all\nregion 1 e 7\nencryption curve", TOPOLOGY_ROLLS,
	        1u << 1 | 1u << 12, 0, "here 'keyspace 12 b eventual lww one', there 'keyspace 12 b causal priority all'"},
	    {"cluster c\nkeyspace 1 a eventual lww all\n" B REST, TOPOLOGY_HOLDS, 1u << 12, 1u << 1,
	        "here 'keyspace 1 a strong lww all', there 'keyspace 1 a eventual lww all'"},
	    {"cluster c\n" A "keyspace 12 b strong lww all\n" REST, TOPOLOGY_HOLDS, 1u << 1, 1u << 12,
	        "here 'keyspace 12 b eventual lww one', there 'keyspace 12 b strong lww all'"},
	    {"cluster c\n" A "keyspace 12 bb eventual lww one\n" REST, TOPOLOGY_HOLDS, 1u << 1, 1u << 12,
	        "here 'keyspace 12 b eventual lww one', there 'keyspace 12 bb eventual lww one'"},
	    {"cluster c\n" A "keyspace 13 b eventual lww one\n" REST, TOPOLOGY_HOLDS, 1u << 1, 3u << 12,
	        "there is no 'keyspace 12 b eventual lww one' there"},
	    {"cluster c\n" A B "keyspace 2 n eventual lww one\n" REST, TOPOLOGY_HOLDS, 1u << 1 | 1u << 12, 1u << 2,
	        "there is no 'keyspace 2 n eventual lww one' here"},
	    /* Ids that are none are nobody's. */
	    {"cluster c\n" A B "keyspace 64 n eventual lww one\nkeyspace x\nkeyspace 3\nkeyspace\n" REST, TOPOLOGY_ROLLS,
	        1u << 1 | 1u << 12, 0, "there is no 'keyspace 64 n eventual lww one' here"},
	    {"cluster d\nkeyspace 1 a eventual lww one\n" B REST, TOPOLOGY_APART, 1u << 12, 1u << 1,
	        "here 'cluster c', there 'cluster d'"},
	    {"cluster c\n" B "region 1 f 0\nencryption curve", TOPOLOGY_APART, 1u << 12, 1u << 1,
	        "here 'region 1 e 0', there 'region 1 f 0'"},
	    {"cluster c\n" A B REST "\nregion 2 w 0", TOPOLOGY_APART, 1u << 1 | 1u << 12, 0, "there is no 'region 2 w 0' here"},
	    {"cluster c\n" A B "encryption curve", TOPOLOGY_APART, 1u << 1 | 1u << 12, 0, "there is no 'region 1 e 0' there"},
	    {"cluster c\n" A B "region 1 e 0\nencryption none", TOPOLOGY_APART, 1u << 1 | 1u << 12, 0,
	        "here 'encryption curve', there 'encryption none'"},
	    {"", TOPOLOGY_APART, 0, 1u << 1 | 1u << 12, "there is no 'cluster c' there"},
	    {"\n \n", TOPOLOGY_APART, 0, 1u << 1 | 1u << 12, "there is no 'cluster c' there"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct topology_agreement agreement;
		topology_agree(here, cases[i].there, &agreement);
		cr_expect_eq(agreement.worst, cases[i].worst, "%zu", i);
		cr_expect_eq(agreement.same, cases[i].same, "%zu", i);
		cr_expect_eq(agreement.other, cases[i].other, "%zu", i);
		cr_expect_str_eq(agreement.what, cases[i].what, "%zu", i);
	}
}

/* Every field of a topology, changed in one region: what it does to the others (docs/operating.md has this table). */
Test(topology, G20_each_field_rolls_holds_or_cuts)
{
#define REGIONS(bind, primary, priority, port)                                                                                 \
	"regions:\n  - { name: e, id: 0, datacenter: D, nodes: [\"a:" port "\"], " bind "is_primary: " primary                 \
	", priority: " priority " }\n  - { name: w, id: 1, nodes: [\"b:1\"] }\n"
#define COMMON "cluster: c\n" REGIONS("", "true", "5", "1")
#define SPACES                                                                                                                 \
	"keyspaces:\n  - { name: s, id: 1, level: strong }\n  - { name: p, id: 2, level: eventual, strategy: priority }\n"
	static const struct {
		const char *yaml;
		enum topology_agrees worst;
		uint64_t other;
	} cases[] = {{COMMON SPACES, TOPOLOGY_SAME, 0},
	    {"cluster: d\n" REGIONS("", "true", "5", "1") SPACES, TOPOLOGY_APART, 0},
	    {"cluster: c\nregions:\n  - { name: e, id: 0, nodes: [\"a:1\"], priority: 5 }\n" SPACES, TOPOLOGY_APART, 0},
	    {"cluster: c\nregions:\n  - { name: e, id: 1, nodes: [\"a:1\"], priority: 5 }\n  - { name: w, id: 0, nodes: "
	     "[\"b:1\"] }\n" SPACES,
	        TOPOLOGY_APART, 0},
	    {"cluster: c\nregions:\n  - { name: n, id: 0, nodes: [\"a:1\"], priority: 5 }\n  - { name: w, id: 1, nodes: "
	     "[\"b:1\"] }\n" SPACES,
	        TOPOLOGY_APART, 0},
	    {"cluster: c\n" REGIONS("bind: \"1.2.3.4\", ", "true", "5", "1") SPACES, TOPOLOGY_SAME, 0},
	    {"cluster: c\n" REGIONS("", "false", "5", "1") SPACES, TOPOLOGY_SAME, 0},
	    {"cluster: c\n" REGIONS("", "true", "6", "1") SPACES, TOPOLOGY_ROLLS, 0},
	    {"cluster: c\n" REGIONS("", "true", "5", "9") SPACES, TOPOLOGY_SAME, 0},
	    {COMMON SPACES "replication: { compression: none, max_lag_ms: 9, drain_factor: 3 }\n", TOPOLOGY_SAME, 0},
	    {COMMON SPACES "limits: { cross_region_timeout_ms: 9, max_clock_drift_ms: 9, log_disk_mib: 999 }\n", TOPOLOGY_SAME,
	        0},
	    {COMMON SPACES "  - { name: new, level: eventual }\n", TOPOLOGY_HOLDS, 8},
	    {COMMON "keyspaces:\n  - { name: s, id: 1, level: strong }\n", TOPOLOGY_HOLDS, 4},
	    {COMMON "keyspaces:\n  - { name: s, id: 1, level: strong, ack: all }\n  - { name: p, id: 2, level: eventual, "
	            "strategy: priority }\n",
	        TOPOLOGY_ROLLS, 0},
	    {COMMON
	        "keyspaces:\n  - { name: s, id: 1, level: strong }\n  - { name: p, id: 2, level: eventual, strategy: lww }\n",
	        TOPOLOGY_ROLLS, 0},
	    {COMMON "keyspaces:\n  - { name: s, id: 1, level: strong }\n  - { name: p, id: 2, level: session, strategy: "
	            "priority }\n",
	        TOPOLOGY_ROLLS, 0},
	    {COMMON "keyspaces:\n  - { name: s, id: 1, level: eventual }\n  - { name: p, id: 2, level: eventual, strategy: "
	            "priority }\n",
	        TOPOLOGY_HOLDS, 2},
	    {COMMON "keyspaces:\n  - { name: s, id: 1, level: strong }\n  - { name: p, id: 2, level: strong, strategy: "
	            "priority }\n",
	        TOPOLOGY_HOLDS, 4},
	    {COMMON "keyspaces:\n  - { name: s, id: 2, level: strong }\n  - { name: p, id: 1, level: eventual, strategy: "
	            "priority }\n",
	        TOPOLOGY_HOLDS, 6},
	    {COMMON "keyspaces:\n  - { name: s, id: 1, level: strong }\n  - { name: q, id: 2, level: eventual, strategy: "
	            "priority }\n",
	        TOPOLOGY_HOLDS, 4}};
	struct topology a, b;
	load(&a, COMMON SPACES);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct text here = {0}, there = {0};
		struct topology_agreement ab, ba;
		load(&b, cases[i].yaml);
		topology_definition(&a, &here);
		topology_definition(&b, &there);
		topology_agree(here.bytes, there.bytes, &ab);
		topology_agree(there.bytes, here.bytes, &ba);
		cr_expect_eq(ab.worst, cases[i].worst, "%zu: %s", i, ab.what);
		cr_expect_eq(ab.other, cases[i].other, "%zu", i);
		/* Both sides see the same. */
		cr_expect(ba.worst == ab.worst && ba.same == ab.same && ba.other == ab.other, "%zu", i);
		cr_expect_eq(
		    topology_base_fingerprint(&a) == topology_base_fingerprint(&b), ab.worst < TOPOLOGY_APART, "%zu", i);
		cr_expect_eq(topology_fingerprint(&a) == topology_fingerprint(&b), ab.worst == TOPOLOGY_SAME, "%zu", i);
		text_deinit(&here);
		text_deinit(&there);
	}
}

/* The largest there is has to fit into a subscription, and its difference into a line. */
Test(topology, G20_the_largest_definition_fits)
{
	static struct topology t;
	struct text text = {0}, other = {0};
	struct topology_agreement agreement;
	strcpy(t.cluster, "c");
	memset(t.cluster, 'c', sizeof t.cluster - 1);
	t.keyspace_count = KEYSPACES_MAX;
	t.region_count = REGIONS_MAX;
	for (uint32_t i = 0; i < KEYSPACES_MAX; i++) {
		memset(t.keyspaces[i].name, 'k', sizeof t.keyspaces[i].name - 1);
		t.keyspaces[i].level = LEVEL_EVENTUAL;
		t.keyspaces[i].strategy = STRATEGY_PRIORITY;
	}
	for (uint8_t i = 0; i < REGIONS_MAX; i++) {
		memset(t.regions[i].name, 'r', sizeof t.regions[i].name - 1);
		t.regions[i].id = i;
		t.regions[i].priority = UINT32_MAX;
	}
	topology_definition(&t, &text);
	cr_assert_gt(text.size, 4000);
	cr_assert_leq(text.size, TOPOLOGY_DEFINITION_MAX);
	t.keyspaces[KEYSPACES_MAX - 1].strategy = STRATEGY_LWW;
	topology_definition(&t, &other);
	topology_agree(text.bytes, other.bytes, &agreement);
	cr_assert(strstr(agreement.what, "here 'keyspace 63 ") && strstr(agreement.what, "there 'keyspace 63 "));
	text_deinit(&text);
	text_deinit(&other);
}

#define REFUSED INT64_MIN
/* A topology of one region and one keyspace in which the option has this text (NULL: is not given): its value; REFUSED. */
static int64_t given(const struct topology_option *o, const char *text)
{
	char own[SECTIONS][96] = {{0}}, yaml[1024];
	struct topology t;
	if (text)
		snprintf(own[o->section], sizeof own[0], "%s: %s", o->key, text);
	/* A strong keyspace would need more than one disk, and a primary is one of two. */
	snprintf(yaml, sizeof yaml,
	    "cluster: c\nregions:\n  - { name: e, id: 3, nodes: [\"a:1\"], %s }\nreplication: { %s }\nlimits: { %s }\n"
	    "keyspaces:\n  - { name: k, id: 7, %s%s }\n",
	    own[SECTION_REGION], own[SECTION_REPLICATION], own[SECTION_LIMITS], own[SECTION_KEYSPACE],
	    text && strcmp(text, "strong") == 0 ? ", ack: all" : "");
	char *mistakes = mistakes_of(&t, yaml);
	free(mistakes);
	if (mistakes)
		return REFUSED;
	const void *base = o->section == SECTION_REGION     ? (const void *)&t.regions[0]
	                   : o->section == SECTION_KEYSPACE ? (const void *)&t.keyspaces[7]
	                                                    : (const void *)&t;
	return topology_option_get(o, base);
}

/* Each value that a row takes is read, stands in the struct, is printed, and those next to its limits are refused. */
Test(topology, each_option_does_what_its_row_says)
{
	for (uint32_t i = 0; i < topology_option_count; i++) {
		const struct topology_option *o = &topology_options[i];
		for (uint32_t value = 0; o->type == TOPOLOGY_WORD && o->words[value]; value++)
			cr_assert_eq(given(o, o->words[value]), value, "%s: %s", o->key, o->words[value]);
		if (o->type == TOPOLOGY_WORD)
			cr_assert_eq(given(o, "no-such"), REFUSED, "%s", o->key);
		if (o->type != TOPOLOGY_NUMBER)
			continue;
		char text[32];
		for (int64_t n = -1; n <= 1; n++) {
			int64_t low = (int64_t)o->low + n, high = (int64_t)o->high + n;
			snprintf(text, sizeof text, "%lld", (long long)low);
			cr_assert_eq(given(o, text), n < 0 ? REFUSED : low, "%s: %s", o->key, text);
			snprintf(text, sizeof text, "%lld", (long long)high);
			cr_assert_eq(given(o, text), n > 0 ? REFUSED : high, "%s: %s", o->key, text);
		}
		cr_assert_eq(given(o, NULL), o->otherwise, "%s", o->key);
	}
}

Test(topology, the_page_has_the_table_of_the_options)
{
	char *table = NULL;
	size_t size;
	static char page[65536];
	FILE *out = open_memstream(&table, &size), *in = fopen(TOPOLOGY_PAGE, "re");
	topology_options_print(out);
	fclose(out);
	cr_assert(in && fread(page, 1, sizeof page - 1, in) > 0);
	fclose(in);
	cr_assert(strstr(page, table), "docs/topology.md needs the table that `godwit help topology` prints");
	free(table);
}

Test(topology, what_is_printed_can_be_read_again)
{
	struct topology a, b;
	char *printed = NULL;
	size_t size;
	load(&a, "cluster: c\nregions:\n  - { name: e, id: 3, datacenter: \"a \\\"b\\\" \xc3\xa9\", nodes: [\"a:1\"], "
	         "bind: \"[::]\", priority: 8 }\n"
	         "replication: { compression: none, drain_factor: 3 }\n"
	         "keyspaces:\n  - { name: k, level: causal, strategy: priority, ack: all }\n");
	FILE *out = open_memstream(&printed, &size);
	topology_print(&a, out);
	fclose(out);
	load(&b, printed);
	cr_assert_eq(memcmp(&a, &b, sizeof a), 0, "%s", printed);
	free(printed);
}
