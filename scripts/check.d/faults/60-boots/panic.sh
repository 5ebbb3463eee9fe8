# shellcheck shell=bash disable=SC2034,SC2016
# A kernel that panics.
for s in build-kernel build-kselftests; do printf '#!/bin/sh\n' >scripts/$s; done
sed -i -E '/^hvhe /!d' config/variants
printf '%s\thvhe\tpass\n' psci_test >config/baseline.tsv
with=(TESTS=psci_test APPEND='rdinit=/none init=/none')
expect=('did not end well.*Kernel panic' 'FAIL: hvhe')
