"""Where adapters may connect to: judged by resolved address, at the moment of connecting."""

from __future__ import annotations

import socket

import pytest

from apps.connectors.protocols.connect import address_allowed
from apps.connectors.protocols.http import Http
from apps.connectors.spi import AdapterError, ErrorKind
from tests.connectors.rawserver import RawServer, whole

REFUSED = [
    "127.0.0.1",
    "10.0.0.8",
    "172.16.5.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", REFUSED)
def test_private_and_special_addresses_are_refused(settings, address):
    settings.OUTBOUND_ALLOW_PRIVATE = []
    assert not address_allowed(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111"])
def test_public_addresses_are_allowed(settings, address):
    settings.OUTBOUND_ALLOW_PRIVATE = []
    assert address_allowed(address)


def test_a_private_address_is_allowed_by_its_name_or_itself_only(settings):
    settings.OUTBOUND_ALLOW_PRIVATE = ["erp.internal", "10.1.1.1"]
    assert address_allowed("10.0.0.8", "erp.internal")
    assert address_allowed("10.1.1.1", "whatever.example")
    assert not address_allowed("10.0.0.9", "whatever.example")


def test_the_metadata_address_is_refused_even_when_listed(settings):
    settings.OUTBOUND_ALLOW_PRIVATE = ["169.254.169.254"]
    assert not address_allowed("169.254.169.254", "169.254.169.254")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "0x7f000001"])
def test_loopback_in_any_spelling_is_refused_when_nothing_is_listed(settings, host):
    settings.OUTBOUND_ALLOW_PRIVATE = []
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        http = Http(system=f"ssrf-{host}", base_url=f"https://{host}:{server.port}")
        with pytest.raises(AdapterError) as caught:
            http.get("/x")
        assert caught.value.kind is ErrorKind.PERMISSION
        assert server.connections == 0


def test_a_name_that_turns_private_between_two_calls_is_refused(settings, monkeypatch):
    """DNS rebinding: the name was fine when it was saved, and leads to loopback now."""
    settings.OUTBOUND_ALLOW_PRIVATE = []
    real = socket.getaddrinfo

    def rebound(host, *arguments, **options):
        return real("127.0.0.1" if host == "api.vendor.example" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    http = Http(system="rebound", base_url="https://api.vendor.example")
    with pytest.raises(AdapterError) as caught:
        http.post("/x", json={})
    assert caught.value.kind is ErrorKind.PERMISSION
    assert "private" in caught.value.message


def test_plain_http_is_only_for_listed_hosts(settings):
    settings.OUTBOUND_ALLOW_PRIVATE = []
    with pytest.raises(AdapterError) as caught:
        Http(system="plain", base_url="http://api.vendor.example").get("/x")
    assert "https://" in caught.value.message


@pytest.mark.parametrize("path", ["https://evil.example/x", "http://127.0.0.1:1/x"])
def test_a_full_address_of_another_origin_is_not_called(path):
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        http = Http(system="origin", base_url=server.url)
        with pytest.raises(AdapterError) as caught:
            http.get(path)
        assert caught.value.kind is ErrorKind.CONTRACT_DRIFT
        assert server.requests == []


def test_a_path_with_two_slashes_stays_at_home():
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        Http(system="slashes", base_url=server.url).get("//evil.example/x")
        assert server.requests[0].startswith(b"GET /evil.example/x ")
