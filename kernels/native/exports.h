/* The public C interface with its symbols exported: the library is compiled with hidden visibility. */
#pragma once
#pragma GCC visibility push(default)
#include "../include/pocketmoe_kernels.h"
#pragma GCC visibility pop
