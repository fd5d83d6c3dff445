/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/router/io.h"

int main(int argc, char **argv)
{
	return router_main(argc, argv);
}
