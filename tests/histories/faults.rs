//! The schedule of faults, drawn from a seed, and their injection.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::sleep;

use crate::{
    chance::Chance,
    history::{Fault, Time, What},
    instance::{INSTANCES, Instance},
    link::Mode,
    world::World,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) at: Time,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
    pub(crate) place: usize,
}

/// A server, or a file, that can be broken.
pub(crate) trait Faulty: Send + 'static {
    /// What can be done to it.
    fn faults(&self) -> Vec<Fault>;
    fn begin(&mut self, fault: Fault) -> impl Future<Output = ()> + Send;
    fn end(&mut self, fault: Fault) -> impl Future<Output = ()> + Send;
}

/// No server.
pub(crate) struct NoServer;

impl Faulty for NoServer {
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }

    async fn begin(&mut self, _: Fault) {}
    async fn end(&mut self, _: Fault) {}
}

/// The faults of one kind follow each other; those of several kinds overlap.
pub(crate) fn schedule(seed: u64, time: Duration, of_server: &[Fault]) -> Vec<Planned> {
    let links = [Fault::Cut, Fault::Silence, Fault::LostAnswers, Fault::Slow, Fault::Slow, Fault::Feed];
    let processes = [
        Fault::ClockStep,
        Fault::ClockStep,
        Fault::ClockStep,
        Fault::Follower,
        Fault::Restart,
        Fault::ClockLeap,
    ];
    let mut planned = Vec::new();
    for (lane, kinds) in [&links[..], of_server, &processes[..]].into_iter().enumerate() {
        let mut chance = Chance::seeded(seed.wrapping_mul(31).wrapping_add(lane as u64));
        let mut at = Duration::from_secs(2);
        while !kinds.is_empty() {
            at += Duration::from_millis(500 + chance.below(3500) as u64);
            let fault = *chance.pick(kinds);
            let lasts = match fault {
                Fault::Restart => Duration::from_millis(chance.below(800) as u64),
                Fault::Follower => Duration::ZERO,
                Fault::ClockLeap => Duration::from_secs(2),
                Fault::StaleFailover => Duration::from_millis(chance.below(1500) as u64),
                _ => {
                    let longest = if chance.below(3) == 0 { 5000 } else { 1500 };
                    Duration::from_millis(300 + chance.below(longest) as u64)
                }
            };
            // After a leap, the sessions of before do not count, so there are few.
            let is_left_out = fault == Fault::ClockLeap && at.as_secs() % 60 < 30;
            if at + lasts > time.saturating_sub(Duration::from_secs(3)) {
                break;
            }
            if !is_left_out {
                planned.push(Planned { at, lasts, fault, place: chance.below(INSTANCES) });
                at += lasts;
            }
        }
    }
    planned
}

/// Injects the faults at their times. Afterwards there are none.
pub(crate) async fn inject<F: Faulty>(world: &World, planned: &[Planned], server: &mut F) {
    let of_server = |fault: Fault| {
        use Fault::{DataLost, DiskFull, ServerKilled, ServerPaused, StaleFailover};
        matches!(fault, ServerKilled | ServerPaused | DiskFull | DataLost | StaleFailover)
    };
    let is_of_process = |fault: Fault| {
        matches!(fault, Fault::ClockStep | Fault::Follower | Fault::Restart | Fault::ClockLeap)
    };
    let lane = |lane: usize| {
        planned.iter().filter(move |planned| match lane {
            0 => !of_server(planned.fault) && !is_of_process(planned.fault),
            1 => of_server(planned.fault),
            _ => is_of_process(planned.fault),
        })
    };
    let links = async {
        for planned in lane(0) {
            wait_for(world, planned.at).await;
            break_link(world, *planned).await;
        }
    };
    let servers = async {
        for planned in lane(1) {
            wait_for(world, planned.at).await;
            let began = world.history.now();
            server.begin(planned.fault).await;
            sleep(planned.lasts).await;
            server.end(planned.fault).await;
            world.history.add(usize::MAX, began, What::Fault(planned.fault));
        }
    };
    let processes = async {
        for planned in lane(2) {
            wait_for(world, planned.at).await;
            break_process(world, *planned).await;
        }
    };
    tokio::join!(links, servers, processes);
}

async fn wait_for(world: &World, at: Time) {
    sleep(at.saturating_sub(world.history.now())).await;
}

async fn break_link(world: &World, planned: Planned) {
    let Planned { fault, place, lasts, .. } = planned;
    let (instance, began) = (&world.instances[place], world.history.now());
    let late = Duration::from_millis(40 + (lasts.as_millis() % 360) as u64);
    match fault {
        Fault::Cut => instance.link.send_replace(Mode::Cut),
        Fault::Silence => instance.link.send_replace(Mode::Silent),
        Fault::LostAnswers => instance.link.send_replace(Mode::LosesAnswers),
        Fault::Feed => {
            instance.faults.feed_fails.store(true, Ordering::SeqCst);
            Mode::Open
        }
        _ => instance.link.send_replace(Mode::Slow(late)),
    };
    sleep(lasts).await;
    instance.faults.feed_fails.store(false, Ordering::SeqCst);
    instance.link.send_replace(Mode::Open);
    world.history.add(instance.process(), began, What::Fault(fault));
}

async fn break_process(world: &World, planned: Planned) {
    let Planned { fault, place, lasts, at } = planned;
    let (instance, began) = (&world.instances[place], world.history.now());
    let sign = if at.as_millis() % 2 == 0 { 1 } else { -1 };
    match fault {
        Fault::Follower => instance.faults.feed_panics.store(true, Ordering::SeqCst),
        Fault::Restart => {
            instance.kill();
            sleep(lasts).await;
            start(instance).await;
        }
        Fault::ClockStep => {
            instance.clock.ahead.store(sign * 90, Ordering::Relaxed);
            sleep(lasts).await;
            instance.clock.ahead.store(0, Ordering::Relaxed);
        }
        _ => {
            instance.clock.ahead.store(sign * 3_600_000, Ordering::Relaxed);
            sleep(lasts).await;
            instance.clock.ahead.store(0, Ordering::Relaxed);
            world.history.add(instance.process(), began, What::Fault(fault));
            // The sessions of before may be cut short.
            world.stop(place).await;
            return;
        }
    }
    world.history.add(instance.process(), began, What::Fault(fault));
}

async fn start(instance: &Instance) {
    while let Err(error) = instance.start().await {
        let shown = format!("{error:?}");
        assert!(!shown.contains("Configuration"), "{shown}");
        sleep(Duration::from_millis(100)).await;
    }
}
