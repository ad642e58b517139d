#!/usr/bin/env bash
# Measure all that docs/photos.md lacks, in some 25 minutes of one H100 (the sums are in that file).
#
#     bash research/photos/gpu_hour.sh [--weights FILE]
#
# Further arguments go to every call of run.py. CAMVID and CCP may hold arguments for one data set:
#     CAMVID="--images DIR --masks DIR" CCP="--images DIR --masks DIR" bash research/photos/gpu_hour.sh
# It may be interrupted and repeated: finished runs are kept, others resumed. The most important runs
# come first. Results, tables and plots go to OUT (default: output/photos/gpu_hour).
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-.venv/bin/python}
OUT=${OUT:-output/photos/gpu_hour}
DEVICE=${DEVICE:-cuda}
RATES=${RATES:-0.0003 0.001 0.003 0.01}
LR_ITERATIONS=${LR_ITERATIONS:-500} CAMVID_ITERATIONS=${CAMVID_ITERATIONS:-1200}
CCP_ITERATIONS=${CCP_ITERATIONS:-800}
FIRST=${FIRST:-fpn,vtfpn,laterals}
OPTIONS=${OPTIONS:-top_down,laterals_top_down,zero_none,zero_projector,both,laterals_both,depthwise,laterals_depthwise,reads_all,tokens16,no_mixer,no_position,layers2,tokens32,v4}
EXTRA=("$@")
mkdir -p "$OUT"

run() {  # DATASET FOLDER ARGUMENTS...
    local own=${CAMVID:-}
    if [ "$1" = ccp ]; then own=${CCP:-}; fi
    # shellcheck disable=SC2086  # several arguments
    "$PYTHON" research/photos/run.py --dataset "$1" --output "$OUT/$2" --runs "$OUT/$2_runs" \
        --batch 8 --device "$DEVICE" $own "${@:3}" ${EXTRA[@]+"${EXTRA[@]}"}
}

# 1. Learning rates of the three main rows, from one list, on CamVid's val split: 24 short runs.
waiting=()
for rate in $RATES; do
    run camvid "lr_$rate" --rows "$FIRST" --seeds 0,1 --iterations "$LR_ITERATIONS" --split val \
        --base-lr "$rate" --jobs 2 --rounds 0 >"$OUT/lr_$rate.log" 2>&1 &
    waiting+=($!)
done
for job in "${waiting[@]}"; do wait "$job"; done
folders=()
for rate in $RATES; do folders+=("$OUT/lr_$rate"); done
best=$("$PYTHON" research/photos/learning_rates.py "${folders[@]}" --table "$OUT/lr.md")
echo "Learning rates: $best"

# 2. The main rows on CamVid's test split and, beside it, on CCP, with CamVid's rates.
camvid=(--iterations "$CAMVID_ITERATIONS" --base-lr $best)
ccp=(--rows "$FIRST" --seeds 0,1,2 --iterations "$CCP_ITERATIONS" --base-lr $best)
run ccp ccp "${ccp[@]}" --jobs 4 --rounds 0 >"$OUT/ccp.log" 2>&1 &
other=$!
run camvid camvid --rows "$FIRST" --seeds 0,1,2 "${camvid[@]}" --jobs 4 --rounds 0
wait "$other"

# 3. Options and ablations on CamVid, seed by seed. A row that has no rate of its own takes VT-FPN's,
#    also those without tokens, so that they differ from their twins in the tokens alone.
run camvid camvid --rows "$FIRST,$OPTIONS" --seeds 0,1 "${camvid[@]}" --jobs 8
run ccp ccp "${ccp[@]}"  # times the rows, while nothing trains
