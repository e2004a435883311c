/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that cannot fail, for what we size ourselves. Everybody calls it; the caller owns what it returns. */
#include "config.h"

#include "xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void *checked(void *p, size_t n)
{
	if (!p)
		panic("out of memory: %zu bytes", n);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1), n * size);
}

void *xreallocarray(void *p, size_t n, size_t size)
{
	return checked(reallocarray(p, n ? n : 1, size ? size : 1), n * size);
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *xstrndup(const char *s, size_t n)
{
	return checked(strndup(s, n), n);
}

char *xasprintf(const char *fmt, ...)
{
	char *p = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&p, fmt, ap);
	va_end(ap);
	return checked(n < 0 ? NULL : p, 0);
}

void *xmemdup(const void *p, size_t n)
{
	void *copy = xcalloc(1, n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}
