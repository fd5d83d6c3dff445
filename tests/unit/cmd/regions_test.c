/* SPDX-License-Identifier: Apache-2.0
 *
 * F24: what commands ask regions, and what they print of the answers, for people and as JSON, to the byte. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cmd/godwit/cli.h"
#include "core/commit_entry.h"
#include "core/dotted.h"
#include "core/row.h"
#include "core/vector.h"
#include "tests/unit/cmd/command.h"
#include "tests/unit/cmd/fake_client.h"

static void set_up(void)
{
	command_set_up();
	cr_assert(mkdir("data", 0700) == 0 && mkdir("data/keys", 0700) == 0);
	put_file("data/topology.yaml", "cluster: unit\nregions:\n"
	                               "  - { name: us, id: 3, nodes: [\"127.0.0.1:2400\"] }\n"
	                               "  - { name: eu, id: 1, nodes: [\"127.0.0.1:2410\"] }\n"
	                               "  - { name: ap, id: 2, nodes: [\"127.0.0.1:2420\"] }\n"
	                               "keyspaces:\n"
	                               "  - { name: orders, level: strong, ack: quorum }\n"
	                               "  - { name: prices, level: eventual, strategy: priority }\n"
	                               "  - { name: later, level: session }\n");
	put_file("asked", "%s", "");
}
TestSuite(regions, .init = set_up, .fini = command_tear_down);

#define HERE " --dir data"

static void asked(const char *wanted)
{
	cr_assert_str_eq(file_text("asked"), wanted, "asked:\n%s", file_text("asked"));
	put_file("asked", "%s", "");
}
static void printed(const struct ran *ran, int code, const char *out, const char *err)
{
	cr_assert_eq(ran->code, code, "exit code %d: %s", ran->code, ran->err);
	cr_assert_str_eq(ran->out, out, "printed:\n%s", ran->out);
	cr_assert_str_eq(ran->err, err, "on standard error:\n%s", ran->err);
}
static ProtobufCBinaryData bytes(const char *text)
{
	return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* --- one key --- */

static int one_code;
static const char *one_reason = "";

static void one_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static uint8_t version[COMMIT_VERSION_SIZE], dotted[DOTTED_ENCODED_MAX];
	struct dotted seen;
	(void)region;
	(void)answer;
	result->code = one_code;
	result->reason = one_reason;
	result->hlc = 77;
	result->siblings = 2;
	if (operation->kind == CLIENT_GET) {
		result->value = (const uint8_t *)"a\xff\tz";
		result->value_size = 4;
	}
	if (operation->keyspace && strcmp(operation->keyspace, "orders") == 0) {
		commit_version_encode((struct commit_id){.hlc = 1764000000000ull << 16 | 5, .region = 1}, version);
		result->version = version;
		result->version_size = sizeof version;
	} else {
		cr_assert_eq(dotted_parse(&seen, "1:12,2:7+1:14"), 0);
		result->version = dotted;
		result->version_size = dotted_encode(&seen, dotted);
	}
}

Test(regions, F24_put_get_del)
{
	fake_answer = one_answer;
	printed(run("put k v" HERE), 0, "", "");
	asked("us put - key=k value=v\n");
	printed(run("put k v -r eu -k prices --json" HERE), 0,
	    "{\"key\":\"k\",\"version\":\"1:12,2:7+1:14\",\"hlc\":\"77\",\"took_us\":2500}\n", "");
	asked("eu put prices key=k value=v\n");
	printed(run("get k" HERE), 0, "a\xff\tz", "");
	asked("us get - key=k\n");
	printed(run("get k --json -k orders" HERE), 0,
	    "{\"key\":\"k\",\"value_base64\":\"Yf8Jeg==\",\"version\":\"1764000000000.5@1\",\"hlc\":\"77\",\"sibli"
	    "ngs\":2,\"took_us\":2500}\n",
	    "");
	asked("us get orders key=k\n");
	printed(run("get k --stale-ok" HERE), 0, "a\xff\tz", "");
	asked("us get - key=k level=5\n");
	printed(run("get k -k orders --level eventual" HERE), 0, "a\xff\tz", "");
	asked("us get orders key=k level=1\n");
	printed(run("get k -k orders --level strong" HERE), 0, "a\xff\tz", "");
	asked("us get orders key=k level=4\n");
	printed(run("del k -r ap --level eventual" HERE), 0, "", "");
	asked("ap delete - key=k\n");
	printed(run("put k v -k orders --if-version absent --level strong" HERE), 0, "", "");
	asked("us put orders key=k value=v condition=1 expected=0\n");
	printed(run("put k v -k orders --if-version 1764000000000.5@1" HERE), 0, "", "");
	asked("us put orders key=k value=v condition=2 expected=12\n");
	printed(run("put k v --context 1:12" HERE), 0, "", "");
	asked("us put - key=k value=v context=3\n");
	refused(2, "--if-version 'nonsense' is neither absent nor a version", "put k v -k orders --if-version nonsense" HERE);
	refused(2, "--if-version '1:12' is neither absent nor a version", "put k v -k orders --if-version 1:12" HERE);
	refused(2, "--if-version 'nonsense' is neither absent nor a version", "put k v --if-version nonsense" HERE);
	refused(3, "compare and set needs a keyspace of level strong, default is eventual", "put k v --if-version absent" HERE);
	refused(3, "compare and set needs a keyspace of level strong, prices is eventual",
	    "put k v -k prices --if-version 1:12" HERE);
	refused(3, "in keyspace orders, which is strong, nothing stands side by side", "put k v -k orders --context 1:12" HERE);
	refused(2, "--context 'x' is not a version", "put k v --context x" HERE);
	refused(3, "sessions are not available", "get k --session f" HERE);
	refused(3, "a write has the level of its keyspace: orders is strong", "put k v -k orders --level eventual" HERE);
	refused(3, "keyspace default is eventual: a read may ask for that level or a weaker one", "get k --level strong" HERE);
	refused(2, "--level 'best': use eventual, session, causal or strong", "get k --level best" HERE);
	refused(2, "--level 'best': use eventual, session, causal or strong", "put k v --level best" HERE);
	refused(2, "--stale-ok takes what is here", "get k --level eventual --stale-ok" HERE);
	refused(3, "there is no keyspace 'none'", "put k v -k none --level strong" HERE);
	refused(2, "there is no region 'mars'; there are: us, eu, ap", "get k -r mars" HERE);
	asked("");
}

