//! `providers[].auth` where somebody issues credentials that expire: whom to ask, and with what.
//!
//! What is found here is fixed until the configuration is read again; what a platform renews in files or behind addresses is asked for
//! anew each time. Each issuer has a file below.

mod aws;
mod entra;
mod external;
mod google;
mod ibm;

use http::Uri;
use tollgate_domain::Issuer;
use tollgate_upstream::providers::SignIn;

use crate::config::{diagnostics::Problems, environment::Environment, tree::At, written};

/// Resolves what issues a provider's credentials; `None` where it takes keys, or a mistake has been reported.
pub(crate) fn issuer(
    written: &written::Provider,
    sign_in: SignIn,
    at: At<'_>,
    environment: &dyn Environment,
    problems: &mut Problems,
) -> Option<Issuer> {
    let has_key = at.has("api_key") || at.has("api_keys");
    let auth = at.key("auth");
    let mut resolver = Resolver {
        environment,
        problems,
        allows_private: written.private_addresses.unwrap_or(false),
    };
    let issuer = match &written.auth {
        // The key is not sent as it is.
        None if sign_in == SignIn::IbmKey => {
            let ibm = written::Ibm::default();
            return resolver.ibm(&ibm, written, at).map(Issuer::Ibm);
        }
        None if sign_in == SignIn::AwsOrBearer && !has_key => {
            let aws = written::Aws::default();
            return resolver
                .aws(&aws, written.region.as_deref(), at)
                .map(Issuer::Aws);
        }
        Some(written::Auth::Rule(written::AuthRule::Aws)) => {
            let aws = written::Aws::default();
            resolver
                .aws(&aws, written.region.as_deref(), auth)
                .map(Issuer::Aws)
        }
        Some(written::Auth::Aws(form)) => {
            let aws = form.aws.as_ref()?;
            resolver
                .aws(aws, written.region.as_deref(), auth.key("aws"))
                .map(Issuer::Aws)
        }
        Some(written::Auth::Google(form)) => {
            let google = form.google.as_ref()?;
            resolver
                .google(google, auth.key("google"))
                .map(Issuer::Google)
        }
        Some(written::Auth::Entra(form)) => {
            let entra = form.entra.as_ref()?;
            resolver.entra(entra, auth.key("entra")).map(Issuer::Entra)
        }
        Some(written::Auth::Ibm(form)) => {
            let ibm = form.ibm.as_ref()?;
            let at = auth.key("ibm");
            let issuer = resolver.ibm(ibm, written, at).map(Issuer::Ibm);
            if ibm.api_key.is_none() {
                return issuer; // the provider's key is the one that is exchanged
            }
            issuer
        }
        None
        | Some(
            written::Auth::Rule(written::AuthRule::Bearer | written::AuthRule::None)
            | written::Auth::Header(_)
            | written::Auth::Query(_),
        ) => return None,
    };
    if has_key {
        problems
            .error(
                auth.key_span(),
                "a key is given, and so is somebody who issues credentials",
            )
            .help("leave out `api_key`, or `auth`");
    }
    issuer
}

struct Resolver<'a> {
    environment: &'a dyn Environment,
    problems: &'a mut Problems,
    /// Whether the operator said `private_addresses: true`.
    allows_private: bool,
}

impl Resolver<'_> {
    /// A variable that says something.
    fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .variable(name)
            .filter(|value| !value.trim().is_empty())
    }

    /// An address that the operator gave, or the usual one, with a path after it.
    fn address(
        &mut self,
        written: Option<&str>,
        otherwise: &str,
        path: &str,
        at: At<'_>,
    ) -> Option<Uri> {
        let base = written.unwrap_or(otherwise).trim_end_matches('/');
        let uri: Option<Uri> = format!("{base}{path}").parse().ok();
        let uri = uri.filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if uri.is_none() {
            self.problems
                .error(at.span(), "this is no address")
                .help("write `https://HOST`");
        }
        uri
    }
}
