/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The maps that all programs share, and the constants that the loader fills
 * in. Defined in maps.bpf.c, joined by the BPF linker; keys and values: types.h.
 */
#ifndef HOLDFAST_MAPS_H
#define HOLDFAST_MAPS_H

#include "kernel.h"

/* The running kernel's HZ; what it counts in jiffies we count in seconds. */
extern const volatile __u32 hf_hz;

/* cgroup v2 id of the subtree that we are limited to; 0: no limit. */
extern const volatile __u64 hf_cgroup_id;

/* What this kernel can't do; the verifier then leaves out what would need it. */
extern const volatile __u8 hf_guard_sets; /* the guard may call bpf_setsockopt() (5.15) */
extern const volatile __u8 hf_marks;	  /* the sweep may set TCP_BPF_SOCK_OPS_CB_FLAGS (6.12) */

/*
 * The sockops program hears of the state changes of held sockets, as it has asked on
 * each of them; else the tracepoint does, which runs at those of every socket there is
 * and makes each connection on the host some 2 us dearer. It is for kernels where the
 * sweep can't ask on behalf of sockets that are open already, unless they have no
 * socket storage in tracepoints either (5.11).
 */
extern const volatile __u8 hf_tell_by_sockops;

/* key_size and value_size, no __type: a trie made without BTF at run time never
 * equals a template with BTF (bpf_map_meta_equal(), seen on 6.1). */
struct hf_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(key_size, sizeof(struct hf_key));
	__uint(value_size, sizeof(union hf_value));
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
};

/* One slot: the trie that is in force. The daemon fills a new trie and swaps it
 * in with one update. An empty trie: nothing is enforced any more. */
struct hf_rules_map {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct hf_trie);
};
extern struct hf_rules_map hf_rules SEC(".maps");

/* The ports that the rules in force name. */
struct hf_gate_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hf_gate);
};
extern struct hf_gate_map hf_gate SEC(".maps");

/* Every socket that was decided on. */
struct hf_sockets_map {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hf_record);
};
extern struct hf_sockets_map hf_sockets SEC(".maps");

/* What is attached, for whoever asks. */
struct hf_info_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hf_info);
};
extern struct hf_info_map hf_info SEC(".maps");

/* What happened, by rule. The daemon makes the entries; programs only count in them. */
struct hf_counters_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct hf_counters);
};
extern struct hf_counters_map hf_counters SEC(".maps");

/* The ends of held connections: struct hf_ended. */
struct hf_ends_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HF_ENDS_BYTES);
};
extern struct hf_ends_map hf_ends SEC(".maps");

/*
 * The sockets that readers of views have met. One flat map: every change of a map in a map
 * from user space waits for a grace period of RCU, some 20 ms.
 */
struct hf_wanted_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HF_WANTED_ROOM);
	__type(key, struct hf_wanted);
	__type(value, __u64);
};
extern struct hf_wanted_map hf_wanted SEC(".maps");

/* Cookies of the sockets that hf_probe is to probe. */
struct hf_targets_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128 * 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u8);
};
extern struct hf_targets_map hf_targets SEC(".maps");

/*
 * The ports that are listened on, as the TCP iterators meet them before they come to
 * connections. An entry counts only in its own session. The daemon clears them away.
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
