"""Loading a whole directory from files."""

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from mailrecall import clock
from mailrecall.directory import authentication, groups, loading, lookup
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.loading import Loaded
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import HOUR, Policy
from tests import company
from tests.company import PASSWORD, password_hash

Lists = dict[str, list[Mapping[str, object]]]

NOTHING = Loaded(0, 0, 0, 0, 0, 0)


def firm(people: int = 6) -> Lists:
    """The lists of a company of its own: nested and overlapping groups, an alias, an external member."""
    domain = company.unique_domain("loaded")
    return {
        "organisations": [{"name": domain, "window_user": 48 * HOUR, "tombstone": True}],
        "domains": [{"domain": domain, "organisation": domain}],
        "accounts": [
            {
                "address": f"p{number}@{domain}",
                "display_name": f"Person, {number} “the {number}th”",
                "language": "zh" if number % 2 else "en",
                "administrator": number == 1,
                "password_hash": password_hash(),
            }
            for number in range(people)
        ],
        "groups": [{"address": f"{name}@{domain}", "display_name": name.title()} for name in ("all", "odd", "even")],
        "aliases": [
            {"alias": f"boss@{domain}", "address": f"p1@{domain}"},
            {"alias": f"everyone@{domain}", "address": f"all@{domain}"},
        ],
        "members": [
            *({"group": f"{'odd' if n % 2 else 'even'}@{domain}", "member": f"P{n}+x@{domain}"} for n in range(people)),
            {"group": f"all@{domain}", "member": f"odd@{domain}"},
            {"group": f"all@{domain}", "member": f"even@{domain}"},
            {"group": f"all@{domain}", "member": f"boss@{domain}"},
            {"group": f"all@{domain}", "member": "friend@elsewhere.example"},
        ],
    }


def as_csv(folder: Path, lists: Lists) -> Path:
    for name, rows in lists.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def as_json(folder: Path, lists: Lists) -> Path:
    """One line for each entry, so that its number is easily told."""
    parts = [
        json.dumps(name) + ": [\n" + ",\n".join(json_entry(name, row) for row in rows) + "\n]"
        for name, rows in lists.items()
    ]
    path = folder / "directory.json"
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    return path


def json_entry(name: str, row: Mapping[str, object]) -> str:
    if name == "organisations":
        row = {"name": row["name"], "policy": {key: value for key, value in row.items() if key != "name"}}
    return json.dumps(row)


def place_of(path: Path, name: str, row: Mapping[str, object]) -> str:
    """Where the last entry of a list was written: `file:line`."""
    if path.is_dir():
        with (path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            starts, reader = [1], csv.reader(file)
            starts += [reader.line_num + 1 for _ in reader]
        return f"{name}.csv:{starts[-2]}"
    lines = [line.removesuffix(",") for line in path.read_text(encoding="utf-8").splitlines()]
    return f"{path.name}:{lines.index(json_entry(name, row)) + 1}"


@pytest.fixture(params=[as_csv, as_json])
def write(request):
    return request.param


def load(databases, path: Path) -> Loaded:
    with databases.control() as connection:
        return loading.load_path(connection, path, now=clock.now())


def refusal(databases, path: Path) -> tuple[str, ...]:
    """The problems that a load is refused with; it must have left nothing, though the transaction is committed."""
    before = sizes(databases)
    with databases.control() as connection:
        with pytest.raises(DirectoryError) as refused:
            loading.load_path(connection, path, now=clock.now())
        assert refused.value.code is Code.FILES_REFUSED
        # the transaction goes on as if nothing had been
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert sizes(databases) == before
    return refused.value.problems


def sizes(databases) -> list[int]:
    tables = ("organisation", "domain", "account", "mail_group", "address", "group_member")
    with databases.control() as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() for table in tables]
    return [count[0] for count in counts if count]


def test_everything_that_the_files_list_is_there(databases, tmp_path, write):
    lists = firm()
    domain = str(lists["domains"][0]["domain"])
    assert load(databases, write(tmp_path, lists)) == Loaded(1, 1, 6, 3, 2, 10)
    with databases.control() as connection:
        people = [lookup.account_by_address(connection, Address.parse(f"p{number}@{domain}")) for number in range(6)]
        one = people[1]
        assert one is not None
        assert (one.display_name, one.language, one.administrator) == ("Person, 1 “the 1th”", "zh", True)
        assert lookup.account_by_address(connection, Address.parse(f"boss@{domain}")) == one
        assert authentication.authenticate(connection, f"p1@{domain}", PASSWORD) == one
        assert lookup.policy_of(connection, one.organisation_id) == Policy(window_user=48 * HOUR, tombstone=True)
        everyone = groups.group_by_address(connection, Address.parse(f"everyone@{domain}"))
        assert groups.members_of(connection, everyone.id) == [
            (f"p1@{domain}", "account"),
            ("friend@elsewhere.example", "external"),
            (f"even@{domain}", "group"),
            (f"odd@{domain}", "group"),
        ]
        assert groups.reach_of(connection, everyone.id) == 6
    assert sorted(Counter(person.shard for person in people if person).values()) == [3, 3]


