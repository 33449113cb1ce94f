//! Values that every request writes, such as reference counts. Each thread has a separate value, so that no core waits
//! for a cache line that another core has written.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A value that shares no cache line with other values. It is aligned to 128 bytes, because processors fetch cache
/// lines of 64 bytes in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Padded<T>(T);

/// One value for each thread. If a process has more threads than values, some threads share a value.
pub(crate) struct PerThread<T>(Box<[Padded<T>]>);

impl<T: Default> PerThread<T> {
    pub(crate) fn new() -> Self {
        Self((0..count()).map(|_| Padded::default()).collect())
    }

    /// The value of the calling thread.
    pub(crate) fn own(&self) -> Option<&T> {
        self.0.get(index()).map(|padded| &padded.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

/// The number of values: twice the number of worker threads that a runtime has by default.
fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, usize::from).saturating_mul(2))
}

/// The index of the calling thread's value. It is kept in the thread, because a division takes time.
fn index() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static INDEX: usize = THREADS.fetch_add(1, Ordering::Relaxed) % count());
    INDEX.with(|index| *index)
}

/// A shared value. Each thread can count its references to the value on a separate cache line.
pub(crate) struct PerThreadArc<T>(Arc<Padded<Counted<T>>>);

struct Counted<T> {
    value: T,
    /// A copy of the value for each thread, created when needed. Empty in a copy.
    copies: Box<[OnceLock<PerThreadArc<T>>]>,
}

impl<T> PerThreadArc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::with_copies(value, (0..count()).map(|_| OnceLock::new()).collect())
    }

    fn with_copies(value: T, copies: Box<[OnceLock<Self>]>) -> Self {
        Self(Arc::new(Padded(Counted { value, copies })))
    }
}

impl<T: Clone> PerThreadArc<T> {
    /// Returns a clone whose reference count is on a cache line of the calling thread. The clones of this clone use the
    /// same count.
    pub(crate) fn for_this_thread(&self) -> Self {
        let Counted { value, copies } = &self.0.0;
        if copies.is_empty() {
            return self.clone();
        }
        let copy = copies.get(index());
        copy.map_or(self, |copy| copy.get_or_init(|| Self::with_copies(value.clone(), Box::default())))
            .clone()
    }
}

impl<T> Clone for PerThreadArc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for PerThreadArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for PerThreadArc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of allocations on which the references are counted.
    fn counts(clones: &[PerThreadArc<Arc<()>>]) -> usize {
        let mut counts: Vec<_> = clones.iter().map(|clone| Arc::as_ptr(&clone.0)).collect();
        counts.sort_unstable();
        counts.dedup();
        counts.len()
    }

    #[test]
    fn clones_count_their_references_on_a_line_of_their_thread_and_are_freed() {
        let value = Arc::new(());
        let original = PerThreadArc::new(value.clone());
        let two = || vec![original.for_this_thread(), original.clone().for_this_thread()];
        let mut clones = two();
        let others: Vec<_> =
            thread::scope(|scope| (0..16).map(|_| scope.spawn(two).join().expect("no panic")).collect());
        clones.extend(others.into_iter().flatten());
        assert!((2..=count() + 1).contains(&counts(&clones)), "{}", counts(&clones));
        assert_eq!(counts(&clones[..2]), 1);
        assert_eq!(counts(&[clones[0].clone(), clones[1].for_this_thread()]), 1, "clones of clones");
        drop((original, clones));
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn values_of_two_threads_share_no_cache_line() {
        let values = PerThread::<u8>::new();
        let mut lines: Vec<_> = values.iter().map(|value| std::ptr::from_ref(value).addr() / 128).collect();
        lines.dedup();
        assert_eq!(lines.len(), count());
        assert!(values.own().is_some());
    }
}
