//! A small disk that can be full.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A tmpfs on a folder. Where mounting is refused, as in most containers, it is none.
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    pub(crate) fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount =
            mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=0777"), "tmpfs"]).arg(folder);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then(|| Self { folder: folder.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).expect("a file");
        for size in [1 << 20, 4096] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        let _missing = std::fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _left = Command::new("umount").arg("-l").arg(&self.folder).status();
        let _left = std::fs::remove_dir(&self.folder);
    }
}
