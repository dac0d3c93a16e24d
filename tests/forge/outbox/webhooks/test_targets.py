"""Where webhooks go and where they never go."""

import ipaddress
import socket

import pytest

from forge.outbox.webhooks import targets
from forge.outbox.webhooks.targets import Target, TargetRefused

REFUSED = (
    "0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 "
    "192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 "
    "255.255.255.255 168.63.129.16 :: ::1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 "
    "100::1 2001::1 2001:db8::1 2002:a00:1::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%1 fec0::1 ff02::1"
)
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.fixture(autouse=True)
def strict(settings):
    settings.FORGE_WEBHOOK_HTTP, settings.FORGE_WEBHOOK_NETWORKS = False, []


def names(monkeypatch, *addresses):
    """What every name stands for; returns the names that were asked for."""
    asked = []

    def answer(host, port, **kwargs):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


@pytest.mark.parametrize("address", REFUSED.split())
def test_what_is_not_public_is_not_called_whether_written_down_or_found_behind_a_name(address, monkeypatch):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(TargetRefused):
        targets.parse(f"https://{host}/")
    names(monkeypatch, "1.1.1.1", address)  # one bad address among good ones is enough
    with pytest.raises(TargetRefused):
        targets.look_up(targets.parse("https://hooks.example.com/"))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_called(address, monkeypatch):
    names(monkeypatch, address)
    assert targets.look_up(targets.parse("https://hooks.example.com/")) == [address]


def test_an_installation_opens_networks_of_its_own_and_never_those_of_metadata(settings):
    settings.FORGE_WEBHOOK_NETWORKS = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    for one in ("10.0.0.1", "127.0.0.1", "fc00::1"):
        targets.judge(ipaddress.ip_address(one))
    for one in ("169.254.169.254", "fe80::1", "224.0.0.1", "fd00:ec2::254"):
        with pytest.raises(TargetRefused):
            targets.judge(ipaddress.ip_address(one))


@pytest.mark.parametrize(
    "url",
    [
        "", "http://example.com/", "ftp://example.com/", "https://", "https:///x", "//example.com", "https://a b/",
        "https://user@example.com/", "https://user:word@example.com/", "https://example.com/#x", "https://ex\u00e4mple.com/",
        "https://example.com:0/", "https://example.com:99999/", "https://example.com:x/", "https://exam\nple.com/",
        "https://example.com\\@10.0.0.1/", "https://-x.com/", "https://" + "a" * 64 + ".com/", "https://[::1/",
        "https://example.com/" + "a" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_https_address_is_refused(url):
    with pytest.raises(TargetRefused):
        targets.parse(url)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "017700000001"])
def test_other_ways_to_write_an_address_are_judged_by_what_they_stand_for(host):
    with pytest.raises(TargetRefused, match=r"127\.0\.0\.1"):
        targets.look_up(targets.parse(f"https://{host}/"))


def test_an_address_in_parts(settings):
    assert targets.parse("https://Example.com/a?b=c") == Target(True, "example.com", 443, "/a?b=c")
    assert targets.parse("https://[2606:4700::1]:8443").origin == "https://[2606:4700::1]:8443"
    settings.FORGE_WEBHOOK_HTTP = True
    assert targets.parse("http://example.com:81/") == Target(False, "example.com", 81, "/")


def test_a_name_that_stands_for_nothing_is_refused(monkeypatch):
    names(monkeypatch)
    with pytest.raises(TargetRefused, match="no address"):
        targets.look_up(targets.parse("https://hooks.example.com/"))
