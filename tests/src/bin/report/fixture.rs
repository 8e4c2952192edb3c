//! Reports made by hand.

use std::collections::BTreeMap;

use lab::bench::report::{Better, Figure, Machine, Report};

/// A figure of the table `T` in nanoseconds, of which fewer are better.
pub(crate) fn figure(row: &str, column: &str, samples: &[f64]) -> Figure {
    Figure {
        table: "T".to_owned(),
        row: row.to_owned(),
        column: column.to_owned(),
        unit: "ns".to_owned(),
        better: Better::Less,
        samples: samples.to_vec(),
    }
}

/// A report of a machine that does not exist.
pub(crate) fn report(bench: &str, figures: Vec<Figure>) -> Report {
    Report {
        bench: bench.to_owned(),
        machine: Machine {
            processor: "Abacus 1".to_owned(),
            cores: 2,
            memory_mib: 2048,
            kernel: "6.1.0".to_owned(),
        },
        commit: "1a2b3c4".to_owned(),
        seconds: 75.4,
        method: BTreeMap::from([("T".to_owned(), vec!["Counted by hand.".to_owned()])]),
        counted: BTreeMap::new(),
        figures,
    }
}
