# SPDX-License-Identifier: GPL-2.0-or-later
#
#   make            build/holdfastd and build/holdfast
#   make run        set up what is missing, build, hold this host's MySQL connections
#   make test       set up what is missing, build, run every test
#   make demo       see an idle connection lost, and kept
#   make demo-real  the same in a virtual machine, an hour an hour long, and drawn
#   make bench      what it costs, against what people use today
#   make help       the rest
#
# Variables: V=1 shows the commands; SANITIZE=1 builds with ASan and UBSan; CC=clang;
# BUILD=DIR for another build folder; DESTDIR=, PREFIX= for install.

VERSION := 1.0.0

CC       ?= gcc
ifeq ($(origin CC),default)
CC       := gcc
endif
CLANG    ?= clang
PKG_CONFIG ?= pkg-config
BPFTOOL  ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
BUILD    ?= build
DESTDIR  ?=
PREFIX   ?= /usr
BINDIR   ?= $(PREFIX)/bin
SBINDIR  ?= $(PREFIX)/sbin
SYSCONFDIR ?= /etc
MANDIR   ?= $(PREFIX)/share/man
UNITDIR  ?= $(PREFIX)/lib/systemd/system
BASHDIR  ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR   ?= $(PREFIX)/share/zsh/site-functions
FISHDIR  ?= $(PREFIX)/share/fish/vendor_completions.d
PYTHON   ?= /usr/bin/python3

.DEFAULT_GOAL := all
include packaging/cross.mk

V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-8s %s\n' '$(1)' '$(2)'
else
Q :=
say =
endif

# What Debian needs to build holdfast; tests/packages lists what the tests and the demo need.
BUILD_PACKAGES := gcc clang llvm make pkg-config bpftool libc6-dev linux-libc-dev \
	libbpf-dev libelf-dev zlib1g-dev libmnl-dev libnl-3-dev \
	libsystemd-dev libsmartcols-dev libjson-c-dev libc-ares-dev
TEST_PACKAGES = $(shell sed -e 's/\#.*//' tests/packages)
VM_PACKAGES   = $(shell sed -e 's/\#.*//' tests/vm/packages)
DEMO_PACKAGES = $(shell sed -e 's/\#.*//' tests/demo/packages)

DAEMON_LIBS  := libbpf libmnl libnl-3.0 libsystemd libcares
COMMAND_LIBS := libbpf libmnl libsystemd libcares json-c smartcols
LIBS         := $(DAEMON_LIBS) $(COMMAND_LIBS)

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
CFLAGS   ?= -O2 -g
# BPF_CPPFLAGS apply to BPF programs and user space alike: types.h must mean the same to both.
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -iquote . -iquote daemon -iquote tests/unit $(BPF_CPPFLAGS) -DHOLDFAST_VERSION='"$(VERSION)"' $(WARNINGS) \
	-fstack-protector-strong -fPIE -isystem $(BUILD) \
	$(shell $(PKG_CONFIG) --cflags $(LIBS)) $(CFLAGS) $(SANITIZERS) -MMD -MP
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS) $(SANITIZERS)

ifeq ($(SANITIZE),1)
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
else
CPPFLAGS_FORTIFY := -D_FORTIFY_SOURCE=2
endif

# The BTF names source files, by their place in the source tree and not on the building machine.
BPF_CFLAGS := -O2 -g -ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Wshadow -Wconversion $(BPF_CPPFLAGS) \
	$(addprefix -idirafter $(SYSROOT)/usr/include/,$(shell $(CC) -print-multiarch 2>/dev/null))

