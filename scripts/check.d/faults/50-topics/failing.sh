# shellcheck shell=bash disable=SC2034,SC2016
# A topic whose test fails at its tip, and a further topic that would hide it. Nothing is built or
# booted: the results are made up.
topic=$(series_topics | tail -n 1)
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c "\$a /* planted */"
mkdir -p patches/99-planted
mv "$(series_patches | tail -n 1)" patches/99-planted/0001-planted.patch
sed -i '$s,.*,patches/99-planted/0001-planted.patch,' series
sed -i '/^#/!d' config/prefixes.verified
rm -f build/prefixes.verified
for s in build-kernel build-kselftests; do printf '#!/bin/sh\n' >scripts/$s; done
printf '%s\n' '#!/bin/bash' 'mkdir -p "$BUILD/results"' "[ \$NAME = $topic ] && v=fail || v=pass" \
	'printf "%s\t$v\t1.0\tplanted\n" $TESTS >"$BUILD/results/$NAME.tsv"' >scripts/run-kselftests
expect=("$topic: its tip does not boot and pass")
