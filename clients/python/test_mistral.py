"""The official `mistralai` client, against providers that are not its own."""

import json

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

ROUTES = ["gpt", "claude", "flash", "command"]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


@pytest.fixture
def client(gateway):
    with Mistral(api_key=gateway.key, server_url=gateway.url) as client:
        yield client


@pytest.mark.parametrize("route", ROUTES)
def test_chat(client, route):
    answer = client.chat.complete(model=route, messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello wörld"
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("stop", 7)


@pytest.mark.parametrize("route", ROUTES)
def test_stream(client, route):
    with client.chat.stream(model=route, messages=MESSAGES) as events:
        text = "".join(event.data.choices[0].delta.content or "" for event in events if event.data.choices)
    assert text == "Hello wörld"


@pytest.mark.parametrize("route", ROUTES)
def test_tools_and_their_results(client, route):
    asked = client.chat.complete(model=route, messages=MESSAGES, tools=TOOLS, tool_choice="auto").choices[0].message
    assert [call.function.name for call in asked.tool_calls] == ["weather", "weather"]
    arguments = asked.tool_calls[0].function.arguments
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == {"city": "Rome"}
    results = [{"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "sunny"} for call in asked.tool_calls]
    answer = client.chat.complete(model=route, messages=[*MESSAGES, asked, *results], tools=TOOLS)
    assert answer.choices[0].message.content == "Hello wörld"


def test_errors(client):
    with pytest.raises(SDKError) as caught:
        client.chat.complete(model="nothing", messages=MESSAGES)
    assert caught.value.status_code == 404
