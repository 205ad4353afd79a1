"""The official `openai` client, against a provider of each language."""

import openai
import pydantic
import pytest

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
ROUTES = ["gpt", "claude", "flash", "command", "llama"]
WITHOUT_CACHE = ["command", "llama"]  # they do not tell what they had read before


@pytest.fixture
def client(gateway):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)


def hello(model, **more):
    return {"model": model, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], **more}


@pytest.mark.parametrize("route", ROUTES)
def test_chat(client, provider, route):
    answer = client.chat.completions.create(**hello(route))
    assert answer.choices[0].message.content == "Hello wörld"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 7)
    if route not in WITHOUT_CACHE:
        assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer._request_id
    assert "tg_clients" not in str(provider.received[0]["headers"])


@pytest.mark.parametrize("route", ROUTES)
def test_stream(client, route):
    chunks = list(client.chat.completions.create(**hello(route, stream=True)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello wörld"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


@pytest.mark.parametrize("route", ROUTES)
def test_usage_of_a_stream_on_request(client, route):
    chunks = list(client.chat.completions.create(**hello(route, stream=True, stream_options={"include_usage": True})))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 7


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_their_results(client, provider, route, streamed):
    call = hello(route, tools=TOOLS)
    if streamed:
        with client.chat.completions.stream(**call) as stream:
            message = stream.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**call).choices[0].message
    assert [tool.function.name for tool in message.tool_calls] == ["weather", "weather"]
    if route != "flash":  # which gives its calls no ids
        assert [tool.id for tool in message.tool_calls] == ["call_1", "call_2"]
    assert '"Rome"' in message.tool_calls[0].function.arguments
    asked = [{"id": tool.id, "type": "function", "function": {"name": tool.function.name, "arguments": tool.function.arguments}} for tool in message.tool_calls]
    call["messages"].append({"role": "assistant", "tool_calls": asked})
    call["messages"] += [{"role": "tool", "tool_call_id": tool.id, "content": "sunny"} for tool in message.tool_calls]
    assert client.chat.completions.create(**call).choices[0].message.content == "Hello wörld"
    if route == "claude":
        results = provider.received[-1]["body"]["messages"][-1]["content"]
        assert [block["tool_use_id"] for block in results] == ["call_1", "call_2"]


@pytest.mark.parametrize("route", ["gpt", "claude", "flash"])
def test_structured_output(client, route):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    answer = client.chat.completions.parse(**hello(route), response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ann", age=7)


def test_images_reach_anthropic(client, provider):
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    client.chat.completions.create(model="claude", messages=[{"role": "user", "content": parts}])
    image = provider.received[0]["body"]["messages"][0]["content"][1]
    assert image == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


def test_thinking_is_seen_as_reasoning(client):
    chunks = list(client.chat.completions.create(**hello("anthropic/thinking", stream=True)))
    assert "".join(getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks) == "hm"


def test_failover(client):
    raw = client.chat.completions.with_raw_response.create(**hello("resilient"))
    assert raw.headers["x-tollgate-target"] == "anthropic/plain" and raw.headers["x-tollgate-attempts"] == "2"
    assert raw.parse().choices[0].message.content == "Hello wörld"


@pytest.mark.parametrize("route", ["openai/broken-stream", "anthropic/broken-stream"])
def test_a_broken_stream_is_an_error_and_never_a_silent_end(client, route):
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**hello(route, stream=True)))


def test_a_cancelled_stream_stops_the_provider(client, provider):
    before = provider.disconnects
    with client.chat.completions.create(**hello("openai/endless", stream=True)) as stream:
        next(iter(stream))
    for _ in range(100):
        if provider.disconnects > before:
            return
        __import__("time").sleep(0.02)
    raise AssertionError("the provider goes on")


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("openai/picky", openai.BadRequestError),
        ("anthropic/picky", openai.BadRequestError),
        ("openai/slow", openai.InternalServerError),
        ("openai/broken", openai.InternalServerError),
        ("nothing", openai.NotFoundError),
    ],
)
def test_errors_have_their_classes(client, model, kind):
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**hello(model))
    assert caught.value.request_id


def test_a_rate_limit_tells_how_long_to_wait(client):
    # A provider that no other test asks: a key that ran into a limit is left alone by the gateway for as long as the provider said.
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**hello("openai-at-its-limit/rate-limited"))
    assert caught.value.response.headers["retry-after"] == "7" and "slow down" in caught.value.message


def test_a_wrong_key(gateway):
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.models.list()


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert "gpt" in names and client.models.retrieve("gpt").owned_by == "openai"


def test_completions_and_embeddings(client):
    assert client.completions.create(model="complete", prompt="Once").choices[0].text == "and so on"
    answer = client.embeddings.create(model="vectors", input=["a", "b"])
    assert [vector.embedding for vector in answer.data] == [[0.25, -0.5], [0.25, -0.5]]


def test_mlflows_and_openais_prefixes(gateway):
    for prefix in ("/gateway/mlflow/v1", "/gateway/openai/v1"):
        client = openai.OpenAI(base_url=gateway.url + prefix, api_key=gateway.key, max_retries=0)
        assert client.chat.completions.create(**hello("gpt")).choices[0].message.content == "Hello wörld"


def test_files_pass_as_plain_http(gateway, provider):
    client = openai.OpenAI(base_url=f"{gateway.url}/apis/openai/v1", api_key=gateway.key, max_retries=0)
    assert [file.id for file in client.files.list()] == ["file-1"]
    file = client.files.create(file=("calls.jsonl", b"{}\n" * 1000), purpose="batch")
    sent = provider.received[-1]
    assert sent["headers"]["content-type"].startswith("multipart/form-data; boundary=") and file.bytes == len(sent["body"]) > 3000
    assert sent["headers"]["authorization"] == "Bearer sk-up-1"
    assert client.files.delete("file-1").deleted
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{gateway.url}/apis/openai/v1", api_key="wrong", max_retries=0).files.list()
