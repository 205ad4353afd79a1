"""The official `cohere` client, against a provider of each language."""

import json

import cohere
import pytest

from provider import assert_ids

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
ROUTES = ["gpt", "claude", "flash", "command", "llama"]


@pytest.fixture
def client(gateway):
    return cohere.ClientV2(base_url=gateway.url, api_key=gateway.key)


def hello(model, **more):
    return {"model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], **more}


def assert_calls(route, calls):
    assert [arguments for _, arguments in calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert_ids(route, [id for id, _ in calls])


def calls_of(message):
    return [(call.id, json.loads(call.function.arguments)) for call in message.tool_calls]


@pytest.mark.parametrize("route", ROUTES)
def test_chat(client, provider, route):
    answer = client.chat(**hello(route, p=0.5, k=3) if route == "command" else hello(route))
    assert (answer.message.content[0].text, answer.finish_reason) == ("Hello wörld", "COMPLETE")
    assert (answer.usage.billed_units.input_tokens, answer.usage.billed_units.output_tokens) == (12, 7)
    assert "tg_clients" not in str(provider.received[0]["headers"])
    assert "Be brief." in str(provider.received[0]["body"])


@pytest.mark.parametrize("route", ROUTES)
def test_stream(client, route):
    events = list(client.chat_stream(**hello(route)))
    assert [events[0].type, events[-1].type] == ["message-start", "message-end"]
    text = "".join(event.delta.message.content.text for event in events if event.type == "content-delta")
    assert text == "Hello wörld"
    end = events[-1].delta
    assert (end.finish_reason, end.usage.billed_units.output_tokens) == ("COMPLETE", 7)


@pytest.mark.parametrize("route", ROUTES)
def test_parallel_tools_and_their_results(client, provider, route):
    # Ollama has no way to say so.
    choice = {} if route == "llama" else {"tool_choice": "REQUIRED"}
    call = hello(route, tools=TOOLS, **choice)
    answer = client.chat(**call)
    assert_calls(route, calls_of(answer.message))
    assert answer.finish_reason == "TOOL_CALL"
    results = [{"role": "tool", "tool_call_id": tool.id, "content": [{"type": "document", "document": {"data": {"sky": "sunny"}}}]} for tool in answer.message.tool_calls]
    call["messages"] += [answer.message, *results]
    assert client.chat(**call).message.content[0].text == "Hello wörld"
    assert "sunny" in str(provider.received[-1]["body"])


@pytest.mark.parametrize("route", ROUTES)
def test_streamed_tools(client, route):
    calls = {}
    for event in client.chat_stream(**hello(route, tools=TOOLS)):
        if event.type == "tool-call-start":
            calls[event.index] = [event.delta.message.tool_calls.id, ""]
        elif event.type == "tool-call-delta":
            calls[event.index][1] += event.delta.message.tool_calls.function.arguments
    assert_calls(route, [(id, json.loads(text)) for id, text in calls.values()])


@pytest.mark.parametrize("route", ["gpt", "claude", "llama"])
def test_a_schema(client, provider, route):
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
    answer = client.chat(**hello(route, response_format={"type": "json_object", "json_schema": schema}))
    assert json.loads(answer.message.content[0].text) == {"name": "Ann", "age": 7}
    assert '"required": ["name", "age"]' in json.dumps(provider.received[0]["body"])


def test_a_model_that_thinks(client):
    answer = client.chat(**hello("anthropic/thinking"))
    assert [(part.type, getattr(part, part.type)) for part in answer.message.content] == [("thinking", "hm"), ("text", "Hello wörld")]


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("openai/picky", cohere.BadRequestError, 400),
        ("anthropic-limited/rate-limited", cohere.TooManyRequestsError, 429),
        ("nothing", cohere.NotFoundError, 404),
    ],
)
def test_errors(client, model, error, status):
    with pytest.raises(error) as caught:
        client.chat(**hello(model), request_options={"max_retries": 0})
    assert caught.value.status_code == status
    assert caught.value.body["message"]


def test_a_refusal_names_the_field(client):
    with pytest.raises(cohere.BadRequestError, match="documents"):
        client.chat(**hello("gpt", documents=["d"]))


def test_a_broken_stream_has_an_error_and_no_end(client):
    *_, last = client.chat_stream(**hello("anthropic/broken-stream"))
    assert (last.type, last.delta.finish_reason) == ("message-end", "ERROR")
    assert last.delta.error


@pytest.mark.parametrize(("route", "kind"), [("vectors", "float"), ("vectors", "base64"), ("embed", "float")])
def test_vectors(client, route, kind):
    answer = client.embed(model=route, texts=["a", "b"], input_type="search_document", embedding_types=[kind])
    vectors = answer.embeddings.float_ if kind == "float" else answer.embeddings.base64
    assert vectors == [{"float": [0.25, -0.5], "base64": "AACAPgAAAL8="}[kind]] * 2
    assert answer.meta.billed_units.input_tokens == 3


@pytest.mark.parametrize("route", ["vectors", "embed"])
def test_vectors_for_a_client_of_the_first_version(gateway, route):
    client = cohere.Client(base_url=gateway.url, api_key=gateway.key)
    answer = client.embed(model=route, texts=["a", "b"], input_type="search_document")
    assert (answer.response_type, answer.embeddings) == ("embeddings_floats", [[0.25, -0.5]] * 2)
    typed = client.embed(model=route, texts=["a", "b"], input_type="search_document", embedding_types=["float"])
    assert typed.embeddings.float_ == [[0.25, -0.5]] * 2
    with pytest.raises(cohere.NotFoundError):
        client.embed(model="nobody", texts=["a"])


def test_rerank(client, provider):
    answer = client.rerank(model="rerank", query="q", documents=["a", "b"], top_n=2)
    assert [(result.index, result.relevance_score) for result in answer.results] == [(1, 0.9), (0, 0.1)]
    assert answer.meta.billed_units.search_units == 1
    assert provider.received[0]["body"]["top_n"] == 2


def test_openais_client_reaches_cohere(gateway):
    import openai

    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    call = {"model": "command", "messages": [{"role": "user", "content": "Hi"}]}
    assert client.chat.completions.create(**call).choices[0].message.content == "Hello wörld"
    message = client.chat.completions.create(**call, tools=TOOLS).choices[0].message
    assert (message.content, [tool.id for tool in message.tool_calls]) == ("I look.", ["call_1", "call_2"])
    assert client.embeddings.create(model="embed", input="a").data[0].embedding == [0.25, -0.5]
