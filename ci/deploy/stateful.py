"""Resource types that hold what nobody can make again: data, messages, images, history, keys.

A replacement of such a resource is a new and empty one. CloudFormation has no list of them; this
one has the types of the AWS Resource and Property Types Reference whose resources store something
that is written to them later, and those for which the "DeletionPolicy attribute" knows Snapshot.
State machines and functions are not among them: their definitions come from the template.
"""

from __future__ import annotations

TYPES = frozenset({
    "AWS::Backup::BackupVault",
    "AWS::CodeArtifact::Repository",
    "AWS::CodeCommit::Repository",
    "AWS::Cognito::IdentityPool",
    "AWS::Cognito::UserPool",
    "AWS::DocDB::DBCluster",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::EC2::Volume",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
    "AWS::ElastiCache::CacheCluster",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::Events::Archive",
    "AWS::FSx::FileSystem",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Key",
    "AWS::KMS::ReplicaKey",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::MSK::Cluster",
    "AWS::MemoryDB::Cluster",
    "AWS::Neptune::DBCluster",
    "AWS::Neptune::DBInstance",
    "AWS::OpenSearchService::Domain",
    "AWS::QLDB::Ledger",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::RDS::GlobalCluster",
    "AWS::Redshift::Cluster",
    "AWS::S3::Bucket",
    "AWS::S3Express::DirectoryBucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
    "AWS::Timestream::Table",
})  # fmt: skip


def holds_data(kind: str) -> bool:
    """Whether resources of a type hold what is lost with them. Custom types may: nobody knows."""
    return kind in TYPES
