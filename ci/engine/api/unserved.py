"""What Dagger's API has and the embedded engine does not, so that it can be refused by name.

Dagger's Python SDK builds queries against the schema that the engine describes, and blames
itself ("please file a bug report") for a field that is not described. So the described schema
has every field and argument that the installed SDK knows; using one answers
``embedded engine does not serve Container.withAnnotation``. The names are read from the SDK's
own module, never executed and never copied.
"""

from __future__ import annotations

import ast
import json
from importlib import metadata, util
from pathlib import Path
from typing import TypeAlias

Api: TypeAlias = dict[str, dict[str, tuple[str, list[str]]]]
"""GraphQL type → field → (the type it returns or "", the names of its arguments)."""


def known_api(cache: Path) -> Api:
    """The API of the installed SDK, read once per version; empty where there is no SDK."""
    spec = util.find_spec("dagger")
    if spec is None or spec.origin is None:
        return {}
    stored = cache / f"sdk-{metadata.version('dagger-io')}.json"
    try:
        api: Api = json.loads(stored.read_text())
    except (OSError, ValueError):
        api = read_api((Path(spec.origin).parent / "client" / "gen.py").read_text())
        fresh = stored.with_name(f"{stored.name}.{id(api)}")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(api))
        fresh.replace(stored)
    return api


def read_api(source: str) -> Api:
    """Types, fields and arguments from the text of the SDK's generated client."""
    api: Api = {}
    for cls in ast.parse(source).body:
        if not isinstance(cls, ast.ClassDef):
            continue
        calls = [call for method in cls.body if (call := _call(cls, method))]
        if calls:
            api["Query" if cls.name == "Client" else cls.name] = dict(calls)
    for fields in api.values():
        for name, (returned, arguments) in fields.items():
            fields[name] = (returned if returned in api else "", arguments)
    return api


def _call(cls: ast.ClassDef, method: ast.stmt) -> tuple[str, tuple[str, list[str]]] | None:
    """The field that a method selects, the type it returns and the arguments it names."""
    if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    selected, arguments = "", []
    for node in ast.walk(method):
        if not isinstance(node, ast.Call):
            continue
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if not (texts and isinstance(texts[0], str)):
            continue
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in ("_select", "execute_sync"):
                selected = texts[0]
        elif isinstance(node.func, ast.Name) and node.func.id == "Arg":
            arguments.append(texts[0])
    return (selected, (_returned(cls, method), arguments)) if selected else None


def _returned(cls: ast.ClassDef, method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The object type that a method leads to; "" for a value.

    A method that is awaited gives a value, unless it gives a list of objects.
    """
    text = ast.unparse(method.returns).replace("'", "").replace('"', "") if method.returns else ""
    if text.startswith("list["):
        return text[5:-1]
    if isinstance(method, ast.AsyncFunctionDef):
        return ""
    return cls.name if text == "Self" else text
