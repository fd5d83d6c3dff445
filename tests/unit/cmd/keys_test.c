/* SPDX-License-Identifier: Apache-2.0
 *
 * godwit keys: what it takes in and gives out. tests/e2e/keys.sh has regions that use them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/godwit/keys.h"
#include "tests/unit/cmd/command.h"

static char shop[KEY_TEXT_SIZE], eu[KEY_TEXT_SIZE];

/* The directory `data` of us's host, and public keys of another region and of an application. */
static void set_up(void)
{
	struct error_context error;
	command_set_up();
	put_file("topology.yaml", "cluster: unit\nregions:\n"
	                          "  - { name: us, id: 0, nodes: [\"127.0.0.1:17400\"] }\n"
	                          "  - { name: eu, id: 1, nodes: [\"127.0.0.1:17410\"] }\n"
	                          "keyspaces:\n  - { name: orders, level: strong, ack: quorum }\n  - { name: prices }\n");
	cr_assert(keys_make("elsewhere", "shop", &error) == 0 && keys_make("elsewhere", "eu", &error) == 0, "%s", error.text);
	cr_assert_eq(keys_load_public("elsewhere", "shop", shop, &error), 0);
	cr_assert_eq(keys_load_public("elsewhere", "eu", eu, &error), 0);
	done("keys init -r us --dir data --topology topology.yaml");
}
TestSuite(keys, .init = set_up, .fini = command_tear_down);

#define HERE " --dir data --topology topology.yaml"

static const char *rights_text(void)
{
	const char *text = file_text("data/keys/shop.rights");
	return text ? text : "none";
}

/* Half of the rights given leaves the other half as it is. */
Test(keys, G18_import_changes_the_half_of_the_rights_that_is_given)
{
	put_file("shop.keys", "client shop %s\n", shop);
	done("keys import shop.keys --keyspaces orders" HERE);
	cr_assert_str_eq(rights_text(), "read\norders\n", "a new one may read");
	const struct ran *ran = done("keys import shop.keys --rights read,write" HERE);
	cr_assert_str_eq(rights_text(), "read,write\norders\n", "--rights alone leaves the keyspaces: %s", rights_text());
	cr_assert(strstr(ran->out, "was known; may read,write in orders"), "%s", ran->out);
	done("keys import shop.keys --keyspaces prices,default" HERE);
	cr_assert_str_eq(
	    rights_text(), "read,write\nprices,default\n", "--keyspaces alone leaves the rights: %s", rights_text());
	ran = done("keys import shop.keys" HERE);
	cr_assert_str_eq(rights_text(), "read,write\nprices,default\n");
	cr_assert(!strstr(ran->out, "may"), "%s", ran->out);
	done("keys import shop.keys --rights admin --keyspaces *" HERE);
	cr_assert_str_eq(rights_text(), "admin\n*\n");
	cr_assert_eq(unlink("data/keys/shop.rights"), 0);
	done("keys import shop.keys --rights write" HERE);
	cr_assert_str_eq(rights_text(), "write\n*\n");
}

/* Rights that cannot be read are not taken for none: their place is taken by others only when both halves are told. */
Test(keys, G18_import_makes_nothing_of_rights_that_it_cannot_read)
{
	put_file("shop.keys", "client shop %s\n", shop);
	done("keys import shop.keys --rights read --keyspaces orders" HERE);
	put_file("data/keys/shop.rights", "reads\norders\n");
	refused(2, "'reads' is no right; use read, write, admin, separated by commas; give both --rights and --keyspaces",
	    "keys import shop.keys" HERE);
	refused(2, "give both --rights and --keyspaces", "keys import shop.keys --rights read" HERE);
	refused(2, "give both --rights and --keyspaces", "keys import shop.keys --keyspaces orders" HERE);
	cr_assert_str_eq(rights_text(), "reads\norders\n");
	done("keys import shop.keys --rights read --keyspaces prices" HERE);
	cr_assert_str_eq(rights_text(), "read\nprices\n");
}

