/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text that config_to_text() writes and conf_parse_text() reads is a
 * configuration file like any other, but that it begins with a mark. Behind the
 * mark, and only there and never in a file, a rule may have the key `resolved`:
 * a host name and the addresses that it had. Lines may be longer, too.
 */
#ifndef HOLDFAST_CONF_TEXT_H
#define HOLDFAST_CONF_TEXT_H

#define CONF_TEXT_MARK	   "#! holdfast: the rules in force"
#define CONF_TEXT_RESOLVED "resolved"

#endif
