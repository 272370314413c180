"""The house rules that no linter knows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [ROOT / "mailrecall", ROOT / "services", ROOT / "benchmarks"]
TESTS = ROOT / "tests"
LONGEST_FILE = 400

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}

# Reading what time it is. `monotonic` and `perf_counter` measure how long something took and are free to use.
CLOCK_CALLS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
}
CLOCK_SQL = re.compile(
    r"\b(now\s*\(|(current|local)_?(timestamp|time|date)\b|(clock|statement|transaction)_timestamp\b)", re.IGNORECASE
)

RULES = set(range(1, 32))


def sources(*folders: Path, suffix: str = ".py") -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.rglob(f"*{suffix}"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_module_has_a_name_that_says_nothing():
    paths = [*sources(*CODE, TESTS)]
    assert paths
    assert [
        named(path) for path in paths if VAGUE_NAMES.intersection(path.relative_to(ROOT).with_suffix("").parts)
    ] == []


def test_files_can_be_read_in_one_sitting():
    paths = [*sources(*CODE, TESTS), *sources(*CODE, suffix=".sql"), *sources(*CODE, suffix=".html")]
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def clock_calls(tree: ast.AST) -> Iterator[int]:
    """The lines on which a module asks what time it is."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name)):
                if (owner, name) in CLOCK_CALLS:
                    yield node.lineno
            case ast.ImportFrom(module="time", names=names):
                if {("time", alias.name) for alias in names} & CLOCK_CALLS:
                    yield node.lineno


def test_one_module_reads_the_clock():
    readers = {named(path) for path in sources(*CODE) if any(clock_calls(ast.parse(path.read_text(encoding="utf-8"))))}
    assert readers == {"mailrecall/clock.py"}


def test_one_statement_reads_the_databases_clock():
    found = [
        named(path)
        for path in sources(*CODE, suffix=".sql")
        for line in path.read_text(encoding="utf-8").splitlines()
        if CLOCK_SQL.search(line.partition("--")[0])
    ]
    assert found == ["mailrecall/postgres/clocks.sql"]


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("datetime.now(UTC)", True),
        ("datetime.datetime.utcnow()", True),
        ("time.time()", True),
        ("from time import time", True),
        ("time.monotonic()", False),
        ("from time import monotonic, sleep", False),
        ("clock.now()", False),
        ("message.date.today", False),
    ],
)
def test_the_search_for_clocks_finds_them(code: str, reads: bool):
    assert any(clock_calls(ast.parse(code))) == reads


def rules_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """The numbers in a test's `rule` marks, its parameters' marks included."""
    calls = [
        node for decorator in function.decorator_list for node in ast.walk(decorator) if isinstance(node, ast.Call)
    ]
    marks = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "rule"]
    return {
        arg.value for mark in marks for arg in mark.args if isinstance(arg, ast.Constant) and isinstance(arg.value, int)
    }


def each_test() -> Iterator[tuple[str, set[int], set[int]]]:
    """Each test with the rules in its name and those it is marked with."""
    for path in sources(TESTS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                prefix = re.match(r"test((?:_r\d+)*)_", node.name)
                in_name = {int(number) for number in re.findall(r"\d+", prefix[1])} if prefix else set()
                yield f"{named(path)}::{node.name}", in_name, rules_of(node)


def test_every_rule_has_a_test_of_its_number():
    assert set().union(*(marked for _, _, marked in each_test())) == RULES


def test_a_rules_number_stands_in_the_mark_and_in_the_name():
    unlike = {
        test: f"name says {sorted(in_name)}, mark says {sorted(marked)}"
        for test, in_name, marked in each_test()
        # a scenario walks many rules: it bears its own number in its name, and theirs in its mark
        if not in_name <= marked or (marked and not in_name and not re.search(r"::test_\d\d_", test))
    }
    assert unlike == {}


def test_tests_that_have_a_target_of_their_own_are_not_run_twice():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    folders = dict(
        re.findall(r"^([a-z-]+): [^\n]*\n(?:\t[^\n]*\n)*?\t[^\n]* tests/(\w+) \$\(ARGS\)$", makefile, re.MULTILINE)
    )
    assert folders["test-faults"] == "fault"
    (apart,) = re.findall(r"^APART := (.*)$", makefile, re.MULTILINE)
    assert set(folders.values()) <= set(apart.split())
    # and whoever runs `make test` learns of them
    assert {
        target for target in folders if not re.search(rf'^\t@echo ".* make {target}"$', makefile, re.MULTILINE)
    } == set()
