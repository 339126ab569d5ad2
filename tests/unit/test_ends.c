// SPDX-License-Identifier: GPL-2.0-or-later
/* The ends of connections, as the log has them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "../../bpf/types.h"
#include "../../daemon/ends.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 5000

struct telling {
	struct ends *ends;
	struct log log;
	char *text;
	size_t size;
};

static void begin(struct telling *telling)
{
	*telling = (struct telling){.log = {.most = LOG_LEVEL_ERROR}};
	telling->log.copy = open_memstream(&telling->text, &telling->size);
	telling->ends = ends_new(&telling->log);
	assert_non_null(telling->log.copy);
	assert_non_null(telling->ends);
}

/* So many ends at once; the number of lines that they brought. */
static size_t tell(struct telling *telling, size_t n)
{
	const struct hf_ended ended = {.cause = HF_END_KEEPALIVE, .family = 4};
	const struct config config = {0};
	const struct owners owners = {0};
	size_t before, lines = 0, i;

	fflush(telling->log.copy);
	before = telling->size;
	for (i = 0; i < n; i++)
		assert_int_equal(ends_take(telling->ends, &ended, sizeof(ended)), 0);
	ends_tell(telling->ends, &config, &owners);
	fflush(telling->log.copy);
	for (i = before; i < telling->size; i++)
		lines += telling->text[i] == '\n';
	return lines;
}

static void end(struct telling *telling)
{
	ends_close(telling->ends);
	fclose(telling->log.copy);
	free(telling->text);
}

/* However many connections the peer takes with it at once: a line each. */
static void each_is_told(void **state)
{
	struct telling telling;

	(void)state;
	begin(&telling);
	assert_int_equal(tell(&telling, 1), 1);
	assert_int_equal(tell(&telling, 1500), 1500);
	assert_null(strstr(telling.text, "counted"));
	end(&telling);
}

/* Who has connections end without end doesn't fill the log; how many there were is told. */
static void flood_is_counted(void **state)
{
	struct telling telling;
	size_t told;

	(void)state;
	begin(&telling);
	told = tell(&telling, MANY);
	assert_in_range(told, 1000, MANY / 2);
	assert_non_null(strstr(telling.text, "some are only counted now"));
	assert_in_range(tell(&telling, MANY), 0, 100);
	usleep(100 * 1000);
	assert_in_range(tell(&telling, 1), 1, 2);
	assert_non_null(strstr(telling.text, " more connections have ended meanwhile\n"));
	end(&telling);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_told),
		cmocka_unit_test(flood_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
