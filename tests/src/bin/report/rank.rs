//! Which of two figures is the better one, and by how much.

use lab::bench::report::{Better, Figure};

use crate::peers;

/// Whether it can be better or worse than another one.
pub(crate) fn takes_part(figure: &Figure) -> bool {
    figure.better != Better::Neither && !peers::is_reference(&figure.column)
}

/// Whether both are of one kind.
pub(crate) fn are_alike(one: &Figure, other: &Figure) -> bool {
    one.unit == other.unit && one.better == other.better
}

/// Whether `one` has the better median; false for figures of two kinds, or when neither is good.
pub(crate) fn beats(one: &Figure, other: &Figure) -> bool {
    let (median, others) = (one.summary().median, other.summary().median);
    are_alike(one, other)
        && match one.better {
            Better::Less => median < others,
            Better::More => median > others,
            Better::Neither => false,
        }
}

/// Whether the ranges between their quartiles have a value in common.
pub(crate) fn overlap(one: &Figure, other: &Figure) -> bool {
    let (one, other) = (one.summary(), other.summary());
    one.lower <= other.upper && other.lower <= one.upper
}

/// How often `second` contains `first` where less is better, the other way round where more is:
/// above 1 when `second` is the worse. None where a value is not above zero.
pub(crate) fn ratio(better: Better, first: f64, second: f64) -> Option<f64> {
    let is_sound = first > 0.0 && second > 0.0;
    is_sound.then(|| match better {
        Better::More => first / second,
        Better::Less | Better::Neither => second / first,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::figure;

    #[test]
    fn more_is_the_other_way_round() {
        let (low, high) = (figure("a", "b", &[1.0]), figure("a", "c", &[2.0]));
        assert!(beats(&low, &high) && !beats(&high, &low));
        let more = |mut figure: Figure| {
            figure.better = Better::More;
            figure
        };
        let (low, high) = (more(low), more(high));
        assert!(beats(&high, &low) && !beats(&low, &high));
        assert_eq!(ratio(Better::Less, 1.0, 2.0), Some(2.0));
        assert_eq!(ratio(Better::More, 1.0, 2.0), Some(0.5));
    }

    #[test]
    fn figures_of_two_kinds_have_no_order() {
        let one = figure("a", "b", &[1.0]);
        let mut other = figure("a", "c", &[2.0]);
        other.unit = "ms".to_owned();
        assert!(!beats(&one, &other) && !beats(&other, &one));
    }

    #[test]
    fn nothing_is_a_multiple_of_zero() {
        assert_eq!(ratio(Better::Less, 0.0, 2.0), None);
        assert_eq!(ratio(Better::More, 2.0, -1.0), None);
    }
}