Test(regions, F24_refusals_are_told_with_what_to_do)
{
	fake_answer = one_answer;
	static const struct {
		int code, exit_code;
		const char *reason, *says;
	} all[] = {{ERR_NOT_FOUND, 1, "", "NOT_FOUND: no such key\n"},
	    {ERR_CHECK_FAILED, 1, "it has 5", "CHECK_FAILED: it has 5; read again, then decide again\n"},
	    {ERR_UNKNOWN_OUTCOME, 4, "",
	        "UNKNOWN_OUTCOME: the outcome is not known; it may have happened; read the key to find out\n"},
	    {ERR_UNREACHABLE, 5, "nobody\nthere",
	        "UNREACHABLE: nobody?there; `godwit status` shows what runs, `godwit up` starts it\n"},
	    {ERR_KEY_TOO_LARGE, 3, "x", "KEY_TOO_LARGE: x; keys have 1 to 1024 bytes\n"},
	    {ERR_VALUE_TOO_LARGE, 3, "x", "VALUE_TOO_LARGE: x; split it, or keep it elsewhere and store where\n"},
	    {ERR_LEVEL_UNAVAILABLE, 3, "x", "LEVEL_UNAVAILABLE: x; `godwit keyspace list` prints the levels\n"},
	    {ERR_NO_QUORUM, 3, "x", "NO_QUORUM: x; `godwit status` shows who can be reached\n"},
	    {ERR_CONTEXT_AHEAD, 3, "x", "CONTEXT_AHEAD: x; wait until the region has caught up, or leave --context out\n"},
	    {ERR_OVERLOADED, 3, "x", "OVERLOADED: x; try again later\n"},
	    {ERR_DISK_FULL, 3, "x", "DISK_FULL: x; make room, or raise limits.log_disk_mib\n"},
	    {ERR_DRAINING, 3, "x", "DRAINING: x; use another region\n"},
	    {ERR_ROW_DAMAGED, 3, "x", "ROW_DAMAGED: x; use another region\n"},
	    {ERR_EXPIRED, 4, "x", "EXPIRED: x; read the key to find out\n"},
	    {ERR_WRONG_VERSION, 3, "x", "WRONG_VERSION: x; use programs of one build\n"}};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		one_code = all[i].code;
		one_reason = all[i].reason;
		printed(run("put k v" HERE), all[i].exit_code, "", all[i].says);
	}
	one_code = ERR_OVERLOADED;
	printed(
	    run("put k v --json" HERE), 3, "{\"code\":\"OVERLOADED\",\"reason\":\"x\"}\n", "OVERLOADED: x; try again later\n");
}

/* --- rows --- */

static void rows_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static Godwit__Client__Row rows[3], *list[3];
	static uint8_t dotted[DOTTED_ENCODED_MAX];
	struct dotted seen;
	(void)region;
	if (operation->after_size == 1 && *(const char *)operation->after == 'x') {
		result->code = ERR_OVERLOADED;
		result->reason = "later";
		return;
	}
	bool first = !operation->after_size;
	for (int i = 0; i < 3; i++) {
		godwit__client__row__init(&rows[i]);
		list[i] = &rows[i];
	}
	cr_assert_eq(dotted_parse(&seen, "1:12"), 0);
	rows[0].version = (ProtobufCBinaryData){dotted_encode(&seen, dotted), dotted};
	rows[0].key = bytes(first ? "a" : "d");
	rows[0].value = bytes("1\t2\n3\\4\r");
	rows[0].hlc = 99;
	rows[0].siblings = 1;
	rows[1].key = bytes("b\xfe");
	rows[1].value = bytes("\xff\xfe\xfd\xfc");
	rows[2].key = bytes("c");
	answer->rows = list;
	answer->n_rows = first ? 3 : 1;
	answer->more = first;
}

Test(regions, F24_scan_and_export)
{
	fake_answer = rows_answer;
	printed(run("scan" HERE), 0, "a\t1\\t2\\n3\\\\4\\r\nb\xfe\t\xff\xfe\xfd\xfc\nc\t\nd\t1\\t2\\n3\\\\4\\r\n", "");
	asked("us scan - limit=1000\nus scan - after=c limit=997\n");
	printed(run("scan --limit 3 --prefix p -r eu -k prices" HERE), 0,
	    "a\t1\\t2\\n3\\\\4\\r\nb\xfe\t\xff\xfe\xfd\xfc\nc\t\n", "there are more than 3 rows; use --limit, or export\n");
	asked("eu scan prices key=p limit=3\n");
	printed(run("scan --limit 4 --stale-ok" HERE), 0,
	    "a\t1\\t2\\n3\\\\4\\r\nb\xfe\t\xff\xfe\xfd\xfc\nc\t\nd\t1\\t2\\n3\\\\4\\r\n", "");
	asked("us scan - limit=4 level=5\nus scan - after=c limit=1 level=5\n");
	printed(run("export -k orders --level eventual" HERE), 0,
	    "{\"key\":\"a\",\"value\":\"1\\t2\\n3\\\\4\\u000d\",\"version\":\"1:12\",\"hlc\":\"99\",\"siblings\":1"
	    "}\n"
	    "{\"key_base64\":\"Yv4=\",\"value_base64\":\"//79/A==\",\"version\":\"-\",\"hlc\":\"0\",\"siblings\":0"
	    "}\n"
	    "{\"key\":\"c\",\"value\":\"\",\"version\":\"-\",\"hlc\":\"0\",\"siblings\":0}\n"
	    "{\"key\":\"d\",\"value\":\"1\\t2\\n3\\\\4\\u000d\",\"version\":\"1:12\",\"hlc\":\"99\",\"siblings\":1"
	    "}\n",
	    "");
	asked("us scan orders limit=1000 level=1\nus scan orders after=c limit=1000 level=1\n");
	refused(2, "--level 'x'", "export --level x" HERE);
	asked("");
}

