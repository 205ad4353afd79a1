//! How tokens are kept and renewed, in no time. How issuers are asked is below.

mod federation;
mod issuers;

use tokio_util::task::TaskTracker;
use tollgate_domain::GoogleIssuer;

use super::*;
use crate::UpstreamSettings;

const HOUR: Duration = Duration::from_secs(3600);

/// 2026-11-25T04:20:00Z.
const WALL: Duration = Duration::from_secs(1_795_580_400);

fn source() -> Arc<TokenSource> {
    Arc::new(TokenSource::new(Arc::new(Issuer::Google(
        GoogleIssuer::Metadata {
            endpoint: "http://127.0.0.1:1/token".parse().unwrap(),
        },
    ))))
}

fn grant(text: &str, lifetime: Duration) -> Result<Grant, TokenFailure> {
    Ok(Grant {
        material: Material::bearer(text)?,
        lifetime: Some(lifetime),
    })
}

fn bearer(token: &Token) -> String {
    match token.material() {
        Material::Bearer(value) => value.to_str().unwrap().to_owned(),
        Material::Keys(keys) => keys.id.to_string(),
    }
}

/// What a look gives, in words, and the renewal.
fn look(source: &Arc<TokenSource>, now: Instant) -> (String, Option<Renewal>) {
    let (look, renewal) = source.look(now);
    let word = match look {
        Look::Ready(token) => bearer(&token),
        Look::Coming(_) => "coming".to_owned(),
        Look::Failed(failure) => failure.to_string(),
    };
    (word, renewal)
}

/// Renews as if the issuer had answered so.
fn settle(renewal: Option<Renewal>, result: Result<Grant, TokenFailure>, now: Instant) {
    let mut renewal = renewal.expect("a renewal is due");
    let _outcome = renewal.settle(result, now);
}

#[test]
fn a_token_is_renewed_early_by_one_of_many() {
    let (source, now) = (source(), Instant::now());
    let (word, renewal) = look(&source, now);
    assert_eq!(word, "coming");
    assert!(
        (0..100).all(|_| look(&source, now).1.is_none()),
        "one renews"
    );
    settle(renewal, grant("a", HOUR), now);
    let later = |seconds: u64| now + Duration::from_secs(seconds);
    let (word, renewal) = look(&source, later(3600 - 606));
    assert!(word == "Bearer a" && renewal.is_none());
    let (word, renewal) = look(&source, later(3600 - 299));
    assert!(word == "Bearer a" && renewal.is_some());
    // While it is being renewed, the old one does.
    let (word, other) = look(&source, later(3600 - 10));
    assert!(word == "Bearer a" && other.is_none());
    settle(renewal, grant("b", HOUR), later(3600 - 10));
    assert_eq!(look(&source, later(3600)).0, "Bearer b");
}

#[test]
fn a_failed_renewal_keeps_the_old_token_until_it_expires() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", HOUR), now);
    let late = now + Duration::from_secs(3500);
    settle(
        look(&source, late).1,
        Err(TokenFailure::new("no luck")),
        late,
    );
    let (word, renewal) = look(&source, late);
    assert!(word == "Bearer a" && renewal.is_none(), "there is a pause");
    let (word, renewal) = look(&source, late + FAILED_FIRST * 2);
    assert!(word == "Bearer a" && renewal.is_some(), "then another try");
    settle(renewal, Err(TokenFailure::new("no luck")), late);
    let expired = now + HOUR;
    assert_eq!(look(&source, late).0, "Bearer a");
    let (word, renewal) = look(&source, expired);
    assert!(word == "coming" && renewal.is_some());
    settle(renewal, Err(TokenFailure::new("still none")), expired);
    assert_eq!(look(&source, expired).0, "still none");
}

#[test]
fn pauses_grow_with_failures() {
    let (source, mut now) = (source(), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..10 {
        settle(look(&source, now).1, Err(TokenFailure::new("x")), now);
        let renew_at = source.state().renew_at.unwrap();
        pauses.push(renew_at - now);
        now = renew_at;
    }
    assert!(pauses[0] <= FAILED_FIRST.mul_f64(1.25), "{pauses:?}");
    assert!(pauses[5] > pauses[1] && pauses[9] <= FAILED_LONGEST.mul_f64(1.25));
}

#[test]
fn a_renewal_that_is_dropped_is_left_to_the_next() {
    let (source, now) = (source(), Instant::now());
    drop(look(&source, now));
    assert!(look(&source, now).1.is_some());
}

#[test]
fn a_refused_token_is_renewed_before_its_time() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", HOUR), now);
    let (Look::Ready(token), None) = source.look(now) else {
        panic!("a token");
    };
    source.refused(&token, now);
    assert!(look(&source, now).1.is_none(), "not at once");
    let (word, renewal) = look(&source, now + REFUSED_PAUSE);
    assert!(word == "Bearer a" && renewal.is_some());
    // What is said of a token that is gone counts no more.
    settle(renewal, grant("b", HOUR), now);
    source.refused(&token, now);
    assert!(look(&source, now + REFUSED_PAUSE).1.is_none());
}

#[test]
fn tokens_of_every_lifetime_are_renewed_before_their_end() {
    for seconds in [6, 12, 60, 300, 3600, 86_400] {
        let lifetime = Duration::from_secs(seconds);
        for _ in 0..50 {
            let before = lifetime - renewed_after(lifetime);
            assert!(before > EXPIRES_EARLY, "{seconds}");
            assert!(before <= MARGIN_MAX + EXPIRES_EARLY, "{seconds}");
        }
    }
}

#[test]
fn a_token_that_has_expired_already_is_a_failure() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", EXPIRES_EARLY), now);
    let (word, renewal) = look(&source, now);
    assert_eq!(word, "what the issuer gave has expired, or is about to");
    assert!(renewal.is_none(), "there is a pause");
}

#[test]
fn an_expired_token_is_renewed_whatever_the_time() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", HOUR), now);
    // The machine slept, say.
    source.state().renew_at = Some(now + HOUR * 9);
    let (word, renewal) = look(&source, now + HOUR);
    assert!(word == "coming" && renewal.is_some());
}

#[test]
fn tokens_cannot_be_printed() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("s3cret", HOUR), now);
    let (look, _) = source.look(now);
    assert!(!format!("{source:?} {look:?}").contains("s3cret"));
}

fn upstream() -> Arc<Upstream> {
    Arc::new(Upstream::new(
        UpstreamSettings::default(),
        TaskTracker::new(),
    ))
}

/// The token that an issuer gives, and how long it lasts.
async fn issued(issuer: Issuer) -> Result<(Token, Option<Duration>), TokenFailure> {
    let source = Arc::new(TokenSource::new(Arc::new(issuer)));
    let (_, renewal) = source.look(Instant::now());
    let lifetime = match renewal {
        Some(renewal) => renewal.run(&upstream(), WALL).await?,
        None => None,
    };
    match source.look(Instant::now()).0 {
        Look::Ready(token) => Ok((token, lifetime)),
        other => panic!("{other:?}"),
    }
}
