"""What the directory refuses, and why."""

from collections.abc import Sequence
from enum import StrEnum


class Code(StrEnum):
    """Stable names of the reasons; programs compare these, people read the message."""

    ADDRESS_INVALID = "address_invalid"
    ADDRESS_TAKEN = "address_taken"
    DOMAIN_TAKEN = "domain_taken"
    DOMAIN_UNKNOWN = "domain_unknown"
    DOMAIN_HAS_EXTERNAL_MEMBERS = "domain_has_external_members"
    ORGANISATION_TAKEN = "organisation_taken"
    ORGANISATION_UNKNOWN = "organisation_unknown"
    ACCOUNT_UNKNOWN = "account_unknown"
    GROUP_UNKNOWN = "group_unknown"
    GROUP_CYCLE = "group_cycle"
    MEMBER_UNKNOWN = "member_unknown"
    NAME_INVALID = "name_invalid"
    LANGUAGE_UNKNOWN = "language_unknown"
    PASSWORD_REFUSED = "password_refused"  # noqa: S105 - a code
    POLICY_REFUSED = "policy_refused"
    AUDIT_RULE_REFUSED = "audit_rule_refused"
    AUDIT_RULE_TAKEN = "audit_rule_taken"
    FORWARDING_REFUSED = "forwarding_refused"
    NO_SHARDS = "no_shards"
    FILES_REFUSED = "files_refused"


class DirectoryError(ValueError):
    """A change of the directory was refused, and nothing of it was stored; the message says what to do instead."""

    def __init__(self, code: Code, message: str, problems: Sequence[str] = ()) -> None:
        """Describe a refusal.

        Args:
            code: its stable name.
            message: for people.
            problems: when files are refused, each bad line with its file and number.
        """
        self.code = code
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *problems]))
