# shellcheck shell=bash disable=SC2034,SC2016
# A pointer to user memory, dereferenced.
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c "\$a int hyp_planted(int __user *p);\nint hyp_planted(int __user *p) { return *p; }"
with=(TARGETS=arch/arm64/kvm/hyp/)
expect=('page_alloc.c: warning: dereference of noderef' 'new sparse warnings')
