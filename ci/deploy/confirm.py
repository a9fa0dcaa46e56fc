"""Whether the user means it: what cannot be taken back wants the account's number."""

from __future__ import annotations

from typing import IO

from ci.deploy.desk import in_thread
from ci.errors import InputError


async def require(account: str, given: str, stdin: IO[str], prompt: IO[str]) -> None:
    """Raises InputError unless the account is given (``--yes``), or typed at a terminal."""
    typed = given
    if not given:
        if not stdin.isatty():
            what = "wants the account's number, and there is nobody to ask"
            raise InputError("destroy", what, f"give it: destroy --yes {account}")
        prompt.write(f"Type the number of the account ({account}) to go on: ")
        prompt.flush()
        typed = (await in_thread(stdin.readline)).strip()
    if typed != account:
        origin = "--yes" if given else "destroy"
        what = f"{typed!r} is not this account, which is {account}"
        fix = "see that the credentials are those of the account that you mean"
        raise InputError(origin, what, fix)
