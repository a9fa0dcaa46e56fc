"""AWS::IAM: roles, policies, identity providers.

Source: AWS CloudFormation Template Reference, "AWS Identity and Access Management".
"""

from __future__ import annotations

from typing import Any

from ci.local.aws_apis.cloudformation.resources.kind import Kind, Product, Work
from ci.local.aws_apis.cloudformation.resources.tags import differ, listed, removed

_GONE = "NoSuchEntity"


def _create_role(work: Work) -> Product:
    name = work.properties.get("RoleName") or work.name(64)
    given = work.given(
        "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration",
        "PermissionsBoundary",
    )  # fmt: skip
    role = work.call("iam", "create_role", RoleName=name, Tags=listed(work.tags), **given)["Role"]
    made = work.begin(Product(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]}))
    for arn in work.properties.get("ManagedPolicyArns", []):
        work.call("iam", "attach_role_policy", RoleName=name, PolicyArn=arn)
    _put_policies(work, name)
    return made


def _update_role(work: Work) -> Product:
    name = work.physical_id
    if work.changed("AssumeRolePolicyDocument"):
        document = work.properties["AssumeRolePolicyDocument"]
        work.call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=document)
    if work.changed("Description", "MaxSessionDuration"):
        given = {"Description": "", "MaxSessionDuration": 3600}
        given |= work.given("Description", "MaxSessionDuration")
        work.call("iam", "update_role", RoleName=name, **given)
    if work.changed("PermissionsBoundary"):
        if boundary := work.properties.get("PermissionsBoundary"):
            work.call("iam", "put_role_permissions_boundary", RoleName=name,
                      PermissionsBoundary=boundary)  # fmt: skip
        else:
            work.call("iam", "delete_role_permissions_boundary", RoleName=name)
    before = set(work.before.get("ManagedPolicyArns", []))
    after = set(work.properties.get("ManagedPolicyArns", []))
    for arn in sorted(after - before):
        work.call("iam", "attach_role_policy", RoleName=name, PolicyArn=arn)
    for arn in sorted(before - after):
        with work.absent("iam", _GONE):
            work.call("iam", "detach_role_policy", RoleName=name, PolicyArn=arn)
    _put_policies(work, name)
    kept = {str(policy["PolicyName"]) for policy in work.properties.get("Policies", [])}
    for policy in work.before.get("Policies", []):
        if policy["PolicyName"] not in kept:
            with work.absent("iam", _GONE):
                work.call("iam", "delete_role_policy", RoleName=name,
                          PolicyName=policy["PolicyName"])  # fmt: skip
    if differ(work):
        if gone := removed(work):
            work.call("iam", "untag_role", RoleName=name, TagKeys=gone)
        work.call("iam", "tag_role", RoleName=name, Tags=listed(work.tags))
    return Product(name, work.attributes)


def _put_policies(work: Work, name: str) -> None:
    for policy in work.properties.get("Policies", []):
        if policy not in work.before.get("Policies", []):
            work.call("iam", "put_role_policy", RoleName=name, **policy)


def _delete_role(work: Work) -> None:
    """Its own policies go with it; one that somebody else attached keeps it."""
    name = work.physical_id
    with work.absent("iam", _GONE):
        for arn in work.properties.get("ManagedPolicyArns", []):
            with work.absent("iam", _GONE):
                work.call("iam", "detach_role_policy", RoleName=name, PolicyArn=arn)
        for policy in work.call("iam", "list_role_policies", RoleName=name)["PolicyNames"]:
            work.call("iam", "delete_role_policy", RoleName=name, PolicyName=policy)
        work.call("iam", "delete_role", RoleName=name)


def _create_managed_policy(work: Work) -> Product:
    name = work.properties.get("ManagedPolicyName") or work.name(128)
    given = work.given("Path", "Description", "PolicyDocument")
    policy = work.call("iam", "create_policy", PolicyName=name, **given)["Policy"]
    arn = policy["Arn"]
    made = work.begin(Product(arn, {"PolicyArn": arn, "PolicyId": policy["PolicyId"]}))
    _attach(work, arn)
    return made


def _update_managed_policy(work: Work) -> Product:
    arn = work.physical_id
    if work.changed("PolicyDocument"):
        versions = work.call("iam", "list_policy_versions", PolicyArn=arn)["Versions"]
        document = work.properties["PolicyDocument"]
        work.call("iam", "create_policy_version", PolicyArn=arn, PolicyDocument=document,
                  SetAsDefault=True)  # fmt: skip
        for version in versions:
            work.call("iam", "delete_policy_version", PolicyArn=arn, VersionId=version["VersionId"])
    _detach(work, arn, work.before, work.properties)
    _attach(work, arn)
    return Product(arn, work.attributes)


_HOLDERS = {
    "Groups": ("group", "GroupName"),
    "Roles": ("role", "RoleName"),
    "Users": ("user", "UserName"),
}


def _attach(work: Work, arn: str) -> None:
    for holders, (kind, member) in _HOLDERS.items():
        for name in work.properties.get(holders, []):
            work.call("iam", f"attach_{kind}_policy", PolicyArn=arn, **{member: name})