def test_loading_the_same_again_changes_nothing_and_additions_are_added(databases, tmp_path, write):
    lists = firm()
    domain = lists["domains"][0]["domain"]
    path = write(tmp_path, lists)
    load(databases, path)
    with databases.control() as connection:
        before = connection.execute("SELECT address, account_id, group_id FROM address ORDER BY 1").fetchall()
    assert load(databases, path) == NOTHING
    lists["accounts"].append({"address": f"new@{domain}", "language": "en"})
    lists["members"].append({"group": f"odd@{domain}", "member": f"new@{domain}"})
    # what is there stays as it is, whatever the files now say of it
    lists["accounts"][0] = {**lists["accounts"][0], "display_name": "Somebody else"}
    assert load(databases, write(tmp_path, lists)) == Loaded(0, 0, 1, 0, 0, 1)
    with databases.control() as connection:
        after = connection.execute("SELECT address, account_id, group_id FROM address ORDER BY 1").fetchall()
        kept = lookup.account_by_address(connection, Address.parse(f"p0@{domain}"))
    assert set(before) < set(after)
    assert kept is not None
    assert kept.display_name.startswith("Person, 0")


def test_two_loads_in_one_transaction(databases, tmp_path):
    path = as_csv(tmp_path, firm())
    with databases.control() as connection:
        assert loading.load_path(connection, path, now=clock.now()).accounts == 6
        assert loading.load_path(connection, path, now=clock.now()) == NOTHING


def test_a_password_in_clear_is_hashed_once(databases, tmp_path, write):
    lists = firm(1)
    domain = lists["domains"][0]["domain"]
    lists["accounts"] = [{"address": f"p0@{domain}", "password": PASSWORD}]
    del lists["aliases"], lists["members"]
    path = write(tmp_path, lists)
    load(databases, path)

    def stored() -> str:
        with databases.control() as connection:
            person = lookup.account_by_address(connection, Address.parse(f"p0@{domain}"))
            assert person is not None
            row = connection.execute("SELECT password_hash FROM account WHERE id = %s", [person.id]).fetchone()
        assert row is not None
        return str(row[0])

    first = stored()
    assert first.startswith("$argon2id$")
    assert load(databases, path) == NOTHING
    assert stored() == first
    with databases.control() as connection:
        assert authentication.authenticate(connection, f"p0@{domain}", PASSWORD)


@pytest.mark.rule(13)
def test_r13_a_cycle_in_the_files_is_refused_with_its_line(databases, tmp_path, write):
    lists = firm()
    domain = lists["domains"][0]["domain"]
    lists["members"].append({"group": f"odd@{domain}", "member": f"everyone@{domain}"})
    problems = refusal(databases, write(tmp_path, lists))
    assert len(problems) == 1
    assert "A group cannot contain itself" in problems[0]
    if write is as_csv:
        assert problems[0].startswith("members.csv:12: ")


@pytest.mark.rule(13)
def test_r13_a_cycle_with_what_is_there_is_refused(databases, tmp_path):
    lists = firm()
    domain = lists["domains"][0]["domain"]
    load(databases, as_csv(tmp_path, lists))
    more = tmp_path / "more"
    more.mkdir()
    as_csv(more, {"members": [{"group": f"even@{domain}", "member": f"all@{domain}"}]})
    assert [problem.split(": ")[0] for problem in refusal(databases, more)] == ["members.csv:2"]
    as_csv(more, {"members": [{"group": f"even@{domain}", "member": f"even@{domain}"}]})
    assert [problem.split(": ")[0] for problem in refusal(databases, more)] == ["members.csv:2"]


