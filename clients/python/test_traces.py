"""Traces as OpenTelemetry's own definitions of its protocol read them."""

import base64
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CONFIGURATION = """
server: {{listen: "127.0.0.1:{port}"}}
traces: {{endpoint: "http://127.0.0.1:{collector}"}}
providers:
  - {{name: demo, type: demo}}
routes:
  - {{name: chat, model: {{provider: demo, name: demo-small}}}}
"""


def in_base64(body):
    """The protocol's JSON has ids in hex, where protobuf's own has base64."""
    ids = re.compile(r'"(traceId|spanId|parentSpanId)": ?"([0-9a-f]+)"')
    return ids.sub(lambda found: f'"{found[1]}":"{base64.b64encode(bytes.fromhex(found[2])).decode()}"', body)


def test_a_collector_understands_what_it_is_sent(tmp_path):
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["content-length"])
            received.append((self.path, self.headers["content-type"], self.rfile.read(length).decode()))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = CONFIGURATION.format(port=port, collector=collector.server_port)
    (tmp_path / "tollgate.yaml").write_text(configuration)
    program = pathlib.Path(os.environ["TOLLGATE_BIN"]).resolve()
    gateway = subprocess.Popen([program, "serve"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    call = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", call, {"content-type": "application/json"})
    for _ in range(100):
        try:
            urllib.request.urlopen(request).read()
            break
        except OSError:
            time.sleep(0.05)
    gateway.terminate()
    assert gateway.wait(10) == 0
    collector.shutdown()
    (path, content_type, body), = received
    assert (path, content_type) == ("/v1/traces", "application/json")
    # Strict: a field that the definitions do not have is an error.
    told = json_format.Parse(in_base64(body), ExportTraceServiceRequest())
    scope, = told.resource_spans[0].scope_spans
    server, client = scope.spans
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert client.parent_span_id == server.span_id and len(server.trace_id) == 16
    assert server.start_time_unix_nano <= client.start_time_unix_nano <= client.end_time_unix_nano <= server.end_time_unix_nano
    attributes = {attribute.key: attribute.value for attribute in client.attributes}
    assert attributes["gen_ai.operation.name"].string_value == "chat"
    assert attributes["gen_ai.request.model"].string_value == "demo-small"
    assert attributes["gen_ai.usage.output_tokens"].int_value > 0
