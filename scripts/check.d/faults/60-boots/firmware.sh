# shellcheck shell=bash disable=SC2034,SC2016
# Firmware that keeps a feature of the CPU from EL2: it stops the machine and says why.
for s in build-kernel build-kselftests; do printf '#!/bin/sh\n' >scripts/$s; done
sed -i -E '/^hvhe-el3 /!d' config/variants
sed -i '/FGTEn \*\//d' firmware/el3/main.c
printf '%s\thvhe-el3\tpass\n' psci_test >config/baseline.tsv
with=(TESTS=psci_test)
expect=('el3: panic: an exception from a lower EL' 'did not end well' 'FAIL: hvhe-el3')
