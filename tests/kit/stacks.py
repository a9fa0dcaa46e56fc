"""Stacks for tests: a tree in which every kind of local reference occurs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit.trees import write

ACCOUNT = "123456789012"
REGION = "us-east-1"
ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
HOST = "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}"
URI = f"!Sub '{HOST}/${{pPrefix}}-%s:${{pEcrImageTag}}'"
ROLE = "arn:aws:iam::123456789012:role/any"
DEFINITION = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}

PLAIN = f"""\
AWSTemplateFormatVersion: 2010-09-09
Parameters:
  pPrefix: {{Type: String, Default: dev, AllowedValues: [dev, stg]}}
  pEcrImageTag: {{Type: String}}
Resources:
  rRouting:
    Type: AWS::Lambda::Function
    Properties:
      PackageType: Image
      Role: {ROLE}
      Code:
        ImageUri: {URI % "routing"}
  rZip:
    Type: AWS::Lambda::Function
    Properties: {{Handler: h.h, Runtime: python3.13, Role: "{ROLE}", Code: ./code}}
  rLibrary:
    Type: AWS::Lambda::LayerVersion
    Properties: {{Content: ./code/h.py}}
  rMachine:
    Type: AWS::StepFunctions::StateMachine
    Properties: {{RoleArn: "{ROLE}", DefinitionS3Location: machines/machine.asl.json}}
  rJob:
    Type: AWS::Glue::Job
    Properties: {{Role: "{ROLE}", Command: {{Name: glueetl, ScriptLocation: scripts/job.py}}}}
  rChild:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: nested/child.yaml
      Parameters: {{pPrefix: !Ref pPrefix, pEcrImageTag: !Ref pEcrImageTag}}
Outputs:
  Fn::Transform: {{Name: AWS::Include, Parameters: {{Location: outputs.yaml}}}}
"""
CHILD = f"""\
Parameters:
  pPrefix: {{Type: String}}
  pEcrImageTag: {{Type: String}}
Resources:
  rHeavy:
    Type: AWS::Lambda::Function
    Properties:
      PackageType: Image
      Role: {ROLE}
      Code:
        ImageUri: !Join ['', ['{ECR}/', !Ref pPrefix, '-heavy:', !Ref pEcrImageTag]]
  rCode:
    Type: AWS::Lambda::Function
    Properties: {{Handler: h.h, Runtime: python3.13, Role: "{ROLE}", Code: ../code}}
"""
SAM = f"""\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {{Timeout: 60}}
Parameters:
  pPrefix: {{Type: String, Default: dev}}
  pEcrImageTag: {{Type: String}}
Resources:
  rRouting:
    Type: AWS::Serverless::Function
    Properties:
      PackageType: Image
      Role: {ROLE}
      ImageUri: {URI % "routing"}
  rZip:
    Type: AWS::Serverless::Function
    Properties: {{Handler: h.h, Runtime: python3.13, Role: "{ROLE}", CodeUri: code/}}
  rInline:
    Type: AWS::Serverless::Function
    Properties: {{Handler: index.h, Runtime: python3.13, Role: "{ROLE}", InlineCode: "x = 1"}}
  rMachine:
    Type: AWS::Serverless::StateMachine
    Properties: {{Role: "{ROLE}", DefinitionUri: machine.asl.json}}
"""


def room(root: Path) -> Path:
    """A source tree with a plain stack and one in SAM; the tree."""
    plain = root / "cfn/plain"
    write(plain / "template.yaml", PLAIN)
    write(plain / "parameters.json", '{\n   "Parameters": {"pPrefix":"dev"},\n   "Tags": {}\n}\n')
    code(plain)
    write(plain / "machines/machine.asl.json", json.dumps(DEFINITION))
    write(plain / "scripts/job.py", "print('a Glue job')\n")
    write(plain / "nested/child.yaml", CHILD)
    write(plain / "outputs.yaml", "oName: {Value: x}\n")
    sam = root / "cfn/sam"
    write(sam / "template.yaml", SAM)
    write(sam / "parameters.json", '{"Parameters": {}}')
    code(sam)
    write(sam / "machine.asl.json", json.dumps(DEFINITION))
    return root


def code(stack: Path) -> None:
    """A function's code, as a zip is made of it."""
    write(stack / "code/h.py", "def h(event, context):\n    return event\n")
    write(stack / "code/lib/__init__.py", "")


def stack(root: Path, template: str, name: str = "one", **parameters: Any) -> Path:
    """A tree with one stack; the tree."""
    write(root / "cfn" / name / "template.yaml", template)
    write(root / "cfn" / name / "parameters.json", json.dumps({"Parameters": parameters}))
    return root
