"""The administrative API against its own description, by Schemathesis: requests that fit it and requests that do not."""

import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

CONFIGURATION = """
server: {{listen: "127.0.0.1:{port}"}}
admin: {{listen: "127.0.0.1:{admin}"}}
providers:
  - {{name: demo, type: demo}}
routes:
  - {{name: chat, model: {{provider: demo, name: demo-small}}}}
"""

# What fits the description may still be refused for what it means: a name that is taken (409), an old version (412), a limit on two
# things (422).
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "422"]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def api(tmp_path):
    program = pathlib.Path(os.environ["TOLLGATE_BIN"]).resolve()
    admin = free_port()
    configuration = CONFIGURATION.format(port=free_port(), admin=admin)
    (tmp_path / "tollgate.yaml").write_text(configuration)
    create = [program, "user", "create", "--name", "root"]
    token = subprocess.run(create, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()
    gateway = subprocess.Popen([program, "serve"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{admin}"
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"{url}/api/v1/openapi.json") as answer:
                (tmp_path / "openapi.json").write_bytes(answer.read())
            break
        except OSError:
            time.sleep(0.05)
    yield tmp_path, url, token
    gateway.terminate()
    assert gateway.wait(10) == 0


def send(url, token, path, body):
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1{path}", body.encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


def test_the_api_is_as_it_describes_itself(api):
    folder, url, token = api
    send(url, token, "/organisations", '{"name": "acme"}')
    send(url, token, "/teams", '{"name": "research", "organisation": "acme"}')
    (folder / "schemathesis.toml").write_text(SETTINGS)
    program = pathlib.Path(sys.executable).parent / "st"
    arguments = ["run", "openapi.json", "--url", url, "--header", f"Authorization: Bearer {token}"]
    arguments += ["--checks", "all", "--max-examples", "25", "--seed", "1", "--suppress-health-check", "all"]
    told = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stdout
