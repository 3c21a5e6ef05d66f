"""One real sandbox process for the whole folder; every test starts from emptied systems."""

import time
from dataclasses import dataclass

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from apps.core import clock
from tests.sandbox_process import SandboxProcess, free_block

PORTS = (21000, 21490)
CLIENT_ID, CLIENT_SECRET = "consumer-key", "consumer-secret"
STRIPE_KEY, PSA_TOKEN = "sk_test_sandbox", "psa-token"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Keys:
    """Key pairs made once a run: RSA for Salesforce and PS256, EC for ES256 with a certificate."""

    rsa_key: rsa.RSAPrivateKey
    ec_key: ec.EllipticCurvePrivateKey
    ec_certificate: str

    @property
    def rsa_public(self) -> str:
        shape = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return self.rsa_key.public_key().public_bytes(*shape).decode()


@pytest.fixture(scope="session")
def keys() -> Keys:
    ec_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(ec_key.public_key())
    now = clock.now()
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now.replace(year=now.year + 1))
    pem = builder.sign(ec_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return Keys(rsa.generate_private_key(65537, 2048), ec_key, pem)


@pytest.fixture(scope="session")
def process(tmp_path_factory, keys):
    sandbox = SandboxProcess(free_block(*PORTS), tmp_path_factory.mktemp("sandbox"))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(process, keys) -> SandboxProcess:
    control = process.control
    control.reset(everything=True)
    control.credentials(
        "crm",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        username="sync@merridane.test",
        public_key=keys.rsa_public,
    )
    for name in ("erp", "erp-be"):
        control.credentials(name, client_id="ns-client", kid="kid-1", certificate=keys.ec_certificate)
    control.credentials("psa", token=PSA_TOKEN)
    control.credentials("billing", api_key=STRIPE_KEY)
    return process


def crm_session(sandbox: SandboxProcess) -> requests.Session:
    """A session with a client-credentials token; call it with full URLs."""
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    answer = requests.post(f"{sandbox.url('crm')}/services/oauth2/token", data=form, timeout=10)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return session


def erp_token(sandbox: SandboxProcess, key, *, system: str = "erp", algorithm: str = "ES256", **claims):
    """Ask for a token with an assertion; ``claims`` replace the good ones. The answer, not the token."""
    url = f"{sandbox.url(system)}/services/rest/auth/oauth2/v1/token"
    now = int(time.time())
    good = {"iss": "ns-client", "scope": "rest_webservices", "aud": url, "iat": now, "exp": now + 300}
    kid = claims.pop("kid", "kid-1")
    assertion = jwt.encode({**good, **claims}, key, algorithm=algorithm, headers={"kid": kid})
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    return requests.post(url, data=form, timeout=10)


def erp_session(sandbox: SandboxProcess, keys: Keys, *, system: str = "erp") -> requests.Session:
    session = requests.Session()
    token = erp_token(sandbox, keys.ec_key, system=system).json()["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"
    return session
