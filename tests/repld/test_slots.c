/* SPDX-License-Identifier: Apache-2.0 */
/* Key slots: one client per key, repld's own work per (key, site), first come first served, deadlines. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/error.h"
#include "repld/slots.h"

static const uint32_t ab[] = {1, 2}, a[] = {1}, b[] = {2}, c[] = {3};
#define KEY SLICE_LIT("k")

struct probe {
	struct slot_claim claim;
	int calls, err;
};

static void on_cb(void *arg, int err)
{
	struct probe *p = arg;

	p->calls++;
	p->err = err;
}

static bool claim(struct slots *s, struct probe *p, bool client, const uint32_t *sites, size_t n)
{
	p->claim.client = client;
	p->claim.sites = sites;
	p->claim.n_sites = n;
	p->claim.cb = on_cb;
	p->claim.arg = p;
	return slots_claim(s, KEY, &p->claim);
}

Test(slots, one_client_at_a_time_in_order)
{
	struct slots *s = slots_create(NULL, NULL);
	struct probe p[4] = {0};

	cr_assert(claim(s, &p[0], true, ab, 2));
	for (int i = 1; i < 4; i++)
		cr_assert_not(claim(s, &p[i], true, c, 1), "even on other sites");
	for (int i = 0; i < 3; i++) {
		slots_release(s, &p[i].claim);
		cr_assert_eq(p[i + 1].calls, 0, "never from inside a release");
		slots_run(s);
		for (int k = 1; k < 4; k++)
			cr_assert_eq(p[k].calls, k <= i + 1);
	}
	slots_release(s, &p[3].claim);
	slots_destroy(&s);
}

Test(slots, repld_and_clients_exclude_each_other_by_site)
{
	struct slots *s = slots_create(NULL, NULL);
	struct probe client = {0}, copy_b = {0}, copy_c = {0}, second = {0};

	cr_assert(claim(s, &copy_b, false, b, 1));
	cr_assert(claim(s, &copy_c, false, c, 1));
	cr_assert_not(claim(s, &client, true, ab, 2), "a copy to b is completing");
	cr_assert_not(claim(s, &second, false, a, 1), "does not pass the client that came before");
	slots_release(s, &copy_b.claim);
	slots_run(s);
	cr_assert_eq(client.calls, 1, "c is none of its sites");
	cr_assert_eq(second.calls, 0);
	slots_release(s, &client.claim);
	slots_run(s);
	cr_assert_eq(second.calls, 1);
	slots_release(s, &second.claim);
	slots_release(s, &copy_c.claim);
	slots_destroy(&s);
}

Test(slots, waiters_end_at_their_deadline)
{
	struct slots *s = slots_create(NULL, NULL);
	struct probe p[3] = {0};

	cr_assert(claim(s, &p[0], true, ab, 2));
	p[1].claim.deadline_ms = 5000;
	p[2].claim.deadline_ms = 4000;
	cr_assert_not(claim(s, &p[1], true, ab, 2));
	cr_assert_not(claim(s, &p[2], true, ab, 2));
	slots_expire(s, 3999);
	cr_assert_eq(p[1].calls + p[2].calls, 0);
	slots_expire(s, 4000);
	cr_assert_eq(p[2].err, GFS_ERR_BUSY);
	cr_assert_eq(p[1].calls, 0);
	slots_release(s, &p[0].claim);
	slots_run(s);
	cr_assert_eq(p[1].calls, 1);
	cr_assert_eq(p[1].err, 0);
	slots_expire(s, 9000);
	cr_assert_eq(p[1].calls, 1, "held, no longer waiting");
	slots_release(s, &p[1].claim);
	cr_assert_eq(slots_waiting(s), 0u);
	slots_destroy(&s);
}

Test(slots, release_of_a_grant_that_was_not_told_yet_passes_it_on)
{
	struct slots *s = slots_create(NULL, NULL);
	struct probe p[3] = {0};

	cr_assert(claim(s, &p[0], true, ab, 2));
	cr_assert_not(claim(s, &p[1], true, ab, 2));
	cr_assert_not(claim(s, &p[2], true, ab, 2));
	slots_release(s, &p[0].claim);
	slots_release(s, &p[1].claim);
	slots_run(s);
	cr_assert_eq(p[1].calls, 0);
	cr_assert_eq(p[2].calls, 1);
	slots_release(s, &p[2].claim);
	slots_destroy(&s);
}

/* Random claims and releases: at no time two holders that exclude each other. */
Test(slots, random_interleavings_keep_the_rules)
{
	static const uint32_t *const sets[] = {ab, a, b, c};
	static const size_t lens[] = {2, 1, 1, 1};
	struct slots *s = slots_create(NULL, NULL);
	struct probe p[12] = {0};

	srand(7);
	for (int round = 0; round < 20000; round++) {
		struct probe *x = &p[rand() % 12];

		if (x->claim.state == SLOT_IDLE) {
			int set = rand() % 4;

			claim(s, x, rand() % 2, sets[set], set == 0 && !x->claim.client ? lens[set] : lens[set]);
		} else {
			slots_release(s, &x->claim);
		}
		if (rand() % 3 == 0)
			slots_run(s);
		for (int i = 0; i < 12; i++)
			for (int k = i + 1; k < 12; k++) {
				const struct slot_claim *m = &p[i].claim, *n = &p[k].claim;

				if (m->state < SLOT_READY || n->state < SLOT_READY)
					continue;
				cr_assert_not(m->client && n->client);
				for (size_t u = 0; u < m->n_sites; u++)
					for (size_t v = 0; v < n->n_sites; v++)
						cr_assert_neq(m->sites[u], n->sites[v]);
			}
	}
	for (int i = 0; i < 12; i++)
		slots_release(s, &p[i].claim);
	slots_destroy(&s);
}
