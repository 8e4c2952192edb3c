//! Packets that claim to come from where they go to: on a loopback all do, elsewhere none.

use guard_common::{
    facts::{Facts, Shape},
    reason::Reason,
};

use crate::{pipeline::Refused, settings};

#[inline(always)]
pub(crate) fn check(facts: &Facts) -> Result<(), Refused> {
    if settings::refuses_land() && facts.shape.has(Shape::LAND) {
        return Err(Reason::Land.into());
    }
    Ok(())
}
