/* SPDX-License-Identifier: Apache-2.0
 *
 * What `up`, `up --check` and `restart` look at before they start or stop anything. tests/e2e/up_check.sh has the same with
 * regions that run. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/keys.h"
#include "runtime/keyspaces.h"
#include "shm/role_lock.h"
#include "tests/unit/cmd/command.h"

/* In the place of the resolver: names of `.unit` are known as told here, and each question is counted, whichever process asks.
 */
static _Atomic unsigned *asked;

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
    struct addrinfo **restrict found)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
	    (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
	if (hints->ai_flags & AI_NUMERICHOST || !strstr(name, ".unit"))
		return real(name, service, hints, found);
	++*asked;
	if (strncmp(name, "slow", 4) == 0)
		sleep(20);
	return strncmp(name, "here", 4) == 0    ? real("127.0.0.1", service, hints, found)
	       : strncmp(name, "there", 5) == 0 ? real("198.51.100.1", service, hints, found)
	                                        : EAI_NONAME;
}

static unsigned base; /* of the ports of this test alone */
static char here[200];
static pid_t supervisor;

static void topology_put(const char *path, const char *us, const char *eu, const char *keyspaces)
{
	put_file(path,
	    "cluster: unit\nregions:\n"
	    "  - { name: us, id: 0, nodes: [\"%s:%u\"] }\n"
	    "  - { name: eu, id: 1, nodes: [\"%s:%u\"] }\n"
	    "keyspaces:\n%s",
	    us, base, eu, base + 10, keyspaces);
}

