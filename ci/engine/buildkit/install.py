"""Installs what the embedded engine runs on: BuildKit, runc, and two small things made from source.

BuildKit ships in no package registry but the Go module proxy, as source: so it is compiled, once,
into the home. Nothing is installed system-wide.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ci.daemons import locked, replace_text
from ci.debian import unpack
from ci.errors import InputError
from ci.home import Home
from ci.tools import Tool

BUILDKIT_VERSION = "v0.34.2"
BUILDKIT = "github.com/moby/buildkit"
GO_NEEDED = (1, 26, 8)
"""The ``go`` line of that BuildKit version's go.mod."""
_GO_SWITCHES_SINCE = (1, 21)  # an older Go cannot fetch the version that a module asks for
_SHIM = Path(__file__).with_name("shim")
_REPRODUCIBLE = ("-trimpath", "-buildvcs=false")
_SAY_EVERY_SECONDS = 10.0

Say = Callable[[str], None]


def missing(home: Home) -> list[Tool]:
    """What ``install`` would install. Looks at a few files and runs nothing."""
    stamp = _read_stamp(home)
    tools = []
    if not _have(home, "buildkitd", "buildctl") or stamp.get("buildkit") != BUILDKIT_VERSION:
        tools.append(
            Tool(
                "buildkit",
                f"{BUILDKIT_VERSION}, which builds, caches and pushes images: downloaded from the "
                "Go module proxy and compiled (150 MB of source, 2 to 5 minutes, once)",
            )
        )
    if not _have(home, "runc"):
        tools.append(Tool("runc", "runs the build steps: Debian's package, unpacked (3 MB)"))
    if not _have(home, "shim") or stamp.get("shim") != _shim_hash():
        tools.append(Tool("shim", "a helper inside build steps, compiled from this repository"))
    if not _ops_pb2(home).exists() or stamp.get("ops_pb2") != BUILDKIT_VERSION:
        tools.append(
            Tool("ops_pb2", "BuildKit's build format for Python, generated from its source")
        )
    return tools


def install(home: Home, environ: Mapping[str, str], say: Say) -> None:
    """Installs what is missing; says before what and why, and after how long it took.

    Each thing is tried before it takes its place, so that an interrupted or failed installation
    leaves the earlier state. Raises ``InputError`` for a prerequisite it cannot install: Go, a
    network, Debian's package sources.
    """
    if not missing(home):
        return
    home.bin.mkdir(parents=True, exist_ok=True)
    with locked(home.root / "install.lock"):
        tools = missing(home)  # another set-up may have done it while we waited
        steps = {"buildkit": _buildkit, "runc": _runc, "shim": _shim, "ops_pb2": _generate_ops_pb2}
        _check_go(tools, environ)
        for tool in tools:
            say(f"{tool.name}: {tool.why}")
            start = time.monotonic()
            steps[tool.name](home, environ, say)
            say(f"{tool.name}: ready after {time.monotonic() - start:.1f} s")


# --- the four things -----------------------------------------------------------------------------


def _buildkit(home: Home, environ: Mapping[str, str], say: Say) -> None:
    module = _module(home)
    if not (module / "go.sum").exists():
        _download(module, environ)
    commands = ("buildkitd", "buildctl")
    out = module / "bin"
    out.mkdir(exist_ok=True)
    started = time.monotonic()
    version = f"-X {BUILDKIT}/version.Version={BUILDKIT_VERSION}"
    # "go install …@v0.34.2" refuses BuildKit, for the exclude directives in its go.mod.
    _compile(
        [
            *(*_REPRODUCIBLE, "-ldflags", f"-s -w {version}", "-o", f"{out}{os.sep}"),
            *(f"{BUILDKIT}/cmd/{command}" for command in commands),
        ],
        module,
        environ,
        lambda packages: say(
            f"buildkit: {packages} packages compiled, {time.monotonic() - started:.0f} s"
        ),
    )
    for command in commands:
        _expect(out / command, f"{BUILDKIT} {BUILDKIT_VERSION}", environ)
        (out / command).replace(home.bin / command)
    _stamp(home, "buildkit", BUILDKIT_VERSION)


