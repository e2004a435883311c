/* SPDX-License-Identifier: Apache-2.0 */
/* services and listeners: restart policy, and which addresses a door takes. */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "routerd/listeners.h"
#include "routerd/options.h"
#include "routerd/services.h"

Test(services, restarts_slow_down)
{
	static const struct {
		bool had_served;
		unsigned fails;
		int64_t delay_ms;
	} cases[] = {
		{false, 1, 1000}, {false, 2, 2000}, {false, 3, 4000}, {false, 6, 32000}, {false, 7, 60000}, {false, 1000, 60000},
		{true, 1, 0}, {true, 5, 0}, {true, 6, 1000}, {true, 7, 2000}, {true, 1000, 60000},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(restart_delay_ms(cases[i].had_served, cases[i].fails), cases[i].delay_ms, "case %zu", i);
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	cr_assert_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port : ((struct sockaddr_in *)&ss)->sin_port);
}

Test(listeners, bind_every_form_and_refuse_a_taken_port)
{
	static const char *const forms[] = {"127.0.0.1:0", ":0", "localhost:0"};
	char why[256], addr[64];
	size_t i;

	for (i = 0; i < 3; i++) {
		struct listeners l = {0}, other = {0};
		unsigned port;

		cr_assert_eq(listeners_bind(&l, "api", forms[i], 0, why, sizeof(why)), 0, "%s", why);
		cr_assert_eq(l.n, 1);
		port = port_of(l.v[0].fd);
		snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
		cr_assert_eq(listeners_bind(&other, "api", addr, 30, why, sizeof(why)), GFS_ERR_IO);
		cr_assert_not_null(strstr(why, addr), "%s", why);
		listeners_close(&l);
		cr_assert_eq(listeners_bind(&other, "api", addr, 0, why, sizeof(why)), 0, "%s", why);
		listeners_close(&other);
	}
}

Test(listeners, bad_addresses_are_named)
{
	struct listeners l = {0};
	char why[256];

	cr_assert_eq(listeners_bind(&l, "api", "8090", 0, why, sizeof(why)), GFS_ERR_CONFIG);
	cr_assert_eq(listeners_bind(&l, "api", "127.0.0.1:x", 0, why, sizeof(why)), GFS_ERR_CONFIG);
	cr_assert_not_null(strstr(why, "127.0.0.1:x"));
	cr_assert_eq(listeners_bind(&l, "api", "192.0.2.1:0", 0, why, sizeof(why)), GFS_ERR_IO);
	cr_assert_eq(l.n, 0);
}

Test(listeners, shut_is_felt_by_whoever_shares_them)
{
	struct listeners l = {0};
	char why[256];
	int worker;

	cr_assert_eq(listeners_bind(&l, "api", "127.0.0.1:0", 0, why, sizeof(why)), 0, "%s", why);
	worker = dup(l.v[0].fd);
	cr_assert_eq(accept(worker, NULL, NULL), -1);
	cr_assert_eq(errno, EAGAIN);
	listeners_shut(&l);
	cr_assert_eq(l.n, 0);
	cr_assert_eq(accept(worker, NULL, NULL), -1);
	cr_assert_eq(errno, EINVAL);
	close(worker);
}

Test(listeners, other_port)
{
	char buf[64];

	listeners_other_port(":8090", 9090, buf, sizeof(buf));
	cr_assert_str_eq(buf, ":9090");
	listeners_other_port("[::1]:8090", 9090, buf, sizeof(buf));
	cr_assert_str_eq(buf, "[::1]:9090");
}

static int parse(struct options *o, const char *a, const char *b, const char *c)
{
	char words[4][64] = {"routerd", "", "", ""};
	char *argv[5] = {words[0], NULL, NULL, NULL, NULL};
	const char *in[3] = {a, b, c};
	int argc = 1, i;

	for (i = 0; i < 3 && in[i]; i++) {
		snprintf(words[argc], sizeof(words[argc]), "%s", in[i]);
		argv[argc] = words[argc];
		argc++;
	}
	return options_parse(argc, argv, o);
}

Test(options, flags_of_the_go_coordinator)
{
	struct options o;

	cr_assert_eq(parse(&o, "--health-poll-interval", "5s", "--bind-addr=:1"), -1);
	cr_assert_eq(o.poll_interval_ms, 5000);
	cr_assert_not(o.foreground);
}

Test(options, wrong_usage_is_2)
{
	struct options o;

	cr_assert_eq(parse(&o, "--log-level", "LOUD", NULL), 2);
}

Test(options, poll_interval_must_be_a_duration)
{
	struct options o;

	cr_assert_eq(parse(&o, "--health-poll-interval", "soon", NULL), 2);
}

Test(options, no_stray_arguments)
{
	struct options o;

	cr_assert_eq(parse(&o, "-f", "x", NULL), 2);
}

Test(options, version_is_0)
{
	struct options o;

	cr_assert_eq(parse(&o, "--version", NULL, NULL), 0);
}