/* --- conflicts --- */

static void conflicts_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static Godwit__Client__Conflict conflicts[2], *list[2];
	static Godwit__Client__Side sides[3], *held[2];
	(void)region;
	if (operation->limit_id == 404) {
		result->code = ERR_NOT_FOUND;
		return;
	}
	for (int i = 0; i < 3; i++) {
		godwit__client__side__init(&sides[i]);
		sides[i].region = (uint32_t)i + 1;
		sides[i].sequence = (uint64_t)i + 10;
		sides[i].hlc = 1764000000123ull << 16;
	}
	sides[0].value = bytes("v\n");
	sides[0].value_cut = true;
	sides[1].tombstone = true;
	for (int i = 0; i < 2; i++) {
		godwit__client__conflict__init(&conflicts[i]);
		list[i] = &conflicts[i];
		held[i] = &sides[i + 1];
		conflicts[i].id = 9 - (uint64_t)i;
		conflicts[i].keyspace = (char *)(uintptr_t) "prices";
		conflicts[i].strategy = (char *)(uintptr_t) "priority";
		conflicts[i].key = bytes(i ? "second" : "k\t\xff");
		conflicts[i].recorded_ms = 1764000000456ull + (uint64_t)i;
		conflicts[i].winner_region = 2;
		conflicts[i].winner_sequence = 11;
	}
	conflicts[0].arrived = &sides[0];
	conflicts[0].held = held;
	conflicts[0].n_held = 2;
	answer->conflicts = list;
	answer->n_conflicts = operation->kind == CLIENT_CONFLICT ? 1
	                      : operation->limit_id == 8         ? 0
	                      : operation->limit < 2             ? 1
	                                                         : 2;
	answer->more = operation->kind == CLIENT_CONFLICTS && operation->limit_id != 8;
}

Test(regions, F24_conflicts)
{
	fake_answer = conflicts_answer;
	printed(run("conflicts" HERE), 0,
	    "       9  2025-11-24T16:00:00.456Z  prices     eu x ap x us                         ap wins (priority"
	    ")  k\\t\377\n"
	    "       8  2025-11-24T16:00:00.457Z  prices     ?                                    ap wins (priority"
	    ")  second\n",
	    "");
	asked("us conflicts - limit=50\nus conflicts - limit=48 limit_id=8\n");
	printed(run("conflicts list --limit 1 -r eu -k prices" HERE), 0,
	    "       9  2025-11-24T16:00:00.456Z  prices     eu x ap x us                         ap wins (priority"
	    ")  k\\t\377\n",
	    "there are more than 1; use --limit\n");
	asked("eu conflicts prices limit=1\n");
	printed(run("conflicts list --limit 2 --json" HERE), 0,
	    "{\"id\":9,\"recorded\":\"2025-11-24T16:00:00.456Z\",\"keyspace\":\"prices\",\"key_base64\":\"awn/\",\""
	    "strategy\":\"priority\",\"winner\":\"ap\",\"winner_dot\":\"2:11\",\"arrived_context\":\"-\",\"held_co"
	    "ntext\":\"-\",\"arrived\":{\"region\":\"eu\",\"dot\":\"1:10\",\"hlc\":\"115605504008060928\",\"delete"
	    "d\":false},\"held\":[{\"region\":\"ap\",\"dot\":\"2:11\",\"hlc\":\"115605504008060928\",\"deleted\":t"
	    "rue},{\"region\":\"us\",\"dot\":\"3:12\",\"hlc\":\"115605504008060928\",\"deleted\":false}]}\n"
	    "{\"id\":8,\"recorded\":\"2025-11-24T16:00:00.457Z\",\"keyspace\":\"prices\",\"key\":\"second\",\"stra"
	    "tegy\":\"priority\",\"winner\":\"ap\",\"winner_dot\":\"2:11\",\"arrived_context\":\"-\",\"held_contex"
	    "t\":\"-\",\"arrived\":null,\"held\":[]}\n",
	    "there are more than 2; use --limit\n");
	asked("us conflicts - limit=2\n");
	printed(run("conflicts show 9" HERE), 0,
	    "conflict  9, found 2025-11-24T16:00:00.456Z\n"
	    "key       k\\t\377\n"
	    "keyspace  prices, decided by priority\n"
	    "arrived   eu, write 10, at 2025-11-24T16:00:00.123Z\n"
	    "          v\\n... (cut; the history keeps the beginning)\n"
	    "          had seen -\n"
	    "beside    ap, write 11, at 2025-11-24T16:00:00.123Z  <- wins\n"
	    "          (deleted)\n"
	    "          us, write 12, at 2025-11-24T16:00:00.123Z\n"
	    "          (empty)\n"
	    "          the row had seen -\n",
	    "");
	asked("us conflict - limit_id=9\n");
	printed(run("conflicts show 9 --json" HERE), 0,
	    "{\"id\":9,\"recorded\":\"2025-11-24T16:00:00.456Z\",\"keyspace\":\"prices\",\"key_base64\":\"awn/\",\""
	    "strategy\":\"priority\",\"winner\":\"ap\",\"winner_dot\":\"2:11\",\"arrived_context\":\"-\",\"held_co"
	    "ntext\":\"-\",\"arrived\":{\"region\":\"eu\",\"dot\":\"1:10\",\"hlc\":\"115605504008060928\",\"delete"
	    "d\":false,\"value\":\"v\\n\",\"value_cut\":true},\"held\":[{\"region\":\"ap\",\"dot\":\"2:11\",\"hlc\""
	    ":\"115605504008060928\",\"deleted\":true},{\"region\":\"us\",\"dot\":\"3:12\",\"hlc\":\"1156055040080"
	    "60928\",\"deleted\":false,\"value\":\"\",\"value_cut\":false}]}\n",
	    "");
	asked("us conflict - limit_id=9\n");
	refused(1, "no conflict 404 in this region's history", "conflicts show 404" HERE);
	asked("us conflict - limit_id=404\n");
	refused(2, "'9x' is not the number of a conflict", "conflicts show 9x" HERE);
	refused(2, "'-9' is not the number of a conflict", "conflicts --dir data show -- -9");
	refused(2, "usage: godwit conflicts", "conflicts show" HERE);
	refused(2, "usage: godwit conflicts", "conflicts list 3" HERE);
	refused(2, "conflicts 'lists': use list or show ID", "conflicts lists" HERE);
	asked("");
}

