//! What holds for every frame.

use std::{vec, vec::Vec};

use etherparse::{
    IpAuthHeader, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options,
    Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions,
    SlicedPacket, TransportSlice, VlanId,
};
use proptest::{collection, option, prelude::*, sample};

use super::*;

/// What can be built, and what it must be read as.
#[derive(Clone, Debug)]
struct Recipe {
    tags: usize,
    network: IpHeaders,
    transport: Kind,
    payload: Vec<u8>,
    padding: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp { options: usize, syn: bool },
    Udp,
    Icmp,
}

impl Recipe {
    fn build(&self) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(MACS.0, MACS.1);
        let id = VlanId::try_new(5).expect("a VLAN id");
        let packet = match self.tags {
            0 => ethernet.ip(self.network.clone()),
            1 => ethernet.single_vlan(id).ip(self.network.clone()),
            _ => ethernet.double_vlan(id, id).ip(self.network.clone()),
        };
        let mut bytes = match self.transport {
            Kind::Tcp { options, syn } => {
                let tcp = packet.tcp(40_000, 8_443, 0x0102_0304, 1_000);
                let tcp = if syn { tcp.syn() } else { tcp.ack(1) };
                let options = vec![1; options * 4];
                write(
                    tcp.options_raw(&options).expect("10 words at most"),
                    &self.payload,
                )
            }
            Kind::Udp => write(packet.udp(53, 53), &self.payload),
            Kind::Icmp => {
                let mut bytes = Vec::new();
                let echo = packet.icmpv4_echo_request(1, 1);
                echo.write(&mut bytes, &self.payload)
                    .expect("writing to memory");
                bytes
            }
        };
        bytes.resize(bytes.len() + self.padding, 0xee);
        bytes
    }

    fn source(&self) -> Address {
        match &self.network {
            IpHeaders::Ipv4(header, _) => Address::V4(u32::from_ne_bytes(header.source)),
            IpHeaders::Ipv6(header, _) => {
                let word = |at: usize| {
                    let bytes = header.source[at..].first_chunk().expect("8 bytes");
                    u64::from_ne_bytes(*bytes)
                };
                Address::of([word(0), word(8)])
            }
        }
    }
}

fn ipv4_headers() -> impl Strategy<Value = IpHeaders> {
    (any::<[u8; 4]>(), 0..=10_usize).prop_map(|(source, options)| {
        let mut header = Ipv4Header {
            source,
            time_to_live: 64,
            ..Ipv4Header::default()
        };
        let options = vec![1; options * 4];
        header.options = Ipv4Options::try_from(options.as_slice()).expect("10 words at most");
        IpHeaders::Ipv4(header, Ipv4Extensions::default())
    })
}

fn ipv6_headers() -> impl Strategy<Value = IpHeaders> {
    let options = || {
        option::of(0..5_usize).prop_map(|units| {
            units.map(|units| {
                let payload = vec![0; 6 + 8 * units];
                Ipv6RawExtHeader::new_raw(IpNumber(0), &payload).expect("a multiple of 8")
            })
        })
    };
    let auth = option::of(0..4_usize).prop_map(|words| {
        words.map(|words| {
            IpAuthHeader::new(IpNumber(0), 1, 1, &vec![0; words * 4]).expect("a short header")
        })
    });
    let chain = (
        options(),
        options(),
        options(),
        options(),
        any::<bool>(),
        auth,
    );
    (any::<[u8; 16]>(), chain).prop_map(|(source, chain)| {
        let (hop_by_hop_options, destination_options, routing, last, fragment, auth) = chain;
        let atomic = Ipv6FragmentHeader::new(IpNumber(0), IpFragOffset::ZERO, false, 1);
        let extensions = Ipv6Extensions {
            hop_by_hop_options,
            destination_options,
            routing: routing.map(|routing| Ipv6RoutingExtensions {
                routing,
                final_destination_options: last,
            }),
            fragment: fragment.then_some(atomic),
            auth,
        };
        IpHeaders::Ipv6(
            Ipv6Header {
                source,
                hop_limit: 64,
                ..Ipv6Header::default()
            },
            extensions,
        )
    })
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let transport = prop_oneof![
        (0..=10_usize, any::<bool>()).prop_map(|(options, syn)| Kind::Tcp { options, syn }),
        Just(Kind::Udp),
        Just(Kind::Icmp),
    ];
    let network = prop_oneof![ipv4_headers(), ipv6_headers()];
    let payload = collection::vec(any::<u8>(), 0..100);
    (0..=2_usize, network, transport, payload, 0..40_usize).prop_map(
        |(tags, network, transport, payload, padding)| Recipe {
            tags,
            network,
            transport,
            payload,
            padding,
        },
    )
}

/// A valid frame, a few of its bytes changed, cut somewhere.
fn broken_frames() -> impl Strategy<Value = Vec<u8>> {
    let changes = collection::vec((any::<sample::Index>(), any::<u8>()), 0..6);
    (recipes(), changes, option::of(any::<sample::Index>())).prop_map(|(recipe, changes, cut)| {
        let mut bytes = recipe.build();
        for (place, value) in changes {
            // Most of the sense is in the first bytes.
            let place = place.index(bytes.len().min(100));
            bytes[place] = value;
        }
        let len = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
        bytes.truncate(len);
        bytes
    })
}

