"""Who one is, and what one's mailbox does by itself."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint
from werkzeug.wrappers import Response

from mailrecall.directory import accounts
from mailrecall.directory.tokens import Scope
from mailrecall.domain.addresses import Address
from services.gateway import decoding, forwarding
from services.gateway.current import account, process
from services.gateway.describing import describe
from services.gateway.problems import Code
from services.gateway.schemas.accounts import AccountSchema, ForwardingSchema, UndoSendSchema

blueprint = Blueprint("accounts", __name__)

_ACCOUNT = AccountSchema()
_FORWARDING = ForwardingSchema()
_UNDO_SEND = UndoSendSchema()


@dataclass(frozen=True, slots=True)
class _Forwarding:
    target: Address
    keep_copy: bool


@dataclass(frozen=True, slots=True)
class _UndoSend:
    delay: int


@blueprint.get("/account")
@describe(answers={200: AccountSchema}, scope=Scope.READ)
def show_account() -> Any:
    """Return the account that is signed in."""
    return _ACCOUNT.dump(account())


@blueprint.get("/account/forwarding")
@describe(answers={200: ForwardingSchema}, problems=[Code.NOT_FOUND], scope=Scope.READ)
def show_forwarding() -> Any:
    """R4: return where one's mail goes on to."""
    return _FORWARDING.dump(forwarding.find(process(), account()))


@blueprint.put("/account/forwarding")
@describe(body=ForwardingSchema, answers={200: ForwardingSchema}, scope=Scope.ADMIN)
def set_forwarding() -> Any:
    """R4: have one's mail passed on."""
    wanted = decoding.json_body(_FORWARDING, _Forwarding)
    return _FORWARDING.dump(forwarding.put(process(), account(), wanted.target, keep_copy=wanted.keep_copy))


@blueprint.delete("/account/forwarding")
@describe(answers={204: None}, scope=Scope.ADMIN)
def stop_forwarding() -> Any:
    """R4: have one's mail stay."""
    forwarding.remove(process(), account())
    return Response(status=204)


@blueprint.get("/account/sending")
@describe(answers={200: UndoSendSchema}, scope=Scope.READ)
def show_undo_send() -> Any:
    """R28: return how long one's messages wait before they go out."""
    with process().databases.control() as control:
        return _UNDO_SEND.dump(_UndoSend(accounts.undo_send_of(control, account().id)))


@blueprint.put("/account/sending")
@describe(body=UndoSendSchema, answers={200: UndoSendSchema}, scope=Scope.ADMIN)
def set_undo_send() -> Any:
    """R28: choose how long one's messages wait before they go out."""
    wanted = decoding.json_body(_UNDO_SEND, _UndoSend)
    with process().databases.control() as control:
        accounts.set_undo_send(control, account().id, wanted.delay)
    return _UNDO_SEND.dump(wanted)
