"""Datasets: which one an object belongs to, and how it is processed (table octagon-Datasets)."""

from __future__ import annotations

from dataclasses import dataclass

from datalake_library.configuration.settings import setting
from datalake_library.errors import ConfigurationError, DataError
from datalake_library.interfaces import dynamo


@dataclass(frozen=True)
class Dataset:
    team: str
    name: str
    pipeline: str
    stage_a_transform: str
    stage_b_transform: str
    min_items: int
    max_items: int


def of_key(key: str) -> tuple[str, str]:
    """Team and dataset of an object of the central bucket: the first two folders of its key."""
    team, dataset, *rest = [*key.split("/"), "", ""][:3]
    if not (team and dataset and rest[0]):
        raise DataError(key, "is not below a folder TEAM/DATASET/")
    return team, dataset


def load(team: str, dataset: str) -> Dataset:
    """Raises ConfigurationError where the table has no such dataset or its record is incomplete."""
    name = f"{team}-{dataset}"
    table = setting("DATASETS_TABLE")
    record = dynamo.get(table, {"name": name})
    if record is None:
        raise ConfigurationError(f"{table} has no dataset {name}")
    try:
        return Dataset(
            team=team,
            name=dataset,
            pipeline=record["pipeline"],
            stage_a_transform=record["transforms"]["stage_a_transform"],
            stage_b_transform=record["transforms"]["stage_b_transform"],
            min_items=int(record["min_items_process"]),
            max_items=int(record["max_items_process"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{table}: dataset {name} is incomplete: {error!r}") from error
