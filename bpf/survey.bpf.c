// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The survey finds the network namespaces in which a sweep has something to do. It walks once
 * through the kernel's table of connections, of all namespaces together, and only reads. It takes
 * neither locks nor references, and waits for the memory of several sockets at the same time: a
 * walk takes a third of the time of a TCP iterator, which goes through the table once for each
 * namespace.
 *
 * It writes words of eight bytes. A word is the inode of a namespace with one of two bits:
 *   HF_SURVEY_TODO   a sweep has to visit one of its sockets
 *   HF_SURVEY_LOOSE  one of its sockets matches a rule and has no record, but a sweep would leave
 *                    it alone (closed by the peer, `enforce = no`, another cgroup)
 * The same word may come again. A namespace that isn't named has sockets of neither kind, unless
 * it has a table of its own (net.ipv4.tcp_child_ehash_entries). HF_SURVEY_TODO without an inode
 * stands for every namespace, and is the answer to a reader whose namespace has its own table.
 *
 * Sockets come and go during the walk, as they do during an iterator's. While the walk is in a
 * chain, the memory of a socket stays a socket's (SLAB_TYPESAFE_BY_RCU). A load through
 * bpf_rdonly_cast() (6.2) from memory that has gone gives 0. If the socket on which the walk stands
 * moves to another chain, the walk arrives at the end of that chain, whose number gives it away.
 *
 * On every architecture: addresses are followed, added to, and compared with others that the kernel
 * gave, so that tags in them (arm64) change nothing. A socket is in a chain only once its members
 * are written (rcu_assign_pointer()), and each load needs the address that the one before it gave,
 * which orders them on weakly ordered CPUs, too.
 */
#include "apply.h"

extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

#define CAST(type, address)                                                                        \
	((type *)bpf_rdonly_cast((const void *)(address), (__u32)bpf_core_type_id_kernel(type)))

/* A longer chain is left to the sweep. The kernel sizes tables for a few links in each chain. */
#ifndef CHAIN_MAX
#define CHAIN_MAX 64
#endif

/* Buckets read ahead at a time. */
#define AT_A_TIME 8

/* Entries of a socket's local storage to look through; other BPF programs may have theirs there. */
#define STORAGES_MAX 8

struct walk {
	struct seq_file *seq;
	__u64 table;   /* the address of the first bucket */
	__u64 buckets; /* the address of this step's first bucket */
	__u64 first;   /* the number of that bucket */
	__u64 node;    /* where the walk stands: a link of a chain, or its end */
	__u64 said;    /* the last word written */
	__u64 touched; /* sum of what was read ahead, so that the compiler keeps the loads */
};

/* Loads eight bytes. The load needs a struct type that begins with such a number; any would do. */
HF_INLINE __u64 word_at(__u64 address)
{
	return (__u64)CAST(struct timespec64, address)->tv_sec;
}

/* Copies the socket's record. Returns false if it has none. */
HF_INLINE bool read_record(struct sock *sk, struct hf_record *record)
{
	const __u64 data = bpf_core_field_offset(struct bpf_local_storage_elem, sdata) -
			   bpf_core_field_offset(struct bpf_local_storage_elem, snode);
	__u64 storage = (__u64)sk->sk_bpf_storage, link;
	int i;

	if (!storage)
		return false;
	link = word_at(storage + bpf_core_field_offset(struct bpf_local_storage, list));
	for (i = 0; i < STORAGES_MAX && link; i++) {
		if (word_at(link + data) == (__u64)&hf_sockets) {
			link += data + bpf_core_field_offset(struct bpf_local_storage_data, data);
			return !bpf_probe_read_kernel(record, sizeof(*record), (void *)link);
		}
		link = word_at(link);
	}
	return false;
}

/*
 * Returns the generation of the rules in force, or 0 if it isn't known. The generation changes
 * before the rules do: see swap() in daemon/kernel/rules_map.c.
 */
HF_INLINE __u32 generation_in_force(void)
{
	struct hf_info *info;
	__u32 zero = 0;

	info = bpf_map_lookup_elem(&hf_info, &zero);
	return info ? info->generation : 0;
}

/*
 * Returns the word to write for a socket, or 0 for none. It is a global function so that the
 * verifier checks it once.
 */
