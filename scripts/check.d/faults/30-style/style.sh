# shellcheck shell=bash disable=SC2034,SC2016
# Code that is not in the kernel's style; an entry whose pattern matches no file.
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c "\$a int planted( int a )\n{\n        if(a) return 1;\n}"
sed -i '/^F:/s,.*,F:\tno/such/file,' MAINTAINERS.snippet
with=(STYLE='*-planted.patch')
expect=('planted.patch:[0-9]+: ERROR:(SPACING|CODE_INDENT)' 'no file matches.*no/such/file' 'no file of .* leads to it')