/* --- undecided transactions --- */

static void in_doubt_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static Godwit__Client__InDoubt all[4], *list[4];
	static Godwit__Client__Row keys[2], *key_list[2];
	static uint8_t version[4][COMMIT_VERSION_SIZE];
	(void)operation;
	if (strcmp(region, "ap") == 0) {
		result->code = one_code;
		result->reason = "no answer";
		return;
	}
	if (strcmp(region, "eu") == 0)
		return;
	for (int i = 0; i < 2; i++) {
		godwit__client__row__init(&keys[i]);
		keys[i].key = bytes(i ? "b" : "a\t");
		key_list[i] = &keys[i];
	}
	for (uint32_t i = 0; i < 4; i++) {
		godwit__client__in_doubt__init(&all[i]);
		list[i] = &all[i];
		commit_version_encode((struct commit_id){.hlc = 1764000000000ull << 16 | i, .region = (uint8_t)i}, version[i]);
		all[i].transaction = (ProtobufCBinaryData){COMMIT_VERSION_SIZE, version[i]};
		all[i].voted = i & 1;
		all[i].coordinating = i & 2;
		all[i].age_ms = 10 * i;
		all[i].keys = key_list;
		all[i].n_keys = i % 3;
	}
	answer->in_doubt = list;
	answer->n_in_doubt = 4;
}

Test(regions, F24_indoubt)
{
	fake_answer = in_doubt_answer;
	printed(run("indoubt" HERE), 0,
	    "TRANSACTION              REGION           COORDINATOR      STATE                   AGE MS  KEYS\n"
	    "1764000000000.0@0        us               ?                known                        0  \n"
	    "1764000000000.1@1        us               eu               voted                       10  a\\t\n"
	    "1764000000000.2@2        us               ap               coordinating                20  a\\t b\n"
	    "1764000000000.3@3        us               us               voted, coordinating         30  \n",
	    "");
	asked("us in_doubt -\neu in_doubt -\nap in_doubt -\n");
	printed(run("indoubt --json -r us" HERE), 0,
	    "{\"transaction\":\"1764000000000.0@0\",\"region\":\"us\",\"coordinator\":\"?\",\"voted\":false,\"coor"
	    "dinating\":false,\"age_ms\":0,\"keys\":[]}\n"
	    "{\"transaction\":\"1764000000000.1@1\",\"region\":\"us\",\"coordinator\":\"eu\",\"voted\":true,\"coor"
	    "dinating\":false,\"age_ms\":10,\"keys\":[{\"key\":\"a\\t\"}]}\n"
	    "{\"transaction\":\"1764000000000.2@2\",\"region\":\"us\",\"coordinator\":\"ap\",\"voted\":false,\"coo"
	    "rdinating\":true,\"age_ms\":20,\"keys\":[{\"key\":\"a\\t\"},{\"key\":\"b\"}]}\n"
	    "{\"transaction\":\"1764000000000.3@3\",\"region\":\"us\",\"coordinator\":\"us\",\"voted\":true,\"coor"
	    "dinating\":true,\"age_ms\":30,\"keys\":[]}\n",
	    "");
	printed(run("indoubt -r eu" HERE), 0, "no undecided transactions\n", "");
	put_file("asked", "%s", "");
	one_code = ERR_UNREACHABLE;
	printed(run("indoubt -r ap" HERE), 5, "",
	    "UNREACHABLE: 1 of 1 regions gave no list; ap: no answer; `godwit status` shows what runs, `godwit up`"
	    " starts it\n");
	printed(run("indoubt" HERE), 5,
	    "TRANSACTION              REGION           COORDINATOR      STATE                   AGE MS  KEYS\n"
	    "1764000000000.0@0        us               ?                known                        0  \n"
	    "1764000000000.1@1        us               eu               voted                       10  a\\t\n"
	    "1764000000000.2@2        us               ap               coordinating                20  a\\t b\n"
	    "1764000000000.3@3        us               us               voted, coordinating         30  \n",
	    "UNREACHABLE: 1 of 3 regions gave no list; ap: no answer; `godwit status` shows what runs, `godwit up`"
	    " starts it\n");
	refused(2, "there is no region 'mars'", "indoubt -r mars" HERE);
}

Test(regions, F24_keyspace_list)
{
	printed(run("keyspace list" HERE), 0,
	    "KEYSPACE                 LEVEL      STRATEGY   ACK\n"
	    "default                  eventual   lww        one\n"
	    "orders                   strong     lww        quorum\n"
	    "prices                   eventual   priority   one\n"
	    "later                    session    lww        one\n",
	    "");
	printed(run("keyspace --json" HERE), 0,
	    "{\"name\":\"default\",\"level\":\"eventual\",\"strategy\":\"lww\",\"ack\":\"one\"}\n"
	    "{\"name\":\"orders\",\"level\":\"strong\",\"strategy\":\"lww\",\"ack\":\"quorum\"}\n"
	    "{\"name\":\"prices\",\"level\":\"eventual\",\"strategy\":\"priority\",\"ack\":\"one\"}\n"
	    "{\"name\":\"later\",\"level\":\"session\",\"strategy\":\"lww\",\"ack\":\"one\"}\n",
	    "");
	refused(3, "keyspaces are named in the topology file", "keyspace create x --level strong" HERE);
	refused(3, "keyspaces are named in the topology file", "keyspace drop x" HERE);
	refused(2, "keyspace 'lists': use list", "keyspace lists" HERE);
	refused(2, "usage: godwit keyspace list", "keyspace list x" HERE);
	refused(2, "usage: godwit keyspace list", "keyspace list --ack all" HERE);
}

