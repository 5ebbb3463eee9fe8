# shellcheck shell=bash disable=SC2034
# Sourced by the checks, after lib.sh: verdicts, the series applied in a repository of the
# checks' own, kernel builds at any of its commits, and the record of what was verified.
#
# $WORK holds what is expensive: a full work tree and kernel objects. The planted faults run in
# copies of the project and share it by a link; whoever needs the tree at a commit says so.
WORK=$(realpath -m "$BUILD/check")
export CCACHE_BASEDIR=$WORK
SLOW=${SLOW:-0}
RECORD=$TOP/config/prefixes.verified	# committed
NEW_RECORD=$BUILD/prefixes.verified	# verified here since

mkdir -p "$LOGS"
FAILED=0
fail() { say "FAIL: $*"; FAILED=1; }
skip() { say "skipped: $*"; exit 4; }
finish() { [ "$FAILED" = 0 ] || exit 1; say "passed: $*"; exit 0; }

# scratch: a directory that goes away with the check; sets SCRATCH.
scratch() {
	mkdir -p "$BUILD/tmp"
	SCRATCH=$(mktemp -d "$BUILD/tmp/check.XXXXXX")
	cleanup_add rm -rf "$SCRATCH"
}

# -- the series in git ------------------------------------------------------------------------

# The files that the series touches, as the patches name them.
touched_files() {
	series_patches | sed "s,^,$TOP/," | xargs -r -d '\n' sed -n 's,^diff --git a/\(.*\) b/\(.*\),\1\n\2,p' | sort -u
}

# Sets BASE (commit) and REPO, which borrows the base's objects from the work tree's repository.
# A series that does not apply makes make-tree fail; the base is there all the same.
base_repo() {
	local from=${BASE_TREE:-$TREE} objects
	[ -n "${BASE_TREE-}" ] || "$TOP/scripts/make-tree" || say "make-tree failed; going on with the base alone"
	BASE=$(git_plain -C "$from" rev-parse -q --verify 'refs/pkvm/base^{commit}') ||
		die "no base in $from; run scripts/make-tree"
	objects=$(cd "$from" && realpath "$(git_plain rev-parse --git-common-dir)")
	REPO=$WORK/repo.git
	if ! git_plain -C "$REPO" cat-file -e "$BASE^{tree}" 2>/dev/null; then
		rm -rf "$REPO" "$WORK/linux"
		git_plain init -q --bare "$REPO"
		echo "$objects/objects" >"$REPO/objects/info/alternates"
		[ ! -f "$objects/shallow" ] || cp "$objects/shallow" "$REPO/shallow"
	fi
	git_plain -C "$REPO" worktree prune
}

