"""What Bedrock gets of the gateway, beside what AWS's own client sends: signatures by `botocore`, addresses and bodies by `boto3`."""

import http.server
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.request

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from test_oidc import free_port

REGION = "eu-central-1"
KEYS = {"access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
SESSION = "a/session+token=="
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"
MODELS = ["amazon.nova-lite-v1:0", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", PROFILE]
HELLO = "Hi, größe ☃"

CONFIGURATION = """
store: {{url: none}}
direct_use: true
providers:
  - name: briefly
    type: bedrock
    base_url: "{url}"
    region: {region}
    auth: {{aws: {{aws_access_key_id: "{access_key}", aws_secret_access_key: "{secret_key}", aws_session_token: "{session}"}}}}
  - name: always
    type: bedrock
    base_url: "{url}"
    region: {region}
    auth: {{aws: {{aws_access_key_id: "{access_key}", aws_secret_access_key: "{secret_key}"}}}}
"""


class Recorder(http.server.BaseHTTPRequestHandler):
    """Writes down what it is asked, byte for byte, and answers as Bedrock would."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        answer = json.dumps(CLAUDES if self.path.endswith("/invoke") else CONVERSES).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


USAGE = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
CONVERSES = {"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}
CLAUDES = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 2},
}


@pytest.fixture(scope="module")
def bedrock():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.daemon_threads, server.received = True, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(bedrock, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("bedrock"), free_port()
    (folder / "tollgate.yaml").write_text(CONFIGURATION.format(url=bedrock.url, region=REGION, session=SESSION, **KEYS))
    program = pathlib.Path(os.environ["TOLLGATE_BIN"]).resolve()
    running = subprocess.Popen([program, "serve", "--listen", f"127.0.0.1:{port}"], cwd=folder, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(500):
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=1).close()
            break
        except OSError:
            assert running.poll() is None, "the gateway ended"
            time.sleep(0.01)
    yield url
    running.terminate()
    assert running.wait(10) == 0


def ask(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def sent(bedrock, gateway, path, body):
    """What reaches Bedrock of a call."""
    bedrock.received.clear()
    ask(gateway, path, body)
    [request] = bedrock.received
    return request


CALLS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": HELLO}]},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": HELLO}]},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("lasting", ["briefly", "always"])
def test_the_signature_is_botocores(bedrock, gateway, lasting, path, model):
    address, headers, body = sent(bedrock, gateway, path, {"model": f"{lasting}/{model}", **CALLS[path]})
    credentials = Credentials(**KEYS, token=SESSION if lasting == "briefly" else None)
    # What the gateway signed, so that both sign the same; the rest of its headers may change on the way.
    signed = {name: headers[name] for name in headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")}
    assert {"host", "content-type", "x-amz-date"} <= signed.keys()
    assert ("x-amz-security-token" in signed) == (lasting == "briefly")
    request = AWSRequest("POST", bedrock.url + address, data=body, headers={name: value for name, value in signed.items() if not name.startswith("x-amz-")})
    at = AtThatTime(credentials, "bedrock", REGION, headers["x-amz-date"])
    at.add_auth(request)
    assert request.headers["Authorization"] == headers["authorization"]
    assert request.headers.get("X-Amz-Security-Token") == headers.get("x-amz-security-token")


class AtThatTime(SigV4Auth):
    """Signs as at another time: `botocore` takes the time from the clock, and puts it where its own steps look for it."""

    def __init__(self, credentials, service, region, date):
        super().__init__(credentials, service, region)
        self.date = date

    def _modify_request_before_signing(self, request):
        request.context["timestamp"] = self.date
        super()._modify_request_before_signing(request)


@pytest.mark.parametrize("model", MODELS)
def test_converse_is_asked_as_boto3_asks(bedrock, gateway, model):
    client = boto3.client("bedrock-runtime", region_name=REGION, endpoint_url=bedrock.url, config=Config(signature_version=UNSIGNED))
    bedrock.received.clear()
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    answer = client.converse(
        modelId=model,
        system=[{"text": "Be brief."}],
        messages=[{"role": "user", "content": [{"text": HELLO}]}],
        inferenceConfig={"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
        toolConfig={"tools": [{"toolSpec": {"name": "weather", "description": "The weather.", "inputSchema": {"json": schema}}}], "toolChoice": {"auto": {}}},
    )
    assert answer["output"] == CONVERSES["output"]
    [(path, headers, body)] = bedrock.received
    call = {
        "model": f"always/{model}",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}],
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.25,
        "stop": ["END"],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": schema}}],
        "tool_choice": "auto",
    }
    ours = sent(bedrock, gateway, "/v1/chat/completions", call)
    assert (ours[0], ours[1]["content-type"]) == (path, headers["content-type"])
    assert json.loads(ours[2]) == json.loads(body)


@pytest.mark.parametrize("model", MODELS[1:2])
def test_claude_is_invoked_as_boto3_invokes(bedrock, gateway, model):
    client = boto3.client("bedrock-runtime", region_name=REGION, endpoint_url=bedrock.url, config=Config(signature_version=UNSIGNED))
    bedrock.received.clear()
    call = CALLS["/v1/messages"]
    told = client.invoke_model(modelId=model, contentType="application/json", body=json.dumps({"anthropic_version": "bedrock-2023-05-31", **call}))
    assert json.load(told["body"]) == CLAUDES
    [(path, headers, body)] = bedrock.received
    ours = sent(bedrock, gateway, "/v1/messages", {"model": f"always/{model}", **call})
    assert (ours[0], ours[1]["content-type"]) == (path, headers["content-type"])
    assert json.loads(ours[2]) == json.loads(body)
