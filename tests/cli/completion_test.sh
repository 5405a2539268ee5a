#!/usr/bin/env bash
# usage: completion_test.sh ONCEGATE   checks what the shells are told, and completes in a real bash
set -euo pipefail
oncegate=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$oncegate" completion bash >"$dir/bash"
"$oncegate" completion zsh >"$dir/zsh"
"$oncegate" completion fish >"$dir/fish"
bash -n "$dir/bash"
# shellcheck source=/dev/null
source "$dir/bash"

# completes WORD... : what bash would offer for the last word
completes() {
  COMP_WORDS=(oncegate "$@")
  COMP_CWORD=$#
  _oncegate
  printf '%s ' "${COMPREPLY[@]}"
}
expect() {
  local wanted=$1 got
  shift
  got=$(completes "$@")
  [ "$got" = "$wanted " ] || { echo "completing '$*': wanted '$wanted', got '$got'"; exit 1; }
}
expect "release resolve redeliver restore" re
expect "--watch" stats --w
expect "on off shadow" serve --dedupe ""
expect "--scope --scope-header" serve --sc
expect "completed released" resolve --as ""
expect "$dir/bash" serve --tls-cert "$dir/b"
expect "$dir/zsh" import "$dir/z"
for command in serve get list stats release resolve redeliver cleanup backup restore verify export import providers check; do
  grep -q "seen_subcommand_from $command' -l help" "$dir/fish" || { echo "fish knows no flags of $command"; exit 1; }
done
if "$oncegate" completion tcsh 2>"$dir/err"; then exit 1; fi
grep -q "is not bash, zsh or fish" "$dir/err"