# The file that defines the maps comes first: libbpf 1.1's linker mixes up their places otherwise.
BPF_SOURCES     := bpf/maps.bpf.c $(sort $(filter-out bpf/maps.bpf.c,$(wildcard bpf/*.bpf.c)))
BPF_OBJECTS     := $(BPF_SOURCES:%.c=$(BUILD)/%.o)
# As deep as the rooms of tests/static/layers.
ROOMS           := daemon daemon/* daemon/*/*
SOURCES         := $(sort $(wildcard $(ROOMS:%=%/*.c)))
MAINS           := daemon/holdfastd.c daemon/holdfast.c
LIBRARY_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(MAINS),$(SOURCES)))
UNIT_SOURCES    := $(sort $(wildcard tests/unit/test_*.c tests/unit/*/test_*.c))
UNIT_TESTS      := $(UNIT_SOURCES:%.c=$(BUILD)/%)
MANUAL          := $(sort $(wildcard packaging/man/*.[58]))
TRANSLATED_MANUAL := $(sort $(wildcard packaging/man/*/*.[58]))
FORMATTED       := $(wildcard bpf/*.[ch] $(ROOMS:%=%/*.[ch]) tests/unit/*.[ch] tests/unit/*/*.[ch] tests/system/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch])

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run test unit-programs test-unit test-system test-vm test-vm-all demo demo-real install unit \
	check-man format check-format deps deps-test deps-vm deps-demo-real clean help

all: $(BUILD)/holdfastd $(BUILD)/holdfast
	@:

help:
	@sed -n '3,12s/^# \{0,3\}//p' Makefile
	@echo 'Also: install, cross, deb, rpm, dist, repository, image, test-package, check-man, deps, deps-test, test-unit, test-system, test-vm, test-vm-all, bench-quick, format, check-format, check-static, check-layers, check-promises, check-translations, translations, fuzz, chaos, faults, privileges, coverage, valgrind, test-others, mutants, clusters, chart, workflows, clean'

# --- build ---

$(BUILD)/%.bpf.o: %.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) --target=bpf $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@

$(BUILD)/holdfast.bpf.o: $(BPF_OBJECTS)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(BUILD)/holdfast.skel.h: $(BUILD)/holdfast.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name holdfast > $@

$(patsubst %,$(BUILD)/daemon/%.o,startup kernel/loader kernel/program_pins): $(BUILD)/holdfast.skel.h

# Of the Makefile, too, which has the version.
$(BUILD)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_FORTIFY) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/libholdfast.a: $(LIBRARY_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar qcs $@ $^ # q: a name may occur more than once

$(BUILD)/holdfastd: $(BUILD)/daemon/holdfastd.o $(BUILD)/libholdfast.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(shell $(PKG_CONFIG) --libs $(DAEMON_LIBS)) -lm -o $@

$(BUILD)/holdfast: $(BUILD)/daemon/holdfast.o $(BUILD)/libholdfast.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $^ $(shell $(PKG_CONFIG) --libs $(COMMAND_LIBS)) -lm -o $@

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libholdfast.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(shell $(PKG_CONFIG) --libs $(LIBS) cmocka) -lm -o $@

include packaging/package.mk
include tests/fuzz/fuzz.mk
include tests/bench/bench.mk
include tests/static/static.mk
include tests/depth/depth.mk
include tests/userlands/userlands.mk
-include $(wildcard $(BUILD)/bpf/*.d $(addprefix $(BUILD)/,$(ROOMS:%=%/*.d)) $(BUILD)/tests/unit/*.d $(BUILD)/tests/unit/*/*.d)

# --- set-up ---

# Installs only the missing packages, so that a machine that has them all needs no archive.
install_missing = missing=$$(for p in $(1); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		echo "installing:" $$missing; \
		packaging/apt-install $$missing; \
	fi

deps:
	@$(call install_missing,$(BUILD_PACKAGES))

deps-test: deps
	@$(call install_missing,$(TEST_PACKAGES))

deps-vm: deps
	@$(call install_missing,$(VM_PACKAGES))

deps-demo-real: deps
	@$(call install_missing,$(VM_PACKAGES) $(DEMO_PACKAGES))

# --- use ---

# Runs make again after the set-up, because the libraries' flags are known only then.
run: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	$(BUILD)/holdfastd

demo: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@HF_BUILD=$(abspath $(BUILD)) $(PYTHON) tests/demo/demo.py

# KERNEL=6.1 plays it on another kernel of tests/vm/kernels; UPDATE=1 refreshes the pictures that
# are kept in tests/demo.
demo-real: deps-demo-real
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@MPLCONFIGDIR=$(abspath $(BUILD))/demo/matplotlib $(PYTHON) -B tests/demo/real.py \
		--build $(abspath $(BUILD)) $(if $(KERNEL),--kernel $(KERNEL)) $(if $(UPDATE),--update)

test: deps-test
	@rm -rf $(BUILD)/tests/*.xml
	@$(MAKE) --no-print-directory -j$$(nproc) all unit-programs && $(MAKE) --no-print-directory -k test-unit test-system; status=$$?; \
		tests/summary $(BUILD)/tests/*.xml && exit $$status

unit-programs: $(UNIT_TESTS)

test-unit: unit-programs
	@BUILD=$(BUILD) tests/unit/run $(UNIT_TESTS)

# The tests that mainly wait run side by side, SIDE_BY_SIDE of them; then all others one by one. The
# others come last, because one of them looks at what both parts have recorded (HF_RECORD).
SIDE_BY_SIDE ?= 6
RECORDED     := $(BUILD)/tests/recorded
PYTEST_SYSTEM = HF_BUILD=$(abspath $(BUILD)) HF_SANITIZED=$(SANITIZE) HF_RECORDED=$(abspath $(RECORDED)) \
	$(PYTHON) -B -m pytest -q -p no:cacheprovider

test-system: all
	@rm -rf $(RECORDED)
	@$(PYTEST_SYSTEM) -m waits -n $(SIDE_BY_SIDE) --junitxml=$(BUILD)/tests/system-waits.xml tests/system; waits=$$?; \
		$(PYTEST_SYSTEM) -m 'not waits' --junitxml=$(BUILD)/tests/system.xml tests/system && exit $$waits

# Real kernels and real hours, in virtual time. HF_VM_CACHE is the folder that caches kernels and
# disks. KERNELS=6.12-rt runs that kernel (or several) of tests/vm/kernels.
test-vm test-vm-all: deps-vm
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(PYTHON) -B tests/vm/run --build $(abspath $(BUILD)) $(if $(filter %-all,$@),--all --suite night --suite windows --suite measure --suite system --suite races --suite lockdown) $(KERNELS)

install: all $(if $(UNITDIR),unit)
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -m 755 $(BUILD)/holdfastd $(DESTDIR)$(SBINDIR)/holdfastd
	$(Q)install -D -m 755 $(BUILD)/holdfast $(DESTDIR)$(BINDIR)/holdfast
	$(Q)install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 $(filter %.5,$(MANUAL))
	$(Q)install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 $(filter %.8,$(MANUAL))
	$(Q)for page in $(TRANSLATED_MANUAL); do \
		install -D -m 644 -t $(DESTDIR)$(MANDIR)/$$(basename $${page%/*})/man$${page##*.} $$page || exit; \
	done
	$(Q)install -D -m 644 packaging/completions/holdfast.bash $(DESTDIR)$(BASHDIR)/holdfast
	$(Q)ln -sf holdfast $(DESTDIR)$(BASHDIR)/holdfastd
	$(Q)install -D -m 644 packaging/completions/_holdfast $(DESTDIR)$(ZSHDIR)/_holdfast
	$(Q)install -D -m 644 packaging/completions/holdfast.fish $(DESTDIR)$(FISHDIR)/holdfast.fish
	$(Q)ln -sf holdfast.fish $(DESTDIR)$(FISHDIR)/holdfastd.fish
	$(Q)install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/holdfast/prometheus packaging/prometheus/holdfast.rules.yml
	$(Q)install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/holdfast/grafana packaging/grafana/holdfast.json
	$(Q)install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/holdfast/schema packaging/schema/*.json
	$(Q)install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/holdfast/kubernetes packaging/kubernetes/*.*
	$(Q)install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/holdfast/kubernetes/templates packaging/kubernetes/templates/*
	$(Q)install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/holdfast/holdfast.conf.d
	$(Q)test -n '$(DESTDIR)' || test ! -e $(SYSCONFDIR)/holdfast/holdfast.conf || exit 0; \
		install -m 644 packaging/holdfast.conf $(DESTDIR)$(SYSCONFDIR)/holdfast/holdfast.conf
	$(if $(UNITDIR),$(Q)install -D -m 644 $(BUILD)/holdfast.service $(DESTDIR)$(UNITDIR)/holdfast.service)

# Puts the folders of this make (SBINDIR, BINDIR) into the unit.
unit: $(BUILD)/holdfast.service

$(BUILD)/holdfast.service: packaging/systemd/holdfast.service
	$(call say,UNIT,$@)
	@mkdir -p $(@D)
	$(Q)sed -e 's|=/usr/sbin/|=$(SBINDIR)/|' -e 's|=/usr/bin/|=$(BINDIR)/|' $< > $@

# --- care ---

format:
	$(Q)clang-format -i $(FORMATTED)

check-format:
	$(Q)clang-format --dry-run --Werror $(FORMATTED)

check-man:
	$(call say,MANDOC,$(MANUAL))
	$(Q)mandoc -Tlint -Wwarning $(MANUAL) $(TRANSLATED_MANUAL)

clean:
	$(Q)rm -rf $(BUILD)
