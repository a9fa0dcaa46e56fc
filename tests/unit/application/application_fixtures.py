"""The sample application in process: its library, its handlers, and AWS as moto plays it."""

import importlib.util
import json
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).parents[3]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("dockerfiles/*/Dockerfile"))
KEYS = {
    "octagon-Pipelines-dev": "name",
    "octagon-Datasets-dev": "name",
    "octagon-ObjectMetadata-dev": "id",
    "octagon-PipelineExecutionHistory-dev": "id",
}
ENVIRON = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "DATASETS_TABLE": "octagon-Datasets-dev",
    "PIPELINES_TABLE": "octagon-Pipelines-dev",
    "OBJECT_METADATA_TABLE": "octagon-ObjectMetadata-dev",
    "EXECUTION_HISTORY_TABLE": "octagon-PipelineExecutionHistory-dev",
    "STAGE_BUCKET": "stage",
    "GLUE_DATABASE": "engineering_meteorites",
}
STATE_MACHINE = {
    "Comment": "waits, so that a second start of the same name meets a running execution",
    "StartAt": "Wait",
    "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}},
}


def load(function: str):
    """The module ``lambda_function`` of one of the images."""
    path = ROOT / "dockerfiles" / function / "src" / "lambda_function.py"
    spec = importlib.util.spec_from_file_location(function, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Lake:
    """The resources that the stacks will make."""

    def __init__(self) -> None:
        import boto3

        self.s3 = boto3.client("s3")
        self.sqs = boto3.client("sqs")
        self.states = boto3.client("stepfunctions")
        self.glue = boto3.client("glue")
        self.dynamodb = boto3.resource("dynamodb")
        for bucket in ("central", "stage"):
            self.s3.create_bucket(Bucket=bucket)
        for table, key in KEYS.items():
            self.dynamodb.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        for file in ROOT.glob("sample_data/octagon-*/*.json"):
            record = json.loads(file.read_text(), parse_float=Decimal)
            self.table(file.parent.name).put_item(Item=record)
        names = ("stage-a", "stage-a-dlq", "stage-b", "stage-b-dlq")
        self.queues = {
            name: self.sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})[
                "QueueUrl"
            ]
            for name in names
        }
        ssm = boto3.client("ssm")
        for parameter, queue in (
            ("main/StageAQueueUrl", "stage-a"),
            ("meteorites/StageBQueueUrl", "stage-b"),
            ("meteorites/StageBDeadLetterQueueUrl", "stage-b-dlq"),
        ):
            name = f"/DataLake/engineering/{parameter}"
            ssm.put_parameter(Name=name, Value=self.queues[queue], Type="String")
        self.machine = self.states.create_state_machine(
            name="stage",
            definition=json.dumps(STATE_MACHINE),
            roleArn="arn:aws:iam::123456789012:role/states",
        )["stateMachineArn"]
        self.glue.create_database(DatabaseInput={"Name": ENVIRON["GLUE_DATABASE"]})

    def table(self, name: str):
        return self.dynamodb.Table(f"{name}-dev")

    def record(self, table: str, key: str):
        return self.table(table).get_item(Key={KEYS[f"{table}-dev"]: key}).get("Item")

    def messages(self, queue: str) -> list:
        """Bodies of what waits in a queue; it is taken out."""
        url = self.queues[queue]
        bodies = []
        while received := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in received:
                bodies.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def executions(self) -> list[dict]:
        """Names and inputs of the state machine's executions."""
        listed = self.states.list_executions(stateMachineArn=self.machine)["executions"]
        described = [
            self.states.describe_execution(executionArn=one["executionArn"]) for one in listed
        ]
        return [{"name": one["name"], "input": json.loads(one["input"])} for one in described]
