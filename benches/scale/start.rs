//! How long an instance that starts takes to know all revocations. Until then it asks the store about each request.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    Store,
    arrival::{EVENTS, app, append, instance, request, signed_in},
    bulk::Place,
    process,
    report::{Samples, time},
    watched::Watched,
};

pub(crate) async fn report<S: Store>(place: Place<S>) {
    for part in 0..100 {
        append(&place, part * EVENTS / 100, (part + 1) * EVENTS / 100).await;
    }
    let mut samples = Samples::default();
    let mut last = (0, 0, 0);
    for _ in 0..7 {
        let store = Watched::new(place.store.clone());
        let (told, began) = (store.told.clone(), Instant::now());
        let sessions = instance(store);
        let (mut router, cookies) = (app(&sessions), signed_in(&sessions).await);
        request(&mut router, &cookies).await;
        let complete = loop {
            let complete = *told.complete.lock().expect("no panic");
            match complete {
                Some(complete) => break complete,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it is not ready after a minute");
        };
        samples.add("ready", complete - began);
        let [reads, events, gaps] =
            [&told.reads, &told.events, &told.gaps].map(|count| count.load(Ordering::Relaxed));
        last = (reads, events, gaps);
        sessions.shutdown().await;
    }
    let (reads, events, gaps) = last;
    let [median, most] = [0.5, 1.0].map(|share| time(samples.quantile("ready", share)));
    println!("Load of the machine: {}", process::load());
    println!("ready after {median} (at most {most}): {events} events in {reads} reads, {gaps} gaps");
}
