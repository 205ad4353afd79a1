//! Proofs of what a model wrote before, which have to go back unchanged: Gemini's `thoughtSignature` and what other dialects
//! have for it.
//!
//! A proof of Gemini's that stands on a part which is no thought is [`PartKind::RedactedReasoning`](crate::PartKind) directly before that
//! part. No provider can read another's proofs, and a conversation may go on with another provider, so that each says
//! whose it is: ours of Gemini's begin with a mark, and others' are wrapped where a Gemini client carries them.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// Before a proof of Gemini's in our form.
const GEMINIS: &str = "gemini:";

/// Before another provider's proof, within the base64 that Gemini's clients expect.
const OTHERS: &[u8] = b"tollgate:";

/// Takes base64 with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What stands for a proof that Gemini 3 wants of a call which it did not make itself
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>, read 2026-11).
pub(super) const NOT_OUR_OWN: &str = "skip_thought_signature_validator";

/// A `thoughtSignature` in our form.
pub(super) fn from_wire(signature: &str) -> String {
    // Google's clients write the other alphabet, whatever they were given.
    let standard = signature.replace('-', "+").replace('_', "/");
    let bytes = LENIENT.decode(standard).unwrap_or_default();
    let others = bytes.strip_prefix(OTHERS);
    match others.and_then(|proof| std::str::from_utf8(proof).ok()) {
        Some(proof) => proof.to_owned(),
        None => format!("{GEMINIS}{signature}"),
    }
}

/// A proof as a `thoughtSignature` for a client, which carries other providers' proofs as well.
pub(super) fn to_wire(proof: &str) -> String {
    match geminis_signature(proof) {
        Some(signature) => signature.to_owned(),
        None => STANDARD.encode([OTHERS, proof.as_bytes()].concat()),
    }
}

/// Gemini's own `thoughtSignature`; `None` for another provider's proof, which only that one can read.
pub(crate) fn geminis_signature(proof: &str) -> Option<&str> {
    proof.strip_prefix(GEMINIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geminis_proofs_come_back_as_they_were() {
        for signature in [
            "CvgCAb4+/9vup==",
            "CvgCAb4-_9vup",
            "signature_REDACTED_1",
            "",
        ] {
            let proof = from_wire(signature);
            assert_eq!(geminis_signature(&proof), Some(signature));
            assert_eq!(to_wire(&proof), signature);
        }
    }

    #[test]
    fn others_proofs_survive_a_client_that_writes_another_alphabet() {
        for proof in ["ErUB+/x=", "opaque text, not base64 ~~~???", ""] {
            assert_eq!(geminis_signature(proof), None);
            let carried = to_wire(proof);
            assert_eq!(from_wire(&carried), proof);
            let rewritten = carried.replace('+', "-").replace('/', "_");
            assert_eq!(from_wire(rewritten.trim_end_matches('=')), proof);
        }
    }
}
