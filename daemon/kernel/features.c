// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/features.h"

#include "base/util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/*
 * The coarse clocks tick with the kernel's timer, so their resolution is 1/HZ
 * (kernel/time/posix-timers.c: posix_get_coarse_res()).
 */
int kernel_hz(uint32_t *hz, struct error *e)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 || tick.tv_sec || tick.tv_nsec <= 0)
		return error_set(e, EINVAL, "the kernel doesn't tell the length of its timer tick");
	*hz = (uint32_t)((1000000000L + tick.tv_nsec / 2) / tick.tv_nsec);
	return 0;
}

/* Returns whether something in the kernel's BTF has that name. */
static bool btf_names(const char *name)
{
	_cleanup_close_ int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *btf = NULL;
	size_t size = 0;
	struct stat st;
	ssize_t got = 1;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	btf = malloc((size_t)st.st_size);
	while (btf && size < (size_t)st.st_size && got > 0) {
		got = read(fd, btf + size, (size_t)st.st_size - size);
		size += got > 0 ? (size_t)got : 0;
	}
	return btf && memmem(btf, size, name, strlen(name) + 1);
}

/*
 * The enumerator belongs to an anonymous enum, which CO-RE can't ask for; but nothing else in the
 * kernel's BTF has its name.
 */
bool kernel_can_mark(void)
{
	return btf_names("TCP_BPF_SOCK_OPS_CB_FLAGS");
}

/*
 * Returns whether a program that calls bpf_probe_read_kernel() loads. libbpf_probe_bpf_helper()
 * can't answer that: up to libbpf 1.4 it takes what kernels since 6.10 say in a lockdown, "program
 * of this type cannot use helper", for a yes.
 */
static bool can_read_kernel(void)
{
	const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10},
		/* BPF_ADD and BPF_K are both 0. NOLINTNEXTLINE(misc-redundant-expression) */
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	_cleanup_close_ int fd = bpf_prog_load(BPF_PROG_TYPE_TRACEPOINT, "hf_can_read", "GPL",
					       program, ARRAY_SIZE(program), NULL);

	return fd >= 0;
}

bool kernel_can_search(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_loop, NULL) == 1 &&
	       can_read_kernel();
}

bool kernel_can_survey(void)
{
	return kernel_can_search() && btf_names("bpf_rdonly_cast");
}
