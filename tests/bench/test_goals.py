"""Goals are compared with what was measured, and a missed one says why."""

import re

from dlplug.bench import session
from tests.bench.goal import BEST, LIMIT, Goal, table
from tests.bench.goals import GOALS, RECORD
from tests.bench.record import read_record
from tests.bench.test_record import result

ROWS = [
    result("norm a", {"torch": {"ms": 3.0, "ratio": 3.0, "error": 0.0}}),
    result("norm b", {"torch": {"ms": 1.5, "ratio": 1.5, "error": 0.0}}),
    result("norm b", {}) | {"best": None, "limit": None, "threads": 2},
    result("norm c", {"torch": {"ms": 0.1, "ratio": 0.1, "error": 0.0}}) | {"allocator": "default"},
    result("norm d", {"torch": {"ms": 0.1, "ratio": 0.1, "error": 0.0}}) | {"is_exact": False},
    {"row": "norm e", "device": "cpu", "threads": 1, "allocator": "tuned", "failed": "why"},
]


def test_what_holds_and_what_is_lowest_is_told():
    """Rows without a time, with wrong results and with another allocator do not count."""
    goals = [
        Goal("norms", "^norm", BEST, 1.5, 2.0, "time"),
        Goal("norms", "^norm", LIMIT, None, 0.95),
        Goal("others", "^other", "torch", 1.0, 2.0),
        Goal("reached", "^norm a", "torch", 1.0, 3.0, "nothing"),
    ]
    assert [row["row"] for row in goals[0].rows({"rows": ROWS})] == ["norm b", "norm a"]
    lines = table(goals, {"rows": ROWS}).splitlines()[2:]
    lowest = "1.50 (norm b, 1 thread) | 3.00"
    assert lines[0] == f"| norms | the best peer | 1.5 | 2 | {lowest} | 2 of 2 | 1 of 2 | time |"
    assert lines[1].endswith("|  | 0.95 | 0.50 (norm a, 1 thread) |  |  | 0 of 2 |  |")
    assert lines[3].endswith("| 1 of 1 | 1 of 1 |  |")
    assert lines[2] == "| others | torch | 1 | 2 | not measured |  | 0 of 0 | 0 of 0 |  |"


def test_every_goal_is_about_rows_of_the_bench():
    """None is reached because nothing is compared."""
    names = [row.name for row in session.rows("cpu")]
    assert [goal for goal in GOALS if not any(re.search(goal.pattern, n) for n in names)] == []


def test_what_is_in_the_way_is_told_where_a_goal_is_missed():
    """For every one."""
    record = read_record(RECORD)
    missed = [goal for goal in GOALS if not goal.is_reached(record)]
    assert [goal for goal in missed if not goal.in_the_way] == []
