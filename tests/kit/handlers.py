"""What the functions ask of their surroundings, read from their source without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kit.templates import ROOT

LIBRARY = ROOT / "common_layer" / "python"
ACTIONS = {
    "get_item": "dynamodb:GetItem",
    "update_item": "dynamodb:UpdateItem",
    "get_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "send_message": "sqs:SendMessage",
    "receive_message": "sqs:ReceiveMessage",
    "delete_message": "sqs:DeleteMessage",
    "change_message_visibility": "sqs:ChangeMessageVisibility",
    "get_parameter": "ssm:GetParameter",
    "start_execution": "states:StartExecution",
    "create_table": "glue:CreateTable",
    "update_table": "glue:UpdateTable",
}
"""boto3's method → the action that it needs. All methods of all clients in the library."""


@dataclass(frozen=True)
class Needs:
    settings: frozenset[str]
    actions: frozenset[str]
    parameters: frozenset[str]


@dataclass(frozen=True)
class _Module:
    name: str
    functions: dict[str, ast.FunctionDef]
    imports: dict[str, str]


def needs(function: str) -> Needs:
    """Environment variables, AWS actions and SSM parameters that a handler may come to."""
    path = ROOT / "dockerfiles" / function / "src" / "lambda_function.py"
    seen: set[tuple[str, str]] = set()
    found: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    _follow(_module("lambda_function", path), "lambda_handler", seen, found)
    return Needs(*map(frozenset, found))


def _follow(
    module: _Module,
    function: str,
    seen: set[tuple[str, str]],
    found: tuple[set[str], set[str], set[str]],
) -> None:
    """Whatever a function refers to counts as called: it may be handed on."""
    if (module.name, function) in seen or function not in module.functions:
        return
    seen.add((module.name, function))
    settings, actions, parameters = found
    own = {argument.arg for argument in module.functions[function].args.args}
    for node in ast.walk(module.functions[function]):
        match node:
            case ast.Call(func=ast.Name("setting"), args=[argument]):
                assert isinstance(argument, ast.Constant), f"{module.name}: setting of what?"
                settings.add(argument.value)
            case ast.Call(func=ast.Name("parameter"), args=[ast.JoinedStr(values)]):
                parameters.add(
                    "".join(v.value if isinstance(v, ast.Constant) else "*" for v in values)
                )
        match node:
            case ast.Attribute(ast.Name(name), attribute) if name in module.imports:
                if target := _library(module.imports[name]):
                    _follow(target, attribute, seen, found)
            case ast.Name(name) if name in module.imports:
                package, _, attribute = module.imports[name].rpartition(".")
                if target := _library(package):
                    _follow(target, attribute, seen, found)
            case ast.Name(name) if name not in own:
                _follow(module, name, seen, found)
        if isinstance(node, ast.Attribute) and node.attr in ACTIONS:
            actions.add(ACTIONS[node.attr])


@cache
def _library(name: str) -> _Module | None:
    """A module of the common layer; None for what is not of it, or a package's function."""
    path = LIBRARY / f"{name.replace('.', '/')}.py"
    if not path.is_file():
        path = path.with_suffix("") / "__init__.py"
    return _module(name, path) if path.is_file() else None


def _module(name: str, path: Path) -> _Module:
    tree = ast.parse(path.read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    imports = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return _Module(name, functions, imports)


def methods() -> set[str]:
    """Every method of a boto3 client or table that the library calls."""
    found = set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found |= {node.func.attr} if _is_client(node.func.value) else set()
    return found


def _is_client(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name("client" | "table")):
            return True
        case ast.Name("ssm" | "states" | "glue" | "storage"):
            return True
    return False
