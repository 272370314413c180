"""Anything over IMAP."""

import base64

from tests import imap
from tests.company import PASSWORD
from tests.fuzz.inputs import numbered
from tests.fuzz.throwing import throw

SAID = [
    (
        b'b LIST "" "*"\r\nc LSUB "" "%"\r\nd STATUS "Sent" (MESSAGES UIDNEXT UNSEEN)\r\ne SELECT INBOX\r\n'
        b"f UID FETCH 1:* (FLAGS BODYSTRUCTURE ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT DATE)])\r\n"
        b"g FETCH 1 (BODY[1.MIME] BODY[TEXT]<0.100> RFC822.SIZE)\r\n"
    ),
    b'b SELECT "Archive"\r\nc CREATE "New &U,BTF2XlZyyKng-"\r\nd RENAME "&AGE-" "&"\r\ne DELETE "&-"\r\nf NOOP\r\n',
    (
        b'b EXAMINE INBOX\r\nc UID SEARCH CHARSET UTF-8 OR SUBJECT "x" NOT (TEXT {3}\r\nabc SINCE 1-Feb-2026)\r\n'
        b"d STORE 1 +FLAGS (\\Flagged)\r\ne UID COPY 1 Archive\r\nf UID MOVE 2 Junk\r\ng EXPUNGE\r\nh CLOSE\r\n"
    ),
    b"b SELECT INBOX\r\nc IDLE\r\nDONE\r\nd CHECK\r\ne UNSELECT\r\nf CAPABILITY\r\ng ID NIL\r\n",
    b'b APPEND Drafts (\\Seen) "17-Jul-2026 02:44:25 -0700" {30+}\r\nSubject: a\r\n\r\n12345678901234\r\n',
]


def _sessions(who: str) -> list[bytes]:
    plain = base64.b64encode(f"\0{who}\0{PASSWORD}".encode())
    signing_in = [f'a LOGIN {who} "{PASSWORD}"\r\n'.encode(), b"a AUTHENTICATE PLAIN\r\n" + plain + b"\r\n"]
    signed_in = [signed_in + said for signed_in in signing_in for said in SAID]
    return [said + b"z LOGOUT\r\n" for said in (*signed_in, b"a AUTHENTICATE PLAIN AGEAYg==\r\n" + SAID[0])]


def test_no_imap_session_harms_the_server(settings, owners, tmp_path):
    sessions = [_sessions(owner.address) for owner in owners]
    with imap.running(settings, tmp_path, imap_login_timeout=5, imap_timeout=5, password_guesses=10_000) as server:
        throw(server, server.address, numbered(*sessions, salt="imap"), "imap.session_failed", '"level": "error"')
