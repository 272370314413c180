import pytest
from pymap.parsing import Params
from pymap.parsing.modutf7 import modutf7_encode
from pymap.parsing.specials import Mailbox

from services.delivery.imap import connection, names


@pytest.mark.parametrize("name", ["INBOX", "Sent", "", "a & b", "已发送", "Entwürfe/2026", "&", "&-", "😀"])
def test_what_pymap_writes_is_read_back(name):
    assert names.decode(modutf7_encode(name)) == name


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (b"&", "&"),
        (b"&AGE", "&AGE"),
        (b"Sent&", "Sent&"),
        (b"&\xff-", "&\xff-"),
        (b"&2D0-", "&2D0-"),
        (b"&AGE-&", "a&"),
        (b"\xe5\xb7\xb2", "\xe5\xb7\xb2"),
    ],
)
def test_what_is_no_modified_utf7_stands_for_itself(given, read):
    assert names.decode(given) == read


def test_pymap_reads_names_with_it():
    assert connection.LONGEST_LINE  # which is what has it do so
    mailbox, _ = Mailbox.parse(memoryview(b'"&AGE"\r\n'), Params())
    assert mailbox.value == "&AGE"