def _runc(home: Home, environ: Mapping[str, str], say: Say) -> None:
    program = home.bin / "runc"
    program.unlink(missing_ok=True)  # a link whose target was uninstalled
    if found := shutil.which("runc", path=environ.get("PATH")):
        say(f"runc: using {found}")
    else:
        unpacked = home.root / "unpacked" / "runc"
        unpack("runc", unpacked, environ)
        found = str(unpacked / "usr" / "sbin" / "runc")
    _expect(Path(found), "runc version", environ)
    program.symlink_to(found)


def _shim(home: Home, environ: Mapping[str, str], say: Say) -> None:
    draft = home.bin / f"shim.{os.getpid()}"
    _go(["build", *_REPRODUCIBLE, "-ldflags", "-s -w", "-o", str(draft), "."], _SHIM, environ)
    draft.replace(home.bin / "shim")
    _stamp(home, "shim", _shim_hash())


def _generate_ops_pb2(home: Home, environ: Mapping[str, str], say: Say) -> None:
    module = _module(home)
    if not (module / "go.sum").exists():
        _download(module, environ)
    source = Path(_go(["list", "-m", "-f", "{{.Dir}}", BUILDKIT], module, environ).strip())
    if not source.is_absolute():  # the module cache was emptied since
        _go(["mod", "download", BUILDKIT], module, environ)
        source = Path(_go(["list", "-m", "-f", "{{.Dir}}", BUILDKIT], module, environ).strip())
    package, draft = _ops_pb2(home).parent, module / "python"
    for directory in (package, draft):
        directory.mkdir(parents=True, exist_ok=True)
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source / 'solver' / 'pb'}"]
    _run([*protoc, f"--python_out={draft}", "ops.proto"], draft, environ)
    # The generated code refuses a protobuf library older than its compiler.
    _run([sys.executable, "-c", "import ops_pb2"], draft, environ)
    (draft / "ops_pb2.py").replace(_ops_pb2(home))
    _stamp(home, "ops_pb2", BUILDKIT_VERSION)


# --- Go ------------------------------------------------------------------------------------------


def _check_go(tools: list[Tool], environ: Mapping[str, str]) -> None:
    """Raises ``InputError`` unless there is a Go that compiles, or fetches the Go that compiles."""
    if not {tool.name for tool in tools} & {"buildkit", "shim", "ops_pb2"}:
        return
    needed = ".".join(map(str, GO_NEEDED))
    fix = f"install Go {needed} or newer from https://go.dev/dl/ and put it on PATH"
    if not shutil.which("go", path=environ.get("PATH")):
        raise InputError("Go", "is not on PATH; the embedded engine is compiled with it", fix)
    # Not in the current directory: a go.mod there could ask for another version.
    said = _run(["go", "env", "GOVERSION", "GOTOOLCHAIN"], Path("/"), environ).split()
    version = tuple(int(part) for part in re.findall(r"\d+", said[0])[:3])
    switches = version >= _GO_SWITCHES_SINCE and said[-1] != "local"
    if version < GO_NEEDED and not switches:
        raise InputError(
            f"Go {said[0].removeprefix('go')}",
            f"is too old: BuildKit {BUILDKIT_VERSION} needs Go {needed}",
            f"{fix}, or let a Go of 1.21 or newer fetch it: export GOTOOLCHAIN=auto",
        )


