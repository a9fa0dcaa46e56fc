"""The tree that is measured has the seed's shape, so the pipeline takes it as it is."""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks import tree
from ci.errors import InputError
from ci.planning import discovery


def test_the_functions_are_what_the_pipeline_discovers(tmp_path: Path) -> None:
    source = tree.write(tmp_path, 20)
    problems: list[InputError] = []
    found = [function.name for function in discovery.functions(source, (), problems)]
    assert problems == []
    assert found == tree.names(20)
    assert len(set(found)) == 20


def test_a_dockerfile_is_the_seeds_with_todays_base(tmp_path: Path) -> None:
    source = tree.write(tmp_path, 1)
    text = (source / "dockerfiles" / "service-001" / "Dockerfile").read_text()
    instructions = [line for line in text.splitlines() if not line.startswith("#")]
    assert instructions == [
        "ARG ECR_COMMON_DATALAKE_REPO_URL",
        "FROM ${ECR_COMMON_DATALAKE_REPO_URL}:latest AS layer",
        "FROM public.ecr.aws/lambda/python:3.13",
        "WORKDIR /opt",
        "COPY --from=layer /opt/ .",
        "WORKDIR /var/task",
        "COPY src/lambda_function.py .",
        'CMD ["lambda_function.lambda_handler"]',
    ]


def test_every_function_imports_a_module_of_the_layer(tmp_path: Path) -> None:
    source = tree.write(tmp_path, tree.LAYER_MODULES + 1)
    library = source / "common_layer" / "python" / "datalake_library"
    for file in source.glob("dockerfiles/*/src/lambda_function.py"):
        parsed = ast.parse(file.read_text())
        imports = [node.module for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom)]
        modules = [str(module).removeprefix("datalake_library.") for module in imports]
        assert [(library / f"{module}.py").is_file() for module in modules] == [True]


def test_a_change_is_one_that_no_cache_has_seen(tmp_path: Path) -> None:
    source = tree.write(tmp_path, 2)
    first, second = (source / "dockerfiles" / name / "src/lambda_function.py" for name in
                     tree.names(2))  # fmt: skip
    untouched = second.read_text()
    versions = {first.read_text()}
    for number in range(3):
        tree.change(source, "service-001", number)
        ast.parse(first.read_text())
        versions.add(first.read_text())
    assert len(versions) == 4
    assert first.read_text().count("# change") == 1
    assert second.read_text() == untouched