BAD = [
    ("accounts", {"address": "nonsense"}, "no mail address"),
    ("accounts", {"address": ""}, "address is missing"),
    ("accounts", {"address": "P0@{domain}"}, "listed twice"),
    ("accounts", {"address": "new@elsewhere.example"}, "'elsewhere.example' is no domain of this platform"),
    ("accounts", {"address": "new@{domain}", "language": "tlh"}, "language must be en or zh"),
    ("accounts", {"address": "new@{domain}", "administrator": "perhaps"}, "administrator must be true or false"),
    ("accounts", {"address": "new@{domain}", "password_hash": "secret"}, "encoded argon2 hash"),
    ("accounts", {"address": "new@{domain}", "password": "short"}, "8 to 1024 characters"),
    ("accounts", {"address": "new@{domain}", "password": PASSWORD, "password_hash": password_hash()}, "not both"),
    ("accounts", {"address": "new@{domain}", "display_name": "a\nb"}, "printable"),
    (
        "domains",
        {"domain": "new.{domain}", "organisation": "Nobody & Sons"},
        "There is no organisation 'Nobody & Sons'",
    ),
    ("domains", {"domain": "no domain", "organisation": "{domain}"}, "is no domain"),
    ("domains", {"domain": "", "organisation": "{domain}"}, "domain is missing"),
    ("organisations", {"name": "{domain}"}, "listed twice"),
    ("organisations", {"name": "New {domain}", "window_user": 99_999_999}, "window_user must be from 1 to"),
    ("organisations", {"name": "New {domain}", "tombstone": "perhaps"}, "tombstone must be true or false"),
    ("groups", {"address": "p0@{domain}"}, "listed twice; the first time in line .* of the accounts"),
    ("aliases", {"alias": "new@{domain}", "address": "nobody@{domain}"}, "no account or group nobody@"),
    ("aliases", {"alias": "p0@{domain}", "address": "p1@{domain}"}, "listed twice"),
    ("members", {"group": "nobody@{domain}", "member": "p0@{domain}"}, "There is no group nobody@"),
    ("members", {"group": "p1@{domain}", "member": "p0@{domain}"}, "There is no group p1@"),
    ("members", {"group": "odd@{domain}", "member": "nobody@{domain}"}, "nobody@.* does not exist"),
    ("members", {"group": "odd@{domain}", "member": ""}, "member is missing"),
]


@pytest.mark.parametrize("case", BAD, ids=range(len(BAD)))
def test_one_bad_line_is_reported_and_nothing_is_loaded(databases, tmp_path, write, case):
    kind, entry, complaint = case
    lists = firm()
    domain = str(lists["domains"][0]["domain"])
    bad = {key: value.format(domain=domain) if isinstance(value, str) else value for key, value in entry.items()}
    lists[kind].append(bad)
    path = write(tmp_path, lists)
    problems = refusal(databases, path)
    assert len(problems) == 1, problems
    assert problems[0].startswith(place_of(path, kind, bad) + ": ")
    assert re.search(complaint, problems[0])


def test_every_bad_line_is_reported_up_to_twenty(databases, tmp_path, write):
    lists = firm()
    domain = lists["domains"][0]["domain"]
    # some are bad by themselves, some only together with the rest: all are told at once
    lists["accounts"] += [{"address": f"new{number}@{domain}", "language": "tlh"} for number in range(7)]
    lists["members"] += [{"group": f"odd@{domain}", "member": f"new{number}@{domain}"} for number in range(7)]
    lists["members"] += [{"group": f"odd@{domain}", "member": f"nobody{number}@{domain}"} for number in range(12)]
    lists["aliases"] += [{"alias": f"nobody@{domain}", "address": "nonsense"}]
    problems = refusal(databases, write(tmp_path, lists))
    assert len(problems) == 20
    assert sum("language" in problem for problem in problems) == 7
    assert sum("does not exist" in problem for problem in problems) == 12
    lists["members"] += [{"group": f"odd@{domain}", "member": f"nobody@{domain}"}]
    problems = refusal(databases, write(tmp_path, lists))
    assert len(problems) == 21
    assert problems[20] == "… and more"