# sparse_tree DIR COMMIT [FILE...]: a work tree with only the files that the series touches.
sparse_tree() {
	local dir=$1 commit=$2
	shift 2
	git_plain -C "$REPO" worktree add -q --no-checkout --detach "$dir" "$commit"
	cleanup_add "rm -rf '$dir'; git -C '$REPO' worktree prune"
	# .gitattributes says how git names a hunk's function.
	{ touched_files; echo .gitattributes; [ $# -eq 0 ] || printf '%s\n' "$@"; } | sed 's,^,/,' |
		git_plain -C "$dir" sparse-checkout set --no-cone --stdin
	git_plain -C "$dir" read-tree -mu HEAD
}

# apply_patches DIR PATCH...: one by one by plain git am.
apply_patches() {
	local dir=$1 p
	shift
	for p; do
		git_plain -C "$dir" am -q --committer-date-is-author-date "$TOP/$p" </dev/null || {
			git_plain -C "$dir" am --show-current-patch=diff | head -n 40 || true
			git_plain -C "$dir" am --abort
			say "FAIL: git am of $p fails on the base with the patches before it"
			return 1
		}
	done
}

# Sets PATCHES and COMMITS, the series' patches and the commits they make (each patch's is
# the COMMITS of the same index), and TIP; remembered by content. A series that differs from one
# of those in its last patches only, as with a planted fault, starts from there.
series_commits() {
	local dir n
	base_repo
	mapfile -t PATCHES < <(series_patches)
	[ ${#PATCHES[@]} -gt 0 ] || die "series names no patch"
	mkdir -p "$WORK/applied"
	TIP=
	for ((n = ${#PATCHES[@]}; n > 0 && n > ${#PATCHES[@]} - 8; n--)); do
		known_commit "$n" && break
	done
	if [ "$n" != ${#PATCHES[@]} ]; then
		if [ -n "$TIP" ] || ! made_tree; then
			[ -n "$TIP" ] || n=0
			dir=$(mktemp -u "$WORK/apply.XXXXXX")
			sparse_tree "$dir" "${TIP:-$BASE}"
			apply_patches "$dir" "${PATCHES[@]:n}" || exit 1
			TIP=$(git_plain -C "$dir" rev-parse HEAD)
		fi
		for ((n = ${#PATCHES[@]}; n > 0 && n > ${#PATCHES[@]} - 8; n--)); do
			git_plain -C "$REPO" rev-parse "$TIP~$((${#PATCHES[@]} - n))" >"$WORK/applied/$(applied_key "$n")"
		done
	fi
	mapfile -t COMMITS < <(git_plain -C "$REPO" rev-list --reverse "$BASE..$TIP")
	[ ${#COMMITS[@]} -eq ${#PATCHES[@]} ] || die "${#PATCHES[@]} patches make ${#COMMITS[@]} commits"
}
# The commits that make-tree made of these patches by git am, if they are the same to the byte; sets TIP
made_tree() {
	local from=${BASE_TREE:-$TREE} made
	made=$(git_plain -C "$from" rev-parse --absolute-git-dir)/pkvm-applied
	[ "$(cd "$TOP" && sha256sum "${PATCHES[@]}" | sed 's/  / /')" = "$(cut -d' ' -f1,3- "$made" 2>/dev/null)" ] || return
	TIP=$(tail -n 1 "$made" | cut -d' ' -f2)
	# Its objects may have been another tree's.
	git_plain -C "$REPO" cat-file -e "$TIP^{tree}" 2>/dev/null || { TIP=; return 1; }
}
# Of the first N patches
applied_key() { (cd "$TOP" && { echo "$BASE"; cat "${PATCHES[@]:0:$1}"; } | sha256sum | cut -d' ' -f1); }
known_commit() {	# N; sets TIP
	TIP=$(cat "$WORK/applied/$(applied_key "$1")" 2>/dev/null) && git_plain -C "$REPO" cat-file -e "$TIP" 2>/dev/null && return
	TIP=
	return 1
}

repo_diff() { git_plain -C "$REPO" diff-tree -r --no-commit-id --no-renames "$@"; }

# -- what a build depends on ------------------------------------------------------------------

# Two kinds of build: the kernel's objects, and the kselftests. Each filter reads paths
# (as the last field) and prints the lines that matter to one of them.
in_kernel() { grep -vE '[[:space:]](Documentation/|tools/|samples/|MAINTAINERS|CREDITS|\.)' || true; }
in_selftests() { grep -E '[[:space:]](tools/(testing/selftests/((kvm|kselftest|lib)/|[^/]*$)|include/|arch/|lib/|scripts/)|(include|arch/arm64/include)/uapi/|arch/arm64/tools/)' || true; }
# Anything but a source file of its own may change every object.
not_a_source() { grep -vE '\.[cS]$' || true; }

# test_config COMMIT: config/test.config without the options that come later in the series.
test_config() {
	local later
	later=$(git_plain -C "$REPO" diff "$1" "$TIP" -- 'arch/*Kconfig*' 'drivers/*Kconfig*' |
		sed -nE 's/^\+(menu)?config ([A-Z0-9_]+)$/CONFIG_\2\\b/p')
	grep -vE "${later:-x^}" "$TOP/config/test.config"
}
# build_hash KIND COMMIT: of all that decides how the files of COMMIT's own patch build: those
# files, and every header, Makefile and the like that the series changes up to there. Messages,
# documentation and other patches' .c files do not count.
build_hash() {
	{
		echo "$BASE_VERSION $1"
		test_config "$2" | sha256sum
		{
			repo_diff "$2^" "$2" --raw --no-abbrev
			repo_diff "$BASE" "$2" --raw --no-abbrev | not_a_source
		} | "in_$1" | awk '{ print $2, $4, $6 }' | sort -u
	} | sha256sum | cut -d' ' -f1
}
# tip_hash FILE...: of all that the series changes in the kernel, and of those files.
tip_hash() {
	{ echo "$BASE_VERSION"; cat "$@"; repo_diff "$BASE" "$TIP" --raw --no-abbrev | in_kernel | awk '{ print $2, $4, $6 }'; } |
		sha256sum | cut -d' ' -f1
}
kernel_unchanged() { [ -z "$(repo_diff "$BASE" "$TIP" --raw | in_kernel)" ]; }

# -- the record ------------------------------------------------------------------------------

# A line is: hash, compiler, what. Verified by any compiler counts: a machine with another one
# still builds the sample, and the series' tip, with its own.
toolchain() { "${CROSS_COMPILE}gcc" --version | sed -n '1s/.*) /gcc-/p'; }
verified() { grep -qsh "^$1 " "$RECORD" "$NEW_RECORD"; }
record() { verified "$1" || printf '%s %s %s\n' "$1" "$(toolchain)" "$2" >>"$NEW_RECORD"; }

# What this folder has seen pass and need not see again, by the content of all that it depends on:
# kept in $BUILD, so that a fresh clone runs everything.
known() { [ "$SLOW" != 1 ] && grep -qsxF "$1" "$BUILD/known"; }
make_known() { known "$1" || echo "$1" >>"$BUILD/known"; }
# content FILE...: one hash of them, folders and all
content() { find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1; }

# keep_record KIND: reads the hashes that the series of now has of this kind. With UPDATE=1 the
# committed record gets those verified here and loses those that are of no use any more.
keep_record() {
	local now useful
	now=$(sort -u | sed '/^$/d')	# an empty pattern would match every line
	useful=$(grep -hsF -f <(printf '%s' "$now") "$RECORD" "$NEW_RECORD" | grep " $1:" | sort -u -k3,3 -k2,2) || true
	if [ "${UPDATE:-0}" = 1 ]; then
		{
			grep '^#' "$RECORD"
			{ grep -v -e '^#' -e " $1:" "$RECORD"; [ -z "$useful" ] || echo "$useful"; } | sort -k3,3 -k2,2
		} >"$RECORD.part" || true
		mv "$RECORD.part" "$RECORD"
		say "config/prefixes.verified is up to date for '$1'; commit it"
	elif [ -n "$(comm -23 <(sort <<<"$useful") <(sort "$RECORD"))" ]; then
		say "note: some of it is not in the committed record yet; add it with UPDATE=1"
	fi
}

# sample N: a number below N, the same all day.
sample() { echo $(($(printf '%s' "${SEED:-$(date +%Y%m%d)}" | cksum | cut -d' ' -f1) % $1)); }

# -- builds ----------------------------------------------------------------------------------

# at COMMIT: the checks' full work tree shows COMMIT; git touches only what differs, so that
# make rebuilds only that.
at() {
	{ [ -e "$WORK/linux/.git" ] && git_plain -C "$WORK/linux" checkout -q -f --detach "$1"; } || {
		rm -rf "$WORK/linux"	# not there yet, or killed in the middle of a checkout
		git_plain -C "$REPO" worktree prune
		git_plain -C "$REPO" worktree add -q --detach "$WORK/linux" "$1"
	}
}

# kmake OBJ ARG...: the kernel's make in that work tree.
kmake() {
	local obj=$1 m
	shift
	m=("${KMAKE[@]/#"$TREE"/"$WORK/linux"}")
	"${m[@]/#O=*/O=$obj}" "$@" </dev/null
}

# configure OBJ [build-kernel's --base, --config]: OBJ/tip.config, as it is at the series' tip;
# an earlier commit leaves out what it does not know.
configure() {
	local obj=$1
	shift
	at "$TIP"
	"$TOP/scripts/build-kernel" --tree "$WORK/linux" --obj "$obj" --log "check-${obj##*/obj-}" --only-config "$@" || return
	cp "$obj/.config" "$obj/tip.config"
}
# build OBJ LOG [ARG...]: what the series touches, at the commit that the tree shows. What the
# kernel builds before anything else (the vDSO, asm-offsets) is not in LOG: whether it is built,
# and warns, hangs on what OBJ held.
build() {
	local obj=$1 log=$2 targets
	shift 2
	cp "$obj/tip.config" "$obj/.config"
	mapfile -t targets < <(kernel_targets)
	kmake "$obj" olddefconfig prepare >"$log" 2>&1 || return
	kmake "$obj" W=1 "$@" "${targets[@]}" >"$log" 2>&1
}
# prepare OBJ CONFIG...: configures, ready for `build` at any commit. The tree is taken to the
# base first, so that what the series touches is newer than any object of an earlier run: a
# warning shows each time.
prepare() {
	local obj=$1 key f
	shift
	key=$({
		echo "$BASE $*"
		toolchain
		for f in test.config "$@"; do [ ! -f "$TOP/config/$f" ] || cat "$TOP/config/$f"; done
	} | sha256sum)
	fresh "$obj" "$key"
	configure "$obj" "$@" && at "$BASE"
}
build_base() {	# OBJ LOG: all of it, in a folder of its own
	local obj=$1-base rc=0
	rm -rf "$obj"
	mkdir "$obj"
	cp "$1/tip.config" "$obj/"
	build "$obj" "$2" || rc=$?
	rm -rf "$obj"
	return $rc
}

# warnings LOG: what the compiler, linker or sparse says in LOG, without the tree's path and
# line numbers, to be compared with another tree's. What it says of a header counts once, however
# many include it; of a source file, each time.
warnings() {
	grep -aE '(warning|error|WARNING|ERROR)(:| )' "$1" | grep -avE '^make|Waiting for unfinished' |
		sed -E "s#([^ ]*/)?${WORK##*/}/linux/##g; s#(\.\./)+linux/##g; s#^([^ :]+):[0-9]+(:[0-9]+)?:#\1:#; s#^[^ :]*-ld(\.bfd)?:#ld:#" |
		awk '{ n = ++seen[$0] } n == 1 || /^[^:]*\.[cS]:/ { print $0 (n > 1 ? " (" n ")" : "") }' | sort || true
}
# judge LOG LIST CMD...: sets NEW to the warnings of LOG that the base does not give. The base's
# are in LIST, which is made, by `CMD... LOG` at the base, only when LOG has any warning.
judge() {
	local log=$1 list=$2 back
	shift 2
	NEW=$(warnings "$log")
	[ -n "$NEW" ] || return 0
	if [ ! -e "$list" ]; then
		back=$(git_plain -C "$WORK/linux" rev-parse HEAD)
		at "$BASE"
		"$@" "$log.base" || die_log "$log.base" "building the base"
		warnings "$log.base" >"$list.part"
		mv "$list.part" "$list"
		at "$back"
	fi
	NEW=$(comm -13 "$list" <(warnings "$log"))
}

# What is built of the kernel: KVM, and every other file that the series touches and the tree
# has; or TARGETS.
kernel_targets() {
	local f
	[ -z "${TARGETS-}" ] || { echo "$TARGETS"; return; }
	echo arch/arm64/kvm/
	repo_diff "$BASE" "$TIP" --name-only | grep -E '\.[cS]$' |
		grep -vE '^(arch/arm64/kvm|virt/kvm|tools|samples|Documentation)/' |
		while read -r f; do [ ! -e "$WORK/linux/$f" ] || echo "${f%.[cS]}.o"; done || true
}

# fresh DIR KEY: DIR was made for KEY, or is empty now.
fresh() {
	[ "$(cat "$1/.key" 2>/dev/null)" != "$2" ] || return 0
	rm -rf "$1"
	mkdir -p "$1"
	echo "$2" >"$1/.key"
}
