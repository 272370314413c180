"""Many mail programs at once, on one event loop: each signs in and then idles, or looks around without reading."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailrecall.directory.groups import Group
from mailrecall.postgres.databases import Databases
from tests import company
from tests.company import Company

PATIENCE = 90.0


def hire_many(databases: Databases, firm: Company, count: int) -> list[tuple[int, str]]:
    """Add many accounts at once; their ids and addresses, spread evenly over the shards."""
    with databases.control() as connection:
        return connection.execute(
            "WITH hired AS (INSERT INTO account (organisation_id, domain_id, shard, password_hash)"
            " SELECT %s, (SELECT id FROM domain WHERE name = %s), n %% %s, %s FROM generate_series(1, %s) AS n"
            " RETURNING id) INSERT INTO address (address, account_id)"
            " SELECT 'p' || id || '@' || %s, id FROM hired RETURNING account_id, address",
            (
                firm.organisation_id,
                firm.domain,
                len(databases.shards),
                company.password_hash(),
                count,
                firm.domain,
            ),
        ).fetchall()


def team_of(databases: Databases, firm: Company, members: Sequence[int]) -> Group:
    """Make a group of accounts."""
    team = company.group(databases, f"everyone@{firm.domain}", [])
    with databases.control() as connection:
        connection.execute(
            "INSERT INTO group_member (group_id, account_id) SELECT %s, unnest(%s)", (team.id, list(members))
        )
    return team


@dataclass
class Program:
    """One mail program."""

    address: str
    answered: int = 0
    """Commands that were answered OK."""
    told: list[bytes] = field(default_factory=list)
    """What the server told it of its own accord."""

    async def begin(self, server: tuple[str, int]) -> None:
        """Connect, sign in and open the inbox."""
        self._reader, self._writer = await asyncio.open_connection(*server)
        await self._line()
        await self.run(f'LOGIN {self.address} "{company.PASSWORD}"')
        await self.run("SELECT INBOX")

    async def run(self, command: str) -> None:
        """Run a command that must succeed."""
        self._writer.write(f"x {command}\r\n".encode())
        while not (line := await self._line()).startswith(b"x "):
            self.told.append(line)
        if not line.startswith(b"x OK"):
            raise AssertionError(f"{command.partition(' ')[0]}: {line!r}")
        self.answered += 1

    async def idle_until(self, news: bytes) -> None:
        """Idle until the server tells something."""
        self._writer.write(b"x IDLE\r\n")
        while not (line := await self._line()).startswith(news):
            self.told.append(line)
        self._writer.write(b"DONE\r\n")
        while not (line := await self._line()).startswith(b"x OK"):
            self.told.append(line)

    async def look_around(self, until: asyncio.Event) -> None:
        """Do all that is no read, over and over."""
        while not until.is_set():
            await self.run("UID FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[TEXT])")
            await self.run("UID SEARCH SUBJECT all")
            await self.run("NOOP")
            await self.run("STATUS INBOX (MESSAGES UNSEEN)")

    async def leave(self) -> None:
        """Sign out."""
        self._writer.write(b"x LOGOUT\r\n")
        while await self._reader.readline():
            pass
        self._writer.close()

    async def _line(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
            # a text that is fetched comes as a literal: the line ends with its length
            while line.endswith(b"}\r\n"):
                size = int(line.rpartition(b"{")[2].rstrip(b"}\r\n"))
                line += await self._reader.readexactly(size) + await self._reader.readline()
        if not line:
            raise AssertionError("the server closed the connection")
        return line.rstrip(b"\r\n")


def people(accounts: Sequence[tuple[int, str]], count: int) -> list[Program]:
    """Give programs to some of the accounts, far apart from each other."""
    return [Program(address) for _, address in accounts[:: len(accounts) // count][:count]]
