// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests the configuration file and its drop-ins, in a temporary folder. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "conf/conf.h"

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>

struct place {
	char folder[64];
	char file[96];
	char dropins[96];
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return -1;
	strcpy(place->folder, "/tmp/holdfast-test-XXXXXX");
	if (!mkdtemp(place->folder)) {
		free(place);
		return -1;
	}
	snprintf(place->file, sizeof(place->file), "%s/h.conf", place->folder);
	snprintf(place->dropins, sizeof(place->dropins), "%s/h.conf.d", place->folder);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	nftw(place->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(place);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static void dropin(const struct place *place, const char *name, const char *text)
{
	char path[192];

	assert_true(!mkdir(place->dropins, 0755) || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/%s", place->dropins, name);
	write_file(path, text);
}

static int load(const struct place *place, struct config *config, struct conf_messages *messages)
{
	int err = conf_load_from(place->file, place->dropins, config, messages);
	size_t i;

	for (i = 0; i < messages->n; i++)
		print_message("%s:%u: %s\n", messages->list[i].file, messages->list[i].line,
			      messages->list[i].text);
	return err;
}

static void load_well(const struct place *place, struct config *config)
{
	struct conf_messages messages;

	assert_int_equal(load(place, config, &messages), 0);
	assert_int_equal(messages.n, 0);
	conf_messages_free(&messages);
}

static void assert_message(const struct conf_messages *messages, size_t i, const char *file,
			   unsigned line, const char *fragment)
{
	assert_true(i < messages->n);
	assert_non_null(strstr(messages->list[i].file, file));
	assert_int_equal(messages->list[i].line, line);
	assert_non_null(strstr(messages->list[i].text, fragment));
}

static void test_order(void **state)
{
	const struct place *place = *state;
	struct config config;

	write_file(place->file, "[defaults]\nprobes = 2\ntime = 20s\n[daemon]\nreconcile = 5s\n"
				"metrics-textfile = /m/h.prom\n[rule main]\ndestination = any\n");
	dropin(place, "b.conf", "[defaults]\nprobes = 4\n[rule b]\ndestination = 10.0.0.2\n");
	dropin(place, "B.conf", "[rule B]\ndestination = 10.0.0.1\n[daemon]\nguard = no\n");
	dropin(place, "10.conf", "[defaults]\nprobes = 3\n[rule ten]\ndestination = 10.0.0.3\n");
	dropin(place, "9.conf", "[rule nine]\ndestination = 10.0.0.4\n");
	/* None of these is a drop-in. */
	dropin(place, ".hidden.conf", "rubbish\n");
	dropin(place, ".conf", "rubbish\n");
	dropin(place, "x.conf.bak", "rubbish\n");
	dropin(place, "conf", "rubbish\n");
	dropin(place, "x.CONF", "rubbish\n");

	load_well(place, &config);
	assert_int_equal(config.n_rules, 5);
	assert_string_equal(config.rules[0].name, "main");
	assert_string_equal(config.rules[1].name, "ten");
	assert_string_equal(config.rules[2].name, "nine");
	assert_string_equal(config.rules[3].name, "B");
	assert_string_equal(config.rules[4].name, "b");
	/* The last value of a default counts for all rules; the other defaults stay. */
	assert_int_equal(config.rules[0].probes, 4);
	assert_int_equal(config.rules[1].probes, 4);
	assert_int_equal(config.rules[4].time_s, 20);
	assert_int_equal(config.reconcile_s, 5);
	assert_false(config.guard);
	assert_string_equal(config.textfile, "/m/h.prom");
	config_free(&config);

	dropin(place, "c.conf", "[daemon]\nmetrics-textfile = off\n");
	load_well(place, &config);
	assert_null(config.textfile);
	config_free(&config);
}

static void test_dropins_alone(void **state)
{
	const struct place *place = *state;
	struct conf_messages messages;
	struct config config;

	dropin(place, "a.conf", "[rule a]\ndestination = ::1\n");
	load_well(place, &config);
	assert_int_equal(config.n_rules, 1);
	assert_string_equal(config.rules[0].name, "a");
	config_free(&config);

	/* Where a file exists, the built-in default is not used, even without a rule. */
	dropin(place, "a.conf", "[daemon]\nguard = no\n");
	assert_int_equal(load(place, &config, &messages), 0);
	assert_int_equal(config.n_rules, 0);
	assert_int_equal(messages.n, 1);
	assert_true(messages.list[0].warning);
	assert_message(&messages, 0, "/a.conf", 0, "no rules");
	conf_messages_free(&messages);
	config_free(&config);
}

static void test_no_files(void **state)
{
	const struct place *place = *state;
	struct config config;

	load_well(place, &config);
	assert_int_equal(config.n_rules, 1);
	config_free(&config);
	assert_int_equal(mkdir(place->dropins, 0755), 0);
	load_well(place, &config);
	assert_int_equal(config.n_rules, 1);
	assert_int_equal(config.rules[0].destinations[0].kind, DESTINATION_ANY);
	config_free(&config);
}

/* Every fault in all files is reported, in the order of files and lines. */
static void test_faults(void **state)
{
	const struct place *place = *state;
	struct conf_messages messages;
	struct config config;

	write_file(place->file,
		   "[rule a]\ndestination = any\nfoo = 1\n[defaults]\ntime = 2h\nwindow = 1h\n");
	dropin(place, "1.conf", "port = 5\n[rule a]\ndestination = any\n");
	dropin(place, "2.conf", "[daemon]\nguard = 7\n");
	assert_int_equal(load(place, &config, &messages), -EBADMSG);
	assert_int_equal(messages.n, 6);
	assert_message(&messages, 0, "/h.conf", 3, "unknown key");
	assert_message(&messages, 1, "/h.conf", 5, "time must be below window");
	/* A section ends with its file. */
	assert_message(&messages, 2, "/1.conf", 1, "outside any section");
	assert_message(&messages, 3, "/1.conf", 2, "rule \"a\" is there twice");
	assert_message(&messages, 4, "/1.conf", 3, "claims any");
	assert_message(&messages, 5, "/2.conf", 2, "yes or no");
	conf_messages_free(&messages);
}

static void test_links_and_folders(void **state)
{
	const struct place *place = *state;
	struct conf_messages messages;
	struct config config;
	char path[160];

	write_file(place->file, "[rule a]\ndestination = any\n");
	assert_int_equal(mkdir(place->dropins, 0755), 0);
	snprintf(path, sizeof(path), "%s/folder.conf", place->dropins);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/masked.conf", place->dropins);
	assert_int_equal(symlink("/dev/null", path), 0);
	load_well(place, &config);
	config_free(&config);

	snprintf(path, sizeof(path), "%s/other", place->folder);
	write_file(path, "[rule b]\ndestination = ::1\n");
	snprintf(path, sizeof(path), "%s/link.conf", place->dropins);
	assert_int_equal(symlink("../other", path), 0);
	load_well(place, &config);
	assert_int_equal(config.n_rules, 2);
	config_free(&config);

	snprintf(path, sizeof(path), "%s/other", place->folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(load(place, &config, &messages), -EBADMSG);
	assert_int_equal(messages.n, 1);
	assert_message(&messages, 0, "/link.conf", 0, "can't be read: No such file");
	conf_messages_free(&messages);
}

static void test_unreadable(void **state)
{
	const struct place *place = *state;
	struct conf_messages messages;
	struct config config;

	/* Folders and files in each other's place can't be read even by root. */
	assert_int_equal(mkdir(place->file, 0755), 0);
	write_file(place->dropins, "");
	assert_int_equal(load(place, &config, &messages), -EBADMSG);
	assert_int_equal(messages.n, 2);
	assert_message(&messages, 0, "/h.conf", 0, "can't be read: Is a directory");
	assert_message(&messages, 1, "/h.conf.d", 0, "can't be read: Not a directory");
	conf_messages_free(&messages);

	assert_int_equal(conf_load("/nonexistent/x", &config, &messages), -EBADMSG);
	assert_int_equal(messages.n, 1);
	assert_message(&messages, 0, "/nonexistent/x", 0, "can't be read: No such file");
	conf_messages_free(&messages);

	assert_int_equal(conf_load("/dev/zero", &config, &messages), -EBADMSG);
	assert_message(&messages, 0, "/dev/zero", 0, "can't be read: File too large");
	conf_messages_free(&messages);
}

/* Files and folders that others can write to give warnings; conf_refuse_unsafe() makes them
 * errors. */
static void test_writers(void **state)
{
	const struct place *place = *state;
	struct conf_messages messages;
	struct config config;
	char path[160];

	write_file(place->file, "[rule a]\ndestination = any\n");
	dropin(place, "b.conf", "[rule b]\ndestination = ::1\n");
	snprintf(path, sizeof(path), "%s/b.conf", place->dropins);
	assert_int_equal(chmod(place->file, 0620), 0);
	assert_int_equal(chmod(path, 0606), 0);
	assert_int_equal(chmod(place->dropins, 0777), 0);
	assert_int_equal(load(place, &config, &messages), 0);
	assert_int_equal(messages.n, 3);
	assert_int_equal(messages.n_errors, 0);
	assert_message(&messages, 0, "/h.conf", 0, "can be written by its group");
	assert_message(&messages, 1, "/h.conf.d", 0, "can be written by anyone");
	assert_message(&messages, 2, "/b.conf", 0, "can be written by anyone");
	assert_true(messages.list[0].warning);
	assert_int_equal(conf_refuse_unsafe(&messages), -EBADMSG);
	assert_int_equal(messages.n_errors, 3);
	assert_false(messages.list[0].warning);
	conf_messages_free(&messages);
	config_free(&config);

	assert_int_equal(chmod(place->file, 0644), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(chmod(place->dropins, 0755), 0);
	assert_int_equal(load(place, &config, &messages), 0);
	assert_int_equal(messages.n, 0);
	assert_int_equal(conf_refuse_unsafe(&messages), 0);
	config_free(&config);

	if (geteuid() != 0)
		return; /* only root can change the owner of a file */
	assert_int_equal(chown(place->file, 65534, 65534), 0);
	assert_int_equal(load(place, &config, &messages), 0);
	assert_int_equal(messages.n, 1);
	assert_message(&messages, 0, "/h.conf", 0, "belongs to user 65534");
	assert_int_equal(conf_refuse_unsafe(&messages), -EBADMSG);
	conf_messages_free(&messages);
	config_free(&config);
}

/* If a path is given, only that file is read. */
static void test_one_file(void **state)
{
	const struct place *place = *state;
	struct conf_messages messages;
	struct config config;

	write_file(place->file, "[rule a]\ndestination = any\n");
	dropin(place, "b.conf", "rubbish\n");
	assert_int_equal(conf_load(place->file, &config, &messages), 0);
	assert_int_equal(config.n_rules, 1);
	conf_messages_free(&messages);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropins_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_and_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
