/* SPDX-License-Identifier: Apache-2.0
 *
 * The TCP side of the link emulator: for each directed pair of regions and each peer service it listens on link_port() of
 * 127.0.0.1, connects to the service of the region meant, and lets bytes through as link/link.h says. A connection carries
 * both directions: what the caller sends obeys the link (from, to), what comes back the link (to, from).
 *
 * While a link is cut, new connections are taken but not made onward, as if the handshake's packets were lost. Setting up a
 * connection takes no emulated time; the first bytes do. Nothing here blocks; one thread; no timer finer than the kernel's. */
#ifndef GODWIT_LINK_PROXY_H
#define GODWIT_LINK_PROXY_H
#include <stdint.h>

#include "base/error.h"
#include "link/link.h"
#include "runtime/topology.h"

#define PROXY_CONNECTIONS_MAX 4096u

struct proxy;
/* topology is borrowed and outlives the proxy. ERR_CONFIGURATION when a port is taken or a host unknown. */
int proxy_new(struct proxy **proxy, const struct topology *topology, uint16_t link_base, struct error_context *error);
void proxy_free(struct proxy *proxy);
/* Readable when there is something to do, timers included. */
int proxy_fd(const struct proxy *proxy);
/* Does what there is to do, and returns. */
void proxy_turn(struct proxy *proxy);
/* Places in topology->regions. Settings may be changed; call proxy_changed after that. */
struct link *proxy_link(struct proxy *proxy, uint32_t from, uint32_t to);
void proxy_changed(struct proxy *proxy);
/* Connections that carry this link's bytes (either way round), and bytes queued on it. */
void proxy_link_usage(const struct proxy *proxy, uint32_t from, uint32_t to, uint32_t *connections, uint64_t *queued_bytes);

#endif
