/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declares the handful of kernel structs that the programs read, with just the members that they
 * read. libbpf finds each member by its name in the running kernel's BTF (CO-RE), so the order and
 * the offsets here mean nothing, and the build needs no BTF of the building machine.
 */
#ifndef HOLDFAST_KERNEL_H
#define HOLDFAST_KERNEL_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "types.h"

#define AF_INET	 2
#define AF_INET6 10

#define SOL_SOCKET	 1
#define SO_KEEPALIVE	 9
#define SOL_TCP		 6
#define TCP_KEEPIDLE	 4
#define TCP_KEEPINTVL	 5
#define TCP_KEEPCNT	 6
#define TCP_USER_TIMEOUT 18
/* An option of bpf_setsockopt() only; an enumerator of linux/bpf.h since 6.12. */
#define HF_TCP_BPF_SOCK_OPS_CB_FLAGS 1008

#define IPPROTO_TCP  6
#define ECONNABORTED 103
#define ECONNRESET   104
#define EPIPE	     32

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct hlist_nulls_node {
	struct hlist_nulls_node *next;
};

struct inet_ehash_bucket {
	struct hlist_nulls_node *chain;
};

struct inet_hashinfo {
	struct inet_ehash_bucket *ehash;
	unsigned int ehash_mask;
	bool pernet;
};

struct inet_timewait_death_row {
	struct inet_hashinfo *hashinfo; /* since 6.1 */
};

struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
	int sysctl_tcp_keepalive_time;	  /* jiffies */
	int sysctl_tcp_keepalive_intvl;	  /* jiffies */
	__u8 sysctl_tcp_keepalive_probes; /* its width varies: see hf_sysctl_probes() */
};

struct list_head {
	struct list_head *next;
};

struct net {
	struct list_head list; /* links all network namespaces */
	struct ns_common ns;
	struct netns_ipv4 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct timespec64 {
	__s64 tv_sec;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__u8 skc_ipv6only : 1;	 /* of an IPv6 listener: it takes no IPv4 connections */
	unsigned long skc_flags; /* bits of enum sock_flags */
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	struct hlist_nulls_node skc_nulls_node; /* links the sockets of a hash bucket */
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup; /* since 5.15 */
};

struct inode {
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data; /* of a socket: its struct socket */
};

struct fdtable {
	unsigned int max_fds; /* a multiple of BITS_PER_LONG */
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct sock;

struct socket {
	struct file *file;
	struct sock *sk;
};

struct bpf_local_storage_map;

struct bpf_local_storage_data {
	struct bpf_local_storage_map *smap;
	__u8 data[0];
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct bpf_local_storage {
	struct hlist_head list;
};

struct bpf_local_storage_elem {
	struct hlist_node snode;
	struct bpf_local_storage_data sdata;
};

struct net_device {
	int ifindex;
};

struct dst_entry {
	struct net_device *dev;
};

struct sock {
	struct sock_common __sk_common;
	struct dst_entry *sk_dst_cache; /* route of the last packet sent */
	int sk_rx_dst_ifindex;		/* since 5.17 */
	struct sock_cgroup_data sk_cgrp_data;
	struct socket *sk_socket;
	__u8 sk_kern_sock : 1; /* the kernel has made the socket for itself */
	int sk_err;
	__u32 sk_max_ack_backlog;		  /* of a listener, and of sockets it accepts */
	struct bpf_local_storage *sk_bpf_storage; /* NULL: no BPF program has storage here */
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
	int rx_dst_ifindex; /* until 5.16 */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u32 icsk_user_timeout; /* ms */
	__u8 icsk_probes_out;
	struct {
		__u32 lrcvtime; /* when data was received last, in jiffies */
	} icsk_ack;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	unsigned int keepalive_time;  /* jiffies; 0: the namespace's sysctl */
	unsigned int keepalive_intvl; /* jiffies; 0: the namespace's sysctl */
	__u8 keepalive_probes;	      /* a count; 0: the namespace's sysctl */
	__u32 rcv_tstamp;	      /* when the last acknowledgement was received, in jiffies */
	__u32 lsndtime;		      /* when data was sent last, in jiffies */
	__u32 snd_nxt;		      /* sequence number of the next byte to send */
	__u32 snd_una;		      /* sequence number of the first unacknowledged byte */
	__u8 bpf_sock_ops_cb_flags;   /* BPF_SOCK_OPS_*_CB_FLAG */
	__u8 repair : 1;	      /* the socket is being restored (TCP_REPAIR) */
};

enum sock_flags {
	SOCK_KEEPOPEN = 3,
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	int pid;
	int tgid;
	struct nsproxy *nsproxy;
	struct files_struct *files;
	struct task_struct *group_leader;
	char comm[HF_COMM_LEN];
};

struct bpf_map;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
