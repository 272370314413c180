"""R4: an account's forwarding rule over HTTP."""

from mailrecall.directory import forwarding as directory
from mailrecall.directory.errors import DirectoryError
from mailrecall.directory.forwarding import Rule
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.wiring import Process
from services.gateway.problems import Code, FieldError, Problem, not_found
from services.gateway.settings import GatewaySettings


def find(process: Process[GatewaySettings], owner: Account) -> Rule:
    """Return the account's rule.

    Raises:
        Problem: it has none.
    """
    with process.databases.control() as control:
        rule = directory.rule_of(control, owner.id)
    if rule is None:
        raise not_found("forwarding rule")
    return rule


def put(process: Process[GatewaySettings], owner: Account, target: Address, *, keep_copy: bool) -> Rule:
    """Pass the account's mail on from now on.

    Raises:
        Problem: no mail can go to that address.
    """
    relays = bool(process.settings.smarthost)
    try:
        with process.databases.control() as control:
            return directory.set_rule(control, owner, target, keep_copy=keep_copy, relays=relays)
    except DirectoryError as error:
        raise Problem(Code.INVALID, str(error), [FieldError("#/address", str(error), error.code.value)]) from None


def remove(process: Process[GatewaySettings], owner: Account) -> None:
    """Let the account's mail stay; without a rule there is nothing to do."""
    with process.databases.control() as control:
        directory.remove_rule(control, owner.id)
