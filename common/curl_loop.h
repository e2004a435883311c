/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent: one per process that talks to sites. Owns connection reuse; never reads the
 * environment's proxy variables. A transfer is an easy handle set up by its owner; done runs from the loop, never inside
 * curl_loop_add().
 */
#ifndef GFS_CURL_LOOP_H
#define GFS_CURL_LOOP_H

#include <curl/curl.h>

struct event_base;
struct curl_loop;

struct curl_loop *curl_loop_create(struct event_base *base);
void curl_loop_destroy(struct curl_loop **cl);
/* done(arg, easy, code): the easy handle has been taken out of the loop and is the caller's again. */
int curl_loop_add(struct curl_loop *cl, CURL *easy, void (*done)(void *arg, CURL *easy, CURLcode code), void *arg)
	__attribute__((warn_unused_result));
/* Takes a running handle out without done(). Not from inside one of that handle's own curl callbacks. */
void curl_loop_remove(struct curl_loop *cl, CURL *easy);
/* Unpauses; safe from inside any callback (it is done from the loop). */
void curl_loop_unpause(struct curl_loop *cl, CURL *easy);

#endif
