//! The search: breadth first through every reachable world, with the path to a failure.

use std::{
    collections::HashSet,
    fmt::{self, Display, Formatter},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use tower_sliding_sessions::protocol::RefreshDecision;

use crate::{
    model::Model,
    step::{Failure, Note, Step, Taken},
    world::{Kind, Lag, Message, World},
};

/// The result of a search.
#[derive(Debug)]
pub(crate) struct Search {
    /// The number of worlds, or the number visited until the first failure.
    pub(crate) worlds: usize,
    /// The number of worlds in which the session has ended.
    pub(crate) ended: usize,
    /// The shortest path to a failure.
    pub(crate) counterexample: Option<Counterexample>,
}

/// Searches all worlds, and expects no failure.
pub(crate) fn holds(model: &Model) -> Search {
    let search = search(model);
    if let Some(counterexample) = &search.counterexample {
        panic!("{model}: a counterexample of {} steps:\n{counterexample}", counterexample.steps());
    }
    println!("{model}: {} worlds, none fails", search.worlds);
    search
}

/// Searches for a failure, and expects one.
pub(crate) fn fails(model: &Model) -> Failure {
    let search = search(model);
    let Some(counterexample) = &search.counterexample else {
        panic!("{model}: {} worlds, and none fails", search.worlds);
    };
    println!("{model}: fails after {} steps, {} worlds", counterexample.steps(), search.worlds);
    println!("{counterexample}");
    counterexample.failure().expect("it ends with the failure")
}

/// The variable that adds larger worlds, which take minutes.
const LARGE: &str = "PROOF_LARGE";

/// Cases that are searched only if the variable is set.
pub(crate) fn large<T, const N: usize>(more: [T; N]) -> Vec<T> {
    if std::env::var_os(LARGE).is_some() { more.into() } else { Vec::new() }
}

/// A reached state, and how.
pub(crate) struct Reached<S, T> {
    pub(crate) world: S,
    /// The step that led here.
    pub(crate) from: Option<(usize, T)>,
}

/// The reached states, and the step that failed with the index of its state.
pub(crate) type Explored<S, T> = (Vec<Reached<S, T>>, Option<(usize, T)>);

/// Visits all states, breadth first, until a step fails. `next` lists the possible steps from a state, with the states
/// they lead to, and whether they fail.
pub(crate) fn explore<S: Copy + Eq + Hash, T: Copy>(
    start: S,
    mut next: impl FnMut(&S, &mut Vec<(T, S, bool)>),
) -> Explored<S, T> {
    let mut known: HashSet<S, BuildHasherDefault<Mixer>> = HashSet::from_iter([start]);
    let mut reached = vec![Reached { world: start, from: None }];
    let mut taken = Vec::new();
    let mut index = 0;
    while let Some(Reached { world, .. }) = reached.get(index) {
        let world = *world;
        next(&world, &mut taken);
        for (step, world, failed) in taken.drain(..) {
            if failed {
                return (reached, Some((index, step)));
            }
            if known.insert(world) {
                reached.push(Reached { world, from: Some((index, step)) });
            }
        }
        index += 1;
    }
    (reached, None)
}

/// The steps that lead to a state, and then `step`.
pub(crate) fn path_to<S, T: Copy>(reached: &[Reached<S, T>], mut last: usize, step: T) -> Vec<T> {
    let mut steps = vec![step];
    while let Some((before, step)) = reached[last].from {
        steps.push(step);
        last = before;
    }
    steps.reverse();
    steps
}

/// Visits all worlds until one fails.
fn search(model: &Model) -> Search {
    let mut steps = Vec::new();
    let (reached, failed) = explore(World::begin(model), |world, taken| {
        model.steps(world, &mut steps);
        taken.extend(steps.drain(..).filter_map(|step| {
            let Taken { world, failure, .. } = model.take(world, step)?;
            Some((step, world, failure.is_some()))
        }));
    });
    let counterexample = failed.map(|(last, step)| Counterexample::to(model, &reached, last, step));
    let ended = reached.iter().filter(|reached| reached.world.revoked).count();
    Search { worlds: reached.len(), ended, counterexample }
}

/// The steps from the start to a failure, with their outcomes.
#[derive(Debug)]
pub(crate) struct Counterexample(Vec<(Step, Taken)>);

impl Counterexample {
    fn to(model: &Model, reached: &[Reached<World, Step>], last: usize, step: Step) -> Self {
        let mut world = World::begin(model);
        let replay = path_to(reached, last, step).into_iter().map(|step| {
            let taken = model.take(&world, step).expect("it was taken before");
            world = taken.world;
            (step, taken)
        });
        Self(replay.collect())
    }

    fn steps(&self) -> usize {
        self.0.len()
    }

    fn failure(&self) -> Option<Failure> {
        self.0.last()?.1.failure
    }
}

/// One line for each step, with the time and the generations as an observer counts them.
impl Display for Counterexample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (mut time, mut generation) = (0, 0);
        for (step, taken) in &self.0 {
            if *step == Step::Tick {
                time += 1;
                continue;
            }
            write!(f, "  at {time:>3}: {}", Described { step: *step, generation })?;
            match taken.rotation {
                Some(rotation) => writeln!(f, " -> {rotation:?}")?,
                None => writeln!(f)?,
            }
            if taken.rotation == Some(RefreshDecision::Rotate) {
                generation += 1;
            }
        }
        match self.failure() {
            Some(failure) => write!(f, "  which is a failure: {failure:?}"),
            None => Ok(()),
        }
    }
}

