import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from ci.engine.buildkit.daemon_config import (
    DaemonConfig,
    Paths,
    authorities,
    environment,
    fingerprint,
    render,
)
from ci.errors import InputError

PATHS = Paths.of(Path('/home/o"neil/engine'))
RUNC = Path("/home/bin/runc")
PEM = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"


def rendered(config: DaemonConfig) -> dict:
    return tomllib.loads(render(config, PATHS, RUNC))


def test_everything_the_daemon_writes_lies_in_its_own_directory():
    toml = rendered(DaemonConfig())
    assert toml["root"] == '/home/o"neil/engine/root'
    assert toml["grpc"]["address"] == ['unix:///home/o"neil/engine/buildkitd.sock']
    assert toml["otel"]["socketPath"] == '/home/o"neil/engine/otel.sock'
    assert environment(DaemonConfig(), PATHS, Path("/b"), {})["TMPDIR"] == '/home/o"neil/engine/tmp'


def test_one_worker_runs_our_runc_on_the_hosts_network():
    worker = rendered(DaemonConfig())["worker"]
    assert worker["containerd"] == {"enabled": False}
    assert (worker["oci"]["binary"], worker["oci"]["networkMode"]) == ("/home/bin/runc", "host")


def test_the_cache_has_a_limit():
    oci = rendered(DaemonConfig(disk_limit_mb=1234))["worker"]["oci"]
    assert oci["gc"] is True
    assert oci["maxUsedSpace"] == 1_234_000_000
    assert oci["reservedSpace"] < oci["maxUsedSpace"]
    assert oci["minFreeSpace"] > 0


@pytest.mark.parametrize("limit", [0, -1, 999])
def test_a_cache_too_small_for_a_base_image_is_refused(limit):
    with pytest.raises(InputError, match="at least 1000 MB"):
        rendered(DaemonConfig(disk_limit_mb=limit))


@pytest.mark.parametrize(
    ("mirror", "plain"),
    [
        ("127.0.0.1:5000", True),
        ("127.9.9.9:5000", True),
        ("localhost:5000", True),
        ("[::1]:5000", True),
        ("localhost", True),
        ("mirror.example.com:5000", False),
        ("10.0.0.1:5000", False),
        ("mirror.example.com/copies", False),
    ],
)
def test_a_mirror_is_plain_http_on_a_loopback_address_only(mirror, plain):
    registries = rendered(DaemonConfig(mirrors=(("public.ecr.aws", mirror),)))["registry"]
    assert registries["public.ecr.aws"] == {"mirrors": [mirror]}
    assert registries.get(mirror, {}).get("http", False) is plain


def test_mirrors_of_one_registry_keep_their_order():
    config = DaemonConfig(mirrors=(("docker.io", "b:1"), ("docker.io", "a:1")))
    assert rendered(config)["registry"] == {"docker.io": {"mirrors": ["b:1", "a:1"]}}


def test_a_registry_can_be_plain_http_and_have_a_mirror():
    config = DaemonConfig(mirrors=(("r:1", "m:1"),), http_registries=("r:1",))
    assert rendered(config)["registry"] == {"r:1": {"mirrors": ["m:1"], "http": True}}


@pytest.mark.parametrize("name", ["", "http://m:5000", "m 5000", 'm"]\nroot = "/', "m:port"])
def test_what_is_no_registry_is_refused(name):
    with pytest.raises(InputError, match="HOST:PORT"):
        rendered(DaemonConfig(mirrors=(("public.ecr.aws", name),)))
    with pytest.raises(InputError, match="HOST:PORT"):
        rendered(DaemonConfig(http_registries=(name,)))


def test_the_daemon_gets_proxies_and_authorities_and_no_credentials():
    environ = {
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "DOCKER_AUTH_CONFIG": "{}",
        "PATH": "/theirs",
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "internal",
        "SSL_CERT_FILE": "/etc/own.pem",
        "SSL_CERT_DIR": "",
    }
    env = environment(DaemonConfig(), PATHS, Path("/bin-dir"), environ)
    passed_on = {name: environ[name] for name in ("HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE")}
    assert passed_on.items() <= env.items()
    own = {"PATH", "HOME", "TMPDIR", "BUILDKIT_STEP_LOG_MAX_SIZE", "BUILDKIT_STEP_LOG_MAX_SPEED"}
    assert set(env) == own | set(passed_on)
    assert env["PATH"].startswith("/bin-dir:")
    assert env["BUILDKIT_STEP_LOG_MAX_SIZE"] == env["BUILDKIT_STEP_LOG_MAX_SPEED"] == "-1"


def test_own_authorities_come_beside_the_systems(tmp_path):
    system, own = tmp_path / "system.pem", tmp_path / "own.pem"
    system.write_text(f"# system\n{PEM}")
    own.write_text(f"# own\n{PEM}")
    environ = {"SSL_CERT_FILE": str(system)}
    config = DaemonConfig(ca_bundle=str(own))
    assert authorities(config, environ).decode() == f"# system\n{PEM}# own\n{PEM}"
    assert environment(config, PATHS, Path("/b"), environ)["SSL_CERT_FILE"] == str(
        PATHS.authorities
    )
    assert authorities(DaemonConfig(), environ) == b""


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_a_bundle_without_certificates_is_refused(tmp_path, content):
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(InputError, match=str(bundle)):
        authorities(DaemonConfig(ca_bundle=str(bundle)), {})


def test_a_fingerprint_follows_proxies_and_authorities():
    base = fingerprint({"HTTPS_PROXY": "a"}, b"")
    assert base == fingerprint({"HTTPS_PROXY": "a"}, b"")
    assert len({base, fingerprint({"HTTPS_PROXY": "b"}, b""), fingerprint({}, b"x")}) == 3


def test_a_configuration_survives_being_written_down():
    config = DaemonConfig((("a", "b"),), ("c",), "/d", 5000)
    assert DaemonConfig.from_json(asdict(config)) == config


MIRRORED = DaemonConfig(mirrors=(("a.example", "m:1"), ("b.example", "m:2")), ca_bundle="/ca")


@pytest.mark.parametrize(
    ("wanted", "shared"),
    [
        (MIRRORED, True),
        (DaemonConfig(), True),
        (DaemonConfig(mirrors=(("b.example", "m:2"),)), True),
        (DaemonConfig(mirrors=(("b.example", "other:2"),)), False),
        (DaemonConfig(mirrors=(("c.example", "m:2"),)), False),
        (DaemonConfig(ca_bundle="/other"), False),
        (DaemonConfig(http_registries=("x:1",)), False),
        (DaemonConfig(disk_limit_mb=1), False),
    ],
)
def test_a_daemon_in_use_is_shared_where_it_has_what_is_wanted(
    wanted: DaemonConfig, shared: bool
) -> None:
    assert MIRRORED.serves(wanted) is shared
    assert DaemonConfig().serves(MIRRORED) is False
