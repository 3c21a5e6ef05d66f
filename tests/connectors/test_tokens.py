"""OAuth tokens: minted once for all threads, renewed once when refused."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apps.connectors.protocols.http import Http
from apps.connectors.protocols.oauth import (
    OAuth,
    Token,
    client_credentials,
    fingerprint,
    forget_tokens,
    jwt_bearer,
    signed_client_credentials,
)
from apps.connectors.spi import AdapterError, ErrorKind
from tests.connectors.rawserver import RawServer, whole


@pytest.fixture(autouse=True)
def _no_tokens():
    forget_tokens()
    yield
    forget_tokens()


def pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Bank:
    """A server that knows one valid token at a time and counts the mintings."""

    def __init__(self) -> None:
        self.minted = 0
        self.valid = ""
        self.lock = threading.Lock()
        self.server = RawServer(self.answer)

    def answer(self, connection, request: bytes) -> None:
        with self.lock:
            if b"POST /token" in request:
                self.minted += 1
                self.valid = f"token-{self.minted}"
                body = json.dumps({"access_token": self.valid, "expires_in": "3600"}).encode()
                connection.sendall(whole(body))
            elif f"Bearer {self.valid}".encode() in request:
                connection.sendall(whole(b'{"ok": true}'))
            else:
                connection.sendall(whole(b"{}", status="401 Unauthorized"))

    def client(self) -> Http:
        plain = Http(system="bank", base_url=self.server.url)
        auth = OAuth(
            system="bank",
            credentials=fingerprint(self.server.url),
            mint=lambda: client_credentials(plain, path="/token", client_id="id", client_secret="secret"),
        )
        return Http(system="bank", base_url=self.server.url, auth=auth)


@pytest.fixture
def bank():
    made = Bank()
    yield made
    made.server.close()


def test_many_threads_at_the_start_mint_one_token(bank):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: bank.client().get("/x").status, range(40)))
    assert answers == [200] * 40
    assert bank.minted == 1


def test_many_threads_with_a_refused_token_renew_it_once(bank):
    bank.client().get("/x")
    bank.valid = "revoked"
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: bank.client().get("/x").status, range(40)))
    assert answers == [200] * 40
    assert bank.minted == 2


def test_a_write_is_repeated_after_a_401_because_it_had_no_effect(bank):
    bank.client().get("/x")
    bank.valid = "revoked"
    assert bank.client().post("/x", json={}).status == 200


def test_two_refusals_are_an_authentication_error():
    def answer(connection, request):
        if b"POST /token" in request:
            connection.sendall(whole(b'{"access_token": "never-good"}'))
        else:
            connection.sendall(whole(b"{}", status="401 Unauthorized"))

    with RawServer(answer) as server:
        plain = Http(system="twice", base_url=server.url)
        auth = OAuth(
            system="twice",
            credentials="x",
            mint=lambda: client_credentials(plain, path="/token", client_id="i", client_secret="s"),
        )
        with pytest.raises(AdapterError) as caught:
            Http(system="twice", base_url=server.url, auth=auth).get("/x")
        assert caught.value.kind is ErrorKind.AUTH
        assert caught.value.code == "INT-AUTH"
        calls = [request for request in server.requests if b"GET /x" in request]
        assert len(calls) == 2


def test_refused_credentials_are_not_tried_again_by_every_thread():
    def answer(connection, request):
        body = b'{"error": "invalid_client", "error_description": "invalid client credentials"}'
        connection.sendall(whole(body, status="400 Bad Request"))

    with RawServer(answer) as server:
        plain = Http(system="refused", base_url=server.url)

        def mint() -> Token:
            return client_credentials(plain, path="/token", client_id="i", client_secret="s")

        def ask(_number: int) -> str:
            with pytest.raises(AdapterError) as caught:
                OAuth(system="refused", credentials="x", mint=mint).value()
            return caught.value.message

        with ThreadPoolExecutor(8) as pool:
            messages = set(pool.map(ask, range(16)))
        assert messages == {"refused refused our credentials: invalid client credentials"}
        assert len(server.requests) == 1


def test_a_token_is_not_used_in_its_last_seconds(bank):
    minted = []

    def mint() -> Token:
        minted.append(1)
        return Token(value=f"t{len(minted)}", lifetime=20.0)

    auth = OAuth(system="short", credentials="x", mint=mint)
    assert auth.value() == "Bearer t1"
    assert auth.value() == "Bearer t2"


def test_changed_credentials_get_a_token_of_their_own():
    first = OAuth(system="s", credentials=fingerprint("a"), mint=lambda: Token(value="one"))
    second = OAuth(system="s", credentials=fingerprint("b"), mint=lambda: Token(value="two"))
    assert (first.value(), second.value(), first.value()) == ("Bearer one", "Bearer two", "Bearer one")


def test_the_parts_of_a_fingerprint_cannot_run_together():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


@pytest.mark.parametrize("algorithm", ["PS256", "ES256"])
def test_a_signed_assertion_holds_what_netsuite_asks_for(algorithm):
    key = (
        rsa.generate_private_key(65537, 2048)
        if algorithm == "PS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    seen = {}

    def answer(connection, request):
        form = dict(pair.split("=") for pair in request.split(b"\r\n\r\n", 1)[1].decode().split("&"))
        seen.update(form)
        connection.sendall(whole(b'{"access_token": "t", "expires_in": "3600"}'))

    with RawServer(answer) as server:
        token = signed_client_credentials(
            Http(system="m2m", base_url=server.url),
            path="/token",
            audience="https://account.example/token",
            client_id="client",
            certificate_id="cert-1",
            private_key=pem(key),
            algorithm=algorithm,
        )
    assert token.lifetime == 3600
    claims = jwt.decode(
        seen["client_assertion"],
        key.public_key(),
        algorithms=[algorithm],
        audience="https://account.example/token",
    )
    assert jwt.get_unverified_header(seen["client_assertion"])["kid"] == "cert-1"
    assert claims["iss"] == "client"
    assert claims["scope"] == "rest_webservices"
    assert claims["exp"] - claims["iat"] <= 3600


def test_an_unreadable_private_key_is_an_authentication_error_and_sends_nothing():
    with RawServer(lambda connection, request: connection.sendall(whole(b"{}"))) as server:
        with pytest.raises(AdapterError) as caught:
            jwt_bearer(
                Http(system="key", base_url=server.url),
                path="/token",
                issuer="i",
                subject="s",
                audience="a",
                private_key="-----BEGIN PRIVATE KEY-----\nnonsense",
            )
        assert caught.value.kind is ErrorKind.AUTH
        assert server.requests == []


def test_a_token_request_that_breaks_off_is_transient():
    with RawServer(lambda connection, request: None) as server, pytest.raises(AdapterError) as caught:
        client_credentials(
            Http(system="cut", base_url=server.url), path="/t", client_id="i", client_secret="s"
        )
    assert caught.value.kind is ErrorKind.TRANSIENT
