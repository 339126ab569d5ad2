// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/report_host.h"

#include "base/error.h"
#include "base/text.h"
#include "base/util.h"
#include "host/environment.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mntent.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINES 100

/* What the kernel has been told, or has been built with. */
static const char *const files[] = {
	"/sys/kernel/security/lockdown",
	"/sys/kernel/security/lsm",
	"/proc/sys/kernel/yama/ptrace_scope",
	"/proc/sys/kernel/unprivileged_bpf_disabled",
	"/proc/sys/net/core/bpf_jit_enable",
	"/proc/sys/net/ipv4/tcp_keepalive_time",
	"/proc/sys/net/ipv4/tcp_keepalive_intvl",
	"/proc/sys/net/ipv4/tcp_keepalive_probes",
	"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
	"/proc/sys/net/netfilter/nf_conntrack_tcp_loose",
};

void report_versions(FILE *out)
{
	_cleanup_fclose_ FILE *release = fopen("/etc/os-release", "re");
	struct utsname kernel;
	char line[256], name[201];

	fprintf(out, "holdfast %s, libbpf %s\n", HOLDFAST_VERSION, libbpf_version_string());
	if (uname(&kernel) == 0)
		fprintf(out, "%s %s %s, %s\n", kernel.sysname, kernel.release, kernel.version,
			kernel.machine);
	while (release && fgets(line, sizeof(line), release)) {
		if (sscanf(line, "PRETTY_NAME=\"%200[^\"\n]", name) == 1)
			fprintf(out, "%s\n", name);
	}
}

static void write_file(const char *path, FILE *out)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[256];

	if (file && fgets(line, sizeof(line), file))
		fprintf(out, "%s: %.*s\n", path, (int)strcspn(line, "\n"), line);
	else
		fprintf(out, "%s: %s\n", path, file ? "empty" : strerror(errno));
}

/* Where the file systems are mounted that holdfast needs, as this process sees them. */
static void write_mounts(FILE *out)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *mount;

	while (mounts && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2") == 0 || strcmp(mount->mnt_type, "bpf") == 0)
			fprintf(out, "%s on %s (%s)\n", mount->mnt_type, mount->mnt_dir,
				mount->mnt_opts);
	}
	if (mounts)
		endmntent(mounts);
}

void report_kernel(FILE *out)
{
	struct error e = {0};
	size_t i;

	fprintf(out, "BTF: %s\n",
		access("/sys/kernel/btf/vmlinux", R_OK) ? strerror(errno) : "yes");
	fprintf(out, "the host's processes: %s\n",
		environment_check_processes(&e) ? e.text : "seen");
	write_mounts(out);
	for (i = 0; i < ARRAY_SIZE(files); i++)
		write_file(files[i], out);
}

static void write_entry(sd_journal *journal, FILE *out)
{
	static const char field[] = "MESSAGE=";
	char when[32], text[2048];
	const void *data;
	struct tm utc;
	uint64_t us;
	time_t s;
	size_t size;

	if (sd_journal_get_realtime_usec(journal, &us) < 0 ||
	    sd_journal_get_data(journal, "MESSAGE", &data, &size) < 0 || size < sizeof(field) - 1)
		return;
	s = (time_t)(us / 1000000u);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s, &utc));
	fprintf(out, "%s %s\n", when,
		text_escape(text, sizeof(text), (const char *)data + sizeof(field) - 1,
			    size - (sizeof(field) - 1)));
}

static void write_entries(FILE *out)
{
	sd_journal *journal = NULL;
	int err = sd_journal_open(&journal, SD_JOURNAL_LOCAL_ONLY), n;

	if (err >= 0)
		err = sd_journal_add_match(journal, "_SYSTEMD_UNIT=holdfast.service", 0);
	if (err >= 0)
		err = sd_journal_seek_tail(journal);
	if (err >= 0)
		err = sd_journal_previous_skip(journal, LOG_LINES);
	for (n = 0; err > 0; n++, err = sd_journal_next(journal))
		write_entry(journal, out);
	if (err < 0)
		fprintf(out, "the journal can't be read: %s\n", strerror(-err));
	else if (!n)
		fputs("the journal has nothing of holdfast.service\n", out);
	if (journal)
		sd_journal_close(journal);
}

/* The journal is read by a process of its own: its library ends the one that lacks memory. */
void report_log(FILE *out)
{
	int ends[2], status = 0;
	char text[4096];
	ssize_t n;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0) {
		fprintf(out, "the journal can't be read: %s\n", strerror(errno));
		return;
	}
	child = fork();
	if (child == 0) {
		FILE *pipe = fdopen(ends[1], "w");

		if (pipe)
			write_entries(pipe);
		_exit(!pipe || fclose(pipe));
	}
	close(ends[1]);
	while (child > 0 &&
	       ((n = read(ends[0], text, sizeof(text))) > 0 || (n < 0 && errno == EINTR)))
		fwrite(text, 1, n > 0 ? (size_t)n : 0, out);
	close(ends[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0 || status)
		fputs("the journal can't be read: its reader has failed\n", out);
}
