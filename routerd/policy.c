/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule of the configuration applies to a key: pure, see route.h. */
#include "config.h"

#include "common/conf/pattern.h"

#include "route.h"

bool policy_rule_has_op(const struct policy_rule *rule, enum op_kind op)
{
	bool any = true;

	for (int i = 0; i < OP_KIND_COUNT; i++)
		any = any && !rule->ops[i];
	return any || rule->ops[op];
}

const struct policy_rule *policy_match(const struct policy_rule *rules, size_t n, struct slice key, enum op_kind op)
{
	const struct policy_rule *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct policy_rule *r = &rules[i];

		if ((best && r->priority >= best->priority) || !policy_rule_has_op(r, op))
			continue;
		if (pattern_matches(slice_str(r->key_pattern), key))
			best = r;
	}
	return best;
}