static void set_up(void)
{
	asked = mmap(NULL, sizeof *asked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(asked, MAP_FAILED);
	command_set_up();
	base = 2048 + (unsigned)getpid() % 90 * 100;
	topology_put("topology.yaml", "127.0.0.1", "127.0.0.1", "  - { name: prices }\n");
	snprintf(here, sizeof here, "--dir %s/data --topology topology.yaml", command_dir);
}

static void tear_down(void)
{
	if (supervisor > 0)
		kill(supervisor, SIGKILL);
	command_tear_down();
}
TestSuite(up, .init = set_up, .fini = tear_down);

/* Holds data/us as a supervisor does, and ends when it is told to. */
static void supervisor_pose(void)
{
	struct error_context error;
	int told[2], fd;
	char yes;
	cr_assert(mkdir("data", 0700) == 0 && mkdir("data/us", 0700) == 0 && pipe(told) == 0);
	supervisor = fork();
	if (supervisor == 0) {
		prctl(PR_SET_NAME, "godwit-supervisor");
		bool good =
		    role_lock_take("data/us/supervisor.lock", "supervisor", 0, &fd, &error) == 0 && write(told[1], "y", 1) == 1;
		while (good)
			pause();
		_exit(1);
	}
	close(told[1]);
	cr_assert_eq(read(told[0], &yes, 1), 1);
	close(told[0]);
	put_file("data/us/supervisor.pid", "%d\n", (int)supervisor);
	put_file("data/link.base", "%u\n", base + 40);
}
static void still_runs(const char *what)
{
	cr_assert_eq(waitpid(supervisor, NULL, WNOHANG), 0, "%s: the region was stopped", what);
}

Test(up, F15_each_name_is_asked_for_once)
{
	topology_put("topology.yaml", "here.unit", "there.unit", "  - { name: prices }\n");
	done("keys init -r us %s", here);
	const struct ran *ran = run("up --check %s", here);
	cr_assert(strstr(ran->err, "the public key of eu is not in"), "%s", ran->err);
	cr_assert_eq(*asked, 2, "--check: %u questions", *asked);
	*asked = 0;
	ran = run("up %s", here);
	cr_assert(strstr(ran->err, "the public key of eu is not in"), "%s", ran->err);
	cr_assert_eq(*asked, 2, "up: %u questions", *asked);
	*asked = 0;
	refused(2, "eu belongs to there.unit, which is not this machine", "restart eu %s", here);
	cr_assert_eq(*asked, 2, "restart: %u questions", *asked);
	*asked = 0;
	done("keys init --dir other --topology topology.yaml");
	cr_assert_eq(*asked, 2, "keys init: %u questions", *asked);
	cr_assert(file_text("other/keys/us.public") && !file_text("other/keys/eu.public"));
}

static double seconds_since(const struct timespec *began)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

Test(up, F15_a_resolver_that_does_not_answer_is_not_waited_for)
{
	struct timespec began;
	topology_put("topology.yaml", "slow1.unit", "slow2.unit", "  - { name: prices }\n");
	clock_gettime(CLOCK_MONOTONIC, &began);
	const struct ran *ran = run("up --check %s", here);
	cr_assert_lt(seconds_since(&began), 15, "20 s for each question, else");
	cr_assert_eq(ran->code, 2);
	cr_assert(strstr(ran->err, "us: slow1.unit: no answer from the resolver within 5 s") &&
	              strstr(ran->err, "eu: slow2.unit: no answer from the resolver within 5 s") &&
	              strstr(ran->err, "no region of the topology has an address of this machine"),
	    "%s", ran->err);
	cr_assert(!strstr(ran->err, "secret"), "%s", ran->err);
}

static void expected_check(const char *says, const char *command)
{
	refused(2, says, "%s %s", command, here);
	still_runs(says);
}
/* --check, restart of the region and of an actor say the same, and the region runs on. */
static void expected(const char *says)
{
	expected_check(says, "up --check");
	expected_check(says, "restart us");
	expected_check(says, "restart router -r us");
	expected_check(says, "restart coordinator -r us");
}

/* All regions are of this machine, so that keys are made here: those that are there are looked at all the same. */
Test(up, G18_restart_looks_at_the_keys_before_it_stops_a_region)
{
	struct error_context error;
	supervisor_pose();
	cr_assert(keys_make("data/keys", "us", &error) == 0 && keys_make("data/keys", "eu", &error) == 0 &&
	          keys_make("data/keys", "client", &error) == 0);
	done("up --check %s", here);
	static const char *const secrets[] = {"us", "eu", "client"};
	for (int i = 0; i < 3; i++) {
		char path[64], aside[80], says[64];
		snprintf(path, sizeof path, "data/keys/%s.secret", secrets[i]);
		snprintf(aside, sizeof aside, "%s.aside", path);
		snprintf(says, sizeof says, "%s.secret: mode 644", secrets[i]);
		cr_assert_eq(chmod(path, 0644), 0);
		expected(says);
		cr_assert(chmod(path, 0600) == 0 && rename(path, aside) == 0);
		snprintf(says, sizeof says, "%s.public is there without its secret", secrets[i]);
		expected(says);
		cr_assert_eq(rename(aside, path), 0);
	}
	cr_assert(rename("data/keys/eu.public", "data/keys/eu.aside") == 0 &&
	          link("data/keys/us.public", "data/keys/eu.public") == 0);
	expected("eu.secret does not belong to eu.public beside it");
	cr_assert_eq(rename("data/keys/eu.aside", "data/keys/eu.public"), 0);
	cr_assert(
	    keys_rotate("data/keys", "us", &error) == 0 && rename("data/keys/us.next.secret", "data/keys/us.secret") == 0);
	expected("the rotation of us was interrupted half-way");
	cr_assert_eq(keys_rotate_finish("data/keys", "us", &error), 0);
	cr_assert_eq(chmod("data/keys", 0770), 0);
	expected("must be a directory that only its owner can write");
	cr_assert_eq(chmod("data/keys", 0700), 0);
	done("up --check %s", here);
	/* A public key alone that is gone is made anew. */
	cr_assert_eq(unlink("data/keys/eu.public"), 0);
	done("up --check %s", here);
	cr_assert(!file_text("data/keys/eu.public"), "--check makes nothing");
}

/* On one of several hosts nothing is made, the commands' own key neither. */
Test(up, G18_on_one_of_several_hosts_no_key_is_made)
{
	struct error_context error;
	char eu[KEY_TEXT_SIZE];
	supervisor_pose();
	cr_assert(keys_make("elsewhere", "eu", &error) == 0 && keys_load_public("elsewhere", "eu", eu, &error) == 0);
	done("keys init -r us %s", here);
	expected("the public key of eu is not in");
	cr_assert_eq(keys_import("data/keys", "eu", eu, false, false, NULL, &error), 0);
	done("up --check %s", here);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(unlink(i ? "data/keys/us.secret" : "data/keys/client.secret"), 0);
		cr_assert_eq(unlink(i ? "data/keys/us.public" : "data/keys/client.public"), 0);
		const char *says = i ? "the secret of us is not in" : "the secret of this host's commands (client) is not in";
		refused(2, says, "up -r us %s", here);
		refused(2, says, "up --check -r us %s", here);
		refused(2, says, "restart us %s", here);
		still_runs(says);
		cr_assert(!file_text(i ? "data/keys/us.secret" : "data/keys/client.secret"), "%s", says);
		done("keys init -r us %s", here);
	}
	cr_assert_eq(chmod("data/keys/client.secret", 0640), 0);
	expected("client.secret: mode 640");
}

