/* SPDX-License-Identifier: Apache-2.0
 *
 * Coordinator and router as processes, without a supervisor: writes and reads through libgodwit, SIGKILL under load, repeats,
 * draining, a clean stop. Arguments: the two programs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "core/hlc.h"
#include "core/record.h"
#include "proto/client.pb-c.h"
#include "runtime/admin.h"
#include "runtime/keys.h"
#include "runtime/loop.h"
#include "shm/layout.h"
#include "tests/unit/client/short.h"

#define REGION "here"
#define OTHER  "there" /* never started */
#define WRITES 20000u

#define CHECK(condition, ...)                                                                                                  \
	do {                                                                                                                   \
		if (!(condition)) {                                                                                            \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                        \
			fprintf(stderr, __VA_ARGS__);                                                                          \
			fputc('\n', stderr);                                                                                   \
			exit(1);                                                                                               \
		}                                                                                                              \
	} while (0)

static char dir[128], region_dir[160], topology_path[160], key_dir[160], endpoint[64];
static const char *programs[2];
static pid_t pids[2];
static struct shm shm;
static pid_t main_pid;

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *f)
{
	(void)s;
	(void)type;
	(void)f;
	return remove(path);
}

static void clean_up(void)
{
	if (getpid() != main_pid)
		return;
	for (int i = 0; i < 2; i++) {
		if (pids[i] > 0) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
	}
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static uint16_t port_free(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(fd, (struct sockaddr *)&address, size) == 0 && getsockname(fd, (struct sockaddr *)&address, &size) == 0,
	    "port");
	close(fd);
	return ntohs(address.sin_port);
}

/* Processor time that a process has used, in milliseconds. */
static uint64_t used_ms(pid_t pid)
{
	char path[64], text[1024];
	unsigned long long user = 0, system = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	CHECK(file && fgets(text, sizeof text, file) && strrchr(text, ')'), "%s", path);
	fclose(file);
	CHECK(sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) == 2,
	    "%s", text);
	return (user + system) * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
}

/* Starts one of the programs and waits until it says that it is ready. Returns the milliseconds of processor time that this
 * took: on a busy machine the clock on the wall says nothing of the program (H22). */
