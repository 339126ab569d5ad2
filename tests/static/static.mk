# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the Makefile: checks that don't run the programs.
#
#   make check-static   gcc -fanalyzer, clang-tidy, cppcheck, shellcheck, codespell; whether
#                       the changes of `make mutants` still fit the code, and its runner works
#   make check-layers   whether code calls only what is below it, in no circle
#   make check-translations
#                       whether each paragraph has its translation, of today's text
#   make check-log-lines
#                       whether the daemon writes the log lines that the manual explains
#   make check-promises whether each sentence of the manual and README has its tests, and
#                       what these texts name is there
#
# Findings that are accepted stand, with the reason, in .clang-tidy, in tests/static, or in the
# code.

STATIC_PACKAGES = $(shell sed -e 's/\#.*//' tests/static/packages)
STATIC_SOURCES  = $(SOURCES) $(wildcard tests/fuzz/*.c tests/unit/*.c tests/unit/*/*.c tests/system/*.c)
STATIC_SCRIPTS := packaging/apt-install packaging/apt-repository packaging/cross-deb tests/depth/reproduce packaging/debian/prerm packaging/debian/postrm \
	packaging/completions/holdfast.bash tests/unit/run tests/vm/guest/start tests/vm/package/guest/start .ci/run

.PHONY: translations deps-static check-static check-gcc check-tidy check-cppcheck check-shell check-spelling check-mutants check-layers check-log-lines check-promises check-translations

deps-static: deps
	@$(call install_missing,$(STATIC_PACKAGES))

check-static: deps-static
	@$(MAKE) --no-print-directory $(BUILD)/holdfast.skel.h
	@$(MAKE) --no-print-directory -k -j$$(nproc) check-gcc check-tidy check-cppcheck check-shell check-spelling check-mutants check-layers check-log-lines check-promises

# Left out: malloc-leak, which reports what the cleanup attribute frees as leaked; and
# use-of-uninitialized-value, which gcc 12 reports of variables that this attribute frees unused.
# LeakSanitizer, valgrind and clang look for both.
check-gcc:
	$(call say,ANALYZE,gcc)
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/analyzed CC=gcc CFLAGS='-O1 -g -DHF_ANALYZE -fanalyzer \
		-Wno-analyzer-malloc-leak -Wno-analyzer-use-of-uninitialized-value -Werror' $(BUILD)/analyzed/holdfastd $(BUILD)/analyzed/holdfast

TIDY_STAMPS := $(SOURCES:%.c=$(BUILD)/%.tidy)
TIDY_FLAGS = $(filter-out -MMD -MP,$(ALL_CFLAGS)) -DHF_ANALYZE

check-tidy: $(TIDY_STAMPS)

$(BUILD)/%.tidy: %.c .clang-tidy $(BUILD)/holdfast.skel.h
	$(call say,TIDY,$<)
	@mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(TIDY_FLAGS) 2> $@.log || { cat $@.log; exit 1; }
	@touch $@

check-cppcheck:
	$(call say,CPPCHECK,$(words $(STATIC_SOURCES)) files)
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability,performance \
		--inline-suppr --suppressions-list=tests/static/cppcheck.suppressions \
		'-DLIBBPF_OPTS(t,n,...)=struct t n={__VA_ARGS__}' '-Derror_set(e,n,...)=(-(n))' $(STATIC_SOURCES)

check-shell:
	$(call say,SHELL,$(STATIC_SCRIPTS))
	$(Q)shellcheck $(STATIC_SCRIPTS)

# Words that are misspelled on purpose are in tests/static/words.
check-spelling:
	$(call say,SPELL,all)
	$(Q)codespell --quiet-level=3 --ignore-words=tests/static/words --skip='*.pyc,./build,./.git,tests/fuzz/seeds,tests/static/words' \
		bpf daemon packaging tests .ci Makefile README.md

check-mutants:
	$(call say,MUTANTS,tests/depth/mutants/lists)
	$(Q)$(PYTHON) -B tests/depth/mutants/run --check
	$(Q)$(PYTHON) -B -m pytest -q -p no:cacheprovider tests/depth/mutants/test_mutants.py

check-log-lines:
	$(call say,LOGLINES,packaging/man/holdfastd.8)
	$(Q)$(PYTHON) -B -m pytest -q -p no:cacheprovider tests/static/test_log_lines.py

check-promises:
	$(call say,PROMISES,packaging/man README.md)
	$(Q)$(PYTHON) -B -m pytest -q -p no:cacheprovider tests/static/test_promises.py tests/static/test_paths.py tests/static/test_version.py

# po4a writes where it reads, so that the check works on a copy.
TRANSLATED = $(BUILD)/translations

translations:
	@$(call install_missing,po4a gettext)
	$(Q)po4a --no-backups packaging/po/po4a.cfg

check-translations:
	$(call say,TRANSLATIONS,packaging/po)
	$(Q)rm -rf $(TRANSLATED) && mkdir -p $(TRANSLATED)/packaging && cp -a README.md $(TRANSLATED) && \
		cp -a packaging/man packaging/po $(TRANSLATED)/packaging
	$(Q)cd $(TRANSLATED) && po4a --quiet --no-backups packaging/po/po4a.cfg
	$(Q)for po in $(TRANSLATED)/packaging/po/*.po; do msgfmt --check --statistics --output-file=/dev/null $$po 2>&1 | \
		{ ! grep -E 'fuzzy|untranslated|fatal'; } || exit 1; done
	$(Q)diff -r packaging/man $(TRANSLATED)/packaging/man || \
		{ echo 'a translation is older than its original: packaging/po, make translations' >&2; exit 1; }

check-layers: all
	$(call say,LAYERS,daemon bpf)
	$(Q)tests/static/layers $(BUILD)
	$(Q)$(PYTHON) -B -m pytest -q -p no:cacheprovider tests/static/test_layers.py
