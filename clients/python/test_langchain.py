"""LangChain's `ChatOpenAI` and `OpenAIEmbeddings`, against a provider of each language."""

import pydantic
import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

ROUTES = ["gpt", "claude", "flash", "command", "llama"]
MESSAGES = [SystemMessage("Be brief."), HumanMessage("Hi")]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return "sunny"


class Person(pydantic.BaseModel):
    name: str
    age: int


def model(gateway, route, **more):
    return ChatOpenAI(model=route, base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0, **more)


@pytest.mark.parametrize("route", ROUTES)
def test_chat(gateway, route):
    answer = model(gateway, route).invoke(MESSAGES)
    assert (answer.content, answer.usage_metadata["output_tokens"]) == ("Hello wörld", 7)


@pytest.mark.parametrize("route", ROUTES)
def test_stream(gateway, route):
    chunks = list(model(gateway, route, stream_usage=True).stream(MESSAGES))
    assert "".join(chunk.content for chunk in chunks) == "Hello wörld"
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 7


@pytest.mark.parametrize("route", ROUTES)
def test_tools_and_their_results(gateway, route):
    bound = model(gateway, route).bind_tools([weather])
    asked = bound.invoke(MESSAGES)
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]
    results = [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in asked.tool_calls]
    assert bound.invoke([*MESSAGES, asked, *results]).content == "Hello wörld"


@pytest.mark.parametrize("route", ["gpt", "claude"])
def test_structured_output(gateway, route):
    assert model(gateway, route).with_structured_output(Person).invoke("Who?") == Person(name="Ann", age=7)


@pytest.mark.parametrize("route", ["gpt", "claude", "flash"])
def test_by_responses(gateway, route):
    answer = model(gateway, route, use_responses_api=True).invoke(MESSAGES)
    assert answer.text == "Hello wörld"


@pytest.mark.parametrize("route", ["vectors", "own-vectors", "embed"])
def test_embeddings(gateway, route):
    vectors = OpenAIEmbeddings(model=route, base_url=f"{gateway.url}/v1", api_key=gateway.key, check_embedding_ctx_length=False)
    assert vectors.embed_documents(["a", "b"]) == [[0.25, -0.5], [0.25, -0.5]]
