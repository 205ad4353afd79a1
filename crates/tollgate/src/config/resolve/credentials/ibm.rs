//! IBM Cloud's tokens: for a key.

use tollgate_domain::{IbmIssuer, Secret};

use super::Resolver;
use crate::config::{tree::At, written};

const IAM_URL: &str = "https://iam.cloud.ibm.com";
const IAM_PATH: &str = "/identity/token";

impl Resolver<'_> {
    /// `at` is where the form is written, or the provider where it is not.
    pub(super) fn ibm(
        &mut self,
        written: &written::Ibm,
        provider: &written::Provider,
        at: At<'_>,
    ) -> Option<IbmIssuer> {
        let key = written.api_key.as_ref().or(provider.api_key.as_ref());
        let Some(key) = key.map(|key| key.trim()) else {
            if at.has("api_key") {
                return None; // it could not be filled in, which has been reported
            }
            let message = match provider.api_keys.is_empty() {
                true => "access tokens are issued for a key, and none is given",
                false => "access tokens are issued for one key, and several are given",
            };
            self.problems
                .error(at.span(), message)
                .help("give `api_key: \"{{ env.NAME }}\"`");
            return None;
        };
        if key.is_empty() {
            self.problems
                .error(at.key("api_key").span(), "the key is empty")
                .help("check where its value comes from");
            return None;
        }
        let endpoint = self.address(
            written.iam_url.as_deref(),
            IAM_URL,
            IAM_PATH,
            at.key("iam_url"),
        )?;
        Some(IbmIssuer {
            endpoint,
            api_key: Secret::new(key),
        })
    }
}
