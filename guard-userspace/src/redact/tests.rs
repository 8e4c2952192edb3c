use guard_common::wire::EXCERPT_LEN;
use proptest::prelude::*;

use super::*;

fn http(payload: &str) -> Request {
    describe(Protocol::Http1, payload.as_bytes())
}

fn told(request: &Request) -> Vec<(&str, &str)> {
    let told = request.credentials.iter();
    told.map(|credential| (credential.scheme, credential.place.as_str())).collect()
}

#[test]
fn targets_are_told_without_their_values() {
    for (target, told) in [
        ("/", "/"),
        ("*", "*"),
        ("/v1/orders", "/v1/orders"),
        ("/v1/orders/1024?page=2&sort=name", "/v1/orders/1024?page=***&sort=***"),
        ("/search?", "/search?"),
        ("/search?debug&empty=&filter[name]=x", "/search?***&empty=&filter[name]=***"),
        ("/reset/d2f1c0ffee4b45a0b1d2e3f4a5b6c7d8/done", "/reset/***/done"),
        ("/s/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Zm9vYmFy", "/s/***"),
        ("/u/550e8400-e29b-41d4-a716-446655440000", "/u/***"),
        ("/cards/4111111111111111", "/cards/***"),
        ("/account-preferences-list", "/account-preferences-list"),
        ("/a%2Fb/\u{e9}", "/***/***"),
        ("/app;jsessionid=1A2B;v=1/x", "/app;jsessionid=***;v=***/x"),
        ("http://api.example:8080/v1?x=1", "http://api.example:8080/v1?x=***"),
        ("HTTPS://me:pw@[::1]:8443/", "https://***@[::1]:8443/"),
        ("http://me:p/w@api.example/", "http://***"),
        ("api.example:443", "api.example:443"),
        ("ftp://api.example/", "***"),
    ] {
        let request = http(&format!("GET {target} HTTP/1.1\r\n\r\n"));
        assert_eq!(request.summary, format!("GET {told}"), "{target}");
    }
}

#[test]
fn a_cut_target_loses_its_last_part() {
    for (payload, told) in [
        ("GET /reset/abc", "GET /reset/***"),
        ("GET /reset/", "GET /reset/"),
        ("GET /reset?tok", "GET /reset?***"),
        ("GET /reset?a=1&token=ab", "GET /reset?a=***&token=***"),
        ("GET http://me:secr", "GET http://***"),
        ("GET http://api.example/a", "GET http://***"),
        ("CONNECT secr", "CONNECT ***"),
        ("GET /v1/orders HTT", "GET /v1/orders"),
        ("GET /v1/orders HTTP/1.1\r\nHost: api.exa", "GET /v1/orders"),
        ("GET ", "GET ***"),
        ("GE", "HTTP request"),
        ("", "HTTP request"),
    ] {
        assert_eq!(http(payload).summary, told, "{payload}");
    }
}

