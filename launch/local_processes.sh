#!/usr/bin/env bash
# Runs a command in several processes of this machine that form one run, as the
# hosts of a pod do: to try a multi-host run before renting one.
#
#   launch/local_processes.sh N COMMAND [ARGUMENT...]
#   launch/local_processes.sh 2 videopoet train --gin_file ... --run_dir runs/lm
#
# Every line says which process wrote it. When one fails the others are stopped,
# and its exit status is the script's. An interrupt reaches all of them.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: $0 N COMMAND [ARGUMENT...]" >&2
  exit 2
fi
count=$1
shift

# A port that is free now; the first process listens on it in a moment.
port=${COORDINATOR_PORT:-$(python3 -c '
import socket
with socket.socket() as found:
  found.bind(("127.0.0.1", 0))
  print(found.getsockname()[1])')}

# Lines come as they are written, not by the block.
export PYTHONUNBUFFERED=1
processes=()
stop() {
  kill -"$1" "${processes[@]}" 2>/dev/null || true
}
trap 'stop TERM' TERM
trap 'stop INT' INT

for ((index = 0; index < count; index++)); do
  COORDINATOR_ADDRESS=127.0.0.1:$port NUM_PROCESSES=$count PROCESS_ID=$index \
    "$@" > >(sed -u "s/^/[$index] /") 2> >(sed -u "s/^/[$index] /" >&2) &
  processes+=($!)
done

status=0
while [ ${#processes[@]} -gt 0 ]; do
  ended=
  result=0
  wait -n -p ended "${processes[@]}" || result=$?
  if [ -z "${ended:-}" ]; then
    # A signal interrupted the wait, or one had ended before the wait began.
    for process in "${processes[@]}"; do
      kill -0 "$process" 2>/dev/null && continue
      ended=$process result=0
      wait "$process" || result=$?
      break
    done
    [ -n "$ended" ] || continue
  fi
  left=()
  for process in "${processes[@]}"; do
    [ "$process" = "$ended" ] || left+=("$process")
  done
  processes=(${left[@]+"${left[@]}"})
  if [ "$result" != 0 ] && [ "$status" = 0 ]; then
    status=$result
    [ ${#processes[@]} = 0 ] || stop TERM
  fi
done
exit "$status"
