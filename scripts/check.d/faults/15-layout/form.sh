# shellcheck shell=bash disable=SC2034,SC2016
# A patch that breaks each rule of form, an unlisted one, a gap in the numbers, no cover, a
# path of this machine, a row of the README that promises too much.
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c '$a int planted;'
p=$(series_patches | tail -n 1)
wide=$(printf 'word %.0s' {1..20})
sed -i -e 's/^Assisted-by: .*/Signed-off-by: A Person <person@pkvm-series.example>/' -e 's/^Subject: .*/Subject: [PATCH] planted/' \
	-e "0,/^\$/s//\n$wide\n/" -e 's,^+int planted,+int planted; /* TO''DO */,' "$p"
mkdir -p patches/98-gap
cp "$p" patches/98-gap/0002-planted.patch
echo "see $PWD/build" >>README
# In the table's columns, after its last row.
awk '/^-+( +-+)+ *$/ { n = 1; r = $0 } n && !/./ { n = 0; planted() } { print }
	function col(i, c, k) { for (c = 1; c <= length(r); c++) if (substr(r, c, 1) == "-" && substr(" " r, c, 1) == " " && ++k == i) return c }
	function row(s, w, t) { printf "%*s%-*s%-*s%-*s%s\n", col(2) - 1, "99 ", col(3) - col(2), "planted", col(4) - col(3), s, col(5) - col(4), w, t }
	function planted() { row("works", "98-gap/0002", "no_such_test"); row("works", "no/such/file.c", "") }
	END { if (n) planted() }' README >README.new
mv README.new README
expect=("$p: Signed-off-by" "$p: no 'Assisted-by" "$p: subject without" "$p: message wider" "$p: left to be done"
	'series \(<\) and patches' '98-gap/0000-cover.txt: no cover' 'number should be 0001' 'a path of this machine'
	'no kselftest no_such_test' 'planted. works, and no test' 'planted.: no/such/file.c does not exist')
