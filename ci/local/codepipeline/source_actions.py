"""Source actions: what a pipeline starts from, as an artifact and as variables.

Sources: CodePipeline User Guide, action structure reference of CodeCommit, of
CodeStarSourceConnection and of Amazon ECR (``imageDetail.json``); "Variables reference".
"""

from __future__ import annotations

import json

from ci.deploy.desk import in_thread
from ci.errors import PipelineError
from ci.local.codepipeline import archives
from ci.local.codepipeline.task import Outcome, Task

IMAGE_DETAIL = "imageDetail.json"


async def repository(task: Task) -> Outcome:
    """A commit of a git repository: the one that the trigger names, or the branch's newest.

    Raises PipelineError where there is none.
    """
    given, name = task.action.configuration, task.action.name
    branch = given["BranchName"]
    revision = task.execution.trigger.revisions.get(name) or f"refs/heads/{branch}"
    repository = task.world.repository(given.get("RepositoryName") or given["FullRepositoryId"])
    archive = task.scratch / "source.zip"
    commit = await in_thread(lambda: repository.commit(revision))
    await in_thread(lambda: repository.archive(commit, archive))
    variables = {
        "AuthorDate": commit.author_date,
        "BranchName": branch,
        "CommitId": commit.id,
        "CommitMessage": commit.message,
    }
    if "FullRepositoryId" in given:
        variables |= {
            "ConnectionArn": given["ConnectionArn"],
            "FullRepositoryName": given["FullRepositoryId"],
        }
    else:
        variables |= {
            "CommitterDate": commit.committer_date,
            "RepositoryName": given["RepositoryName"],
        }
    task.execution.revisions[name] = commit.id
    return Outcome(f'{commit.id[:7]} "{commit.title}"', variables, (archive,), commit.id)


async def image(task: Task) -> Outcome:
    """An image of ECR: the one that the trigger names by its digest, or what the tag names.

    Raises PipelineError where it is absent.
    """
    given, world = task.action.configuration, task.world
    name, tag = given["RepositoryName"], given.get("ImageTag", "latest")
    wanted = task.execution.trigger.revisions.get(task.action.name) or tag
    digest = await world.images.digest(name, wanted)
    if not digest:
        what = f"holds no image {wanted}"
        fix = "push it first: its own pipeline does, or the command that builds it"
        raise PipelineError(f"ECR repository {name}", what, fix)
    account = world.account_registry.partition(".")[0]
    variables = {
        "ImageDigest": digest,
        "ImageTag": tag,
        "ImageURI": f"{world.account_registry}/{name}@{digest}",
        "RegistryId": account,
        "RepositoryName": name,
    }
    detail = {**variables, "ImageTags": [tag], "Version": "1.0"}
    del detail["ImageTag"]
    archive = task.scratch / "source.zip"
    archives.from_text(IMAGE_DETAIL, json.dumps(detail), archive)
    task.execution.revisions[task.action.name] = digest
    return Outcome(f"{name}:{tag} is {digest[:19]}", variables, (archive,), digest)
