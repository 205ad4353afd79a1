"""The official `openai` client's responses, against providers that speak them and providers that do not."""

import json

import openai
import pydantic
import pytest

from provider import assert_ids

TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": False}]
ROUTES = ["gpt", "chat-only", "claude", "flash", "command"]
OTHERS = ["chat-only", "claude", "flash", "command"]


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)


def hello(model, **more):
    return {"model": model, "instructions": "Be brief.", "input": "Hi", **more}


@pytest.mark.parametrize("route", ROUTES)
def test_an_answer(client, provider, route):
    answer = client.responses.create(**hello(route))
    assert (answer.output_text, answer.status, answer.error) == ("Hello wörld", "completed", None)
    cached = 0 if route == "command" else 4
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.input_tokens_details.cached_tokens) == (12, 7, cached)
    assert answer.id and answer.created_at and answer._request_id
    paths = {"gpt": "/v1/responses", "chat-only": "/v1/chat/completions", "claude": "/v1/messages", "command": "/v2/chat"}
    assert provider.received[0]["path"] == paths.get(route, "/v1beta/models/plain:generateContent")


@pytest.mark.parametrize("route", ROUTES)
def test_the_stream_adds_up(client, route):
    with client.responses.stream(**hello(route)) as stream:
        events = list(stream)
        answer = stream.get_final_response()
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello wörld"
    assert answer.output_text == "Hello wörld" and answer.usage.output_tokens == 7
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")


@pytest.mark.parametrize("route", OTHERS)
@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(client, provider, route, streamed):
    call = hello(route, tools=TOOLS, input=[{"role": "user", "content": "Weather?"}])
    if streamed:
        with client.responses.stream(**call) as stream:
            answer = stream.get_final_response()
    else:
        answer = client.responses.create(**call)
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(item.name, json.loads(item.arguments)) for item in calls] == [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]
    ids = [item.call_id for item in calls]
    assert_ids(route, ids)
    call["input"] += answer.output
    call["input"] += [{"type": "function_call_output", "call_id": item.call_id, "output": "sunny"} for item in calls]
    assert client.responses.create(**call).output_text == "Hello wörld"
    sent = provider.received[-1]["body"]
    if route == "flash":
        assert [part["functionResponse"]["name"] for part in sent["contents"][-1]["parts"]] == ["weather", "weather"]
    elif route == "claude":
        assert [block["tool_use_id"] for block in sent["messages"][-1]["content"]] == ids
    else:
        assert [message["tool_call_id"] for message in sent["messages"][-2:]] == ids


@pytest.mark.parametrize("route", OTHERS)
def test_structured_output(client, route):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    assert client.responses.parse(**hello(route), text_format=Person).output_parsed == Person(name="Ann", age=7)


@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_goes_back_with_its_signature(client, provider, streamed):
    call = hello("anthropic/thinking", tools=TOOLS, input=[{"role": "user", "content": "Weather?"}])
    if streamed:
        with client.responses.stream(**call) as stream:
            answer = stream.get_final_response()
    else:
        answer = client.responses.create(**call)
    assert answer.output[0].type == "reasoning" and answer.output[0].summary[0].text == "hm"
    call["input"] += answer.output
    call["input"] += [{"type": "function_call_output", "call_id": item.call_id, "output": "sunny"} for item in answer.output if item.type == "function_call"]
    client.responses.create(**call)
    said = provider.received[-1]["body"]["messages"][1]["content"]
    assert said[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}


@pytest.mark.parametrize("model", ["elsewhere/broken-stream", "anthropic/broken-stream", "openai/broken-stream"])
def test_a_broken_stream_is_an_error_and_never_a_silent_end(client, model):
    with pytest.raises(openai.APIError):
        list(client.responses.create(**hello(model, stream=True)))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("elsewhere/picky", openai.BadRequestError),
        ("anthropic/picky", openai.BadRequestError),
        ("elsewhere/broken", openai.InternalServerError),
        ("nothing", openai.NotFoundError),
    ],
)
def test_errors_have_their_classes(client, model, kind):
    with pytest.raises(kind) as caught:
        client.responses.create(**hello(model))
    assert caught.value.request_id


def test_what_is_stored_is_the_providers(client):
    assert client.responses.create(**hello("gpt", previous_response_id="resp_0")).previous_response_id == "resp_0"
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(**hello("claude", previous_response_id="resp_0"))
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (404, "previous_response_not_found", "previous_response_id")


def test_tokens_are_counted_where_the_provider_can(client):
    assert client.responses.input_tokens.count(model="gpt", input="Hi").input_tokens == 11
    with pytest.raises(openai.BadRequestError):
        client.responses.input_tokens.count(model="claude", input="Hi")


def test_azures_client(gateway):
    client = openai.AzureOpenAI(azure_endpoint=gateway.url, api_version="2025-04-01-preview", api_key=gateway.key, max_retries=0)
    assert client.responses.create(**hello("claude")).output_text == "Hello wörld"


@pytest.mark.parametrize("route", OTHERS)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_goes_on_from_one_that_the_gateway_kept(client, provider, route, streamed):
    first = client.responses.create(model=route, input="First")
    assert client.responses.retrieve(first.id).output_text == "Hello wörld"
    call = {"model": route, "input": "Second", "previous_response_id": first.id}
    if streamed:
        with client.responses.stream(**call) as stream:
            second = stream.get_final_response()
    else:
        second = client.responses.create(**call)
    assert second.previous_response_id == first.id and second.id != first.id
    sent = json.dumps(provider.received[-1]["body"], ensure_ascii=False)
    assert sent.index("First") < sent.index("Hello wörld") < sent.index("Second")
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
