//! Numbers that look random and are the same in every run.

use guard_common::source::mix;

/// A stream of them, which its seed names.
#[derive(Clone, Debug)]
pub struct Noise(pub u64);

impl Noise {
    /// The next one.
    pub fn word(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    /// One below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// One of the choices, of which there is one at least.
    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Whether something happens that does so once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
