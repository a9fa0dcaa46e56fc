"""The pipeline's entry point: command line and environment in, exit code out.

``python ci/main.py``, ``dagger run python ci/main.py`` and the console script are the same.
The only module that reads ``os.environ`` and ``sys.argv``, and the only one that exits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, Python looks for modules beside it first: there `ci/report.py` would be
    # importable twice, as `report` too. The project's root takes that place.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from ci import settings, usage
from ci.errors import PipelineError
from ci.home import Home


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Runs the pipeline. 0 all done; 1 the work failed; 2 wrong input, nothing was started; 130
    interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    environ = os.environ if environ is None else environ
    if {"-h", "--help", "help"} & set(argv):
        print(usage.text(), end="")
        return 0
    try:
        chosen = settings.parse(argv, environ)
        from ci import commands

        return commands.run(chosen, environ, Home.from_environ(environ), sys.stdout, sys.stderr)
    except PipelineError as error:
        print(f"{_label(error)}{error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read our output went away (`plan | head`); Python would complain on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _label(error: PipelineError) -> str:
    return "" if error.exit_code != 2 else "Nothing was started.\n"


if __name__ == "__main__":
    sys.exit(main())
