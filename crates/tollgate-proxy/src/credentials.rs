//! Credentials that expire, on the way of a call: the one that there is, or the wait for the first. Renewals are tasks of their
//! own, which no call waits for that has a valid one.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tollgate_dialects::ErrorKind;
use tollgate_telemetry::events::{CredentialNotRenewed, CredentialRenewed};
use tollgate_upstream::{Lane, Look, Renewal, Token, TokenFailure};

use crate::{account::Account, attempts::Miss, gateway::Worker};

/// The token to ask a provider with; none where it takes keys.
///
/// # Errors
/// When there is none, and none comes in time.
pub(crate) async fn token(
    worker: &Worker,
    lane: &Lane,
    account: &Account,
    deadline: Instant,
) -> Result<Option<Token>, TokenFailure> {
    let Some(source) = lane.tokens() else {
        return Ok(None);
    };
    loop {
        let (look, renewal) = source.look(Instant::now());
        if let Some(renewal) = renewal {
            renew(worker, lane, renewal, account.wall());
        }
        match look {
            Look::Ready(token) => return Ok(Some(token)),
            Look::Failed(failure) => return Err(failure),
            Look::Coming(settling) => Box::pin(timeout_at(deadline, settling.wait()))
                .await
                .map_err(|_| TokenFailure::late())?,
        }
    }
}

fn renew(worker: &Worker, lane: &Lane, renewal: Renewal, wall: Duration) {
    let (gateway, upstream) = (Arc::clone(&worker.gateway), Arc::clone(&worker.upstream));
    let provider = lane.provider().name.clone();
    worker.upstream.tasks().spawn(async move {
        match renewal.run(&upstream, wall).await {
            Ok(lifetime) => CredentialRenewed {
                provider: &provider,
                lifetime,
            }
            .emit(gateway.telemetry()),
            Err(failure) => CredentialNotRenewed {
                provider: &provider,
                problem: &failure.to_string(),
            }
            .emit(gateway.telemetry()),
        }
    });
}

/// Has a token renewed that the provider refused.
pub(crate) fn refused(lane: &Lane, token: &Token, miss: &Miss) {
    let is_refused = matches!(miss, Miss::Said(error) if matches!(error.kind, ErrorKind::Authentication | ErrorKind::Permission));
    if let Some(source) = lane.tokens().filter(|_| is_refused) {
        source.refused(token, Instant::now());
    }
}
