from __future__ import annotations

import pytest
from kit.trees import FUNCTION

from ci.planning.dockerfile import DockerfileError, pinned, pulls

DIGEST = "sha256:" + "d" * 64
ARGUMENTS = {"ECR_COMMON_DATALAKE_REPO_URL": "127.0.0.1:5000/stg-layer"}


def bases(text: str) -> list[str]:
    return [str(pull.reference) for pull in pulls(text, ARGUMENTS)]


def pin(text: str) -> str:
    found = pulls(text, ARGUMENTS)
    return pinned(text, {pull.reference: DIGEST for pull in found}, found)


def test_the_seeds_dockerfile_is_pinned_and_else_untouched() -> None:
    before, after = FUNCTION.splitlines(), pin(FUNCTION).splitlines()
    assert after[1] == f"FROM 127.0.0.1:5000/stg-layer:latest@{DIGEST} AS layer"
    assert after[2] == f"FROM public.ecr.aws/lambda/python:3.13@{DIGEST}"
    assert before[:1] + before[3:] == after[:1] + after[3:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("from a", ["docker.io/library/a:latest"], id="lower case"),
        pytest.param("FROM scratch", [], id="scratch"),
        pytest.param("FROM --platform=$BUILDPLATFORM x.io/a:1 AS b", ["x.io/a:1"], id="platform"),
        pytest.param("FROM x.io/a AS One\nFROM one", ["x.io/a:latest"], id="stage by name"),
        pytest.param("FROM x.io/a AS one\nFROM x.io/b", ["x.io/b:latest"], id="stage not needed"),
        pytest.param("FROM x.io/a\nFROM x.io/b\nCOPY --from=0 /a /b",
                     ["x.io/a:latest", "x.io/b:latest"], id="stage by number"),
        pytest.param("FROM x.io/a\nCOPY --chown=1 --from=x.io/c:2 /a /b",
                     ["x.io/a:latest", "x.io/c:2"], id="copy from an image"),
        pytest.param("FROM x.io/a\nRUN --mount=type=bind,from=x.io/c:2,target=/t true",
                     ["x.io/a:latest", "x.io/c:2"], id="mount from an image"),
        pytest.param("FROM x.io/t AS t\nFROM x.io/a\nRUN --mount=from=t,target=/t true",
                     ["x.io/t:latest", "x.io/a:latest"], id="mount from a stage"),
        pytest.param("FROM x.io/a\nRUN echo --from=x.io/b", ["x.io/a:latest"], id="no flag"),
        pytest.param("ARG T=1\nFROM x.io/a:$T", ["x.io/a:1"], id="ARG default"),
        pytest.param("ARG A=a B='b'\nARG C=$A-${B}\nFROM x.io/$C", ["x.io/a-b:latest"],
                     id="ARG from ARG"),
        pytest.param("ARG T\nFROM x.io/a:${T:-2}", ["x.io/a:2"], id="default in place"),
        pytest.param("ARG T=x\nFROM x.io/a${T:+:3}", ["x.io/a:3"], id="alternative in place"),
        pytest.param("ARG A\nARG B=7\nFROM x.io/a:${A:-${B}}", ["x.io/a:7"], id="nested"),
        pytest.param('FROM "x.io/a:1"', ["x.io/a:1"], id="quoted"),
        pytest.param("FROM \\\n  # remark\n\n  x.io/a:1 \\\n AS b", ["x.io/a:1"],
                     id="continuation with comment"),
        pytest.param("# escape=`\nFROM `\n x.io/a:1", ["x.io/a:1"], id="escape directive"),
        pytest.param("\ufeff# hello\r\nFROM x.io/a:1\r\nRUN x\r\n", ["x.io/a:1"],
                     id="byte order mark, CRLF"),
        pytest.param("FROM x.io/a\nRUN <<EOF\nFROM x.io/b\nEOF\nCOPY --from=x.io/c a b",
                     ["x.io/a:latest", "x.io/c:latest"], id="heredoc"),
        pytest.param("FROM x.io/a\nRUN cat <<-'E' <<F\n\tE \n\tE\nFROM x.io/b\nF\nRUN x",
                     ["x.io/a:latest"], id="two heredocs, one indented"),
        pytest.param("FROM x.io/a\nRUN echo '<<EOF'\nCOPY --from=x.io/c a b",
                     ["x.io/a:latest", "x.io/c:latest"], id="no heredoc in quotes"),
        pytest.param("FROM x.io/a\nRUN x; \\\n# FROM\nFROM x.io/b\nFROM x.io/c",
                     ["x.io/c:latest"], id="continuation swallows a FROM"),
        pytest.param(f"FROM x.io/a@{DIGEST}", [f"x.io/a@{DIGEST}"], id="pinned already"),
        pytest.param("", [], id="empty file: the engine says it better"),
    ],
)  # fmt: skip
def test_images_that_a_dockerfile_builds_on(text: str, expected: list[str]) -> None:
    assert bases(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("ARG A\nFROM ${A}", 2, "FROM ${A} is blank: A has no value"),
        ("ARG A\nFROM ${A}:latest", 2, "A has no value"),
        ("\nFROM", 2, "names no image"),
        ("FROM ${A#x}", 1, "goes beyond"),
        ("FROM ${A:?needed}", 1, "A is not set: needed"),
        ("FROM ${A:-x", 1, "lacks a closing brace"),
        ("FROM x.io/UPPER", 1, "names no image"),
    ],
)
def test_a_from_without_an_image_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        pulls(text, {})
    assert says in str(raised.value)
    assert raised.value.line == line


def test_pinning_keeps_comments_flags_and_line_numbers() -> None:
    text = "# x\nFROM --platform=linux/amd64 \\\n  x.io/a:1 AS b # not a comment\nRUN a \\\n  b\n"
    assert pin(text) == text.replace("x.io/a:1", f"x.io/a:1@{DIGEST}")


def test_what_is_pinned_stays() -> None:
    other = "sha256:" + "e" * 64
    text = f"FROM x.io/a:1@{other}\n"
    assert pin(text) == text


def test_the_frontend_that_engines_have_built_in_is_not_pulled() -> None:
    """Its line goes, the escape directive after it stays one, and no line moves."""
    text = "# syntax=docker/dockerfile:1.7\n# escape=`\nFROM `\n x.io/a\n"
    assert pin(text) == f"# escape=`\n#\nFROM `\n x.io/a:latest@{DIGEST}\n"
    own = "# syntax=example.com/frontend\nFROM scratch\n"
    assert pin(own) == own
