# shellcheck shell=bash
# Long steps, locks and the way out: whatever a command started is stopped again when it does not finish.

UNDO=()   # commands that take back what was begun, run last first if we end without success
ALWAYS=() # commands run on every way out
JOB=      # process group of the step that is running

stop_job() {
  [[ -n $JOB ]] || return 0
  kill -TERM -- "-$JOB" 2>/dev/null || true
  for _ in {1..50}; do
    kill -0 -- "-$JOB" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$JOB" 2>/dev/null || true
  JOB=
}

way_out() {
  local status=$? i
  trap '' INT TERM HUP
  set +e
  stop_job
  if ((status)); then
    for ((i = ${#UNDO[@]} - 1; i >= 0; i--)); do ${UNDO[i]}; done
  fi
  for ((i = ${#ALWAYS[@]} - 1; i >= 0; i--)); do ${ALWAYS[i]}; done
  exit "$status"
}
trap way_out EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# step SECONDS TITLE COMMAND…: runs COMMAND as a job with a time limit and a log, and tells every 15 s that it is alive.
# Lines of its log are counted in the progress line as $UNIT.
step() {
  local limit=$1 title=$2 begun=$SECONDS next=$((SECONDS + 15)) status=0 log pid
  shift 2
  log=$RUN/log/${title//[^a-zA-Z0-9.]/-}.log
  say "• $title"
  set -m
  (
    set +m
    "$@"
  ) >"$log" 2>&1 </dev/null &
  pid=$! JOB=$!
  set +m
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS - begun > limit)); then
      stop_job
      tail -n 20 "$log" >&2
      fail "$title: not done after ${limit} s (whole log: $log)"
    fi
    if ((SECONDS >= next)); then
      say "  $(elapsed $((SECONDS - begun)))  $(wc -l <"$log") ${UNIT:-log lines}; $(tail -n 1 "$log" | tr -d '\r' | cut -c1-90)"
      next=$((SECONDS + 15))
    fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  JOB=
  if ((status)); then
    tail -n 30 "$log" >&2
    fail "$title: failed with status $status (whole log: $log)"
  fi
  ((SECONDS - begun < 5)) || say "  done in $(elapsed $((SECONDS - begun)))"
}

# until_ok SECONDS COMMAND…: polls COMMAND until it succeeds; false when the time is over.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.3
  done
}

# lock NAME SECONDS WHAT: waits for an exclusive lock and puts its descriptor into LOCK (close it to release).
lock() {
  local end=$((SECONDS + $2))
  exec {LOCK}>"$RUN/lock/$1"
  flock -n "$LOCK" && return
  say "  waiting for another run: $3"
  until flock -w 15 "$LOCK"; do
    ((SECONDS < end)) || fail "$3: another run has been at it for more than $2 s"
    say "  still waiting for another run: $3"
  done
}

# cached FOLDER TITLE COMMAND…: FOLDER from the cache, else made by COMMAND (which gets a new folder as last argument).
cached() {
  local folder=$1 title=$2 held
  shift 2
  [[ -d $folder ]] && return
  lock "${folder##*/}" 5400 "$title" && held=$LOCK
  if [[ ! -d $folder ]]; then
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    "$@" "$folder.new"
    mv "$folder.new" "$folder"
  fi
  exec {held}>&-
}
