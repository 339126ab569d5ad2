// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_BPF
#define CAP_BPF 39 /* Linux 5.8 */
#endif

static const unsigned kept[] = {
	CAP_SYS_ADMIN,	CAP_NET_ADMIN,	     CAP_BPF,
	CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE,
};

/*
 * Capabilities that loading needs aren't checked here, because the kernel reports their lack. The
 * lack of these two would only show as sockets that aren't held.
 */
int privileges_check(struct error *e)
{
	static const struct {
		unsigned number;
		const char *name, *use;
	} needed[] = {
		{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "other network namespaces can't be entered"},
		{CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "other processes' namespaces can't be found"},
	};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	size_t i;

	if (syscall(SYS_capget, &header, data) < 0)
		return error_set(e, errno, "reading our capabilities: %s", strerror(errno));
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (!(data[CAP_TO_INDEX(needed[i].number)].effective &
		      CAP_TO_MASK(needed[i].number)))
			return error_set(e, EPERM, "no permission: without %s %s (run it as root)",
					 needed[i].name, needed[i].use);
	}
	return 0;
}

int privileges_drop(struct error *e)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	uint32_t mask[_LINUX_CAPABILITY_U32S_3] = {0};
	size_t i;

	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		mask[CAP_TO_INDEX(kept[i])] |= CAP_TO_MASK(kept[i]);
	if (syscall(SYS_capget, &header, data) < 0)
		return error_set(e, errno, "reading our capabilities: %s", strerror(errno));
	for (i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].effective &= mask[i];
		data[i].permitted &= mask[i];
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return error_set(e, errno, "dropping capabilities: %s", strerror(errno));
	return 0;
}