/* --- status --- */

static const char *us_state = "ready", *us_refusing = "", *peer_state = "up", *peer_out = "subscribed", *peer_in = "subscribed",
                  *peer_key = "";
static uint64_t us_silent_ms;
static bool all_silent;

static void status_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static Godwit__Client__Region about;
	static Godwit__Client__Digests digests;
	static Godwit__Client__Peer peers[2], *list[2];
	static uint8_t applied[VECTOR_ENCODED_MAX], buckets[DIGEST_BUCKETS * 16];
	struct vector vector;
	cr_assert_eq(vector_parse(&vector, "1:5,3:7"), 0);
	if (strcmp(region, "ap") == 0 || all_silent) {
		result->code = ERR_UNREACHABLE;
		return;
	}
	godwit__client__region__init(&about);
	godwit__client__digests__init(&digests);
	digests.applied = about.applied = (ProtobufCBinaryData){vector_encode(&vector, applied), applied};
	memset(buckets, 0, sizeof buckets);
	buckets[0] = 1;
	buckets[15] = operation->keyspace && strcmp(operation->keyspace, "orders") == 0 ? 0x30 : 2;
	buckets[31] = 0x40;
	digests.buckets = (ProtobufCBinaryData){sizeof buckets, buckets};
	about.live_rows = 1234567;
	about.conflicts = 1000;
	about.conflicts_dropped = 3;
	about.map_bytes = 4;
	about.log_bytes = 5 * 1024 * 1024 + 512 * 1024;
	about.raw_bytes_sent = 6;
	about.wire_bytes_sent = 7;
	about.refusing = (char *)(uintptr_t) "";
	about.coordinator_state = (char *)(uintptr_t) "ready";
	if (strcmp(region, "us") == 0) {
		about.in_doubt = 8;
		about.clock_ahead_ms = -9;
		about.clock_heard = 2;
		about.records_ahead = 10;
		about.records_ahead_ms = 11;
		about.coordinator_silent_ms = us_silent_ms;
		about.coordinator_state = (char *)(uintptr_t)us_state;
		about.refusing = (char *)(uintptr_t)us_refusing;
		for (int i = 0; i < 2; i++) {
			godwit__client__peer__init(&peers[i]);
			list[i] = &peers[i];
			peers[i].id = (uint32_t)i + 1;
			peers[i].state = (char *)(uintptr_t)(i ? "down" : peer_state);
			peers[i].outbound_held = (char *)(uintptr_t)(!i && strcmp(peer_out, "held") == 0 ? "carts" : "");
			peers[i].inbound_held = !i && strcmp(peer_in, "held") == 0;
			peers[i].outbound = (char *)(uintptr_t)(i || strcmp(peer_out, "held") == 0 ? "subscribed" : peer_out);
			peers[i].inbound = (char *)(uintptr_t)(i || strcmp(peer_in, "held") == 0 ? "subscribed" : peer_in);
			peers[i].inbound_reason = (char *)(uintptr_t) "WHY";
			peers[i].key_refusal = (char *)(uintptr_t)(i ? "" : peer_key);
			peers[i].round_trip_us = 75500;
			peers[i].lag_records = 12345;
			peers[i].lag_bytes = 2048;
			peers[i].lag_ms = 1300;
			peers[i].age_ms = 14;
			peers[i].lag_known = i == 0;
			peers[i].silent_ms = i ? 4321 : 5;
		}
		about.peers = list;
		about.n_peers = 2;
	}
	answer->region = operation->kind == CLIENT_REGION ? &about : NULL;
	answer->digests = operation->kind == CLIENT_DIGESTS ? &digests : NULL;
}

