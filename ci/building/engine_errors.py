"""What the SDK raises, in words for the user: which image, what happened, what to do next."""

from __future__ import annotations

import re
import shlex

from ci.errors import PipelineError

_UNSERVED = re.compile(r"embedded engine does not serve [\w.() ]+")
_READ_LOG = "read its log, mend the Dockerfile or what it runs, and run again"
_WORDS = (
    # What the engine's message holds, the class of the error, what to do.
    (r"dockerfile parse error|unknown instruction", "BadDockerfile", "mend that line"),
    (r"failed to resolve source metadata|pull access denied|manifest unknown", "BaseMissing",
     "see that the FROM is right and that its registry can be reached"),
    (r"failed to (compute|calculate|copy).*(not found|no such file)|/[^ ]*: not found",
     "MissingFile",
     "see that the file is in the function's directory and not in .dockerignore"),
    (r"did not complete successfully", "StepFailed", _READ_LOG),
    (r"no space left on device", "DiskFull", "free space where the engine keeps its cache"),
    (r"failed to push|unexpected status from (PUT|POST|PATCH|HEAD)|name unknown", "PushFailed",
     "see that the repository exists and that our credentials may push to it"),
)  # fmt: skip


class ImageError(PipelineError):
    """One image failed; ``kind`` is the class of the error in the report."""

    def __init__(self, where: str, kind: str, what: str, fix: str) -> None:
        super().__init__(where, what, fix)
        self.kind = kind


def explained(error: Exception, name: str) -> ImageError:
    """``error``, raised by the SDK while it worked on the image ``name``, as the user's error.

    An exception that nobody expected comes back as ``Unexpected`` with its class.
    """
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    import dagger
    import httpx
    from gql.transport.exceptions import TransportError as GraphQLTransportError

    message = _first_words(plain(error))
    if unserved := _UNSERVED.search(f"{error} {error.__cause__}"):
        fix = "use a Dagger engine (--engine dagger), or write the Dockerfile without it"
        return ImageError(name, "Unserved", unserved[0], fix)
    if isinstance(error, dagger.ExecError):
        command = shlex.join(error.command)
        what = f"exit code {error.exit_code} of {_first_words(command)}"
        return ImageError(name, "StepFailed", what, _READ_LOG)
    if isinstance(error, dagger.QueryError):
        for words, kind, fix in _WORDS:
            if re.search(words, str(error), re.IGNORECASE):
                return ImageError(name, kind, message, fix)
        return ImageError(name, "EngineError", message, _READ_LOG)
    if isinstance(error, dagger.InvalidQueryError):
        cause = _first_words(str(error.__cause__ or error))
        fix = "use an engine of the version that `pip show dagger-io` names"
        return ImageError(name, "Unserved", f"this engine does not know our query: {cause}", fix)
    if isinstance(error, dagger.ClientError | httpx.TransportError | GraphQLTransportError):
        fix = "see `python ci/main.py engine status` (or the Dagger engine's log), and run again"
        return ImageError(name, "EngineLost", f"the engine went away: {message}", fix)
    what = f"{type(error).__name__}: {message}"
    return ImageError(name, "Unexpected", what, "please report this, with the log of the function")


def plain(error: BaseException) -> str:
    """The engine's message without the encoded objects that Dagger puts before its cause."""
    return re.sub(
        r"failed to load \w+ from converted ID: |load \w+(@|:)[\w+/=-]+: (inputs: )?",
        "",
        str(error),
    )


def output_of(error: Exception) -> str:
    """What the failing step printed, where the error carries it."""
    import dagger

    if isinstance(error, dagger.ExecError):
        return "\n".join(filter(None, (error.stdout, error.stderr)))
    return plain(error)


def _first_words(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no message")
    return line if len(line) <= 300 else f"{line[:300]}…"
