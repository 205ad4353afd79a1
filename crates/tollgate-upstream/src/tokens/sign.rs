//! AWS's signature, version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>, read 2026-11).

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings},
    sign::v4::SigningParams,
};
use http::{HeaderName, HeaderValue, header};
use tollgate_domain::{AwsKeys, Secret};

use super::TokenFailure;
use crate::client::{UpstreamRequest, host_of};

/// Google's header that a signature for it has to cover: it says which pool of identities the signature is meant for.
pub(super) const GOOGLE_TARGET: &str = "x-goog-cloud-target-resource";

/// Signs a request with AWS's keys, for a region and a service. `wall` is the time since 1970-01-01 UTC. Signed are the host, the
/// content's type, the body, and what AWS (or Google) asks for; other headers may change on the way.
pub(crate) fn sign(
    request: &mut UpstreamRequest,
    keys: &AwsKeys,
    (region, service): (&str, &str),
    wall: Duration,
) -> Result<(), TokenFailure> {
    let failure = |_| TokenFailure::new("the request cannot be signed");
    let session = keys.session.as_ref().map(Secret::expose);
    let identity = Credentials::new(
        &*keys.id,
        keys.secret.expose(),
        session.map(str::to_owned),
        None,
        "tollgate",
    )
    .into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + wall)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| TokenFailure::new("the request cannot be signed"))?
        .into();
    let host = host_of(&request.uri).ok_or_else(|| TokenFailure::new("the address has no host"))?;
    let uri = request.uri.to_string();
    let present = [header::CONTENT_TYPE.as_str(), GOOGLE_TARGET].into_iter();
    let present = present.filter_map(|name| {
        let value = request.headers.get(name)?.to_str().ok()?;
        Some((name, value))
    });
    let headers = [("host", host)].into_iter().chain(present);
    let signable = SignableRequest::new(
        request.method.as_str(),
        &uri,
        headers,
        match request.body.is_whole() {
            true => SignableBody::Bytes(request.body.first()),
            false => SignableBody::UnsignedPayload,
        },
    )
    .map_err(failure)?;
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &parameters)
        .map_err(failure)?
        .into_parts();
    let (headers, _) = instructions.into_parts();
    for header in headers {
        let name = HeaderName::from_static(header.name());
        let mut value = HeaderValue::from_str(header.value())
            .map_err(|_| TokenFailure::new("the request cannot be signed"))?;
        value.set_sensitive(name != "x-amz-date");
        request.headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use tollgate_domain::Transport;

    use super::*;
    use crate::addresses::Reach;
    use crate::request_body::RequestBody;

    fn signed(
        (method, uri, body): (Method, &str, &'static str),
        content_type: Option<&'static str>,
        session: Option<&str>,
        (region, service, wall): (&str, &str, u64),
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        // Not signed: it may change on the way.
        headers.insert(header::USER_AGENT, HeaderValue::from_static("tollgate"));
        let mut request = UpstreamRequest {
            method,
            uri: uri.parse().unwrap(),
            headers,
            body: RequestBody::whole(Bytes::from_static(body.as_bytes())),
            transport: Transport::Http,
            reach: Reach::AsNamed,
        };
        let keys = AwsKeys {
            id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: session.map(Secret::new),
        };
        sign(
            &mut request,
            &keys,
            (region, service),
            Duration::from_secs(wall),
        )
        .unwrap();
        request.headers
    }

    fn authorization(headers: &HeaderMap) -> &str {
        headers[header::AUTHORIZATION].to_str().unwrap()
    }

    /// From AWS's own test suite, `aws-signing-test-suite/v4` (and its forerunner `aws-sig-v4-test-suite`, of which the form is).
    #[test]
    fn aws_published_vectors() {
        const HOST: &str = "https://example.amazonaws.com";
        const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
        for (method, path, body, content_type, signature) in [
            (
                Method::GET,
                "/",
                "",
                None,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                Method::POST,
                "/",
                "",
                None,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                Method::GET,
                "/?Param2=value2&Param1=value1",
                "",
                None,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                Method::GET,
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "",
                None,
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                Method::POST,
                "/",
                "Param1=value1",
                FORM,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let headers = signed(
                (method, &format!("{HOST}{path}"), body),
                content_type,
                None,
                ("us-east-1", "service", 1_440_938_160),
            );
            let expected = format!("Signature={signature}");
            assert!(
                authorization(&headers).ends_with(&expected),
                "{path} {headers:?}"
            );
            assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        }
    }

    /// From the same suite, `double-url-encode`: the path is encoded once more for the signature.
    #[test]
    fn a_path_that_is_encoded_is_encoded_again() {
        let path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-west-2%3A892717189312%3Afunction%3Amy-rusty-fun/invocations";
        let headers = signed(
            (
                Method::POST,
                &format!("https://lambda.us-east-2.amazonaws.com{path}"),
                "",
            ),
            None,
            None,
            ("us-east-2", "lambda", 1_620_747_645),
        );
        assert!(authorization(&headers).ends_with(
            "Signature=4b93abbcc68be32bd64c18e2c71150660ab4c29bbd6c32a383a7517a88fc1804"
        ));
    }

    /// Made by botocore 1.44.8 for the same requests, keys and time (2026-11-25T04:20:00Z).
    #[test]
    fn botocore_signs_the_same() {
        const BEDROCK: &str = "https://bedrock-runtime.eu-central-1.amazonaws.com/model";
        for (uri, body, session, signed_headers, signature) in [
            (
                format!("{BEDROCK}/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"),
                r#"{"messages":[]}"#,
                Some("a/session+token=="),
                "content-type;host;x-amz-date;x-amz-security-token",
                "a992a364d2fc8cc1ab6e1a273348dcfa9ccfcd8997f7cf6946b87330d342011b",
            ),
            (
                format!(
                    "{BEDROCK}/arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Aapplication-inference-profile%2Fabc123/converse-stream"
                ),
                r#"{"messages":[]}"#,
                None,
                "content-type;host;x-amz-date",
                "2c8d560d7f420767cc2acb85231100b19657d0dd3501ab562bbf2c1272b065c7",
            ),
            (
                "http://127.0.0.1:8080/model/m/converse?b=2&a=%C3%BC%20x".to_owned(),
                r#"{"t":"ü"}"#,
                None,
                "content-type;host;x-amz-date",
                "d44989d8b6f824130309859397fe3862c6f4a5e1946af4aba02ecd07fc6e77eb",
            ),
        ] {
            let headers = signed(
                (Method::POST, &uri, body),
                Some("application/json"),
                session,
                ("eu-central-1", "bedrock", 1_795_580_400),
            );
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261125/eu-central-1/bedrock/aws4_request, SignedHeaders={signed_headers}, Signature={signature}"
            );
            assert_eq!(authorization(&headers), expected);
            let token = headers.get("x-amz-security-token");
            assert_eq!(token.map(|value| value.to_str().unwrap()), session);
            assert!(headers[header::AUTHORIZATION].is_sensitive());
        }
    }
}
