/* SPDX-License-Identifier: Apache-2.0
 *
 * A region's catalog of keyspaces: which id stands for which name and definition. Rows, log and streams carry the id; the
 * topology file carries names, in any order. So a line moved, put in or taken out of the file never turns rows of one keyspace
 * into those of another.
 *
 * REGION_DIR/keyspaces is text, so that an operator can read it: a line "godwit-keyspaces 1", then a line
 * "ID NAME LEVEL STRATEGY ACK" a keyspace in the order of ids, then "next ID checksum HEX": the lowest id that was never given
 * away, and XXH3 (64 bits) of all that stands before the word "checksum". It is replaced whole (written beside, synced,
 * renamed), by the supervisor under the region's lock. */
#ifndef GODWIT_RUNTIME_KEYSPACES_H
#define GODWIT_RUNTIME_KEYSPACES_H
#include <stdbool.h>

#include "base/error.h"
#include "runtime/topology.h"

/* Gives each keyspace of the topology the id under which the region holds its rows: keyspaces[] is sorted anew, the index is
 * the id, and places without a keyspace have an empty name. A name that is new here gets the id that the file gives it, or the
 * lowest one never used.
 * is_writer: takes what is new or altered into the catalog, durably, before returning; makes the catalog where there are no
 * rows yet. ERR_CONFIGURATION: the file and the catalog disagree (a keyspace is missing in the file, an id stands for another
 * name, ids are used up), or there are rows without a catalog. ERR_CORRUPT: the catalog was altered. ERR_IO. The topology is
 * then unchanged. */
int keyspaces_resolve(struct topology *topology, const char *region_dir, bool is_writer, struct error_context *error);

#endif
