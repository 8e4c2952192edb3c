//! Handshake bytes made by hand.

/// A random that is no `HelloRetryRequest`'s.
const RANDOM: [u8; 32] = [7; 32];

/// A vector behind its length in two bytes.
pub(crate) fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short vector");
    [&length.to_be_bytes(), content].concat()
}

/// Numbers, two bytes each.
pub(crate) fn numbers(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

/// One record.
pub(crate) fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &vector(content)].concat()
}

/// One handshake message.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short message");
    let [_, length @ ..] = length.to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// One extension.
pub(crate) fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(content)].concat()
}

/// A `server_name` extension.
pub(crate) fn server_name(host: &[u8]) -> Vec<u8> {
    extension(0, &vector(&[&[0][..], &vector(host)].concat()))
}

/// A protocol extension.
pub(crate) fn protocols(names: &[&[u8]]) -> Vec<u8> {
    let names = names.iter().map(|name| {
        let length = u8::try_from(name.len()).expect("a short name");
        [&[length][..], name].concat()
    });
    extension(16, &vector(&names.collect::<Vec<_>>().concat()))
}

/// A client's `supported_versions` extension.
pub(crate) fn versions(versions: &[u16]) -> Vec<u8> {
    let list = numbers(versions);
    let length = u8::try_from(list.len()).expect("a short list");
    extension(43, &[&[length][..], &list].concat())
}

/// A `signature_algorithms` extension.
pub(crate) fn algorithms(algorithms: &[u16]) -> Vec<u8> {
    extension(13, &vector(&numbers(algorithms)))
}

/// A ClientHello message.
pub(crate) fn client_hello(version: u16, ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&version.to_be_bytes()[..], &RANDOM, &[0]].concat();
    body.extend(vector(&numbers(ciphers)));
    body.extend([1, 0]);
    body.extend(vector(&extensions.concat()));
    message(1, &body)
}

/// A `ServerHello` message.
pub(crate) fn server_hello(version: u16, cipher: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = [&version.to_be_bytes()[..], &RANDOM, &[0]].concat();
    body.extend(cipher.to_be_bytes());
    body.push(0);
    body.extend(vector(&extensions.concat()));
    message(2, &body)
}
