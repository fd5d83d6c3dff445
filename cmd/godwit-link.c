/* SPDX-License-Identifier: Apache-2.0 */
#include "link/control.h"

int main(int argc, char **argv)
{
	return link_main(argc, argv);
}
