/* SPDX-License-Identifier: Apache-2.0
 *
 * B1: rows stay in the keyspace they were written to, whatever becomes of the lines of the topology file. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/keyspaces.h"
#include "tests/unit/runtime/fixture.h"

static char directory[128];
static struct topology t;
static struct error_context error;

static void make(void)
{
	scratch_make(directory);
}
static void clean(void)
{
	scratch_remove(directory);
}
TestSuite(keyspaces, .init = make, .fini = clean);

static void load(const char *keyspaces)
{
	char yaml[8192], path[256];
	snprintf(yaml, sizeof yaml, "cluster: c\nregions:\n  - { name: east, id: 0, nodes: [\"127.0.0.1:7400\"] }\n%s%s",
	    *keyspaces ? "keyspaces:\n" : "", keyspaces);
	file_write(directory, "t.yaml", yaml, path);
	error = (struct error_context){0};
	cr_assert_eq(topology_load(&t, path, stderr, &error), 0, "%s", error.text);
}

static int resolve(const char *keyspaces)
{
	load(keyspaces);
	return keyspaces_resolve(&t, directory, true, &error);
}

static void catalog_is(const char *lines)
{
	char path[256], text[4096] = "";
	snprintf(path, sizeof path, "%s/keyspaces", directory);
	FILE *in = fopen(path, "re");
	cr_assert_not_null(in);
	text[fread(text, 1, sizeof text - 1, in)] = 0;
	fclose(in);
	char *end = strstr(text, "checksum");
	cr_assert_not_null(end);
	*end = 0;
	cr_expect_str_eq(text, lines);
}

#define CARTS  "  - { name: carts }\n"
#define ORDERS "  - { name: orders, level: strong }\n"
#define PRICES "  - { name: prices, strategy: priority }\n"

Test(keyspaces, b1_swapped_lines_change_nothing)
{
	cr_assert_eq(resolve(CARTS ORDERS), 0, "%s", error.text);
	uint64_t before = topology_fingerprint(&t);
	cr_assert_eq(resolve(ORDERS CARTS), 0, "%s", error.text);
	cr_expect_str_eq(t.keyspaces[1].name, "carts");
	cr_expect_str_eq(t.keyspaces[2].name, "orders");
	cr_expect_eq(t.keyspaces[2].level, LEVEL_STRONG);
	cr_expect_eq(topology_fingerprint(&t), before);
	cr_expect_eq(topology_keyspace(&t, "orders"), 2);
}

Test(keyspaces, b1_a_line_put_in_above_gets_the_next_id)
{
	cr_assert_eq(resolve(CARTS ORDERS), 0);
	cr_assert_eq(resolve(PRICES CARTS ORDERS), 0, "%s", error.text);
	cr_expect_str_eq(t.keyspaces[1].name, "carts");
	cr_expect_str_eq(t.keyspaces[2].name, "orders");
	cr_expect_str_eq(t.keyspaces[3].name, "prices");
	catalog_is("godwit-keyspaces 1\n0 default eventual lww one\n1 carts eventual lww one\n2 orders strong lww quorum\n"
	           "3 prices eventual priority one\nnext 4 ");
}

Test(keyspaces, b1_a_keyspace_taken_out_is_refused_with_its_name)
{
	cr_assert_eq(resolve(CARTS ORDERS), 0);
	cr_expect_eq(resolve(ORDERS), ERR_CONFIGURATION);
	cr_expect_not_null(strstr(error.text, "'carts' (id 1)"), "%s", error.text);
	cr_expect_str_eq(t.keyspaces[1].name, "orders", "the topology is as loaded");
}

Test(keyspaces, b1_a_renamed_keyspace_is_refused_with_both_names)
{
	cr_assert_eq(resolve(CARTS ORDERS), 0);
	cr_expect_eq(resolve("  - { name: baskets }\n" ORDERS), ERR_CONFIGURATION);
	cr_expect(strstr(error.text, "'carts' (id 1)") && strstr(error.text, "'baskets'"), "%s", error.text);
}

Test(keyspaces, b1_given_ids_have_to_agree)
{
	cr_assert_eq(resolve("  - { name: carts, id: 7 }\n" ORDERS), 0, "%s", error.text);
	cr_expect_str_eq(t.keyspaces[7].name, "carts");
	cr_expect_str_eq(t.keyspaces[1].name, "orders");
	cr_expect_not(keyspace_is_there(&t.keyspaces[2]));
	cr_expect_eq(topology_keyspace(&t, "carts"), 7);
	cr_expect_eq(resolve("  - { name: carts, id: 1 }\n  - { name: orders, id: 7, level: strong }\n"), ERR_CONFIGURATION);
	cr_expect(strstr(error.text, "'carts'") && strstr(error.text, "'orders'"), "%s", error.text);
	cr_expect_eq(resolve(CARTS ORDERS "  - { name: prices, id: 3 }\n"), ERR_CONFIGURATION, "3 may have been used");
	cr_expect_eq(resolve(CARTS ORDERS "  - { name: prices, id: 8 }\n"), 0, "%s", error.text);
}

Test(keyspaces, b1_a_used_id_is_never_given_again)
{
	cr_assert_eq(resolve("  - { name: carts, id: 60 }\n"), 0);
	cr_assert_eq(resolve("  - { name: carts }\n" ORDERS PRICES "  - { name: stock }\n"), 0, "%s", error.text);
	cr_expect_str_eq(t.keyspaces[61].name, "orders");
	cr_expect_str_eq(t.keyspaces[63].name, "stock");
	cr_expect_eq(
	    resolve("  - { name: carts }\n" ORDERS PRICES "  - { name: stock }\n  - { name: more }\n"), ERR_CONFIGURATION);
	cr_expect(strstr(error.text, "no id is left for keyspace 'more'"), "%s", error.text);
}

Test(keyspaces, b1_definitions_are_kept_and_only_the_writer_writes)
{
	cr_assert_eq(resolve(CARTS), 0);
	load("  - { name: carts, strategy: fww }\n" ORDERS);
	cr_assert_eq(keyspaces_resolve(&t, directory, false, &error), 0, "%s", error.text);
	cr_expect_str_eq(t.keyspaces[2].name, "orders");
	catalog_is("godwit-keyspaces 1\n0 default eventual lww one\n1 carts eventual lww one\nnext 2 ");
	cr_assert_eq(resolve("  - { name: carts, strategy: fww }\n"), 0);
	catalog_is("godwit-keyspaces 1\n0 default eventual lww one\n1 carts eventual fww one\nnext 2 ");
}

static void damage(const char *from, const char *to)
{
	char path[256], text[4096];
	snprintf(path, sizeof path, "%s/keyspaces", directory);
	FILE *file = fopen(path, "r+e");
	cr_assert_not_null(file);
	text[fread(text, 1, sizeof text - 1, file)] = 0;
	char *at = strstr(text, from);
	cr_assert_not_null(at);
	memcpy(at, to, strlen(to));
	rewind(file);
	fputs(text, file);
	fclose(file);
}

Test(keyspaces, b1_an_altered_catalog_is_refused)
{
	cr_assert_eq(resolve(CARTS ORDERS), 0);
	damage("1 carts", "3 carts");
	cr_expect_eq(resolve(CARTS ORDERS), ERR_CORRUPT);
	damage("3 carts", "1 carts");
	cr_expect_eq(resolve(CARTS ORDERS), 0);
	char path[256];
	snprintf(path, sizeof path, "%s/keyspaces", directory);
	cr_assert_eq(truncate(path, 40), 0);
	cr_expect_eq(resolve(CARTS ORDERS), ERR_CORRUPT);
	cr_assert_eq(truncate(path, 0), 0);
	cr_expect_eq(resolve(CARTS ORDERS), ERR_CORRUPT);
}

Test(keyspaces, b1_rows_without_a_catalog_are_nobodys)
{
	char path[256], file[256];
	snprintf(path, sizeof path, "%s/rows", directory);
	cr_assert_eq(mkdir(path, 0700), 0);
	file_write(path, "rows.mdb", "x", file);
	cr_expect_eq(resolve(CARTS), ERR_CONFIGURATION);
	cr_expect(strstr(error.text, "is missing, but there are rows"), "%s", error.text);
}
