#!/bin/bash
# The floor: what BuildKit costs without anything around it. One buildctl per function, $JOBS at a
# time; the first is pushed alone, so that the others find the base's blobs to mount.
# Needs BUILDCTL, BUILDKIT_HOST, SOURCE, REGISTRY, LAYER, TAGS, JOBS, IMAGE_OUTPUT.
set -euo pipefail

push() {
    local names='' tag
    for tag in $TAGS; do
        names+="${names:+,}$REGISTRY/stg-$1:$tag"
    done
    "$BUILDCTL" build --progress=plain --frontend dockerfile.v0 \
        --local "context=$SOURCE/dockerfiles/$1" --local "dockerfile=$SOURCE/dockerfiles/$1" \
        --opt "build-arg:ECR_COMMON_DATALAKE_REPO_URL=$LAYER" \
        --output "type=image,\"name=$names\",$IMAGE_OUTPUT"
}

cd "$SOURCE/dockerfiles"
functions=(*)
push "${functions[0]}"
pids=()
for name in "${functions[@]:1}"; do
    while (($(jobs -rp | wc -l) >= JOBS)); do wait -n; done
    push "$name" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