Test(keys, G18_import_takes_keyspaces_of_the_topology_only)
{
	static const char *const wrong[] = {"ordres", "orders,ordres", "orders,", ",orders", "orders,,prices", "orders,*",
	    "order", "orders2", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	put_file("shop.keys", "client shop %s\n", shop);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		refused(3, "there is no keyspace '", "keys import shop.keys --keyspaces %s" HERE, wrong[i]);
		cr_assert(!file_text("data/keys/shop.public") && !file_text("data/keys/shop.rights"), "%s", wrong[i]);
	}
	const struct ran *ran = refused(3, "'ordres' in topology.yaml", "keys import shop.keys --keyspaces orders,ordres" HERE);
	cr_assert(strlen(ran->err) <= 400, "%s", ran->err);
	refused(2, "the list of keyspaces is empty", "keys import shop.keys --keyspaces=" HERE);
	refused(2, "'reads' is no right", "keys import shop.keys --rights reads" HERE);
	done("keys import shop.keys --keyspaces default,orders,prices" HERE);
}

/* One line that is wrong, and nothing of the file is taken in. */
Test(keys, G18_import_takes_lines_that_fit_the_topology_only)
{
	const struct {
		const char *line, *says;
	} wrong[] = {{"region client", "'client' is the name of this host's own key"},
	    {"next client", "'client' is the name of this host's own key"},
	    {"client client", "'client' is the name of this host's own key"},
	    {"region ue", "there is no region 'ue' in topology.yaml"},
	    {"region shop", "there is no region 'shop' in topology.yaml"}, {"client eu", "the name 'eu' is a region's"},
	    {"client ../shop", "is no name of a key"}, {"clients shop", "is no line of `godwit keys export`"},
	    {"client", "is no line of `godwit keys export`"}};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		put_file("some.keys", "region eu %s\n%s %s\n", eu, wrong[i].line, shop);
		refused(2, wrong[i].says, "keys import some.keys" HERE);
		cr_assert(!file_text("data/keys/eu.public"), "%s", wrong[i].line);
	}
	put_file("some.keys", "region eu %s\n", eu);
	refused(2, "there is no region 'eu' in the built-in topology; --topology FILE names another",
	    "keys import some.keys --dir other");
	put_file("some.keys", "region eu %s more\n", eu);
	refused(2, "is no line of", "keys import some.keys" HERE);
	put_file("some.keys", "region eu %.39s\n", eu);
	refused(2, "is no line of", "keys import some.keys" HERE);
	put_file("some.keys", "# nothing\n \t\r\n");
	refused(2, "no key is in it", "keys import some.keys" HERE);
	refused(2, "some.other: No such file", "keys import some.other" HERE);
	put_file(
	    "some.keys", "# all\n\nregion eu %s\r\nclient shop %s\nregion us %s", eu, shop, file_text("data/keys/us.public"));
	const struct ran *ran = done("keys import some.keys" HERE);
	cr_assert(strstr(ran->out, "eu                       region imported\n") &&
	              strstr(ran->out, "shop                     client imported; may read in *\n") &&
	              strstr(ran->out, "us                       region was known\n"),
	    "%s", ran->out);
	put_file("some.keys", "client client-us %s\n", shop);
	ran = done("keys import some.keys" HERE);
	cr_assert(strstr(ran->out, "client-us                client is this host's own\n"), "%s", ran->out);
	cr_assert(!file_text("data/keys/client-us.public"));
}

static void clients_put(uint32_t count)
{
	char lines[65536] = "";
	size_t used = 0;
	for (uint32_t i = 0; i < count; i++)
		used += (size_t)snprintf(lines + used, sizeof lines - used, "client c%u %s\n", i, shop);
	put_file("some.keys", "%s", lines);
}

