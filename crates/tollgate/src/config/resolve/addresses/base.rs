//! A base URL, and the addresses that begin with it.

use http::Uri;
use tollgate_upstream::providers::Kind;

/// A base URL in its parts.
#[derive(Clone)]
pub(crate) struct Base {
    /// Scheme, host and port.
    origin: String,
    /// Without a slash at its end.
    path: String,
    query: Option<String>,
}

impl Base {
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let url = url.trim();
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("it does not begin with `http://` or `https://`")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err("only `http` and `https` are spoken");
        }
        let host = rest.split('/').next().unwrap_or_default();
        if host.contains('{') {
            return Err("its host is not filled in");
        }
        if rest.contains('#') {
            return Err("it has a `#` part");
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| "it holds signs that do not belong into one")?;
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name; give credentials as `api_key` and `auth`");
        }
        if authority.host().is_empty() {
            return Err("it names no host");
        }
        Ok(Self {
            origin: format!("{}://{authority}", scheme.to_ascii_lowercase()),
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The address of one of a kind's endpoints. A bare host gets the kind's version path first, as in the base
    /// URLs of the official clients; a version that both parts name is named once.
    pub(super) fn with_usual_path(&self, kind: &Kind, path: &str) -> String {
        if path.starts_with("/api/")
            && let Some(root) = self.path.strip_suffix("/v1")
        {
            // The base URL is that of OpenAI's clients; this language lives beside it.
            let beside = Self {
                path: root.to_owned(),
                ..self.clone()
            };
            return beside.join(path);
        }
        let prefix = if self.path.is_empty() && is_unversioned(path) {
            kind.version_path
        } else {
            ""
        };
        self.join(&format!("{prefix}{path}"))
    }

    /// The address of a path that the operator gave, or the whole address that was given instead.
    pub(super) fn with_path(&self, path: &str) -> String {
        if path.contains("://") {
            return path.to_owned();
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        self.join(&format!("{slash}{path}"))
    }

    fn join(&self, path: &str) -> String {
        // What both parts name is named once.
        let version = path.split('/').nth(1).unwrap_or_default();
        let path = match path.strip_prefix(&format!("/{version}")) {
            Some(rest) if rest.starts_with('/') && self.path.ends_with(&format!("/{version}")) => {
                rest
            }
            _ => path,
        };
        let mut text = format!("{}{}{path}", self.origin, self.path);
        if let Some(query) = &self.query {
            text.push(if path.contains('?') { '&' } else { '?' });
            text.push_str(query);
        }
        text
    }
}

/// Whether a path leaves the version to the base URL.
fn is_unversioned(path: &str) -> bool {
    !["/v1/", "/v2/", "/v1beta/", "/api/"]
        .iter()
        .any(|version| path.starts_with(version))
}

#[cfg(test)]
mod tests {
    use tollgate_domain::Task;
    use tollgate_upstream::providers::find;

    use super::*;

    fn address(kind: &str, base: &str) -> String {
        let kind = find(kind).expect("known");
        let endpoint = kind.serving(Task::Chat).next().expect("serves chat");
        Base::parse(base)
            .expect("an address")
            .with_usual_path(kind, endpoint.path)
    }

    #[test]
    fn a_bare_host_gets_the_usual_path_and_a_full_base_is_left_alone() {
        for (kind, base, whole) in [
            ("openai", "https://a.b", "https://a.b/v1/chat/completions"),
            ("openai", "https://a.b/", "https://a.b/v1/chat/completions"),
            (
                "openai",
                "https://a.b/v1/",
                "https://a.b/v1/chat/completions",
            ),
            (
                "custom",
                "http://a:1/api/v4",
                "http://a:1/api/v4/chat/completions",
            ),
            ("anthropic", "https://a.b", "https://a.b/v1/messages"),
            ("anthropic", "https://a.b/v1", "https://a.b/v1/messages"),
            ("anthropic", "https://a.b/x", "https://a.b/x/v1/messages"),
            (
                "azure",
                "https://a.b",
                "https://a.b/openai/v1/chat/completions",
            ),
            (
                "azure",
                "https://a.b/openai/v1",
                "https://a.b/openai/v1/chat/completions",
            ),
            (
                "databricks",
                "https://a.b",
                "https://a.b/serving-endpoints/chat/completions",
            ),
            ("mlflow", "http://a:5001", "http://a:5001/invocations"),
            ("ollama", "http://a:11434", "http://a:11434/api/chat"),
            ("ollama", "http://a:11434/v1/", "http://a:11434/api/chat"),
            ("ollama", "https://a.b/x/v1", "https://a.b/x/api/chat"),
            ("cohere", "https://a.b", "https://a.b/v2/chat"),
            ("cohere", "https://a.b/v2/", "https://a.b/v2/chat"),
            (
                "gemini",
                "https://a.b",
                "https://a.b/v1beta/models/{model}:generateContent",
            ),
            (
                "gemini",
                "https://a.b/v1",
                "https://a.b/v1/models/{model}:generateContent",
            ),
            (
                "openai",
                "https://a.b/v1?x=1",
                "https://a.b/v1/chat/completions?x=1",
            ),
        ] {
            assert_eq!(address(kind, base), whole);
        }
    }

    #[test]
    fn ollamas_copy_of_openais_language_is_found_with_and_without_its_version() {
        let kind = find("ollama").expect("known");
        let path = "/v1/chat/completions";
        assert!(
            kind.serving(Task::Chat)
                .any(|endpoint| endpoint.path == path)
        );
        for base in ["http://a:1", "http://a:1/", "http://a:1/v1"] {
            let base = Base::parse(base).expect("an address");
            assert_eq!(
                base.with_usual_path(kind, path),
                "http://a:1/v1/chat/completions"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for base in [
            "",
            "a.b",
            "ftp://a.b",
            "https://",
            "https://u:p@a.b",
            "https://a.b/#x",
            "https://a b",
        ] {
            assert!(Base::parse(base).is_err(), "{base}");
        }
    }
}