def _detach(work: Work, arn: str, before: Any, after: Any) -> None:
    for holders, (kind, member) in _HOLDERS.items():
        for name in before.get(holders, []):
            if name not in after.get(holders, []):
                with work.absent("iam", _GONE):
                    work.call("iam", f"detach_{kind}_policy", PolicyArn=arn, **{member: name})


def _delete_managed_policy(work: Work) -> None:
    arn = work.physical_id
    _detach(work, arn, work.properties, {})
    with work.absent("iam", _GONE):
        work.call("iam", "delete_policy", PolicyArn=arn)


def _put_inline_policy(work: Work) -> Product:
    name, document = work.properties["PolicyName"], work.properties["PolicyDocument"]
    for holders, (kind, member) in _HOLDERS.items():
        for holder in work.properties.get(holders, []):
            work.call("iam", f"put_{kind}_policy", PolicyName=name, PolicyDocument=document,
                      **{member: holder})  # fmt: skip
        for holder in work.before.get(holders, []):
            if holder not in work.properties.get(holders, []):
                _delete_inline(work, kind, {member: holder}, name)
    return Product(work.physical_id or work.name(64))


def _delete_inline_policy(work: Work) -> None:
    for holders, (kind, member) in _HOLDERS.items():
        for holder in work.properties.get(holders, []):
            _delete_inline(work, kind, {member: holder}, work.properties["PolicyName"])


def _delete_inline(work: Work, kind: str, holder: dict[str, str], name: str) -> None:
    with work.absent("iam", _GONE):
        work.call("iam", f"delete_{kind}_policy", PolicyName=name, **holder)


def _create_provider(work: Work) -> Product:
    given = work.given("Url", ClientIDList="ClientIdList", ThumbprintList="ThumbprintList")
    given.setdefault("ThumbprintList", [])
    arn = work.call("iam", "create_open_id_connect_provider", Tags=listed(work.tags), **given)[
        "OpenIDConnectProviderArn"
    ]
    return Product(arn, {"Arn": arn})


def _update_provider(work: Work) -> Product:
    arn = work.physical_id
    if thumbprints := work.properties.get("ThumbprintList"):
        work.call("iam", "update_open_id_connect_provider_thumbprint",
                  OpenIDConnectProviderArn=arn, ThumbprintList=thumbprints)  # fmt: skip
    before = set(work.before.get("ClientIdList", []))
    after = set(work.properties.get("ClientIdList", []))
    for client in sorted(after - before):
        work.call("iam", "add_client_id_to_open_id_connect_provider",
                  OpenIDConnectProviderArn=arn, ClientID=client)  # fmt: skip
    for client in sorted(before - after):
        work.call("iam", "remove_client_id_from_open_id_connect_provider",
                  OpenIDConnectProviderArn=arn, ClientID=client)  # fmt: skip
    if differ(work):
        if gone := removed(work):
            work.call("iam", "untag_open_id_connect_provider", OpenIDConnectProviderArn=arn,
                      TagKeys=gone)  # fmt: skip
        work.call("iam", "tag_open_id_connect_provider", OpenIDConnectProviderArn=arn,
                  Tags=listed(work.tags))  # fmt: skip
    return Product(arn, work.attributes)


def _delete_provider(work: Work) -> None:
    with work.absent("iam", _GONE):
        work.call("iam", "delete_open_id_connect_provider",
                  OpenIDConnectProviderArn=work.physical_id)  # fmt: skip


KINDS = (
    Kind(
        type="AWS::IAM::Role",
        create=_create_role,
        update=_update_role,
        delete=_delete_role,
        honoured=frozenset(
            {
                "AssumeRolePolicyDocument", "Description", "ManagedPolicyArns",
                "MaxSessionDuration", "Path", "PermissionsBoundary", "Policies", "RoleName",
            }
        ),
        required=("AssumeRolePolicyDocument",),
        replaced=frozenset({"Path", "RoleName"}),
        attributes=("Arn", "RoleId"),
        naming="RoleName",
        tags="list",
        capability="CAPABILITY_IAM",
    ),
    Kind(
        type="AWS::IAM::ManagedPolicy",
        create=_create_managed_policy,
        update=_update_managed_policy,
        delete=_delete_managed_policy,
        honoured=frozenset(
            {
                "Description", "Groups", "ManagedPolicyName", "Path", "PolicyDocument", "Roles",
                "Users",
            }
        ),
        required=("PolicyDocument",),
        replaced=frozenset({"Description", "ManagedPolicyName", "Path"}),
        attributes=("PolicyArn", "PolicyId"),
        naming="ManagedPolicyName",
        capability="CAPABILITY_IAM",
    ),
    Kind(
        type="AWS::IAM::Policy",
        create=_put_inline_policy,
        update=_put_inline_policy,
        delete=_delete_inline_policy,
        honoured=frozenset({"Groups", "PolicyDocument", "PolicyName", "Roles", "Users"}),
        required=("PolicyDocument", "PolicyName"),
        replaced=frozenset({"PolicyName"}),
        attributes=("Id",),
        capability="CAPABILITY_IAM",
    ),
    Kind(
        type="AWS::IAM::OIDCProvider",
        create=_create_provider,
        update=_update_provider,
        delete=_delete_provider,
        honoured=frozenset({"ClientIdList", "ThumbprintList", "Url"}),
        replaced=frozenset({"Url"}),
        attributes=("Arn",),
        tags="list",
    ),
)  # fmt: skip
