// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds the processes that hold sockets, and the network namespaces of tasks, by three iterators:
 *
 *   hf_owners  writes a struct hf_owner for each open file that is a TCP socket with a record or
 *              a matching rule
 *   hf_strays  writes the same, but only for sockets of another network namespace than that of
 *              the process
 *   hf_tasks   writes a struct hf_task, with its network namespace, for each task, so that user
 *              space finds namespaces without walking /proc
 */
#include "socket.h"

HF_INLINE int owner_of(struct bpf_iter__task_file *ctx, bool stray)
{
	struct task_struct *task = ctx->task, *leader;
	struct file *file = ctx->file;
	struct hf_owner owner;
	struct socket *socket;
	struct tcp_sock *tp;
	struct hf_flow flow;
	enum hf_side side;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket || !socket->sk)
		return 0;
	if (stray && socket->sk->__sk_common.skc_net.net == task->nsproxy->net_ns)
		return 0;
	tp = bpf_skc_to_tcp_sock(socket->sk);
	if (!tp || !hf_socket_flow(tp, &flow))
		return 0;
	/*
	 * The record is looked up last: most sockets have none, and the ports, which are at hand,
	 * rule them out. A rule of either side counts here; the reader sorts out the sockets that
	 * it wants.
	 */
	flow.opener = HF_OPENER_UNKNOWN;
	if (!hf_rule_for(&flow, &side) && !bpf_sk_storage_get(&hf_sockets, tp, 0, 0))
		return 0;

	leader = task->group_leader;
	__builtin_memset(&owner, 0, sizeof(owner));
	owner.cookie = bpf_get_socket_cookie(tp);
	owner.netns = ((struct sock_common *)tp)->skc_net.net->ns.inum;
	owner.pid = task->tgid;
	owner.fd = ctx->fd;
	((__u64 *)owner.comm)[0] = ((__u64 *)leader->comm)[0];
	((__u64 *)owner.comm)[1] = ((__u64 *)leader->comm)[1];
	bpf_seq_write(ctx->meta->seq, &owner, sizeof(owner));
	return 0;
}

SEC("iter/task_file")
int hf_owners(struct bpf_iter__task_file *ctx)
{
	return owner_of(ctx, false);
}

SEC("iter/task_file")
int hf_strays(struct bpf_iter__task_file *ctx)
{
	return owner_of(ctx, true);
}

#define NAMESPACES_MAX 1024

/*
 * Counts the network namespaces of the host. Returns 0 if that fails or there are NAMESPACES_MAX
 * or more.
 *
 * The namespaces are linked in a ring with a list head that is no namespace. The walk can't tell
 * the head from a namespace, but it only needs the length of the ring, which is one more than
 * their number. Loads through typed pointers give 0 where they would fault, and an entry that is
 * removed meanwhile still leads back into the ring (list_del_rcu()).
 */
HF_INLINE __u32 count_namespaces(struct net *net)
{
	struct list_head *first = net->list.next, *at = first;
	__u32 n;

	for (n = 0; n < NAMESPACES_MAX; n++) {
		at = at->next;
		if (!at)
			return 0;
		if (at == first)
			return n;
	}
	return 0;
}

SEC("iter/task")
int hf_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct hf_task out;

	if (!task)
		return 0;
	__builtin_memset(&out, 0, sizeof(out));
	out.netns = task->nsproxy->net_ns->ns.inum;
	out.pid = task->pid;
	if (out.netns && !ctx->meta->seq_num)
		out.namespaces = count_namespaces(task->nsproxy->net_ns);
	if (out.netns)
		bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
