//! Proofs of reasoning that leave the dialect they belong to. A provider takes back only what it wrote itself, and refuses a call
//! with anybody else's: so a proof carries a tag wherever it stands in the place of another's.
//!
//! - A client of responses gets another provider's signature or encrypted reasoning as `encrypted_content`, and sends it back
//!   there.
//! - Clients of other dialects get `encrypted_content` as a signature or as encrypted reasoning, and send it back there.

use memchr::memmem;
use tollgate_domain::Dialect;

use crate::PartKind;

/// Another provider's signature, in `encrypted_content`.
const SIGNATURE: &str = "tollgate:signature:";

/// Another provider's encrypted reasoning, in `encrypted_content`.
const REDACTED: &str = "tollgate:redacted:";

/// `encrypted_content`, in another dialect.
const RESPONSES: &str = "tollgate:responses:";

/// Whether a signature or encrypted reasoning is what a provider of responses wrote, so that no other takes it.
pub(crate) fn is_proof(text: &str) -> bool {
    text.starts_with(RESPONSES)
}

/// Whether a call holds another provider's proof, so that it cannot pass as it is to one that speaks its dialect.
pub fn has_others_proof(dialect: Dialect, body: &[u8]) -> bool {
    let tags: &[&str] = match dialect {
        Dialect::OpenaiResponses => &[SIGNATURE, REDACTED],
        Dialect::AnthropicMessages => &[RESPONSES],
        _ => &[],
    };
    tags.iter()
        .any(|tag| memmem::find(body, tag.as_bytes()).is_some())
}

/// Reasoning of which this is the readable part and `encrypted_content`; `None` where there is neither.
pub(super) fn reasoning(text: String, encrypted: Option<String>) -> Option<PartKind> {
    let Some(encrypted) = encrypted.filter(|encrypted| !encrypted.is_empty()) else {
        return (!text.is_empty()).then_some(PartKind::Reasoning {
            text,
            signature: None,
        });
    };
    if let Some(data) = encrypted.strip_prefix(REDACTED) {
        return Some(PartKind::RedactedReasoning {
            data: data.to_owned(),
        });
    }
    let signature = match encrypted.strip_prefix(SIGNATURE) {
        Some(signature) => signature.to_owned(),
        None if text.is_empty() => {
            return Some(PartKind::RedactedReasoning {
                data: format!("{RESPONSES}{encrypted}"),
            });
        }
        None => format!("{RESPONSES}{encrypted}"),
    };
    Some(PartKind::Reasoning {
        text,
        signature: Some(signature),
    })
}

/// `encrypted_content` for a client, of a signature.
pub(super) fn of_signature(signature: &str) -> String {
    untagged(signature).map_or_else(|| format!("{SIGNATURE}{signature}"), str::to_owned)
}

/// `encrypted_content` for a client, of encrypted reasoning.
pub(super) fn of_redacted(data: &str) -> String {
    untagged(data).map_or_else(|| format!("{REDACTED}{data}"), str::to_owned)
}

/// `encrypted_content` for a provider; `None` where it is another's proof.
pub(super) fn untagged(text: &str) -> Option<&str> {
    text.strip_prefix(RESPONSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_for_a_client_is_read_from_it() {
        for (kind, encrypted) in [
            (
                PartKind::Reasoning {
                    text: "a".to_owned(),
                    signature: Some("s".to_owned()),
                },
                of_signature("s"),
            ),
            (
                PartKind::Reasoning {
                    text: String::new(),
                    signature: Some("s".to_owned()),
                },
                of_signature("s"),
            ),
            (
                PartKind::RedactedReasoning {
                    data: "d".to_owned(),
                },
                of_redacted("d"),
            ),
            (
                PartKind::Reasoning {
                    text: "a".to_owned(),
                    signature: Some(format!("{RESPONSES}e")),
                },
                "e".to_owned(),
            ),
            (
                PartKind::RedactedReasoning {
                    data: format!("{RESPONSES}e"),
                },
                "e".to_owned(),
            ),
        ] {
            let text = match &kind {
                PartKind::Reasoning { text, .. } => text.clone(),
                _ => String::new(),
            };
            assert_eq!(reasoning(text, Some(encrypted)), Some(kind));
        }
        assert_eq!(reasoning(String::new(), None), None);
    }

    #[test]
    fn a_provider_gets_its_own_proof_alone() {
        assert_eq!(untagged("tollgate:responses:e"), Some("e"));
        assert_eq!(untagged("s"), None);
        assert!(is_proof("tollgate:responses:e") && !is_proof("s"));
    }
}
