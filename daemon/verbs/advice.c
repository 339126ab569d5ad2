// SPDX-License-Identifier: GPL-2.0-or-later
#include "verbs/advice.h"

#include "base/text.h"
#include "base/util.h"
#include "kernel/pins.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#define DAEMON	"holdfastd"
#define DIR_MAX (PATH_MAX / 8) /* for the path of a pin dir; longer ones are cut off */

/* Copies a path without slashes at its end. */
static void copy_dir(char dir[DIR_MAX], const char *path)
{
	size_t length;

	snprintf(dir, DIR_MAX, "%s", path);
	for (length = strlen(dir); length > 1 && dir[length - 1] == '/'; length--)
		dir[length - 1] = '\0';
}

/* Finds a daemon's pin dir in its arguments, each of which ends with a NUL. */
static const char *find_pin_dir(const char *arguments, size_t size)
{
	static const char option[] = "--pin-dir";
	const char *end = arguments + size, *argument = arguments, *found = PINS_DEFAULT_DIR;

	for (; argument < end; argument += strlen(argument) + 1) {
		const char *value = argument + strlen(option);

		if (strncmp(argument, option, strlen(option)) != 0)
			continue;
		if (*value == '=' ||
		    (!*value && value + 1 < end)) /* --pin-dir=DIR, --pin-dir DIR */
			found = value + 1;
	}
	return found;
}

/* Reads a file of /proc/PID and adds a NUL. Returns its size; 0: it is missing or empty. */
static size_t read_file(const char *pid, const char *name, char *text, size_t size)
{
	char path[64];
	size_t n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, name);
	file = fopen(path, "re");
	if (file) {
		n = fread(text, 1, size - 1, file);
		fclose(file);
	}
	text[n] = '\0';
	return n;
}

/*
 * Looks for a running daemon, and writes its pin dir to `dir`. Of several, prefers the one with the
 * pin dir `wanted`. False: none runs.
 */
static bool find_daemon(const char *wanted, pid_t *pid, char dir[DIR_MAX])
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	char arguments[2 * PATH_MAX];
	struct dirent *entry;
	bool found = false;
	size_t n;

	while (proc && (entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    !read_file(entry->d_name, "comm", arguments, sizeof(arguments)) ||
		    strcmp(arguments, DAEMON "\n") != 0)
			continue;
		n = read_file(entry->d_name, "cmdline", arguments, sizeof(arguments));
		if (!n) /* the process has ended */
			continue;
		*pid = atoi(entry->d_name);
		copy_dir(dir, find_pin_dir(arguments, n));
		found = true;
		if (strcmp(dir, wanted) == 0)
			break;
	}
	return found;
}

/* Returns the process that has the pin dir locked; 0: none. */
static pid_t find_holder(const char *pin_dir)
{
	struct pins pins = {.fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	pid_t pid = pins.fd >= 0 ? pins_holder(&pins) : 0;

	pins_close(&pins);
	return pid;
}

static void wait_for(struct advice *advice, pid_t pid)
{
	char name[PINS_PROCESS_MAX];

	advice->kind = ADVICE_WAIT;
	advice->pid = pid;
	snprintf(advice->text, sizeof(advice->text),
		 "%s, process %d, has only begun; try again in a moment",
		 pins_name_process(pid, name), (int)pid);
}

/* Tells whether the path leads to another folder for the daemon, as it does in a container. */
static bool is_elsewhere(pid_t pid, const char *dir)
{
	char path[DIR_MAX + 64];
	struct stat here, there;

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)pid, dir);
	if (stat(path, &there) < 0)
		return false;
	return stat(dir, &here) < 0 || here.st_dev != there.st_dev || here.st_ino != there.st_ino;
}

void advice_find(const char *pin_dir, struct advice *advice)
{
	char ours[DIR_MAX], theirs[DIR_MAX], escaped[TEXT_ESCAPED_MAX(DIR_MAX)];
	pid_t pid = find_holder(pin_dir);

	*advice = (struct advice){.kind = ADVICE_START};
	copy_dir(ours, pin_dir);
	if (pid) {
		wait_for(advice, pid);
		return;
	}
	if (!find_daemon(ours, &pid, theirs)) {
		snprintf(advice->text, sizeof(advice->text), "start the daemon%s",
			 strcmp(ours, PINS_DEFAULT_DIR) == 0 ? " (systemctl start holdfast)"
							     : " with this --pin-dir");
		return;
	}
	if (strcmp(ours, theirs) == 0 && !is_elsewhere(pid, theirs)) {
		wait_for(advice, pid); /* the daemon hasn't locked its pin dir yet */
		return;
	}
	advice->kind = ADVICE_ELSEWHERE;
	advice->pid = pid;
	if (strcmp(ours, theirs) == 0)
		snprintf(advice->text, sizeof(advice->text),
			 DAEMON ", process %d, has its on a bpffs that isn't mounted here (nsenter "
				"--mount --target %d)",
			 (int)pid, (int)pid);
	else
		snprintf(advice->text, sizeof(advice->text),
			 DAEMON ", process %d, has another pin dir: --pin-dir %s", (int)pid,
			 text_escape(escaped, sizeof(escaped), theirs, strlen(theirs)));
}
