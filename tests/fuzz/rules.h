/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules for the fuzz targets that need some. */
#ifndef HOLDFAST_TESTS_FUZZ_RULES_H
#define HOLDFAST_TESTS_FUZZ_RULES_H

#include "fuzz.h"

#include "conf/conf.h"
#include "conf/text.h"

/* Returns a configuration with three rules. It is parsed at the first call and never freed. */
static inline const struct config *some_rules(void)
{
	static const char text[] =
		CONF_TEXT_MARK "\n"
			       "[rule all]\ndestination = any\n"
			       "[rule held]\ndestination = 10.0.0.0/8, 2001:db8::/32, db.internal\n"
			       "resolved = db.internal, 10.9.0.1, 2001:db8::9\n"
			       "port = 1-100, 3306, 33060-33062\nside = both\nwindow = 350s\n"
			       "[rule lab]\ndestination = 10.20.99.0/24\nenforce = no\n";
	static struct config config;
	struct conf_messages messages;

	if (!config.n_rules) {
		check(conf_parse_text("rules", text, strlen(text), &config, &messages) == 0);
		conf_messages_free(&messages);
	}
	return &config;
}

#endif
