"""What the state of a stack allows. Pure.

Source: AWS CloudFormation User Guide, "Understand CloudFormation stack creation events", stack
status codes.
"""

from __future__ import annotations

from ci.errors import InputError

REVIEW = "REVIEW_IN_PROGRESS"
GONE = "DELETE_COMPLETE"
_SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", GONE}
_UPDATABLE = _SUCCEEDED | {"UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"}
_FAILED_FOR_GOOD = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}


def ended(status: str) -> bool:
    """Whether an operation is over."""
    return not status.endswith("_IN_PROGRESS")


def succeeded(status: str) -> bool:
    """Whether an operation that is over did what it was to do."""
    return status in _SUCCEEDED


def deleted(status: str) -> bool:
    """Whether a deletion that is over did what it was to do: one may be given up, too."""
    return status == GONE


def exists(status: str | None) -> bool:
    """Whether there is a stack that could be updated; not under review, which is an empty shell."""
    return status not in (None, GONE, REVIEW)


def refusal(name: str, status: str | None, why: str = "") -> InputError | None:
    """Why a stack in this state cannot be deployed; None where it can. ``why`` is what led there.

    A stack under review is for the caller to judge, by its change sets.
    """
    if status is None or status == REVIEW or status in _UPDATABLE:
        return None
    where = f"stack {name}"
    because = f"; the first failure was {why}" if why else ""
    delete = f"aws cloudformation delete-stack --stack-name {name}"
    if status in _FAILED_FOR_GOOD:
        what = f"is in {status}: its creation failed, and it takes no update{because}"
        return InputError(where, what, f"delete it ({delete}), and deploy again")
    if status == "DELETE_FAILED":
        what = f"is in {status}: its deletion failed half-way{because}"
        return InputError(where, what, f"delete it to the end ({delete}), and deploy again")
    if status in ("UPDATE_ROLLBACK_FAILED", "IMPORT_ROLLBACK_FAILED"):
        what = f"is in {status}: an update failed, and so did the way back{because}"
        fix = (
            "mend what failed, then: "
            f"aws cloudformation continue-update-rollback --stack-name {name}"
        )
        return InputError(where, what, fix)
    if status == "UPDATE_FAILED":
        what = f"is in {status}: an update failed, and nothing was taken back{because}"
        fix = f"take it back: aws cloudformation rollback-stack --stack-name {name}"
        return InputError(where, what, fix)
    if not ended(status):
        what = f"is in {status}: somebody else is at work on it"
        return InputError(where, what, "wait until that is done, and run again")
    return InputError(where, f"is in {status}, which takes no update", "see the stack's events")
