/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/reconciler/io.h"

int main(int argc, char **argv)
{
	return reconciler_main(argc, argv);
}
