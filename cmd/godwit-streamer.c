/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/streamer/io.h"

int main(int argc, char **argv)
{
	return streamer_main(argc, argv);
}
