"""The artifact bucket of a pipeline: what actions hand to one another lies there."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ci.deploy.desk import Desk
from ci.errors import PipelineError
from ci.local.codepipeline.declaration import Pipeline


@dataclass(frozen=True)
class Artifact:
    """An artifact in its bucket; ``revision`` is that of the source that it was made of."""

    name: str
    bucket: str
    key: str
    revision: str

    @property
    def arn(self) -> str:
        """As CodeBuild is told where its source lies."""
        return f"arn:aws:s3:::{self.bucket}/{self.key}"


async def put(desk: Desk, pipeline: Pipeline, name: str, file: Path, revision: str) -> Artifact:
    """Uploads an artifact, encrypted as the pipeline says. Raises PipelineError.

    Source of the key's form: CodePipeline User Guide, "Pipeline artifact folder names appear to
    be truncated".
    """
    key = f"{pipeline.name[:20]}/{name[:10]}/{secrets.token_urlsafe(5)}"
    encryption = {"ServerSideEncryption": "aws:kms"} | (
        {"SSEKMSKeyId": pipeline.key} if pipeline.key else {}
    )

    def upload(client: Any) -> None:
        body = file.read_bytes()
        try:
            client.put_object(Bucket=pipeline.bucket, Key=key, Body=body, **encryption)
        except client.exceptions.NoSuchBucket as error:
            what = f"has the artifact store {pipeline.bucket}, which is not there"
            fix = "name a bucket that the stack makes"
            raise PipelineError(f"pipeline {pipeline.name}", what, fix) from error

    await desk.ask("s3", "s3:PutObject", upload)
    return Artifact(name, pipeline.bucket, key, revision)


async def get(desk: Desk, artifact: Artifact, target: Path) -> Path:
    """Downloads an artifact to ``target``. Raises PipelineError."""

    def download(client: Any) -> None:
        answer = client.get_object(Bucket=artifact.bucket, Key=artifact.key)
        target.write_bytes(answer["Body"].read())

    target.parent.mkdir(parents=True, exist_ok=True)
    await desk.ask("s3", "s3:GetObject", download)
    return target
