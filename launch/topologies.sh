# shellcheck shell=bash
# TPU slices by name, GENERATION:TOPOLOGY as in `v5p:4x4x4`, the name that
# `videopoet plan --topology` takes. Sourced by the launchers.
#
#            chips a host    GKE accelerator        machine type       Cloud TPU
#   v4       4               tpu-v4-podslice        ct4p-hightpu-4t    v4-CORES
#   v5e      1, 4, 8         tpu-v5-lite-podslice   ct5lp-hightpu-*t   v5litepod-CHIPS
#   v5p      4               tpu-v5p-slice          ct5p-hightpu-4t    v5p-CORES
#   v6e      1, 4, 8         tpu-v6e-slice          ct6e-standard-*t   v6e-CHIPS
#
# Sizes and names are those of Google Cloud's pages on TPU topologies; v4 and
# v5p count two cores a chip in their Cloud TPU name.

# shellcheck disable=SC2034
FLAT_TOPOLOGIES=(1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16)

# Sets generation, shape, chips, hosts, chips_per_host, accelerator,
# machine, cloud_type, xpk_type and runtime; dies on an unknown slice.
#   read_topology v5p:4x4x4
read_topology() {
  generation=${1%%:*} shape=${1#*:}
  [[ $1 == *:* ]] ||
    die "--topology is '$1'; expected GENERATION:TOPOLOGY such as v5p:4x4x4 or" \
      'v6e:8x8'
  local sizes cores=1
  IFS=x read -r -a sizes <<<"$shape"
  case $generation in
  v4 | v5p)
    cores=2 chips_per_host=4
    check_cube "${sizes[@]}"
    ;;
  v5e | v6e)
    [[ " ${FLAT_TOPOLOGIES[*]} " == *" $shape "* ]] ||
      die "--topology: there is no $generation slice $shape (known:" \
        "${FLAT_TOPOLOGIES[*]})"
    ;;
  *)
    die "--topology: there is no generation '$generation' (known: v4, v5e," \
      'v5p, v6e)'
    ;;
  esac
  local size
  chips=1
  for size in "${sizes[@]}"; do
    chips=$((chips * size))
  done
  case $generation in
  v4)
    accelerator=tpu-v4-podslice machine=ct4p-hightpu-4t
    cloud_type=v4-$((chips * cores)) runtime=tpu-ubuntu2204-base
    ;;
  v5p)
    accelerator=tpu-v5p-slice machine=ct5p-hightpu-4t
    cloud_type=v5p-$((chips * cores)) runtime=v2-alpha-tpuv5
    ;;
  v5e)
    # Eight chips fit one host; beyond that hosts have four.
    chips_per_host=$((chips <= 8 ? chips : 4))
    accelerator=tpu-v5-lite-podslice
    machine=ct5lp-hightpu-${chips_per_host}t
    cloud_type=v5litepod-$chips runtime=v2-alpha-tpuv5-lite
    ;;
  v6e)
    chips_per_host=$((chips <= 8 ? chips : 4))
    accelerator=tpu-v6e-slice machine=ct6e-standard-${chips_per_host}t
    cloud_type=v6e-$chips runtime=v2-alpha-tpuv6e
    ;;
  esac
  # shellcheck disable=SC2034
  {
    hosts=$((chips / chips_per_host))
    xpk_type=${cloud_type%-*}-$shape
  }
}

# Three sizes: a part of one cube of 4 x 4 x 4 chips, or whole cubes.
check_cube() {
  local text
  text=$(IFS=x; printf '%s' "$*")
  [[ " 2x2x1 2x2x2 2x2x4 2x4x4 " == *" $text "* ]] && return
  if [[ $text =~ ^[1-9][0-9]?x[1-9][0-9]?x[1-9][0-9]?$ ]] &&
    (($1 % 4 == 0 && $2 % 4 == 0 && $3 % 4 == 0)) &&
    (($1 <= $2 && $2 <= $3)) && (($1 * $2 * $3 <= $(most_chips))); then
    return
  fi
  die "--topology: there is no $generation slice $text (2x2x1, 2x2x2, 2x2x4," \
    "2x4x4, or three multiples of 4 that do not fall, such as 4x4x8, of at" \
    "most $(most_chips) chips)"
}

most_chips() {
  if [[ $generation == v4 ]]; then echo 4096; else echo 6144; fi
}

# GKE joins slices of several hosts only.
check_joined() {
  (($1 == 1 || hosts > 1)) ||
    die "--slices $1: only slices of several hosts can be joined, and" \
      "$generation:$shape is one host; take a larger one"
}
