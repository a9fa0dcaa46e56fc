import pytest

from ci.debian import unpack
from ci.errors import InputError


def test_a_machine_without_apt_is_told_what_to_install(tmp_path):
    with pytest.raises(InputError, match=r"runc: .*no apt-get on this machine"):
        unpack("runc", tmp_path / "into", {"PATH": str(tmp_path)})
    assert not (tmp_path / "into").exists()


def test_a_failed_download_quotes_what_apt_said(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text(
            "#!/bin/sh\necho 'Temporary failure resolving' >&2; exit 100\n"
        )
        (programs / name).chmod(0o755)
    with pytest.raises(InputError, match="Temporary failure resolving"):
        unpack("runc", tmp_path / "into", {"PATH": f"{programs}:/usr/bin:/bin"})
    assert not (tmp_path / "into").exists()
