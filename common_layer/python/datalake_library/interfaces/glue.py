"""Tables of the Glue catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from datalake_library.interfaces.clients import client

PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


def put_parquet_table(database: str, name: str, location: str, columns: Mapping[str, str]) -> None:
    """Create or replace an external table over the Parquet files below ``location``."""
    table = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": "parquet", "EXTERNAL": "TRUE"},
        "StorageDescriptor": {
            "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
            "Location": location,
            "InputFormat": f"{PARQUET}.MapredParquetInputFormat",
            "OutputFormat": f"{PARQUET}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{PARQUET}.serde.ParquetHiveSerDe"},
        },
    }
    glue = client("glue")
    try:
        glue.create_table(DatabaseName=database, TableInput=table)
    except glue.exceptions.AlreadyExistsException:
        glue.update_table(DatabaseName=database, TableInput=table)
