/* SPDX-License-Identifier: Apache-2.0
 *
 * The streamer's process: sockets, log readers and the inbound ring around the state machine. */
#ifndef GODWIT_ACTORS_STREAMER_IO_H
#define GODWIT_ACTORS_STREAMER_IO_H

int streamer_main(int argc, char **argv);

#endif
