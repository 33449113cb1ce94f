//! Interleaved rounds, so that other load on the machine affects all contenders alike.

use crate::work::Contender;

/// A contender's median in nanoseconds, and the spread of the middle half of its rounds.
#[derive(Clone, Copy, Debug)]
pub struct Median {
    pub name: &'static str,
    pub ns: f64,
    pub spread: f64,
}

pub fn run(contenders: &mut [Contender], rounds: usize) -> Vec<Median> {
    // Warms up caches, lazily built values, and the processor's clock.
    contenders.iter_mut().for_each(|contender| _ = (contender.round)());
    let mut figures = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for index in shuffled(contenders.len(), round) {
            figures[index].push((contenders[index].round)());
        }
    }
    contenders.iter().zip(figures).map(|(contender, figures)| median(contender.name, figures)).collect()
}

/// Another order in each round, and the same orders in each run. A contender that follows one of its own kind finds its
/// code in the processor's caches, and takes up to 5 % less.
fn shuffled(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut random = round as u64;
    for end in (1..count).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(end, (random >> 33) as usize % (end + 1));
    }
    order
}

pub fn median(name: &'static str, mut figures: Vec<f64>) -> Median {
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
    Median { name, ns: at(0.5), spread: (at(0.75) - at(0.25)) / at(0.5) }
}

/// The median of the contender with that name.
pub fn of(medians: &[Median], name: &str) -> f64 {
    medians.iter().find(|median| median.name == name).unwrap_or_else(|| panic!("{name} was not measured")).ns
}