#[test]
fn hosts_are_told_when_they_are_names_or_addresses() {
    for (host, told) in [
        ("api.example", "api.example"),
        ("orders.internal.example.com:8443", "orders.internal.example.com:8443"),
        ("ip-10-0-1-5.ec2.internal", "ip-10-0-1-5.ec2.internal"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("me:pw@api.example", "***"),
        ("d2f1c0ffee4b45a0b1d2e3f4a5b6c7d8.hooks.example", "***"),
        ("a\u{e9}b", "***"),
    ] {
        let request = http(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(request.summary, format!("GET / (host {told})"));
    }
}

#[test]
fn what_is_no_request_is_told_by_its_method() {
    for (payload, told) in [
        ("GET /\x01 HTTP/1.1\r\n\r\n", "GET"),
        ("GET /a HTTP/9.9\r\n\r\n", "GET"),
        ("GET /a HTTP/1.1\r\nBad\x1b[2J: x\r\n\r\n", "GET"),
        ("NOPE /a HTTP/1.1\r\n\r\n", "HTTP request /a"),
    ] {
        assert_eq!(http(payload).summary, told, "{payload:?}");
    }
}

#[test]
fn credentials_in_headers_are_found() {
    for (headers, expected) in [
        ("Authorization: Bearer x\r\n", vec![("bearer", "Authorization")]),
        ("authorization: bASIC x\r\n", vec![("basic", "authorization")]),
        ("Proxy-Authorization: Digest x\r\n", vec![("digest", "Proxy-Authorization")]),
        ("Authorization: abcdef\r\n", vec![("other", "Authorization")]),
        ("Authorization: \r\n", vec![]),
        ("Cookie: a=b\r\nX-Api-Key: k\r\n", vec![("cookie", "Cookie"), ("api_key", "X-Api-Key")]),
        ("X-Amz-Security-Token: k\r\n", vec![("token", "X-Amz-Security-Token")]),
        ("x-auth-token: k\r\nX-Auth-Token: k\r\n", vec![
            ("token", "x-auth-token"),
            ("token", "X-Auth-Token"),
        ]),
        ("Cookie: a\r\nCookie: b\r\n", vec![("cookie", "Cookie")]),
        ("X-Csrf-Token: k\r\nAccept: key\r\n", vec![]),
        // Cut at the end, or broken further down.
        ("Authorization: Bear", vec![("other", "Authorization")]),
        ("Authorization: Bearer abc", vec![("bearer", "Authorization")]),
        ("Cookie:", vec![("cookie", "Cookie")]),
        ("Authorizati", vec![]),
        ("Cookie: a\r\nBad\x01: x\r\n\r\n", vec![("cookie", "Cookie")]),
    ] {
        let request = http(&format!("GET / HTTP/1.1\r\n{headers}"));
        assert_eq!(told(&request), expected, "{headers}");
    }
}

#[test]
fn credentials_in_targets_are_found() {
    for (target, expected) in [
        ("/?api_key=k", vec![("api_key", "api_key")]),
        ("/?accessToken=k&user[password]=p", vec![
            ("token", "accessToken"),
            ("password", "user[password]"),
        ]),
        ("/?X-Amz-Signature=s", vec![("signature", "X-Amz-Signature")]),
        ("/?token=&page_token=3&keys=1", vec![]),
        ("/;jsessionid=1", vec![("session", "jsessionid")]),
        ("http://me:pw@host/", vec![("password", "URL")]),
    ] {
        let request = http(&format!("GET {target} HTTP/1.1\r\n\r\n"));
        assert_eq!(told(&request), expected, "{target}");
    }
    assert_eq!(told(&http("GET http://host/?token=abc")), [("token", "token")]);
}

#[test]
fn redis_commands_are_told_by_name() {
    for (payload, summary, expected) in [
        ("*1\r\n$4\r\nPING\r\n", "Redis PING", vec![]),
        ("*2\r\n$3\r\nget\r\n$3\r\nkey\r\n", "Redis GET", vec![]),
        ("*2\r\n$4\r\nauth\r\n$6\r\nsec", "Redis AUTH", vec![("password", "AUTH")]),
        ("*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n", "Redis AUTH", vec![("password", "AUTH")]),
        (
            "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n",
            "Redis HELLO",
            vec![("password", "HELLO")],
        ),
        (
            "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n",
            "Redis PING",
            vec![("password", "AUTH")],
        ),
        ("*1\r\n$7\r\nsecret1\r\n", "Redis command", vec![]),
        ("*1\r\n$20\r\nsecret", "Redis command", vec![]),
        ("*999999999999\r\n$4\r\nPING\r\n", "Redis PING", vec![]),
    ] {
        let request = describe(Protocol::Redis, payload.as_bytes());
        assert_eq!(request.summary, summary, "{payload:?}");
        assert_eq!(told(&request), expected, "{payload:?}");
    }
}

/// Payloads with a place for a secret, and whether they have to say that there was one.
const PLACES: [(Protocol, &str, bool); 17] = [
    (Protocol::Http1, "GET / HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n", true),
    (Protocol::Http1, "GET / HTTP/1.1\r\nAuthorization: Basic {}\r\n\r\n", true),
    (Protocol::Http1, "GET / HTTP/1.1\r\nAuthorization: {}\r\n\r\n", true),
    (Protocol::Http1, "GET / HTTP/1.1\r\nProxy-Authorization: Digest a=\"{}\"\r\n\r\n", true),
    (Protocol::Http1, "GET / HTTP/1.1\r\nHost: a\r\nCookie: {}={}\r\n\r\n", true),
    (Protocol::Http1, "GET / HTTP/1.1\r\nX-Api-Key: {}\r\n\r\n", true),
    (Protocol::Http1, "GET / HTTP/1.1\r\nX-Unheard-Of: {}\r\n\r\n", false),
    (Protocol::Http1, "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\npassword={}", false),
    (Protocol::Http1, "GET /?token={}&a=b HTTP/1.1\r\n\r\n", true),
    (Protocol::Http1, "GET /?a=1&b={} HTTP/1.1\r\n\r\n", false),
    (Protocol::Http1, "GET http://me:{}@host/a HTTP/1.1\r\n\r\n", false),
    (Protocol::Http1, "CONNECT me:{}@host:80 HTTP/1.1\r\n\r\n", false),
    (Protocol::Redis, "*2\r\n$4\r\nAUTH\r\n$60\r\n{}\r\n", true),
    (Protocol::Redis, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60\r\n{}\r\n", false),
    (Protocol::Postgres, "\0\0\0\x54\0\x03\0\0user\0{}\0\0", false),
    (Protocol::Http2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", false),
    (Protocol::Undecided, "{}", false),
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
    format!("{request:?} {json} {} {}", request.summary, shown.join(", "))
}

fn assert_hidden(request: &Request, secret: &str) {
    let said = said(request);
    for part in secret.as_bytes().windows(6) {
        let part = std::str::from_utf8(part).expect("ASCII");
        assert!(!said.contains(part), "`{part}` of `{secret}` is in {said}");
    }
}

fn assert_harmless(request: &Request) {
    let told = request.credentials.iter().map(|told| told.scheme.len() + told.place.len() + 4);
    assert!(request.summary.len() + told.sum::<usize>() < 400, "{request:?}");
    let is_printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    assert!(is_printable(&request.summary), "{request:?}");
    assert!(request.credentials.iter().all(|told| is_printable(&told.place)), "{request:?}");
}

proptest! {
    #[test]
    fn no_secret_is_told(
        secret in "[A-Za-z0-9+/=_.~-]{12,40}[0-9][A-Za-z0-9+/=_.~-]{7,20}",
        end in 0..EXCERPT_LEN,
    ) {
        for (protocol, payload, must_tell) in PLACES {
            let payload = payload.replace("{}", &secret);
            let request = describe(protocol, payload.as_bytes());
            assert_hidden(&request, &secret);
            prop_assert!(!must_tell || !request.credentials.is_empty(), "{payload}");
            let cut = &payload.as_bytes()[..end % payload.len()];
            assert_hidden(&describe(protocol, cut), &secret);
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
            assert_harmless(&describe(protocol, &payload));
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
