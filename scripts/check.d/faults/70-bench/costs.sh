# shellcheck shell=bash disable=SC2034,SC2016
# A cost that is higher than the committed one, and a row that is gone.
for s in build-kernel build-kselftests; do printf '#!/bin/sh\n' >scripts/$s; done
awk -F'\t' -v OFS='\t' '$1 == "protected" && $2 == "pvm.hvc" { $5 = int($5 * 0.9) } { print }' config/bench.tsv >bench.new
printf 'protected\tpvm.no_such_row\t1\t1\t1\n' >>bench.new
mv bench.new config/bench.tsv
sed -i "s|^program=.*|program='./pkvm_bench -s 2 -t pvm.hvc'|; s/\[ -z \"\$check\" \] || program=.*/:/" scripts/bench
expect=('FAIL: protected pvm.hvc: .* config/bench.tsv has ' 'FAIL: protected pvm.no_such_row: gone' 'FAIL: costs are not those')
