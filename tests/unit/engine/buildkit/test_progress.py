from ci.engine.buildkit.progress import Printer
from ci.engine.buildkit.rawjson import Event


def test_steps_are_told_in_order_each_once() -> None:
    out: list[str] = []
    printer = Printer(out.append)
    first, second = printer.listener(), printer.listener()
    first(Event("start", "a", "RUN x"))
    second(Event("start", "a", "RUN x"))
    first(Event("log", "a", "RUN x", b"one\ntw", stream=1))
    second(Event("log", "a", "RUN x", b"one\ntw", stream=1))
    first(Event("log", "a", "RUN x", b"o\nrest", stream=1))
    first(Event("done", "a", "RUN x", seconds=1.26))
    first.close()
    second(Event("done", "a", "RUN x"))
    second.close()
    assert "".join(out) == "#1 RUN x\n#1 one\n#1 two\n#1 rest\n#1 DONE 1.3s\n"
    third = printer.listener()
    third(Event("start", "a", "RUN x"))
    third(Event("cached", "a", "RUN x"))
    third(Event("start", "b", "COPY y"))
    third(Event("error", "b", "COPY y", b"broken"))
    assert "".join(out[5:]) == "#2 COPY y\n#2 ERROR: broken\n"


def test_housekeeping_is_told_only_when_it_fails() -> None:
    out: list[str] = []
    listener = Printer(out.append).listener()
    listener(Event("start", "a", "[internal] load build context"))
    listener(Event("done", "a", "[internal] load build context"))
    listener(Event("error", "b", "exporting to client tarball", b"no space"))
    assert out == ["#1 ERROR: no space\n"]


def test_a_progress_bar_ends_up_as_its_last_state() -> None:
    out: list[str] = []
    listener = Printer(out.append).listener()
    listener(Event("start", "a", "RUN pip"))
    listener(Event("log", "a", "RUN pip", b"10%\r50%\r100%\n", stream=1))
    assert out[-1] == "#1 100%\n"
