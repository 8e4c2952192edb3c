//! Which service a packet is for, and whether its source may reach that.

use guard_common::{
    packet::{Address, IpPacket, Transport},
    reason::Reason,
    wire::ServicePort,
};

use crate::{maps, pipeline::Refused, settings};

/// The service a packet is for; none when its `service_plus_one` is zero.
#[inline(always)]
pub(crate) fn of(packet: &IpPacket) -> ServicePort {
    match &packet.transport {
        Transport::Tcp(tcp) if settings::has_services() => maps::service_port(tcp.port),
        _ => ServicePort::default(),
    }
}

/// Refuses sources that the service's own list does not hold.
#[inline(always)]
pub(crate) fn admit(source: Address, service: ServicePort) -> Result<(), Refused> {
    if service.flags & ServicePort::ACL == 0 {
        return Ok(());
    }
    let position = u32::from(service.service_plus_one) - 1;
    if maps::acl_holds(position, source) {
        Ok(())
    } else {
        Err(Refused(Reason::ServiceAcl))
    }
}
