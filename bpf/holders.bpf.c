// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds the processes that hold a few sockets open, on hosts with many open files. hf_holders
 * iterates over tasks, looks through the descriptor table of each for the files that its reader
 * wants (hf_wanted), and writes a struct hf_owner for each that it finds. A file that isn't wanted
 * costs a look-up, some 10 ns; hf_owners touches file, socket and sock of each file, which is
 * fifty times dearer.
 *
 * It needs bpf_loop() (5.17) and bpf_probe_read_kernel(), which lockdown=confidentiality forbids.
 * hf_owners takes its place on kernels without them.
 */
#include "socket.h"

/* Descriptors read at a time. Tables have a multiple of BITS_PER_LONG descriptors. */
#define AT_A_TIME 16

struct table {
	struct seq_file *seq;
	struct task_struct *task;
	__u64 files; /* the address of the array of pointers to files */
	__u32 reader;
};

/*
 * Returns whether the file at this address still is the socket with this cookie. The address was
 * noted when the reader met the socket; since then another file may have got it.
 */
HF_INLINE bool is_socket(__u64 address, __u64 cookie)
{
	struct socket *socket = 0;
	struct sock *sk = 0;
	__u64 is = 0;

	bpf_probe_read_kernel(&socket, sizeof(socket), &((struct file *)address)->private_data);
	bpf_probe_read_kernel(&sk, sizeof(sk), &socket->sk);
	bpf_probe_read_kernel(&is, sizeof(is), &sk->__sk_common.skc_cookie);
	return is == cookie;
}

/* Looks through the next AT_A_TIME descriptors of a table; bpf_loop() ends when it returns 1. */
static long hf_search(__u32 index, void *context)
{
	struct table *table = context;
	struct task_struct *leader = table->task->group_leader;
	struct hf_wanted key = {.reader = table->reader};
	__u64 some[AT_A_TIME], address;
	struct hf_owner owner;
	__u64 *cookie;
	__u32 i;

	address = table->files + (__u64)index * sizeof(some);
	if (bpf_probe_read_kernel(some, sizeof(some), (void *)address))
		return 1;
	for (i = 0; i < AT_A_TIME; i++) {
		key.file = some[i];
		cookie = key.file ? bpf_map_lookup_elem(&hf_wanted, &key) : 0;
		if (!cookie || !is_socket(key.file, *cookie))
			continue;
		__builtin_memset(&owner, 0, sizeof(owner));
		owner.cookie = *cookie;
		owner.pid = table->task->tgid;
		owner.fd = index * AT_A_TIME + i;
		((__u64 *)owner.comm)[0] = ((__u64 *)leader->comm)[0];
		((__u64 *)owner.comm)[1] = ((__u64 *)leader->comm)[1];
		if (bpf_seq_write(table->seq, &owner, sizeof(owner)))
			return 1; /* the buffer is full: the kernel calls again for this task */
	}
	return 0;
}

SEC("iter/task")
int hf_holders(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct files_struct *files;
	struct fdtable *fdt;
	struct table table;

	if (!task)
		return 0;
	files = task->files;
	if (!files || (task->pid != task->tgid && files == task->group_leader->files))
		return 0;
	fdt = files->fdt;
	table.seq = ctx->meta->seq;
	table.task = task;
	table.files = (__u64)fdt->fd;
	table.reader = (__u32)(bpf_get_current_pid_tgid() >> 32);
	if (table.files)
		bpf_loop(fdt->max_fds / AT_A_TIME, hf_search, &table, 0);
	return 0;
}
