# shellcheck shell=bash disable=SC2034,SC2016
# A line of context that is not in the base.
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c "\$a int planted;"
p=$(series_patches | tail -n 1)
sed -i '/^@@/,$s/^ \(.*[a-z].*\)/ not \1/; /^@@/,$s/^ }/ not }/' "$p"
expect=("git am of $p fails on the base")
