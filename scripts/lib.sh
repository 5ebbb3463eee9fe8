# shellcheck shell=bash disable=SC2034
# Sourced by every script: paths, messages, locks, timed steps, the kernel's make.
# Reads the environment (BUILD, PKVM_CACHE, JOBS, CROSS_COMPILE) and `series`.

set -euo pipefail
export LC_ALL=C
# What an outer make or git hands down would reach the kernel's own make and git.
unset CDPATH MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES KBUILD_OUTPUT O \
	GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX

TOP=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
BUILD=$(realpath -m "${BUILD:-$TOP/build}")
LOGS=$BUILD/logs
CACHE=$(realpath -m "${PKVM_CACHE:-${XDG_CACHE_HOME:-${HOME:-$BUILD}/.cache}/pkvm-series}")
TREE=$BUILD/linux
OBJ=$BUILD/obj
KST=$BUILD/kselftest
JOBS=${JOBS:-$(nproc)}
ARCH=arm64
if [ "$(uname -m)" = aarch64 ]; then
	CROSS_COMPILE=${CROSS_COMPILE:-}
else
	CROSS_COMPILE=${CROSS_COMPILE:-aarch64-linux-gnu-}
fi
# shellcheck source=scripts/base.pin
. "$TOP/scripts/base.pin"

# A fixed user, host and time make equal sources give equal objects.
export KBUILD_BUILD_TIMESTAMP="$BASE_DATE" KBUILD_BUILD_USER=pkvm KBUILD_BUILD_HOST=series
export CCACHE_BASEDIR=${CCACHE_BASE:-$BUILD} CCACHE_NOHASHDIR=1
KMAKE=(make --no-print-directory -j"$JOBS" -C "$TREE" O="$OBJ" ARCH="$ARCH"
	CROSS_COMPILE="$CROSS_COMPILE")
if command -v ccache >/dev/null; then
	KMAKE+=(CC="ccache ${CROSS_COMPILE}gcc" HOSTCC="ccache gcc")
fi

# Git as the project wants it, whatever the user's configuration says.
git_plain() { GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=$TOP/scripts/gitconfig git "$@"; }

say() { printf '%s\n' "$*"; }
die() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 1; }
die_log() {
	local log=$1; shift
	printf '%s: error: %s\nThe last lines of %s:\n' "${0##*/}" "$*" "$(rel "$log")" >&2
	tail -n 25 "$log" 2>/dev/null | sed 's/^/    /' >&2 || true
	exit 1
}
# A path as a person at the project's root would type it.
rel() { case $1 in "$TOP"/*) printf '%s\n' "${1#"$TOP"/}" ;; *) printf '%s\n' "$1" ;; esac; }

# has_tool NAME: NAME is a command, or one of tools.list's header:FILE and target-lib:FILE.
has_tool() {
	local f
	case $1 in
	header:*)
		for f in "/usr/include/${1#*:}" /usr/include/*-linux-gnu*/"${1#*:}"; do
			[ ! -e "$f" ] || return 0
		done
		return 1 ;;
	target-lib:*)	# the compiler prints a path only for a file that it found
		f=$("${CROSS_COMPILE}gcc" -print-file-name="${1#*:}" 2>/dev/null) && [ "${f#*/}" != "$f" ] ;;
	*)	command -v "$1" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
	esac
}
need() {
	local t missing=()
	for t; do has_tool "$t" || missing+=("$t"); done
	[ ${#missing[@]} -eq 0 ] || "$TOP/scripts/install-tools" "${missing[@]}"
}

# cleanup_add CMD...: run at exit, also after Ctrl-C; the last added runs first.
CLEANUP=() CLEANUP_PID=
cleanup_add() {
	if [ "$CLEANUP_PID" != "$BASHPID" ]; then	# a subshell has its own list
		CLEANUP=() CLEANUP_PID=$BASHPID
		trap cleanup_run EXIT
		trap 'cleanup_signal INT' INT
		trap 'cleanup_signal TERM' TERM
		trap 'cleanup_signal HUP' HUP
	fi
	if [ $# -eq 1 ]; then CLEANUP+=("$1"); else CLEANUP+=("$(printf '%q ' "$@")"); fi
}
cleanup_run() {
	local i
	trap - EXIT
	for ((i = ${#CLEANUP[@]} - 1; i >= 0; i--)); do eval "${CLEANUP[i]}" || true; done
}
# Dying of the signal, not exiting, tells the calling script that it was Ctrl-C.
cleanup_signal() {
	cleanup_run
	trap - "$1"
	kill -s "$1" "$BASHPID"
}

# step NAME DESCR LOG CMD...: a long command, its output in LOG, its duration remembered.
step() {
	local name=$1 descr=$2 log=$3 last='' t0=$SECONDS rc=0
	shift 3
	mkdir -p "$(dirname "$log")" "$BUILD/times"
	[ ! -s "$BUILD/times/$name" ] || last="last time $(cat "$BUILD/times/$name") s, "
	printf '%s (%slog %s) ... ' "$descr" "$last" "$(rel "$log")"
	# Not in a condition: there `set -e` would not hold inside CMD.
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	if [ $rc -ne 0 ]; then
		say "failed after $((SECONDS - t0)) s"
		die_log "$log" "$descr: exit status $rc"
	fi
	echo $((SECONDS - t0)) >"$BUILD/times/$name"
	say "done in $((SECONDS - t0)) s"
}

# with_lock NAME CMD...: one at a time among all makes; scripts called by CMD inherit the
# permission, its children do not inherit the lock itself (a daemon would hold it for ever).
with_lock() {
	local name=$1 fd rc=0 PKVM_LOCKS=${PKVM_LOCKS:-}
	shift
	case " $PKVM_LOCKS " in *" $name:$BUILD "*) "$@"; return ;; esac
	mkdir -p "$BUILD"
	exec {fd}>>"$BUILD/lock.$name"
	flock -n "$fd" || { say "waiting for another make that holds build/lock.$name" >&2; flock "$fd"; }
	export PKVM_LOCKS="$PKVM_LOCKS $name:$BUILD"
	"$@" {fd}>&-
	exec {fd}>&-
}

series_patches() { sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$TOP/series"; }
series_topics() { series_patches | cut -d/ -f2 | uniq; }
