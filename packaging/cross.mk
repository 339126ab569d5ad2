# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: the programs for another architecture of Debian's.
#
#   make cross ARCH=arm64   build/arm64/holdfastd and build/arm64/holdfast, with Debian's cross
#                           compiler, and this release's libraries for that architecture in
#                           build/arm64/sysroot
#
# With ARCH= alone, other targets build the same way once that folder is there.

ifneq ($(ARCH),)
TRIPLET_arm64 := aarch64-linux-gnu
TRIPLET       := $(TRIPLET_$(ARCH))
ifeq ($(TRIPLET),)
$(error ARCH=$(ARCH) isn't known (there is arm64))
endif

BUILD   := build/$(ARCH)
SYSROOT := $(abspath build/$(ARCH)/sysroot)
CC      := $(TRIPLET)-gcc --sysroot=$(SYSROOT)
export PKG_CONFIG_SYSROOT_DIR := $(SYSROOT)
export PKG_CONFIG_LIBDIR := $(SYSROOT)/usr/lib/$(TRIPLET)/pkgconfig:$(SYSROOT)/usr/share/pkgconfig
endif

# Only its own libraries: the tools run on this machine.
CROSS_TOOLS    = gcc-$(TRIPLET) libc6-dev-$(ARCH)-cross mmdebstrap debian-archive-keyring
CROSS_PACKAGES = $(filter %-dev,$(BUILD_PACKAGES))
CROSS_MIRROR  ?= http://deb.debian.org/debian
CROSS_SUITE   ?= $(shell . /etc/os-release && echo $$VERSION_CODENAME)

.PHONY: cross deps-cross

cross: deps-cross
	@$(MAKE) --no-print-directory -j$$(nproc) ARCH=$(ARCH) all

deps-cross: deps
	@test -n '$(ARCH)' || { echo 'make cross: for which architecture? (ARCH=arm64)' >&2; exit 2; }
	@$(call install_missing,$(CROSS_TOOLS))
	@$(MAKE) --no-print-directory ARCH=$(ARCH) $(SYSROOT)

empty :=
space := $(empty) $(empty)
comma := ,

# Unpacked and not installed: nothing of it runs here.
$(SYSROOT):
	$(call say,SYSROOT,$(ARCH))
	@mkdir -p $(@D)
	$(Q)rm -rf $@.new && mmdebstrap --quiet --mode=root --variant=extract --architectures=$(ARCH) \
		--include=$(subst $(space),$(comma),$(strip $(CROSS_PACKAGES))) $(CROSS_SUITE) $@.new $(CROSS_MIRROR)
	$(Q)mv $@.new $@
