//! A background task. Any request starts it, and starts it again if it has ended.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, task::AbortHandle};

use crate::time::{Clock as _, SystemClock};

/// How long to wait before a task is started again, if it ended before it made progress.
const RETRY: Duration = Duration::from_millis(250);

/// Holds one task at a time, and none after [`shut_down`](Self::shut_down).
#[derive(Debug, Default)]
pub(crate) struct BackgroundTask(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// There is nothing to start: the task runs, or was shut down. Read by each request.
    settled: AtomicBool,
    /// The task has called [`note_progress`](BackgroundTask::note_progress).
    made_progress: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many tasks were started.
    started: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// No task runs. None is started before this, by the system's monotonic clock.
    Idle {
        not_before: Duration,
    },
    /// The newest task runs. `task` is set after it was spawned.
    Running {
        task: Option<AbortHandle>,
    },
    ShutDown,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Idle { not_before: Duration::ZERO }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackgroundTask {
    /// Starts `task` on the current runtime unless one runs. Does nothing without a runtime: a later call starts the
    /// task.
    pub(crate) fn start<F>(&self, task: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.0.settled.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let Some(running) = self.reserve() else { return };
        let nth = running.nth;
        let task = task();
        // Not under the lock: a runtime that shuts down drops the task here, and dropping its `RunningTask` takes the
        // lock.
        let handle = runtime.spawn(async move {
            let _running = running;
            task.await;
        });
        let handle = handle.abort_handle();
        let mut state = self.0.lock();
        let is_last = state.started == nth;
        let superfluous = match &mut state.phase {
            Phase::Running { task } if is_last => task.replace(handle),
            // It ended already, or was shut down meanwhile.
            Phase::Idle { .. } | Phase::Running { .. } | Phase::ShutDown => Some(handle),
        };
        drop(state);
        if let Some(superfluous) = superfluous {
            superfluous.abort();
        }
    }

    fn reserve(&self) -> Option<RunningTask> {
        let mut state = self.0.lock();
        match state.phase {
            Phase::Idle { not_before } if SystemClock.monotonic() >= not_before => {}
            Phase::Idle { .. } | Phase::Running { .. } | Phase::ShutDown => return None,
        }
        state.started += 1;
        state.phase = Phase::Running { task: None };
        self.0.made_progress.store(false, Ordering::Relaxed);
        self.0.settled.store(true, Ordering::Relaxed);
        Some(RunningTask { shared: self.0.clone(), nth: state.started })
    }

    /// Notes that the task made progress.
    pub(crate) fn note_progress(&self) {
        self.0.made_progress.store(true, Ordering::Relaxed);
    }

    /// Gives up a task that makes no progress: its runtime is not driven any more. The next
    /// [`start`](Self::start) starts another one.
    pub(crate) fn give_up(&self) {
        let mut state = self.0.lock();
        let Phase::Running { task } = &mut state.phase else { return };
        let Some(task) = task.take() else { return };
        state.phase = Phase::default();
        self.0.settled.store(false, Ordering::Relaxed);
        drop(state);
        task.abort();
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        matches!(self.0.lock().phase, Phase::ShutDown)
    }

    /// Aborts the task. None is started any more.
    pub(crate) fn shut_down(&self) {
        let mut state = self.0.lock();
        let before = std::mem::replace(&mut state.phase, Phase::ShutDown);
        self.0.settled.store(true, Ordering::Relaxed);
        drop(state);
        if let Phase::Running { task: Some(task) } = before {
            task.abort();
        }
    }
}

impl Drop for BackgroundTask {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Dropped when the task has ended: it returned, panicked, was aborted, or its runtime was dropped.
struct RunningTask {
    shared: Arc<Shared>,
    nth: u64,
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.started == self.nth && matches!(state.phase, Phase::Running { .. }) {
            // Otherwise each request would start a task that fails at once.
            let pause =
                if self.shared.made_progress.load(Ordering::Relaxed) { Duration::ZERO } else { RETRY };
            state.phase = Phase::Idle { not_before: SystemClock.monotonic().saturating_add(pause) };
            self.shared.settled.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }

        /// A task that works, and goes on for good.
        fn endless(&self, follower: &Arc<BackgroundTask>) -> impl Future<Output = ()> + Send + 'static {
            let (count, follower) = (self.0.clone(), Arc::downgrade(follower));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(follower) = follower.upgrade() {
                    follower.note_progress();
                }
                std::future::pending().await
            }
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    async fn yield_a_few_times() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_task_whose_runtime_is_gone_is_started_on_the_next_one() {
        let (follower, count) = (Arc::<BackgroundTask>::default(), Count::default());
        for runs in 1..=3 {
            runtime().block_on(async {
                for _ in 0..3 {
                    follower.start(|| count.endless(&follower));
                    yield_a_few_times().await;
                }
            });
            assert_eq!(count.get(), runs);
        }
    }

    #[test]
    fn a_task_that_panicked_is_started_again() {
        let (follower, count) = (Arc::<BackgroundTask>::default(), Count::default());
        runtime().block_on(async {
            let works = follower.clone();
            follower.start(|| async move {
                works.note_progress();
                panic!("the test says so")
            });
            yield_a_few_times().await;
            follower.start(|| count.endless(&follower));
            yield_a_few_times().await;
        });
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn a_task_that_does_nothing_but_end_is_not_started_by_each_request() {
        let (follower, count) = (BackgroundTask::default(), Count::default());
        runtime().block_on(async {
            for _ in 0..20 {
                let count = count.clone();
                follower.start(|| async move {
                    count.0.fetch_add(1, Ordering::SeqCst);
                });
                yield_a_few_times().await;
            }
        });
        assert!(count.get() < 20, "{}", count.get());
    }

    #[test]
    fn nothing_starts_after_the_shutdown() {
        let (follower, count) = (Arc::<BackgroundTask>::default(), Count::default());
        runtime().block_on(async {
            follower.shut_down();
            follower.start(|| count.endless(&follower));
            yield_a_few_times().await;
        });
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn starts_that_race_with_the_shutdown_leave_no_task() {
        struct Live(Arc<AtomicUsize>);
        impl Drop for Live {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
        for _ in 0..2000 {
            let (follower, live) = (Arc::<BackgroundTask>::default(), Arc::<AtomicUsize>::default());
            let starts: Vec<_> = (0..2)
                .map(|_| {
                    let (follower, live) = (follower.clone(), live.clone());
                    runtime.spawn(async move {
                        follower.start(|| {
                            live.fetch_add(1, Ordering::SeqCst);
                            let live = Live(live);
                            async move {
                                let _live = live;
                                std::future::pending().await
                            }
                        });
                    })
                })
                .collect();
            follower.shut_down();
            runtime.block_on(async {
                for start in starts {
                    start.await.expect("no panic");
                }
                while live.load(Ordering::SeqCst) > 0 {
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    #[test]
    fn a_task_that_is_given_up_is_replaced_and_its_end_changes_nothing() {
        let (follower, count) = (Arc::<BackgroundTask>::default(), Count::default());
        let (first, second) = (runtime(), runtime());
        first.block_on(async {
            follower.start(|| count.endless(&follower));
            yield_a_few_times().await;
        });
        second.block_on(async {
            follower.give_up();
            follower.start(|| count.endless(&follower));
            yield_a_few_times().await;
            tokio::task::spawn_blocking(move || drop(first)).await.expect("no panic");
            follower.start(|| count.endless(&follower));
            yield_a_few_times().await;
        });
        assert_eq!(count.get(), 2);
    }
}
