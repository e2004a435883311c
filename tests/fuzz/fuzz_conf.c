/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration: an error or a struct conf that prints, and what it prints (but for secrets) loads again. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_report report = {0}, again_report = {0};
	struct strbuf text = STRBUF_INIT;
	struct conf *conf, *again;

	if (conf_load_text("fuzz", slice_of((const char *)data, size), &conf, &report) == 0) {
		conf_print_json(conf, &text);
		strbuf_reset(&text);
		conf_print_yaml(conf, true, &text);
		if (conf_load_text("printed", strbuf_slice(&text), &again, &again_report) != 0)
			abort();
		conf_destroy(&again);
	}
	conf_destroy(&conf);
	conf_report_free(&report);
	conf_report_free(&again_report);
	strbuf_free(&text);
	return 0;
}
