//! Which names hold credentials, and which words can be no secret.

use super::HIDDEN;

/// Characters of a name that is shown, at most.
pub(super) const NAME_LEN: usize = 32;
/// From this length on a text can be a token, and has to be made of words not to be one.
const TOKEN_LEN: usize = 20;
/// Letters of a word, at most.
const WORD_LEN: usize = 16;
/// Digits of a number, at most: fewer than a payment card has.
const NUMBER_LEN: usize = 10;
/// Letters mixed with digits, at most: `ec2`, `web01`.
const MIXED_LEN: usize = 7;
/// Letters of each word in `userProfiles`, at least: chance rarely spells such.
const HUMP_LEN: usize = 3;
/// Words with a digit that routes are known to have.
const NUMBERED: [&str; 5] = ["i18n", "k8s", "oauth1", "oauth2", "s3"];
/// What may follow the number of a version: `v1beta2`.
const STAGES: [&str; 4] = ["alpha", "beta", "p", "rc"];

/// The kind of credential that a header or parameter of this name holds. Case, separators and a
/// leading `X-` make no difference, and of `user[password]` the last part counts.
pub(super) fn scheme(name: &str) -> Option<&'static str> {
    let last = name.rsplit(['[', ']', '.']).find(|part| !part.is_empty())?;
    let bare = match last.as_bytes() {
        [b'x' | b'X', b'-' | b'_', ..] => &last[2..],
        _ => last,
    };
    let bare: String = bare
        .chars()
        .filter(|character| !matches!(character, '-' | '_'))
        .take(NAME_LEN)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    SCHEMES
        .iter()
        .find(|(_, names)| names.contains(&bare.as_str()))
        .map(|(scheme, _)| *scheme)
}

/// Kinds of credentials, and the names that hold them.
pub(super) const SCHEMES: [(&str, &[&str]); 7] = [
    (
        "api_key",
        &[
            "apikey",
            "key",
            "accesskey",
            "accesskeyid",
            "appkey",
            "applicationkey",
            "authkey",
            "ddapikey",
            "ddapplicationkey",
            "functionskey",
            "googapikey",
            "masterkey",
            "ocpapimsubscriptionkey",
            "rapidapikey",
            "subscriptionkey",
        ],
    ),
    (
        "token",
        &[
            "token",
            "accesstoken",
            "amzsecuritytoken",
            "apitoken",
            "assertion",
            "auth",
            "authorization",
            "authtoken",
            "bearertoken",
            "clientassertion",
            "consultoken",
            "csrftoken",
            "forwardedaccesstoken",
            "githubtoken",
            "gitlabtoken",
            "googiapjwtassertion",
            "idtoken",
            "jobtoken",
            "jwt",
            "jwtassertion",
            "oauthtoken",
            "privatetoken",
            "refreshtoken",
            "resettoken",
            "securitytoken",
            "sessiontoken",
            "shopifyaccesstoken",
            "usertoken",
            "vaulttoken",
            "xsrftoken",
        ],
    ),
    (
        "password",
        &["password", "passwd", "passphrase", "pass", "pwd"],
    ),
    (
        "secret",
        &[
            "secret",
            "apisecret",
            "appsecret",
            "clientsecret",
            "secretkey",
            "sharedsecret",
        ],
    ),
    (
        "signature",
        &[
            "signature",
            "sig",
            "amzsignature",
            "googsignature",
            "hubsignature256",
        ],
    ),
    (
        "session",
        &["session", "sessionid", "sid", "jsessionid", "phpsessid"],
    ),
    ("cookie", &["cookie"]),
];

/// A name as it may be shown.
pub(super) fn shown(name: &str) -> &str {
    let is_harmless = name.len() <= NAME_LEN && parts(name, &['[', ']', '$']).all(is_harmless);
    if is_harmless { name } else { HIDDEN }
}

/// Nobody would take this text for a secret: words and short numbers between `-`, `_`, `.` and
/// `~`.
pub(super) fn is_harmless(text: &str) -> bool {
    let is_part = if text.len() < TOKEN_LEN {
        is_short_part
    } else {
        is_word
    };
    parts(text, &['-', '_', '.', '~']).all(is_part)
}

/// Nobody would take this segment of a path for a secret: words and versions. Numbers are hidden:
/// they may be one-time passwords, or name a person.
pub(super) fn is_route(segment: &str) -> bool {
    parts(segment, &['-', '_', '.', '~'])
        .all(|part| is_words(part) || is_version(part) || NUMBERED.contains(&part))
}

/// A word, or several run together: `userProfiles`.
fn is_words(part: &str) -> bool {
    let is_start = |at: usize| part.as_bytes()[at].is_ascii_uppercase();
    let starts = (1..part.len()).filter(|at| is_start(*at));
    let bounds: Vec<usize> = [0].into_iter().chain(starts).chain([part.len()]).collect();
    let mut humps = bounds
        .windows(2)
        .map(|bounds| &part.as_bytes()[bounds[0]..bounds[1]]);
    is_word(part)
        || humps.all(|hump| {
            (HUMP_LEN..=WORD_LEN).contains(&hump.len()) && hump.iter().all(u8::is_ascii_alphabetic)
        })
}

/// `v1`, `v12`, `v2beta1`.
fn is_version(part: &str) -> bool {
    let is_number = |text: &str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let Some(rest) = part.strip_prefix(['v', 'V']) else {
        return false;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, stage) = rest.split_at(digits);
    let stages = STAGES.iter().filter_map(|known| stage.strip_prefix(known));
    let mut numbers = stages.map(|number| number.is_empty() || is_number(number));
    is_number(number) && (stage.is_empty() || numbers.any(|is_known| is_known))
}

fn parts<'a>(text: &'a str, separators: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(separators).filter(|part| !part.is_empty())
}

fn is_short_part(part: &str) -> bool {
    let all = |is: fn(&u8) -> bool| part.as_bytes().iter().all(is);
    all(u8::is_ascii_alphabetic)
        || (part.len() <= NUMBER_LEN && all(u8::is_ascii_digit))
        || (part.len() <= MIXED_LEN && all(u8::is_ascii_alphanumeric))
}

/// Letters of one case, or capitalised.
fn is_word(part: &str) -> bool {
    let bytes = part.as_bytes();
    let tail = bytes.get(1..).unwrap_or_default();
    part.len() <= WORD_LEN
        && bytes.iter().all(u8::is_ascii_alphabetic)
        && (tail.iter().all(u8::is_ascii_lowercase) || bytes.iter().all(u8::is_ascii_uppercase))
}
