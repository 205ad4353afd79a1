"""The official `google-genai` client, against a provider of each language."""

import asyncio

import pydantic
import pytest
from google import genai
from google.genai import errors, types

from provider_gemini import SIGNATURE

WEATHER = {"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)
ROUTES = ["gpt", "claude", "flash", "command", "llama"]


class Person(pydantic.BaseModel):
    name: str
    age: int


def make(gateway, **more):
    return genai.Client(**{"api_key": gateway.key, "http_options": {"base_url": gateway.url}, **more})


@pytest.fixture
def client(gateway):
    return make(gateway)


def hello(model, **config):
    return {"model": model, "contents": "Hi", "config": types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=100, **config)}


@pytest.mark.parametrize("route", ROUTES)
def test_generate_content(client, provider, route):
    answer = client.models.generate_content(**hello(route))
    assert answer.text == "Hello wörld"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    cached = None if route in ("command", "llama") else 4
    assert (usage.prompt_token_count, usage.cached_content_token_count, usage.total_token_count) == (12, cached, 19)
    assert "tg_clients" not in str(provider.received[0]["headers"])


@pytest.mark.parametrize("route", ROUTES)
def test_stream(client, route):
    chunks = list(client.models.generate_content_stream(**hello(route)))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello wörld"
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.prompt_token_count == 12


@pytest.mark.parametrize("route", ROUTES)
def test_stream_without_waiting(gateway, route):
    async def collect():
        async with make(gateway).aio as client:
            stream = await client.models.generate_content_stream(**hello(route))
            return "".join([chunk.text or "" async for chunk in stream])

    assert asyncio.run(collect()) == "Hello wörld"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(client, provider, route, streamed):
    call = hello(route, tools=[{"function_declarations": [WEATHER]}], automatic_function_calling=BY_HAND)
    if streamed:
        chunks = list(client.models.generate_content_stream(**call))
        assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or [] if part.function_call]
    else:
        parts = client.models.generate_content(**call).candidates[0].content.parts
        # Cohere's models say what they are about to do.
        parts = [part for part in parts if part.function_call]
    assert [part.function_call.args for part in parts] == [{"city": "Rome"}, {"city": "Oslo"}]
    results = [types.Part.from_function_response(name="weather", response={"output": "sunny"}) for _ in parts]
    call["contents"] = [types.UserContent("Hi"), types.ModelContent(parts), types.UserContent(results)]
    assert client.models.generate_content(**call).text == "Hello wörld"
    sent = provider.received[-1]["body"]
    if route == "gpt":
        assert [message.get("tool_call_id") for message in sent["messages"][-2:]] == ["call_1", "call_2"]
    if route == "flash":
        assert sent["contents"][1]["parts"][0]["thoughtSignature"] == SIGNATURE.replace("+", "-").replace("/", "_")


def test_proofs_of_other_providers_survive_a_chat(client, provider):
    chat = client.chats.create(model="anthropic/thinking", config=hello("")["config"])
    for chunk in chat.send_message_stream("Hi"):
        pass
    chat.send_message("And?")
    said = provider.received[-1]["body"]["messages"][1]["content"]
    assert said[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}


@pytest.mark.parametrize("route", ROUTES)
def test_thoughts(client, route):
    config = types.ThinkingConfig(thinking_budget=2048, include_thoughts=True)
    parts = client.models.generate_content(**hello(route, thinking_config=config)).candidates[0].content.parts
    thoughts = [part.text for part in parts if part.thought]
    assert thoughts == (["hm"] if route in ("claude", "flash") else [])


@pytest.mark.parametrize("route", ROUTES)
def test_structured_output(client, route):
    answer = client.models.generate_content(**hello(route, response_mime_type="application/json", response_schema=Person))
    assert answer.parsed == Person(name="Ann", age=7)


@pytest.mark.parametrize("route", ["vectors", "own-vectors"])
def test_embeddings(client, provider, route):
    for contents, count in [("one", 1), (["one", "two"], 2)]:
        answer = client.models.embed_content(model=route, contents=contents, config={"output_dimensionality": 2})
        assert [embedding.values for embedding in answer.embeddings] == [[0.25, -0.5]] * count
    assert "2" in str(provider.received[-1]["body"])


@pytest.mark.parametrize("model", ["openai/broken-stream", "anthropic/broken-stream", "gemini/broken-stream"])
def test_a_broken_stream_is_an_error_and_never_a_silent_end(client, model):
    with pytest.raises(errors.APIError):
        list(client.models.generate_content_stream(**hello(model)))


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("openai/picky", errors.ClientError, 400),
        ("gemini/picky", errors.ClientError, 400),
        ("openai-limited/rate-limited", errors.ClientError, 429),
        ("gemini-limited/rate-limited", errors.ClientError, 429),
        ("gemini/broken", errors.ServerError, 500),
        ("nothing", errors.ClientError, 404),
    ],
)
def test_errors_have_their_classes(client, model, kind, code):
    with pytest.raises(kind) as told:
        client.models.generate_content(**hello(model))
    assert told.value.code == code


def test_a_wrong_key(gateway):
    client = make(gateway, api_key="wrong")
    with pytest.raises(errors.ClientError) as told:
        client.models.generate_content(**hello("gpt"))
    assert (told.value.code, told.value.status) == (401, "UNAUTHENTICATED")


def test_tokens_are_counted_by_gemini_alone(client):
    assert client.models.count_tokens(model="flash", contents="Hi").total_tokens == 7
    with pytest.raises(errors.ClientError) as told:
        client.models.count_tokens(model="gpt", contents="Hi")
    assert "countTokens" in told.value.message


def test_models(client):
    assert "models/flash" in [model.name for model in client.models.list()]
    assert "generateContent" in client.models.get(model="flash").supported_actions


def test_the_gateways_prefix(gateway):
    client = make(gateway, http_options={"base_url": f"{gateway.url}/gateway/gemini"})
    assert client.models.generate_content(**hello("gpt")).text == "Hello wörld"
