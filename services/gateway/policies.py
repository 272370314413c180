"""An organisation's switches, for its administrators, over HTTP."""

from collections.abc import Mapping
from datetime import datetime

from mailrecall.directory import lookup, organisations
from mailrecall.directory.errors import DirectoryError
from mailrecall.directory.lookup import Account
from mailrecall.domain.policy import Policy
from mailrecall.domain.trail import Actor
from mailrecall.wiring import Process
from services.gateway.administration import require_administrator
from services.gateway.problems import Code, FieldError, Problem
from services.gateway.settings import GatewaySettings


def show(process: Process[GatewaySettings], administrator: Account) -> Policy:
    """Return the switches of the administrator's organisation.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    with process.databases.control() as control:
        return lookup.policy_of(control, administrator.organisation_id)


def change(
    process: Process[GatewaySettings], administrator: Account, switches: Mapping[str, object], *, now: datetime
) -> Policy:
    """Set some switches and leave the others; the audit trail records it (R27). Recalls that there are keep theirs.

    Raises:
        Problem: the account is no administrator, or the switches cannot be so.
    """
    require_administrator(administrator)
    actor = Actor.account(administrator.id)
    try:
        with process.databases.control() as control:
            return organisations.change_policy(control, administrator.organisation_id, switches, actor=actor, now=now)
    except DirectoryError as error:
        raise Problem(Code.INVALID, str(error), [FieldError("#", str(error), error.code.value)]) from None
