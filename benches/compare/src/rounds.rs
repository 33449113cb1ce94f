//! Interleaved rounds, so that whatever else the machine does falls on everybody alike.

use crate::work::Contender;

/// A contender's median, in nanoseconds, and how far the middle half of its rounds spreads.
#[derive(Clone, Copy, Debug)]
pub struct Median {
    pub name: &'static str,
    pub ns: f64,
    pub spread: f64,
}

pub fn run(contenders: &mut [Contender], rounds: usize) -> Vec<Median> {
    // Caches, lazily made things, and the clock of the processor.
    contenders.iter_mut().for_each(|contender| _ = (contender.round)());
    let mut figures = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        // Each begins in another place each time, so that nobody always follows the same one.
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            figures[index].push((contenders[index].round)());
        }
    }
    contenders.iter().zip(figures).map(|(contender, figures)| median(contender.name, figures)).collect()
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
