/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/address.h"
#include "runtime/topology.h"

static struct error_context error;

static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

Test(address, G19_local_addresses)
{
	char text[ADDRESS_TEXT_SIZE];
	cr_assert_eq(address_local_text("127.0.0.1", text, &error), 0, "%s", error.text);
	cr_assert_str_eq(text, "127.0.0.1");
	cr_assert_eq(address_local_text("localhost", text, &error), 0, "%s", error.text);
	cr_assert(strcmp(text, "127.0.0.1") == 0 || strcmp(text, "[::1]") == 0, "%s", text);
	cr_assert_eq(address_local_text("*", text, &error), 0);
	cr_assert_str_eq(text, "0.0.0.0");
	/* TEST-NET-1: nobody's. */
	cr_assert_eq(address_local_text("192.0.2.1", text, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "192.0.2.1 is no address of this machine"), "%s", error.text);
	cr_assert(!address_is_local("192.0.2.1") && address_is_local("127.0.0.7"));
	cr_assert_eq(address_local_text("nowhere.invalid", text, &error), ERR_CONFIGURATION);
	cr_assert(address_is_wildcard("[::]") && address_is_wildcard("0.0.0.0") && address_is_wildcard("*") &&
	          !address_is_wildcard("::1"));
}

/* Known or not, and of this machine or not, by one question. */
Test(address, F15_a_host_that_is_looked_at)
{
	char text[ADDRESS_TEXT_SIZE] = "";
	cr_assert_eq(address_look("127.0.0.7", text, &error), 0);
	cr_assert_str_eq(text, "127.0.0.7");
	cr_assert_eq(address_look("198.51.100.1", text, &error), 0, "an address is known wherever it is");
	cr_assert_str_eq(text, "");
	cr_assert_eq(address_look("nowhere.invalid", text, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "nowhere.invalid: "), "%s", error.text);
	cr_assert(address_is_numeric("127.0.0.1") && address_is_numeric("[::1]") && address_is_numeric("*") &&
	          !address_is_numeric("localhost") && !address_is_numeric("nowhere.invalid"));
}

Test(address, G19_a_local_ipv6_address)
{
	char text[ADDRESS_TEXT_SIZE];
	if (!has_ipv6())
		cr_skip_test("no IPv6 here");
	cr_assert_eq(address_local_text("[::1]", text, &error), 0, "%s", error.text);
	cr_assert_str_eq(text, "[::1]");
}

Test(address, G19_an_address_of_any_machine)
{
	struct sockaddr_storage address;
	socklen_t size = 0;
	cr_assert_eq(address_find("192.0.2.1", 7400, &address, &size, &error), 0, "%s", error.text);
	const struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	cr_assert(address.ss_family == AF_INET && size == sizeof *v4);
	cr_assert_eq(v4->sin_addr.s_addr, htonl(0xc0000201));
	cr_assert_eq(v4->sin_port, htons(7400));
	cr_assert_eq(address_find("[2001:db8::7]", 7401, &address, &size, &error), 0, "%s", error.text);
	const struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	cr_assert(address.ss_family == AF_INET6 && size == sizeof *v6);
	cr_assert(v6->sin6_addr.s6_addr[0] == 0x20 && v6->sin6_addr.s6_addr[15] == 7);
	cr_assert_eq(v6->sin6_port, htons(7401));
	cr_assert_eq(address_find("nowhere.invalid", 1, &address, &size, &error), ERR_CONFIGURATION);
	cr_assert(strstr(error.text, "nowhere.invalid: "), "%s", error.text);
}

Test(address, G19_a_port_that_is_taken)
{
	struct sockaddr_storage address;
	socklen_t size;
	int probe = -1, fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(address_local("127.0.0.1", 0, &address, &size, &error), 0);
	cr_assert(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0 &&
	          getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	uint16_t port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	cr_assert_eq(address_port_open("127.0.0.1", port, &probe, &error), ERR_ALREADY_RUNS);
	cr_assert(strstr(error.text, "is taken by another program"), "%s", error.text);
	close(fd);
	cr_assert_eq(address_port_open("127.0.0.1", port, &probe, &error), 0, "%s", error.text);
	close(probe);
}

/* A client on the region's own machine takes the address that is bound; elsewhere, and of a wildcard, the one that is known. */
Test(address, G19_where_a_client_finds_a_region)
{
	struct region region = {.host = "us.example", .port = 7400};
	char endpoint[128];
	topology_client_endpoint(&region, endpoint);
	cr_assert_str_eq(endpoint, "tcp://us.example:7400");
	strcpy(region.bind, "127.0.0.1");
	topology_client_endpoint(&region, endpoint);
	cr_assert_str_eq(endpoint, "tcp://127.0.0.1:7400");
	strcpy(region.bind, "192.0.2.1");
	topology_client_endpoint(&region, endpoint);
	cr_assert_str_eq(endpoint, "tcp://us.example:7400");
	strcpy(region.bind, "0.0.0.0");
	topology_client_endpoint(&region, endpoint);
	cr_assert_str_eq(endpoint, "tcp://us.example:7400");
}
