use super::*;

const KEY: Key = Key::new([7; 32]);

mod properties;

fn http(payload: &str) -> Request {
    describe(Protocol::Http1, payload.as_bytes(), &KEY)
}

fn told(request: &Request) -> Vec<(&str, &str)> {
    let told = request.credentials.iter();
    told.map(|credential| (credential.scheme, credential.place.as_str()))
        .collect()
}

#[test]
fn every_kind_of_credential_is_among_those_that_are_counted() {
    for (scheme, _) in names::SCHEMES {
        assert!(SCHEMES.contains(&scheme), "{scheme}");
    }
    for word in ["Basic", "bearer", "DIGEST", "Negotiate", ""] {
        let request = http(&format!(
            "GET / HTTP/1.1\r\nAuthorization: {word} x\r\n\r\n"
        ));
        let scheme = request.credentials[0].scheme;
        assert!(SCHEMES.contains(&scheme), "{scheme}");
    }
}

#[test]
fn targets_are_told_without_their_values() {
    for (target, told) in [
        ("/", "/"),
        ("*", "*"),
        ("/v1/orders", "/v1/orders"),
        (
            "/v1/orders/1024?page=2&sort=name",
            "/v1/orders/***?page=***&sort=***",
        ),
        ("/search?", "/search?"),
        (
            "/search?debug&empty=&filter[name]=x",
            "/search?***&empty=&filter[name]=***",
        ),
        (
            "/reset/d2f1c0ffee4b45a0b1d2e3f4a5b6c7d8/done",
            "/reset/***/done",
        ),
        ("/s/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Zm9vYmFy", "/s/***"),
        ("/u/550e8400-e29b-41d4-a716-446655440000", "/u/***"),
        ("/cards/4111111111111111", "/cards/***"),
        ("/account-preferences-list", "/account-preferences-list"),
        ("/otp/482913", "/otp/***"),
        ("/reset/Ab12Cd", "/reset/***"),
        ("/reset/AbXyQr", "/reset/***"),
        ("/verify/4829/v4829", "/verify/***/***"),
        ("/v2beta1/oauth2/token", "/v2beta1/oauth2/token"),
        ("/userProfiles/index.html", "/userProfiles/index.html"),
        ("/a%2Fb/\u{e9}", "/***/***"),
        ("/app;jsessionid=1A2B;v=1/x", "/app;jsessionid=***;v=***/x"),
        (
            "http://api.example:8080/v1?x=1",
            "http://api.example:8080/v1?x=***",
        ),
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
        (
            "orders.internal.example.com:8443",
            "orders.internal.example.com:8443",
        ),
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
        (
            "Authorization: Bearer x\r\n",
            vec![("bearer", "Authorization")],
        ),
        (
            "authorization: bASIC x\r\n",
            vec![("basic", "authorization")],
        ),
        (
            "Proxy-Authorization: Digest x\r\n",
            vec![("digest", "Proxy-Authorization")],
        ),
        (
            "Authorization: abcdef\r\n",
            vec![("other", "Authorization")],
        ),
        ("Authorization: \r\n", vec![]),
        (
            "Cookie: a=b\r\nX-Api-Key: k\r\n",
            vec![("cookie", "Cookie"), ("api_key", "X-Api-Key")],
        ),
        (
            "X-Amz-Security-Token: k\r\n",
            vec![("token", "X-Amz-Security-Token")],
        ),
        (
            "x-auth-token: k\r\nX-Auth-Token: k\r\n",
            vec![("token", "x-auth-token"), ("token", "X-Auth-Token")],
        ),
        ("Cookie: a\r\nCookie: a\r\n", vec![("cookie", "Cookie")]),
        (
            "Cookie: a\r\nCookie: b\r\n",
            vec![("cookie", "Cookie"), ("cookie", "Cookie")],
        ),
        (
            "X-Csrf-Token: k\r\nAccept: key\r\n",
            vec![("token", "X-Csrf-Token")],
        ),
        // Cut at the end, or broken further down.
        ("Authorization: Bear", vec![("other", "Authorization")]),
        (
            "Authorization: Bearer abc",
            vec![("bearer", "Authorization")],
        ),
        ("Cookie:", vec![("cookie", "Cookie")]),
        ("Authorizati", vec![]),
        (
            "Cookie: a\r\nBad\x01: x\r\nX-Api-Key: k\r\n\r\n",
            vec![("cookie", "Cookie"), ("api_key", "X-Api-Key")],
        ),
        (
            "Authorization : Bearer x\r\n\r\n",
            vec![("bearer", "Authorization")],
        ),
        ("Bad\x01: x\r\n\r\nCookie: a", vec![]),
    ] {
        let request = http(&format!("GET / HTTP/1.1\r\n{headers}"));
        assert_eq!(told(&request), expected, "{headers}");
    }
}

#[test]
fn credentials_in_targets_are_found() {
    for (target, expected) in [
        ("/?api_key=k", vec![("api_key", "api_key")]),
        (
            "/?accessToken=k&user[password]=p",
            vec![("token", "accessToken"), ("password", "user[password]")],
        ),
        (
            "/?X-Amz-Signature=s",
            vec![("signature", "X-Amz-Signature")],
        ),
        ("/?token=&page_token=3&keys=1", vec![]),
        ("/;jsessionid=1", vec![("session", "jsessionid")]),
        ("http://me:pw@host/", vec![("password", "URL")]),
    ] {
        let request = http(&format!("GET {target} HTTP/1.1\r\n\r\n"));
        assert_eq!(told(&request), expected, "{target}");
    }
    let odd = http("GET /\x1b HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n");
    assert_eq!(told(&odd), [("bearer", "Authorization")]);
    assert_eq!(
        told(&http("GET http://host/?token=abc")),
        [("token", "token")]
    );
}

#[test]
fn redis_commands_are_told_by_name() {
    for (payload, summary, expected) in [
        ("*1\r\n$4\r\nPING\r\n", "Redis PING", vec![]),
        ("*2\r\n$3\r\nget\r\n$3\r\nkey\r\n", "Redis GET", vec![]),
        (
            "*2\r\n$4\r\nauth\r\n$6\r\nsec",
            "Redis AUTH",
            vec![("password", "AUTH")],
        ),
        (
            "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n",
            "Redis AUTH",
            vec![("password", "AUTH")],
        ),
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
        let request = describe(Protocol::Redis, payload.as_bytes(), &KEY);
        assert_eq!(request.summary, summary, "{payload:?}");
        assert_eq!(told(&request), expected, "{payload:?}");
    }
}