def _download(module: Path, environ: Mapping[str, str]) -> None:
    """Makes the module that BuildKit is compiled in; Go verifies it by the checksum database."""
    module.mkdir(parents=True, exist_ok=True)
    (module / "go.mod").write_text(f"module engine-tools\n\ngo {'.'.join(map(str, GO_NEEDED))}\n")
    commands = [f"{BUILDKIT}/cmd/{name}@{BUILDKIT_VERSION}" for name in ("buildkitd", "buildctl")]
    _go(["get", "-tool", *commands], module, environ)


def _go(arguments: list[str], cwd: Path, environ: Mapping[str, str]) -> str:
    return _run(["go", *arguments], cwd, _go_environ(environ))


def _go_environ(environ: Mapping[str, str]) -> dict[str, str]:
    # GOWORK: a go.work in a directory above the home is none of ours.
    return {**environ, "CGO_ENABLED": "0", "GOWORK": "off"}


def _compile(
    arguments: list[str], cwd: Path, environ: Mapping[str, str], progress: Callable[[int], None]
) -> None:
    """``go build -v``, which names every package that it compiles on stderr."""
    command = ["go", "build", "-v", *arguments]
    packages: list[str] = []
    said = time.monotonic()
    with subprocess.Popen(
        command, cwd=cwd, env=_go_environ(environ), stderr=subprocess.PIPE, text=True
    ) as child:
        for line in child.stderr or ():
            packages.append(line)
            if time.monotonic() - said > _SAY_EVERY_SECONDS:
                progress(len(packages))
                said = time.monotonic()
    if child.returncode:
        raise _failure(command, "".join(packages), environ)


# --- running and recording -----------------------------------------------------------------------


def _run(command: list[str], cwd: Path, environ: Mapping[str, str]) -> str:
    """The command's standard output; ``InputError`` with its last words where it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _failure(command, done.stderr or done.stdout, environ)
    return done.stdout


def _failure(command: list[str], said: str, environ: Mapping[str, str]) -> InputError:
    if "no space left on device" in said:
        fix = "free 3 GB, or set PIPELINE_HOME, GOCACHE and GOMODCACHE to another disk"
    elif re.search(r"dial |lookup |proxyconnect|i/o timeout|x509|unexpected EOF|reset by", said):
        proxy = environ.get("GOPROXY", "https://proxy.golang.org,direct")
        fix = (
            f"check the network: Go's module proxy is {proxy} (GOPROXY), "
            f"its own proxy {environ.get('HTTPS_PROXY') or environ.get('https_proxy') or 'none'} "
            "(HTTPS_PROXY)"
        )
    else:
        fix = "mend what it says, and run `make setup` again"
    last = "".join(f"\n    {line}" for line in said.strip().splitlines()[-6:])
    return InputError(f"`{shlex.join(command)}`", f"failed:{last}", fix)


def _expect(program: Path, words: str, environ: Mapping[str, str]) -> None:
    """Raises ``InputError`` unless the program starts and names its version so."""
    try:
        said = _run([str(program), "--version"], Path("/"), environ)
    except OSError as error:
        said = error.strerror or str(error)
    if words not in said:
        raise InputError(
            str(program),
            f"does not run as {words!r}: {said.strip()}",
            f"remove it and run `make setup` again, or install another {program.name} on PATH",
        )


def _have(home: Home, *programs: str) -> bool:
    return all((home.bin / program).exists() for program in programs)


def _module(home: Home) -> Path:
    return home.root / "build" / f"buildkit-{BUILDKIT_VERSION}"


def _ops_pb2(home: Home) -> Path:
    return home.root / "python" / "ops_pb2.py"


def _shim_hash() -> str:
    sources = sorted([*_SHIM.glob("*.go"), *_SHIM.glob("go.*")])
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def _stamp_file(home: Home) -> Path:
    return home.root / "engine-tools.json"


def _read_stamp(home: Home) -> dict[str, str]:
    try:
        stamp = json.loads(_stamp_file(home).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _stamp(home: Home, tool: str, version: str) -> None:
    replace_text(_stamp_file(home), json.dumps(_read_stamp(home) | {tool: version}))
