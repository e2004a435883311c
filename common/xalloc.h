/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation for small things of fixed size: never returns NULL (panics). What a client sizes uses malloc and may fail. */
#ifndef GFS_XALLOC_H
#define GFS_XALLOC_H

#include <stddef.h>

void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *xmemdup(const void *p, size_t n);

#endif
