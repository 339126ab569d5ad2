# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: fuzzing with libFuzzer, ASan and UBSan.
#
#   make fuzz           every target for FUZZ_SECONDS, FUZZ_JOBS at a time; FUZZ=NAME... for some
#                       FUZZ_SEED=1... for the same random numbers in each run
#
# Inputs that reach new code are kept in BUILD/fuzz/corpus, inputs that break a target in
# BUILD/fuzz.

FUZZ_SECONDS ?= 60
FUZZ_JOBS    ?= 2
FUZZ_SEED    ?= 0
FUZZ         ?=

FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TARGETS := $(FUZZ_SOURCES:%.c=$(BUILD)/%)
FUZZ_SANITIZERS := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer

.PHONY: fuzz fuzz-programs

$(BUILD)/tests/fuzz/libfuzzer_%.o: tests/fuzz/libfuzzer.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DTARGET=fuzz_$* -c $< -o $@

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/libfuzzer_%.o $(BUILD)/libholdfast.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer $^ $(shell $(PKG_CONFIG) --libs $(LIBS)) -o $@

fuzz-programs: $(FUZZ_TARGETS)

# A separate build, because its objects are instrumented for libFuzzer.
fuzz: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(BUILD)/fuzz CC=$(CLANG) CFLAGS='-O1 -g' \
		SANITIZERS='$(FUZZ_SANITIZERS)' fuzz-programs
	@tests/fuzz/run $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ_JOBS) $(FUZZ_SEED) $(FUZZ)

-include $(wildcard $(BUILD)/tests/fuzz/*.d)

# The unit tests run the same targets on the seeds, in any kind of build.
$(BUILD)/tests/unit/test_seeds: $(FUZZ_SOURCES:%.c=$(BUILD)/%.o)
