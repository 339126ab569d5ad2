# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: Debian and RPM packages, the container image, and their tests.
#
#   make deb            BUILD/deb/*.deb, debug symbols apart; ARCH=arm64: build/arm64/deb
#   make rpm            BUILD/rpm/RPMS/*/*.rpm, debug symbols apart
#   make dist           BUILD/dist: the source, the same bytes each time; a bill of materials of
#                       what the programs are linked with; checksums. KEY=ID signs these
#   make repository     BUILD/repository: an apt repository of the packages that `make deb` has
#                       built; KEY=ID signs it, RELEASE=trixie names another release of Debian's,
#                       DEBS= other packages
#   make image          a container image of that .deb; IMAGE=NAME, BASE=IMAGE for another base;
#                       ARCH=arm64: that architecture's, made on BUILDER=IMAGE
#   make test-package   builds all of them and looks what is in them and what they do
#   make test-vm-package
#                       lives with the .deb in a virtual machine, from installing to purging
#   make test-vm-package-all
#                       on other releases of Debian, and on arm64, too

DEB_PACKAGES   := debhelper dpkg-dev libcmocka-dev mandoc python3 xz-utils
RPM_PACKAGES   := rpm debugedit elfutils libcmocka-dev mandoc
IMAGE_PACKAGES := buildah
REPOSITORY_PACKAGES := apt-utils gnupg
PACKAGE_TEST_PACKAGES = $(shell sed -e 's/\#.*//' tests/package/packages)

IMAGE    ?= holdfast
BASE     ?=
BUILDER  ?=
BUILDAH  ?= buildah

.PHONY: deb rpm dist repository image deps-deb deps-rpm deps-repository deps-image deps-package test-package \
	test-vm-package test-vm-package-all

deps-deb: deps
	@$(call install_missing,$(DEB_PACKAGES) $(if $(ARCH),$(CROSS_TOOLS)))

deps-rpm: deps
	@$(call install_missing,$(RPM_PACKAGES))

deps-repository:
	@$(call install_missing,$(REPOSITORY_PACKAGES))

deps-image:
	@$(call install_missing,$(IMAGE_PACKAGES))

deps-package: deps deps-test deps-deb deps-rpm deps-repository deps-image
	@$(call install_missing,$(PACKAGE_TEST_PACKAGES))

# Copies the source to $(1), without what a checkout has gathered.
stage = rm -rf $(1) && mkdir -p $(1) && \
	cp -a Makefile LICENSE README.md bpf daemon tests packaging $(1) && \
	find $(1) -name __pycache__ -prune -exec rm -rf {} +

# Tools that run a make of their own must not get this make's options.
OWN_MAKE := env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u MAKEOVERRIDES -u BUILD -u VERSION

# Checks that a package's own file has the Makefile's version; $(1) prints that version, $(2) is the
# file's name.
same_version = version=$$($(1)) && if [ "$$version" != '$(VERSION)' ]; then \
	echo "$(2) has version $$version, the Makefile $(VERSION)" >&2; exit 1; fi

# dpkg-buildpackage needs debian/ at the top of a source tree, so that it gets a tree of its own.
DEB_TREE = $(BUILD)/deb/holdfast-$(VERSION)

