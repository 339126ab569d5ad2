// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/textfile.h"

#include "base/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* The new file has this prefix and suffix until it is complete. Its name doesn't end in .prom, so
 * node_exporter doesn't read it. One that a killed daemon left is replaced. */
#define NEW_PREFIX "."
#define NEW_SUFFIX ".new"

struct place {
	char folder[PATH_MAX];
	const char *name; /* of the file; points into the path */
	char new_name[PATH_MAX];
};

static int find_place(struct place *place, const char *path, struct error *e)
{
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) + 1 : 0;

	if (!size || size >= sizeof(place->folder) || !slash[1])
		return error_set(e, EINVAL, "%s is not the path of a file", path);
	memcpy(place->folder, path, size);
	place->folder[size] = '\0';
	place->name = slash + 1;
	if ((size_t)snprintf(place->new_name, sizeof(place->new_name), NEW_PREFIX "%s" NEW_SUFFIX,
			     place->name) >= sizeof(place->new_name))
		return error_set(e, ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
	ssize_t n;

	while (size) {
		n = write(fd, text, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Writes the whole new file under its temporary name. It isn't synced: after a power cut it is
 * written again anyway. */
static int write_new(int folder, const char *name, const char *text, size_t size, mode_t mode)
{
	_cleanup_close_ int fd = -1;
	int err;

	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	err = fchmod(fd, mode) < 0 ? -errno : 0; /* whatever the umask is */
	if (!err)
		err = write_all(fd, text, size);
	if (!err && close(take_fd(&fd)) < 0)
		err = -errno;
	if (err)
		unlinkat(folder, name, 0);
	return err;
}

int textfile_put(const char *path, const char *text, size_t size, mode_t mode, struct error *e)
{
	_cleanup_close_ int folder = -1;
	struct place place;
	int err;

	err = find_place(&place, path, e);
	if (err)
		return err;
	folder = open(place.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return error_set(e, errno, "%s: %s", place.folder, strerror(errno));
	err = write_new(folder, place.new_name, text, size, mode);
	if (err)
		return error_set(e, -err, "%s%s: %s", place.folder, place.new_name, strerror(-err));
	if (renameat(folder, place.new_name, folder, place.name) < 0) {
		err = error_set(e, errno, "%s: %s", path, strerror(errno));
		unlinkat(folder, place.new_name, 0);
	}
	return err;
}

int textfile_drop(const char *path, struct error *e)
{
	_cleanup_close_ int folder = -1;
	struct place place;
	int err;

	err = find_place(&place, path, e);
	if (err)
		return err;
	folder = open(place.folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 && errno == ENOENT)
		return 0;
	if (folder < 0)
		return error_set(e, errno, "%s: %s", place.folder, strerror(errno));
	unlinkat(folder, place.new_name, 0);
	if (unlinkat(folder, place.name, 0) < 0 && errno != ENOENT)
		return error_set(e, errno, "can't remove %s: %s", path, strerror(errno));
	return 0;
}

static bool has_text(int folder, const char *name, const char *text, size_t size)
{
	_cleanup_close_ int fd =
		openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_free_ char *found = malloc(size + 1);
	struct stat st;

	return fd >= 0 && found && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       read(fd, found, size + 1) == (ssize_t)size && memcmp(found, text, size) == 0;
}

void textfile_drop_like(const char *path, const char *text, size_t size)
{
	const struct dirent *entry;
	const char *end, *dot;
	struct place place;
	struct error e;
	DIR *folder;

	if (find_place(&place, path, &e))
		return;
	dot = strrchr(place.name, '.');
	folder = dot ? opendir(place.folder) : NULL;
	while (folder && (entry = readdir(folder)) != NULL) {
		end = strrchr(entry->d_name, '.');
		if (end && strcmp(end, dot) == 0 && strcmp(entry->d_name, place.name) != 0 &&
		    has_text(dirfd(folder), entry->d_name, text, size))
			unlinkat(dirfd(folder), entry->d_name, 0);
	}
	if (folder)
		closedir(folder);
}
