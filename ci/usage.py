"""``--help``, written from the tables of options and commands."""

from __future__ import annotations

import textwrap

from ci.settings import COMMANDS, OPTIONS

_INTRO = """\
Builds AWS Lambda functions packaged as container images: one shared layer, N functions,
one container DAG, pushed to a registry.

  python ci/main.py [COMMAND] [OPTIONS]              any engine at hand
  dagger run python ci/main.py [COMMAND] [OPTIONS]   inside a Dagger session
"""

_ENDING = """\
Every option can be set in the environment, by the name on its right. Build number and commit
come from CodeBuild, GitHub Actions, GitLab CI, Jenkins or a git checkout.

Exit codes: 0 all done; 1 the work failed; 2 the input is wrong, nothing was started;
130 interrupted. Results: DIR/report.json and DIR/logs/<function>.log.
"""


def text() -> str:
    """The whole help, at most 100 columns wide."""
    lines = [_INTRO, "Commands"]
    for command in COMMANDS:
        name = " ".join([command.name, "|".join(command.actions)]).strip()
        if len(name) > 25:
            lines.append(f"  {name}")
            name = ""
        lines.append(f"  {name:<26}{command.summary}")
    for group in dict.fromkeys(option.group for option in OPTIONS):
        lines += ["", group]
        for option in (each for each in OPTIONS if each.group == group):
            flag = f"{option.flag} {option.metavar}".strip()
            shown = "" if option.default in (None, "no") else f" [{option.default}]"
            about = textwrap.wrap(f"{option.help}{shown}", 41)
            if len(flag) >= 26:
                about.insert(0, "")  # a line of its own
            for index, part in enumerate(about):
                left = flag if index == 0 else ""
                right = option.env if index == 0 else ""
                lines.append(f"  {f'{left:<26}{part}':<68} {right}".rstrip())
    return "\n".join([*lines, "", _ENDING])
