# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: what holdfast costs.
#
#   make bench          everything, against what people use today; FIGURES=NAME...
#                       measures only these. Needs root; about ten minutes
#   make bench-quick    what needs no clock, against the committed baseline

BENCH_PACKAGES  = $(shell sed -e 's/\#.*//' tests/bench/packages)
BENCH_SOURCES  := $(sort $(wildcard tests/bench/*.c))
BENCH_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(filter-out %.bpf.c,$(BENCH_SOURCES))) $(patsubst %.bpf.c,$(BUILD)/%.bpf.o,$(filter %.bpf.c,$(BENCH_SOURCES)))

.PHONY: bench bench-quick bench-programs deps-bench

deps-bench: deps
	@$(call install_missing,$(BENCH_PACKAGES))

bench: deps-bench
	@$(MAKE) --no-print-directory -j$$(nproc) all bench-programs
	@HF_BUILD=$(abspath $(BUILD)) $(PYTHON) -B tests/bench/run --json $(BUILD)/bench.json \
		--plots $(BUILD)/bench $(FIGURES)

bench-quick: deps-bench
	@$(MAKE) --no-print-directory -j$$(nproc) all bench-programs
	@mkdir -p $(BUILD)/tests
	@HF_BUILD=$(abspath $(BUILD)) $(PYTHON) -B tests/bench/quick --junit $(BUILD)/tests/bench.xml

bench-programs: $(BENCH_PROGRAMS)

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libholdfast.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(shell $(PKG_CONFIG) --libs $(LIBS)) -o $@

-include $(wildcard $(BUILD)/tests/bench/*.d)
