#!/bin/bash
# The script that the pipeline replaces, done right: BuildKit enabled, all tags in one push, the
# exit code of every function looked at. $JOBS functions at a time, as in the original.
# Needs DOCKER_HOST, DOCKER_BUILDKIT=1, SOURCE, REGISTRY, UPSTREAM, BASE, LAYER, TAGS, JOBS.
set -euo pipefail

# dockerd has mirrors for Docker Hub only: the base comes under its mirror's name.
if ! docker image inspect "$BASE" >/dev/null 2>&1; then
    docker pull --quiet "$UPSTREAM/${BASE#*/}"
    docker tag "$UPSTREAM/${BASE#*/}" "$BASE"
fi

build() {
    local repository=$REGISTRY/stg-$1 tag names=()
    for tag in $TAGS; do
        names+=(-t "$repository:$tag")
    done
    docker build --build-arg "ECR_COMMON_DATALAKE_REPO_URL=$LAYER" "${names[@]}" "$1"
    docker push --all-tags "$repository"
}

cd "$SOURCE/dockerfiles"
pids=()
for name in *; do
    while (($(jobs -rp | wc -l) >= JOBS)); do wait -n; done
    build "$name" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
