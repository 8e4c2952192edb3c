//! Excerpts of payloads, and what is told of them.

use guard::redact::{Key, Request, describe};
use guard_common::{protocol::Protocol, wire::EXCERPT_LEN};

/// What nobody would take for words, in one piece and in several. Without dots: labels of hosts are
/// shown while each is short.
const SECRETS: [&str; 2] = ["q7Xz9Kw3Jp5Vt1Rb8Ns2Md4", "q7Xz9Kw-3Jp5Vt_1Rb8Ns2~Md4Hg6L"];
/// Any will do.
pub(crate) const KEY: Key = Key::new([7; 32]);
/// Stands for the secret in an input.
const PLACE: u8 = 1;
/// So much of a secret would help to guess the rest.
const PART: usize = 6;
/// Characters of everything that is told, at most.
const TOLD: usize = 400;

/// The first byte says which protocol, the second which secret, and the payload follows: each byte
/// of value 1 in it stands for the secret.
pub fn check(input: &[u8]) {
    let [protocol, secret, template @ ..] = input else {
        return;
    };
    let protocol = Protocol::ALL[usize::from(*protocol) % Protocol::COUNT];
    let secret = SECRETS[usize::from(*secret) % SECRETS.len()];
    let has_parts = |text: &str| parts(secret).any(|part| text.contains(&part));
    if has_parts(&String::from_utf8_lossy(template).to_lowercase()) {
        // A fuzzer that has learned the secret tells nothing.
        return;
    }
    let around: Vec<&[u8]> = template.split(|byte| *byte == PLACE).collect();
    let mut payload = around.join(secret.as_bytes());
    payload.truncate(EXCERPT_LEN);
    let request = describe(protocol, &payload, &KEY);
    assert_harmless(&request);
    let told = told(&request);
    assert!(!has_parts(&told), "a part of {secret} is in {told}");
}

/// Every part of a secret, in lower case.
fn parts(secret: &str) -> impl Iterator<Item = String> {
    let windows = secret.as_bytes().windows(PART);
    windows.map(|part| String::from_utf8_lossy(part).to_lowercase())
}

/// Everything that may be told of a request, in lower case.
fn told(request: &Request) -> String {
    let credentials = request.credentials.iter();
    credentials.fold(request.summary.to_lowercase(), |told, credential| {
        format!("{told} {} in {}", credential.scheme, credential.place).to_lowercase()
    })
}

/// It is short, and of printable characters.
pub(crate) fn assert_harmless(request: &Request) {
    let told = told(request);
    assert!(told.len() < TOLD, "{told}");
    assert!(
        told.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{told:?}"
    );
}
