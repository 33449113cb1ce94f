//! proof
mod model;
mod rules;
mod search;
mod step;
mod thief;
mod world;

#[test]
fn scratch() {
    use model::Model;
    use rules::Broken;
    for (w, d) in [(1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 3)] {
        for n in [3, 4] {
        for m in [w + 2 * d + 1, w + 2 * d] {
            if n == 4 && w+d > 2 {continue}
            #[allow(clippy::disallowed_methods)]
            let t = std::time::Instant::now();
            let s = search::search(&Model::new(w, d, m).with_in_flight(n));
            println!("W={w} D={d} M={m} n={n}: {} worlds, {:?} {:?}", s.worlds, s.counterexample.as_ref().map(|c| c.steps()), t.elapsed());
            if let Some(c) = s.counterexample { println!("{c}"); }
        }
        }
    }
    let _ = Broken::NoGrace;
}