static uint64_t start(int which)
{
	int pipe_fds[2];
	char ready_fd[16], shm_fd[16], word[8] = {0};
	CHECK(pipe(pipe_fds) == 0, "pipe");
	pids[which] = fork();
	if (pids[which] == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pipe_fds[0]);
		snprintf(ready_fd, sizeof ready_fd, "%d", pipe_fds[1]);
		snprintf(shm_fd, sizeof shm_fd, "%d", shm.fd);
		fcntl(shm.fd, F_SETFD, 0);
		execl(programs[which], programs[which], "--dir", dir, "--region", REGION, "--topology", topology_path,
		    "--shm-fd", shm_fd, "--ready-fd", ready_fd, "--log-level", "warn",
		    which == 0 ? "--new-cluster" : (char *)NULL, (char *)NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	struct pollfd wait = {.fd = pipe_fds[0], .events = POLLIN};
	CHECK(poll(&wait, 1, 100000) == 1 && read(pipe_fds[0], word, 6) == 6, "%s did not start", programs[which]);
	close(pipe_fds[0]);
	return used_ms(pids[which]);
}

static int stop(int which, int signal_number)
{
	int status;
	kill(pids[which], signal_number);
	CHECK(waitpid(pids[which], &status, 0) == pids[which], "wait");
	pids[which] = 0;
	return status;
}

static void prepare(void)
{
	const char *base = getenv("TMPDIR");
	snprintf(dir, sizeof dir, "%.60s/godwit-coordinator-XXXXXX", base ? base : "/tmp");
	CHECK(mkdtemp(dir), "%s", dir);
	main_pid = getpid();
	snprintf(region_dir, sizeof region_dir, "%s/" REGION, dir);
	snprintf(key_dir, sizeof key_dir, "%s/keys", dir);
	snprintf(topology_path, sizeof topology_path, "%s/topology.yaml", dir);
	CHECK(mkdir(region_dir, 0700) == 0, "%s", region_dir);
	atexit(clean_up);
	unsigned io = port_free();
	snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", io);
	FILE *topology = fopen(topology_path, "w");
	fprintf(topology,
	    "cluster: test\nregions:\n  - { name: " REGION
	    ", id: 3, datacenter: here, nodes: [\"127.0.0.1:%u\"], is_primary: true, "
	    "priority: 1 }\n"
	    "  - { name: " OTHER ", id: 5, datacenter: there, nodes: [\"127.0.0.1:9\"], priority: 2 }\n"
	    "keyspaces:\n  - { name: locked, level: strong, ack: quorum }\n",
	    io);
	fclose(topology);
	struct error_context error = {0};
	CHECK(keys_make(key_dir, REGION, &error) == 0 && keys_make(key_dir, OTHER, &error) == 0 &&
	          keys_make(key_dir, KEY_NAME_CLIENT, &error) == 0,
	    "%s", error.text);
	CHECK(shm_create(&shm, 3, &error) == 0, "%s", error.text);
}

static struct gw_connection *connect_client(uint32_t timeout_ms)
{
	struct gw_connection *c;
	char error[320];
	struct gw_options options = {.endpoint = endpoint,
	    .key_dir = key_dir,
	    .region = REGION,
	    .timeout_ms = timeout_ms,
	    .pipeline_max = 512,
	    .batch_max = 64};
	CHECK(gw_connect(&c, &options, error) == 0, "%s", error);
	return c;
}

static uint8_t acknowledged[WRITES];
static uint32_t counts[3]; /* ok, refused, unknown */
static uint32_t probes;    /* writes to one key */

static void on_result(void *context, const struct client_result *result)
{
	(void)context;
	uint32_t index = (uint32_t)(uintptr_t)result->user;
	if (result->code == 0)
		acknowledged[index] = 1;
	counts[result->code == 0 ? 0 : error_exit_code(result->code) == 3 ? 1 : 2]++;
}

/* Until the router has found the new coordinator, it refuses. */
static void writes_wait(void)
{
	struct gw_connection *c = connect_client(5000);
	struct client_result result;
	int code = ERR_OVERLOADED;
	for (int i = 0; i < 500 && code == ERR_OVERLOADED; i++) {
		code = client_put(c, NULL, "probe", 5, "", 0, &result);
		if (code)
			usleep(10000);
	}
	CHECK(code == 0, "%d", code);
	probes++;
	gw_close(c);
}

/* The coordinator is killed three times while writes are under way. */
static void T27_kill_under_load(struct gw_connection *c)
{
	char key[32], value[64];
	for (uint32_t i = 0; i < WRITES; i++) {
		int size = snprintf(key, sizeof key, "key-%u", i);
		int value_size = snprintf(value, sizeof value, "value-%u", i);
		struct client_operation put = {.kind = CLIENT_PUT,
		    .key = key,
		    .key_size = (size_t)size,
		    .value = value,
		    .value_size = (size_t)value_size,
		    .user = (void *)(uintptr_t)i};
		while (client_submit(c, &put) == ERR_FULL)
			client_poll(c, 100, on_result, NULL);
		if (i == WRITES / 4 || i == WRITES / 2 || i == WRITES / 4 * 3) {
			stop(0, SIGKILL);
			uint64_t took_ms = start(0);
			CHECK(took_ms < 5000, "the restart took %llu ms of processor time", (unsigned long long)took_ms);
			writes_wait();
		}
	}
	while (gw_pending(c))
		client_poll(c, 100, on_result, NULL);
	CHECK(counts[0] > WRITES / 2, "%u ok, %u refused, %u unknown", counts[0], counts[1], counts[2]);
	for (uint32_t i = 0; i < WRITES; i++) {
		int size = snprintf(key, sizeof key, "key-%u", i);
		int value_size = snprintf(value, sizeof value, "value-%u", i);
		struct client_result result;
		int code = client_get(c, NULL, key, (size_t)size, &result);
		CHECK(!acknowledged[i] || (code == 0 && result.value_size == (size_t)value_size &&
		                              !memcmp(result.value, value, result.value_size)),
		    "%s was acknowledged: %d", key, code);
	}
	/* However often it was sent again, each was applied once: as many records as rows. */
	struct client_operation ask = {.kind = CLIENT_REGION};
	struct client_result result;
	CHECK(client_call(c, &ask, &result) == 0 && result.answer, "region: %d", result.code);
	const Godwit__Client__Region *region = ((const Godwit__Client__Answer *)result.answer)->region;
	struct vector applied;
	CHECK(region && vector_decode(&applied, region->applied.data, region->applied.len) > 0, "vector");
	CHECK(applied.sequence[3] - probes == region->live_rows - 1 && region->live_rows > counts[0],
	    "%llu records, %llu rows, %u ok", (unsigned long long)applied.sequence[3], (unsigned long long)region->live_rows,
	    counts[0]);
	printf("%u ok, %u refused, %u unknown; %llu rows\n", counts[0], counts[1], counts[2],
	    (unsigned long long)region->live_rows);
}

static void versions_and_deletes(struct gw_connection *c)
{
	struct client_result result;
	uint8_t version[GW_VERSION_SIZE_MAX];
	CHECK(client_put(c, NULL, "a", 1, "1", 1, &result) == 0, "%d", result.code);
	CHECK(client_get(c, NULL, "a", 1, &result) == 0 && result.siblings == 1, "%d", result.code);
	size_t version_size = result.version_size;
	memcpy(version, result.version, version_size);
	CHECK(client_put(c, NULL, "a", 1, "2", 1, &result) == 0, "%d", result.code);
	struct client_operation old = {.kind = CLIENT_PUT,
	    .key = "a",
	    .key_size = 1,
	    .value = "3",
	    .value_size = 1,
	    .version = version,
	    .version_size = version_size};
	CHECK(client_call(c, &old, &result) == 0, "%d", result.code);
	CHECK(client_get(c, NULL, "a", 1, &result) == 0 && result.siblings == 2 && result.value[0] == '3', "%d, %u siblings",
	    result.code, result.siblings);
	CHECK(client_delete(c, NULL, "a", 1, &result) == 0, "%d", result.code);
	CHECK(client_get(c, NULL, "a", 1, &result) == ERR_NOT_FOUND && result.version_size > 1, "%d", result.code);
	CHECK(client_put(c, "nowhere", "a", 1, "1", 1, &result) == ERR_UNKNOWN_KEYSPACE, "%d", result.code);
	CHECK(client_get(c, "nowhere", "a", 1, &result) == ERR_UNKNOWN_KEYSPACE, "%d", result.code);
	struct client_operation once = {
	    .kind = CLIENT_PUT, .key = "a", .key_size = 1, .value = "1", .value_size = 1, .condition = GW_IF_ABSENT};
	CHECK(client_call(c, &once, &result) == ERR_UNSUPPORTED, "%d", result.code);
	uint8_t ahead[VECTOR_ENCODED_MAX];
	old.version = ahead;
	old.version_size = vector_encode(&(struct vector){.sequence = {[3] = 1u << 30}}, ahead);
	CHECK(client_call(c, &old, &result) == ERR_CONTEXT_AHEAD, "%d", result.code);
}

static size_t in_doubt(struct gw_connection *c)
{
	struct client_operation ask = {.kind = CLIENT_IN_DOUBT};
	struct client_result result;
	CHECK(client_call(c, &ask, &result) == 0 && result.answer, "%d", result.code);
	return ((const Godwit__Client__Answer *)result.answer)->n_in_doubt;
}

static uint64_t took_ms(const struct client_result *result)
{
	return (result->answered_ns - result->submitted_ns) / 1000000;
}

/* One region of two is no majority. Just after a start the other one counts as there all the same: the outcome of what came
 * then is unknown (B17), in doubt over a restart, and holds up nothing but its own key. Later all is refused at once. */
static void T53_strong_without_a_majority(struct gw_connection *c)
{
	struct client_result result;
	struct client_operation put = {.kind = CLIENT_PUT,
	    .keyspace = "locked",
	    .key = "a",
	    .key_size = 1,
	    .value = "1",
	    .value_size = 1,
	    .timeout_ms = 400};
	stop(0, SIGKILL);
	start(0);
	writes_wait();
	CHECK(client_call(c, &put, &result) == ERR_UNKNOWN_OUTCOME, "%d", result.code);
	CHECK(in_doubt(c) == 1, "%zu in doubt", in_doubt(c));
	stop(0, SIGKILL);
	CHECK(start(0) < 1000, "the start took too long");
	writes_wait();
	CHECK(in_doubt(c) == 1, "%zu in doubt", in_doubt(c));
	CHECK(client_put(c, NULL, "a", 1, "1", 1, &result) == 0, "%d", result.code);
	for (int i = 0; i < 100; i++) {
		struct client_operation get = {
		    .kind = CLIENT_GET, .keyspace = "locked", .key = "b", .key_size = 1, .timeout_ms = 1000};
		CHECK(client_call(c, &get, &result) == ERR_NO_QUORUM, "%d", result.code);
		if (took_ms(&result) < 300)
			break;
	}
	CHECK(took_ms(&result) < 300, "it still waits for the other region");
	for (int i = 0; i < 2; i++, put.key = "b") {
		put.timeout_ms = 10000;
		CHECK(client_call(c, &put, &result) == ERR_NO_QUORUM && took_ms(&result) < 3000, "%d", result.code);
	}
	CHECK(in_doubt(c) == 1, "%zu in doubt", in_doubt(c));
	/* What this region has is there for whoever asks for no more. */
	struct client_operation weak = {
	    .kind = CLIENT_GET, .keyspace = "locked", .key = "a", .key_size = 1, .level = GW_LEVEL_EVENTUAL};
	CHECK(client_call(c, &weak, &result) == ERR_NOT_FOUND, "%d", result.code);
	const struct client_operation mixed[] = {
	    {.kind = CLIENT_PUT, .keyspace = "locked", .key = "c", .key_size = 1, .value = "1", .value_size = 1},
	    {.kind = CLIENT_PUT, .key = "c", .key_size = 1, .value = "1", .value_size = 1}};
	struct client_operation transaction = {.kind = CLIENT_TRANSACTION, .steps = mixed, .step_count = 2};
	CHECK(client_call(c, &transaction, &result) == ERR_LEVEL_UNAVAILABLE, "%d", result.code);
}

static void scans(struct gw_connection *c)
{
	struct client_result result;
	char after[32];
	struct client_operation scan = {.kind = CLIENT_SCAN, .key = "key-1", .key_size = 5, .limit = 1000, .after = after};
	uint32_t rows = 0;
	bool more;
	do {
		CHECK(client_call(c, &scan, &result) == 0 && result.answer, "%d", result.code);
		const Godwit__Client__Answer *answer = result.answer;
		CHECK(answer->n_rows <= 1000, "%zu", answer->n_rows);
		rows += (uint32_t)answer->n_rows;
		more = answer->more;
		if (answer->n_rows) {
			const Godwit__Client__Row *last = answer->rows[answer->n_rows - 1];
			memcpy(after, last->key.data, last->key.len);
			scan.after_size = last->key.len;
		}
	} while (more);
	uint32_t expected = 0, bucket_rows = 0;
	char key[32];
	for (uint32_t i = 0; i < WRITES; i++) {
		snprintf(key, sizeof key, "key-%u", i);
		expected += acknowledged[i] && !strncmp(key, "key-1", 5);
	}
	CHECK(rows >= expected, "%u rows, %u acknowledged", rows, expected);
	struct client_operation digests = {.kind = CLIENT_DIGESTS};
	CHECK(client_call(c, &digests, &result) == 0, "%d", result.code);
	const Godwit__Client__Answer *answer = result.answer;
	CHECK(answer->digests && answer->digests->buckets.len == DIGEST_BUCKETS * 16, "digests");
	uint64_t live_rows = answer->digests->live_rows;
	struct digest bucket[2] = {0};
	memcpy(&bucket[0], answer->digests->buckets.data + 16 * 7, 16);
	for (uint32_t b = 0; b < DIGEST_BUCKETS; b++) {
		struct client_operation operation = {.kind = CLIENT_BUCKET, .limit = b};
		CHECK(client_call(c, &operation, &result) == 0, "%d", result.code);
		answer = result.answer;
		bucket_rows += (uint32_t)answer->n_rows;
		for (size_t i = 0; b == 7 && i < answer->n_rows; i++) {
			struct digest one;
			memcpy(&one, answer->rows[i]->value.data, 16);
			digest_add(&bucket[1], one);
		}
	}
	CHECK(bucket_rows == live_rows, "%u rows in buckets, %llu live", bucket_rows, (unsigned long long)live_rows);
	CHECK(!memcmp(&bucket[0], &bucket[1], 16), "bucket 7 differs from the sum of its rows");
}

/* T39: a peer refuses this region as one that lost its disk. What it writes could never reach anybody. */
static void reused(struct gw_connection *c)
{
	struct client_result result;
	struct shm_link *link = &shm.layout->links[5];
	atomic_store(&link->inbound_code, ERR_REGION_REUSED); /* that region was */
	atomic_store(&link->inbound, LINK_REFUSED);
	CHECK(client_put(c, NULL, "r", 1, "1", 1, &result) == 0, "refused for another reason: %d", result.code);
	atomic_store(&link->reused, 1);
	CHECK(client_put(c, NULL, "r", 1, "1", 1, &result) == ERR_REGION_REUSED, "%d", result.code);
	CHECK(strstr(result.reason, "wiped"), "%s", result.reason);
	CHECK(client_put(c, "locked", "r", 1, "1", 1, &result) == ERR_REGION_REUSED, "%d", result.code);
	/* D6: rows that are known to be incomplete answer only who asks for them as they are. */
	const struct client_operation stale = {.kind = CLIENT_GET, .key = "key-1", .key_size = 5, .level = GW_LEVEL_STALE};
	usleep(100000); /* published with the next turn */
	CHECK(client_get(c, NULL, "key-1", 5, &result) == ERR_REGION_REUSED, "%d", result.code);
	CHECK(client_call(c, &stale, &result) == 0, "%d", result.code);
	atomic_store(&link->inbound, LINK_DOWN);
	atomic_store(&link->reused, 0); /* by a new streamer */
	CHECK(client_put(c, NULL, "r", 1, "1", 1, &result) == ERR_REGION_REUSED, "forgotten with the link: %d", result.code);
	atomic_store(&link->inbound, LINK_SUBSCRIBED);
	CHECK(client_put(c, NULL, "r", 1, "1", 1, &result) == 0, "%d", result.code);
	atomic_store(&link->inbound, LINK_DOWN);
}

/* What the streamer has met is durable before it is known; the first one stands; what another life has met counts for nothing.
 */
static void T39_peer_store(void)
{
	struct shm_coordinator *coordinator = &shm.layout->coordinator;
	struct store_id met = {{1, 2, 3}}, other = {{9}}, stores[REGIONS_MAX];
	store_table_read(&coordinator->stores, stores);
	struct store_id own = stores[3];
	CHECK(store_id_is_known(&own) && !store_id_is_known(&stores[5]), "before anything was met");
	store_seen_write(&shm.layout->links[5].seen, &other, &other);
	usleep(100000);
	store_table_read(&coordinator->stores, stores);
	CHECK(!store_id_is_known(&stores[5]), "met by another life of the directory");
	store_seen_write(&shm.layout->links[5].seen, &own, &met);
	for (int i = 0; i < 5000 && !store_id_is_known(&stores[5]); i++) {
		usleep(1000);
		store_table_read(&coordinator->stores, stores);
	}
	CHECK(store_id_is_equal(&stores[5], &met), "not published");
	stop(0, SIGKILL);
	memset(stores, 0, sizeof stores);
	store_table_write(&coordinator->stores, stores);
	store_seen_write(&shm.layout->links[5].seen, &own, &other);
	start(0);
	usleep(100000);
	store_table_read(&coordinator->stores, stores);
	CHECK(store_id_is_equal(&stores[3], &own) && store_id_is_equal(&stores[5], &met), "not what the log says");
}

static void draining(struct gw_connection *c)
{
	char admin[256], *json = NULL;
	struct error_context error = {0};
	struct client_result result;
	admin_endpoint(region_dir, "coordinator", admin);
	CHECK(admin_ask(admin, "drain", "", 2000, &json, &error) == 0, "%s", error.text);
	free(json);
	CHECK(client_put(c, NULL, "d", 1, "1", 1, &result) == ERR_DRAINING, "%d", result.code);
	CHECK(client_put(c, "locked", "d", 1, "1", 1, &result) == ERR_DRAINING, "%d", result.code);
	CHECK(client_get(c, NULL, "key-1", 5, &result) == 0, "%d", result.code);
	CHECK(admin_ask(admin, "undrain", "", 2000, &json, &error) == 0, "%s", error.text);
	free(json);
	CHECK(client_put(c, NULL, "d", 1, "1", 1, &result) == 0, "%d", result.code);
}

/* ---- the streamer's side of the ring ---- */

static struct ring ring;

static void inbound_push(uint64_t sequence)
{
	uint8_t bytes[256];
	char key[32];
	struct record record = {.dot = {.region = 5, .sequence = sequence},
	    .hlc = hlc_pack(clock_read().wall_ms, 0),
	    .key = (const uint8_t *)key,
	    .key_size = (uint32_t)snprintf(key, sizeof key, "there-%llu", (unsigned long long)sequence),
	    .value = (const uint8_t *)"foreign",
	    .value_size = 7};
	record.context.sequence[5] = sequence - 1;
	long size = record_encode(&record, bytes, sizeof bytes);
	CHECK(size > 0, "encode");
	while (ring_push(&ring, 0, bytes, (uint32_t)size) == ERR_FULL)
		usleep(1000);
}

static uint64_t applied_from_there(uint64_t wanted)
{
	struct vector applied;
	for (int i = 0; i < 5000; i++) {
		vector_slot_read(&shm.layout->coordinator.applied, &applied);
		if (applied.sequence[5] >= wanted)
			break;
		usleep(1000);
	}
	return applied.sequence[5];
}

/* A stream with repeats, a gap, and a coordinator that dies with records in the ring. */
static void T28_inbound(struct gw_connection *c)
{
	struct client_result result;
	struct counter_block *counters = &shm.layout->counters[ACTOR_COORDINATOR];
	CHECK(ring_attach(&ring, &shm.layout->inbound, shm.layout->inbound_bytes, SHM_INBOUND_RING_SIZE) == 0, "ring");
	for (uint64_t n = 1; n <= 20000; n++) {
		inbound_push(n);
		if (n % 100 == 0)
			inbound_push(n - 50);
	}
	CHECK(applied_from_there(20000) == 20000, "applied up to %llu", (unsigned long long)applied_from_there(0));
	CHECK(counter_get(counters, COUNTER_records_duplicate) == 200, "duplicates");
	inbound_push(20005);
	for (int i = 0; i < 5000 && !counter_get(counters, COUNTER_records_out_of_order); i++)
		usleep(1000);
	CHECK(counter_get(counters, COUNTER_records_out_of_order) == 1, "gap");
	uint64_t epoch = atomic_load(&shm.layout->coordinator.epoch);
	stop(0, SIGKILL);
	for (uint64_t n = 20001; n <= 20010; n++)
		inbound_push(n); /* of a stream that the dead coordinator asked for: forgotten, and asked for again */
	start(0);
	CHECK(atomic_load(&shm.layout->coordinator.epoch) == epoch + 1, "epoch");
	uint64_t from = applied_from_there(0);
	CHECK(from == 20000, "%llu", (unsigned long long)from);
	for (uint64_t n = from + 1; n <= 21000; n++)
		inbound_push(n);
	CHECK(applied_from_there(21000) == 21000, "applied up to %llu", (unsigned long long)applied_from_there(0));
	CHECK(client_get(c, NULL, "there-20003", 11, &result) == 0 && result.value_size == 7, "%d", result.code);
	CHECK(counters->histograms[HISTOGRAM_replication_lag_us].count == 21000, "lag");
}

int main(int argc, char **argv)
{
	CHECK(argc == 3, "usage: %s COORDINATOR ROUTER", argv[0]);
	programs[0] = argv[1];
	programs[1] = argv[2];
	prepare();
	start(0);
	start(1);
	struct gw_connection *c = connect_client(15000);
	T27_kill_under_load(c);
	versions_and_deletes(c);
	T53_strong_without_a_majority(c);
	scans(c);
	reused(c);
	T39_peer_store();
	draining(c);
	T28_inbound(c);
	/* Without a coordinator reads go on, and writes are refused or unknown, never lost silently. */
	CHECK(WIFEXITED(stop(0, SIGTERM)), "the coordinator did not stop in good order");
	struct client_result result;
	CHECK(client_get(c, NULL, "d", 1, &result) == 0, "%d", result.code);
	struct gw_connection *hasty = connect_client(300);
	int code = client_put(hasty, NULL, "e", 1, "1", 1, &result);
	CHECK(code == ERR_OVERLOADED || code == ERR_UNKNOWN_OUTCOME, "%d", code);
	gw_close(hasty);
	/* A stop in good order is a start without anything to repair. */
	start(0);
	writes_wait();
	CHECK(client_put(c, NULL, "e", 1, "1", 1, &result) == 0, "%d", result.code);
	CHECK(client_get(c, NULL, "e", 1, &result) == 0, "%d", result.code);
	gw_close(c);
	int status = stop(1, SIGTERM);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "router: %d", status);
	status = stop(0, SIGTERM);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "coordinator: %d", status);
	shm_detach(&shm);
	return 0;
}
