"""Which addresses are refused, however they are written."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from weighbridge.registries.addresses import allowed
from weighbridge.registries.base import RegistryFailed


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.8.9.10", "localhost", "::1", "0.0.0.0", "::", "0.1.2.3", "255.255.255.255", "169.254.169.254",
        "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "2130706433", "0x7f.1", "0177.0.0.1", "127.1",
    ],
)  # fmt: skip
def test_refused(host: str) -> None:
    with pytest.raises(RegistryFailed) as failed:
        allowed(host, 80, ())
    assert failed.value.reason == "AddressRefused"
    assert "WEIGHBRIDGE_ALLOW_ADDRESSES" in failed.value.public


@pytest.mark.parametrize("host", ["10.96.0.17", "192.168.1.1", "172.16.0.1", "fd12:3456::1", "8.8.8.8", "2001:4860:4860::8888"])
def test_cluster_and_public_addresses_are_fine(host: str) -> None:
    assert allowed(host, 80, ()) == (ip_address(host),)


def test_allow_list() -> None:
    assert allowed("127.0.0.1", 80, (ip_network("127.0.0.0/8"),)) == (ip_address("127.0.0.1"),)
    with pytest.raises(RegistryFailed):
        allowed("169.254.169.254", 80, (ip_network("127.0.0.0/8"),))


def test_one_refused_address_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(0, 0, 0, "", (address, 80)) for address in ("10.0.0.1", "169.254.169.254")]
    monkeypatch.setattr("weighbridge.registries.addresses.socket.getaddrinfo", lambda *_, **__: both)
    with pytest.raises(RegistryFailed) as failed:
        allowed("both.example", 80, ())
    assert failed.value.reason == "AddressRefused"


def test_names_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr("weighbridge.registries.addresses.socket.getaddrinfo", resolve)
    for host in ("gone.example", "a" * 70 + ".example", "..", ""):
        with pytest.raises(RegistryFailed) as failed:
            allowed(host, 80, ())
        assert failed.value.reason == "RegistryUnavailable"
