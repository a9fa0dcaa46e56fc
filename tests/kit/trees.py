"""Source trees of the seed's shape, made for a test."""

from __future__ import annotations

from pathlib import Path

LAYER = "FROM scratch\nCOPY python/ /opt/python/\n"
FUNCTION = """\
ARG ECR_COMMON_DATALAKE_REPO_URL
FROM ${ECR_COMMON_DATALAKE_REPO_URL}:latest AS layer
FROM public.ecr.aws/lambda/python:3.13
# Layer Code
WORKDIR /opt
COPY --from=layer /opt/ .
# Function Code
WORKDIR /var/task
COPY src/lambda_function.py .
CMD ["lambda_function.lambda_handler"]
"""
HANDLER = "def lambda_handler(event, context):\n    return event\n"


def tree(root: Path, *names: str, dockerfile: str = FUNCTION) -> Path:
    """A tree with a common layer and functions of these names."""
    write(root / "common_layer/Dockerfile", LAYER)
    write(root / "common_layer/python/shared_code/__init__.py", "ANSWER = 42\n")
    (root / "dockerfiles").mkdir(parents=True, exist_ok=True)
    for name in names:
        function(root, name, dockerfile)
    return root


def function(root: Path, name: str, dockerfile: str = FUNCTION) -> Path:
    """One more function; its directory."""
    write(root / "dockerfiles" / name / "Dockerfile", dockerfile)
    write(root / "dockerfiles" / name / "src/lambda_function.py", f"# {name}\n{HANDLER}")
    return root / "dockerfiles" / name


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
