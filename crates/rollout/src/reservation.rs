//! Managed scaling: how many instances the Auto Scaling group of a capacity provider is to have. Pure.
//! Source: ECS developer guide, "How Amazon ECS managed scaling works": `CapacityProviderReservation` is the number of
//! instances needed in percent of those there; it is brought to the target, with steps within bounds on the way out.

/// What is needed and what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// Instances that the tasks need: those that run some, and those that what waits would fill.
    pub needed: u32,
    /// Instances that are there or on their way.
    pub present: u32,
}

/// How a provider scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// The percentage of the instances that is to be needed: 1 to 100.
    pub target: u32,
    /// The smallest step outwards.
    pub least: u32,
    /// The largest.
    pub most: u32,
    /// The least and the greatest number of instances.
    pub bounds: (u32, u32),
}

impl Reserved {
    /// `CapacityProviderReservation`: 100 where nothing is needed and nothing there, 200 where nothing is there yet.
    pub fn percent(self) -> f64 {
        match (self.needed, self.present) {
            (0, 0) => 100.0,
            (_, 0) => 200.0,
            (needed, present) => f64::from(needed) * 100.0 / f64::from(present),
        }
    }
}

/// The number of instances to go to from `desired`.
pub fn wanted(reserved: Reserved, desired: u32, scaling: Scaling) -> u32 {
    let target = u64::from(scaling.target.clamp(1, 100));
    let full = (u64::from(reserved.needed) * 100).div_ceil(target);
    let full = u32::try_from(full).unwrap_or(u32::MAX);
    let stepped = if full > desired {
        let (least, most) = (scaling.least.max(1), scaling.most.max(scaling.least).max(1));
        desired.saturating_add((full - desired).clamp(least, most))
    } else {
        full
    };
    let (min, max) = scaling.bounds;
    stepped.clamp(min, max.max(min))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALING: Scaling = Scaling { target: 100, least: 1, most: 10_000, bounds: (0, 10) };

    fn of(needed: u32, present: u32) -> Reserved {
        Reserved { needed, present }
    }

    #[test]
    fn the_metric_is_the_guides() {
        let percent = [of(0, 0), of(1, 0), of(3, 3), of(4, 3), of(0, 2)].map(Reserved::percent);
        assert_eq!(percent.map(|percent| percent as u32), [100, 200, 100, 133, 0]);
    }

    #[test]
    fn the_number_goes_where_the_target_is_met() {
        assert_eq!(wanted(of(3, 1), 1, SCALING), 3);
        assert_eq!(wanted(of(3, 1), 1, Scaling { target: 50, ..SCALING }), 6, "half of them are spare");
        assert_eq!(wanted(of(3, 1), 1, Scaling { most: 1, ..SCALING }), 2, "a step at a time");
        assert_eq!(wanted(of(2, 1), 1, Scaling { least: 3, ..SCALING }), 4, "no smaller step");
        assert_eq!(wanted(of(50, 1), 1, SCALING), 10, "within the group's bounds");
        assert_eq!(wanted(of(0, 4), 4, SCALING), 0);
        assert_eq!(wanted(of(0, 4), 4, Scaling { bounds: (1, 10), ..SCALING }), 1);
    }
}
