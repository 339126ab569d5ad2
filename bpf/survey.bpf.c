// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where there is something to do: one walk through the kernel's table of connections, of all
 * network namespaces at once, that reads and does nothing else. It takes neither locks nor
 * references, waits for the memory of several sockets at the same time, and goes through the
 * table once and not once for each namespace: a third of what a TCP iterator takes.
 *
 * What it writes are words: the inode of a namespace with HF_SURVEY_TODO where a sweep has to
 * see to a socket, with HF_SURVEY_LOOSE where one matches a rule, has no record and is none of
 * the sweep's business (closed by the peer, `enforce = no`, another cgroup). The same word may
 * come again. What isn't named has nothing of either kind, unless it has a table of its own
 * (net.ipv4.tcp_child_ehash_entries). HF_SURVEY_TODO alone stands for every namespace; so does
 * the answer to a reader that is in one with a table of its own.
 *
 * Sockets come and go meanwhile, as they do behind an iterator. Their memory stays that of
 * sockets while the walk is in a chain (SLAB_TYPESAFE_BY_RCU), and what is read through
 * bpf_rdonly_cast() (6.2) may be gone: such a load gives 0. A socket that is moved to another
 * chain while the walk stands on it gives itself away by that chain's end.
 */
#include "apply.h"

extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

#define CAST(type, address)                                                                        \
	((type *)bpf_rdonly_cast((const void *)(address), (__u32)bpf_core_type_id_kernel(type)))

/* A chain that is longer is left to the sweep. Tables are made for a few links in each. */
#ifndef CHAIN_MAX
#define CHAIN_MAX 64
#endif

/* Buckets at a time. */
#define AT_A_TIME 8

/* Of the local storage of a socket, as many as programs of others may have put before ours. */
#define STORAGES_MAX 8

struct walk {
	struct seq_file *seq;
	__u64 table;   /* the address of the first bucket */
	__u64 buckets; /* of the first one of this step */
	__u64 first;   /* its number */
	__u64 node;    /* where the walk stands: a link of a chain, or its end */
	__u64 said;    /* the last word */
	__u64 touched; /* what was read ahead, so that it is */
};

/* Eight bytes as a number; any struct would do that begins with one. */
HF_INLINE __u64 word_at(__u64 address)
{
	return (__u64)CAST(struct timespec64, address)->tv_sec;
}

/* A copy of the socket's record. False: it has none. */
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

/* The rules in force; 0: not known. It changes before they do: see swap() in daemon/plane.c. */
HF_INLINE __u32 generation_in_force(void)
{
	struct hf_info *info;
	__u32 zero = 0;

	info = bpf_map_lookup_elem(&hf_info, &zero);
	return info ? info->generation : 0;
}

/* The word for a socket; 0: none. A function of its own, so that it is verified once. */
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
		return 0; /* something smaller than a socket */
	known = read_record((struct sock *)tp, &record);
	/*
	 * The same rules choose the same one again, so that it needn't be looked up: whoever
	 * connects a socket to somewhere else meets the hook.
	 */
	if (known && record.generation == generation_in_force()) {
		hf_plan_read(&plan, tp);
		if (state != BPF_TCP_ESTABLISHED ||
		    (hf_as_it_was_left(&record, &plan) && hf_is_marked(tp)))
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

/* All ones, but 0 for 0. Without a branch: see decide.h. */
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

/* All ones for a socket. Requests and those in time-wait are smaller. */
HF_INLINE __u64 whole(__u64 address)
{
	__u64 state = CAST(struct sock_common, address)->skc_state;

	return mask_of(state ^ BPF_TCP_TIME_WAIT) & mask_of(state ^ BPF_TCP_NEW_SYN_RECV);
}

/*
 * Read ahead what will be wanted of the first socket of each bucket: most have no more. The
 * loads of one step don't depend on each other, so that the CPU waits for all of them at once.
 * Where there is no socket, or no record, the table itself is read in its place: an address
 * that is none would cost a fault. Not inline, for the stack's sake: all functions that call
 * each other have 512 bytes.
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
		/* include/linux/list_nulls.h: the end of a chain says which one it is. */
		if (walk->node != ((walk->first + number) << 1 | 1))
			bpf_seq_write(walk->seq, &any, sizeof(any));
	}
	return 0;
}

/*
 * The maps of the host are none of our business; but an iterator over them takes as many steps
 * as there are, of which HF_SURVEY_CHUNKS at least are ours. A part of the table is a step.
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
	if (table->pernet || each < AT_A_TIME) { /* a table so small is swept as fast */
		bpf_seq_write(ctx->meta->seq, &any, sizeof(any));
		return 0;
	}
	walk.first = chunk * each;
	/* As a number, since it takes part in masks, which pointers may not. */
	walk.table = word_at((__u64)table + bpf_core_field_offset(struct inet_hashinfo, ehash));
	walk.buckets = walk.table + walk.first * bpf_core_type_size(struct inet_ehash_bucket);
	bpf_loop(each / AT_A_TIME, hf_survey_buckets, &walk, 0);
	return 0;
}
