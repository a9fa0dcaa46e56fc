"""A source tree of the seed's shape: one layer, and as many functions that build on it."""

from __future__ import annotations

from pathlib import Path

BASE = "public.ecr.aws/lambda/python:3.13"
LAYER_IMAGE = "stg-common-datalake-library"
LAYER_MODULES = 40
LAYER_DOCKERFILE = "FROM scratch\nCOPY python/ /opt/python/\n"
DOCKERFILE = f"""\
ARG ECR_COMMON_DATALAKE_REPO_URL
FROM ${{ECR_COMMON_DATALAKE_REPO_URL}}:latest AS layer
FROM {BASE}
# Layer Code
WORKDIR /opt
COPY --from=layer /opt/ .
# Function Code
WORKDIR /var/task
COPY src/lambda_function.py .
CMD ["lambda_function.lambda_handler"]
"""
HANDLER = '''\
"""Function {name}."""

from datalake_library.module_{module:02} import transform


def lambda_handler(event, context):
    return {{"function": "{name}", "result": transform(event)}}
'''
MODULE = '''\
"""Module {number} of the shared library."""

STEPS = {steps!r}


def transform(event):
    return {{step: event.get(step) for step in STEPS}}
'''


def names(count: int) -> list[str]:
    """The functions' names; an image is named after its function: ``stg-NAME``."""
    return [f"service-{number:03}" for number in range(1, count + 1)]


def write(root: Path, count: int) -> Path:
    """Writes ``common_layer/`` and ``count`` directories of ``dockerfiles/``; returns ``root``."""
    layer = root / "common_layer"
    library = layer / "python" / "datalake_library"
    library.mkdir(parents=True)
    (layer / "Dockerfile").write_text(LAYER_DOCKERFILE)
    (library / "__init__.py").touch()
    for number in range(LAYER_MODULES):
        steps = [f"step_{number}_{step}" for step in range(100)]
        text = MODULE.format(number=number, steps=steps)
        (library / f"module_{number:02}.py").write_text(text)
    for number, name in enumerate(names(count)):
        source = root / "dockerfiles" / name / "src"
        source.mkdir(parents=True)
        (source.parent / "Dockerfile").write_text(DOCKERFILE)
        text = HANDLER.format(name=name, module=number % LAYER_MODULES)
        (source / "lambda_function.py").write_text(text)
    return root


def change(root: Path, name: str, number: int) -> None:
    """Gives a function content that it never had before: ``number`` must be new."""
    source = root / "dockerfiles" / name / "src" / "lambda_function.py"
    kept = [line for line in source.read_text().splitlines() if not line.startswith("# change ")]
    source.write_text("\n".join([*kept, f"# change {number}"]) + "\n")
