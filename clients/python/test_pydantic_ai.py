"""Pydantic AI's agents, by three languages of clients against a provider of each language."""

import pytest
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

ROUTES = ["gpt", "claude", "flash", "command", "llama"]
MODELS = {
    "openai": lambda gateway, route: OpenAIChatModel(route, provider=OpenAIProvider(base_url=f"{gateway.url}/v1", api_key=gateway.key)),
    "responses": lambda gateway, route: OpenAIResponsesModel(route, provider=OpenAIProvider(base_url=f"{gateway.url}/v1", api_key=gateway.key)),
    "anthropic": lambda gateway, route: AnthropicModel(route, provider=AnthropicProvider(base_url=gateway.url, api_key=gateway.key)),
    "google": lambda gateway, route: GoogleModel(route, provider=GoogleProvider(base_url=gateway.url, api_key=gateway.key)),
}


def passes_through(language, route):
    """The scripted provider's own responses know no tools."""
    return language == "responses" and route in ("gpt", "llama")


@pytest.mark.parametrize("language,route", [(language, route) for language in MODELS for route in ROUTES if not passes_through(language, route)])
def test_an_agent_uses_its_tool_and_answers(gateway, language, route):
    cities = []
    agent = Agent(MODELS[language](gateway, route), instructions="Be brief.")

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather in a city."""
        cities.append(city)
        return "sunny"

    result = agent.run_sync("Hi")
    assert result.output == "Hello wörld"
    assert sorted(cities) == ["Oslo", "Rome"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("language", MODELS)
def test_an_agent_streams(gateway, language, route):
    agent = Agent(MODELS[language](gateway, route))
    with agent.run_stream_sync("Hi") as result:
        assert "".join(result.stream_text(delta=True)) == "Hello wörld"
