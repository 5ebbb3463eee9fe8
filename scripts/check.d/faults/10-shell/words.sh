# shellcheck shell=bash disable=SC2034,SC2016
# An unquoted variable in a script; a misspelling in a patch's message and one in a script.
echo 'ls $1' >>scripts/make-mbox
p=$(series_patches | tail -n 1)
sed -i '/^Assisted-by:/i recie''ve' "$p"
echo '# it occu''red' >>scripts/refresh-patches
expect=('SC2086' "$p:.*recie"'ve ==> receive' 'refresh-patches:.*occu''red ==> occurred')
