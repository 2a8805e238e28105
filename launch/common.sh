# shellcheck shell=bash
# What the launchers share: how they complain, quote, check the command that is
# to be run, and say what they would do. Sourced, never run.

if ((BASH_VERSINFO[0] < 4)); then
  echo "${0##*/}: bash 4 or newer is needed, this is $BASH_VERSION" >&2
  exit 2
fi

# Jobs whose processes find each other and share the work. Every other job does
# the whole of it in one process, so that on several hosts all of them would
# write the same files.
MULTI_HOST_JOBS=(train evaluate prepare tokenize embed_text)

# Mains of T5X, which --t5x starts in place of the jobs.
T5X_MAINS=(train eval infer)

# The job's exit status where the flags, files or bindings are wrong: starting
# it again would fail again.
# shellcheck disable=SC2034
USER_ERROR_STATUS=2
# Where it was asked to stop, saved, and would go on: 128 + SIGTERM.
# shellcheck disable=SC2034
STOPPED_STATUS=143

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

note() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# Prints the comment at the top of a script, which is its manual.
manual() {
  sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

unknown_flag() {
  die "there is no flag '$1'; $0 --help lists them (the command stands behind" \
    '--)'
}

# value FLAG "$@": the value behind a flag, which must be there.
value() {
  if (($# < 3)) || [[ $3 == --* ]]; then
    die "$1 needs a value; $0 --help shows an example"
  fi
  printf '%s' "$3"
}

# read_flags SWITCHES NAMES [FORWARDED] -- "$@": reads a launcher's flags.
#
# --spot sets spot=true where `spot` is a switch, and --zone Z sets zone=Z where
# `zone` is a name; a forwarded flag is appended to `options` as --flag=value.
# Every launcher has --help, --dry_run, --t5x, --env (appended to `environment`)
# and the command behind --. (Its own variables end in _, unlike any flag.)
read_flags() {
  local switches_=" dry_run t5x $1 " names_=" env $2 " forwarded_='' flag_ text_
  shift 2
  if [[ $1 != -- ]]; then
    forwarded_=" $1 "
    shift
  fi
  shift
  while (($# > 0)); do
    flag_=${1#--}
    case $1 in
    --help | -h) manual && exit ;;
    --) shift && command=("$@") && return ;;
    --*) ;;
    *) unknown_flag "$1" ;;
    esac
    if [[ $switches_ == *" $flag_ "* ]]; then
      printf -v "$flag_" true
      shift
      continue
    fi
    [[ "$names_$forwarded_" == *" $flag_ "* ]] || unknown_flag "$1"
    text_=$(value "$1" "$@")
    if [[ $flag_ == env ]]; then
      environment+=("$text_")
    elif [[ $forwarded_ == *" $flag_ "* ]]; then
      options+=("$1=$text_")
    else
      printf -v "$flag_" '%s' "$text_"
    fi
    shift 2
  done
}

# For each: check_X FLAG VALUE.
check_count() {
  [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] ||
    die "$1 is '$2'; expected a whole number from 1"
}

check_number() {
  [[ $2 =~ ^(0|[1-9][0-9]{0,5})$ ]] ||
    die "$1 is '$2'; expected a whole number from 0"
}

# Names end up in those of pods and virtual machines, which take no more.
check_name() {
  [[ $2 =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
    die "$1 is '$2'; expected at most 40 lower-case letters, digits and" \
      'hyphens, a letter first and no hyphen last'
}

check_given() {
  [[ -n $2 ]] || die "$1 is missing; $0 --help shows an example"
}

check_environment() {
  [[ $2 =~ ^[A-Za-z_][A-Za-z_0-9]*= ]] ||
    die "$1 is '$2'; expected NAME=VALUE"
}

# check_command HOSTS COMMAND...: refuses what is no job, or cannot be shared.
check_command() {
  local hosts=$1 job
  shift
  (($# > 0)) ||
    die 'no command: put it behind --, for example' \
      '-- videopoet train --gin_file ... --run_dir gs://...'
  [[ $1 == videopoet ]] ||
    die "the command begins with '$1'; expected 'videopoet JOB ...', the same" \
      'as on a laptop'
  (($# > 1)) || die "the command names no job: 'videopoet train ...'"
  if [[ ${t5x:-false} == true ]]; then
    for job in "$@"; do
      [[ $job != --run_dir* && $job != --init_from* && $job != --task_file* ]] ||
        die "--t5x starts T5X, which does not know ${job%%=*}: the flags are" \
          "its own (docs/t5x.md), such as --gin.MODEL_DIR"
    done
    for job in "${T5X_MAINS[@]}"; do
      [[ $job != "$2" ]] || return 0
    done
    die "--t5x starts ${T5X_MAINS[*]}, and the command is 'videopoet $2'"
  fi
  ((hosts > 1)) || return 0
  for job in "${MULTI_HOST_JOBS[@]}"; do
    [[ $job != "$2" ]] || return 0
  done
  die "videopoet $2 runs on one host and this is $hosts, which would all" \
    'write the same files: give a slice of one host (v6e:2x4) and --slices 1'
}

# A run of several slices has to say so to the mesh, too.
check_slices() {
  local slices=$1
  shift
  if ((slices > 1)) && [[ $2 == train && " $* " != *slices* &&
    " $* " != *SLICES* ]]; then
    note "the command names no slices: unless a gin file of it does, add" \
      "--gin_file gin/partitioning/several_slices.gin --gin.SLICES=$slices"
  fi
}

# The command as it is run: with --t5x, T5X's main of the job's name.
choose_main() {
  [[ ${t5x:-false} == false ]] ||
    command=(python -m videopoet_jax.t5x "${command[@]:1}")
}

# The words of a command, quoted so that a shell reads the same words again.
shell_words() {
  local word words=()
  for word in "$@"; do
    words+=("$(shell_word "$word")")
  done
  printf '%s' "${words[*]}"
}

shell_word() {
  if [[ $1 =~ ^[-A-Za-z0-9_./:=@%+,]+$ ]]; then
    printf '%s' "$1"
  else
    printf "'%s'" "${1//\'/\'\\\'\'}"
  fi
}

# A YAML string in double quotes.
yaml_string() {
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  printf '"%s"' "$text"
}

# send COMMAND...: runs it, or with dry_run=true prints it.
send() {
  if [[ ${dry_run:-false} == true ]]; then
    shell_words "$@"
    printf '\n'
  else
    "$@"
  fi
}

# need PROGRAM HINT: unless nothing is going to be sent.
need() {
  [[ ${dry_run:-false} == true ]] || command -v "$1" >/dev/null ||
    die "$1 is not installed: $2 (or see what would be sent: --dry_run)"
}
