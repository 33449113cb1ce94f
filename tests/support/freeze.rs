//! Stops a process with SIGSTOP: its port still accepts connections, but nothing responds.

use std::{
    fs,
    process::{Child, Command},
    thread,
    time::Duration,
};

/// Returns when every thread has stopped, which the signal does not wait for.
pub(crate) fn freeze(process: &Child) {
    signal(process, "-STOP");
    for _ in 0..1000 {
        if has_stopped(process.id()) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the process did not stop");
}

pub(crate) fn thaw(process: &Child) {
    signal(process, "-CONT");
}

fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// Whether each thread of the process has stopped.
fn has_stopped(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).expect("a process");
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status"));
        status.is_ok_and(|status| status.contains("\nState:\tT"))
    })
}
