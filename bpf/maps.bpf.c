// SPDX-License-Identifier: GPL-2.0-or-later
#include "maps.h"

const volatile __u32 hf_hz = 0;
const volatile __u64 hf_cgroup_id = 0;
const volatile __u8 hf_guard_sets = 1;
const volatile __u8 hf_tell_by_sockops = 0;
const volatile __u8 hf_marks = 0;

struct hf_rules_map hf_rules SEC(".maps");
struct hf_port_bitmap_map hf_port_bitmap SEC(".maps");
struct hf_sockets_map hf_sockets SEC(".maps");
struct hf_info_map hf_info SEC(".maps");
struct hf_counters_map hf_counters SEC(".maps");
struct hf_ends_map hf_ends SEC(".maps");
struct hf_targets_map hf_targets SEC(".maps");
struct hf_wanted_map hf_wanted SEC(".maps");
struct hf_listeners_map hf_listeners SEC(".maps");

char LICENSE[] SEC("license") = "GPL";