__noinline __u64 hf_survey_socket(__u64 address)
{
	struct tcp_sock *tp = CAST(struct tcp_sock, address);
	struct sock_common *skc = (struct sock_common *)tp;
	__u8 state = skc->skc_state;
	const struct hf_rule *rule;
	struct hf_record record;
	struct hf_plan plan;
	struct hf_flow flow;
	enum hf_side side;
	__u64 netns;
	bool known;

	if (state == BPF_TCP_TIME_WAIT || state == BPF_TCP_NEW_SYN_RECV)
		return 0; /* not a whole struct sock */
	known = read_record((struct sock *)tp, &record);
	if (known && record.left_alone)
		return 0;
	/*
	 * The rule needn't be looked up if these rules have decided: they would choose the same
	 * one, since a socket that is connected to somewhere else passes through hf_sockops.
	 */
	if (known && record.generation == generation_in_force()) {
		hf_plan_read(&plan, tp);
		if (state != BPF_TCP_ESTABLISHED ||
		    (hf_as_it_was_left(&record, &plan, tp) && hf_is_marked(tp)))
			return 0;
	}
	if (!hf_socket_flow(tp, &flow))
		return 0;
	if (known)
		hf_flow_recall(&flow, &record);
	rule = hf_rule_for(&flow, &side);
	if (!rule) {
		asm volatile("");
		if (!known)
			return 0;
	}
	netns = skc->skc_net.net->ns.inum;
	if (!rule || !(rule->flags & HF_RULE_ENFORCE) || !hf_socket_in_scope(tp))
		return netns | (known ? HF_SURVEY_TODO : HF_SURVEY_LOOSE);
	if (state != BPF_TCP_ESTABLISHED)
		return known ? 0 : netns | HF_SURVEY_LOOSE;
	return netns | HF_SURVEY_TODO;
}

static long hf_survey_link(__u32 index, void *context)
{
	struct walk *walk = context;
	__u64 word;

	(void)index;
	if (!walk->node || walk->node & 1)
		return 1;
	word = hf_survey_socket(walk->node -
				bpf_core_field_offset(struct sock_common, skc_nulls_node));
	walk->node = word_at(walk->node);
	if (word && word != walk->said) {
		walk->said = word;
		bpf_seq_write(walk->seq, &word, sizeof(word));
	}
	return 0;
}

/* Returns all ones, or 0 for 0, without branching: see decide.h. */
HF_INLINE __u64 mask_of(__u64 value)
{
	__s64 mask = (__s64)(value | (0 - value));

	asm volatile("" : "+r"(mask));
	mask >>= 63;
	asm volatile("" : "+r"(mask));
	return (__u64)mask;
}

HF_INLINE __u64 select_address(__u64 mask, __u64 address, __u64 otherwise)
{
	return (address & mask) | (otherwise & ~mask);
}

/* Returns all ones for a whole struct sock, 0 for a request or time-wait socket: smaller ones. */
HF_INLINE __u64 whole(__u64 address)
{
	__u64 state = CAST(struct sock_common, address)->skc_state;

	return mask_of(state ^ BPF_TCP_TIME_WAIT) & mask_of(state ^ BPF_TCP_NEW_SYN_RECV);
}

/*
 * Reads ahead what hf_survey_socket() needs of the first socket in each of AT_A_TIME buckets; most
 * buckets have no more than one. The loads of one loop don't depend on each other, so the CPU waits
 * for all of them at once. Where there is no socket or no record, it reads the table in its place,
 * because an invalid address would cost a fault. It isn't inline to save stack, of which inlined
 * and calling functions together have 512 bytes.
 */
static __noinline __u64 touch(__u64 table, __u64 buckets)
{
	const __u64 back = bpf_core_field_offset(struct sock_common, skc_nulls_node);
	const __u64 data = bpf_core_field_offset(struct bpf_local_storage_elem, sdata) -
			   bpf_core_field_offset(struct bpf_local_storage_elem, snode);
	const __u64 size = bpf_core_type_size(struct inet_ehash_bucket);
	__u64 socket[AT_A_TIME], link[AT_A_TIME], touched = 0, mask;
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < AT_A_TIME; i++) {
		link[i] = word_at(buckets + (__u64)i * size);
		socket[i] = select_address((link[i] & 1) - 1, link[i] - back, table);
	}