Test(up, F16_restart_looks_at_the_keyspaces_before_it_stops_a_region)
{
	static struct topology topology;
	struct error_context error;
	supervisor_pose();
	cr_assert_eq(topology_load(&topology, "topology.yaml", NULL, &error), 0, "%s", error.text);
	cr_assert_eq(keyspaces_resolve(&topology, "data/us", true, &error), 0, "%s", error.text);
	done("up --check %s", here);
	topology_put("topology.yaml", "127.0.0.1", "127.0.0.1", "  - { name: dear }\n");
	refused(2, "us: ", "restart us %s", here);
	still_runs("a keyspace that is missing");
	const struct ran *ran = refused(2, "us: ", "up --check %s", here);
	cr_assert(strstr(ran->err, "prices"), "%s", ran->err);
}

static int port_take(unsigned port)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0, "port %u", port);
	return fd;
}

Test(up, F16_restart_looks_at_the_ports_of_the_emulator_before_it_stops_a_region)
{
	char says[128];
	supervisor_pose();
	int fd = port_take(base + 46);
	snprintf(
	    says, sizeof says, "the link emulator (--link-base): port %u of 127.0.0.1 is taken by another program", base + 46);
	refused(2, says, "restart us %s", here);
	still_runs(says);
	refused(2, says, "up %s", here);
	close(fd);
	done("up --check %s", here);
	/* Its own ports are the region's as long as it runs. */
	fd = port_take(base + 3);
	done("up --check %s", here);
	close(fd);
	fd = port_take(base + 13);
	snprintf(says, sizeof says, "eu: port %u of 127.0.0.1 is taken by another program", base + 13);
	refused(2, says, "up --check %s", here);
	close(fd);
}

Test(up, F15_what_cannot_be_started_here_leaves_no_directory)
{
	topology_put("topology.yaml", "127.0.0.1", "198.51.100.1", "  - { name: prices }\n");
	refused(2, "no secret of a region of this machine is in", "up %s", here);
	refused(2, "eu belongs to 198.51.100.1, which is not this machine", "up -r eu %s", here);
	cr_assert_neq(access("data", F_OK), 0);
	topology_put("topology.yaml", "198.51.100.2", "198.51.100.1", "  - { name: prices }\n");
	refused(2, "no region of the topology has an address of this machine", "up %s", here);
	cr_assert_neq(access("data", F_OK), 0);
	const struct ran *ran = run("up --check --dir topology.yaml --topology topology.yaml");
	cr_assert(ran->code == 2 && strstr(ran->err, "topology.yaml: is no directory"), "%s", ran->err);
}

Test(up, F24_down_says_what_became_of_each)
{
	const struct ran *ran = done("down --dir fresh --topology topology.yaml");
	cr_assert_str_eq(ran->out, "no region was ever started in fresh\n");
	supervisor_pose();
	refused(2, "there is no region 'mars'", "down -r mars %s", here);
	ran = done("down -r eu %s", here);
	cr_assert_str_eq(ran->out, "eu               was not running\n");
	still_runs("down of another");
	ran = done("down %s", here);
	cr_assert(strncmp(ran->out, "us               stopped  (", 27) == 0 && strcmp(strchr(ran->out, '\n'), "\n") == 0, "%s",
	    ran->out);
	cr_assert_eq(waitpid(supervisor, NULL, 0), supervisor);
	supervisor = 0;
	ran = done("down %s", here);
	cr_assert_str_eq(ran->out, "us               was not running\n");
	ran = done("down --json %s", here);
	cr_assert(strstr(ran->out, "{\"name\":\"us\",\"ran\":false,\"killed\":false,\"took_ms\":") == ran->out, "%s", ran->out);
	refused(2, "'rooter' is neither an actor (coordinator, streamer, monitor, router, reconciler) nor a region",
	    "restart rooter %s", here);
}