Test(regions, F24_status)
{
	fake_answer = status_answer;
	printed(run("status" HERE), 1,
	    "REGION           STATE                ROWS  CONFLICTS   WRITES/S    READS/S RECEIVED/S        LOG  DI"
	    "GEST\n"
	    "us               up              1,234,567      1,000          -          -          -    5.5 MiB  f4"
	    "000000\n"
	    "eu               up              1,234,567      1,000          -          -          -    5.5 MiB  f4"
	    "000000\n"
	    "ap               silent       UNREACHABLE: not reachable\n"
	    "\n"
	    "FROM             TO               STATE        ROUND TRIP  LAG RECORDS      BYTES         MS    AGE M"
	    "S\n"
	    "us               eu               up              75.5 ms       12,345    2.0 KiB      1,300        1"
	    "4\n"
	    "us               ap               down                  -            -          -          -        1"
	    "4\n"
	    "\n"
	    "clocks: us -9 ms (took in 10 records from the future, up to 11 ms)\n"
	    "\n"
	    "undecided strong transactions: us 8 (godwit indoubt lists them)\n"
	    "\n"
	    "us to ap is down: silent for 4.3 s\n"
	    "ap is silent: UNREACHABLE: not reachable\n",
	    "");
	asked("us region -\nus digests default\nus digests orders\nus digests prices\neu region -\neu digests default\neu "
	      "digests orders\neu digests prices\n"
	      "ap region -\nap digests default\nap digests orders\nap digests prices\n");
	printed(run("status --json" HERE), 1,
	    "{\"name\":\"us\",\"id\":3,\"endpoint\":\"tcp://127.0.0.1:2400\",\"state\":\"up\",\"reachable\":true,\""
	    "reason\":\"\",\"rows\":1234567,\"conflicts\":1000,\"conflicts_dropped\":3,\"digest\":\"f4000000000000"
	    "000000000000000003\",\"applied\":\"1:5,3:7\",\"map_bytes\":4,\"log_bytes\":5767168,\"raw_bytes_sent\""
	    ":6,\"wire_bytes_sent\":7,\"in_doubt\":8,\"records_ahead\":10,\"records_ahead_ms\":11,\"clock_ahead_ms"
	    "\":-9,\"clocks_heard\":2,\"peers\":[{\"name\":\"eu\",\"state\":\"up\",\"reason\":\"\",\"silent_ms\":5"
	    ",\"lag_known\":true,\"round_trip_ms\":75.500,\"lag_records\":12345,\"lag_bytes\":2048,\"lag_ms\":1300"
	    ",\"age_ms\":14},{\"name\":\"ap\",\"state\":\"down\",\"reason\":\"silent for 4.3 s\",\"silent_ms\":432"
	    "1,\"lag_known\":false,\"round_trip_ms\":75.500,\"lag_records\":12345,\"lag_bytes\":2048,\"lag_ms\":13"
	    "00,\"age_ms\":14}]}\n"
	    "{\"name\":\"eu\",\"id\":1,\"endpoint\":\"tcp://127.0.0.1:2410\",\"state\":\"up\",\"reachable\":true,\""
	    "reason\":\"\",\"rows\":1234567,\"conflicts\":1000,\"conflicts_dropped\":3,\"digest\":\"f4000000000000"
	    "000000000000000003\",\"applied\":\"1:5,3:7\",\"map_bytes\":4,\"log_bytes\":5767168,\"raw_bytes_sent\""
	    ":6,\"wire_bytes_sent\":7,\"in_doubt\":0,\"records_ahead\":0,\"records_ahead_ms\":0,\"peers\":[]}\n"
	    "{\"name\":\"ap\",\"id\":2,\"endpoint\":\"tcp://127.0.0.1:2420\",\"state\":\"silent\",\"reachable\":fa"
	    "lse,\"reason\":\"UNREACHABLE: not reachable\"}\n",
	    "");
	all_silent = true;
	printed(run("status" HERE), 5,
	    "REGION           STATE                ROWS  CONFLICTS   WRITES/S    READS/S RECEIVED/S        LOG  DI"
	    "GEST\n"
	    "us               silent       UNREACHABLE: not reachable\n"
	    "eu               silent       UNREACHABLE: not reachable\n"
	    "ap               silent       UNREACHABLE: not reachable\n"
	    "\n"
	    "us is silent: UNREACHABLE: not reachable\n"
	    "eu is silent: UNREACHABLE: not reachable\n"
	    "ap is silent: UNREACHABLE: not reachable\n",
	    "");
}

/* A word for each thing that may be wrong, and why. */
Test(regions, F24_status_words)
{
	fake_answer = status_answer;
	static const struct {
		const char *state, *refusing, *peer, *out, *in, *key;
		uint64_t silent_ms;
		const char *says;
	} all[] = {
	    {"ready", "", "up", "subscribed", "subscribed", "", 2999, NULL},
	    {"down", "", "up", "subscribed", "subscribed", "", 0,
	        "us is impaired: its coordinator is down: no writes, no strong reads"},
	    {"backing_off", "", "up", "subscribed", "subscribed", "", 0,
	        "us is impaired: its coordinator is started again and again: no writes, no strong reads"},
	    {"ready", "", "up", "subscribed", "subscribed", "", 3000, "us is hanging: its coordinator has not moved for 3.0 s"},
	    {"ready", "DISK_FULL", "up", "subscribed", "subscribed", "", 0, "us is refusing: refuses all writes: DISK_FULL"},
	    {"ready", "", "up", "subscribed", "refused", "", 0,
	        "us is refused: eu refuses it its stream: WHY\nus to eu is refused: it refuses its stream: WHY"},
	    {"ready", "", "up", "subscribed", "needs_resync", "", 0,
	        "us is needs_resync: eu no longer has the records that are missing here"},
	    {"ready", "", "up", "needs_resync", "subscribed", "", 0,
	        "us to eu is needs_resync: it needs records that this region no longer has"},
	    {"ready", "", "up", "refused", "subscribed", "", 0, "us to eu is refused: the stream to it is refused"},
	    {"ready", "", "up", "down", "subscribed", "", 0, "us to eu is unstreamed: it does not take this region's stream"},
	    {"ready", "", "up", "subscribed", "down", "", 0, "us to eu is unstreamed: its stream does not come"},
	    {"ready", "", "lagging", "subscribed", "subscribed", "", 0,
	        "us to eu is lagging: the oldest record that it is missing is 1.3 s old"},
	    {"ready", "", "drained", "subscribed", "subscribed", "", 0,
	        "us to eu is drained: the oldest record that it is missing is 1.3 s old"},
	    {"ready", "", "lagging", "held", "subscribed", "", 0,
	        "us to eu is held: the topologies differ in keyspace carts: what was written from its first record on waits "
	        "here"},
	    {"ready", "", "up", "subscribed", "held", "", 0,
	        "us to eu is held: the topologies differ in a keyspace: what was written from its first record on waits there"},
	    {"ready", "", "down", "held", "held", "", 0, "us to eu is down: silent for 0.0 s"},
	    {"ready", "", "unknown", "subscribed", "subscribed", "", 0, "us to eu is unknown"},
	    {"ready", "", "down", "down", "down", "", 0, "us to eu is down: silent for 0.0 s"},
	    {"ready", "", "down", "down", "down", "unknown", 0,
	        "us to eu is key refused: its host does not let in this region's key"},
	    {"ready", "", "unknown", "down", "down", "differs", 0,
	        "us to eu is key refused: it has another key than the one known for it here"},
	};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		us_state = all[i].state;
		us_refusing = all[i].refusing;
		peer_state = all[i].peer;
		peer_out = all[i].out;
		peer_in = all[i].in;
		peer_key = all[i].key;
		us_silent_ms = all[i].silent_ms;
		const struct ran *ran = run("status" HERE);
		const char *complaints = strstr(ran->out, "\n\nclocks");
		cr_assert(ran->code == 1 && complaints);
		if (all[i].says)
			cr_assert(strstr(complaints, all[i].says), "%zu: no '%s' in: %s", i, all[i].says, complaints);
		else
			cr_assert(!strstr(complaints, "us is") && !strstr(complaints, "us to eu"), "%zu: %s", i, complaints);
		cr_assert(strstr(complaints, "us to ap is down: silent for 4.3 s"), "%zu: %s", i, complaints);
		cr_assert(strstr(complaints, "\nap is silent: UNREACHABLE: "), "%zu: %s", i, complaints);
		cr_assert(!strstr(complaints, "\neu is"), "%zu: %s", i, complaints);
	}
}

