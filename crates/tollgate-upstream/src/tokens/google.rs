//! Google's tokens: a service account's own assertion (<https://developers.google.com/identity/protocols/oauth2/service-account>),
//! or the metadata server (<https://cloud.google.com/compute/docs/access/authenticate-workloads>; both read 2026-11). Accounts that
//! others vouch for are in `external`.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use tollgate_domain::GoogleIssuer;

use super::{
    Grant, TokenFailure,
    exchange::{Request, read_access_token},
    external,
};
use crate::client::Upstream;

/// How long an assertion is valid: as long as Google lets it be.
const ASSERTION_SECONDS: u64 = 3600;

pub(super) async fn issue(
    issuer: &GoogleIssuer,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    let request = match issuer {
        GoogleIssuer::Metadata { endpoint } => Request::get(endpoint.clone())
            .header("metadata-flavor", HeaderValue::from_static("Google")),
        GoogleIssuer::ServiceAccount {
            email,
            key_id,
            private_key,
            endpoint,
            scope,
        } => {
            let now = wall.as_secs();
            let claims = json!({
                "iss": &**email,
                "scope": &**scope,
                "aud": endpoint.to_string(),
                "iat": now,
                "exp": now + ASSERTION_SECONDS,
            });
            let assertion = assertion(private_key.expose(), key_id.as_deref(), &claims)?;
            let fields = [
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", assertion.as_str()),
            ];
            Request::form(endpoint.clone(), &fields)
        }
        GoogleIssuer::External(account) => return external::issue(account, upstream, wall).await,
    };
    read_access_token(&request.send(upstream).await?, wall)
}

/// Claims as a JSON Web Token, signed with RS256 (RFC 7515, RFC 7519).
fn assertion(pem: &str, key_id: Option<&str>, claims: &Value) -> Result<String, TokenFailure> {
    let key = read_key(pem)
        .ok_or_else(|| TokenFailure::new("the service account's private key cannot be read"))?;
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(key_id) = key_id {
        header["kid"] = json!(key_id);
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )
    .map_err(|_| TokenFailure::new("the service account's private key does not sign"))?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn read_key(pem: &str) -> Option<RsaKeyPair> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()
}

/// Whether a text is a private key that assertions can be signed with: RSA in PKCS#8, as PEM.
pub fn is_private_key(pem: &str) -> bool {
    read_key(pem).is_some()
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der},
        rsa::KeySize,
        signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
    };
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A key made on the spot, also as PEM.
    pub(in super::super) fn private_key() -> (RsaKeyPair, String) {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let der: &[u8] = der.as_ref();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        );
        (key, pem)
    }

    #[test]
    fn an_assertion_can_be_verified() {
        let (key, pem) = private_key();
        assert!(is_private_key(&pem));
        let claims = json!({"iss": "a@example.com"});
        let token = assertion(&pem, Some("k1"), &claims).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
        public.verify(message.as_bytes(), &signature).unwrap();
        let parts: Vec<Value> = message
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        assert_eq!(parts[1], claims);
    }

    #[test]
    fn what_is_no_key_is_told_without_it() {
        let failure = assertion("-----BEGIN NONSENSE-----", None, &json!({})).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the service account's private key cannot be read"
        );
    }
}
