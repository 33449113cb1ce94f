//! Twenty rotations while 200 browsers work on three instances.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_sliding_sessions::{EventKind, InvalidToken, Keyring};

use crate::{
    files::{Folder, following, kids_become},
    samples::{oct, set},
    support::{Browser, Instance, World, keys},
};

const BROWSERS: usize = 200;

struct Crowd {
    done: Arc<AtomicBool>,
    /// By browser.
    served: Vec<Arc<AtomicUsize>>,
    renewed: Arc<AtomicUsize>,
    browsers: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    /// Signs in, and lets each browser send requests to one instance after another.
    async fn start(world: &World, instances: &[Instance]) -> Self {
        let (done, renewed) = (Arc::default(), Arc::default());
        let (mut served, mut browsers) = (Vec::new(), Vec::new());
        for index in 0..BROWSERS {
            let browser = world.signed_in_to(&instances[index % instances.len()], &format!("u{index}")).await;
            served.push(Arc::default());
            let counts = (Arc::clone(&done), Arc::clone(&served[index]), Arc::clone(&renewed));
            browsers.push(tokio::spawn(work(index, browser, instances.to_vec(), counts)));
        }
        Self { done, served, renewed, browsers }
    }

    /// Waits until each browser has sent three more requests.
    async fn works(&self) {
        let counts = || self.served.iter().map(|count| count.load(Ordering::SeqCst));
        let before: Vec<_> = counts().collect();
        while counts().zip(&before).any(|(now, before)| now < before + 3) {
            assert!(self.browsers.iter().all(|browser| !browser.is_finished()), "a request was refused");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn stop(self) -> (usize, usize) {
        self.done.store(true, Ordering::SeqCst);
        for browser in self.browsers {
            browser.await.unwrap();
        }
        let served = self.served.iter().map(|count| count.load(Ordering::SeqCst)).sum();
        (served, self.renewed.load(Ordering::SeqCst))
    }
}

type Counts = (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>);

async fn work(index: usize, mut browser: Browser, instances: Vec<Instance>, counts: Counts) {
    let (done, served, renewed) = counts;
    let mut at = index;
    while !done.load(Ordering::SeqCst) {
        at += 1;
        let answer = browser.visit(&instances[at % instances.len()], "/me").await;
        assert!(answer.ok(), "{answer:?}");
        assert!(!answer.removes_cookies());
        served.fetch_add(1, Ordering::SeqCst);
        renewed.fetch_add(usize::from(answer.renewed().is_some()), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn named(nth: usize) -> Keyring {
    let nth = u8::try_from(nth).unwrap();
    keys(nth).with_kid(&format!("k{nth}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_rotations_under_load_sign_no_user_out_and_fail_no_request() {
    let world = World::new();
    let instances = [world.one.clone(), world.instance(), world.instance()];
    for instance in &instances {
        instance.sessions.set_keys(named(0));
    }
    let crowd = Crowd::start(&world, &instances).await;
    for nth in 1..=20 {
        let (kid, former) = (format!("k{nth}"), format!("k{}", nth - 1));
        let steps: [&dyn Fn(Keyring) -> Keyring; 3] =
            [&|ring| ring.publish(named(nth)).unwrap(), &|ring| ring.promote(&kid).unwrap(), &|ring| {
                ring.retire(&former).unwrap()
            }];
        for step in steps {
            for instance in &instances {
                instance.sessions.set_keys(step(instance.sessions.keys()));
                tokio::task::yield_now().await;
            }
            world.pass(101);
            crowd.works().await;
        }
    }
    let (served, renewed) = crowd.stop().await;
    assert!(served >= 60 * 3 * BROWSERS && renewed >= 15 * BROWSERS, "{served} served, {renewed} renewed");
    assert_eq!(instances[0].sessions.keys().list().len(), 21, "the retired ones still verify");
    let unknown = [InvalidToken::NewKey, InvalidToken::UnknownKey].map(EventKind::AccessTokenInvalid);
    assert_eq!(unknown.map(|kind| world.count(&kind)), [0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotations_by_a_key_file_under_load_sign_no_user_out_and_fail_no_request() {
    let content =
        |nth: u8| set(&[oct(nth + 1, "published"), oct(nth, "signing"), oct(nth.max(1) - 1, "retired")]);
    let world = World::new();
    let folder = Folder::with(&set(&[oct(1, "published"), oct(0, "signing")]));
    let instances: Vec<_> = (0..3).map(|_| following(&world, &folder.path()).0).collect();
    let crowd = Crowd::start(&world, &instances).await;
    for nth in 1..=6 {
        // The former key signs on an instance until that has read the file.
        folder.write(&content(nth));
        for instance in &instances {
            let kids = [nth, nth + 1, nth - 1].map(|nth| format!("k{nth}"));
            kids_become(instance, &kids.each_ref().map(|kid| &**kid)).await;
        }
        // Long enough for each browser to get tokens of the new key: the next file does not have the former one.
        for _ in 0..6 {
            world.pass(101);
            crowd.works().await;
        }
    }
    let (_, renewed) = crowd.stop().await;
    assert!(renewed >= 6 * BROWSERS, "{renewed} renewed");
}
