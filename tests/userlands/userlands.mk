# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: other Debian releases' compilers and libraries.
#
#   make test-userlands builds and tests in chroots of trixie and sid; SUITES=sid for some of them

USERLANDS_PACKAGES = mmdebstrap debian-archive-keyring git

.PHONY: test-userlands print-packages

test-userlands:
	@$(call install_missing,$(USERLANDS_PACKAGES))
	@$(PYTHON) -B tests/userlands/run --build $(abspath $(BUILD)) $(SUITES)

# What a chroot needs.
print-packages:
	@echo build-essential $(BUILD_PACKAGES) $(TEST_PACKAGES) $(DEB_PACKAGES)
