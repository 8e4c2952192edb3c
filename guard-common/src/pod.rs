//! Which types user space may exchange with the kernel byte by byte.
#![expect(unsafe_code, reason = "the trait is a promise about layout")]

use crate::{
    addresses::{Filter, Ipv4Line, Ipv6Line},
    lifeline::Lifelines,
    limit::Limit,
    ranges::{Ipv4Range, Ipv6Range, Root},
    wire::{
        Bypass, Counter, EventBudget, ServiceIpv4, ServiceIpv6, ServicePort, Settings, Variables,
    },
};

macro_rules! plain_data {
    ($($type:ty),+ $(,)?) => {
        $(
            // SAFETY: `repr(C)`, only integers, no implicit padding (its size is asserted).
            unsafe impl aya::Pod for $type {}
        )+
    };
}

plain_data!(
    Bypass,
    Counter,
    EventBudget,
    Filter,
    Ipv4Line,
    Ipv4Range,
    Ipv6Line,
    Ipv6Range,
    Lifelines,
    Limit,
    Root,
    ServiceIpv4,
    ServiceIpv6,
    ServicePort,
    Settings,
    Variables
);
