import pytest

from ci.engine.buildkit.redact import Secrets, Stream


def secrets(*values: str) -> Secrets:
    made = Secrets()
    for number, value in enumerate(values):
        made.set(f"s{number}", value)
    return made


@pytest.mark.parametrize(
    ("values", "text", "clean"),
    [
        (["abc"], "x abc y abc", "x *** y ***"),
        (["ab", "abc"], "abc ab", "*** ***"),
        (["  padded \n"], "[padded]", "[***]"),
        ([""], "nothing", "nothing"),
        (["line1\nline2"], "line1\nline2 line1", "*** line1"),
        (["ü€"], "a ü€ b", "a *** b"),
    ],
)
def test_values_are_replaced(values: list[str], text: str, clean: str) -> None:
    assert secrets(*values).text(text) == clean


def test_a_name_that_is_set_again_has_the_new_value_and_hides_both() -> None:
    made = Secrets()
    made.set("token", "old-value")
    made.set("token", "new-value")
    assert made.value("token") == "new-value"
    assert made.text("old-value new-value") == "*** ***"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_stream_in_pieces_is_as_clean_as_the_whole(size: int) -> None:
    made = secrets("secret", "secrecy!", "ret")
    data = b"a secret, secrecy! secr secre sec ret secsecret"
    out: list[bytes] = []
    stream = Stream(made, out.append)
    for at in range(0, len(data), size):
        stream.feed(data[at : at + size])
    stream.close()
    joined = b"".join(out)
    assert joined.replace(b"***", b"").find(b"secret") == -1
    assert b"secrecy!" not in joined
    assert joined.startswith(b"a ***, *** secr secre sec *** sec")


def test_a_stream_holds_back_only_what_could_be_a_secret() -> None:
    out: list[bytes] = []
    stream = Stream(secrets("secret"), out.append)
    stream.feed(b"plain")
    assert out == [b"plain"]
    stream.feed(b" sec")
    assert b"".join(out) == b"plain "
    stream.feed(b"ond")
    assert b"".join(out) == b"plain second"
