//! Random numbers from a seed (SplitMix64), so that a failure can be reproduced.

pub(crate) struct Chance(u64);

impl Chance {
    /// From `INPUT_SEED`, or else from a fixed seed. Prints the seed.
    pub(crate) fn new(what: &str) -> Self {
        let seed = std::env::var("INPUT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124);
        println!("{what}: INPUT_SEED={seed}");
        Self::seeded(seed)
    }

    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("below a usize")
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Changes `bytes` in one to four places: flips a bit, adds, removes or repeats bytes, or inserts a
    /// piece of `other` or of `dictionary`.
    pub(crate) fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8], dictionary: &[&[u8]]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let until = (at + self.below(12)).min(bytes.len());
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.insert(at, u8::try_from(self.below(256)).expect("a byte")),
                2 if at < bytes.len() => {
                    bytes.remove(at);
                }
                3 => {
                    let piece = bytes[at..until].to_vec();
                    bytes.splice(at..at, piece);
                }
                4 => drop(bytes.drain(at..until)),
                5 => {
                    let from = self.below(other.len() + 1);
                    let piece = other[from..(from + self.below(60)).min(other.len())].to_vec();
                    bytes.splice(at..until, piece);
                }
                _ => {
                    let piece = self.pick(dictionary).to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
    }
}