/* --- verify --- */

enum eu_is { EU_SAME, EU_OTHER, EU_BEHIND, EU_SILENT, EU_LATE };
static enum eu_is eu_is;

static void bucket_answer(const char *region, const struct client_operation *operation, Godwit__Client__Answer *answer)
{
	static Godwit__Client__Row rows[2], *list[2];
	static const char *const keys[] = {"k1", "k\t2"};
	bool after = operation->after_size != 0, differs = eu_is != EU_SAME && eu_is != EU_BEHIND;
	if (operation->limit != 5)
		return;
	for (int i = 0; i < 2; i++) {
		godwit__client__row__init(&rows[i]);
		list[i] = &rows[i];
		rows[i].key = bytes(keys[i]);
		rows[i].value = bytes(i && differs && strcmp(region, "eu") == 0 ? "fedcba9876543210" : "0123456789abcdef");
	}
	answer->rows = after ? list + 1 : list;
	answer->n_rows = differs && strcmp(region, "ap") == 0 && after ? 0 : 1;
	answer->more = !after;
}

static void verify_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static Godwit__Client__Digests digests;
	static uint8_t applied[VECTOR_ENCODED_MAX], buckets[DIGEST_BUCKETS * 16];
	static uint32_t asked_eu;
	bool is_eu = strcmp(region, "eu") == 0, is_default = strcmp(operation->keyspace, "default") == 0;
	struct vector vector;
	if (operation->kind == CLIENT_BUCKET) {
		if (is_default)
			bucket_answer(region, operation, answer);
		return;
	}
	if (is_eu && eu_is == EU_SILENT) {
		result->code = ERR_UNREACHABLE;
		return;
	}
	bool is_behind = is_eu && is_default && (eu_is == EU_BEHIND || (eu_is == EU_LATE && asked_eu++ < 1));
	/* The others go on writing. */
	if (eu_is == EU_LATE && strcmp(region, "us") == 0 && is_default)
		cr_assert_eq(vector_parse(&vector, asked_eu < 2 ? "1:5,3:7" : "1:5,3:8"), 0);
	else
		cr_assert_eq(vector_parse(&vector, is_behind ? "1:5,3:6" : "1:5,3:7"), 0);
	godwit__client__digests__init(&digests);
	digests.applied = (ProtobufCBinaryData){vector_encode(&vector, applied), applied};
	digests.live_rows = 1000;
	memset(buckets, 0, sizeof buckets);
	buckets[5 * 16] = is_eu && is_default && eu_is == EU_OTHER ? 1 : 2;
	digests.buckets = (ProtobufCBinaryData){sizeof buckets, buckets};
	answer->digests = &digests;
}

Test(regions, F24_verify)
{
	fake_answer = verify_answer;
	printed(run("verify --wait-ms 0" HERE), 0,
	    "REGION                   ROWS  DIGEST                           APPLIED\n"
	    "us                      3,000  00000000000000000000000000000006 1:5,3:7\n"
	    "eu                      3,000  00000000000000000000000000000006 1:5,3:7\n"
	    "ap                      3,000  00000000000000000000000000000006 1:5,3:7\n"
	    "identical\n",
	    "");
	asked("us digests default\nus digests orders\nus digests prices\neu digests default\neu digests orders\neu digests "
	      "prices\n"
	      "ap digests default\nap digests orders\nap digests prices\n");
	printed(run("verify --wait-ms 0 -k orders" HERE), 0,
	    "REGION                   ROWS  DIGEST                           APPLIED\n"
	    "us                      1,000  00000000000000000000000000000002 1:5,3:7\n"
	    "eu                      1,000  00000000000000000000000000000002 1:5,3:7\n"
	    "ap                      1,000  00000000000000000000000000000002 1:5,3:7\n"
	    "identical\n",
	    "");
	asked("us digests orders\neu digests orders\nap digests orders\n");
	eu_is = EU_OTHER;
	printed(run("verify --wait-ms 0 -k default" HERE), 1,
	    "REGION                   ROWS  DIGEST                           APPLIED\n"
	    "us                      1,000  00000000000000000000000000000002 1:5,3:7\n"
	    "eu                      1,000  00000000000000000000000000000001 1:5,3:7\n"
	    "ap                      1,000  00000000000000000000000000000002 1:5,3:7\n"
	    "  default/k\\t2: us 30313233, eu 66656463, ap absent\n",
	    "CHECK_FAILED: 1 rows differ between regions that applied the same writes\n");
	const struct ran *ran = run("verify --wait-ms 0 --json" HERE);
	cr_assert(ran->code == 1 &&
	              strstr(ran->out, "\"identical\":false,\"comparable\":true,\"reason\":\"1 rows differ between regions"),
	    "%s", ran->out);
	cr_assert(strstr(ran->out, "\"divergent_rows\":1,\"divergent\":[{"), "%s", ran->out);
	cr_assert(
	    strstr(ran->out,
	        "{\"name\":\"eu\",\"rows\":3000,\"digest\":\"00000000000000000000000000000005\",\"applied\":\"1:5,3:7\"}"),
	    "%s", ran->out);
	eu_is = EU_BEHIND;
	printed(run("verify --wait-ms 0 -k default" HERE), 0, "identical, compared row by row while writes go on\n", "");
	eu_is = EU_SILENT;
	printed(run("verify --wait-ms 0 -k default" HERE), 1,
	    "REGION                   ROWS  DIGEST                           APPLIED\n"
	    "us                      1,000  00000000000000000000000000000002 1:5,3:7\n"
	    "eu                          -  UNREACHABLE: not reachable\n"
	    "ap                      1,000  00000000000000000000000000000002 1:5,3:7\n",
	    "CHECK_FAILED: not comparable: no answer from eu (UNREACHABLE: not reachable)\n");
	eu_is = EU_LATE;
	printed(run("verify --wait-ms 0 -k default" HERE), 1, "  default/k\\t2: us 30313233, eu 66656463, ap absent\n",
	    "CHECK_FAILED: 1 rows differ between regions that applied the same writes to them\n");
	refused(2, "--region goes with --acked only", "verify -r us" HERE);
	refused(3, "keyspace later is of a level that is not available", "verify -k later" HERE);
	refused(3, "there is no keyspace 'none'", "verify -k none" HERE);
}