#pragma clang loop unroll(full)
	for (i = 0; i < AT_A_TIME; i++) {
		touched += word_at(socket[i] + back);
		mask = ((link[i] & 1) - 1) & whole(socket[i]);
		socket[i] = select_address(mask, socket[i], table);
		link[i] = mask;
	}
#pragma clang loop unroll(full)
	for (i = 0; i < AT_A_TIME; i++) {
		mask = link[i];
		link[i] = word_at(socket[i] + bpf_core_field_offset(struct sock, sk_bpf_storage));
		mask &= mask_of(link[i]);
		link[i] = select_address(mask, link[i], table);
		socket[i] = select_address(mask, socket[i], table);
	}
#pragma clang loop unroll(full)
	for (i = 0; i < AT_A_TIME; i++) {
		mask = mask_of(socket[i] ^ table);
		link[i] = word_at(link[i] + bpf_core_field_offset(struct bpf_local_storage, list));
		mask &= mask_of(link[i]);
		link[i] = select_address(mask, link[i], table);
	}
#pragma clang loop unroll(full)
	for (i = 0; i < AT_A_TIME; i++) {
		touched += word_at(link[i] + data) + word_at(link[i] + data + 64);
		touched +=
			word_at(socket[i] + bpf_core_field_offset(struct tcp_sock, keepalive_time));
		touched += word_at(socket[i] +
				   bpf_core_field_offset(struct tcp_sock, keepalive_probes));
		touched += word_at(socket[i] + bpf_core_field_offset(struct inet_connection_sock,
								     icsk_user_timeout));
		touched += word_at(socket[i] +
				   bpf_core_field_offset(struct tcp_sock, bpf_sock_ops_cb_flags));
	}
	return touched;
}

static long hf_survey_buckets(__u32 index, void *context)
{
	const __u64 size = bpf_core_type_size(struct inet_ehash_bucket);
	const __u64 any = HF_SURVEY_TODO;
	struct walk *walk = context;
	__u64 number = (__u64)index * AT_A_TIME;
	int i;

	walk->touched = touch(walk->table, walk->buckets + number * size);
	for (i = 0; i < AT_A_TIME; i++, number++) {
		walk->node = word_at(walk->buckets + number * size);
		if (!(walk->node & 1))
			bpf_loop(CHAIN_MAX, hf_survey_link, walk, 0);
		/* A chain's end has the bucket's number (include/linux/list_nulls.h). */
		if (walk->node != ((walk->first + number) << 1 | 1))
			bpf_seq_write(walk->seq, &any, sizeof(any));
	}
	return 0;
}

/*
 * Walks through one part of the table at each step of an iterator over BPF maps, and ignores the
 * maps. The iterator takes as many steps as there are maps; at least HF_SURVEY_CHUNKS of them are
 * holdfast's own.
 */
SEC("iter/bpf_map")
int hf_survey(struct bpf_iter__bpf_map *ctx)
{
	struct task_struct *reader = bpf_get_current_task_btf();
	struct walk walk = {.seq = ctx->meta->seq};
	struct inet_hashinfo *table;
	const __u64 any = HF_SURVEY_TODO;
	__u64 chunk = ctx->meta->seq_num;
	__u32 each;

	if (!ctx->map || chunk >= HF_SURVEY_CHUNKS)
		return 0;
	table = reader->nsproxy->net_ns->ipv4.tcp_death_row.hashinfo;
	each = (table->ehash_mask + 1) / HF_SURVEY_CHUNKS;
	if (table->pernet || each < AT_A_TIME) { /* a sweep of so small a table is as fast */
		bpf_seq_write(ctx->meta->seq, &any, sizeof(any));
		return 0;
	}
	walk.first = chunk * each;
	/* The address is loaded as a number: it is masked, which isn't allowed on a pointer. */
	walk.table = word_at((__u64)table + bpf_core_field_offset(struct inet_hashinfo, ehash));
	walk.buckets = walk.table + walk.first * bpf_core_type_size(struct inet_ehash_bucket);
	bpf_loop(each / AT_A_TIME, hf_survey_buckets, &walk, 0);
	return 0;
}
