"""Mailboxes that move take along what every table of a shard holds of them: no table may be forgotten."""

import re
from importlib.resources import files

from mailrecall.shards.carrying import CARRIED, OF_THE_SHARD


def test_a_move_knows_every_table_of_a_shard():
    migrations = files("mailrecall.postgres.migrations") / "shard"
    text = "\n".join(path.read_text(encoding="utf-8") for path in migrations.iterdir() if path.name.endswith(".sql"))
    tables = set(re.findall(r"^CREATE TABLE (\w+)", text, re.MULTILINE))
    assert tables == CARRIED | OF_THE_SHARD, "say in mailrecall.shards.carrying what becomes of it when mailboxes move"
