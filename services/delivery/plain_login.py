"""Whether a password may come over a connection that is not encrypted."""

import ipaddress
from typing import Final, Literal

PlainLogin = Literal["loopback", "always", "never"]

MEANING: Final = (
    "From where a password may come over a connection that is not encrypted: from this machine only "
    "(loopback), from anywhere (always: something in front encrypts), or from nowhere (never)."
)
"""What the setting of each service that asks for passwords says."""


def allowed(policy: PlainLogin, host: object) -> bool:
    """Tell whether a client may send its password as it is.

    Args:
        policy: the setting.
        host: the client's address as the socket gives it; anything that is no IP address is not this machine.
    """
    return policy == "always" or (policy == "loopback" and _is_loopback(host))


def _is_loopback(host: object) -> bool:
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
