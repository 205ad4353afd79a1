"""A scripted provider and a gateway in front of it."""

import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import pytest

from provider import Provider

KEY = "tg_clients"
HASH = "sha256:" + __import__("hashlib").sha256(KEY.encode()).hexdigest()

CONFIGURATION = """
direct_use: true
store: {{responses_kept: 1d}}
providers:
  - {{name: openai, type: openai, api_key: sk-up-1, base_url: "{url}/v1", timeouts: {{first_token: 1s, idle: 1s}}}}
  - {{name: anthropic, type: anthropic, api_key: sk-ant-1, base_url: "{url}", timeouts: {{first_token: 1s, idle: 1s}}}}
  - {{name: gemini, type: gemini, api_key: AIza-1, base_url: "{url}", timeouts: {{first_token: 1s, idle: 1s}}}}
  - {{name: gemini-limited, type: gemini, api_key: AIza-2, base_url: "{url}"}}
  - {{name: openai-limited, type: openai, api_key: sk-up-2, base_url: "{url}/v1"}}
  - {{name: anthropic-limited, type: anthropic, api_key: sk-ant-2, base_url: "{url}"}}
  - {{name: openai-at-its-limit, type: openai, api_key: sk-up-3, base_url: "{url}/v1"}}
  - {{name: ollama, type: ollama, base_url: "{url}"}}
  - {{name: elsewhere, type: custom, api_key: sk-up-4, base_url: "{url}/v1", timeouts: {{first_token: 1s, idle: 1s}}}}
  - {{name: served, type: mlflow, model_server_url: "{url}"}}
  - {{name: cohere, type: cohere, api_key: co-1, base_url: "{url}", timeouts: {{first_token: 1s, idle: 1s}}}}
routes:
  - {{name: gpt, retries: {{per_target: 0}}, model: {{provider: openai, name: plain}}}}
  - {{name: claude, retries: {{per_target: 0}}, model: {{provider: anthropic, name: plain}}}}
  - {{name: llama, retries: {{per_target: 0}}, model: {{provider: ollama, name: plain}}}}
  - {{name: chat-only, retries: {{per_target: 0}}, model: {{provider: elsewhere, name: plain}}}}
  - {{name: flash, retries: {{per_target: 0}}, model: {{provider: gemini, name: plain}}}}
  - {{name: own-vectors, route_type: llm/v1/embeddings, model: {{provider: gemini, name: plain}}}}
  - {{name: resilient, retries: {{per_target: 0}}, model: {{strategy: {{type: ordered, models: [{{provider: openai, name: broken}}, {{provider: anthropic, name: plain}}]}}}}}}
  - {{name: complete, route_type: llm/v1/completions, model: {{provider: openai, name: plain}}}}
  - {{name: vectors, route_type: llm/v1/embeddings, model: {{provider: openai, name: plain}}}}
  - {{name: iris, route_type: ml/v1/predict, model: {{provider: served, name: iris}}}}
  - {{name: served-chat, model: {{provider: served, name: chat}}}}
  - {{name: command, retries: {{per_target: 0}}, model: {{provider: cohere, name: plain}}}}
  - {{name: embed, route_type: llm/v1/embeddings, model: {{provider: cohere, name: plain}}}}
  - {{name: rerank, route_type: llm/v1/rerank, model: {{provider: cohere, name: plain}}}}
  - {{name: files, route_type: http, path: /apis/openai, methods: [GET, POST, DELETE], model: {{provider: openai}}}}
keys:
  - {{name: clients, hash: "{hash}"}}
"""


class Gateway:
    def __init__(self, folder, provider):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.key = KEY
        file = folder / "tollgate.yaml"
        file.write_text(CONFIGURATION.format(url=provider.url, hash=HASH))
        program = pathlib.Path(os.environ["TOLLGATE_BIN"]).resolve()
        self.process = subprocess.Popen(
            [program, "serve", "--config", file, "--listen", f"127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(500):
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=1)
                return
            except OSError:
                assert self.process.poll() is None, "the gateway ended"
                time.sleep(0.01)
        raise AssertionError("the gateway is not ready")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture(scope="session")
def provider():
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def gateway(provider, tmp_path_factory):
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), provider)
    yield gateway
    gateway.stop()


@pytest.fixture(autouse=True)
def fresh(provider):
    provider.received.clear()
