//! IBM Cloud's tokens: a key is exchanged for one that lasts an hour
//! (<https://cloud.ibm.com/docs/account?topic=account-iamtoken_from_apikey>, read 2026-11).

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use tollgate_domain::IbmIssuer;

use super::{
    Grant, TokenFailure,
    exchange::{Request, read_access_token},
};
use crate::client::Upstream;

pub(super) async fn issue(
    issuer: &IbmIssuer,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    let fields = [
        ("grant_type", "urn:ibm:params:oauth:grant-type:apikey"),
        ("apikey", issuer.api_key.expose()),
    ];
    let request = Request::form(issuer.endpoint.clone(), &fields);
    let request = request.header("accept", HeaderValue::from_static("application/json"));
    read_access_token(&request.send(upstream).await?, wall)
}
