# shellcheck shell=bash disable=SC2034,SC2016
# A kernel-doc comment that names a parameter that is not there.
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c "\$a /**\n * planted() - something\n * @gone: not there\n */\nint planted(int here)\n{\n\treturn here;\n}"
expect=("page_alloc.c: .*'here' not described in 'planted'" 'new documentation warnings')
