use guard_common::wire::EXCERPT_LEN;
use proptest::prelude::*;

use super::*;

/// Payloads with a place for a secret, and whether they have to say that there was one.
const PLACES: [(Protocol, &str, bool); 19] = [
    (
        Protocol::Http1,
        "GET /\x1b HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nAuthorization : Bearer {}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nAuthorization: Basic {}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nAuthorization: {}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nProxy-Authorization: Digest a=\"{}\"\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: {}={}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nX-Api-Key: {}\r\n\r\n",
        true,
    ),
    (
        Protocol::Http1,
        "GET / HTTP/1.1\r\nX-Unheard-Of: {}\r\n\r\n",
        false,
    ),
    (
        Protocol::Http1,
        "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\npassword={}",
        false,
    ),
    (Protocol::Http1, "GET /?token={}&a=b HTTP/1.1\r\n\r\n", true),
    (Protocol::Http1, "GET /?a=1&b={} HTTP/1.1\r\n\r\n", false),
    (
        Protocol::Http1,
        "GET http://me:{}@host/a HTTP/1.1\r\n\r\n",
        false,
    ),
    (
        Protocol::Http1,
        "CONNECT me:{}@host:80 HTTP/1.1\r\n\r\n",
        false,
    ),
    (Protocol::Redis, "*2\r\n$4\r\nAUTH\r\n$60\r\n{}\r\n", true),
    (
        Protocol::Redis,
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60\r\n{}\r\n",
        false,
    ),
    (
        Protocol::Postgres,
        "\0\0\0\x54\0\x03\0\0user\0{}\0\0",
        false,
    ),
    (Protocol::Http2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", false),
    (Protocol::Unknown, "{}", false),
];
/// Places in which some characters of a secret would end it.
const NARROW_PLACES: [&str; 7] = [
    "GET / HTTP/1.1\r\nHost: {}\r\n\r\n",
    "GET http://{}:80/ HTTP/1.1\r\n\r\n",
    "GET /?{}=1&a[{}]=2&{} HTTP/1.1\r\n\r\n",
    "GET /reset/{} HTTP/1.1\r\n\r\n",
    "GET /reset/{}/done HTTP/1.1\r\n\r\n",
    "GET /app;jsessionid={} HTTP/1.1\r\n\r\n",
    "GET http://host/{}/x HTTP/1.1\r\n\r\n",
];

fn said(request: &Request) -> String {
    let json = serde_json::to_string(request).expect("a request");
    let shown: Vec<String> = request
        .credentials
        .iter()
        .map(|credential| format!("{} in {}", credential.scheme, credential.place))
        .collect();
    format!(
        "{request:?} {json} {} {}",
        request.summary,
        shown.join(", ")
    )
}

fn assert_hidden(request: &Request, secret: &str) {
    let said = said(request);
    for part in secret.as_bytes().windows(6) {
        let part = std::str::from_utf8(part).expect("ASCII");
        assert!(!said.contains(part), "`{part}` of `{secret}` is in {said}");
    }
}

fn assert_harmless(request: &Request) {
    let told = request
        .credentials
        .iter()
        .map(|told| told.scheme.len() + told.place.len() + 4);
    assert!(
        request.summary.len() + told.sum::<usize>() < 400,
        "{request:?}"
    );
    let is_printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(is_printable(&request.summary), "{request:?}");
    assert!(
        request
            .credentials
            .iter()
            .all(|told| is_printable(&told.place)),
        "{request:?}"
    );
}

proptest! {
    #[test]
    fn no_secret_is_told(
        secret in "[A-Za-z0-9+/=_.~-]{12,40}[0-9][A-Za-z0-9+/=_.~-]{7,20}",
        end in 0..EXCERPT_LEN,
    ) {
        for (protocol, payload, must_tell) in PLACES {
            let payload = payload.replace("{}", &secret);
            let request = describe(protocol, payload.as_bytes(), &KEY);
            assert_hidden(&request, &secret);
            prop_assert!(!must_tell || !request.credentials.is_empty(), "{payload}");
            let cut = &payload.as_bytes()[..end % payload.len()];
            assert_hidden(&describe(protocol, cut, &KEY), &secret);
        }
    }

    #[test]
    fn no_secret_in_a_narrow_place_is_told(
        secret in "[A-Za-z0-9_~-]{10,30}[0-9][A-Za-z0-9_~-]{9,30}",
        end in 0..EXCERPT_LEN,
    ) {
        for payload in NARROW_PLACES {
            let payload = payload.replace("{}", &secret);
            assert_hidden(&http(&payload), &secret);
            let cut = &payload[..end % payload.len()];
            assert_hidden(&http(cut), &secret);
        }
    }

    #[test]
    fn whatever_comes_is_told_in_few_printable_characters(
        start in "(GET|POST|CONNECT|\\*2|) ?(/|http://|\\PC|\\r\\n|\\$4)*",
        payload in proptest::collection::vec(any::<u8>(), 0..=EXCERPT_LEN),
    ) {
        let payload = [start.as_bytes(), &payload].concat();
        for protocol in Protocol::ALL {
            assert_harmless(&describe(protocol, &payload, &KEY));
        }
    }

    #[test]
    fn long_and_odd_requests_are_told_in_few_printable_characters(
        target in "(/|[a-z]{1,30}|\\?|&|=|;|@|:|%20|\u{1b}|\u{e9}|token=|x-api-key=|http://){0,80}",
        headers in proptest::collection::vec("(Host|Cookie|X-(-){0,60}Api-Key|Key): ?[ -~]{0,90}", 0..8),
    ) {
        let payload = format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
        assert_harmless(&http(&payload));
        assert_harmless(&http(&format!("GET /{target} HTTP/1.1\r\nHost: a\r\n")));
    }
}
