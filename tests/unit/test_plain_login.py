"""From where a password may come in the clear."""

import pytest

from services.delivery.plain_login import allowed


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_only_this_machine_counts_as_near(host, is_here):
    assert allowed("loopback", host) == is_here
    assert allowed("always", host)
    assert not allowed("never", host)
