# shellcheck shell=bash
# What every command here agrees on: versions, folders, how to speak. Sourced first; starts nothing.

KUBERNETES_VERSION=1.36.3
ETCD_VERSION=3.6.8
COREDNS_VERSION=1.14.2
CRICTL_VERSION=1.36.0
PAUSE_VERSION=3.10.2
KIND_VERSION=0.33.0
# The 1.36 image that kind 0.33 publishes; another name can be given for a mirror.
PUBLISHED_NODE_IMAGE=${WEIGHBRIDGE_NODE_IMAGE:-kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed}
PUBLISHED_BASE_IMAGE=python:3.13-slim
GPUS=${WEIGHBRIDGE_CLUSTER_GPUS:-4}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/weighbridge/cluster # what is dear to make again
RUN=$CACHE/run                                            # what is running now
CLUSTERS=$RUN/clusters                                    # a folder for each cluster we made

say() { printf '%s\n' "$@" >&2; } # each argument a line

fail() {
  say "error: $*"
  exit 1
}

# missing WHAT COMMAND: something only the reader can provide, and the command that does it.
missing() {
  say "missing: $1" "  $2"
  exit 2
}

elapsed() { printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); }

# at_least VERSION HAVE
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

# key TEXT… FILE…: a short hash over words and, where a word names a file, over its content.
key() {
  local word
  for word in "$@"; do
    if [[ -f $word ]]; then cat "$word"; else printf '%s\n' "$word"; fi
  done | sha256sum | cut -c1-12
}

# cluster_name ARGUMENTS…: sets NAME (from --name, or WEIGHBRIDGE_CLUSTER) and leaves the other arguments in REST.
cluster_name() {
  NAME=${WEIGHBRIDGE_CLUSTER:-weighbridge} REST=()
  while (($#)); do
    case $1 in
      --name) NAME=${2:?--name wants a name} && shift 2 ;;
      --name=*) NAME=${1#--name=} && shift ;;
      -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;;
      --) shift ;;
      *) REST+=("$1") && shift ;;
    esac
  done
  [[ $NAME =~ ^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$ ]] || fail "not a usable cluster name: '$NAME'"
}

((BASH_VERSINFO[0] >= 5)) || missing 'bash 5' 'brew install bash'
for tool in flock timeout sha256sum; do
  command -v "$tool" >/dev/null || missing "$tool" 'brew install flock coreutils   # Debian: apt-get install util-linux coreutils'
done
PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin
mkdir -p "$CLUSTERS" "$RUN"/{lock,log}
