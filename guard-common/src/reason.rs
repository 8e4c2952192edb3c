//! Verdicts and reasons: the vocabulary of counters, metrics, events and the command line.

/// What was done with a packet. Each packet counts under exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// Handed to the network stack.
    Pass = 0,
    /// Discarded.
    Drop = 1,
    /// Handed to the network stack although enforcing would have discarded it (dry-run).
    WouldDrop = 2,
    /// Discarded, and its connection broken off at both ends.
    Reset = 3,
    /// Handed to the network stack although enforcing would have broken its connection off
    /// (dry-run).
    WouldReset = 4,
}

impl Verdict {
    /// Every verdict, in the order of its number.
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Drop,
        Self::WouldDrop,
        Self::Reset,
        Self::WouldReset,
    ];
    /// How many verdicts there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The stable word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::WouldDrop => "would_drop",
            Self::Reset => "reset",
            Self::WouldReset => "would_reset",
        }
    }
}

/// Why a packet got its verdict.
///
/// To add one: a variant here, its word in [`Reason::name`] and [`Reason::ALL`], and the stage in
/// the kernel that gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Nothing was held against it.
    Pass = 0,
    /// The operator allowed the source.
    Allow = 1,
    /// The operator denied the source.
    Deny = 2,
    /// A header that is cut short or contradicts itself: no stack would accept it.
    Malformed = 3,
    /// A fragment cut so that it hides its own transport header.
    Fragment = 4,
    /// The service does not list the source among those that may reach it.
    ServiceAcl = 5,
    /// The source is over its limit of packets.
    LimitPackets = 6,
    /// The source is over its limit of bytes.
    LimitBytes = 7,
    /// The source is over its limit of new TCP connections (SYN segments).
    LimitConnections = 8,
    /// A plaintext protocol on a port whose service demands encryption.
    Plaintext = 9,
    /// The whole host's budget for packets of this kind is spent: ICMP, fragments, UDP.
    LimitProtocol = 10,
    /// It claims one of the host's own addresses, and comes from outside.
    Spoofed = 11,
    /// The source is over its limit to this service: packets, bytes or SYNs.
    LimitService = 12,
    /// The network around the source is over its limit: the IPv4 /24 or IPv6 /48.
    LimitAggregate = 13,
    /// What sources that are not known may send together is spent.
    NewSources = 14,
    /// The source is banned for having stayed over its limit.
    Ban = 15,
    /// A feed lists the source.
    Feed = 16,
    /// TCP flags that no connection takes.
    TcpFlags = 17,
    /// It claims to come from where it goes to.
    Land = 18,
    /// More than six IPv6 extension headers, or out of order.
    ExtensionHeaders = 19,
    /// More than two VLAN tags.
    VlanTags = 20,
    /// It would have been refused, but is an answer that the host has asked one of its resolvers
    /// for, or of the SSH connection of somebody who administers it.
    ProtectSelf = 21,
}

impl Reason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 22] = [
        Self::Pass,
        Self::Allow,
        Self::Deny,
        Self::Malformed,
        Self::Fragment,
        Self::ServiceAcl,
        Self::LimitPackets,
        Self::LimitBytes,
        Self::LimitConnections,
        Self::Plaintext,
        Self::LimitProtocol,
        Self::Spoofed,
        Self::LimitService,
        Self::LimitAggregate,
        Self::NewSources,
        Self::Ban,
        Self::Feed,
        Self::TcpFlags,
        Self::Land,
        Self::ExtensionHeaders,
        Self::VlanTags,
        Self::ProtectSelf,
    ];
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The stable word users see: the metric label, the event field, the column of `guard status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::ServiceAcl => "service_acl",
            Self::LimitPackets => "limit_packets",
            Self::LimitBytes => "limit_bytes",
            Self::LimitConnections => "limit_connections",
            Self::Plaintext => "plaintext",
            Self::LimitProtocol => "limit_protocol",
            Self::Spoofed => "spoofed",
            Self::LimitService => "limit_service",
            Self::LimitAggregate => "limit_aggregate",
            Self::NewSources => "new_sources",
            Self::Ban => "ban",
            Self::Feed => "feed",
            Self::TcpFlags => "tcp_flags",
            Self::Land => "land",
            Self::ExtensionHeaders => "extension_headers",
            Self::VlanTags => "vlan_tags",
            Self::ProtectSelf => "protect_self",
        }
    }

    /// Whether it is held against a frame whose headers are not read to the end: nobody knows then
    /// whom it comes from.
    #[must_use]
    pub const fn is_of_headers(self) -> bool {
        matches!(
            self,
            Self::Malformed
                | Self::Fragment
                | Self::TcpFlags
                | Self::ExtensionHeaders
                | Self::VlanTags
        )
    }

    /// The reason with this number; of numbers that none has, any.
    #[inline(always)]
    #[must_use]
    pub const fn known(number: u8) -> Self {
        Self::PADDED[number as usize % Self::PADDED.len()]
    }

    /// Every reason and then some, to a power of two: a remainder of that is one that the kernel's
    /// verifier follows.
    const PADDED: [Self; 32] = {
        let mut padded = [Self::Malformed; 32];
        let mut at = 0;
        while at < Self::COUNT {
            padded[at] = Self::ALL[at];
            at += 1;
        }
        padded
    };

    /// The reason with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position);
            assert_eq!(Reason::from_number(position as u8), Some(*reason));
        }
        for (position, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, position);
        }
        assert_eq!(Reason::from_number(Reason::COUNT as u8), None);
    }

    #[test]
    fn words_are_unique_and_label_safe() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert!(
                reason
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
            assert!(
                Reason::ALL[..i]
                    .iter()
                    .all(|other| other.name() != reason.name())
            );
        }
    }
}
