// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf/message.h"

#include "base/text.h"
#include "base/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int conf_refuse_unsafe(struct conf_messages *messages)
{
	int err = 0;
	size_t i;

	for (i = 0; i < messages->n; i++) {
		if (!messages->list[i].unsafe)
			continue;
		messages->n_errors += messages->list[i].warning;
		messages->list[i].warning = false;
		err = -EBADMSG;
	}
	return err;
}

void conf_messages_free(struct conf_messages *messages)
{
	size_t i;

	for (i = 0; i < messages->n; i++) {
		free(messages->list[i].file);
		free(messages->list[i].text);
	}
	free(messages->list);
	memset(messages, 0, sizeof(*messages));
}

char *conf_message_format(const struct conf_message *message)
{
	size_t size = strlen(message->file);
	_cleanup_free_ char *file = malloc(TEXT_ESCAPED_MAX(size) + 8);
	const char *kind = message->warning ? "warning" : "error";
	char *line;
	int n;

	if (!file)
		return NULL;
	text_escape(file, TEXT_ESCAPED_MAX(size) + 8, message->file, size);
	n = asprintf(&line, "%s:%u: %s: %s", file, message->line, kind, message->text);
	return n < 0 ? NULL : line;
}
