//! Words in the first kilobytes of what a side says.

/// What to search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sought {
    /// The end of a line.
    LineEnd = 0,
    /// That a server wants HTTPS, in its own words.
    WantsHttps = 1,
    /// `Location: https://`, however it is written.
    ToHttps = 2,
    /// An upgrade to WebSocket.
    Websocket = 3,
    /// The content type of gRPC, as HPACK codes it or in clear.
    Grpc = 4,
}

impl Sought {
    /// The one with this number; the last one where there is none.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        match number {
            0 => Self::LineEnd,
            1 => Self::WantsHttps,
            2 => Self::ToHttps,
            3 => Self::Websocket,
            _ => Self::Grpc,
        }
    }
}

/// Bytes searched at most.
pub const SEARCHED: u32 = 1024;

/// What nginx, Apache, Go and Tomcat answer to plaintext on a TLS port: parts of eight bytes.
const WANTS_HTTPS: [u64; 4] = [
    u64::from_be_bytes(*b"to HTTPS"),
    u64::from_be_bytes(*b"SSL-enab"),
    u64::from_be_bytes(*b"an HTTPS"),
    u64::from_be_bytes(*b"ires TLS"),
];
const HTTPS: u64 = u64::from_be_bytes(*b"https://");
/// What comes before that, with up to two blanks.
const LOCATION: [u64; 3] = [
    u64::from_be_bytes(*b"ocation:"),
    u64::from_be_bytes(*b"cation: "),
    u64::from_be_bytes(*b"ation:  "),
];
const WEBSOCKET: u64 = u64::from_be_bytes(*b"websocke");
/// `application/grpc` in HPACK's Huffman code, its middle, and in clear, its end.
const GRPC: [u64; 2] = [
    u64::from_be_bytes([0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c]),
    u64::from_be_bytes(*b"ion/grpc"),
];
/// Makes letters small, and leaves what stands between them in `https://` and `ocation:` as it is.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// The last sixteen bytes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    older: u64,
    newer: u64,
}

impl Window {
    /// The window that these words are.
    #[inline(always)]
    #[must_use]
    pub const fn new(older: u64, newer: u64) -> Self {
        Self { older, newer }
    }

    /// As two words.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> [u64; 2] {
        [self.older, self.newer]
    }

    /// After one more byte.
    #[inline(always)]
    #[must_use]
    pub const fn then(self, byte: u8) -> Self {
        Self {
            older: self.older << 8 | self.newer >> 56,
            newer: self.newer << 8 | byte as u64,
        }
    }

    /// After a text that ends with `last`: big-endian words, of which the last `len` bytes (0 to 16)
    /// belong to it.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, last: [u64; 2], len: u32) -> Self {
        let [older, newer] = last;
        if len >= 16 {
            return Self { older, newer };
        }
        if len >= 8 {
            let shift = (len - 8) * 8;
            // What is left of this window's newer bytes comes before.
            let left = if shift == 0 {
                self.newer
            } else {
                self.newer << shift | older & ((1 << shift) - 1)
            };
            return Self { older: left, newer };
        }
        let shift = len * 8;
        if shift == 0 {
            return self;
        }
        Self {
            older: self.older << shift | self.newer >> (64 - shift),
            newer: self.newer << shift | newer & ((1 << shift) - 1),
        }
    }
}

/// A search through bytes, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Any of them will do.
    words: [u64; 4],
    /// Set in what is compared.
    small: u64,
    /// What is compared at all.
    care: u64,
    /// Whether a [`LOCATION`] has to come before.
    located: bool,
    window: Window,
}

impl Search {
    /// A search that goes on behind a window.
    #[inline(always)]
    #[must_use]
    pub const fn new(sought: Sought, window: Window) -> Self {
        let (words, small, care) = match sought {
            Sought::LineEnd => ([b'\n' as u64; 4], 0, 0xff),
            Sought::WantsHttps => (WANTS_HTTPS, 0, u64::MAX),
            Sought::ToHttps => ([HTTPS; 4], SMALL, u64::MAX),
            Sought::Websocket => ([WEBSOCKET; 4], SMALL, u64::MAX),
            Sought::Grpc => ([GRPC[0], GRPC[1], GRPC[1], GRPC[1]], 0, u64::MAX),
        };
        Self {
            words,
            small,
            care,
            located: matches!(sought, Sought::ToHttps),
            window,
        }
    }

    /// Looks at the next byte. Whether it completes what is searched for.
    #[inline(always)]
    pub const fn next(&mut self, byte: u8) -> bool {
        self.window = self.window.then(byte);
        let seen = (self.window.newer | self.small) & self.care;
        let [a, b, c, d] = self.words;
        (seen == a || seen == b || seen == c || seen == d) && self.is_located()
    }

    #[inline(always)]
    const fn is_located(&self) -> bool {
        let [a, b, c] = LOCATION;
        let before = self.window.older | SMALL;
        !self.located || before == a || before == b || before == c
    }
}

impl Sought {
    /// How many bytes of `text` it takes to find it, from 1; nothing when it is not there.
    #[must_use]
    pub fn find(self, text: &[u8]) -> Option<u32> {
        let mut search = Search::new(self, Window::default());
        let found = text.iter().position(|byte| search.next(*byte))?;
        Some(found as u32 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(sought: Sought, text: &[u8]) -> bool {
        sought.find(text).is_some()
    }

    #[test]
    fn servers_that_want_https_say_so() {
        for text in [
            "<center>The plain HTTP request was sent to HTTPS port</center>",
            "You're speaking plain HTTP to an SSL-enabled server port.",
            "Client sent an HTTP request to an HTTPS server.\n",
            "This combination of host and port requires TLS.\r\n",
        ] {
            assert!(finds(Sought::WantsHttps, text.as_bytes()), "{text}");
        }
        for text in ["Bad Request: no such id", "see https://docs.example", ""] {
            assert!(!finds(Sought::WantsHttps, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_location_is_found_however_it_is_written() {
        for text in [
            "Location: https://a/",
            "location:https://a/",
            "LOCATION:  HTTPS://a/",
        ] {
            assert!(finds(Sought::ToHttps, text.as_bytes()), "{text}");
        }
        for text in [
            "Location: http://a/",
            "Location: /x\r\nLink: https://a/",
            "Location: http://a/?to=https://b",
            "Server: https://a",
        ] {
            assert!(!finds(Sought::ToHttps, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_window_goes_on_over_texts_of_any_length() {
        let text: std::vec::Vec<u8> = (1..=200).collect();
        for size in 1..40 {
            let (mut window, mut whole) = (Window::default(), Window::default());
            for part in text.chunks(size) {
                whole = part.iter().fold(whole, |window, byte| window.then(*byte));
                let mut last = [0; 16];
                let len = part.len().min(16);
                last[16 - len..].copy_from_slice(&part[part.len() - len..]);
                let [older, newer] = [0, 8]
                    .map(|at| u64::from_be_bytes(*last[at..].first_chunk().expect("8 bytes")));
                window = window.after([older, newer], len as u32);
                assert_eq!(window, whole, "{size}");
            }
        }
    }

    #[test]
    fn other_words_are_found_too() {
        assert_eq!(Sought::LineEnd.find(b"PROXY x\r\nGET"), Some(9));
        assert!(finds(Sought::Websocket, b"upgrade: WebSocket\r\n"));
        assert!(!finds(Sought::Websocket, b"upgrade: h2c\r\n"));
        assert!(finds(
            Sought::Grpc,
            b"\x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64"
        ));
        assert!(finds(Sought::Grpc, b"application/grpc"));
    }
}
