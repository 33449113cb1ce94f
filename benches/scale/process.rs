//! This process: its runtime, its processor time, its memory, its files.

use std::{fs, path::PathBuf, time::Duration};

pub(crate) fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work);
}

/// The processor time of all threads, in steps of 10 ms.
pub(crate) fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// The resident memory, in bytes.
pub(crate) fn memory() -> i64 {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split_whitespace().nth(1).expect("a field").parse::<i64>().expect("a number") * 4096
}

/// How busy the machine is with other work.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").expect("Linux");
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// A folder that is deleted on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("scale-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: start the program with tests/servers/…"))
}