/// A step as text.
struct Described {
    step: Step,
    /// The record's generation before the step.
    generation: u32,
}

impl Described {
    fn of(&self, lag: Lag) -> u32 {
        self.generation.saturating_sub(lag.into())
    }

    fn message(&self, message: Message) -> String {
        let generation = self.of(message.lag);
        let request = match (message.body, message.orphan) {
            (false, false) => "the request",
            (true, false) => "the request (with a body)",
            (false, true) => "the request of before the crash",
            (true, true) => "the request (with a body) of before the crash",
        };
        match message.kind {
            Kind::Renewal => format!("{request} with R{generation}"),
            Kind::Use => format!("{request} with A{generation}"),
            Kind::Handler { .. } => format!("the handler of a request served as generation {generation}"),
            Kind::Both => format!("the response with R{generation} and A{generation}"),
            Kind::Access => format!("the response with A{generation}"),
            Kind::Note => format!("the note that generation {generation} is confirmed"),
        }
    }
}

impl Display for Described {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Tick => write!(f, "time passes"),
            Step::Send { message } => write!(f, "the browser sends {}", self.message(message)),
            Step::Arrive { message, clock, note } => {
                write!(f, "{} arrives", self.message(message))?;
                if clock > 0 {
                    write!(f, " where the clock is {clock} ahead")?;
                }
                if note == Note::AtOnce { Ok(()) } else { write!(f, ", its confirmation {note:?}") }
            }
            Step::Join { message, .. } => {
                write!(f, "{} arrives, and shares a read for another request", self.message(message))
            }
            Step::Leave { handler, answer } => {
                write!(f, "{} answers with {}", self.message(handler), self.message(answer))
            }
            Step::Deliver { message } => write!(f, "{} reaches the browser", self.message(message)),
            Step::WriteDown { message } => write!(f, "{} is written down", self.message(message)),
            Step::Lose { message } => write!(f, "{} is lost", self.message(message)),
            Step::Save => write!(f, "the browser saves its cookies"),
            Step::Crash => write!(f, "the browser crashes and takes its cookies from its disk"),
            Step::Copy => write!(f, "an attacker copies the jar"),
            Step::Strike { refresh, .. } => write!(f, "the attacker presents R{}", self.of(refresh)),
            Step::StealthyUse { .. } => write!(f, "the attacker uses its access token"),
        }
    }
}

/// A fast hash for the few bytes of a world. It need not resist collisions.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.unsigned_abs() as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
