# shellcheck shell=bash
# What must be on the machine. As root on Debian it is installed; elsewhere it is named.

bare_debian() { [[ $(uname -s) == Linux && $EUID -eq 0 && -e /etc/debian_version ]]; }

# debian_packages COMMAND=PACKAGE…: installs the packages whose command is not there.
debian_packages() {
  local pair packages=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
  done
  ((${#packages[@]})) || return 0
  step 900 "installing Debian packages: ${packages[*]}" apt_install "${packages[@]}"
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  # Another source that cannot be reached is no reason to stop: the install itself tells.
  apt-get -q -o DPkg::Lock::Timeout=300 update || true
  apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}

need_go() {
  at_least go1.21 "$(go env GOVERSION 2>/dev/null)" ||
    missing 'Go 1.21 or newer' 'curl -fsSL https://go.dev/dl/go1.26.8.linux-amd64.tar.gz | tar -C /usr/local -xz   # or: brew install go'
}

need_docker() {
  case $(uname -s) in
    Linux) missing 'a running Docker' 'curl -fsSL https://get.docker.com | sh   # or run this as root on Debian, it then brings its own' ;;
    *) missing 'a running Docker' 'brew install --cask docker && open -a Docker' ;;
  esac
}
