// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests that a file is replaced in one step, whatever lies in its way. */
#include "unit.h"

#include "base/textfile.h"
#include "base/util.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct folder {
	char path[64];
	char file[128];
	mode_t umask;
};

/* Another user of the folder, as fast as can be: puts a link in the place of a file that has just
 * been removed. */
static struct {
	const char *victim; /* what the link leads to */
	bool link, armed;   /* a symbolic link, else a hard link; does it at the next call */
} other;

/* Replaces libc's unlinkat(), and lets the other user act after it. */
int unlinkat(int folder, const char *name, int flags)
{
	int err = (int)syscall(SYS_unlinkat, folder, name, flags), made;

	if (!other.armed)
		return err;
	other.armed = false;
	if (other.link)
		made = symlinkat(other.victim, folder, name);
	else
		made = linkat(AT_FDCWD, other.victim, folder, name, 0);
	assert_int_equal(made, 0);
	return err;
}

static int setup(void **state)
{
	struct folder *folder = calloc(1, sizeof(*folder));

	assert_non_null(folder);
	strcpy(folder->path, "/tmp/holdfast-textfile-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
	snprintf(folder->file, sizeof(folder->file), "%s/h.prom", folder->path);
	folder->umask = umask(0077);
	*state = folder;
	return 0;
}

/* Checks that nothing is left in the folder. */
static int teardown(void **state)
{
	struct folder *folder = *state;

	umask(folder->umask);
	assert_int_equal(rmdir(folder->path), 0);
	free(folder);
	return 0;
}

static void put(const char *path, const char *text)
{
	struct error e = {0};

	if (textfile_put(path, text, strlen(text), 0644, &e))
		fail_msg("%s", e.text);
}

static void drop(const char *path)
{
	struct error e = {0};

	if (textfile_drop(path, &e))
		fail_msg("%s", e.text);
}

static void assert_content(const char *path, const char *text)
{
	char buffer[256] = "";
	struct stat st;
	FILE *in = fopen(path, "re");

	assert_non_null(in);
	assert_true(fread(buffer, 1, sizeof(buffer) - 1, in) == strlen(text));
	assert_string_equal(buffer, text);
	assert_int_equal(fstat(fileno(in), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	fclose(in);
}

static void write_other(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
}

static void test_replaced(void **state)
{
	const struct folder *folder = *state;
	char old[16] = "";
	int fd;

	put(folder->file, "first\n");
	assert_content(folder->file, "first\n");
	/* A reader that has the old file open goes on reading it. */
	fd = open(folder->file, O_RDONLY | O_CLOEXEC);
	put(folder->file, "2\n");
	assert_content(folder->file, "2\n");
	assert_int_equal(read(fd, old, sizeof(old) - 1), 6);
	assert_string_equal(old, "first\n");
	close(fd);
	put(folder->file, "");
	assert_content(folder->file, "");
	drop(folder->file);
	drop(folder->file);
}

/* A link is replaced, whether it has the name of the file or that of the new file. */
static void test_links(void **state)
{
	const struct folder *folder = *state;
	char victim[128], new_file[128], buffer[8] = "";
	int fd;

	snprintf(victim, sizeof(victim), "%s/victim", folder->path);
	snprintf(new_file, sizeof(new_file), "%s/.h.prom.new", folder->path);
	write_other(victim, "mine\n");
	assert_int_equal(symlink(victim, folder->file), 0);
	assert_int_equal(symlink(victim, new_file), 0);
	put(folder->file, "numbers\n");
	assert_content(folder->file, "numbers\n");

	fd = open(victim, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, buffer, sizeof(buffer) - 1), 5);
	assert_string_equal(buffer, "mine\n");
	close(fd);

	/* textfile_drop() removes a link, not the file that it leads to. */
	unlink(folder->file);
	assert_int_equal(symlink(victim, folder->file), 0);
	drop(folder->file);
	assert_int_equal(access(victim, F_OK), 0);
	unlink(victim);
}

/* A new file that a killed process left doesn't hinder the next process, and is removed with the
 * file itself. */
static void test_left_over(void **state)
{
	const struct folder *folder = *state;
	char new_file[128];

	snprintf(new_file, sizeof(new_file), "%s/.h.prom.new", folder->path);
	write_other(new_file, "half a li");
	put(folder->file, "whole\n");
	assert_content(folder->file, "whole\n");
	assert_int_equal(access(new_file, F_OK), -1);
	write_other(new_file, "half a li");
	drop(folder->file);
}

/* Each failure names the path and the reason, and leaves nothing behind. */
static void test_failures(void **state)
{
	const struct folder *folder = *state;
	char path[PATH_MAX];
	struct error e = {0};

	snprintf(path, sizeof(path), "%s/missing/h.prom", folder->path);
	assert_int_equal(textfile_put(path, "x", 1, 0644, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/missing/: No such file"));
	assert_int_equal(textfile_drop(path, &e), 0);

	assert_int_equal(mkdir(folder->file, 0700), 0);
	assert_int_equal(textfile_put(folder->file, "x", 1, 0644, &e), -EISDIR);
	assert_non_null(strstr(e.text, "/h.prom: Is a directory"));
	assert_int_equal(textfile_drop(folder->file, &e), -EISDIR);
	assert_int_equal(rmdir(folder->file), 0);

	snprintf(path, sizeof(path), "%s/%0250d.prom", folder->path, 1);
	assert_int_equal(textfile_put(path, "x", 1, 0644, &e), -ENAMETOOLONG);
	assert_int_equal(textfile_put("h.prom", "x", 1, 0644, &e), -EINVAL);
	assert_int_equal(textfile_put("/dev/full/h.prom", "x", 1, 0644, &e), -ENOTDIR);
}

/* Others that say the same go; those that say more or less, or are of another kind, stay. */
static void test_drop_like(void **state)
{
	const struct folder *folder = *state;
	static const char *const stay[] = {"more.prom", "less.prom", "other.prom", "link.prom",
					   "same.txt"};
	char path[PATH_MAX], same[PATH_MAX];
	size_t i;

	snprintf(same, sizeof(same), "%s/same.prom", folder->path);
	write_other(same, "gone\n");
	put(folder->file, "gone\n");
	for (i = 0; i < ARRAY_SIZE(stay); i++) {
		static const char *const texts[] = {"gone\n\n", "gone", "Gone\n", NULL, "gone\n"};

		snprintf(path, sizeof(path), "%s/%s", folder->path, stay[i]);
		if (texts[i])
			write_other(path, texts[i]);
		else
			assert_int_equal(symlink(folder->file, path), 0);
	}
	textfile_drop_like(folder->file, "gone\n", 5);
	assert_int_equal(access(same, F_OK), -1);
	assert_content(folder->file, "gone\n");
	for (i = 0; i < ARRAY_SIZE(stay); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder->path, stay[i]);
		assert_int_equal(unlink(path), 0);
	}
	textfile_drop_like("/tmp/holdfast-no-such-folder/h.prom", "gone\n", 5);
	drop(folder->file);
}

/* Nothing is written to a file that another user of the folder has put in the place of the new
 * one. */
static void test_faster(void **state)
{
	struct folder *folder = *state;
	char victim[128], new_file[128];
	struct error e;
	int link;

	snprintf(victim, sizeof(victim), "%s/victim", folder->path);
	snprintf(new_file, sizeof(new_file), "%s/.h.prom.new", folder->path);
	for (link = 0; link < 2; link++) {
		put(victim, "his");
		other.victim = victim;
		other.link = link;
		other.armed = true;
		assert_int_equal(textfile_put(folder->file, "ours", 4, 0644, &e), -EEXIST);
		assert_false(other.armed);
		assert_content(victim, "his");
		assert_int_equal(access(folder->file, F_OK), -1);
		assert_int_equal(syscall(SYS_unlinkat, AT_FDCWD, new_file, 0), 0);
		drop(victim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drop_like, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faster, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
