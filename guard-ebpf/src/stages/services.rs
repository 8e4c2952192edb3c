//! Which service a packet is for, and whether its source may reach that.

use guard_common::{
    facts::{Facts, Shape},
    reason::Reason,
    wire::ServicePort,
};

use crate::{maps, pipeline::Refused, settings};

/// The service a packet is for; none when its `service_plus_one` is zero.
#[inline(always)]
pub(crate) fn of(facts: &Facts) -> ServicePort {
    if facts.shape.has(Shape::TCP) && settings::has_services() {
        maps::service_port(facts.tcp.port())
    } else {
        ServicePort::default()
    }
}

/// Refuses sources that the service's own list does not hold.
#[inline(always)]
pub(crate) fn admit(facts: &Facts, service: ServicePort) -> Result<(), Refused> {
    if service.flags & ServicePort::ACL == 0 {
        return Ok(());
    }
    let position = u32::from(service.service_plus_one) - 1;
    if maps::acl_holds(position, facts.source()) {
        Ok(())
    } else {
        Err(Reason::ServiceAcl.into())
    }
}
