//! Where traces go.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::config::{
    TracesSettings,
    diagnostics::{Problems, quoted},
    tree::At,
    written,
};

/// Where collectors take traces, below their address.
const PATH: &str = "/v1/traces";

/// Resolves where traces go; `None` where nobody wants them.
pub(crate) fn resolve(
    written: &written::Traces,
    at: At<'_>,
    problems: &mut Problems,
) -> Option<TracesSettings> {
    let sample = written.sample.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&sample) {
        problems
            .error(at.key("sample").span(), "`sample` is a part of the whole")
            .help("write a number from 0 to 1");
    }
    let endpoint = written.endpoint.as_deref().map(str::trim);
    let endpoint = endpoint.filter(|endpoint| *endpoint != "none")?;
    let has_path = endpoint
        .split_once("://")
        .is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
    let whole = if has_path {
        endpoint.to_owned()
    } else {
        format!("{}{PATH}", endpoint.trim_end_matches('/'))
    };
    let uri = whole.parse::<Uri>().ok();
    let uri = uri
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if uri.is_none() {
        problems
            .error(
                at.key("endpoint").span(),
                "this is no address of a collector",
            )
            .help("write `http://127.0.0.1:4318`, or `none`");
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &written.headers {
        let pair = name
            .parse::<HeaderName>()
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        let Some((header, mut value)) = pair else {
            problems.error(
                at.key("headers").key(name).span(),
                format!("{} is no header that can be sent", quoted(name)),
            );
            continue;
        };
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Some(TracesSettings {
        endpoint: uri?,
        headers,
        sample,
    })
}
