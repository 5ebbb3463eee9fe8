# shellcheck shell=bash disable=SC2034,SC2016
# A machine that is not protected although it should be; a result that is not the baseline's.
for s in build-kernel build-kselftests; do printf '#!/bin/sh\n' >scripts/$s; done
sed -i -E '/^(hvhe|default) /!d; s/^(hvhe +[^ ]+ +)protected/\1nvhe/' config/variants
printf '%s\tdefault\tskip\tplanted\n' psci_test >config/baseline.tsv
with=(TESTS=psci_test)
expect=('never said.*Protected hVHE' 'psci_test: pass, expected skip' 'FAIL: hvhe' 'FAIL: default')