/* As many names as there may be, and one more; as many bytes. */
Test(keys, G18_import_is_bounded)
{
	char long_text[65537];
	clients_put(KEYS_NAMES_MAX + 1);
	refused(2, "some.keys: more than", "keys import some.keys" HERE);
	cr_assert(!file_text("data/keys/c0.public"));
	clients_put(KEYS_NAMES_MAX);
	done("keys import some.keys" HERE);
	memset(long_text, '#', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = 0;
	put_file("some.keys", "%s", long_text);
	refused(2, "some.keys: is no file of `godwit keys export`", "keys import some.keys" HERE);
	put_file("some.keys", "region eu %s\n%c", eu, 0);
	refused(2, "some.keys: is no file of `godwit keys export`", "keys import some.keys" HERE);
}

static void secrets_add(uint32_t count)
{
	char path[64];
	for (uint32_t i = 0; i < count; i++) {
		snprintf(path, sizeof path, "data/keys/r%03u.secret", i);
		put_file(path, "only its name is looked at");
		snprintf(path, sizeof path, "data/keys/r%03u.public", i);
		put_file(path, "%s", shop);
		cr_assert_eq(chmod(path, 0600), 0);
	}
}

/* The list of names has a bound: what does not fit is refused, and none of it is taken from behind the list. */
Test(keys, G18_export_at_the_bound_of_names)
{
	char expected[64];
	uint32_t lines = 0;
	secrets_add(KEYS_NAMES_MAX - 2); /* beside us and client */
	const struct ran *ran = done("keys export" HERE);
	for (const char *at = ran->out; (at = strchr(at, '\n')); at++)
		lines++;
	cr_assert_eq(lines, KEYS_NAMES_MAX + 1, "%u", lines);
	secrets_add(KEYS_NAMES_MAX - 1);
	snprintf(expected, sizeof expected, "%u secrets are in ", KEYS_NAMES_MAX + 1);
	ran = refused(2, expected, "keys export" HERE);
	cr_assert_str_eq(ran->out, "");
	done("keys export us r000" HERE);
}

Test(keys, G18_export_gives_what_is_of_this_host)
{
	char expected[256], client[KEY_TEXT_SIZE], next[KEY_TEXT_SIZE], us[KEY_TEXT_SIZE];
	struct error_context error;
	put_file("some.keys", "region eu %s\nclient shop %s\n", eu, shop);
	done("keys import some.keys" HERE);
	refused(2, "the secret of eu is not in ", "keys export eu" HERE);
	refused(2, "the secret of shop is not in ", "keys export us shop" HERE);
	refused(2, "is no name of a key", "keys export ../us" HERE);
	cr_assert_eq(keys_load_public("data/keys", "us", us, &error), 0);
	cr_assert_eq(keys_load_public("data/keys", "client", client, &error), 0);
	snprintf(expected, sizeof expected,
	    "# public keys of Godwit; on the other hosts: godwit keys import FILE\nclient client-us %s\nregion us %s\n", client,
	    us);
	cr_assert_str_eq(done("keys export" HERE)->out, expected);
	done("keys rotate us" HERE);
	cr_assert_eq(keys_load_next("data/keys", "us", next, &error), 0);
	snprintf(expected, sizeof expected, "region us %s\nnext us %s\n", us, next);
	cr_assert(strstr(done("keys export us" HERE)->out, expected));
	cr_assert_eq(unlink("data/keys/client.name"), 0);
	refused(2, "has no name that other hosts could know it by", "keys export" HERE);
	cr_assert_eq(symlink("us.public", "data/keys/client.name"), 0);
	refused(2, "client.name: is a symbolic link", "keys export" HERE);
	done("keys init --client shopper" HERE);
	cr_assert(strstr(done("keys export client" HERE)->out, "client shopper "));
	refused(2, "no secret is in ", "keys export --dir nowhere --topology topology.yaml");
}

/* The file is there whole, or as it was. */
Test(keys, G18_export_that_fails_leaves_the_file_as_it_was)
{
	struct stat status;
	put_file("out.keys", "as it was\n");
	refused(2, "secret of eu", "keys export us eu -o out.keys" HERE);
	cr_assert_str_eq(file_text("out.keys"), "as it was\n");
	cr_assert_eq(chmod("data/keys/us.public", 0666), 0);
	refused(2, "mode 666", "keys export -o out.keys" HERE);
	cr_assert_str_eq(file_text("out.keys"), "as it was\n");
	cr_assert_eq(chmod("data/keys/us.public", 0600), 0);
	/* No half of it stays beside. */
	cr_assert_eq(chmod(".", 0500), 0);
	if (geteuid() != 0)
		refused(5, "out.keys: ", "keys export -o out.keys" HERE);
	cr_assert_eq(chmod(".", 0700), 0);
	cr_assert_eq(symlink("out.keys", "link.keys"), 0);
	done("keys export -o link.keys" HERE);
	cr_assert(lstat("link.keys", &status) == 0 && S_ISLNK(status.st_mode));
	cr_assert(strstr(file_text("out.keys"), "region us "));
	refused(5, "no-such-dir/out.keys: ", "keys export -o no-such-dir/out.keys" HERE);
	/* Where there is nothing to keep, nothing is put in its place. */
	done("keys export -o /dev/null" HERE);
	cr_assert(stat("/dev/null", &status) == 0 && S_ISCHR(status.st_mode));
	refused(5, "/dev/full: No space left", "keys export -o /dev/full" HERE);
	const struct ran *ran = done("keys export -o /dev/stdout" HERE);
	cr_assert(strstr(ran->out, "region us "), "%s", ran->out);
}

static const char *public_of(const char *name)
{
	static char text[4][KEY_TEXT_SIZE];
	static unsigned turn;
	struct error_context error;
	char *out = text[turn++ % 4];
	cr_assert_eq(keys_load_public("data/keys", name, out, &error), 0, "%s", error.text);
	return out;
}
static void checked(int code, const char *line)
{
	const struct ran *ran = run("keys check" HERE);
	cr_assert_eq(ran->code, code, "%d: %s", ran->code, ran->out);
	cr_assert(strstr(ran->out, line), "no '%s' in: %s", line, ran->out);
}

/* F24: each key with what is wrong with it, to the byte. */
Test(keys, G18_check)
{
	char expected[2048], own[64], path[200];
	struct error_context error;
	cr_assert(realpath("data/keys", path));
	checked(1, "eu                       region                 missing: export it on its host and import it here\n");
	checked(1, "/data/keys: 1 of 2 regions have their secret here; 1 thing is wrong\n");
	put_file("some.keys", "region eu %s\nclient shop %s\n", eu, shop);
	done("keys import some.keys --rights read,admin --keyspaces orders,prices" HERE);
	snprintf(own, sizeof own, "%s", public_of("client"));
	snprintf(expected, sizeof expected,
	    "us                       region, secret here    %s\neu                       region                 %s\n"
	    "client                   client of this host    %s\nshop                     client                 %s\n"
	    "shop                     rights                 read,admin orders,prices\n"
	    "%s: 1 of 2 regions have their secret here; 0 things are wrong\n",
	    public_of("us"), eu, own, shop, path);
	cr_assert_str_eq(done("keys check" HERE)->out, expected);
	snprintf(expected, sizeof expected,
	    "{\"name\":\"us\",\"kind\":\"region, secret here\",\"key\":\"%s\",\"problem\":\"\"}\n", public_of("us"));
	cr_assert(strstr(done("keys check --json" HERE)->out,
	    "{\"name\":\"shop\",\"kind\":\"rights\",\"key\":\"read,admin orders,prices\",\"problem\":\"\"}\n"));
	if (!strpbrk(public_of("us"), "<>&\"\\"))
		cr_assert(strstr(done("keys check --json" HERE)->out, expected));
	done("keys rotate us" HERE);
	checked(0, "us                       next key               ");
	done("keys rotate us --finish" HERE);
	cr_assert_eq(rename("data/keys/shop.public", "data/keys/shop.aside"), 0);
	checked(1, "shop                     client                 missing: export it");
	put_file("data/keys/shop.public", "%s", eu);
	cr_assert_eq(chmod("data/keys/shop.public", 0600), 0);
	checked(1, " is the key of eu, too\n");
	cr_assert_eq(rename("data/keys/shop.aside", "data/keys/shop.public"), 0);
	put_file("data/keys/eu.next.public", "%s", shop);
	cr_assert_eq(chmod("data/keys/eu.next.public", 0600), 0);
	checked(1, " is the key of eu, too\n");
	cr_assert_eq(unlink("data/keys/eu.next.public"), 0);
	put_file("data/keys/shop.rights", "reads\n*\n");
	checked(1, "'reads' is no right");
	cr_assert_eq(unlink("data/keys/shop.rights"), 0);
	cr_assert_eq(chmod("data/keys/us.secret", 0640), 0);
	checked(1, "us.secret: mode 640");
	cr_assert_eq(chmod("data/keys/us.secret", 0600), 0);
	cr_assert_eq(chmod("data/keys", 0720), 0);
	checked(1, "others can write to it; run chmod 700 on it\n");
	cr_assert_eq(chmod("data/keys", 0700), 0);
	cr_assert_eq(unlink("data/keys/one-host"), 0);
	checked(0, "have their secret here, no keys init was run; 0 things are wrong\n");
	refused(2, "nowhere/keys: No such file or directory; `godwit keys init` makes the keys of this host",
	    "keys check --dir nowhere --topology topology.yaml");
	(void)error;
}

Test(keys, G18_init_add_and_rotate_say_what_they_do)
{
	cr_assert(strstr(done("keys init -r us" HERE)->out,
	    "us                       region was there\nclient                   client was there\n"));
	cr_assert(strstr(done("keys add eu" HERE)->out, "eu                       region made\n"));
	refused(2, "--client: 'us' is taken", "keys init --client us" HERE);
	refused(2, "--client: 'client' is taken", "keys init --client client" HERE);
	refused(2, "is no name of a key", "keys init --client S" HERE);
	refused(2, "there is no region 'mars'", "keys add mars" HERE);
	refused(2, "there is no region 'mars'", "keys init -r mars" HERE);
	refused(2, "other/keys is not there; `godwit keys init` makes it", "keys add eu --dir other --topology topology.yaml");
	refused(2, "keys add: missing argument", "keys add" HERE);
	refused(2, "keys check: too many arguments", "keys check us" HERE);
	refused(2, "keys: 'imports' is none of init, add, export, import, check, rotate", "keys imports" HERE);
	refused(2, "no rotation of us is under way", "keys rotate us --finish" HERE);
	cr_assert(strstr(done("keys rotate us" HERE)->out, "us has a next key; next: `godwit keys export`"));
	cr_assert(
	    strstr(done("keys rotate us --finish" HERE)->out, "us has gone over to its next key; next: `godwit restart us`"));
	done("keys rotate client" HERE);
	cr_assert(strstr(done("keys rotate client --finish" HERE)->out,
	    "client has gone over to its next key; export and import once more"));
	/* Beside an application's key no region's is made. */
	const struct ran *ran = done("keys init --client shop --dir app --topology topology.yaml");
	cr_assert(strncmp(ran->out, "client                   client made\nin ", 40) == 0 && !file_text("app/keys/us.secret"),
	    "%s", ran->out);
	cr_assert_str_eq(file_text("app/keys/client.name"), "shop\n");
	done("keys init --dir app --topology topology.yaml -r us");
	cr_assert_str_eq(file_text("app/keys/client.name"), "shop\n");
	done("keys init --client shop2 --dir app --topology topology.yaml");
	cr_assert_str_eq(file_text("app/keys/client.name"), "shop2\n");
}
