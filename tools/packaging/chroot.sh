# Sourced by the tools that need a Debian system of their own. Systems are kept in build/chroots/, from run to run.

# mirror: where this machine gets its packages from.
mirror() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' |
    awk -v suite="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$2 == suite { print $1; exit }'
}

# in_chroot ROOT COMMAND...: quiet unless it fails.
in_chroot() {
  local root=$1 log
  shift
  log=$(mktemp)
  if ! chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@" >"$log" 2>&1 </dev/null; then
    echo "failed in $root: $*" >&2
    tail -n 40 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# base_system SUITE: makes a minimal system unless it is there, and prints its directory.
base_system() {
  local suite=$1 base=build/chroots/$1
  if [ ! -f "$base/.complete" ]; then
    mkdir -p build/chroots
    rm -rf --one-file-system "$base"
    echo "debootstrap of $suite: takes a few minutes" >&2
    debootstrap --variant=minbase "$suite" "$base" "$(mirror)" >"build/chroots/$suite.log" 2>&1 || {
      tail -n 20 "build/chroots/$suite.log" >&2
      return 1
    }
    # How apt reaches its mirror here (proxies, certificates, checks).
    cp -a /etc/apt/apt.conf.d/. "$base/etc/apt/apt.conf.d/"
    rm -f "$base"/etc/apt/apt.conf.d/*docker* "$base"/etc/apt/apt.conf.d/*packagekit* "$base"/etc/apt/apt.conf.d/*appstream*
    in_chroot "$base" apt-get update -qq
    touch "$base/.complete"
  fi
  echo "$base"
}
