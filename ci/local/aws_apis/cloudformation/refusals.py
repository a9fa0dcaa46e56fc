"""What CloudFormation refuses, by the codes and in the words that AWS uses.

Source: AWS CloudFormation API Reference, errors of each action, and the messages of the service.
"""

from __future__ import annotations


class Refused(Exception):
    """An action of the API is refused. ``code`` is the error code that clients see."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code = code


def no_stack(name: str) -> Refused:
    return Refused(f"Stack with id {name} does not exist")


def no_change_set(name: str) -> Refused:
    return Refused(f"ChangeSet [{name}] does not exist", "ChangeSetNotFound")


def wrong_state(stack_id: str, status: str) -> Refused:
    return Refused(f"Stack:{stack_id} is in {status} state and can not be updated.")


NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)
NO_UPDATES = "No updates are to be performed."
