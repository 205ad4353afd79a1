"""The official `ollama` client, against a provider of each language."""

import ollama
import pytest

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
ROUTES = ["gpt", "claude", "flash", "command", "llama"]
HI = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.fixture
def client(gateway):
    return ollama.Client(host=gateway.url, headers={"authorization": f"Bearer {gateway.key}"})


@pytest.mark.parametrize("route", ROUTES)
def test_chat(client, route):
    answer = client.chat(model=route, messages=HI, options={"num_predict": 9, "temperature": 0})
    assert answer.message.content == "Hello wörld"
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (12, 7)


@pytest.mark.parametrize("route", ROUTES)
def test_stream(client, route):
    parts = list(client.chat(model=route, messages=HI, stream=True))
    assert "".join(part.message.content or "" for part in parts) == "Hello wörld"
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == 7


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
def test_tools(client, route, streamed):
    messages = list(HI)
    if streamed:
        parts = client.chat(model=route, messages=messages, tools=TOOLS, stream=True)
        calls = [call for part in parts for call in part.message.tool_calls or []]
    else:
        calls = client.chat(model=route, messages=messages, tools=TOOLS).message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in calls] == [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]
    messages.append({"role": "assistant", "tool_calls": calls})
    messages += [{"role": "tool", "tool_name": call.function.name, "content": "sunny"} for call in calls]
    assert client.chat(model=route, messages=messages, tools=TOOLS).message.content == "Hello wörld"


@pytest.mark.parametrize("route", ROUTES)
def test_structured_output(client, provider, route):
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    answer = client.chat(model=route, messages=HI, format=schema)
    assert answer.message.content == '{"name": "Ann", "age": 7}'


def test_thinking(client):
    parts = list(client.chat(model="anthropic/thinking", messages=HI, think=True, stream=True))
    assert "".join(part.message.thinking or "" for part in parts) == "hm"


def test_images_reach_other_providers(client, provider):
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
    client.chat(model="claude", messages=[{"role": "user", "content": "Look", "images": [png]}])
    image = provider.received[0]["body"]["messages"][0]["content"][0]
    assert image == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}


def test_generate(client):
    assert client.generate(model="complete", prompt="Once").response == "and so on"


def test_embed(client):
    answer = client.embed(model="vectors", input=["a", "b"])
    assert answer.embeddings == [[0.25, -0.5], [0.25, -0.5]]


def test_list_and_show(client):
    assert {"gpt", "claude"} <= {model.model for model in client.list().models}
    assert client.show("gpt").capabilities == ["completion", "tools"]
    with pytest.raises(ollama.ResponseError) as raised:
        client.show("nobody")
    assert raised.value.status_code == 404


@pytest.mark.parametrize(("model", "status"), [("openai/picky", 400), ("anthropic/picky", 400), ("openai-limited/rate-limited", 429), ("nobody", 404)])
def test_errors(client, model, status):
    with pytest.raises(ollama.ResponseError) as raised:
        client.chat(model=model, messages=HI)
    assert raised.value.status_code == status and raised.value.error


@pytest.mark.parametrize("model", ["openai/broken-stream", "anthropic/broken-stream"])
def test_a_broken_stream_is_an_error_and_never_a_silent_end(client, model):
    with pytest.raises(ollama.ResponseError):
        list(client.chat(model=model, messages=HI, stream=True))
