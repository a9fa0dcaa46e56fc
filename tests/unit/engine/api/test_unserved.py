from pathlib import Path

from ci.engine.api.unserved import known_api, read_api

SOURCE = '''
class Container(Type):
    def with_thing(self, name: str, *, depth: int | None = 0) -> Self:
        """Does a thing."""
        _args = [Arg("name", name), Arg("depth", depth, 0)]
        _ctx = self._select("withThing", _args)
        return Container(_ctx)

    def git(self) -> "GitRepository":
        _ctx = self._select("git", [])
        return GitRepository(_ctx)

    async def ports(self) -> list["Port"]:
        _ctx = self._select("ports", [])
        return await _ctx.execute_object_list(Port)

    async def sync(self) -> Self:
        return await self._ctx.execute_sync(self, "sync", [])

class GitRepository(Type):
    async def url(self) -> str:
        return await self._select("url", []).execute(str)

class Port(Type):
    async def number(self) -> int:
        return await self._select("number", []).execute(int)

class Client(Root):
    def container(self) -> Container:
        return Container(self._select("container", []))

class Mode(Enum):
    ON = "ON"
'''


def test_fields_arguments_and_types_are_read_from_the_clients_text() -> None:
    api = read_api(SOURCE)
    assert api["Container"]["withThing"] == ("Container", ["name", "depth"])
    assert api["Container"]["git"] == ("GitRepository", [])
    assert api["Container"]["ports"] == ("Port", [])
    assert api["Container"]["sync"] == ("", [])
    assert api["GitRepository"]["url"] == ("", [])
    assert api["Query"]["container"] == ("Container", [])
    assert "Mode" not in api


def test_the_installed_sdk_is_read_once(tmp_path: Path) -> None:
    api = known_api(tmp_path)
    assert "insecureRootCapabilities" in api["Container"]["withExec"][1]
    assert api["Query"]["git"][0] == "GitRepository"
    (stored,) = tmp_path.iterdir()
    stored.write_text("{}")
    assert known_api(tmp_path) == {}
    stored.write_text("cut off in the mid")
    assert set(known_api(tmp_path)) == set(api)