/// Noise behind an Ethernet header that promises IP.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let link = sample::select(vec![
        [0x08, 0x00, 0x45],
        [0x86, 0xdd, 0x60],
        [0x81, 0x00, 0x00],
    ]);
    (link, collection::vec(any::<u8>(), 0..200))
        .prop_map(|(link, rest)| [&[0; 12], &link[..], &rest].concat())
}

/// A frame of which only the first `linear` bytes can be read directly.
struct Partly<'a> {
    bytes: &'a [u8],
    linear: usize,
}

impl Frame for Partly<'_> {
    fn linear_len(&self) -> usize {
        self.linear
    }

    fn total_len(&self) -> usize {
        self.bytes.len()
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.bytes[..self.linear].get(offset..)?.first_chunk()
    }

    /// As the kernel calls it: through one word.
    fn beyond_extensions(&self, at: Payload) -> Result<Payload, Unsound> {
        Walk::pack(extensions(self, at)).unpack(at)
    }
}

/// What is true of whatever is made of `frame`.
fn check_sense(frame: &[u8], parsed: Result<Packet, Unsound>) -> Result<(), TestCaseError> {
    let Ok(Packet::Ip(packet)) = parsed else {
        return Ok(());
    };
    prop_assert!(packet.frame_len as usize <= frame.len());
    if let Transport::Tcp(tcp) = packet.transport() {
        let end = u32::from(tcp.payload_offset) + tcp.payload_len;
        prop_assert_eq!(end, packet.frame_len);
        prop_assert!(usize::from(tcp.payload_offset) >= IP + IPV4_LEN + TCP_LEN);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read(frame in collection::vec(any::<u8>(), 0..200)) {
        check_sense(&frame, read(&frame))?;
    }

    #[test]
    fn noise_is_read(frame in noise()) {
        check_sense(&frame, read(&frame))?;
    }

    #[test]
    fn broken_frames_are_read(frame in broken_frames()) {
        check_sense(&frame, read(&frame))?;
    }

    #[test]
    fn what_is_read_sooner_is_read_the_same(
        frame in prop_oneof![broken_frames(), noise(), recipes().prop_map(|recipe| recipe.build())],
    ) {
        if let Some(packet) = plain(frame.as_slice()) {
            prop_assert_eq!(parse_any(frame.as_slice()), Ok(Packet::Ip(packet)));
        }
    }

    #[test]
    fn the_walk_in_one_word_is_the_same(frame in prop_oneof![broken_frames(), noise()]) {
        let outlined = Partly { bytes: &frame, linear: frame.len() };
        prop_assert_eq!(parse(&outlined), read(&frame));
    }

    #[test]
    fn a_frame_in_pieces_is_read_as_a_whole_or_not_at_all(
        frame in prop_oneof![broken_frames(), noise()],
        linear in any::<sample::Index>(),
    ) {
        let linear = linear.index(frame.len() + 1);
        let partly = parse(&Partly { bytes: &frame, linear });
        prop_assert!(partly == Err(Unsound::OutOfReach) || partly == read(&frame));
    }

    #[test]
    fn a_walk_comes_back_as_it_went(
        protocol: u8,
        fragment in (0..1_u16 << 13, any::<bool>()),
        from in (0..100_usize, 0..70_000_usize),
        walked in 0..12_288_usize,
    ) {
        let (offset, partial) = fragment;
        let at = Payload {
            protocol: PROTOCOL_FRAGMENT,
            hop_limit: 64,
            offset: from.0,
            len: walked + from.1,
            fragment: Fragment::WHOLE,
        };
        let found = Payload {
            protocol,
            hop_limit: 64,
            offset: from.0 + walked,
            len: from.1,
            fragment: Fragment { offset, partial },
        };
        prop_assert_eq!(Walk::pack(Ok(found)).unpack(at), Ok(found));
        for unsound in [
            Unsound::OutOfReach,
            Unsound::Malformed,
            Unsound::Fragment,
            Unsound::TcpFlags,
            Unsound::ExtensionHeaders,
            Unsound::VlanTags,
        ] {
            prop_assert_eq!(Walk::pack(Err(unsound)).unpack(at), Err(unsound));
        }
    }

    #[test]
    fn etherparse_agrees_on_valid_frames(recipe in recipes()) {
        let frame = recipe.build();
        let packet = ip(&frame);
        prop_assert_eq!(packet.source(), recipe.source());
        prop_assert_eq!(packet.frame_len as usize, frame.len() - recipe.padding);
        let theirs = SlicedPacket::from_ethernet(&frame).expect("a valid frame");
        let theirs = theirs.transport.expect("a transport header");
        match (packet.transport(), theirs) {
            (Transport::Tcp(ours), TransportSlice::Tcp(theirs)) => {
                prop_assert_eq!(ours.head.source_port(), theirs.source_port());
                prop_assert_eq!(ours.head.port(), theirs.destination_port());
                prop_assert_eq!(ours.head.seq(), theirs.sequence_number());
                prop_assert_eq!(ours.head.opens(), theirs.syn());
                prop_assert_eq!(ours.payload_len as usize, theirs.payload().len());
                let start = theirs.payload().as_ptr() as usize - frame.as_ptr() as usize;
                prop_assert_eq!(usize::from(ours.payload_offset), start);
            }
            (Transport::Udp, TransportSlice::Udp(theirs)) => {
                prop_assert_eq!(theirs.payload(), recipe.payload);
            }
            (Transport::Icmp, TransportSlice::Icmpv4(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?}, not {theirs:?}"),
        }
    }
}
