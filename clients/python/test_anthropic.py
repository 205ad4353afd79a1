"""The official `anthropic` client, against a provider of each language."""

import os
import pathlib
import subprocess
import sys

import anthropic
import pytest

from provider import assert_ids

TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
ROUTES = ["gpt", "claude", "flash", "command", "llama"]


@pytest.fixture
def client(gateway):
    return anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0)


def hello(model, **more):
    return {"model": model, "max_tokens": 100, "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}], **more}


@pytest.mark.parametrize("route", ROUTES)
def test_messages(client, provider, route):
    answer = client.messages.create(**hello(route))
    assert (answer.content[0].text, answer.stop_reason) == ("Hello wörld", "end_turn")
    cached = None if route in ("command", "llama") else 4
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (12 - (cached or 0), cached, 7)
    assert "tg_clients" not in str(provider.received[0]["headers"])


@pytest.mark.parametrize("route", ROUTES)
def test_stream(client, route):
    with client.messages.stream(**hello(route)) as stream:
        assert "".join(stream.text_stream) == "Hello wörld"
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 7)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(client, provider, route, streamed):
    call = hello(route, tools=TOOLS)
    if streamed:
        with client.messages.stream(**call) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.create(**call)
    uses = [block for block in answer.content if block.type == "tool_use"]
    assert [use.input for use in uses] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert_ids(route, [use.id for use in uses])
    assert answer.stop_reason == "tool_use"
    call["messages"] += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input} for use in uses]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]},
    ]
    assert client.messages.create(**call).content[0].text == "Hello wörld"
    if route == "gpt":
        assert [message["role"] for message in provider.received[-1]["body"]["messages"]][-2:] == ["tool", "tool"]


def test_thinking_blocks_survive_in_their_own_language(client):
    with client.messages.stream(**hello("anthropic/thinking")) as stream:
        final = stream.get_final_message()
    assert (final.content[0].thinking, final.content[0].signature) == ("hm", "sig")


@pytest.mark.parametrize("route", ["openai/broken-stream", "anthropic/broken-stream"])
def test_a_broken_stream_is_an_error_and_never_a_silent_end(client, route):
    with pytest.raises(anthropic.APIError):
        with client.messages.stream(**hello(route)) as stream:
            stream.get_final_message()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("openai/picky", anthropic.BadRequestError),
        ("openai-limited/rate-limited", anthropic.RateLimitError),
        ("anthropic-limited/rate-limited", anthropic.RateLimitError),
        ("openai/broken", anthropic.InternalServerError),
        ("nothing", anthropic.NotFoundError),
    ],
)
def test_errors_have_their_classes(client, model, kind):
    with pytest.raises(kind):
        client.messages.create(**hello(model))


def test_a_wrong_key(gateway):
    client = anthropic.Anthropic(base_url=gateway.url, api_key="wrong", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError):
        client.messages.create(**hello("gpt"))


def test_models(client):
    assert "claude" in [model.id for model in client.models.list()]


def test_the_gateways_prefix(gateway):
    client = anthropic.Anthropic(base_url=f"{gateway.url}/gateway/anthropic", api_key=gateway.key, max_retries=0)
    assert client.messages.create(**hello("gpt")).content[0].text == "Hello wörld"


OLDER = """
import anthropic, sys
assert int(anthropic.__version__.split(".")[0]) < 2, anthropic.__version__
client = anthropic.Anthropic(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
print(client.messages.create(model="gpt", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]).content[0].text)
with client.messages.stream(model="claude", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
    print("".join(stream.text_stream))
"""


def test_the_generation_before(gateway):
    """It sends `x-api-key` and the version of 2023."""
    older = pathlib.Path(sys.prefix) / "older"
    environment = {**os.environ, "PYTHONPATH": str(older), "PYTHONIOENCODING": "utf-8"}
    told = subprocess.run([sys.executable, "-c", OLDER, gateway.url, gateway.key], env=environment, capture_output=True, text=True, timeout=60)
    assert told.stdout.splitlines() == ["Hello wörld", "Hello wörld"], told.stderr