deb: deps-deb
	$(call say,DEB,$(BUILD)/deb)
	$(Q)$(call same_version,dpkg-parsechangelog -l packaging/debian/changelog -S Version,packaging/debian/changelog)
	$(Q)rm -rf $(BUILD)/deb && $(call stage,$(DEB_TREE))
	$(Q)mv $(DEB_TREE)/packaging/debian $(DEB_TREE)/debian
	$(Q)$(if $(ARCH),$(OWN_MAKE) packaging/cross-deb $(ARCH) $(DEB_TREE) $(abspath $(BUILD))/debian, \
		cd $(DEB_TREE) && $(OWN_MAKE) dpkg-buildpackage -us -uc)
	@ls -l $(BUILD)/deb/*.deb

RPM_TREE = $(BUILD)/rpm/holdfast-$(VERSION)
SPEC     := packaging/rpm/holdfast.spec

# Debian's rpm doesn't know Fedora's macros. Its database is empty, so that it doesn't know the
# installed packages either.
rpm: deps-rpm
	$(call say,RPM,$(BUILD)/rpm)
	$(Q)$(call same_version,sed -n 's/^Version: *//p' $(SPEC),$(SPEC))
	$(Q)rm -rf $(BUILD)/rpm && $(call stage,$(RPM_TREE))
	$(Q)mkdir -p $(BUILD)/rpm/SOURCES $(BUILD)/rpm/tmp
	$(Q)tar -C $(BUILD)/rpm --owner=root:0 --group=root:0 --sort=name \
		-czf $(BUILD)/rpm/SOURCES/holdfast-$(VERSION).tar.gz holdfast-$(VERSION)
	$(Q)rm -rf $(RPM_TREE)
	$(Q)options=; \
	rpm -q rpm > /dev/null 2>&1 || options='--nodeps --load packaging/rpm/macros.debian'; \
	$(OWN_MAKE) rpmbuild -ba $$options --define '_topdir $(abspath $(BUILD))/rpm' \
		--define '_tmppath %{_topdir}/tmp' $(SPEC)
	@ls -l $(BUILD)/rpm/RPMS/*/*.rpm

# The time of a release is that of its entry in Debian's changelog, unless the environment says one.
RELEASED = $(if $(SOURCE_DATE_EPOCH),$(SOURCE_DATE_EPOCH),$(shell dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp))
DIST     = $(BUILD)/dist
DIST_TREE = $(DIST)/holdfast-$(VERSION)

dist: deps
	@$(MAKE) --no-print-directory all
	$(call say,DIST,$(DIST))
	$(Q)rm -rf $(DIST) && $(call stage,$(DIST_TREE))
	$(Q)cp -a .ci .clang-format .clang-tidy .github .gitignore $(DIST_TREE)
	$(Q)tar -C $(DIST) --sort=name --owner=root:0 --group=root:0 --mode=u+rwX,go+rX,go-w \
		--mtime=@$(RELEASED) --format=gnu -cf - holdfast-$(VERSION) | gzip -9n > $(DIST_TREE).tar.gz
	$(Q)rm -rf $(DIST_TREE)
	$(Q)packaging/spdx $(VERSION) $(RELEASED) $(BUILD)/holdfastd $(BUILD)/holdfast > $(DIST_TREE).spdx.json
	$(Q)cd $(DIST) && sha256sum holdfast-* > SHA256SUMS
	$(if $(KEY),$(Q)gpg --batch --yes --armor --local-user '$(KEY)' --detach-sign $(DIST)/SHA256SUMS)
	@ls -l $(DIST)

REPOSITORY = $(BUILD)/repository
RELEASE   ?= $(shell . /etc/os-release && echo $$VERSION_CODENAME)
DEBS      ?= $(wildcard build/deb/holdfast*_$(VERSION)_*.deb build/*/deb/holdfast*_$(VERSION)_*.deb)

repository: deps-repository
	$(call say,APT,$(REPOSITORY))
	$(Q)test -n '$(strip $(DEBS))' || \
		{ echo 'there is no package for the repository: make deb first' >&2; exit 1; }
	$(Q)packaging/apt-repository $(REPOSITORY) $(RELEASE) '$(KEY)' $(DEBS)
	@echo 'Put it onto a web server. Its users then run as root, with the address for URL:'
	@echo '$(if $(KEY),  curl -fsSo /etc/apt/keyrings/holdfast.asc URL/holdfast.asc)'
	@echo '  echo "deb [$(if $(KEY),signed-by=/etc/apt/keyrings/holdfast.asc,trusted=yes)] URL $(RELEASE) main" > /etc/apt/sources.list.d/holdfast.list'

# Builds the image from the .deb that `make deb` has built for this distribution and release.
image: deps-image
	$(call say,IMAGE,$(IMAGE))
	$(Q)test -n "$$(ls $(BUILD)/deb/holdfast_$(VERSION)_*.deb 2>/dev/null)" || \
		{ echo 'there is no package to put into the image: make deb first' >&2; exit 1; }
	$(Q)$(BUILDAH) build $(if $(BASE),--build-arg BASE=$(BASE)) --tag $(IMAGE) \
		$(if $(ARCH),--platform linux/$(ARCH) --build-arg ARCH=$(ARCH) --build-arg BUILDER_ARCH=$$(dpkg --print-architecture) $(if $(BUILDER),--build-arg BUILDER=$(BUILDER))) \
		--file packaging/container/Containerfile$(if $(ARCH),.cross) $(BUILD)/deb

test-package: deps-package
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@mkdir -p $(BUILD)/tests
	@HF_BUILD=$(abspath $(BUILD)) $(PYTHON) -B -m pytest -q -p no:cacheprovider \
		--junitxml=$(BUILD)/tests/package.xml tests/package

test-vm-package: deps-vm deps-deb deps-repository
	@mkdir -p $(BUILD)
	@$(MAKE) --no-print-directory deb > $(BUILD)/deb.log 2>&1 || { cat $(BUILD)/deb.log; exit 1; }
	@$(PYTHON) -B tests/vm/package/run --build $(abspath $(BUILD))

# The other Debian releases of the kernels in tests/vm/kernels.
test-vm-package-all: test-vm-package
	@$(PYTHON) -B tests/vm/package/run --build $(abspath $(BUILD)) --suite trixie
	@$(MAKE) --no-print-directory ARCH=arm64 deb > $(BUILD)/deb-arm64.log 2>&1 || { cat $(BUILD)/deb-arm64.log; exit 1; }
	@$(PYTHON) -B tests/vm/package/run --build $(abspath $(BUILD)) --arch arm64

test-vm-all: test-vm-package-all
