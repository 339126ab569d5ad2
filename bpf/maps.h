/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declares the maps that all programs share, and the constants that the loader fills in.
 * maps.bpf.c defines them, the BPF linker joins the objects, and types.h has the types of keys
 * and values.
 */
#ifndef HOLDFAST_MAPS_H
#define HOLDFAST_MAPS_H

#include "kernel.h"

/* The running kernel's HZ, with which jiffies are converted to seconds and milliseconds. */
extern const volatile __u32 hf_hz;

/* cgroup v2 id of the subtree that the programs are limited to; 0: no limit. */
extern const volatile __u64 hf_cgroup_id;

/* What this kernel can do. Where one is 0, the verifier skips the code that needs it. */
extern const volatile __u8 hf_guard_sets; /* the guard may call bpf_setsockopt() (5.15) */
extern const volatile __u8 hf_marks;	  /* the sweep may set TCP_BPF_SOCK_OPS_CB_FLAGS (6.12) */

/*
 * 1: the sockops program reports the ends of held connections; it asks for the state changes of
 * each held socket. 0: the tracepoint (ended.bpf.c) reports them; it runs at the state changes of
 * every socket, which makes each connection on the host some 2 us dearer. The tracepoint serves
 * kernels where the sweep can't ask on behalf of existing sockets (before 6.12), but not those
 * that lack socket storage in tracepoints too (before 5.11).
 */
extern const volatile __u8 hf_tell_by_sockops;

/*
 * The rules as a longest-prefix-match trie. It is declared by key_size and value_size and not by
 * __type, because a trie made at run time without BTF never equals a template with BTF
 * (bpf_map_meta_equal(), seen on 6.1).
 */
struct hf_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(key_size, sizeof(struct hf_key));
	__uint(value_size, sizeof(union hf_value));
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
};

/*
 * One slot for the trie in force. The daemon fills a new trie and swaps it in with one update.
 * While the slot or the trie is empty, nothing is enforced.
 */
struct hf_rules_map {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct hf_trie);
};
extern struct hf_rules_map hf_rules SEC(".maps");

/* One entry: the ports that the rules in force name. */
struct hf_port_bitmap_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hf_port_bitmap);
};
extern struct hf_port_bitmap_map hf_port_bitmap SEC(".maps");

/* Socket storage: the record of each socket that was decided on. */
struct hf_sockets_map {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hf_record);
};
extern struct hf_sockets_map hf_sockets SEC(".maps");

/* One entry that says what is attached; the command reads it without asking the daemon. */
struct hf_info_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hf_info);
};
extern struct hf_info_map hf_info SEC(".maps");

/* The counters of each rule. The daemon makes the entries; programs only count in them. */
struct hf_counters_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct hf_counters);
};
extern struct hf_counters_map hf_counters SEC(".maps");

/* Ring buffer in which the ends of held connections are reported, a struct hf_ended each. */
struct hf_ends_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HF_ENDS_BYTES);
};
extern struct hf_ends_map hf_ends SEC(".maps");

/*
 * The files of the sockets that readers of view iterators have met. All readers share one flat
 * map: with a map in a map for each of them, every change from user space would wait for an RCU
 * grace period, some 20 ms.
 */
struct hf_wanted_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HF_WANTED_ROOM);
	__type(key, struct hf_wanted);
	__type(value, __u64);
};
extern struct hf_wanted_map hf_wanted SEC(".maps");

/*
 * Cookies of the sockets that hf_probe probes (value 0), or whose probes it ends: those that were
 * to end by the value at the latest (struct hf_record.probe_end).
 */
struct hf_targets_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128 * 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
};
extern struct hf_targets_map hf_targets SEC(".maps");

/*
 * The addresses and ports that are listened on. The TCP iterators note them, since they meet all
 * listeners before the first connection. The value is the iterator's session, outside of which an
 * entry doesn't count. The daemon deletes the entries.
 */
struct hf_listeners_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64 * 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hf_listener);
	__type(value, __u64);
};
extern struct hf_listeners_map hf_listeners SEC(".maps");

#endif
