#!/usr/bin/env bash
# Compiles the plans of docs/planning.md, one after the other, into a folder of
# JSON reports. No TPU is needed; about an hour of one core, and what was
# compiled before is read again.
#
#   launch/plan_paper.sh FOLDER [FLAGS OF videopoet plan ...]
set -euo pipefail

out=${1:?usage: launch/plan_paper.sh FOLDER [FLAGS ...]}
shift
mkdir -p "$out"

plan() {
  local name=$1
  shift
  echo "== $name: videopoet plan $*" >&2
  # Status 1 says that a layout does not fit; the report says it too.
  videopoet plan --json "$@" >"$out/$name.json" || [ $? -eq 1 ]
}

t2v=text_to_video/17x128x128
v5p=(--model 8b --topology v5p:4x4x4 --layout "$t2v" --remat full
  --batch_per_chip 4)
plane=(--mesh 'data=4,fsdp=16')
# MaxText's decoder: 32 layers, queries and keys as they are, and tables of all
# words at both ends; or our bits and factors in their place.
decoder=(--gin.prefix_lm_preset.num_layers=32
  --gin.prefix_lm_preset.qk_norm=False)
same=("${decoder[@]}" --gin.prefix_lm_preset.visual_input="'table'")
factors=("${decoder[@]}" --gin.prefix_lm_preset.visual_output="'factors'"
  --gin.prefix_lm_preset.loss_vocabulary="'segment'")

plan same "${v5p[@]}" "${plane[@]}" "${same[@]}" "$@"
plan factors "${v5p[@]}" "${plane[@]}" "${factors[@]}" "$@"
plan 8b_v5p_64 "${v5p[@]}" "${plane[@]}" "$@"
plan 8b_v5p_64_search --model 8b --topology v5p:4x4x4 --layout "$t2v" --search \
  --meshes data=4,fsdp=16 --remats full,minimal --batches 4,8 "$@"
plan 8b_v5p_2x64 --model 8b --topology v5p:4x4x4 --slices 2 \
  --mesh 'data=8,fsdp=16' --layout "$t2v" --remat minimal --batch_per_chip 8 "$@"
plan 8b_v5p_4_decode --model 8b --topology v5p:2x2x1 --program decode \
  --layout "$t2v" "$@"

# The visual tokenizer, native convolutions beside taps: the paper's decoding of
# four clips, one clip on four chips, and training.
tokenizer=(--model visual_tokenizer)
plan tokenizer_v5p_4_decode "${tokenizer[@]}" --topology v5p:2x2x1 \
  --program decode "$@"
plan tokenizer_v5p_4_decode_one "${tokenizer[@]}" --topology v5p:2x2x1 \
  --program decode --mesh sequence=4 --batch_per_chip 0.25 "$@"
plan tokenizer_v5p_4_encode "${tokenizer[@]}" --topology v5p:2x2x1 \
  --program encode "$@"
plan tokenizer_v5e_4_decode "${tokenizer[@]}" --topology v5e:2x2 \
  --program decode "$@"
plan tokenizer_v6e_4_decode "${tokenizer[@]}" --topology v6e:2x2 \
  --program decode "$@"
plan tokenizer_v5p_64_train "${tokenizer[@]}" --topology v5p:4x4x4 \
  --mesh data=64 --batch_per_chip 4 "$@"

# What decides whether every layout fits: the longest of the largest clip.
longest=(--clip 41x224x128 --layout longest --batch_per_chip 1)
plan 8b_v5p_64_longest --model 8b --topology v5p:4x4x4 "${plane[@]}" \
  "${longest[@]}" "$@"
plan 8b_v5e_256_longest --model 8b --topology v5e:16x16 "${longest[@]}" "$@"
plan 8b_v6e_64_longest --model 8b --topology v6e:8x8 "${longest[@]}" "$@"
plan 1b_v5e_8_longest --model 1b --topology v5e:2x4 "${longest[@]}" "$@"
