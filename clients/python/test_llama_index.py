"""LlamaIndex's `OpenAILike`, against a provider of each language. It wants another `openai` than this suite and runs in an interpreter of its own."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

url, key, *routes = sys.argv[1:]

def weather(city: str) -> str:
    "The weather in a city."
    return "sunny"

told = {}
for route in routes:
    llm = OpenAILike(model=route, api_base=url + "/v1", api_key=key, is_chat_model=True, is_function_calling_model=True, context_window=8000, max_retries=0)
    messages = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hi")]
    asked = llm.chat_with_tools([FunctionTool.from_defaults(weather)], chat_history=messages, allow_parallel_tool_calls=True)
    calls = llm.get_tool_calls_from_response(asked)
    told[route] = {
        "chat": llm.chat(messages).message.content,
        "stream": "".join(piece.delta or "" for piece in llm.stream_chat(messages)),
        "tools": [(call.tool_name, call.tool_kwargs) for call in calls],
    }
print(json.dumps(told))
"""
ROUTES = ["gpt", "claude", "flash", "command", "llama"]


@pytest.fixture(scope="module")
def told(gateway):
    apart = pathlib.Path(sys.prefix) / "llama-index"
    environment = {**os.environ, "PYTHONPATH": str(apart)}
    done = subprocess.run([sys.executable, "-c", SCRIPT, gateway.url, gateway.key, *ROUTES], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("route", ROUTES)
def test_chat_stream_and_tools(told, route):
    calls = [["weather", {"city": "Rome"}], ["weather", {"city": "Oslo"}]]
    assert told[route] == {"chat": "Hello wörld", "stream": "Hello wörld", "tools": calls}
