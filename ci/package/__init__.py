"""Packages the stacks: templates and artifacts as CloudFormation takes them, images pinned.

``stacks.read`` finds and judges them before anything is built. ``run.package`` uploads what they
refer to, through the AWS CLI in a tools container, and lays out ``cfn/`` in the report's directory
as CodePipeline takes it. The checkout is never written to.
"""
