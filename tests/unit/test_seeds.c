// SPDX-License-Identifier: GPL-2.0-or-later
/* Runs each fuzz target on its seeds, which include every input that has ever broken it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "../fuzz/fuzz.h"
#include "base/util.h"

#include <fcntl.h>
#include <sys/stat.h>

#define SEEDS "tests/fuzz/seeds"

static void run_file(int folder, const char *name, void (*target)(const uint8_t *, size_t))
{
	_cleanup_free_ uint8_t *data = NULL;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	print_message("%s\n", name);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	data = malloc((size_t)st.st_size + 1);
	assert_non_null(data);
	assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
	close(fd);
	target(data, (size_t)st.st_size);
	target(data, 0);
}

static void run_folder(const char *path, void (*target)(const uint8_t *, size_t))
{
	_cleanup_closedir_ DIR *folder = opendir(path);
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		run_file(dirfd(folder), entry->d_name, target);
		n++;
	}
	assert_true(n >= 3);
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run_folder(SEEDS "/" #name, fuzz_##name);                                          \
	}
TARGETS(TEST)

int main(void)
{
#define ENTRY(name) cmocka_unit_test(test_##name),
	const struct CMUnitTest tests[] = {TARGETS(ENTRY)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
