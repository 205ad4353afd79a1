"""MLflow's own deployments client."""

import json
import urllib.request

import pytest


@pytest.fixture
def client(gateway, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", gateway.key)
    from mlflow.deployments import get_deploy_client

    return get_deploy_client(gateway.url)


def test_endpoints(client):
    endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    assert endpoints["gpt"].endpoint_type == "llm/v1/chat"
    assert client.get_endpoint("claude").model.name == "plain"


@pytest.mark.parametrize("route", ["gpt", "claude", "served-chat"])
def test_chat(client, route):
    answer = client.predict(endpoint=route, inputs={"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10})
    assert answer["choices"][0]["message"]["content"] == "Hello wörld"


def test_completions_embeddings_and_scores(client, provider):
    assert client.predict(endpoint="complete", inputs={"prompt": "Once"})["choices"][0]["text"] == "and so on"
    assert client.predict(endpoint="vectors", inputs={"input": ["a"]})["data"][0]["embedding"] == [0.25, -0.5]
    assert client.predict(endpoint="iris", inputs={"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}) == {"predictions": [0, 2]}
    assert provider.received[-1]["path"] == "/invocations"


def test_an_unknown_endpoint_is_told_in_mlflows_words(client):
    with pytest.raises(Exception, match="there is no model"):
        client.get_endpoint("nothing")


def test_the_paths_of_older_clients(gateway):
    request = urllib.request.Request(f"{gateway.url}/api/2.0/gateway/routes/gpt", headers={"authorization": f"Bearer {gateway.key}"})
    route = json.load(urllib.request.urlopen(request))
    assert (route["route_type"], route["route_url"]) == ("llm/v1/chat", "/gateway/gpt/invocations")
