//! A small random number generator. The same seed always gives the same numbers.

use std::time::Duration;

/// The variable that sets the seed, to repeat a failure.
pub(crate) const SEED: &str = "PROOF_SEED";

/// The seed of the first run: the variable's, or a fixed one.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var(SEED).map_or(1, |seed| seed.parse().expect("the seed is a number"));
    println!("{SEED}={seed}");
    seed
}

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("it is below a length")]
    }

    /// At most `limit`. Protocols break at the extremes, so most values are extreme.
    pub(crate) fn up_to(&mut self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_millis()).expect("it is not that long");
        let millis = match self.below(4) {
            0 => 0,
            1 => limit,
            _ => self.below(limit + 1),
        };
        Duration::from_millis(millis)
    }
}
