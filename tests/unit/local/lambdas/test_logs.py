from ci.local.lambdas.logs import LogStream, init_report, report


def test_lines_have_a_time_and_stay_in_order(tmp_path):
    log = LogStream(tmp_path / "f", "abcdef0123456789")
    log.line("START")
    log.printed(b"one\ntw")
    log.printed("o\nä".encode()[:3])
    log.printed("ä".encode()[1:])
    log.line("END")
    log.printed(b"\xff rest")
    log.close()
    log.printed(b"too late\n")
    lines = [line.split("\t", 1) for line in log.path.read_text().splitlines()]
    assert [text for _, text in lines] == ["START", "one", "two", "ä", "END", "\ufffd rest"]
    assert all(len(when) == len("2026-01-31T12:30:00.000Z") for when, _ in lines)
    assert log.path.name.endswith("-abcdef01.log")


def test_what_was_printed_is_in_the_file_at_once(tmp_path):
    log = LogStream(tmp_path, "e")
    log.printed(b"line\n")
    assert "line" in log.path.read_text()
    log.close()


def test_a_report_is_lambdas():
    assert report("id", 0.01234, 128, 60 * 1024 + 1) == (
        "REPORT RequestId: id\tDuration: 12.34 ms\tBilled Duration: 13 ms"
        "\tMemory Size: 128 MB\tMax Memory Used: 61 MB"
    )
    told = report("id", 3.0, 128, 0, init_seconds=0.5, status="error", error_type="Runtime.X")
    assert told.endswith(
        "\tBilled Duration: 3500 ms\tMemory Size: 128 MB\tMax Memory Used: 0 MB"
        "\tInit Duration: 500.00 ms\tStatus: error\tError Type: Runtime.X"
    )


def test_an_initialization_that_failed_has_a_line_of_its_own():
    assert init_report(10, "init", "timeout") == (
        "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout"
    )
    assert init_report(1, "invoke", "error", "E").endswith("Status: error\tError Type: E")
