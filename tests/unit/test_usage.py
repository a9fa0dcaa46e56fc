"""What is told about the options: ``--help`` and the documentation, both from one table."""

from __future__ import annotations

from pathlib import Path

from ci import usage
from ci.settings import COMMANDS, OPTIONS

DOCUMENTATION = Path(__file__).parents[2] / "docs/configuration.md"


def test_help_names_every_option_and_command_and_fits_a_terminal() -> None:
    text = usage.text()
    for option in OPTIONS:
        assert option.flag in text
        assert option.env in text
    for command in COMMANDS:
        assert f"  {command.name}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_documentation_has_a_row_for_every_option_and_no_other() -> None:
    rows = [
        [cell.strip(" `") for cell in line.replace(r"\|", "¦").split("|")[1:-1]]
        for line in DOCUMENTATION.read_text().splitlines()
        if line.startswith("| `--")
    ]
    assert rows == [
        [
            f"{option.flag} {option.metavar}".strip().replace("|", "¦"),
            option.env,
            option.default or "",
            option.help,
        ]
        for option in OPTIONS
    ]
