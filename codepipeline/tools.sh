#!/bin/sh
# What a build host needs: the pipeline's Python packages, and Dagger's CLI. Takes what is there.
set -eu
cd "$(dirname "$0")/.."
dagger_version=0.21.11 # that of dagger-io in requirements.lock

packages='aiohttp boto3 dagger google.protobuf rich yaml'
if ! python -c "from importlib.util import find_spec as f; assert all(map(f, '$packages'.split()))" 2>/dev/null; then
    if [ -d ci ]; then
        python -m pip install --quiet --constraint requirements.lock .
    else
        # A repository without the pipeline's source: the wheel, and all it needs, by hash.
        python -m pip install --quiet --require-hashes --requirement codepipeline/pipeline.txt
    fi
fi
[ -d ci ] || ln -s "$(python -c 'import ci, pathlib; print(pathlib.Path(ci.__file__).parent)')" ci

if ! command -v dagger >/dev/null; then
    # Beside python, which is on PATH and may be written to.
    directory=$(python -c 'import pathlib, sys; print(pathlib.Path(sys.executable).parent)')
    curl -fsSL https://dl.dagger.io/dagger/install.sh |
        DAGGER_VERSION=$dagger_version BIN_DIR=$directory sh
fi