/* --- load and txn --- */

static void load_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static unsigned overloaded;
	const char *key = operation->key;
	(void)region;
	(void)answer;
	result->answered_ns = cli_now_ns();
	if (operation->key_size == 4 && memcmp(key, "full", 4) == 0 && overloaded++ < 1)
		result->code = ERR_OVERLOADED;
	else if (operation->key_size == 2 && memcmp(key, "no", 2) == 0)
		result->code = ERR_DISK_FULL;
	else if (operation->key_size == 3 && memcmp(key, "who", 3) == 0)
		result->code = ERR_UNKNOWN_OUTCOME;
	else
		result->answered_ns += 5000000;
}

Test(regions, F24_load)
{
	static const char counts[] =
	    "{\"read\":5,\"skipped\":0,\"ok\":3,\"refused\":1,\"unknown\":1,\"unreachable\":0,\"retried\":1,"
	    "\"bytes\":11,\"seconds\":";
	double p50_ms, p99_ms;
	fake_answer = load_answer;
	put_file("rows.tsv", "a\t1\nfull\t22\nno\t3\nwho\t4\nb\\t\t5\n");
	const struct ran *ran = run("load rows.tsv --acked acked" HERE);
	cr_assert_eq(ran->code, 4, "%d: %s", ran->code, ran->err);
	cr_assert(
	    strstr(ran->err, "line 3, key no, us: DISK_FULL: ") && strstr(ran->err, "line 4, key who, us: UNKNOWN_OUTCOME: "),
	    "%s", ran->err);
	cr_assert(!strstr(ran->err, "key full") && !strstr(ran->err, "key a"), "%s", ran->err);
	asked("us put - key=a value=1\nus put - key=full value=22\nus put - key=no value=3\nus put - key=who value=4\nus put - "
	      "key=b\t value=5\n"
	      "us put - key=full value=22\n");
	cr_assert_str_eq(file_text("acked"), "a\tus\t-\nb\\t\tus\t-\nfull\tus\t-\n", "%s", file_text("acked"));
	ran = run("load rows.tsv --json -k prices -r eu" HERE);
	cr_assert_eq(ran->code, 4);
	cr_assert(strstr(file_text("asked"), "eu put prices key=a value=1\n"));
	cr_assert(strncmp(ran->out, counts, strlen(counts)) == 0, "%s", ran->out);
	const char *p50 = strstr(ran->out, "\"p50_ms\":"), *p99 = strstr(ran->out, "\"p99_ms\":");
	cr_assert(p50 && sscanf(p50, "\"p50_ms\":%lf", &p50_ms) == 1 && p50_ms > 4 && p50_ms < 50, "%s", ran->out);
	cr_assert(p99 && sscanf(p99, "\"p99_ms\":%lf", &p99_ms) == 1 && p99_ms >= p50_ms && p99_ms < 50, "%s", ran->out);
}

static void txn_answer(
    const char *region, const struct client_operation *operation, struct client_result *result, Godwit__Client__Answer *answer)
{
	static uint8_t version[COMMIT_VERSION_SIZE];
	(void)region;
	(void)answer;
	cr_assert_eq(operation->steps[0].kind, CLIENT_PUT);
	commit_version_encode((struct commit_id){.hlc = 1764000000000ull << 16 | 5, .region = 1}, version);
	result->version = version;
	result->version_size = sizeof version;
	result->hlc = 7;
}

Test(regions, F24_txn)
{
	fake_answer = txn_answer;
	put_file("steps", "put a 1\ndel b\ncheck c absent\n");
	printed(run("txn steps -k orders" HERE), 0, "1764000000000.5@1\n", "");
	asked("us transaction - steps=3\n");
	printed(run("txn steps -k orders --json -r eu" HERE), 0,
	    "{\"version\":\"1764000000000.5@1\",\"hlc\":\"7\",\"keys\":3,\"took_us\":2500}\n", "");
	asked("eu transaction - steps=3\n");
	const struct ran *ran = run("txn steps -k prices" HERE);
	cr_assert(ran->code == 2 && strstr(ran->err, "transactions need keyspaces of level strong, prices is eventual") &&
	              strstr(ran->err, "3 mistakes in steps: nothing was sent"),
	    "%s", ran->err);
	put_file("steps", "in none put a 1\n");
	ran = run("txn steps" HERE);
	cr_assert(ran->code == 2 && strstr(ran->err, "there is no keyspace 'none'") &&
	              strstr(ran->err, "1 mistake in steps: nothing was sent"),
	    "%s", ran->err);
	refused(2, "no-such: No such file", "txn no-such" HERE);
	asked("");
}

Test(regions, F24_directories_that_are_none)
{
	refused(2, "--dir data/topology.yaml/x: Not a directory", "status --dir data/topology.yaml/x");
	refused(2, "--keys data/topology.yaml/x: Not a directory", "status --keys data/topology.yaml/x" HERE);
	refused(5, "nothing was ever started in nowhere", "status --dir nowhere");
	refused(2, "unknown command 'stat'; `godwit help` lists them", "stat");
	refused(2, "missing argument; usage: godwit put K V", "put k" HERE);
	refused(2, "too many arguments; usage: godwit get K", "get k l" HERE);
}
