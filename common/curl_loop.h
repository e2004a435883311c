/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent: one per process that talks to sites. Owns connection reuse; never reads the
 * environment's proxy variables. A transfer is an easy handle set up by its owner (CURLOPT_PRIVATE is the loop's); done runs
 * from the loop, never inside curl_loop_add(). All but destroy and remove may be called from inside any curl callback.
 */
#ifndef GFS_CURL_LOOP_H
#define GFS_CURL_LOOP_H

#include <curl/curl.h>

#include "error.h"

struct event_base;
struct curl_loop;

struct curl_loop *curl_loop_create(struct event_base *base);
/* Transfers that still run are taken out without done(). Not from inside a callback of the loop. */
void curl_loop_destroy(struct curl_loop **cl);
/* done(arg, easy, code): the easy handle has been taken out of the loop and is the caller's again. */
int curl_loop_add(struct curl_loop *cl, CURL *easy, void (*done)(void *arg, CURL *easy, CURLcode code), void *arg)
	GFS_MUST_USE;
/* Takes a running handle out without done(). Not from inside any curl callback. */
void curl_loop_remove(struct curl_loop *cl, CURL *easy);
/* The same for callers that may be inside a curl callback, even the handle's own: instead of done, gone(arg, easy) runs from the
 * loop soon, when curl holds the handle no more. Until then its callbacks may still be called. */
void curl_loop_abandon(struct curl_loop *cl, CURL *easy, void (*gone)(void *arg, CURL *easy), void *arg);
/* Unpauses; safe from inside any callback (it is done from the loop). */
void curl_loop_unpause(struct curl_loop *cl, CURL *easy);
/* The socket that curl watches for this transfer now, CURL_SOCKET_BAD when none. A connected upload that is paused is watched for
 * its answer; without a socket the other side has closed (curl itself says so only when sending goes on). */
curl_socket_t curl_loop_socket(CURL *easy);

#endif
