# shellcheck shell=bash
# Which Docker is used. A Docker that answers is used as it is. Where there is none (root on Debian) we run a dockerd of
# our own: data, socket, pid file and bridge are ours, so nobody else's containers are seen or touched.

SOCKET=$RUN/docker.sock
PIDFILE=$RUN/dockerd.pid
DATA=$CACHE/docker
BRIDGE=wb-$(key "$CACHE")
STARTED_ENGINE=

answers() { timeout 10 docker info >/dev/null 2>&1; }

# use_engine: chooses, starts ours if need be, and points `docker` and `kind` of this process at it. From here on we hold
# a shared lock, which tells every other run not to stop the engine under us.
use_engine() {
  export KIND_EXPERIMENTAL_PROVIDER=docker
  exec {ENGINE_USE}>"$RUN/lock/engine-in-use"
  until_ok 120 flock -s -n "$ENGINE_USE" || fail "another run is stopping the Docker engine for more than 120 s"
  if [[ ! -d $DATA ]] && answers; then
    ENGINE=running
    return
  fi
  bare_debian || need_docker
  ENGINE=own
  ((${#SOCKET} < 70)) || fail "the cache folder's name is too long for sockets: $CACHE"
  unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
  # The client beside dockerd, not a newer one that may be first on PATH.
  export DOCKER_HOST=unix://$SOCKET DOCKER_CONFIG=$RUN/docker-config PATH=/usr/bin:$PATH
  mkdir -p "$DOCKER_CONFIG"
  answers || start_own_engine
}

# own_dockerd: prints the pid of our dockerd, if it lives.
own_dockerd() {
  local pid
  pid=$(cat "$PIDFILE" 2>/dev/null) && [[ -n $pid ]] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--pidfile=$PIDFILE" || return 1
  printf '%s' "$pid"
}

start_own_engine() {
  local held pid
  lock engine-start 180 'starting the Docker engine' && held=$LOCK
  if ! answers; then
    debian_packages dockerd=docker.io jq=jq ip=iproute2 iptables=iptables pgrep=procps
    if pid=$(own_dockerd) && ! until_ok 30 answers; then
      say "• our dockerd ($pid) does not answer: ending it"
      kill -KILL "$pid"
      until_ok 10 gone "$pid" || fail "dockerd ($pid) cannot be ended"
    fi
    if ! answers; then
      say '• starting our own dockerd'
      STARTED_ENGINE=yes
      UNDO+=(stop_engine_if_unused)
      rm -f "$PIDFILE"
      # A containerd that outlived its dockerd is taken over; the pid of one that did not may be anybody's by now.
      pgrep -f -- "$RUN/exec/containerd/containerd.toml" >/dev/null || rm -f "$RUN/exec/containerd/containerd.pid"
      bridge
      launch_dockerd
      if ! until_ok 90 answers; then
        tail -n 20 "$RUN/dockerd.log" >&2
        fail "dockerd does not answer (whole log: $RUN/dockerd.log)"
      fi
    fi
  fi
  exec {held}>&-
}

gone() { [[ ! -d /proc/$1 ]]; }

bridge() {
  local n
  ip link show "$BRIDGE" >/dev/null 2>&1 && return
  for n in {213..243}; do
    [[ -z $(ip -4 route show root "10.$n.0.0/16") ]] || continue
    ip link add "$BRIDGE" type bridge
    ip address add "10.$n.0.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    return
  done
  fail 'no free 10.x.0.0/16 network for our bridge'
}

launch_dockerd() {
  local capabilities config='"builder": {"gc": {"enabled": true, "defaultKeepStorage": "8GB"}}' runtime=$RUN/runc-without-sys-resource
  capabilities=$(awk '/^CapBnd/ { print $2 }' /proc/self/status)
  if (((16#$capabilities >> 24 & 1) == 0)); then # CAP_SYS_RESOURCE is not ours to give
    install -m 755 "$HERE/image/runc-without-sys-resource" "$runtime"
    config+=", \"runtimes\": {\"limited\": {\"path\": \"$runtime\"}}, \"default-runtime\": \"limited\""
  fi
  printf '{%s}\n' "$config" >"$RUN/daemon.json"
  set -m # a process group of its own, and no signal ignored in what runs inside
  (
    for fd in /proc/"$BASHPID"/fd/*; do # no lock of ours may live on in dockerd
      fd=${fd##*/}
      ((fd < 3)) || exec {fd}>&-
    done
    exec setsid dockerd --config-file="$RUN/daemon.json" --data-root="$DATA" --exec-root="$RUN/exec" --pidfile="$PIDFILE" \
      --host="unix://$SOCKET" --bridge="$BRIDGE" --containerd-namespace=weighbridge --containerd-plugins-namespace=weighbridge-plugins
  ) >"$RUN/dockerd.log" 2>&1 </dev/null &
  set +m
}

# kind_containers NAME: the containers of a kind cluster, stopped ones too; of all clusters if NAME is empty.
kind_containers() { timeout 60 docker ps -aq --filter "label=io.x-k8s.kind.cluster${1:+=$1}"; }

# stop_engine_if_unused: ends our dockerd when no cluster is left and no other run uses it.
stop_engine_if_unused() {
  local pid clusters
  [[ $ENGINE == own ]] && pid=$(own_dockerd) || return 0
  if ! flock -x -n "$ENGINE_USE"; then
    say '• our dockerd stays: another run uses it'
    return
  fi
  if ! clusters=$(kind_containers '') && [[ -z $STARTED_ENGINE ]]; then
    say '• our dockerd stays: it does not tell which clusters it runs'
    return
  fi
  [[ -z $clusters ]] || return 0
  say '• stopping our dockerd: no cluster is left'
  docker network rm kind >/dev/null 2>&1 || true
  kill -TERM "$pid"
  if ! until_ok 40 gone "$pid"; then
    kill -KILL "$pid"
    until_ok 10 gone "$pid" || true
  fi
  end_orphans
  ip link delete "$BRIDGE" 2>/dev/null || true
  unmount "$DATA"
  unmount "$RUN/exec"
  rm -rf "$RUN/exec" "$PIDFILE" "$SOCKET"
}

# unmount FOLDER: whatever is mounted on it or below.
unmount() {
  local mounted
  awk -v folder="$1" '$2 == folder || index($2, folder "/") == 1 { print $2 }' /proc/mounts | sort -r |
    while read -r mounted; do umount "$mounted"; done
}

# end_orphans: containerd and shims that a killed dockerd left behind.
end_orphans() {
  local pid
  for pid in $(pgrep -f -- "$RUN/exec/containerd/containerd"); do
    kill -KILL "$pid" 2>/dev/null || true
  done
}
