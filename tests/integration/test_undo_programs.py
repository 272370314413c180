"""R26: mail programs that are connected see what an undo puts back."""

import pytest

from mailrecall import clock
from mailrecall.domain.recalls import Requester
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import undoing
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch, imap
from tests.imap import Client


@pytest.mark.rule(26)
def test_r26_an_idling_client_sees_the_copy_come_back_unread_under_a_new_uid(
    databases: Databases, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    firm = company.found(databases, people=2)
    sender, recipient = firm.people
    process = Process(settings, databases)
    messages = [correspondence.send(databases, sender, recipient) for _ in range(2)]
    dispatch.run(process)
    with imap.running(settings, tmp_path_factory.mktemp("imap")) as server, Client(server.address, recipient) as client:
        assert client.uids() == [1, 2]
        client.idle()
        view = correspondence.recalled(process, sender, messages[0])
        assert client.told() == b"* 1 EXPUNGE"
        with databases.control() as connection:
            undoing.request(
                connection,
                Requester(firm.postmaster.id, firm.organisation_id, administrator=True),
                view.public_id,
                None,
                now=clock.now(),
            )
        dispatch.run(process)
        news = client.told()
        while not news.endswith(b"EXISTS"):
            news = client.told()
        assert news == b"* 2 EXISTS"
        client.done()
        assert client.uids() == [2, 3]
        assert client.uids("UNSEEN") == [2, 3]
