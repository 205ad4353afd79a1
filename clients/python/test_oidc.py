"""Callers with tokens of a real OpenID Connect provider: found by its discovery, signed by its keys, refused where they are for somebody else."""

import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import httpx
import openai
import oidc_provider_mock
import pytest

CONFIGURATION = """
server: {{listen: "127.0.0.1:{port}"}}
store: {{url: none}}
issuers:
  - {{name: login, issuer: "{issuer}", audience: tollgate, claims: {{name: sub, user: email}}, private_addresses: true}}
providers:
  - {{name: demo, type: demo}}
routes:
  - {{name: chat, model: {{provider: demo, name: demo-small}}}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def issuer():
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def gateway(issuer, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("oidc"), free_port()
    (folder / "tollgate.yaml").write_text(CONFIGURATION.format(port=port, issuer=issuer))
    program = pathlib.Path(os.environ["TOLLGATE_BIN"]).resolve()
    running = subprocess.Popen([program, "serve"], cwd=folder, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/readyz").close()
            break
        except OSError:
            time.sleep(0.05)
    yield url
    running.terminate()
    assert running.wait(10) == 0


def token(issuer, client_id):
    """Signs somebody in as a browser would, and gives the token."""
    metadata = httpx.get(f"{issuer}/.well-known/openid-configuration").json()
    back = "http://127.0.0.1/back"
    asked = {"client_id": client_id, "response_type": "code", "redirect_uri": back, "scope": "openid email", "state": "s"}
    signed_in = httpx.post(metadata["authorization_endpoint"], params=asked, data={"sub": "ada"})
    code = urllib.parse.parse_qs(urllib.parse.urlparse(signed_in.headers["location"]).query)["code"][0]
    given = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
    return httpx.post(metadata["token_endpoint"], data=given, auth=(client_id, "secret")).json()["id_token"]


def client(gateway, key):
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key=key, max_retries=0)


def test_whoever_is_signed_in_is_let_in(gateway, issuer):
    answer = client(gateway, token(issuer, "tollgate")).chat.completions.create(model="chat", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content


def test_a_token_for_somebody_else_or_with_another_signature_is_refused(gateway, issuer):
    good = token(issuer, "tollgate")
    head, claims, signature = good.split(".")
    forged = ".".join([head, claims, signature[::-1]])
    for bad in [token(issuer, "another"), forged, "tg_unknown"]:
        with pytest.raises(openai.AuthenticationError):
            client(gateway, bad).chat.completions.create(model="chat", messages=[{"role": "user", "content": "Hi"}])
