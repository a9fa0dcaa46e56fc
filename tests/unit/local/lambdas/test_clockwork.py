from datetime import UTC, datetime

import pytest

from ci.local.lambdas.clockwork import BadExpression, parse


def after(expression: str, *moment: int) -> str:
    found = parse(expression).after(datetime(*moment, tzinfo=UTC))
    return found.strftime("%Y-%m-%d %H:%M") if found else "never"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(1 minute)", "2026-01-31 12:31"),
        ("rate(5 minutes)", "2026-01-31 12:35"),
        ("rate(2 hours)", "2026-01-31 14:30"),
        ("rate(1 day)", "2026-02-01 12:30"),
        ("cron(* * * * ? *)", "2026-01-31 12:31"),
        ("cron(0 12 * * ? *)", "2026-02-01 12:00"),
        ("cron(0/15 * * * ? *)", "2026-01-31 12:45"),
        ("cron(5,35 10-14 * * ? *)", "2026-01-31 12:35"),
        ("cron(15 10 ? * MON-FRI *)", "2026-02-02 10:15"),
        ("cron(15 10 ? * FRI-MON *)", "2026-02-01 10:15"),
        ("cron(0 8 1 * ? *)", "2026-02-01 08:00"),
        ("cron(0 8 L * ? *)", "2026-02-28 08:00"),
        ("cron(0 8 15W FEB ? *)", "2026-02-16 08:00"),
        ("cron(0 8 1W AUG ? *)", "2026-08-03 08:00"),
        ("cron(0 8 LW 5 ? *)", "2026-05-29 08:00"),
        ("cron(0 8 ? * 6L *)", "2026-02-27 08:00"),
        ("cron(0 8 ? * TUE#2 *)", "2026-02-10 08:00"),
        ("cron(0 8 29 2 ? *)", "2028-02-29 08:00"),
        ("cron(0 8 ? * 1 2027)", "2027-01-03 08:00"),
        ("cron(0 8 * * ? 2025)", "never"),
        ("cron(0/20 0 ? 3/6 2 2026-2027)", "2026-03-02 00:00"),
    ],
)
def test_the_next_time(expression, expected):
    assert after(expression, 2026, 1, 31, 12, 30) == expected


def test_seconds_do_not_count_for_cron():
    found = parse("cron(30 12 * * ? *)").after(datetime(2026, 1, 31, 12, 29, 59, tzinfo=UTC))
    assert found == datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "every day",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(5 seconds)",
        "rate(-1 minutes)",
        "cron(* * * * *)",
        "cron(* * * * * *)",
        "cron(* * ? * ? *)",
        "cron(60 * * * ? *)",
        "cron(* 24 * * ? *)",
        "cron(* * 32 * ? *)",
        "cron(* * * 13 ? *)",
        "cron(* * ? * FOO *)",
        "cron(* * ? * 8 *)",
        "cron(*/0 * * * ? *)",
        "cron(a * * * ? *)",
        "cron(* * * * ? 1969)",
    ],
)
def test_what_eventbridge_would_not_take(expression):
    with pytest.raises(BadExpression):
        parse(expression)
