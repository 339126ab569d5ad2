// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The least that holding a connection takes: create socket storage and set four options, without a
 * rule, a decision or a counter.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 3306

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, char[128]); /* bytes, as struct hf_record */
} sockets SEC(".maps");

static void set(struct bpf_sock_ops *ops, int level, int option, int value)
{
	bpf_setsockopt(ops, level, option, &value, sizeof(value));
}

SEC("sockops")
int hold(struct bpf_sock_ops *ops)
{
	if (ops->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB || ops->remote_port != bpf_htonl(PORT) ||
	    !ops->sk)
		return 1;
	bpf_sk_storage_get(&sockets, ops->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	set(ops, 1, 9, 1);   /* SO_KEEPALIVE */
	set(ops, 6, 5, 60);  /* TCP_KEEPINTVL */
	set(ops, 6, 6, 5);   /* TCP_KEEPCNT */
	set(ops, 6, 4, 600); /* TCP_KEEPIDLE */
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
