//! A provider that makes its answers up: OpenAI's chat and embeddings and Anthropic's messages, whole and streamed, as long, as late and
//! as fast as is asked for.
//!
//! It is there to load gateways with, so it does as little as it can: what it answers is made once, requests are looked at and not
//! read, and HTTP is no more than clients of gateways speak (HTTP/1.1, `Content-Length` or chunks, connections that stay open).

mod answers;
mod connection;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use answers::Answers;
pub use answers::Plan;

/// Serves on a listener until it is dropped. What a request asks for in `x-mock-…` headers goes before `plan`.
///
/// # Errors
/// When connections cannot be accepted any more.
pub async fn serve(listener: TcpListener, plan: Plan) -> io::Result<()> {
    let answers = Arc::new(Answers::new(plan));
    let connections = TaskTracker::new();
    loop {
        let stream = accepted(&listener).await?;
        let answers = Arc::clone(&answers);
        let _going = connections.spawn(async move {
            // A client that leaves is no trouble of the mock's.
            let _ended = connection::serve(stream, &answers).await;
        });
    }
}

async fn accepted(listener: &TcpListener) -> io::Result<TcpStream> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            // Out of files: somebody will leave.
            Err(error) if error.raw_os_error() == Some(24) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Listeners at one address, one for each thread; the system spreads connections over them.
///
/// # Errors
/// When the address cannot be listened at.
pub fn listeners(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    use socket2::{Domain, Protocol, Socket, Type};
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let listener = std::net::TcpListener::from(socket);
        // Port 0 stands for a free one, the same for all.
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tollgate_testkit::client;

    use super::*;

    async fn mock(plan: Plan) -> (SocketAddr, TaskTracker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        let _serving = tasks.spawn(async move { serve(listener, plan).await });
        (address, tasks)
    }

    async fn ask(
        address: SocketAddr,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> client::Answer {
        client::post(address, path, headers, body.to_string().into_bytes())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn both_languages_are_answered_whole_and_streamed() {
        let plan = Plan {
            tokens: 5,
            ..Plan::default()
        };
        let (address, _tasks) = mock(plan).await;
        let call = json!({"model": "m", "messages": []});
        let whole = ask(address, "/v1/chat/completions", &call, &[])
            .await
            .json();
        assert_eq!(whole["usage"]["completion_tokens"], 5);
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        let whole = ask(address, "/v1/messages", &call, &[]).await.json();
        assert_eq!(whole["usage"]["output_tokens"], 5);
        let vectors = ask(address, "/v1/embeddings", &json!({"input": "a"}), &[])
            .await
            .json();
        assert_eq!(
            vectors["data"][0]["embedding"].as_array().map(Vec::len),
            Some(256)
        );

        let call = json!({"model": "m", "stream": true, "messages": []});
        let headers = [
            ("x-mock-tokens", "3"),
            ("x-mock-latency-ms", "20"),
            ("x-mock-rate", "1000"),
        ];
        let events = ask(address, "/v1/chat/completions", &call, &headers)
            .await
            .events();
        let contents = events
            .iter()
            .filter(|event| event.contains("\"content\":\"word"))
            .count();
        assert_eq!(
            (contents, events.last().map(String::as_str)),
            (3, Some("[DONE]"))
        );
        let events = ask(address, "/v1/messages", &call, &headers).await.events();
        let deltas = events
            .iter()
            .filter(|event| event.contains("text_delta"))
            .count();
        assert_eq!(deltas, 3);
        assert!(
            events
                .last()
                .is_some_and(|event| event.contains("message_stop"))
        );
    }

    #[tokio::test]
    async fn errors_are_told_when_asked_for_and_other_paths_are_none() {
        let (address, _tasks) = mock(Plan::default()).await;
        let call = json!({"model": "m"});
        let refused = ask(
            address,
            "/v1/chat/completions",
            &call,
            &[("x-mock-status", "429")],
        )
        .await;
        assert_eq!(refused.status, 429);
        assert_eq!(ask(address, "/v1/other", &call, &[]).await.status, 404);
    }
}
