"""The kinds of actions that the rehearsal performs, and what CodePipeline asks of each.

Sources: CodePipeline User Guide, "Action structure reference" (configuration of each provider),
"Number of input and output artifacts for each action type", "Variables reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci.local.codepipeline.declaration import Action


@dataclass(frozen=True)
class Provider:
    """What an action of this kind takes and gives.

    ``required`` and ``optional`` are keys of its configuration; ``variables`` are those that it
    gives, None where the declaration or the build chooses their names. ``revision`` is the
    revision type by which an event names what to take. ``only`` are values that the rehearsal
    performs of keys that have others.
    """

    inputs: range
    outputs: range
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    variables: frozenset[str] | None = frozenset()
    revision: str = ""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CODEBUILD = Provider(
    inputs=range(1, 6),
    outputs=range(6),
    required=_words("ProjectName"),
    optional=_words("PrimarySource EnvironmentVariables BatchEnabled CombineArtifacts"),
    variables=None,
    only={"BatchEnabled": _words("false"), "CombineArtifacts": _words("false")},
)

PROVIDERS: Mapping[tuple[str, str], Provider] = {
    ("Source", "CodeCommit"): Provider(
        inputs=range(1),
        outputs=range(1, 2),
        required=_words("RepositoryName BranchName"),
        optional=_words("PollForSourceChanges OutputArtifactFormat"),
        variables=_words(
            "AuthorDate BranchName CommitId CommitMessage CommitterDate RepositoryName"
        ),
        revision="COMMIT_ID",
        only={"OutputArtifactFormat": _words("CODE_ZIP")},
    ),
    ("Source", "CodeStarSourceConnection"): Provider(
        inputs=range(1),
        outputs=range(1, 2),
        required=_words("ConnectionArn FullRepositoryId BranchName"),
        optional=_words("OutputArtifactFormat DetectChanges"),
        variables=_words(
            "AuthorDate BranchName CommitId CommitMessage ConnectionArn FullRepositoryName"
        ),
        revision="COMMIT_ID",
        only={"OutputArtifactFormat": _words("CODE_ZIP")},
    ),
    ("Source", "ECR"): Provider(
        inputs=range(1),
        outputs=range(1, 2),
        required=_words("RepositoryName"),
        optional=_words("ImageTag"),
        variables=_words("ImageDigest ImageTag ImageURI RegistryId RepositoryName"),
        revision="IMAGE_DIGEST",
    ),
    ("Build", "CodeBuild"): _CODEBUILD,
    ("Test", "CodeBuild"): _CODEBUILD,
    ("Approval", "Manual"): Provider(
        inputs=range(1),
        outputs=range(1),
        required=frozenset(),
        optional=_words("NotificationArn CustomData ExternalEntityLink"),
    ),
    ("Deploy", "CloudFormation"): Provider(
        inputs=range(11),
        outputs=range(2),
        required=_words("ActionMode StackName"),
        optional=_words(
            "ChangeSetName TemplatePath TemplateConfiguration ParameterOverrides Capabilities "
            "RoleArn OutputFileName"
        ),
        variables=None,
        only={
            "ActionMode": _words(
                "CHANGE_SET_REPLACE CHANGE_SET_EXECUTE CREATE_UPDATE REPLACE_ON_FAILURE DELETE_ONLY"
            )
        },
    ),
}

OF_MODE: Mapping[str, frozenset[str]] = {
    "CHANGE_SET_REPLACE": _words("ChangeSetName TemplatePath RoleArn"),
    "CHANGE_SET_EXECUTE": _words("ChangeSetName"),
    "CREATE_UPDATE": _words("TemplatePath RoleArn"),
    "REPLACE_ON_FAILURE": _words("TemplatePath RoleArn"),
    "DELETE_ONLY": _words("RoleArn"),
}
"""What a CloudFormation action needs besides, by its ``ActionMode``."""

ELSEWHERE = _words(
    "S3 GitHub Jenkins DeviceFarm CodeDeploy CodeDeployToECS ECS EKS ElasticBeanstalk AppConfig "
    "ServiceCatalog CloudFormationStackSet CloudFormationStackInstances OpsWorks AlexaSkillsKit "
    "Lambda StepFunctions InspectorScan ECRBuildAndPublish Commands CodePipeline"
)
"""Providers that CodePipeline knows and the rehearsal does not perform."""


def of(action: Action) -> Provider | None:
    """What is known of an action's kind; None where the rehearsal does not perform it."""
    if action.owner != "AWS" or action.version != "1":
        return None
    return PROVIDERS.get((action.category, action.provider))
