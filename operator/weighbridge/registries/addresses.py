"""Which addresses a registry may have. A ModelRegistry makes the operator send requests, with credentials, to where it says; it
must not reach what only the operator's own machine or node can reach: loopback, link-local and with it the cloud's metadata
service.

Cluster and other private addresses are fine: that is where registries live. Must not send anything. Callers connect to the
addresses that are returned here, not to the name, or let TLS prove the name: a name that changes its address between check and
connection (DNS rebinding) then gains nothing.
"""

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from .base import RegistryFailed

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_METADATA = tuple(
    ip_network(each)
    for each in (
        "100.100.100.200/32",  # Alibaba Cloud's metadata service; others are link-local
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle Cloud's older metadata service
        "fd00:ec2::254/128",  # AWS over IPv6
        "fd20:ce::254/128",  # Google Cloud over IPv6
    )
)
_WRAPPED = ip_network("64:ff9b::/96")
"""NAT64: an IPv4 address in the last four bytes."""


def allowed(host: str, port: int, allow: tuple[Network, ...]) -> tuple[Address, ...]:
    """All addresses of `host`, in the resolver's order.

    Raises RegistryFailed: `RegistryUnavailable` where the name has no address now, `AddressRefused` where one of them is of a
    refused kind and not inside `allow`. One refused address refuses the name, or else the resolver's order would decide.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RegistryFailed(
            "RegistryUnavailable",
            f"the host name {host} has no address at the moment; check the URL of the ModelRegistry and the cluster's DNS",
        ) from error
    addresses = tuple(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    for address in addresses:
        if _refused(address) and not any(address in network for network in allow):
            raise RegistryFailed(
                "AddressRefused",
                f"{host} is {_kind(address)}, where the operator sends no requests; use the registry's own address, "
                "or start the operator with WEIGHBRIDGE_ALLOW_ADDRESSES",
            )
    return addresses


def _refused(address: Address) -> bool:
    inner = _inner(address)
    return (
        inner.is_loopback
        or inner.is_link_local
        or inner.is_unspecified
        or inner.is_multicast
        or (inner.version == 4 and (inner in ip_network("0.0.0.0/8") or int(inner) == 2**32 - 1))
        or any(inner in network for network in _METADATA)
    )


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that leads to it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address.sixtofour:
            return address.sixtofour
        if address in _WRAPPED or (int(address) >> 32 == 0 and int(address) > 1):
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _kind(address: Address) -> str:
    inner = _inner(address)
    if inner.is_loopback:
        return "a loopback address"
    if inner.is_link_local or any(inner in network for network in _METADATA):
        return "a link-local or metadata address"
    if inner.is_multicast:
        return "a multicast address"
    return "an unspecified or broadcast address"