def test_an_address_or_domain_that_somebody_else_has(databases, tmp_path):
    there = company.found(databases, people=1)
    company.group(databases, f"team@{there.domain}", there.people)
    merged = company.unique_domain("merged")
    company.group(databases, f"partners@{there.domain}", [f"someone@{merged}"])
    lists = firm(1)
    own = str(lists["domains"][0]["domain"])
    lists["domains"] += [
        {"domain": there.domain, "organisation": own},
        {"domain": merged, "organisation": own},
    ]
    lists["accounts"].append({"address": f"team@{there.domain}"})
    lists["groups"].append({"address": f"person0@{there.domain}"})
    lists["aliases"] = [{"alias": f"person0@{there.domain}", "address": f"p0@{own}"}]
    del lists["members"]
    problems = refusal(databases, as_csv(tmp_path, lists))
    assert [problem.split(": ")[0] for problem in problems] == [
        "accounts.csv:3",
        "aliases.csv:2",
        "domains.csv:3",
        "domains.csv:4",
        "groups.csv:5",
    ]
    assert "is taken by a group" in problems[0]
    assert f"belongs to the organisation '{there.name}'" in problems[2]
    assert f"such as someone@{merged}" in problems[3]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("accounts.csv", "address,nickname\n", "accounts.csv:1: There is no column 'nickname'"),
        ("accounts.csv", "display_name\nAda\n", "accounts.csv:1: The first line must name the columns; 'address'"),
        ("accounts.csv", "address,address\n", "accounts.csv:1: A column is named twice"),
        ("accounts.csv", "", "accounts.csv:1: The first line must name the columns"),
        ("accounts.csv", "address\nada@x.example,en\n", "accounts.csv:2: 2 fields under 1 columns"),
        ("accounts.csv", 'address\n\n"ada@x.example\n', "accounts.csv:3: This is no CSV"),
        ("accounts.csv", b"address\nada@x.example\n\xff@x.example\n", "accounts.csv:3: The file must be UTF-8"),
        ("acounts.csv", "address\n", "acounts.csv:1: There is no list of this name"),
        ("directory.json", "", "directory.json:1: This is no directory in JSON"),
        ("directory.json", "[]", "directory.json:1: This is no directory in JSON"),
        ("directory.json", "{} {}", "directory.json:1: This is no directory in JSON: something follows"),
        ("directory.json", '{"accounts": [\n{"address": 1},\n]}', "directory.json:3: This is no directory in JSON"),
        ("directory.json", '{"accounts": [\n{"address": 1}\n}', "directory.json:3: This is no directory in JSON"),
        ("directory.json", '{\n"accounts": {}}', "directory.json:2: This is no directory in JSON"),
        ("directory.json", '{"accounts": [\n"ada@x.example"]}', "directory.json:2: accounts must be a list of objects"),
        ("directory.json", '{"acounts": [\n{}]}', "directory.json:1: There is no list 'acounts'"),
        ("directory.json", '{"accounts": [],\n"acounts": []}', "directory.json:2: There is no list 'acounts'"),
        ("directory.json", '{"accounts": [],\n"accounts": []}', "directory.json:2: accounts are listed twice"),
        (
            "directory.json",
            '{"accounts": [\n{"address": "a@x.example",\n"address": "b@x.example"}]}',
            "directory.json:2: 'address' is given twice",
        ),
        (
            "directory.json",
            '{"organisations": [\n\n{"name": "X", "policy": {"tombstone": true, "tombstone": false}}]}',
            "directory.json:3: 'tombstone' is given twice",
        ),
        ("directory.json", '{"accounts": [\n{"address": 5}]}', "directory.json:2: address must be a text"),
        (
            "directory.json",
            '{"accounts": [{"address": "a@x.example",\n"nick": ""}]}',
            "directory.json:1: accounts have no",
        ),
        ("directory.json", '{"organisations": [{"name": "X", "policy": 5}]}', "directory.json:1: policy must be an"),
        (
            "directory.json",
            '{"organisations": [{"name": "\\u0000\\ud800"}]}',
            "directory.json:1: An organisation needs",
        ),
        ("directory.json", b'{\n"accounts": "\xff"}', "directory.json:2: The file must be UTF-8"),
        ("directory.json", '{"accounts": [' + "[" * 100_000, "directory.json:1: This is no directory in JSON"),
        ("directory.json", '{"accounts": [' + "1" * 10_000 + "]}", "directory.json:1: This is no directory in JSON"),
    ],
)
def test_what_is_no_list_at_all_is_refused_with_its_line(databases, tmp_path, file, content, problem):
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = refusal(databases, path if path.suffix == ".json" else tmp_path)
    assert any(line.startswith(problem) for line in problems), problems


def test_a_folder_without_lists_and_a_file_that_is_not_there(databases, tmp_path):
    assert refusal(databases, tmp_path) == ()
    assert refusal(databases, tmp_path / "missing.json") == ()


def test_a_spreadsheet_s_csv_is_read(databases, tmp_path):
    """A byte order mark, CRLF, padding, an empty line, quotes, and empty fields for what is not given."""
    domain = company.unique_domain("sheet")
    (tmp_path / "organisations.csv").write_bytes(f"\ufeffname,window_user,scope\r\n{domain},,\r\n".encode())
    (tmp_path / "domains.csv").write_bytes(f" domain , organisation\r\n {domain} ,{domain}\r\n\r\n".encode())
    people = f'"ADA@{domain}","Lovelace, Ada",TRUE,\r\nbob@{domain}\r\n'
    (tmp_path / "accounts.csv").write_bytes(f"\ufeffaddress,display_name,administrator,language\r\n{people}".encode())
    assert load(databases, tmp_path) == Loaded(1, 1, 2, 0, 0, 0)
    with databases.control() as connection:
        ada = lookup.account_by_address(connection, Address.parse(f"ada@{domain}"))
    assert ada is not None
    assert (ada.display_name, ada.administrator, ada.language) == ("Lovelace, Ada", True, "en")
