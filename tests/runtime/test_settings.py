"""Settings: read once, a flag over its variable, nonsense refused with a sentence."""

import pytest

from weighbridge.settings import VARIABLES, Address, SettingsError, read


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = read({}, {})
    assert settings.namespaces == ()
    assert settings.metrics_address == Address("", 8080)
    assert settings.health_address == Address("", 8081)
    assert settings.webhook_address == Address("", 0), "off: nobody listens who was not asked to"
    assert (settings.leader_election, settings.lease_duration) == (True, 15.0)
    assert settings.targets == ("Deployment", "StatefulSet", "Service")
    assert not settings.hold
    assert not settings.kueue
    assert (settings.log_format, settings.log_level) == ("json", "info")


def test_a_flag_wins_over_its_variable() -> None:
    settings = read(
        {"WEIGHBRIDGE_LOG_LEVEL": "debug", "WEIGHBRIDGE_NAMESPACES": "a, b,,a"}, {"log_level": "error", "namespaces": None}
    )
    assert settings.log_level == "error"
    assert settings.namespaces == ("a", "b")


def test_addresses_of_both_families_are_taken() -> None:
    settings = read({"WEIGHBRIDGE_METRICS_ADDRESS": "[::1]:0", "WEIGHBRIDGE_ALLOW_ADDRESSES": "127.0.0.0/8,fd00::/8"}, {})
    assert settings.metrics_address == Address("::1", 0)
    assert [str(network) for network in settings.allow_addresses] == ["127.0.0.0/8", "fd00::/8"]


def test_a_network_may_be_named_by_any_address_in_it() -> None:
    settings = read({"WEIGHBRIDGE_ALLOW_ADDRESSES": "10.0.0.1/8"}, {})
    assert [str(network) for network in settings.allow_addresses] == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEIGHBRIDGE_NAMESPACES", "Fraud"),
        ("WEIGHBRIDGE_NAMESPACES", "fraud;search"),
        ("WEIGHBRIDGE_ALLOW_ADDRESSES", "localhost"),
        ("WEIGHBRIDGE_ALLOW_ADDRESSES", "127.0.0.1/33"),
        ("WEIGHBRIDGE_TARGETS", "Deployment,Pod"),
        ("WEIGHBRIDGE_TARGETS", "deployment"),
        ("WEIGHBRIDGE_HOLD", "on"),
        ("WEIGHBRIDGE_KUEUE", "v1beta1"),
        ("WEIGHBRIDGE_METRICS_ADDRESS", "8080"),
        ("WEIGHBRIDGE_HEALTH_ADDRESS", ":80800"),
        ("WEIGHBRIDGE_WEBHOOK_ADDRESS", "on"),
        ("WEIGHBRIDGE_LEADER_ELECTION", "yes"),
        ("WEIGHBRIDGE_LEASE_DURATION", "15"),
        ("WEIGHBRIDGE_LEASE_DURATION", "1s"),
        ("WEIGHBRIDGE_LEASE_DURATION", "1h"),
        ("WEIGHBRIDGE_LOG_FORMAT", "xml"),
        ("WEIGHBRIDGE_LOG_LEVEL", "verbose"),
    ],
)
def test_nonsense_is_refused_naming_variable_value_and_what_is_accepted(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({variable: value}, {})
    accepted = next(each.accepted for each in VARIABLES if each.name == variable)
    assert str(refused.value) == f'{variable}="{value}" cannot be used: write {accepted}'


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match="--log-format="):
        read({}, {"log_format": "xml"})
